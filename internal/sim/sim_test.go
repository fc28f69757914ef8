package sim_test

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/sim"
)

var (
	seeds = flag.Uint64("sim.seeds", 50, "how many seeds to simulate")
	first = flag.Uint64("sim.seed", 1, "the first of them")
	steps = flag.Int("sim.steps", 0, "things that happen in each; 0: as usual")
)

// regressions are seeds that once broke a rule, with what it was.
var regressions = []struct {
	name string
	sim.Options
}{
	{"a key changed while a checked segment was under way", sim.Options{Seed: 2, Steps: 600}},
	{"a member that lagged refused reports under a key it had not heard of", sim.Options{Seed: 156, Members: 3, Engine: lamppost.Raft, Steps: 150}},
	{"a block was durable and the write that made it so had failed", sim.Options{Seed: 1, Steps: 600}},
	{"a store that began anew published an empty log", sim.Options{Seed: 171, Members: 4, Engine: lamppost.Comet, Steps: 150}},
	{"a failed write was thought to have replaced what rotted", sim.Options{Seed: 109, Members: 4, Engine: lamppost.Comet, Steps: 150}},
	{"a leader that began with an empty store did not know what was decided", sim.Options{Seed: 6965, Members: 4, Engine: lamppost.Comet, Steps: 150}},
	{"a member with a new log was asked about a block it had applied", sim.Options{Seed: 175, Members: 4, Engine: lamppost.Comet, Steps: 150}},
}

func run(t *testing.T, o sim.Options) sim.Result {
	t.Helper()
	res, err := sim.Run(o)
	if err != nil {
		t.Errorf("seed %d: %v\nto see it again: lamppost sim --seed %d --members %d --engine %v --steps %d -v",
			o.Seed, err, o.Seed, max(o.Members, 1), o.Engine, o.Steps)
	}
	return res
}

// No seed breaks a rule, whatever goes wrong in it; and enough goes wrong.
func TestSeeds(t *testing.T) {
	t.Parallel()
	tally, err := sim.Sweep(t.Context(), sim.Plan{From: *first, N: *seeds, Worlds: sim.Worlds[:], Steps: *steps, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	if v := tally.Found; v != nil {
		t.Fatalf("seed %d, %d members by %v: %v", v.Options.Seed, v.Options.Members, v.Options.Engine, v)
	}
	sum := tally.Sum
	t.Logf("%d seeds: %+v", tally.Seeds, sum)
	for what, n := range map[string]int{"resends": sum.Resent, "refusals": sum.Refused, "changes of keys": sum.Rotated, "halved segments": sum.Halved,
		"revocations": sum.Revoked, "crashes": sum.Crashes, "failed writes": sum.Faults, "checkpoints": sum.Checkpoints, "elections": sum.Leaders,
		"partitions": sum.Partitions, "restored snapshots": sum.Restored, "losses": sum.Lost, "empty stores": sum.Emptied} {
		if *seeds >= 50 && n == 0 {
			t.Errorf("the world was too kind: there were no %s", what)
		}
	}
}

// Seeds that once found something go on being asked.
func TestRegressions(t *testing.T) {
	t.Parallel()
	for _, r := range regressions {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			run(t, r.Options)
		})
	}
}

// A seed is a world: the same happens again, down to the root and in the same order.
func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	for _, world := range sim.Worlds {
		o := world.Of(7)
		a := run(t, o)
		if b := run(t, o); a != b || a.Root.IsZero() || a.Trace.IsZero() {
			t.Errorf("%d members, seed %d: %+v, then %+v", o.Members, o.Seed, a, b)
		}
		if other := run(t, world.Of(8)); a.Root == other.Root || a.Trace == other.Trace {
			t.Errorf("%d members: two seeds, one world", o.Members)
		}
	}
}

// A sweep that is interrupted tells what it did, and that it was; one that finds something tells the lowest of the seeds it found.
func TestSweep(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := sim.Plan{From: 3, N: 1000, Worlds: sim.Worlds[:1], Steps: 20, Parallel: 2, Done: func(done, _ uint64) {
		if done == 3 {
			cancel()
		}
	}}
	if tally, err := sim.Sweep(ctx, p); err == nil || tally.Found != nil || tally.Seeds < 3 || tally.Seeds > 4 {
		t.Errorf("interrupted after 3 seeds: %+v, %v", tally, err)
	}
	p.Done, p.Broken = nil, sim.AckAfterCommit
	p.Steps = 100
	if tally, err := sim.Sweep(t.Context(), p); err != nil || tally.Found == nil || tally.Found.Options.Seed < 3 || len(tally.Found.Events) == 0 {
		t.Errorf("with a broken rule: %+v, %v", tally, err)
	}
}

// slow says where to begin where the first seeds that notice come late.
var slow = map[string]uint64{"atomic-writes/comet": 48, "loss-noticed/raft": 26}

// Whoever breaks a rule is found out within some seeds: the checks can fail.
func TestBrokenRulesAreFound(t *testing.T) {
	t.Parallel()
	for rule, name := range sim.RuleNames {
		for _, world := range sim.Worlds {
			if rule == int(sim.None) || world.Members == 1 && rule >= int(sim.Majority) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%v", name, world.Engine), func(t *testing.T) {
				t.Parallel()
				from := slow[fmt.Sprintf("%s/%v", name, world.Engine)]
				for seed := from; seed < from+40; seed++ {
					o := world.Of(seed)
					o.Broken = sim.Rule(rule)
					if _, err := sim.Run(o); err != nil {
						t.Logf("seed %d: %.200s", seed, err)
						return
					}
				}
				t.Error("40 seeds did not notice")
			})
		}
	}
}
