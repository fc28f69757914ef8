package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
	"github.com/lamppost/lamppost/tariff"
)

func benchMoneyCmd() *cobra.Command {
	var asJSON bool
	o := measure.MoneyOptions{}
	cmd := &cobra.Command{
		Use:   "money",
		Short: "Sessions and invoices a second, and how long a long statement takes",
		Long: `Bill through the chain of a node, synced to disk, without doors: sessions that are opened, metered, settled and billed; a month of
many metering points, each with a buyer and an invoice of its own; and a statement of many flat-price lines, built and verified.
Registering is not timed; forty thousand points take some minutes to register.`,
		Example: `  lamppost bench money --json
  lamppost bench money --points 40000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Points < 1 || o.Sessions < 1 || o.Lines < 1 || o.Lines > tariff.MaxSupplies {
				return usage(fmt.Errorf("money needs a point, a session and 1 to %d lines", tariff.MaxSupplies))
			}
			bar := newProgress(cmd.ErrOrStderr())
			o.Progress = bar.set
			r, err := measure.Money(cmd.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(r)
			}
			_, err = fmt.Fprintf(out, `%d sessions opened, metered, settled and billed: %.0f a second
%d metering points billed, an invoice each, in %.1f s: %.0f a second
a statement of %d lines, %d bytes: built in %.0f ms, verified in %.0f ms
`, r.Sessions, r.SessionsPS, r.Points, r.PointsS, r.InvoicesPS, r.Lines, r.Bytes, r.BuildMS, r.VerifyMS)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Points, "points", 2000, "metering points that are billed")
	f.IntVar(&o.Sessions, "sessions", 5000, "sessions that are billed")
	f.IntVar(&o.Lines, "lines", 1000, "lines of the statement, each of a meter of its own")
	f.StringVar(&o.Dir, "dir", "", "where to make the folder (default: the system's temporary folder)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
