package cli

import (
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func pointCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("point", "Metering points: where use is measured", `  lamppost point add flat-3 --device meter-3 --register energy --unit Wh --place "Flat 3, 2nd floor"
  lamppost point exchange flat-3 --device meter-9 --at 2027-02-01T10:15:00+01:00 --closing 48213000 --opening 0
  lamppost point balance house --from 2026-11-01 --to 2026-12-01
  lamppost point list`, pointAddCmd(f), pointExchangeCmd(f), pointBalanceCmd(f), pointShowCmd(f), pointListCmd(f))
}

func pointAddCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.PointBody
	var device, rolls string
	cmd := &cobra.Command{
		Use:   "add ID --device DEVICE",
		Short: "Open a metering point at a device's register",
		Example: `  lamppost point add flat-3 --device meter-3 --register energy --unit Wh --place "Flat 3, 2nd floor"
  lamppost point add flat-3-water --device water-3 --register water --unit l --rolls-at 100000000 --main house-water
  lamppost point add bay-1 --device charger-1 --sessions`,
		Args: oneArg("the metering point's id, such as flat-3"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.ID, b.Device = args[0], lamppost.DeviceID(device)
			if b.RollsAt, err = register("--rolls-at", rolls); err != nil {
				return err
			}
			return n.order("/api/points", b, fmt.Sprintf("Metering point %s measures %s of %s in %s", b.ID, b.Register, b.Device, b.Unit))
		}),
	}
	cmd.Flags().StringVar(&device, "device", "", "the device that measures")
	cmd.Flags().StringVar(&b.Register, "register", "energy", "name of the cumulative reading")
	cmd.Flags().StringVar(&b.Unit, "unit", "Wh", "SenML unit of the register")
	cmd.Flags().StringVar(&b.Place, "place", "", "where, for people")
	cmd.Flags().StringVar(&b.Main, "main", "", "point whose meter counts this one's use, too")
	cmd.Flags().StringVar(&rolls, "rolls-at", "", "value that the register shows 0 instead of")
	cmd.Flags().BoolVar(&b.Sessions, "sessions", false, "it is used in sessions: readings count at their very times")
	return require(cmd, "device")
}

// register reads a register's value; nothing is nil.
func register(flag, text string) (*lamppost.Decimal, error) {
	if text == "" {
		return nil, nil
	}
	v, err := lamppost.ParseDecimal(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w: write it like 48213.5, in the register's unit", flag, err))
	}
	return &v, nil
}

func pointExchangeCmd(f *nodeFlags) *cobra.Command {
	var device, name, at, closing, opening, rolls, place, main string
	cmd := &cobra.Command{
		Use:   "exchange POINT --device DEVICE --at TIME [--closing VALUE] [--opening VALUE]",
		Short: "Hang another meter at a metering point, or count the same one anew",
		Long: `Hang another meter at a metering point from a quarter hour on, or begin to count the same one anew. What is not said stays as it
was at the meter before, except where its register begins anew. --closing is what the old register showed then and --opening what the
new one did, in the register's unit; without them the meters' signed readings count.

A bill that was made before is put right by: lamppost invoice correct NUMBER --cause terms`,
		Example: `  lamppost point exchange flat-3 --device meter-9 --at 2027-02-01T10:15:00+01:00 --closing 48213000 --opening 0
  lamppost point exchange flat-3 --device meter-3 --at 2027-02-01T10:15:00+01:00 --opening 0        it was reset`,
		Args: oneArg("the metering point's id, such as flat-3"),
		RunE: f.run(func(n *remote, args []string) error {
			p, zone, err := n.point(args[0], "")
			if err != nil {
				return err
			}
			b := p.Mounts[len(p.Mounts)-1]
			b.Mount, b.Device = uint32(len(p.Mounts)), lamppost.DeviceID(device)
			b.Register, b.Place, b.Main = or(name, b.Register), or(place, b.Place), or(main, b.Main)
			if b.From, err = parseInstant(at, zone); err != nil {
				return usage(fmt.Errorf("--at: %w", err))
			}
			if b.Closing, err = register("--closing", closing); err != nil {
				return err
			}
			if b.Opening, err = register("--opening", opening); err != nil {
				return err
			}
			if rolls != "" {
				if b.RollsAt, err = register("--rolls-at", rolls); err != nil {
					return err
				}
			}
			return n.order("/api/points", b, fmt.Sprintf("From %s on metering point %s measures %s of %s, its meter %d", localDate(zone, b.From), b.ID, b.Register, b.Device, b.Mount+1))
		}),
	}
	cmd.Flags().StringVar(&device, "device", "", "the device that measures from then on")
	cmd.Flags().StringVar(&at, "at", "", "from when: a date or an instant, on a quarter hour")
	cmd.Flags().StringVar(&closing, "closing", "", "what the meter before showed")
	cmd.Flags().StringVar(&opening, "opening", "", "what this one showed")
	cmd.Flags().StringVar(&name, "register", "", "name of its cumulative reading (default: as before)")
	cmd.Flags().StringVar(&rolls, "rolls-at", "", "value that its register shows 0 instead of (default: as before)")
	cmd.Flags().StringVar(&place, "place", "", "where, for people (default: as before)")
	cmd.Flags().StringVar(&main, "main", "", "point whose meter counts this one's use, too (default: as before)")
	return require(cmd, "device", "at")
}

