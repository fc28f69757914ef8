package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchNABCmd() *cobra.Command {
	o := measure.NABOptions{}
	cmd := &cobra.Command{
		Use:   "nab",
		Short: "What the anomaly detectors find in the Numenta Anomaly Benchmark",
		Long: `Run the anomaly detectors over the 58 series of the Numenta Anomaly Benchmark (NAB 1.1) as a node runs them: causal, one setting
and one level of alarm for all series, nothing known of a file's length, range or labels. Scores are NAB's: 0 for silence, 100 for a
perfect detector. docs/intelligence.md tells what they mean and which half of the files the settings were chosen on.

The folder of data sets holds NAB's folders data and labels (github.com/numenta/NAB) in a folder nab; files may be compressed with gzip.`,
		Example: `  lamppost bench nab --sets data
  lamppost bench nab --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "NAB does", "folder of data sets, with NAB in nab", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.NABResult, error) {
		o.Progress = progress
		return measure.NAB(ctx, o)
	}, printNAB)
}

func printNAB(out io.Writer, r *measure.NABResult) error {
	const columns = "%-24s %6s %9s %7s %10s %8s %8s\n"
	fmt.Fprintf(out, columns, "folder", "files", "windows", "false", "standard", "low FP", "low FN")
	row := func(name string, files, hit, windows, false int, scores ...float64) {
		cells := []any{name, fmt.Sprint(files), fmt.Sprintf("%d/%d", hit, windows), fmt.Sprint(false)}
		for _, s := range scores {
			cell := "–"
			if windows > 0 {
				cell = fmt.Sprintf("%.1f", s)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(out, columns, cells...)
	}
	hit, windows, false := 0, 0, 0
	for _, f := range r.Folders {
		row(f.Folder, f.Files, f.Hit, f.Windows, f.FalseAlarms, f.Standard, f.LowFP, f.LowFN)
		hit, windows, false = hit+f.Hit, windows+f.Windows, false+f.FalseAlarms
	}
	row("all", r.Files, hit, windows, false, r.Standard, r.LowFP, r.LowFN)
	fmt.Fprintf(out, "Level chosen without the file that is scored: %.1f on the other half (mean of halvings; the least %.1f), %.1f on all others.\n",
		r.TwoFold, r.TwoFoldLeast, r.LeaveOneOut)
	for _, h := range r.Halves {
		fmt.Fprintf(out, "Half %s, %d files: %.1f; %.1f at the level of the other half; %.1f at the level %.2f that this program has.\n",
			h.Half, h.Files, h.Standard, h.Held, h.Shipped, r.ShippedLevel)
	}
	fmt.Fprintf(out, "%d alarms at this level: %.1f %% fall below it without the reasons named (%.1f each), %.1f %% where the readings named\nhad been those just before, again.",
		r.Alarms, 100*r.Masked, r.Reasons, 100*r.Replayed)
	fmt.Fprintf(out, " Where all since it began had been as a day before, %.1f %% are below what they were held\nagainst, and in %.1f %% that day raises no alarm in their place either.\n",
		100*r.Usual, 100*r.Quiet)
	_, err := fmt.Fprintf(out, "%.2f µs of CPU a reading, %d bytes a series (%d saved), %d of %d rows refused as late or a duplicate.\n",
		r.USPerPoint, r.BytesPerSeries, r.StateBytes, r.Refused, r.Rows)
	return err
}
