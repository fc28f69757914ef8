package advise_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/explore"
)

func evaluate(t *testing.T, set *explore.Set) []advise.HeldOut {
	t.Helper()
	prices, err := advise.ShippedCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	energy := explore.DefaultEnergy()
	held, err := advise.Evaluate(t.Context(), set, []advise.Objective{advise.ByCost(prices), advise.ByEnergy(&energy)}, func(int64, int64, string) {})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// shipped are the rows that the program carries.
func shipped(t *testing.T) *explore.Set {
	t.Helper()
	f, err := os.Open("rows.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	set := new(explore.Set)
	if err := json.NewDecoder(z).Decode(set); err != nil {
		t.Fatal(err)
	}
	return set
}

// In cells that were held out, choosing breaks no need, is near the best, and nearer than simple rules are; and intervals hold nine of ten rows, or nearly.
func TestChoosesWellWhereNothingWasMeasured(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]*explore.Set{"made": made(t, 5), "shipped": shipped(t)} {
		for _, h := range evaluate(t, set) {
			if h.Problems < 50 || h.Violations > 0 || h.RegretMedian > 0.05 || h.RegretMean > 0.05 || h.Abstained > h.Problems/10 {
				t.Errorf("%s: by %s: %+v", name, h.Objective, h.Score)
			}
			for _, b := range h.Baselines {
				if h.AllMean >= b.AllMean || h.AllMedian > b.AllMedian {
					t.Errorf("%s: by %s: regret of %+v, of advise %+v", name, h.Objective, b, h.Score)
				}
			}
			for _, c := range h.Coverage {
				if c.Rows < 200 || c.Share < 0.85 {
					t.Errorf("%s: %+v", name, c)
				}
			}
		}
	}
}

// Nothing of a cell is known when it is chosen for: not of its rows, nor of a node's alone at other distances, which are the same.
func TestHeldOutIsHeldOut(t *testing.T) {
	t.Parallel()
	type problem struct {
		rtt, latency float64
		engines      int
	}
	chosen := func(set *explore.Set) map[problem]explore.Point {
		all := map[problem]explore.Point{}
		for _, d := range evaluate(t, set)[0].Decisions {
			if d.By == "advise" && d.Demand == 2000 && d.RTTMS == 20 && d.Chosen != nil {
				all[problem{d.RTTMS, d.LatencyMS, len(d.Engines)}] = *d.Chosen
			}
		}
		return all
	}
	set := made(t, 6)
	was := chosen(set)
	for i := range set.Rows {
		r := &set.Rows[i]
		if r.Rate*r.Readings == 2000 && (r.RTTMS == 20 || r.Engine == "solo") {
			r.P99, r.NodeCPU, r.WireBytes, r.Syncs = r.P99/float64(1+r.Order%3), r.NodeCPU*r.LingerMS, r.WireBytes*r.LingerMS, r.Syncs*r.LingerMS
		}
	}
	is := chosen(set)
	if len(was) < 5 {
		t.Fatalf("chosen in %d problems", len(was))
	}
	for p, point := range was {
		if is[p] != point {
			t.Errorf("%+v: %+v, and with other rows of its own %+v", p, point, is[p])
		}
	}
}

// Profiles are drawn by the seed, within what was measured; a measurement as predicted meets, one that is slower does not; ctrl-C ends it.
func TestTry(t *testing.T) {
	t.Parallel()
	set := made(t, 7)
	m := open(t, set)
	off := 1.0
	o := advise.TryOptions{Profiles: 12, Seed: 3, Space: set.Space, Cost: advise.ByEnergy(set.Space.Energy).Cost, Progress: func(int64, int64, string) {},
		Measure: func(_ context.Context, _ *explore.Space, p explore.Point) (explore.Figures, error) {
			pr, err := m.Predict(p)
			return explore.Figures{PerS: pr.PerS.Mid, P99: pr.P99.Mid * off}, err
		}}
	got, err := m.Try(t.Context(), o)
	if err != nil || got.Profiles != 12 || got.Met != 12 || got.Kept != 12 || got.InTime != 12 || got.Drawn < 12 {
		t.Fatalf("%+v: %v", got, err)
	}
	rates := map[int]bool{}
	for _, trial := range got.Trials {
		rates[trial.Point.Rate] = true
	}
	if len(rates) < 9 {
		t.Errorf("profiles are alike: %v", rates)
	}
	off = 10
	again, err := m.Try(t.Context(), o)
	if err != nil || again.Met != 0 || again.Kept != 0 || again.Trials[11].Point != got.Trials[11].Point {
		t.Errorf("ten times as slow: %+v, %v", again, err)
	}
	off = 0.01
	if fast, err := m.Try(t.Context(), o); err != nil || fast.Met != 0 || fast.Kept != 12 {
		t.Errorf("a hundred times as fast: %+v, %v", fast, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(done, _ int64, _ string) {
		if done == 2 {
			cancel()
		}
	}
	if _, err := m.Try(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
}
