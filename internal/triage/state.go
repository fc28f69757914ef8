package triage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A state reads or writes the numbers of a detector, so that both are one list. What it reads is refused if it is not what it could have
// written.
type state struct {
	b       []byte
	reading bool
	err     error
}

func (s *state) u64(p *uint64) {
	if !s.reading {
		s.b = binary.LittleEndian.AppendUint64(s.b, *p)
		return
	}
	if len(s.b) < 8 {
		s.fail(errors.New("it ends too early"))
		return
	}
	*p, s.b = binary.LittleEndian.Uint64(s.b), s.b[8:]
}

// float takes finite numbers within the limit of values' squares.
func (s *state) float(p *float64) {
	bits := math.Float64bits(*p)
	s.u64(&bits)
	*p = math.Float64frombits(bits)
	if s.reading && !(math.Abs(*p) <= maxNumber) {
		s.fail(fmt.Errorf("%v is no number of a detector", *p))
		*p = 0
	}
}

func (s *state) floats(p []float64) {
	for i := range p {
		s.float(&p[i])
	}
}

// count takes an integer from 0 to most.
func (s *state) count(p *int, most int) {
	u := uint64(*p)
	s.u64(&u)
	if s.reading && u > uint64(most) {
		s.fail(fmt.Errorf("a count of %d where %d is the most", u, most))
		u = 0
	}
	*p = int(u)
}

func (s *state) flag(p *bool) {
	n := 0
	if *p {
		n = 1
	}
	s.count(&n, 1)
	*p = n == 1
}

func (s *state) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (q *spread) state(s *state) {
	s.count(&q.n, maxReadings)
	s.u64(&q.dice)
	s.floats(q.sorted[:q.kept()])
	for i := 1; i < q.kept(); i++ {
		if q.sorted[i] < q.sorted[i-1] {
			s.fail(errors.New("a sample is not sorted"))
			return
		}
	}
}

// text takes up to most bytes, in words of eight.
func (s *state) text(p *string, most int) {
	n := len(*p)
	s.count(&n, most)
	var text []byte
	for at := 0; at < n; at += 8 {
		var word [8]byte
		copy(word[:], (*p)[min(at, len(*p)):])
		u := binary.LittleEndian.Uint64(word[:])
		s.u64(&u)
		text = binary.LittleEndian.AppendUint64(text, u)
	}
	if s.reading && s.err == nil {
		*p = string(text[:n])
	}
}
