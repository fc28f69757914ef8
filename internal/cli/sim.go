package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/sim"
)

const maxSimMembers = 7

// A simulation is what the flags of sim say.
type simulation struct {
	plan    sim.Plan
	seed    uint64
	members int
	engine  string
	broken  string
	verbose bool
	asJSON  bool
}

func simCmd() *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "sim (--seeds N [--from S] | --seed S [-v])",
		Short: "Look for bugs: run simulated networks in worlds that are against them",
		Long: `Run networks whose devices, members, disks and clocks are simulated and whose rules are this program's own, in worlds in which
messages get lost, doubled and late, members crash and are cut off, disks fail, fill up, lie and rot. What happens follows from the
seed alone. In turn, a member is alone, three order by a model of raft, or four by one of CometBFT; --members and --engine choose.

A seed that breaks a rule ends the search. It is told with the last events and the command that shows it again: it is a bug of this
program, please report it. --break shows what that looks like.

Exit status: 0 every rule was kept; 1 one was broken, or the search was interrupted; 2 wrong usage.`,
		Example: `  lamppost sim --seeds 10000
  lamppost sim --seed 17 --members 3 -v`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.check(cmd); err != nil {
				return usage(err)
			}
			return s.run(cmd)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&s.plan.N, "seeds", 1000, "how many seeds to simulate")
	f.Uint64Var(&s.plan.From, "from", 1, "the first of them")
	f.Uint64Var(&s.seed, "seed", 0, "simulate this seed alone")
	f.IntVar(&s.members, "members", 0, fmt.Sprintf("members of every network: 1, or 3 to %d (default: as the seed says)", maxSimMembers))
	f.StringVar(&s.engine, "engine", "", "what they order by: solo, raft or comet (default: as --members says, comet from 4 on)")
	f.IntVar(&s.plan.Steps, "steps", 0, "things that happen before the world calms down (default: 300 to one member, 150 to several)")
	f.IntVar(&s.plan.Parallel, "parallel", runtime.GOMAXPROCS(0), "runs at once")
	f.StringVar(&s.broken, "break", "none", "make the members break a rule, to see it noticed: "+strings.Join(sim.RuleNames[1:], ", "))
	f.BoolVarP(&s.verbose, "verbose", "v", false, "tell everything that happens, with --seed")
	f.BoolVar(&s.asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("seeds", "seed")
	cmd.MarkFlagsMutuallyExclusive("from", "seed")
	return cmd
}

// check refuses what cannot be simulated, and completes the plan.
func (s *simulation) check(cmd *cobra.Command) error {
	rule := slices.Index(sim.RuleNames[:], s.broken)
	one := cmd.Flags().Changed("seed")
	switch {
	case rule < 0:
		return fmt.Errorf("there is no rule %q to break: %s", s.broken, strings.Join(sim.RuleNames[1:], ", "))
	case s.plan.N == 0 || s.plan.Parallel < 1 || s.plan.Steps < 0:
		return fmt.Errorf("a search needs a seed, a run at once, and steps")
	case s.verbose && !one:
		return fmt.Errorf("-v tells the story of one run: say which with --seed")
	}
	s.plan.Broken = sim.Rule(rule)
	if one {
		s.plan.From, s.plan.N = s.seed, 1
	}
	world, err := s.world(cmd)
	s.plan.Worlds = world
	return err
}

// world says which networks there are.
func (s *simulation) world(cmd *cobra.Command) ([]sim.World, error) {
	if s.engine == "" && s.members == 0 && !cmd.Flags().Changed("members") {
		return sim.Worlds[:], nil
	}
	x := sim.World{Members: s.members}
	switch s.engine {
	case "":
		if x.Engine = lamppost.Comet; x.Members < 4 {
			x.Engine = lamppost.Raft
		}
		if x.Members == 1 {
			x.Engine = lamppost.Solo
		}
	default:
		var err error
		if x.Engine, err = lamppost.ParseEngine(s.engine); err != nil {
			return nil, err
		}
	}
	if !cmd.Flags().Changed("members") {
		x.Members = [...]int{1, 3, 4}[x.Engine]
	}
	if (x.Engine == lamppost.Solo) != (x.Members == 1) || x.Members < 1 || x.Members == 2 || x.Members > maxSimMembers {
		return nil, fmt.Errorf("%d members by %s are not simulated: 1 by solo, or 3 to %d by raft or comet", x.Members, x.Engine, maxSimMembers)
	}
	return []sim.World{x}, nil
}