// point asks for a metering point, and for the clock of the tariffs there: nil where they do not agree.
func (n *remote) point(id, query string) (*api.PointDetail, *tariff.Zone, error) {
	p := new(api.PointDetail)
	if _, err := n.get("/api/points/"+url.PathEscape(id)+query, p); err != nil {
		return nil, nil, err
	}
	zones, err := n.zones()
	if err != nil {
		return nil, nil, err
	}
	var zone *tariff.Zone
	for _, a := range p.Under {
		if z := zones[a.Tariff]; zone != nil && !reflect.DeepEqual(zone, z) {
			return p, nil, nil
		} else if z != nil {
			zone = z
		}
	}
	return p, orOnly(zone, zones), nil
}

// orOnly is a clock, or the one that all tariffs have in common.
func orOnly(zone *tariff.Zone, zones map[string]*tariff.Zone) *tariff.Zone {
	if zone != nil {
		return zone
	}
	for _, z := range zones {
		if zone != nil && zone.Name != z.Name {
			return nil
		}
		zone = z
	}
	return zone
}

// moment reads a time as [parseMoment] does, or "now" as the node's clock has it.
func (n *remote) moment(text string, zone *tariff.Zone) (lamppost.TimeMS, error) {
	if text != "now" {
		return parseMoment(text, zone)
	}
	var st api.Status
	_, err := n.get("/api/status", &st)
	return st.Now, err
}

// periodQuery reads a period and writes it as the API takes it.
func periodQuery(from, to string, zone *tariff.Zone) (lo, hi lamppost.TimeMS, query string, err error) {
	if lo, err = parseInstant(from, zone); err != nil {
		return 0, 0, "", usage(fmt.Errorf("--from: %w", err))
	}
	if hi, err = parseInstant(to, zone); err != nil {
		return 0, 0, "", usage(fmt.Errorf("--to: %w", err))
	}
	return lo, hi, fmt.Sprintf("?from_ms=%d&to_ms=%d", lo, hi), nil
}

