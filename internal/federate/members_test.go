package federate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
)

// A county is members with any number of gateways, each with rows of its own place.
type county struct {
	updates []federate.Update
	central *forecast.Stats
}

// newCounty deals a member's rows to its gateways: alike gives each gateway rows of all places, else each has its own.
func newCounty(t testing.TB, seed uint64, alike bool, gateways []int) *county {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 41))
	c := &county{central: stats(t)}
	for m, n := range gateways {
		for g := range n {
			s := stats(t)
			for range federate.MinRows + random.IntN(400) {
				place := m + g
				if alike {
					place = random.IntN(30)
				}
				x, y := sample(random, place)
				weight := 0.2 + 0.8*random.Float64()
				s.Add(x, y, weight)
				c.central.Add(x, y, weight)
			}
			c.updates = append(c.updates, federate.Update{By: fmt.Sprintf("m%02d-g%03d", m, g), Member: fmt.Sprintf("m%02d", m), Devices: federate.MinDevices, Stats: s})
		}
	}
	return c
}

// rise is by how much weights miss more than those of all honest rows, over these.
func (c *county) rise(t testing.TB, w []float64) float64 {
	t.Helper()
	best, err := c.central.Fit()
	must(t, err)
	least, err := c.central.Loss(best)
	must(t, err)
	miss, err := c.central.Loss(w)
	must(t, err)
	return math.Sqrt(miss/least) - 1
}

func ones(n int) []int { return slices.Repeat([]int{1}, n) }

// TestAnyNumberOfGateways: where all are honest the weights are those of all rows in one place and nobody is left out, whatever number of
// gateways each member has, alike or each of its own place.
func TestAnyNumberOfGateways(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 40))
		gateways := make([]int, 1+random.IntN(9))
		for i := range gateways {
			gateways[i] = 1 + random.IntN(6)
		}
		if seed%3 == 0 {
			gateways[0] = 30
		}
		c := newCounty(t, seed, seed%2 == 0, gateways)
		r := merge(t, c.updates)
		if gap := off(t, r.Stats, c.central); gap > 1e-9 || r.Members != len(gateways) {
			t.Errorf("seed %d, gateways %v: off by %g; %d members", seed, gateways, gap, r.Members)
		}
		for _, p := range r.Parts {
			if p.Left != "" || p.Factor != 1 {
				t.Errorf("seed %d, gateways %v: %+v", seed, gateways, p)
			}
		}
	}
}

// shifted are sums whose rows say so much more than those of a gateway, weighing so much.
func shifted(t testing.TB, seed uint64, push, weight float64) *forecast.Stats {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 42))
	s := stats(t)
	for range 800 {
		x, y := sample(random, 0)
		s.Add(x, y+push, weight)
	}
	s.Rows = int(800 * max(1, weight))
	return s
}

// TestManyGatewaysOfOneMember: what one member of ten does to the others' error, with the push that does most harm and any claim of rows, is no more through
// 5, 20 or 50 gateways than through one; were it ten members more, it would be. A lie that is found out is found out through each.
func TestManyGatewaysOfOneMember(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		clean := newCounty(t, seed, false, ones(10))
		harm := func(k int, member func(i int) string, push, weight float64) float64 {
			lies := slices.Clone(clean.updates[1:])
			for i := range k {
				lies = append(lies, federate.Update{By: fmt.Sprintf("a%03d", i), Member: member(i), Devices: federate.MinDevices, Stats: shifted(t, seed, push, weight)})
			}
			r := merge(t, lies)
			for _, p := range r.Parts {
				if honest := p.Member[0] == 'm' && p.Member != "m00"; honest && p.Left != "" && k <= 1 {
					t.Errorf("seed %d: %+v", seed, p)
				}
			}
			w, err := r.Stats.Fit()
			must(t, err)
			return clean.rise(t, w)
		}
		one := func(int) string { return "m00" }
		worst := func(k int, member func(i int) string) (most float64) {
			for _, weight := range [...]float64{1, 100} {
				for push := 0.05; push < 1.2; push += 0.1 {
					most = max(most, harm(k, member, push, weight))
				}
			}
			return most
		}
		through1 := worst(1, one)
		for _, k := range [...]int{5, 20, 50} {
			if got := worst(k, one); got > through1+1e-9 {
				t.Errorf("seed %d: through one gateway errors rise by %.2f %%, through %d by %.2f %%", seed, 100*through1, k, 100*got)
			}
		}
		if through1 > 0.06 {
			t.Errorf("seed %d: one member of ten raises errors by %.1f %%", seed, 100*through1)
		}
		if ten := worst(20, func(i int) string { return fmt.Sprint("x", i) }); ten < 2*through1 {
			t.Errorf("seed %d: as twenty members errors rise by %.2f %%: this test could not fail", seed, 100*ten)
		}
		if got := harm(50, one, 3, 1); got > 1e-3 {
			t.Errorf("seed %d: a blunt lie through 50 gateways raises errors by %.2f %%", seed, 100*got)
		}
	}
}