// run simulates and reports.
func (s *simulation) run(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	if s.verbose && !s.asJSON {
		s.plan.Tell = func(event string) { fmt.Fprintln(out, printable(event)) }
	}
	bar := newProgress(cmd.ErrOrStderr())
	start := time.Now()
	s.plan.Done = func(done, all uint64) {
		bar.rate = fmt.Sprintf("%.0f a second", float64(done)/time.Since(start).Seconds())
		bar.set(int64(done), int64(all), "seeds")
	}
	tally, err := sim.Sweep(cmd.Context(), s.plan)
	bar.end()
	took := time.Since(start)
	if perr := s.report(out, &tally, took); perr != nil {
		return perr
	}
	switch v := tally.Found; {
	case v != nil:
		return &ExitError{ExitFailed, fmt.Errorf("seed %d broke a rule; to see it again: %s", v.Options.Seed, again(v.Options))}
	case err != nil:
		return &ExitError{ExitFailed, fmt.Errorf("interrupted after %d of %d seeds", tally.Seeds, s.plan.N)}
	}
	return nil
}

// again is the command that simulates the same once more.
func again(o sim.Options) string {
	c := fmt.Sprintf("lamppost sim --seed %d --members %d --engine %s --steps %d -v", o.Seed, o.Members, o.Engine, o.Steps)
	if o.Broken != sim.None {
		c += " --break " + sim.RuleNames[o.Broken]
	}
	return c
}

// A simReport is what sim prints as JSON.
type simReport struct {
	Seeds   uint64     `json:"seeds"`
	Seconds float64    `json:"seconds"`
	Sum     sim.Result `json:"sum"` // of one seed, with the root and the trace
	Found   *simFound  `json:"found,omitempty"`
}

type simFound struct {
	Seed    uint64 `json:"seed"`
	Command string `json:"command"`
	*sim.Violation
}

func (s *simulation) report(out io.Writer, t *sim.Tally, took time.Duration) error {
	if s.asJSON {
		r := simReport{Seeds: t.Seeds, Seconds: took.Seconds(), Sum: t.Sum}
		if v := t.Found; v != nil {
			r.Found = &simFound{v.Options.Seed, again(v.Options), v}
		}
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	if v := t.Found; v != nil {
		if !s.verbose {
			fmt.Fprintln(out, printable(strings.Join(v.Events, "\n")))
		}
		fmt.Fprintf(out, "Seed %d, members %d, engine %s: %s\n", v.Options.Seed, v.Options.Members, v.Options.Engine, printable(v.What))
		return nil
	}
	r := &t.Sum
	n := func(i int) string { return grouped(int64(i)) }
	fmt.Fprintf(out, "%s seeds kept every rule, in %s.\n", grouped(int64(t.Seeds)), took.Round(10*time.Millisecond))
	fmt.Fprintf(out, "%s reports and %s orders in %s blocks; %s checkpoints; %s snapshots, %s of them restored.\n",
		n(r.Reports), n(r.Orders), n(r.Blocks), n(r.Checkpoints), n(r.Snapshots), n(r.Restored))
	_, err := fmt.Fprintf(out, "%s crashes, %s failed writes, %s partitions, %s elections, %s losses of what was durable, %s stores begun anew.\n",
		n(r.Crashes), n(r.Faults), n(r.Partitions), n(r.Leaders), n(r.Lost), n(r.Emptied))
	return err
}
