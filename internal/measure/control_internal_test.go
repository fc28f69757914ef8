package measure

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/agent"
)

// TestPerfectStorage: the exact way to perfect foresight costs what trying all moves on a grid costs, where all numbers lie on the grid.
func TestPerfectStorage(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		h := &home{Storage: agent.Storage{Capacity: 1000, In: 300, Out: 200, InShare: 1000, OutShare: 1000}}
		for range 8 {
			h.net, h.price = append(h.net, float64(100*random.IntN(9)-400)), append(h.price, float64(1000*random.IntN(500)))
		}
		var least func(i, stored int) float64
		least = func(i, stored int) float64 {
			if i == len(h.net) {
				return 0
			}
			best := math.Inf(1)
			for by := -min(200, stored); by <= min(300, 1000-stored); by += 100 {
				best = min(best, h.bill(i, h.net[i]+float64(by))+least(i+1, stored+by))
			}
			return best
		}
		if got, want := h.perfect(0, len(h.net)), least(0, 0); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v, want %v: %+v", got, want, h)
		}
	}
}

// TestLargestFlow: what a garage can charge is what sets of quarters say, as the smallest cut does.
func TestLargestFlow(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		g := &garage{}
		for range 1 + random.IntN(5) {
			from := random.IntN(5)
			g.visits = append(g.visits, visit{from: from, to: from + 1 + random.IntN(6-from), asked: random.Int64N(9000)})
		}
		limit, least := random.Int64N(20_000), int64(math.MaxInt64)
		for set := range 1 << 6 {
			sum := int64(0)
			for q := range 6 {
				sum += int64(set>>q&1) * (limit / 4)
			}
			for _, v := range g.visits {
				rest := int64(0)
				for q := v.from; q < v.to; q++ {
					rest += int64(1-set>>q&1) * quarterWh
				}
				sum += min(v.fits(), rest)
			}
			least = min(least, sum)
		}
		if got := g.most(limit); got != least {
			t.Fatalf("%d, want %d: %+v", got, least, g.visits)
		}
	}
}

// TestDaylight: the sun in Minneapolis rises and sets within a quarter of an hour of the almanac's local times.
func TestDaylight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ day, rise, set string }{
		{"2017-01-15", "07:48", "16:57"}, {"2017-03-20", "07:14", "19:25"}, {"2017-06-21", "05:26", "21:03"}, {"2017-11-15", "07:11", "16:42"},
	} {
		for what, at := range map[string]string{"rise": c.rise, "set": c.set} {
			x, err := time.Parse("2006-01-02 15:04", c.day+" "+at)
			if err != nil {
				t.Fatal(err)
			}
			before, after := daylight(x.Add(-15*time.Minute).UnixMilli()), daylight(x.Add(15*time.Minute).UnixMilli())
			if what == "set" {
				before, after = after, before
			}
			if before > 400 || after < 400 {
				t.Errorf("%s %s: %.0f and %.0f lx a quarter of an hour to both sides", c.day, what, before, after)
			}
		}
	}
}
