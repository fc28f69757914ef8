//go:build !small

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/internal/measure"
)

// adviseResult is what bench advise prints: how well is chosen of held-out cells by what settings cost, the same by energy, and what came of
// running what was advised.
type adviseResult struct {
	advise.HeldOut
	Objectives []advise.HeldOut `json:"objectives"` // all others
	*advise.Tried
}

func benchAdviseCmd() *cobra.Command { return benchAdviseBy(measure.Point("")) }

// pointMeasure measures one point of a space.
type pointMeasure = func(context.Context, *explore.Space, explore.Point) (explore.Figures, error)

func benchAdviseBy(point pointMeasure) *cobra.Command {
	var rows string
	var asJSON bool
	o := advise.TryOptions{Measure: point}
	cmd := &cobra.Command{
		Use:   "advise --rows FILE|DIR",
		Short: "How well settings are chosen that nobody measured",
		Long: `Leave each cell of a sweep (so many readings a second asked for, at such a distance) out as a whole, choose for it from the other rows, and
compare with the best that was measured in it; the same by simple rules. With --run, draw fleets by chance, within what was measured, run what
is advised for each on this machine, which should have nothing else to do, and see whether throughput and p99 are as predicted.
docs/advise.md tells what the figures mean.`,
		Example: `  lamppost bench advise --rows bench/results/2026-11-26-explore.json
  lamppost bench advise --rows ./sweep --json
  lamppost bench advise --rows ./sweep --run 20 --seed 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case rows == "":
				return usage(errors.New("bench advise: say with --rows where rows are: the folder of a sweep, or its rows.json"))
			case o.Profiles < 0 || o.Profiles > 1000:
				return usage(fmt.Errorf("--run %d: it is from 0 to 1000", o.Profiles))
			}
			set, err := explore.Load(rows)
			if err != nil {
				return usage(err)
			}
			res, err := benchAdvise(cmd, set, o)
			switch {
			case err != nil:
				return err
			case asJSON:
				return json.NewEncoder(cmd.OutOrStdout()).Encode(res)
			}
			return printAdvise(cmd.OutOrStdout(), res)
		},
	}
	f := cmd.Flags()
	f.StringVar(&rows, "rows", "", "what was measured: the folder of a sweep, or its rows.json")
	f.IntVar(&o.Profiles, "run", 0, "fleets to draw and to run what is advised for; each takes some 5 to 10 s")
	f.Uint64Var(&o.Seed, "seed", 1, "of the fleets that are drawn")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func benchAdvise(cmd *cobra.Command, set *explore.Set, o advise.TryOptions) (*adviseResult, error) {
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	prices, err := advise.ShippedCatalogue()
	if err != nil {
		return nil, err
	}
	cost := advise.ByCost(prices)
	held, err := advise.Evaluate(cmd.Context(), set, []advise.Objective{cost, advise.ByEnergy(set.Space.Energy)}, bar.set)
	if err != nil {
		return nil, err
	}
	res := &adviseResult{HeldOut: held[0], Objectives: held[1:]}
	if o.Profiles == 0 {
		return res, nil
	}
	m, err := advise.Open(set)
	if err != nil {
		return nil, err
	}
	o.Space, o.Cost, o.Progress = set.Space, cost.Cost, bar.set
	res.Tried, err = m.Try(cmd.Context(), o)
	return res, err
}

func printAdvise(out io.Writer, r *adviseResult) error {
	const columns = "%-22s %9s %10s %10s %9s %14s %12s %12s %12s\n"
	for _, h := range append([]advise.HeldOut{r.HeldOut}, r.Objectives...) {
		for _, part := range []struct {
			what   string
			scores []advise.Score
		}{{"held-out cells of the grid", append([]advise.Score{h.Score}, h.Baselines...)}, {"other held-out cells", h.Others}} {
			fmt.Fprintf(out, "%s, by %s\n", part.what, h.Objective)
			fmt.Fprintf(out, columns, "chosen by", "problems", "abstained", "violations", "hopeless", "regret median", "mean", "all: median", "mean")
			for _, s := range part.scores {
				share := func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
				fmt.Fprintf(out, columns, s.Name, fmt.Sprint(s.Problems), fmt.Sprint(s.Abstained), fmt.Sprint(s.Violations), fmt.Sprint(s.Hopeless), share(s.RegretMedian), share(s.RegretMean), share(s.AllMedian), share(s.AllMean))
			}
		}
	}
	for _, c := range r.Coverage {
		fmt.Fprintf(out, "%s: %.1f %% of %d rows in intervals predicted without their cells; half of the intervals reach to %.2f times their middle at most\n", c.Figure, 100*c.Share, c.Rows, c.Factor)
	}
	if r.Tried == nil {
		return nil
	}
	for i := range r.Trials {
		fmt.Fprintln(out, printable(trialLine(&r.Trials[i])))
	}
	_, err := fmt.Fprintf(out, "%d of %d fleets measured throughput and p99 in their intervals, %d no worse; %d within the latency asked for\n", r.Met, r.Tried.Profiles, r.Kept, r.InTime)
	return err
}

func trialLine(t *advise.Trial) string {
	p, word := &t.Point, "met"
	if !t.Met {
		word = "NOT met"
	}
	if t.Error != "" {
		return fmt.Sprintf("%s: %s: %s", word, p.Engine, t.Error)
	}
	per, p99 := t.Prediction.PerS, t.Prediction.P99
	return fmt.Sprintf("%s: %.0f readings/s in %.0f ms by %s: %s, %d reports/s of %d, %s, linger %g ms, rtt %g ms: %.0f readings/s (%.0f to %.0f), p99 %.0f ms (%.0f to %.0f)",
		word, t.Need.ReadingsPerS, t.Need.LatencyMS, strings.Join(t.Engines, "|"), p.Engine, p.Rate, p.Readings, p.Suites, p.LingerMS, p.RTTMS,
		t.Figures.PerS, per.Low, per.High, t.Figures.P99, p99.Low, p99.High)
}
