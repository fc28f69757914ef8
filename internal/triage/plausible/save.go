package plausible

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/lamppost/lamppost/internal/triage/saved"
)

// stateMagic opens a saved meter or group: "LPPL" and the version of rules and settings, one for both.
const stateMagic = 0x31_30_30_30_4c_50_50_4c // "LPPL0001", little-endian

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
	s.Count(&m.recent.n, 2*recentReadings)
	for i := range min(m.recent.n, recentReadings) {
		readingState(s, &m.recent.ring[i])
	}
	m.frozen.state(s)
	m.off.state(s)
	m.night.state(s)
	m.days.state(s)
}

func readingState(s *saved.State, r *Reading) {
	timeState(s, &r.AtMS)
	s.U64(&r.Sequence)
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
	n := len(g.meters)
	all := int(unsafe.Sizeof(*g)) + n*int(unsafe.Sizeof(Meter{})) + (n+1)*int(unsafe.Sizeof(base{})) + 16*n + n*int(unsafe.Sizeof(fit{})) +
		len(g.twins.alike) + cap(g.found)*int(unsafe.Sizeof(Finding{}))
	if g.main != nil {
		all += int(unsafe.Sizeof(*g.main))
	}
	return all
}
