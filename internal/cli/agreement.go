package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func agreementCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("agreement", "Who buys what at which tariff", `  lamppost agreement add flat-3-power --seller landlord --buyer tenant-3 --point flat-3 --tariff house-power --from 2026-11-01
  lamppost agreement end flat-3-power --at 2027-03-01
  lamppost agreement list`, agreementAddCmd(f), agreementEndCmd(f), agreementListCmd(f))
}

func agreementAddCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.AgreementBody
	var seller, buyer, from, to string
	cmd := &cobra.Command{
		Use:   "add ID --seller PARTY --buyer PARTY --point POINT --tariff TARIFF --from DATE",
		Short: "Bind a buyer to a tariff at a metering point",
		Long: `Bind a buyer to a seller's tariff at a metering point. A date such as 2026-11-01 is the midnight at which that day
begins on the tariff's clock; an instant is written like 2026-11-01T06:30:00+01:00 and lies on a quarter hour. The end
is not part of the period; without one it runs until further notice.`,
		Example: `  lamppost agreement add flat-3-power --seller landlord --buyer tenant-3 --point flat-3 --tariff house-power --from 2026-11-01
  lamppost agreement add flat-4-power --seller landlord --buyer tenant-4 --point flat-4 --tariff house-power --from 2026-11-01 --to 2027-11-01`,
		Args: oneArg("the agreement's id, such as flat-3-power"),
		RunE: f.run(func(n *remote, args []string) error {
			b.ID, b.Seller, b.Buyer = args[0], lamppost.PartyID(seller), lamppost.PartyID(buyer)
			zones, err := n.zones()
			if err != nil {
				return err
			}
			zone := zones[b.Tariff]
			if zone == nil {
				return fmt.Errorf("no tariff %q: `lamppost tariff list` shows those there are", b.Tariff)
			}
			if b.From, err = parseInstant(from, zone); err != nil {
				return usage(fmt.Errorf("--from: %w", err))
			}
			if to != "" {
				if b.To, err = parseInstant(to, zone); err != nil {
					return usage(fmt.Errorf("--to: %w", err))
				}
			}
			text := fmt.Sprintf("%s sells to %s at %s under %s from %s until %s", seller, buyer, b.Point, b.Tariff, localDate(zone, b.From), localDate(zone, b.To))
			return n.order("/api/agreements", b, text)
		}),
	}
	cmd.Flags().StringVar(&seller, "seller", "", "party that sells, the tariff's")
	cmd.Flags().StringVar(&buyer, "buyer", "", "party that buys")
	cmd.Flags().StringVar(&b.Point, "point", "", "metering point")
	cmd.Flags().StringVar(&b.Tariff, "tariff", "", "tariff's id")
	cmd.Flags().StringVar(&from, "from", "", "date or instant")
	cmd.Flags().StringVar(&to, "to", "", "date or instant; none: until further notice")
	cmd.Flags().StringVar(&b.TaxCategory, "tax-category", "", "of EN 16931, where this buyer pays no tax: AE (reverse charge), E (exempt), …")
	cmd.Flags().StringVar(&b.TaxReason, "tax-reason", "", "why, as it stands on the bill")
	return require(cmd, "seller", "buyer", "point", "tariff", "from")
}

func agreementEndCmd(f *nodeFlags) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "end ID --at TIME",
		Short: "End an agreement, or move its end",
		Long: `End an agreement, or move its end: the time is the first that is not part of it. What was billed beyond stays until the bill is
corrected: lamppost invoice correct NUMBER --cause terms.`,
		Example: `  lamppost agreement end flat-3-power --at 2027-03-01
  lamppost agreement end flat-3-power --at never                    it goes on until further notice`,
		Args: oneArg("the agreement's id, such as flat-3-power"),
		RunE: f.run(func(n *remote, args []string) error {
			b, zone, err := n.agreement(args[0])
			if err != nil {
				return err
			}
			b.To = 0
			if at != "never" {
				if b.To, err = parseInstant(at, zone); err != nil {
					return usage(fmt.Errorf("--at: %w", err))
				}
			}
			return n.order("/api/agreements", b, fmt.Sprintf("Agreement %s holds from %s until %s", b.ID, localDate(zone, b.From), localDate(zone, b.To)))
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "date or instant, or never")
	return require(cmd, "at")
}

