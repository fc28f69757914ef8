package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchFraudCmd() *cobra.Command {
	o := measure.FraudOptions{}
	cmd := &cobra.Command{
		Use:   "fraud",
		Short: "What the rules of plausibility find of frauds and faults in real series of meters",
		Long: `Put frauds and faults into real series of meters, always the same ones, and count what the rules of plausibility find of them, how
soon, and what they say of the series as they are. Settings were chosen on half a of the homes and days; half b is the proof.
docs/intelligence.md tells what the figures mean.

The folder of data sets holds the folders citylearn-2022 (Building_1.csv to Building_12.csv), household-power
(household_power_hourly.csv) and water-wellington (water_per_capita_daily.csv); files may be compressed with gzip.`,
		Example: `  lamppost bench fraud --sets data
  lamppost bench fraud --sets data --late 5m --json
  lamppost bench fraud --sets data --behind 0.3`,
	}
	cmd.Flags().IntVar(&o.Seeds, "seeds", measure.FraudSeeds, "how often each kind is put into each meter")
	cmd.Flags().DurationVar(&o.Late, "late", measure.FraudLate, "after the hour, that a meter is read at most")
	cmd.Flags().Float64Var(&o.Behind, "behind", 0, "share of the readings that come after younger ones, up to a day later")
	return overSets(cmd, &o.Sets, "series of meters do", "folder of data sets", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.FraudResult, error) {
		if o.Seeds < 1 || o.Seeds > 1000 {
			return nil, usage(fmt.Errorf("--seeds %d: it is from 1 to 1000", o.Seeds))
		}
		if o.Late < 0 || o.Late >= time.Hour {
			return nil, usage(fmt.Errorf("--late %v: it is from 0 to less than an hour", o.Late))
		}
		if !(o.Behind >= 0 && o.Behind <= 0.9) {
			return nil, usage(fmt.Errorf("--behind %v: it is a share from 0 to 0.9", o.Behind))
		}
		o.Progress = progress
		return measure.Fraud(ctx, o)
	}, printFraud)
}

func printFraud(out io.Writer, r *measure.FraudResult) error {
	const columns = "%-16s %5s %-15s %-4s %5s %7s %7s %7s %9s %7s\n"
	fmt.Fprintf(out, columns, "kind", "size", "among", "half", "put", "24 h", "7 d", "28 d", "median h", "named")
	for _, list := range [][]measure.FraudKind{r.Hard, r.Apart, r.Bypass, r.Leaks, r.Water, r.Controls} {
		for _, k := range list {
			size := ""
			if k.Size > 0 {
				size = fmt.Sprintf("%.0f %%", 100*k.Size)
			}
			share := func(n int) string { return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(max(1, k.Put))) }
			fmt.Fprintf(out, columns, k.Kind, size, k.Among, k.Half, fmt.Sprint(k.Put), share(k.Day), share(k.Week), share(k.Month),
				fmt.Sprintf("%.0f", k.Median), fmt.Sprintf("%d/%d", k.Named, k.Named+k.Wrong))
		}
	}
	for _, a := range r.Alarms {
		fmt.Fprintf(out, "%s as it is (half %s): %d hard and %d soft alarms in %.0f meter-weeks %v\n", a.Sites, a.Half, a.Hard, a.Soft, a.MeterWeeks, a.Codes)
	}
	fmt.Fprintf(out, "Hard kinds in hourly series: %.1f %% found within 24 h (half b %.1f %%); %d false alarms (half b %d) in %.0f meter-weeks, %.2f for\n1,000 meters and week; of the soft rules %.1f.\n",
		100*r.Found, 100*r.HeldOut, r.FalseAlarms, r.HeldOutFalse, r.MeterWeeks, r.FalsePer1000Week, r.SoftPer1000Week)
	_, err := fmt.Fprintf(out, "%.2f µs of CPU a reading, %d bytes a meter (%d saved).\n", r.USPerReading, r.BytesPerMeter, r.StateBytes)
	return err
}