// TestOneGatewayLies: of a member with four honest gateways and one that lies, the one is left out. Members' other gateways stay, also where each member has such a one.
func TestOneGatewayLies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		for _, all := range []bool{false, true} {
			c := newCounty(t, seed, false, slices.Repeat([]int{5}, 6))
			for i := range c.updates {
				if i == 2 || all && i%5 == 2 {
					c.updates[i].Stats = shifted(t, seed, 3, 100)
				}
			}
			for i, p := range merge(t, c.updates).Parts {
				if lies := i == 2 || all && i%5 == 2; lies != (p.Left == federate.LeftSpoils) {
					t.Errorf("seed %d, %d: %+v", seed, i, p)
				}
			}
		}
	}
}

// TestFewMembers: with one member its gateways are held against each other, and one of five that lies is left out. With two, neither can throw out the
// other's through many gateways, and whoever claims more counts three times the other at most.
func TestFewMembers(t *testing.T) {
	t.Parallel()
	c := newCounty(t, 1, false, []int{5})
	c.updates[3].Stats = shifted(t, 1, 3, 1)
	for i, p := range merge(t, c.updates).Parts {
		if (i == 3) != (p.Left == federate.LeftSpoils) {
			t.Errorf("of one member: %+v", p)
		}
	}
	c = newCounty(t, 2, false, []int{3, 40})
	for i := range c.updates {
		if c.updates[i].Member == "m01" {
			c.updates[i].Stats = shifted(t, 2, 3, 1)
		}
	}
	honest := 0.0
	for _, p := range merge(t, c.updates).Parts {
		if p.Left != "" {
			t.Errorf("of two members: %+v", p)
		}
		if p.Member == "m00" {
			honest += p.Share
		}
	}
	if honest < 0.249 {
		t.Errorf("the honest one of two has %.3f of the model", honest)
	}
}

// TestCrowd: a member that comes with more gateways than a round takes, and names before all others, keeps none of them out; nor does one whose sums are of
// other features.
func TestCrowd(t *testing.T) {
	t.Parallel()
	c := newCounty(t, 3, false, ones(5))
	own := c.updates[0].Stats
	for i := range federate.MaxUpdates {
		c.updates = append(c.updates, federate.Update{By: fmt.Sprintf("a%03d", i), Member: "a", Devices: federate.MinDevices, Stats: own})
	}
	left := 0
	for _, p := range merge(t, c.updates).Parts {
		if p.Left == federate.LeftTooMany {
			left++
		}
		if p.Member != "a" && p.Left != "" {
			t.Errorf("%+v", p)
		}
	}
	if left != 5 {
		t.Errorf("%d are beyond the limit", left)
	}

	odd := newCounty(t, 4, false, ones(4))
	small, err := forecast.NewStats(1)
	must(t, err)
	for range 800 {
		small.Add([]float64{1}, 1, 1)
	}
	for i := range 9 {
		odd.updates = append(odd.updates, federate.Update{By: fmt.Sprint("a", i), Member: "a", Devices: federate.MinDevices, Stats: small})
	}
	for _, p := range merge(t, odd.updates).Parts {
		if (p.Left != "") != (p.Member == "a") {
			t.Errorf("%+v", p)
		}
	}
}

// TestLargeLiar: a member that claims far more than the others counts in full only as long as that does not harm them.
func TestLargeLiar(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		c := newCounty(t, seed, true, ones(8))
		c.updates[2].Stats = shifted(t, seed, 0.25, 100)
		r := merge(t, c.updates)
		if p := r.Parts[2]; p.Left != "" || p.Factor > 0.04 || p.Share > 0.34 {
			t.Errorf("seed %d: %+v", seed, p)
		}
	}
}
