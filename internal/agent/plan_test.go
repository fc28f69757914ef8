package agent

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lamppost/lamppost"
)

// TestPlan: over random sites what is planned keeps every limit, serves as much as a search over all cuts says can be, and costs no more than
// what exchanging any two units of energy would make of it.
func TestPlan(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	short := 0
	for range 2000 {
		in, prices := randomSite(random)
		p := in.plan(prices)
		limit := in.wh(in.Charger.Limit)
		for u := range prices {
			sum := int64(0)
			for s := range p.n {
				if x := p.energy(s, u); x < 0 || x > p.cap[s] || u >= p.due[s] && x > 0 {
					t.Fatalf("session %d takes %d in interval %d", s, x, u)
				}
				sum += p.energy(s, u)
			}
			if sum+p.left[u] != limit || p.left[u] < 0 {
				t.Fatalf("interval %d: %d and %d left of %d", u, sum, p.left[u], limit)
			}
		}
		served := int64(0)
		for s := range p.n {
			served += p.total(s)
		}
		if most := smallestCut(p, limit); served != most {
			t.Fatalf("%d Wh planned, %d fit", served, most)
		}
		if p.short > 0 {
			short++
			fair(t, p)
		}
	}
	if short < 200 {
		t.Errorf("only %d sites were too small: the test is weak", short)
	}
}

func randomSite(random *rand.Rand) (*Inputs, []Point) {
	steps := 1 + random.IntN(6)
	in := &Inputs{Step: 3_600_000, Steps: uint8(steps), Charger: &Charger{Limit: random.Int64N(40), Kept: random.Int64N(1001)}}
	for s := range 1 + random.IntN(5) {
		in.Charger.Sessions = append(in.Charger.Sessions, Session{Device: lamppost.DeviceID(fmt.Sprint(s)), Need: random.Int64N(60), Most: random.Int64N(25),
			Departs: lamppost.TimeMS(random.IntN(steps+2)) * 3_600_000})
	}
	prices := make([]Point, steps)
	for i := range prices {
		v := random.Int64N(5) * 100
		prices[i] = Point{Mean: v, Low: v, High: v}
	}
	return in, prices
}

// smallestCut is the most that can flow (Ford and Fulkerson): over all sets of intervals, what those let through and what sessions can take of the others.
func smallestCut(p *plan, limit int64) int64 {
	least := int64(1) << 60
	for set := range 1 << p.steps {
		sum := int64(0)
		for u := range p.steps {
			if set>>u&1 == 1 {
				sum += limit
			}
		}
		for s := range p.n {
			rest := int64(0)
			for u := range p.due[s] {
				if set>>u&1 == 0 {
					rest += p.cap[s]
				}
			}
			sum += min(p.asked[s], rest)
		}
		least = min(least, sum)
	}
	return least
}

// fair: every session gets the share, rounded down, that the worst off gets of those that could get more.
func fair(t *testing.T, p *plan) {
	t.Helper()
	share := int64(1000)
	for s := range p.n {
		if p.asked[s] > 0 {
			share = min(share, p.total(s)*1000/p.asked[s])
		}
	}
	total := make([]int64, p.n)
	for s := range p.n {
		total[s] = p.total(s)
	}
	if again := share + 20; p.fits(again) { // energies are small here: a Wh is some tenths of a percent
		for s := range p.n {
			if total[s] < p.asked[s]*again/1000 {
				t.Errorf("session %d gets %d of %d; all could get %d thousandths", s, total[s], p.asked[s], again)
			}
		}
	}
}

// TestPlanIsCheapest: against all ways to serve one or two sessions on few intervals.
func TestPlanIsCheapest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	tried := 0
	for range 3000 {
		in, prices := randomSite(random)
		in.Charger.Kept = 0
		for i := range in.Charger.Sessions {
			s := &in.Charger.Sessions[i]
			s.Need, s.Most = s.Need%6, s.Most%4
		}
		in.Charger.Limit %= 5
		if len(in.Charger.Sessions) > 2 || len(prices) > 4 {
			continue
		}
		p := in.plan(prices)
		if p.short > 0 {
			continue
		}
		tried++
		cost := int64(0)
		for u := range prices {
			for s := range p.n {
				cost += p.energy(s, u) * prices[u].Mean
			}
		}
		if best := cheapest(p, prices, in.Charger.Limit, 0, make([]int64, p.n)); cost != best {
			t.Fatalf("costs %d, best %d: %+v", cost, best, in.Charger)
		}
	}
	if tried < 200 {
		t.Errorf("only %d sites were tried", tried)
	}
}

// cheapest tries all energies, interval by interval.
func cheapest(p *plan, prices []Point, limit int64, u int, got []int64) int64 {
	if u == len(prices) {
		for s, wh := range got {
			if wh != p.asked[s] {
				return 1 << 60
			}
		}
		return 0
	}
	best := int64(1) << 60
	var second int64
	if p.n > 1 {
		second = p.cap[1]
	}
	for a := range p.cap[0] + 1 {
		for b := range second + 1 {
			if a+b > limit || u >= p.due[0] && a > 0 || p.n > 1 && u >= p.due[1] && b > 0 {
				continue
			}
			got[0] += a
			if p.n > 1 {
				got[1] += b
			}
			best = min(best, (a+b)*prices[u].Mean+cheapest(p, prices, limit, u+1, got))
			got[0] -= a
			if p.n > 1 {
				got[1] -= b
			}
		}
	}
	return best
}

// A vehicle that leaves within the interval gets the power that brings all it asked for by then, also as an equal share, and no more than it takes.
func TestLeavesWithinTheInterval(t *testing.T) {
	t.Parallel()
	for minutes, want := range map[int64]int64{5: 6000, 4: 7500, 1: 11_000, 15: 2000} {
		in := &Inputs{Format: 1, Device: "car", Kind: lamppost.AgentCharger, Mode: lamppost.AgentBounded, At: 1_700_000_000_000, Step: 900_000, Steps: 4, Currency: "EUR", Bounds: Bounds{Most: 11_000},
			Charger: &Charger{Limit: 20_000, Worth: lamppost.MicroUnit}}
		in.Charger.Sessions = []Session{{Device: "car", Need: 500, Departs: in.At + lamppost.TimeMS(minutes*60_000), Most: 11_000}}
		f := Forecast{Name: "price", Usable: true}
		for k := range lamppost.TimeMS(in.Steps) {
			f.Points = append(f.Points, Point{At: in.At + k*in.Step, Mean: 200_000, Low: 200_000, High: 200_000})
		}
		in.Forecasts = []Forecast{f}
		for _, mode := range []lamppost.AgentMode{lamppost.AgentBounded, lamppost.AgentStopped} {
			in.Mode = mode
			if got := Decide(in).Action.Value.Mantissa; got != want {
				t.Errorf("%d minutes, %s: %d W, want %d", minutes, mode, got, want)
			}
		}
	}
}
