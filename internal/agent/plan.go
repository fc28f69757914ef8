package agent

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
)

// A plan says how much energy each session of a site takes in each interval: as much as fits of what all ask for, and that as cheap as can be.
//
// Sessions, intervals and the limit are a network of flows. An interval's price is the same for all, so filling intervals from the cheapest to the
// dearest by augmenting paths (Edmonds and Karp, 1972) is exact: what an interval was given is never taken back, only handed to another session, and
// the energies that can be given to intervals form a polymatroid, on which the greedy order is best (Edmonds, 1970).
//
// Where not all fits, all first get the same share of what they ask for, the largest that fits, and then more where it fits.
type plan struct {
	n, steps int
	x        []int64 // Wh, by session and interval
	cap      []int64 // Wh of a session in an interval
	asked    []int64 // Wh that a session could get if it were alone
	want     []int64 // Wh that it still wants
	base     []int64 // Wh of an interval for all that follow the plan
	left     []int64 // Wh of it that are left
	due      []int   // intervals that a session is there
	first    []int   // sessions, the first to leave first
	order    []int   // intervals, the cheapest first
	short    int64   // Wh that do not fit

	from, via, queue []int // of augmenting: the interval that a session was reached by, the session that an interval was reached by
}

// Marks of augmenting.
const (
	unseen = -2
	root   = -1
)

func (in *Inputs) plan(prices []Point) *plan {
	n, steps := len(in.Charger.Sessions), len(prices)
	wh, at := make([]int64, n*steps+3*n+2*steps), make([]int, 3*n+3*steps)
	p := &plan{n: n, steps: steps}
	for _, part := range [...]struct {
		to *[]int64
		n  int
	}{{&p.x, n * steps}, {&p.cap, n}, {&p.asked, n}, {&p.want, n}, {&p.base, steps}, {&p.left, steps}} {
		*part.to, wh = wh[:part.n], wh[part.n:]
	}
	for _, part := range [...]struct {
		to *[]int
		n  int
	}{{&p.due, n}, {&p.first, n}, {&p.order, steps}, {&p.from, n}, {&p.via, steps}, {&p.queue, steps}} {
		*part.to, at = at[:part.n], at[part.n:]
	}
	p.ask(in)
	p.sort(in, prices)
	p.solve(in.Charger.Kept)
	return p
}

// ask notes what each session could use, and takes what follows the safe rule off the limit.
func (p *plan) ask(in *Inputs) {
	limit := in.wh(in.Charger.Limit)
	for t := range p.base {
		p.base[t] = limit
	}
	for i, s := range in.Charger.Sessions {
		p.cap[i] = in.wh(s.Most)
		p.due[i] = max(1, int(min(lamppost.TimeMS(p.steps), (s.Departs-in.At)/in.Step)))
		if !s.Equal {
			p.asked[i] = min(in.wants(&s), p.cap[i]*int64(p.due[i]))
			continue
		}
		rest, share := in.wants(&s), in.wh(min(s.Most, in.Charger.Limit/int64(p.n)))
		for t := 0; t < p.steps && rest > 0; t++ {
			p.base[t] -= min(rest, share)
			rest -= share
		}
	}
}

func (p *plan) sort(in *Inputs, prices []Point) {
	for t := range p.order {
		p.order[t] = t
	}
	counts := func(t int) int64 {
		if t == 0 {
			return prices[0].Mean
		}
		return prices[t].Mean + (prices[t].High-prices[t].Mean)*in.Charger.Risk/1000
	}
	slices.SortFunc(p.order, func(a, b int) int { return cmp.Or(cmp.Compare(counts(a), counts(b)), cmp.Compare(a, b)) })
	for s := range p.first {
		p.first[s] = s
	}
	slices.SortFunc(p.first, func(a, b int) int { return cmp.Or(cmp.Compare(p.due[a], p.due[b]), cmp.Compare(a, b)) })
}

// solve fills the plan. What is kept for who comes yet is used where there is no other way.
func (p *plan) solve(kept int64) {
	copy(p.want, p.asked)
	copy(p.left, p.base)
	for t := 1; t < p.steps; t++ {
		p.left[t] -= p.base[t] * kept / 1000
	}
	p.fill()
	for t := 1; t < p.steps; t++ {
		p.left[t] += p.base[t] * kept / 1000
	}
	p.fill()
	if p.short = p.wanted(); p.short > 0 {
		p.share()
	}
}

// share gives all the same share, and then more where it fits.
func (p *plan) share() {
	low, high := int64(0), int64(1000)
	for high-low > 1 {
		if mid := (low + high) / 2; p.fits(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	p.fits(low)
	for s, wh := range p.asked {
		p.want[s] = wh - wh*low/1000
	}
	p.fill()
}

// fits fills the plan anew with a share of what each asks for.
func (p *plan) fits(share int64) bool {
	clear(p.x)
	copy(p.left, p.base)
	for s, wh := range p.asked {
		p.want[s] = wh * share / 1000
	}
	p.fill()
	return p.wanted() == 0
}

func (p *plan) wanted() (sum int64) {
	for _, wh := range p.want {
		sum += wh
	}
	return sum
}

func (p *plan) energy(s, t int) int64 { return p.x[s*p.steps+t] }

func (p *plan) total(s int) (sum int64) {
	for _, wh := range p.x[s*p.steps : (s+1)*p.steps] {
		sum += wh
	}
	return sum
}

// fill gives intervals to sessions until no more fits.
func (p *plan) fill() {
	wanted := p.wanted()
	for _, t := range p.order {
		for _, s := range p.first {
			if t < p.due[s] {
				wh := min(p.want[s], p.cap[s]-p.energy(s, t), p.left[t])
				p.x[s*p.steps+t] += wh
				p.want[s] -= wh
				p.left[t] -= wh
				wanted -= wh
			}
		}
		for wanted > 0 && p.left[t] > 0 {
			wh := p.augment(t)
			if wh == 0 {
				break
			}
			wanted -= wh
		}
	}
}

// augment looks for a session that wants energy of an interval through others that can move theirs there, and moves as much as it can.
func (p *plan) augment(t int) int64 {
	for s := range p.from {
		p.from[s] = unseen
	}
	for u := range p.via {
		p.via[u] = unseen
	}
	p.via[t], p.queue[0] = root, t
	for head, tail := 0, 1; head < tail; head++ {
		u := p.queue[head]
		for _, s := range p.first {
			if p.from[s] != unseen || u >= p.due[s] || p.energy(s, u) == p.cap[s] {
				continue
			}
			p.from[s] = u
			if p.want[s] > 0 {
				return p.push(s)
			}
			for v := range p.due[s] {
				if p.via[v] == unseen && p.energy(s, v) > 0 {
					p.via[v], p.queue[tail] = s, v
					tail++
				}
			}
		}
	}
	return 0
}

// push moves along the path that ends at a session that wants: it takes of the interval it was reached by, whose holder takes of the one
// before, and so on to the interval that has some left.
func (p *plan) push(s int) int64 {
	wh, last := p.want[s], s
	for at := s; ; {
		u := p.from[at]
		wh = min(wh, p.cap[at]-p.energy(at, u))
		holder := p.via[u]
		if holder == root {
			wh = min(wh, p.left[u])
			break
		}
		wh = min(wh, p.energy(holder, u))
		at = holder
	}
	p.want[last] -= wh
	for at := s; ; {
		u := p.from[at]
		p.x[at*p.steps+u] += wh
		holder := p.via[u]
		if holder == root {
			p.left[u] -= wh
			return wh
		}
		p.x[holder*p.steps+u] -= wh
		at = holder
	}
}
