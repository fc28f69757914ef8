package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func tariffTryCmd(f *nodeFlags) *cobra.Command {
	var point, from, to string
	var best bool
	cmd := &cobra.Command{
		Use:   "try FILE.json|TARIFF --point POINT --from DATE --to DATE [--best]",
		Short: "Price recorded use under other terms, and compare with what was billed",
		Long: `Price what a metering point recorded in a period under other terms, a registered tariff's or those of a file, and compare it with what
was billed for that period. It orders nothing. With --best the argument is a seller, and all tariffs of that seller are tried.
When terms begin and end to be offered does not count here; when levies and prices by time do does.`,
		Example: `  lamppost tariff try tariff.json --point flat-3 --from 2026-11-01 --to 2026-12-01
  lamppost tariff try house-power --point flat-3 --from 2026-11-01 --to 2026-12-01
  lamppost tariff try landlord --best --point flat-3 --from 2026-11-01 --to 2026-12-01`,
		Args: oneArg("a JSON file, a tariff's id, or with --best a seller"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := api.Trial{Point: point, ID: args[0]}
			switch {
			case best:
				b.ID, b.Seller = "", lamppost.PartyID(args[0])
			case args[0] == "-" || isFile(args[0]):
				text, err := readTariff(cmd.InOrStdin(), args[0])
				if err != nil {
					return usage(err)
				}
				b.ID = ""
				if err := json.Unmarshal(text, &b.Tariff); err != nil {
					return usage(fmt.Errorf("%s is not a tariff in JSON: %v", args[0], err))
				}
			}
			return f.run(func(n *remote, _ []string) error { return tryTariff(n, &b, from, to) })(cmd, args)
		},
	}
	cmd.Flags().StringVar(&point, "point", "", "metering point whose use is priced")
	cmd.Flags().StringVar(&from, "from", "", "first day, or instant")
	cmd.Flags().StringVar(&to, "to", "", "day after the last, or instant")
	cmd.Flags().BoolVar(&best, "best", false, "try all tariffs of a seller, the cheapest first")
	return require(cmd, "point", "from", "to")
}

func tryTariff(n *remote, b *api.Trial, from, to string) error {
	_, zone, err := n.point(b.Point, "")
	if err != nil {
		return err
	}
	if zone == nil && b.Tariff != nil {
		zone = &b.Tariff.Zone
	}
	if b.From, b.To, _, err = periodQuery(from, to, zone); err != nil {
		return err
	}
	var out api.TrialResult
	raw, err := n.post("/api/tariffs/try", b, &out)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) { printTrial(w, &out, zone) })
}

func printTrial(w io.Writer, out *api.TrialResult, zone *tariff.Zone) {
	fmt.Fprintf(w, "%s, %s until %s\n", printable(out.Point), localDate(zone, out.From), localDate(zone, out.To))
	if b := out.Billed; b != nil {
		fmt.Fprintf(w, "Billed: %s %s before tax\n\n", b.Net, b.Currency)
	} else {
		fmt.Fprint(w, "No bills cover just this period, so there is nothing to compare with\n\n")
	}
	t := table{head: []string{"TARIFF", ">NET", "", ">AGAINST BILLED", ""}}
	for i := range out.Tried {
		x := &out.Tried[i]
		diff, note := "", x.Error
		if x.Difference != nil {
			if diff = x.Difference.String(); *x.Difference > 0 {
				diff = "+" + diff
			}
		}
		if x.Estimated {
			note = "estimated in part"
		}
		net := x.Net.String()
		if x.Error != "" {
			net = "?"
		}
		t.add(fmt.Sprintf("%s/%d", x.Tariff, x.Version), net, x.Currency, diff, note)
	}
	t.print(w, "")
	if len(out.Tried) == 1 && out.Tried[0].Error == "" {
		fmt.Fprintln(w)
		printTried(w, &out.Tried[0], zone)
	}
}

// printTried shows the lines of the one tariff that was tried.
func printTried(w io.Writer, x *api.TriedTariff, zone *tariff.Zone) {
	t := table{head: []string{"FROM", "UNTIL", "DEVICE", "WHAT", ">AMOUNT", ""}}
	for _, b := range x.Bills {
		for i := range b.Lines {
			note := x.Currency
			if b.Lines[i].Estimated {
				note += " estimated"
			}
			t.add(localDate(zone, b.From), localDate(zone, b.To), string(b.Device), lineName(&b.Lines[i]), b.Lines[i].Amount.String(), note)
		}
	}
	t.print(w, "")
}
