package plausible

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/lamppost/lamppost/internal/triage/saved"
)

// stateMagic opens a saved meter or group: "LPPL" and the version of rules and settings, one for both.
const stateMagic = 0x33_30_30_30_4c_50_50_4c // "LPPL0003", little-endian

var errOther = errors.New("it is of another version or of other meters")

// AppendBinary appends the state of the meter: one that loads it goes on as this one would. docs/formats.md has the layout.
func (m *Meter) AppendBinary(b []byte) ([]byte, error) {
	s := saved.Writer(b)
	m.state(s)
	return s.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote for a meter of the same size. On an error the meter has forgotten everything.
func (m *Meter) UnmarshalBinary(b []byte) error {
	s := saved.Reader(b)
	m.state(s)
	if err := s.End(); err != nil {
		*m = Meter{size: m.size, grouped: m.grouped}
		return fmt.Errorf("reading the state of a meter: %w", err)
	}
	return nil
}

// AppendBinary appends the state of the group and of all its meters.
func (g *Group) AppendBinary(b []byte) ([]byte, error) {
	s := saved.Writer(b)
	g.state(s)
	return s.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote for a group of the same meters. On an error the group has forgotten everything.
func (g *Group) UnmarshalBinary(b []byte) error {
	s := saved.Reader(b)
	g.state(s)
	if err := s.End(); err != nil {
		g.reset()
		return fmt.Errorf("reading the state of a group: %w", err)
	}
	return nil
}

func (g *Group) reset() {
	sizes := make([]int64, len(g.meters))
	for i := range g.meters {
		sizes[i] = int64(g.meters[i].size)
	}
	main := int64(0)
	if g.main != nil {
		main = int64(g.main.size)
	}
	fresh, _ := NewGroup(main, sizes...) // the sizes were taken once
	*g = *fresh
}

func (m *Meter) state(s *saved.State) {
	magic, size := uint64(stateMagic), m.size
	s.U64(&magic)
	s.Float(&size)
	if magic != stateMagic || size != m.size {
		s.Fail(errOther)
		return
	}
	s.Flag(&m.begun)
	readingState(s, &m.last)
	m.trail.state(s)
	m.frozen.state(s)
	m.off.state(s)
	m.night.state(s)
	m.days.state(s)
}

// Limits of what is added up and of squares of it: registers are below 2^53, groups have 65 of them, sums at most 672 steps.
const maxUsed, maxSquares = 1e20, 1e44

func amount(s *saved.State, p *float64) { s.Within(p, 0, maxSquares) }

func signed(s *saved.State, p *float64) { s.Within(p, -maxSquares, maxSquares) }

func amounts(s *saved.State, all []float64) {
	for i := range all {
		amount(s, &all[i])
	}
}

func readingState(s *saved.State, r *Reading) {
	timeState(s, &r.AtMS)
	timeState(s, &r.ReadMS)
	registerState(s, &r.Register)
	s.Flag(&r.Off)
	s.Flag(&r.Exchanged)
}

func (g *Group) state(s *saved.State) {
	magic, meters, main := uint64(stateMagic), len(g.meters), g.main != nil
	s.U64(&magic)
	s.Count(&meters, MaxMeters)
	s.Flag(&main)
	if magic != stateMagic || meters != len(g.meters) || main != (g.main != nil) {
		s.Fail(errOther)
		return
	}
	for i := range g.meters {
		g.meters[i].state(s)
	}
	if g.main != nil {
		g.main.state(s)
	}
	for i := range g.bases {
		registerState(s, &g.bases[i].register)
		s.Flag(&g.bases[i].broken)
	}
	timeState(s, &g.atMS)
	s.Flag(&g.judged)
	g.balance.state(s)
	g.twins.state(s)
}

// Bytes is how much memory the group takes.
func (g *Group) Bytes() int {
	all := int(unsafe.Sizeof(*g)) + int(unsafe.Sizeof(base{})) + len(g.twins.alike)
	for range g.meters {
		all += int(unsafe.Sizeof(Meter{})) + int(unsafe.Sizeof(base{})) + int(unsafe.Sizeof(fit{})) + perUse
	}
	for range cap(g.found) {
		all += int(unsafe.Sizeof(Finding{}))
	}
	if g.main != nil {
		all += int(unsafe.Sizeof(*g.main))
	}
	return all
}

// perUse is what a group keeps of a meter beside it: what it used in the latest step and in the one before.
const perUse = 16
