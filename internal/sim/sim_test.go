package sim_test

import (
	"flag"
	"testing"

	"github.com/lamppost/lamppost/internal/sim"
)

var (
	seeds = flag.Uint64("sim.seeds", 50, "how many seeds to simulate")
	first = flag.Uint64("sim.seed", 1, "the first of them")
	steps = flag.Int("sim.steps", 0, "things that happen in each; 0: as usual")
)

// regressions are seeds that once broke a rule.
var regressions = []struct {
	name string
	sim.Options
}{
	{"a key changed while a checked segment was under way", sim.Options{Seed: 2, Steps: 600}},
}

func run(t *testing.T, o sim.Options) sim.Result {
	t.Helper()
	res, err := sim.Run(o)
	if err != nil {
		t.Errorf("seed %d: %v\nto see it again: go test ./internal/sim -run TestSeeds -sim.seed %d -sim.seeds 1 -sim.steps %d",
			o.Seed, err, o.Seed, o.Steps)
	}
	return res
}

// No seed breaks a rule, whatever goes wrong in it; and enough goes wrong.
func TestSeeds(t *testing.T) {
	t.Parallel()
	var sum sim.Result
	for seed := *first; seed < *first+*seeds && !t.Failed(); seed++ {
		r := run(t, sim.Options{Seed: seed, Steps: *steps})
		sum.Blocks += r.Blocks
		sum.Reports += r.Reports
		sum.Resent += r.Resent
		sum.Refused += r.Refused
		sum.Orders += r.Orders
		sum.Invoices += r.Invoices
		sum.Rotated += r.Rotated
		sum.Halved += r.Halved
		sum.PutOff += r.PutOff
		sum.Revoked += r.Revoked
		sum.Crashes += r.Crashes
		sum.Faults += r.Faults
		sum.Checkpoints += r.Checkpoints
	}
	t.Logf("%d seeds: %+v", *seeds, sum)
	if *seeds >= 50 && (sum.Faults < 50 || sum.Crashes < 100 || sum.Resent < 500 || sum.Refused == 0 || sum.Invoices == 0 || sum.Rotated < 20 || sum.Halved < 50 || sum.Revoked < 10 || sum.Checkpoints < 200) {
		t.Errorf("the world was too kind: %+v", sum)
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

// A seed is a world: the same happens again, down to the root.
func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	o := sim.Options{Seed: 7}
	if a, b := run(t, o), run(t, o); a != b || a.Root.IsZero() {
		t.Errorf("seed %d: %+v, then %+v", o.Seed, a, b)
	}
	if a, b := run(t, o), run(t, sim.Options{Seed: 8}); a.Root == b.Root {
		t.Error("two seeds, one world")
	}
}

// Whoever breaks a rule is found out within a few seeds: the checks can fail.
func TestBrokenRulesAreFound(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]sim.Rule{
		"acknowledging before commit": sim.AckAfterCommit,
		"half a write":                sim.AtomicWrites,
		"a write that does not stay":  sim.DurableWrites,
		"a retry under another id":    sim.OneDecision,
		"signatures not looked at":    sim.VerifiedFirst,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				if _, err := sim.Run(sim.Options{Seed: seed, Broken: rule}); err != nil {
					t.Logf("seed %d: %.200s", seed, err)
					return
				}
			}
			t.Error("20 seeds did not notice")
		})
	}
}