func pointBalanceCmd(f *nodeFlags) *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "balance POINT --from DATE --to DATE",
		Short: "Compare a main meter with the sum of the meters under it",
		Long: `Compare what a main meter counted in a period with the sum of the meters under it: those whose points name it with --main. What is
left over is used and billed to nobody, lost, or measured wrongly.`,
		Example: `  lamppost point balance house --from 2026-11-01 --to 2026-12-01`,
		Args:    oneArg("the main meter's metering point, such as house"),
		RunE: f.run(func(n *remote, args []string) error {
			_, zone, err := n.point(args[0], "")
			if err != nil {
				return err
			}
			_, _, query, err := periodQuery(from, to, zone)
			if err != nil {
				return err
			}
			var p api.PointDetail
			raw, err := n.get("/api/points/"+url.PathEscape(args[0])+query, &p)
			if err != nil {
				return err
			}
			if p.Balance == nil {
				return fmt.Errorf("no meter counts under %s: lamppost point add ID --main %s says which do", args[0], args[0])
			}
			return n.show(raw, func(w io.Writer) { printBalance(w, p.Balance, zone) })
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "first day, or instant")
	cmd.Flags().StringVar(&to, "to", "", "day after the last, or instant")
	return require(cmd, "from", "to")
}

func printBalance(w io.Writer, b *api.Balance, zone *tariff.Zone) {
	fmt.Fprintf(w, "%s until %s, in %s\n\n", localDate(zone, b.From), localDate(zone, b.To), printable(b.Unit))
	t := table{head: []string{"POINT", ">QUANTITY", "", ""}}
	add := func(m api.Measured, what string) {
		quantity, note := m.Quantity.String(), ""
		if m.Unknown != "" {
			quantity, note = "?", m.Unknown
		} else if m.Estimated {
			note = "estimated"
		}
		t.add(m.Point, quantity, what, note)
	}
	for _, m := range b.Subs {
		add(m, "")
	}
	t.add("", b.Sum.String(), "sum", "")
	add(b.Main, "main meter")
	if b.Difference != nil {
		t.add("", b.Difference.String(), "left over", b.Percent+" %")
	}
	t.print(w, "")
}

func pointShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show POINT",
		Short:   "Show a metering point with every meter that hung there",
		Example: "  lamppost point show flat-3",
		Args:    oneArg("the metering point's id, such as flat-3"),
		RunE: f.run(func(n *remote, args []string) error {
			var p api.PointDetail
			raw, err := n.get("/api/points/"+url.PathEscape(args[0]), &p)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{">METER", "FROM", "DEVICE", "REGISTER", "UNIT", ">OPENED AT", ">BEFORE CLOSED AT", ">ROLLS AT", "UNDER", "PLACE"}}
				for _, b := range p.Mounts {
					from := "the beginning"
					if b.From != 0 {
						from = when(b.From)
					}
					t.add(strconv.Itoa(int(b.Mount)+1), from, string(b.Device), b.Register, b.Unit, text(b.Opening), text(b.Closing), text(b.RollsAt), b.Main, b.Place)
				}
				t.print(w, "")
				for _, a := range p.Under {
					fmt.Fprintf(w, "Agreement %s: %s buys under %s from %s until %s\n", a.ID, a.Buyer, a.Tariff, when(a.From), or(when(a.To), "further notice"))
				}
				for _, s := range p.Subs {
					fmt.Fprintf(w, "It counts %s, too: lamppost point balance %s --from … --to …\n", s, p.ID)
				}
			})
		}),
	}
}

func text(d *lamppost.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func pointListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List metering points with the meters that hang there",
		Example: "  lamppost point list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.PointList
			raw, err := n.get("/api/points", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "DEVICE", "REGISTER", "UNIT", "PLACE"}}
				for i, p := range all.Points {
					if i+1 == len(all.Points) || all.Points[i+1].ID != p.ID {
						t.add(p.ID, string(p.Device), p.Register, p.Unit, p.Place)
					}
				}
				t.print(w, "No metering points yet. Open one: lamppost point add ID --device DEVICE")
			})
		}),
	}
}

// seconds writes a time on a tariff's clock, or this machine's, to the second.
func seconds(zone *tariff.Zone, at lamppost.TimeMS) string {
	if at == 0 {
		return ""
	}
	t := time.UnixMilli(int64(at))
	if zone != nil {
		t = t.In(time.FixedZone("", zone.OffsetAt(at)*60))
	}
	return t.Format("2006-01-02 15:04:05")
}