// agreement asks for an agreement, and for the clock of its tariff.
func (n *remote) agreement(id string) (*lamppost.AgreementBody, *tariff.Zone, error) {
	var all api.AgreementList
	if _, err := n.get("/api/agreements", &all); err != nil {
		return nil, nil, err
	}
	zones, err := n.zones()
	for i := range all.Agreements {
		if a := &all.Agreements[i]; a.ID == id {
			return a, zones[a.Tariff], err
		}
	}
	return nil, nil, cmp.Or(err, fmt.Errorf("no agreement %q: `lamppost agreement list` shows those there are", id))
}

// zones asks for the clocks of all tariffs, by id: those of their latest versions.
func (n *remote) zones() (map[string]*tariff.Zone, error) {
	var all api.TariffList
	if _, err := n.get("/api/tariffs", &all); err != nil {
		return nil, err
	}
	latest := map[string]*tariff.Zone{}
	for i := range all.Tariffs { // by id and version
		latest[all.Tariffs[i].ID] = &all.Tariffs[i].Zone
	}
	return latest, nil
}

// parseInstant reads an instant in RFC 3339, or a date as the moment at which it begins on a zone's clock. Without a zone
// dates are not understood. Instants lie on quarter hours.
func parseInstant(text string, zone *tariff.Zone) (lamppost.TimeMS, error) {
	at, err := parseMoment(text, zone)
	if err == nil && at%lamppost.EdgeMS != 0 {
		err = fmt.Errorf("%q is not on a quarter hour", text)
	}
	return at, err
}

// parseMoment reads any instant, likewise.
func parseMoment(text string, zone *tariff.Zone) (lamppost.TimeMS, error) {
	var at lamppost.TimeMS
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		at = lamppost.TimeMS(t.UnixMilli())
	} else if day, err := time.Parse(time.DateOnly, text); err != nil {
		return 0, fmt.Errorf("%q is neither a date like 2026-11-01 nor an instant like 2026-11-01T06:30:00+01:00", text)
	} else if zone == nil {
		return 0, fmt.Errorf("%q: the tariffs do not agree on a clock, so write an instant like %sT00:00:00+01:00", text, text)
	} else if at, err = midnight(*zone, day); err != nil {
		return 0, err
	}
	return at, nil
}

// midnight is when a day begins on a zone's clock: where the clock leaves out midnight, at the change.
func midnight(zone tariff.Zone, day time.Time) (lamppost.TimeMS, error) {
	const minuteMS = 60_000
	wanted := day.Unix() / (24 * 3600)
	utc := lamppost.TimeMS(day.UnixMilli())
	// The offset lies within ±15 hours, so the day begins within 16 hours of its UTC midnight. The first quarter hour of
	// which the clock shows that day, or a later one, is its beginning.
	for at := utc - 16*60*minuteMS; at <= utc+16*60*minuteMS; at += lamppost.EdgeMS {
		if clock := zone.Local(at); clock.Day == wanted {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%s is not a day on the clock of %s", day.Format(time.DateOnly), zone.Name)
}

// localDate writes an instant on a tariff's clock, a midnight as its date; without a zone on this machine's clock.
func localDate(zone *tariff.Zone, at lamppost.TimeMS) string {
	if at == 0 {
		return "further notice"
	}
	if zone == nil {
		return when(at)
	}
	local := time.UnixMilli(int64(at)).In(time.FixedZone("", zone.OffsetAt(at)*60))
	if local.Hour() == 0 && local.Minute() == 0 {
		return local.Format(time.DateOnly)
	}
	return local.Format("2006-01-02 15:04-07:00")
}

func agreementListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List agreements",
		Example: "  lamppost agreement list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.AgreementList
			raw, err := n.get("/api/agreements", &all)
			if err != nil {
				return err
			}
			zones, err := n.zones()
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "SELLER", "BUYER", "POINT", "TARIFF", "FROM", "UNTIL"}}
				for _, a := range all.Agreements {
					t.add(a.ID, string(a.Seller), string(a.Buyer), a.Point, a.Tariff, localDate(zones[a.Tariff], a.From), localDate(zones[a.Tariff], a.To))
				}
				t.print(w, "No agreements yet. Make one: lamppost agreement add ID --seller … --buyer … --point … --tariff … --from …")
			})
		}),
	}
}
