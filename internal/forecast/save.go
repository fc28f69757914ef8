package forecast

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/lamppost/lamppost/internal/triage/saved"
)

// stateMagic opens a saved series: "LPFC" and the version of features and settings, one for both, as a state means nothing to others.
const (
	stateMagic = 0x32_30_30_30_43_46_50_4c // "LPFC0002", little-endian
	statsMagic = 0x31_30_30_30_53_46_50_4c // "LPFS0001"
)

// AppendBinary appends the state of the series, and of its model if that is its own: a series that loads it goes on as this one would.
// docs/formats.md has the layout.
func (s *Series) AppendBinary(b []byte) ([]byte, error) {
	st := saved.Writer(b)
	s.state(st)
	return st.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote for a series of the same settings. On an error the series has forgotten everything.
func (s *Series) UnmarshalBinary(b []byte) error {
	st := saved.Reader(b)
	s.state(st)
	if err := st.End(); err != nil {
		s.restart()
		if s.own {
			s.model, _ = NewModel(s.model.step, s.model.horizon) // settings that were taken once
		}
		return fmt.Errorf("reading the state of a forecast: %w", err)
	}
	return nil
}

func (s *Series) state(st *saved.State) {
	magic, step, horizon, own := uint64(stateMagic), int(s.settings.Step), s.settings.Horizon, s.own
	st.U64(&magic)
	st.Count(&step, dayMS)
	st.Count(&horizon, MaxHorizon)
	st.Flag(&own)
	if magic != stateMagic || step != int(s.settings.Step) || horizon != s.settings.Horizon || own != s.own {
		st.Fail(errors.New("it is of another version, step or horizon"))
	}
	if st.Err() != nil {
		return
	}
	s.points = s.points[:0]
	st.Count(&s.open.n, maxSamples)
	slotState(st, &s.open.slot)
	st.Within(&s.open.mean, -MaxValue, MaxValue)
	st.Count(&s.capped, maxSamples)
	s.windowState(st)
	for g := range s.pendings {
		m, q := &s.mixes[g], &s.spreads[g]
		st.Count(&m.n, maxSamples)
		for i := range m.errs {
			st.Within(&m.errs[i], 0, 20)
		}
		st.Count(&q.n, maxSamples)
		st.Within(&q.below, 0, maxMark)
		st.Within(&q.above, 0, maxMark)
		st.Within(&q.bias, -20, 20)
		for i := range s.pendings[g] {
			s.pendings[g][i].state(st, s.settings.Horizon)
		}
	}
	for i := range s.phases {
		st.Count(&s.phases[i].n, maxSamples)
		st.Within(&s.phases[i].mean, 0, 20)
	}
	if s.own {
		s.model.state(st)
	}
}

// slotState takes a slot's number.
func slotState(st *saved.State, slot *int) {
	const most = maxTimeMS
	u := uint64(int64(*slot) + most)
	st.Upto(&u, 2*most)
	*slot = int(int64(u) - most)
}

func (s *Series) windowState(st *saved.State) {
	w := &s.window
	st.Count(&w.n, len(w.entries))
	st.Count(&w.run, maxSamples)
	slotState(st, &w.last)
	if st.Err() != nil || w.n == 0 {
		return
	}
	for slot := w.first(); slot <= w.last; slot++ {
		e := w.entry(slot)
		st.Within(&e.value, -MaxValue, MaxValue)
		st.Flag(&e.measured)
		e.clock = s.clock(slot)
	}
	for slot := max(w.first(), w.last-len(w.origins)+1); slot <= w.last; slot++ {
		o := &w.origins[modulo(slot, len(w.origins))]
		o.slot = slot
		st.Count(&o.n, len(w.entries))
		for _, f := range [...]*float64{&o.center, &o.low, &o.high, &o.month, &o.before, &o.short[0], &o.short[1], &o.usual, &o.ahead} {
			st.Within(f, -4*MaxValue, 4*MaxValue)
		}
		st.Within(&o.scale, 0, 4*MaxValue)
		for i := range o.days {
			st.Within(&o.days[i], -MaxValue, MaxValue)
		}
	}
}

func (p *pending) state(st *saved.State, horizon int) {
	st.Count(&p.h, horizon)
	slotState(st, &p.origin)
	const most = 1e30
	for _, f := range [...]*float32{&p.experts[0], &p.experts[1], &p.experts[2], &p.experts[3], &p.middle, &p.low, &p.high} {
		x := float64(*f)
		st.Within(&x, -most, most)
		*f = float32(x)
	}
}

func (m *Model) state(st *saved.State) {
	st.Flag(&m.held)
	st.Flag(&m.frozen)
	for i := range m.groups {
		g := &m.groups[i]
		kin := g.kin != nil
		st.Count(&g.n, maxSamples)
		st.Count(&g.pending, maxSamples)
		g.stats.state(st)
		for j := range g.w {
			st.Within(&g.w[j], -maxWeight, maxWeight)
		}
		st.Flag(&kin)
		switch {
		case !kin:
			g.kin = nil
			continue
		case g.kin == nil:
			g.kin = newStats(nFeatures)
		}
		g.kin.state(st)
	}
}

func (s *Stats) state(st *saved.State) {
	st.Count(&s.Rows, maxRows)
	st.Within(&s.Weight, 0, saved.MaxNumber)
	st.Within(&s.Square, 0, saved.MaxNumber)
	st.Floats(s.Gram)
	st.Floats(s.Cross)
}

// AppendBinary appends the statistics, to be merged elsewhere.
func (s *Stats) AppendBinary(b []byte) ([]byte, error) {
	st := saved.Writer(b)
	magic, d := uint64(statsMagic), s.d
	st.U64(&magic)
	st.Count(&d, MaxFeatures)
	s.state(st)
	return st.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote, of any number of features. On an error nothing has changed.
func (s *Stats) UnmarshalBinary(b []byte) error {
	st := saved.Reader(b)
	magic, d := uint64(0), 0
	st.U64(&magic)
	st.Count(&d, MaxFeatures)
	if magic != statsMagic || d == 0 {
		st.Fail(errors.New("it is of another version or of no features"))
	}
	if err := st.Err(); err != nil {
		return fmt.Errorf("reading statistics: %w", err)
	}
	x := newStats(d)
	x.state(st)
	if err := st.End(); err != nil {
		return fmt.Errorf("reading statistics: %w", err)
	}
	*s = *x
	return nil
}

// Bytes is how much memory the series takes, with its model if that is its own.
func (s *Series) Bytes() int {
	n := int(unsafe.Sizeof(*s)) + cap(s.window.entries)*int(unsafe.Sizeof(entry{})) + cap(s.window.origins)*int(unsafe.Sizeof(origin{})) +
		cap(s.phases)*int(unsafe.Sizeof(phase{})) + cap(s.points)*int(unsafe.Sizeof(Point{}))
	for _, ring := range s.pendings {
		n += cap(ring) * int(unsafe.Sizeof(pending{}))
	}
	if s.own {
		n += s.model.Bytes()
	}
	return n
}

// Bytes is how much memory the model takes.
func (m *Model) Bytes() int {
	n := int(unsafe.Sizeof(*m)) + len(m.groups)*int(unsafe.Sizeof(group{}))
	for g := range m.groups {
		for _, s := range [...]*Stats{m.groups[g].stats, m.groups[g].kin} {
			if s != nil {
				n += int(unsafe.Sizeof(*s)) + 8*(cap(s.Gram)+cap(s.Cross))
			}
		}
	}
	return n
}
