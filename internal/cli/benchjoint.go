package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchBATADALCmd() *cobra.Command {
	o := measure.JointOptions{}
	cmd := &cobra.Command{
		Use:   "batadal",
		Short: "What judging quantities together finds of attacks on a water network",
		Long: `Run the model that judges several quantities together over the water network of the Battle of the Attack Detection Algorithms, as
a node runs it: causal, learning all the while, one setting for all data, no label known. It sees a year without attacks (dataset 3) and
is marked on the half year with seven attacks that follows (dataset 4). Settings were chosen on the first four attacks; docs/intelligence.md
tells what the figures mean.

The folder of data sets holds a folder batadal with dataset03_and_04_labelled.csv; it may be compressed with gzip.`,
		Example: `  lamppost bench batadal --sets data
  lamppost bench batadal --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "BATADAL does", "folder of data sets, with BATADAL in batadal", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.BATADALResult, error) {
		o.Progress = progress
		return measure.BATADAL(ctx, o)
	}, printBATADAL)
}

func printBATADAL(out io.Writer, r *measure.BATADALResult) error {
	const columns = "%-7s %-4s %6s %7s %8s %7s  %s\n"
	fmt.Fprintf(out, columns, "attack", "half", "hours", "delay", "flagged", "alarms", "first alarm")
	for i, a := range r.Attacks {
		delay := fmt.Sprint(a.Delay)
		if !a.Found {
			delay = "–"
		}
		fmt.Fprintf(out, columns, fmt.Sprint(i+1), a.Half, fmt.Sprint(a.Hours), delay, fmt.Sprint(a.Flagged), fmt.Sprint(a.Alarms), a.AlarmSays)
	}
	fmt.Fprintf(out, "AUC %.3f over %d rows; the half that settings were chosen on %.3f, the other %.3f.\n", r.AUC, r.Rows, r.HalfA, r.HalfB)
	fmt.Fprintf(out, "At the level %.2f: S %.3f, of it time to detection %.3f and classification %.3f (%.1f %% of hours under attack flagged, %.1f %% of the others);\n%d false alarms.\n",
		r.Level, r.S, r.STTD, r.SCLF, 100*r.TPR, 100*(1-r.TNR), r.FalseAlarms)
	return printJointCost(out, r.USPerRow, r.Quantities, r.Bytes, r.StateBytes)
}

func printJointCost(out io.Writer, us float64, quantities, bytes, state int) error {
	_, err := fmt.Fprintf(out, "%.1f µs of CPU a row of %d quantities, %d bytes a vector (%d saved).\n", us, quantities, bytes, state)
	return err
}

func benchSKABCmd() *cobra.Command {
	o := measure.JointOptions{}
	cmd := &cobra.Command{
		Use:   "skab",
		Short: "What judging quantities together finds of a valve that closes on a water rig",
		Long: `Run the model that judges several quantities together over the runs of the Skoltech Anomaly Benchmark (SKAB 0.9) with valve 1, as a
node runs it: causal, one setting and one level for all runs. The first 400 rows of each run do not count, as SKAB trains on them; F1 is by
the rows after them, all runs together. Settings were chosen on the runs with even numbers; docs/intelligence.md tells what the figures mean.

The folder of data sets holds a folder skab/valve1 with the runs (github.com/waico/SKAB); they may be compressed with gzip.`,
		Example: `  lamppost bench skab --sets data
  lamppost bench skab --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "SKAB does", "folder of data sets, with SKAB in skab", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.SKABResult, error) {
		o.Progress = progress
		return measure.SKAB(ctx, o)
	}, printSKAB)
}

func printSKAB(out io.Writer, r *measure.SKABResult) error {
	const columns = "%-4s %-4s %6s %7s %6s  %s\n"
	fmt.Fprintf(out, columns, "run", "half", "F1", "delay", "false", "first alarm")
	for _, x := range r.Each {
		delay := fmt.Sprint(x.Delay)
		if !x.Found {
			delay = "–"
		}
		fmt.Fprintf(out, columns, x.Run, x.Half, fmt.Sprintf("%.2f", x.F1), delay, fmt.Sprint(x.FalseAlarms), x.AlarmSays)
	}
	fmt.Fprintf(out, "At the level %.2f: F1 %.3f over %d rows (precision %.2f, recall %.2f; false %.1f %%, missed %.1f %%); the runs that settings were chosen on\n%.3f, the others %.3f. Every row flagged would make %.3f.\n",
		r.Level, r.OutlierF1, r.Rows, r.Precision, r.Recall, 100*r.FAR, 100*r.MAR, r.HalfA, r.HalfB, r.AllBad)
	fmt.Fprintf(out, "With the level that is best for the former, %.3f: F1 %.3f, the others %.3f.\n", r.BestLevel, r.Best, r.HeldOut)
	return printJointCost(out, r.USPerRow, 8, r.Bytes, r.StateBytes)
}
