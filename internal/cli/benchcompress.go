package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchCompressCmd() *cobra.Command {
	o := measure.CompressOptions{}
	cmd := &cobra.Command{
		Use:   "compress",
		Short: "What summaries within an error bound save, over public series",
		Long: `Keep the measured series of public data sets as summaries: blocks of up to 8,192 rows, each value within a bound of what it was.
Read them back, hold every row against the bound, and run the anomaly detectors over what came and over what is read back.

The bound is 1 % of the range that the series has shown so far, at most 3 % of where it usually is, and closer where the detectors would not
tell the same. "ratio" is 8 bytes for each value, without its time, ÷ all bytes written: values, times and headers. Beside it stand the
ratios where 1 % of the range so far, or of the block's own range, is the only bound.

docs/intelligence.md lists the sets and says what is left out and why. NAB must be among them (in a folder nab).`,
		Example: `  lamppost bench compress --sets data
  lamppost bench compress --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "public series do", "folder of data sets, with NAB in nab", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.CompressResult, error) {
		o.Progress = progress
		return measure.Compress(ctx, o)
	}, printCompress)
}

func printCompress(out io.Writer, r *measure.CompressResult) error {
	fmt.Fprintf(out, "%-18s %6s %9s %9s %7s %7s %11s %11s\n", "set", "series", "rows", "bytes", "ratio", "middle", "only range", "only block")
	for _, s := range append(r.Sets, r.CompressedSet) {
		fmt.Fprintf(out, "%-18s %6d %9d %9d %7.1f %7.1f %11.1f %11.1f\n", s.Set, s.Series, s.Rows, s.Bytes, s.Ratio, s.Middle, s.Range, s.Block)
	}
	fmt.Fprintf(out, "%.1f against 16 bytes, a time and a value. %d series that never change are left out.\n", r.Ratio16, r.Constants)
	fmt.Fprintf(out, "%d rows broke the bound. The largest error is %.3f %% of its series' range, the mean one %.3f %%.\n", r.Violations, 100*r.Achieved, 100*r.Mean)
	fmt.Fprintf(out, "Of %d windows of NAB that the detectors find in what came, %d are lost in what is read back and %d others found;\n%d and %d with the range as the only bound.\n",
		r.Windows, r.Lost, r.Gained, r.RangeLost, r.RangeGained)
	fmt.Fprintf(out, "%.1f %% of the rows are so near to an alarm that they stay raw besides.\n", 100*r.NearAlarm)
	fmt.Fprintf(out, "The detectors asked for a closer bound in %d blocks and still tell something else of %d. Blocks by method: ", r.Closer, r.Untold)
	for i, m := range [...]string{"constant", "linear", "last", "filtered", "verbatim"} {
		if i > 0 {
			fmt.Fprint(out, ", ")
		}
		fmt.Fprintf(out, "%s %d", m, r.Methods[m])
	}
	_, err := fmt.Fprintf(out, ".\nEncoding %.1f MB/s, decoding %.1f MB/s, of CPU time and 8 bytes a value, without the detectors.\n", r.EncodeMBPerS, r.DecodeMBPerS)
	return err
}
