package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchForecastCmd() *cobra.Command {
	o := measure.ForecastOptions{}
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "How good forecasts of load, traffic, light, water and prices are",
		Long: `Forecast public series as a node will: one reading after the other, one setting for all, nothing known of what comes. Errors are mean absolute
errors in the unit of each file, over all steps ahead, from every step and from each midnight; beside them stands what was a day or a week
before. Ranges are meant to hold nine of ten values; their width, and the score that is this and 20 times what is beyond them, are in mean absolute
errors from every step. ETTh1 is measured by its published protocol. docs/intelligence.md tells what the figures mean.

The folder of data sets holds the folders citylearn-2022, epf-prices, ett, household-power, nab, occupancy-light, traffic-metro and
water-wellington; files may be compressed with gzip.`,
		Example: `  lamppost bench forecast --sets data
  lamppost bench forecast --sets data --training --json`,
	}
	cmd.Flags().BoolVar(&o.Training, "training", false, "measure the end of the training periods, on which settings were chosen")
	return overSets(cmd, &o.Sets, "series to forecast do", "folder of data sets", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.ForecastResult, error) {
		o.Progress = progress
		return measure.Forecast(ctx, o)
	}, printForecast)
}

func printForecast(out io.Writer, r *measure.ForecastResult) error {
	const columns = "%-10s %-44s %10s %10s %10s %10s %8s %6s %6s\n"
	fmt.Fprintf(out, columns, "set", "series", "every step", "midnight", "day before", "week before", "in range", "width", "score")
	cell := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	for _, s := range r.Series {
		fmt.Fprintf(out, columns, s.Set, s.Name, cell(s.Every), cell(s.MAE), cell(s.Day), cell(s.Week), fmt.Sprintf("%.1f %%", 100*s.Coverage), fmt.Sprintf("%.2f", s.Width), fmt.Sprintf("%.2f", s.Interval))
	}
	for _, y := range r.Young {
		fmt.Fprintf(out, "%s begun anew %d times, third to eighth day: %.1f %% in range, width %.2f, score %.2f.\n", y.Set, y.Begun, 100*y.Coverage, y.Width, y.Interval)
	}
	for _, s := range r.Series {
		if s.DNN > 0 {
			fmt.Fprintf(out, "%s from midnight: %.2f; naive %.2f, LEAR %.2f, DNN %.2f.\n", s.Name, s.MAE, s.Naive, s.LEAR, s.DNN)
		}
	}
	fmt.Fprintf(out, "ETTh1, 96 hours ahead: MSE %.4f, MAE %.4f, standardised. Farthest from 90 %%: %.1f %% in the range.\n", r.ETTh1MSE, r.ETTh1MAE, 100*r.Coverage)
	_, err := fmt.Fprintf(out, "%.1f µs of CPU an observation, %.1f a forecast of all steps; at most %d bytes a series (%d saved); %d observations.\n",
		r.USPerObservation, r.USPerForecast, r.Bytes, r.StateBytes, r.Observations)
	return err
}
