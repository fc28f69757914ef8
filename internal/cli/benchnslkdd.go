package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchNSLKDDCmd() *cobra.Command {
	o := measure.NSLKDDOptions{}
	cmd := &cobra.Command{
		Use:   "nslkdd",
		Short: "What the model of devices' behaviour finds in NSL-KDD's network intrusions",
		Long: `Let the model that judges devices' behaviour learn the normal records of NSL-KDD's training file, as if they were a device's kin, and
score the test file, which has attacks of kinds that training has not. No label of an attack is used. docs/intelligence.md tells how
settings were chosen, and what the figures mean.

The folder of data sets holds NSL-KDD's text files (KDDTrain+.txt or KDDTrain+_20Percent.txt, KDDTest+.txt, KDDTest-21.txt) in a folder
nsl-kdd; files may be compressed with gzip.`,
		Example: `  lamppost bench nslkdd --sets data
  lamppost bench nslkdd --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "NSL-KDD does", "folder of data sets, with NSL-KDD in nsl-kdd", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.NSLKDDResult, error) {
		o.Progress = progress
		return measure.NSLKDD(ctx, o)
	}, printNSLKDD)
}

func printNSLKDD(out io.Writer, r *measure.NSLKDDResult) error {
	const columns = "%-20s %8s %7s %7s\n"
	fmt.Fprintf(out, columns, "attacks", "records", "AUC", "found")
	for _, c := range r.Classes {
		fmt.Fprintf(out, columns, c.Class, fmt.Sprint(c.Records), fmt.Sprintf("%.4f", c.AUC), fmt.Sprintf("%.1f %%", 100*c.Found))
	}
	fmt.Fprintf(out, "KDDTest+, %d records, after %d normal ones of %s: AUC %.4f (KDDTest-21: %.4f; held back in training: %.4f).\n",
		r.Tested, r.Learnt, r.Training, r.AUC, r.Hard, r.HeldUp)
	_, err := fmt.Fprintf(out, "At the level that 5 %% of held-back normal records reach: accuracy %.1f %%, %.1f %% of attacks found, %.1f %% of normal records alarm.\n%d features a record, %.1f features per µs of CPU.\n",
		100*r.Accuracy, 100*r.Caught, 100*r.False, r.Features, r.FeaturesPerUS)
	return err
}
