package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchFederateCmd() *cobra.Command {
	o := measure.FederateOptions{}
	cmd := &cobra.Command{
		Use:   "federate",
		Short: "What gateways that learn together know, and what liars among them do to it",
		Long: `Spread public series over gateways, by chance and by season, home or channel, let each learn from what it has and merge what they send; and
compare the merged weights with those learnt in one place. Then a tenth, a fifth and three tenths of the gateways lie, in several ways and with
one mind; what the merged weights miss on the last fifth of each series is compared with what they miss where nobody lies, with and
without leaving out who spoils the model. At last gateways belong to members: some have many; and one of ten members lies through up to fifty gateways. docs/learning.md tells what the figures mean.

The folder of data sets holds the folders that bench forecast reads; files may be compressed with gzip.`,
		Example: `  lamppost bench federate --sets data
  lamppost bench federate --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "series to learn from do", "folder of data sets", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.FederateResult, error) {
		o.Progress = progress
		return measure.Federate(ctx, o)
	}, printFederate)
}

func printFederate(out io.Writer, r *measure.FederateResult) error {
	fmt.Fprintf(out, "%-26s %8s %8s %9s %8s %8s  %-14s %8s %8s %7s\n", "split", "gateways", "rows", "gap", "alone", "left out", "worst of 20 %", "rise", "without", "caught")
	for _, s := range r.Splits {
		worst := measure.FederateAttack{Rise: -1}
		for _, a := range s.Attacks {
			if a.Poisoned >= 0.2 && a.Poisoned < 0.28 && a.Rise > worst.Rise {
				worst = a
			}
		}
		fmt.Fprintf(out, "%-26s %8d %8d %9.1e %+7.1f%% %8d  %-14s %+7.1f%% %+7.0f%% %6.0f%%\n", s.Name, s.Gateways, s.Rows, s.Gap, 100*s.Alone, s.LeftOut, worst.Attack,
			100*worst.Rise, 100*worst.Undefended, 100*worst.Caught)
	}
	fmt.Fprintf(out, "Farthest from central learning: %.1e. %d honest updates were left out where nobody lied.\n", r.Gap, r.HonestOut)
	fmt.Fprintf(out, "Errors rise with a tenth, a fifth and three tenths of liars by at most %.1f, %.1f and %.1f %%; merged without defence by up to %.0f, %.0f and %.0f %%.\n",
		100*r.Rise10, 100*r.Rise20, 100*r.Rise30, 100*r.Undefended10, 100*r.Undefended20, 100*r.Undefended30)
	fmt.Fprintf(out, "Where members have unequal numbers of gateways: farthest from central learning %.1e. A fifth of liars among members with two gateways each: at most %.1f %%.\n", r.MembersGap, 100*r.Scattered20)
	fmt.Fprintf(out, "One member of ten that lies raises errors by at most %.1f %% through one gateway, %.1f, %.1f and %.1f %% through 5, 20 and 50; were gateways counted, by %.1f %%.\n",
		100*r.Sybil1, 100*r.Sybil5, 100*r.Sybil20, 100*r.Sybil50, 100*r.ByGateway50)
	_, err := fmt.Fprintf(out, "%d round; %d bytes an update, %d a gateway for a day ahead; %.1f ms of CPU to merge one horizon.\n", r.Rounds, r.Bytes, r.RoundBytes, r.MergeMS)
	return err
}
