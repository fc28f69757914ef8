package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/internal/measure"
	"github.com/lamppost/lamppost/internal/node"
)

func exploreCmd() *cobra.Command {
	var space, out, report, against, refill, commit string
	var example, plan, retry, markdown, asJSON bool
	cmd := &cobra.Command{
		Use:   "explore --space FILE --out DIR",
		Short: "Measure what ordering readings costs, over a space of settings",
		Long: `Run the engines over a space of settings on this machine, members as processes of their own, and measure for each committed
reading: time until committed, CPU, bytes on wire and disk, messages, syncs, memory, and energy. Nothing is estimated of a
setting that was not run. docs/consensus.md says what each figure means.

Rows are durable one by one: a sweep that was broken off, by ctrl-C too, goes on when it is started again. The folder then
has rows.csv, rows.json and report.html. Other work on the machine makes the figures worse; each row says how much there was.`,
		Example: `  lamppost explore --example > space.yaml
  lamppost explore --space space.yaml --plan
  lamppost explore --space space.yaml --out ./sweep
  lamppost explore --report ./sweep --markdown
  lamppost explore --report ./sweep --refill docs/consensus.md
  lamppost explore --report ./sweep --against ./sweep-again`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case example:
				_, err := fmt.Fprint(cmd.OutOrStdout(), explore.Example)
				return err
			case against != "" && report == "":
				return usage(errors.New("explore: --against goes with --report: it names the sweep that is compared with that one"))
			case against != "":
				return exploreAgainst(cmd, report, against, asJSON)
			case report != "":
				return exploreReport(cmd, report, refill, markdown, asJSON)
			case space == "":
				return usage(errors.New("explore: give --space FILE with what to measure; --example prints one"))
			}
			text, err := os.ReadFile(space)
			if err != nil {
				return usage(fmt.Errorf("reading the space: %w; lamppost explore --example > space.yaml makes one", err))
			}
			if plan {
				return explorePlan(cmd, text)
			}
			if out == "" {
				return usage(errors.New("explore: give --out DIR for what comes of it, or --plan to see what would be run"))
			}
			if err := exploreCheck(text); err != nil {
				return usage(fmt.Errorf("%q: %w", space, err))
			}
			return sweep(cmd, explore.Options{Space: text, Dir: out, Retry: retry, Commit: cmp.Or(commit, revision()), Measure: measure.Point("")}, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&space, "space", "", "file that says what to measure")
	f.StringVar(&out, "out", "", "folder for what comes of it; made if it is not there")
	f.BoolVar(&example, "example", false, "print a space file with everything that can stand in one")
	f.BoolVar(&plan, "plan", false, "say what would be run, and how long it takes at least")
	f.BoolVar(&retry, "retry", false, "measure again what failed")
	f.StringVar(&commit, "commit", "", "which version is measured, for the rows (default: what the program knows)")
	f.StringVar(&report, "report", "", "folder of a sweep: write its report anew, measure nothing")
	f.StringVar(&against, "against", "", "with --report: folder of another sweep of the same space: say how far both rank alike, and write nothing")
	f.BoolVar(&markdown, "markdown", false, "with --report: print its tables for a document")
	f.StringVar(&refill, "refill", "", "with --report: put its tables into a document that has the marks for them")
	f.BoolVar(&asJSON, "json", false, "print all rows as one JSON object")
	return cmd
}

// revision is what this program was built of.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return node.Version()
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return node.Version()
}

func exploreCheck(text []byte) error {
	s, err := explore.ParseSpace(text)
	if err == nil {
		_, _, err = s.Points()
	}
	return err
}

func sweep(cmd *cobra.Command, o explore.Options, asJSON bool) error {
	bar := newProgress(cmd.ErrOrStderr())
	o.Progress = bar.set
	o.Failed = func(r explore.Row) {
		bar.end()
		fmt.Fprintln(cmd.ErrOrStderr(), printable(fmt.Sprintf("run %d (%s, %d members) failed: %s", r.Order, r.Engine, r.Nodes, r.Error)))
	}
	set, err := explore.Sweep(cmd.Context(), o)
	bar.end()
	switch {
	case errors.Is(err, explore.ErrOther):
		return usage(err)
	case cmd.Context().Err() != nil:
		return fmt.Errorf("broken off: %d rows are in %q; start it again and it goes on", len(set.Rows), o.Dir)
	case err != nil:
		return err
	case asJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(agreed(set))
	}
	failed := 0
	for _, r := range explore.Latest(set.Rows) {
		if r.Error != "" {
			failed++
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d rows are in %s: look at report.html there.\n", len(set.Rows), o.Dir)
	if failed > 0 {
		return fmt.Errorf("%d points failed, and their rows say why: --retry measures them again", failed)
	}
	return nil
}

func explorePlan(cmd *cobra.Command, text []byte) error {
	s, err := explore.ParseSpace(text)
	if err != nil {
		return usage(err)
	}
	points, left, err := s.Points()
	if err != nil {
		return usage(err)
	}
	runs := len(points) * s.Repetitions
	sending := time.Duration(float64(runs) * s.Seconds * float64(time.Second)).Round(time.Second)
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d points, %d runs. Sending alone takes %s; founding, enrolling and signing come on top, some 2 to 5 s a run.\n"+
		"%d combinations cannot be and are left out.\n", len(points), runs, sending, left)
	return err
}

// agreed is what --json prints: a set, and whether its repetitions agree.
func agreed(set *explore.Set) any {
	return struct {
		*explore.Set
		Agreement []explore.Agreement `json:"agreement,omitempty"`
	}{set, set.Agreement()}
}

func exploreAgainst(cmd *cobra.Command, dir, other string, asJSON bool) error {
	one, err := explore.Load(dir)
	if err != nil {
		return usage(err)
	}
	two, err := explore.Load(other)
	if err != nil {
		return usage(err)
	}
	all, err := one.Against(two)
	if err != nil {
		return usage(err)
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"v": explore.Version, "agreement": all})
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), explore.AgreementMarkdown(all))
	return err
}

func exploreReport(cmd *cobra.Command, dir, refill string, markdown, asJSON bool) error {
	set, err := explore.Load(dir)
	if err != nil {
		return usage(err)
	}
	switch {
	case asJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(agreed(set))
	case markdown:
		_, err := fmt.Fprint(cmd.OutOrStdout(), set.Markdown())
		return err
	case refill != "":
		text, err := os.ReadFile(refill)
		if err != nil {
			return usage(err)
		}
		full, err := explore.Refill(string(text), set.Markdown())
		if err != nil {
			return usage(fmt.Errorf("%q: %w", refill, err))
		}
		return os.WriteFile(refill, []byte(full), 0o644)
	}
	if err := set.Write(dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d rows: the report is in %s.\n", len(set.Rows), dir)
	return err
}
