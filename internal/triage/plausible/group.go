package plausible

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// A Group is meters that say something about each other: those behind one main meter, or neighbours of one kind without one. It judges each
// by itself, and all together at every moment that all have reported: one that is silent stops that, and then the time since is judged at
// once.
type Group struct {
	main    *Meter // nil where there is none
	meters  []Meter
	bases   []base // of the meters, then of the main meter
	used    []float64
	atMS    lamppost.TimeMS // the moment that was judged last
	judged  bool
	balance balance
	twins   twins
	devs    [MaxMeters]float64
	found   []Finding
}

// A base is where a meter was when the group was judged last.
type base struct {
	register int64
	broken   bool // the register did not go on from there
}

// NewGroup returns a group of meters at connections of these sizes in units an hour, behind a main meter of a size of its own; 0 is no main
// meter. It refuses [ErrSize] and [ErrMeters].
func NewGroup(main int64, sizes ...int64) (*Group, error) {
	if len(sizes) < 1 || len(sizes) > MaxMeters {
		return nil, ErrMeters
	}
	n := len(sizes)
	g := &Group{meters: make([]Meter, n), bases: make([]base, n+1), used: make([]float64, n), found: make([]Finding, 0, maxGroupFindings(n))}
	for i, size := range sizes {
		m, err := NewMeter(size)
		if err != nil {
			return nil, err
		}
		g.meters[i] = *m
		g.meters[i].grouped = true
	}
	if main != 0 {
		m, err := NewMeter(main)
		if err != nil {
			return nil, err
		}
		g.main = m
		g.main.grouped = true
	}
	g.balance.init(n)
	g.twins.init(n)
	return g, nil
}

// maxGroupFindings of one reading: those of a meter, the balance, and for each meter a twin and a shift.
func maxGroupFindings(n int) int { return maxFindings + 1 + 2*n }

// Observe judges a reading of a meter, by its place in the list, or of [Main]. What [Meter.Observe] says holds. It refuses [ErrUnknown] too.
func (g *Group) Observe(meter int, r Reading) ([]Finding, error) {
	m, b := g.member(meter)
	if m == nil {
		return nil, ErrUnknown
	}
	found, err := m.Observe(r)
	if err != nil {
		return nil, err
	}
	g.found = g.found[:0]
	for _, f := range found {
		f.Meter = meter
		g.found = append(g.found, f)
	}
	if !m.moved {
		return g.found, nil // it came late or again, or stands for no moment
	}
	b.broken = b.broken || m.broke
	if g.complete(r.AtMS) {
		g.judge(r.AtMS)
	}
	return g.found, nil
}

func (g *Group) member(meter int) (*Meter, *base) {
	switch {
	case meter == Main && g.main != nil:
		return g.main, &g.bases[len(g.meters)]
	case meter >= 0 && meter < len(g.meters):
		return &g.meters[meter], &g.bases[meter]
	}
	return nil, nil
}

// complete reports whether all have said something about this moment.
func (g *Group) complete(at lamppost.TimeMS) bool {
	for i := range g.meters {
		if m := &g.meters[i]; !m.begun || m.last.AtMS != at {
			return false
		}
	}
	return g.main == nil || g.main.begun && g.main.last.AtMS == at
}

func (g *Group) judge(at lamppost.TimeMS) {
	whole, main := g.judged, 0.0
	for i := range g.bases {
		b, m := &g.bases[i], g.main
		if i < len(g.meters) {
			m = &g.meters[i]
		} else if m == nil {
			break
		}
		whole = whole && !b.broken
		used := float64(m.last.Register - b.register)
		if i < len(g.meters) {
			g.used[i] = used
		} else {
			main = used
		}
		*b = base{register: m.last.Register}
	}
	from := g.atMS
	g.atMS, g.judged = at, true
	if whole {
		if g.main != nil {
			if f, ok := g.balance.next(from, at, main, g.used); ok {
				g.found = append(g.found, f)
			}
		}
		for i := range g.used {
			if f, ok := g.twins.next(i, g.used); ok {
				f.FromMS, f.AtMS = from, at
				g.found = append(g.found, f)
			}
		}
		g.twins.learn(g.used)
	}
	g.judgeDays()
}

// leastKin is how many meters must have closed a day for its median deviation to mean something.
const leastKin = 3

// judgeDays judges the day that meters have just closed.
func (g *Group) judgeDays() {
	devs := g.devs[:0]
	for i := range g.meters {
		if dev, ok := g.meters[i].days.deviation(); ok {
			devs = append(devs, dev)
		}
	}
	kin := 0.0
	if len(devs) >= leastKin {
		slices.Sort(devs)
		kin = (devs[(len(devs)-1)/2] + devs[len(devs)/2]) / 2
	}
	for i := range g.meters {
		if f, ok := g.meters[i].days.judge(kin); ok {
			f.Meter = i
			g.found = append(g.found, f)
		}
	}
	if g.main != nil {
		if f, ok := g.main.days.judge(kin); ok {
			f.Meter = Main
			g.found = append(g.found, f)
		}
	}
}
