package plausible

import (
	"errors"
	"sort"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// Limits of a trail.
const (
	trailPoints = 128
	trailLatest = 32 // points that are not thinned
	trailThins  = 16 // points that a thinning gives up at least, so that it costs little for each reading
	trailShares = 6  // a thinning begins with gaps of a 64th of their age
)

// A trail is what a register showed so far, by time, so that a reading is held against those just before and after it, however late it
// comes. The latest points are all there. Farther back it is thinned, so that what lies between two points is a small part of how long ago
// that was; where nothing came, nothing is thinned.
type trail struct {
	points [trailPoints]point
	n      int
}

// A point is what the register showed at a time.
type point struct {
	mark     uint64 // the time, and lowest whether the register does not go on from the point before: it was exchanged, or found to be wrong
	register int64
}

func (p point) at() lamppost.TimeMS { return lamppost.TimeMS(p.mark >> 1) }

func (p point) broken() bool { return p.mark&1 == 1 }

func (p *point) setBroken(broken bool) {
	p.mark &^= 1
	if broken {
		p.mark |= 1
	}
}

// find is where a time is among the points, or belongs.
func (t *trail) find(at lamppost.TimeMS) (i int, there bool) {
	if t.n == 0 || t.points[t.n-1].at() < at {
		return t.n, false
	}
	i = sort.Search(t.n, func(i int) bool { return t.points[i].at() >= at })
	return i, t.points[i].at() == at
}

func (t *trail) insert(i int, p point) {
	copy(t.points[i+1:t.n+1], t.points[i:t.n])
	t.points[i] = p
	if t.n++; t.n == trailPoints {
		t.thin()
	}
}

// thin gives up points that stand close for their age.
func (t *trail) thin() {
	for shares := trailShares; shares >= 0; shares-- {
		if t.drop(shares); t.n <= trailPoints-trailThins {
			return
		}
	}
	// Nothing but breaks: what is before the oldest that stays is not held against it, if a break lay there.
	broken := false
	for _, p := range t.points[:trailThins+1] {
		broken = broken || p.broken()
	}
	t.n = copy(t.points[:], t.points[trailThins:t.n])
	t.points[0].setBroken(broken)
}

// drop gives up points between two that are at most a share of their age apart, 2^-shares, one after the other. A break stays, and what is before it.
func (t *trail) drop(shares int) {
	newest, kept := t.points[t.n-1].at(), 1
	for i := 1; i < t.n; i++ {
		p := t.points[i]
		if i < t.n-trailLatest && !p.broken() && !t.points[i+1].broken() &&
			t.points[i+1].at()-t.points[kept-1].at() <= (newest-p.at())>>shares {
			continue
		}
		t.points[kept] = p
		kept++
	}
	t.n = kept
}

var errOrder = errors.New("a register's points are in no order")

func (t *trail) state(s *saved.State) {
	s.Count(&t.n, trailPoints-1)
	for i := range t.n {
		p := &t.points[i]
		s.Upto(&p.mark, 2*maxTimeMS+1)
		registerState(s, &p.register)
		if i > 0 && p.at() <= t.points[i-1].at() {
			s.Fail(errOrder)
		}
	}
}

// hold holds a reading against what the register showed just before and after, and puts it there. again: there is one of this moment.
// Where the register does not go on from one to the next already, it must fit one of both.
func (m *Meter) hold(r Reading, found []Finding) (all []Finding, again bool) {
	t := &m.trail
	i, again := t.find(r.readMS())
	p := point{uint64(r.readMS()) << 1, r.Register}
	if again {
		if k := t.points[i]; k.register != p.register {
			found = append(found, finding(Clone, k.at(), p.at(), float64(p.register), float64(k.register)))
		}
		return t.late(i, i+1, p, found), true
	}
	left, right, broken := Finding{}, Finding{}, r.Exchanged
	if i > 0 {
		left = m.follows(t.points[i-1], p)
	}
	if i < t.n {
		after := &t.points[i]
		right, broken = m.follows(p, *after), broken || after.broken()
		after.setBroken(right.Code != 0 || after.broken() && left.Code == 0)
	}
	p.setBroken(left.Code != 0)
	for _, f := range [...]Finding{left, right} {
		if f.Code != 0 && (!broken || left.Code != 0 && right.Code != 0) {
			found = append(found, f)
		}
	}
	found = t.late(i, i, p, found)
	t.insert(i, p)
	return found, false
}

// follows returns why one point cannot follow another; a Code of 0: it can.
func (m *Meter) follows(a, b point) Finding {
	if b.register < a.register {
		return finding(RolledBack, a.at(), b.at(), float64(b.register), float64(a.register))
	}
	s := step{fromMS: a.at(), atMS: b.at(), used: float64(b.register - a.register)}
	if let := m.let(s); s.used > let {
		return finding(TooFast, a.at(), b.at(), s.used, let)
	}
	return Finding{}
}

// late adds to what was found of a reading that it came late: between the point before one place, and the one at another.
func (t *trail) late(before, after int, p point, found []Finding) []Finding {
	if len(found) == 0 || after == t.n {
		return found
	}
	f := Finding{Code: Late, AtMS: t.points[after].at(), Value: float64(p.register), Limit: float64(t.points[after].register)}
	if before > 0 {
		f.FromMS, f.Low = t.points[before-1].at(), float64(t.points[before-1].register)
	}
	return append(found, f)
}

// Near is what the register showed at a time or just before; else, first after. ok is false where nothing is known.
func (m *Meter) Near(at lamppost.TimeMS) (register int64, ok bool) {
	i, there := m.trail.find(at)
	if !there && i > 0 {
		i--
	}
	return m.trail.points[min(i, trailPoints-1)].register, m.trail.n > 0
}
