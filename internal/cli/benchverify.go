package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
	"github.com/lamppost/lamppost/sig"
)

func benchVerifyCmd() *cobra.Command {
	var asJSON bool
	o := measure.VerifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "What checking a signature costs: one by one, in batches, half-aggregated",
		Long: `Check signatures of 200-byte messages on one core: one by one with the standard library and with this program,
in batches, and half-aggregated; with different keys and with 16; es256 also with keys seen for the first time; with forged
ones among them; and for a mixed fleet (7 of 10 es256, 2 hmac-sha256, 1 ed25519). Times are CPU time, each of the best
repetition.`,
		Example: `  lamppost bench verify
  lamppost bench verify --for 3s --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.For <= 0 {
				return &ExitError{ExitUsage, fmt.Errorf("a row needs some time: --for %v", o.For)}
			}
			for _, n := range o.Sizes {
				if n < 1 || n > sig.MaxAggregate {
					return &ExitError{ExitUsage, fmt.Errorf("a batch has 1 to %d signatures: --sizes %d", sig.MaxAggregate, n)}
				}
			}
			bar := newProgress(cmd.ErrOrStderr())
			o.Progress = bar.set
			res, err := measure.Verify(cmd.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			return printVerify(cmd.OutOrStdout(), res, asJSON)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", time.Second, "how long to repeat each row")
	f.IntSliceVar(&o.Sizes, "sizes", []int{64, 256, 1024, 4096}, "signatures in a batch, the largest last")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// printVerify prints a table for people: each row beside the standard library's cost of the same suite.
func printVerify(out io.Writer, r *measure.VerifyResult, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	const columns = "%-12s %-8s %6s %6s %6s %9s %7s %9s\n"
	fmt.Fprintf(out, columns, "suite", "mode", "n", "keys", "bad", "µs each", "of std", "bytes")
	std := make(map[string]float64)
	for _, row := range r.Rows {
		if row.Mode == "std" {
			std[row.Suite] = row.USPerSig
		}
		share := "–"
		if base := std[row.Suite]; base > 0 {
			share = fmt.Sprintf("%.2f", row.USPerSig/base)
		}
		fmt.Fprintf(out, columns, row.Suite, row.Mode, fmt.Sprint(row.N), fmt.Sprint(row.Keys), fmt.Sprint(row.Bad),
			fmt.Sprintf("%.2f", row.USPerSig), share, fmt.Sprintf("%.1f", row.BytesPerSig))
	}
	fmt.Fprintf(out, "Messages of %d bytes, one core, CPU time of the best repetition.\n", r.MessageBytes)
	return nil
}
