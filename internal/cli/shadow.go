package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/masterdata"
	"github.com/lamppost/lamppost/internal/shadow"
)

func shadowCmd() *cobra.Command {
	f := &nodeFlags{}
	var path, month, zone, seller string
	cmd := &cobra.Command{
		Use:   "shadow --invoices FILE --month 2026-11",
		Short: "Compare a month's invoices with those of another system",
		Long: `Compare the invoices of a month with those that another system made of the same use, from a CSV file, and name the cause of each
difference: missing here or there, period, quantity, price (the same quantity costs another amount), tax, rounding (no more than a
cent for each line), or a total that is not its parts' sum. Of what follows from each other only the cause is told.

Columns: ` + strings.Join(shadow.Columns, ", ") + `. A row is found by number, or else by party, with point and period where
a party has several invoices; ids are those that were imported. What a row does not say is not compared.

Exit code 1: there are differences.`,
		Example: "  lamppost shadow --invoices november.csv --month 2026-11 --zone Europe/Berlin --data ./node",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				return usage(fmt.Errorf("--zone: %w", err))
			}
			from, err := time.ParseInLocation("2006-01", month, loc)
			if err != nil {
				return usage(fmt.Errorf("--month %q is not one like 2026-11", month))
			}
			in, err := os.Open(path)
			if err != nil {
				return usage(err)
			}
			defer in.Close()
			rows, err := shadow.Read(in, masterdata.Name, loc)
			if err != nil {
				return usage(fmt.Errorf("%s: %w", path, err))
			}
			q := url.Values{"seller": {seller}, "from_ms": {strconv.FormatInt(from.UnixMilli(), 10)}, "to_ms": {strconv.FormatInt(from.AddDate(0, 1, 0).UnixMilli(), 10)}}
			var ours api.SummaryList
			if _, err := n.get("/api/invoices/summaries?"+q.Encode(), &ours); err != nil {
				return err
			}
			return n.compared(shadow.Compare(ours.Invoices, rows))
		}),
	}
	cmd.Flags().StringVar(&path, "invoices", "", "CSV file of the other system's invoices")
	cmd.Flags().StringVar(&month, "month", "", "the month, such as 2026-11")
	cmd.Flags().StringVar(&zone, "zone", "UTC", "clock of the month and of dates, such as Europe/Berlin")
	cmd.Flags().StringVar(&seller, "seller", "", "only invoices of this seller")
	return f.add(require(cmd, "invoices", "month"))
}

// compared prints a comparison.
func (n *remote) compared(c *shadow.Comparison) error {
	raw, err := json.Marshal(c)
	if err == nil {
		err = n.show(raw, func(w io.Writer) { printComparison(w, c) })
	}
	if err == nil && len(c.Differences) > 0 {
		err = &ExitError{ExitFailed, fmt.Errorf("%d differences", len(c.Differences))}
	}
	return err
}

func printComparison(w io.Writer, c *shadow.Comparison) {
	t := table{head: []string{">LINE", "INVOICE", "PARTY", "POINT", "CAUSE", ">HERE", ">THERE", ">DELTA"}}
	for _, d := range c.Differences {
		line := ""
		if d.Line > 0 {
			line = strconv.Itoa(d.Line)
		}
		t.add(line, d.Number, string(d.Party), d.Point, d.Cause, d.Here, d.There, d.Delta.String())
	}
	t.print(w, "No differences.")
	fmt.Fprintf(w, "\n%d invoices here, %d rows there, %d rows alike\n", c.Here, c.There, c.Alike)
	fmt.Fprintf(w, "net %s here, %s there; total %s here, %s there\n", c.Net[0], c.Net[1], c.Total[0], c.Total[1])
	for _, cause := range slices.Sorted(maps.Keys(c.ByCause)) {
		fmt.Fprintf(w, "%s: %d, together %s\n", cause, c.ByCause[cause], c.DeltaBy[cause])
	}
}
