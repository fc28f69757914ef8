// Package saved knows how the numbers of a detector are written down: words of 8 bytes, one list for writing and reading, each with a limit
// that is checked. docs/formats.md has the lists. A state stays on the machine that made it.
package saved

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Limits.
const (
	MaxNumber     = 1e70 // a float's magnitude: no less than squares of values
	MaxDifference = 1e31 // that of a float of four bytes
)

// A State reads or writes the numbers of a detector, so that both are one list. What it reads is refused if it is not what it could have
// written.
type State struct {
	b       []byte
	reading bool
	err     error
}

// Writer returns a state that appends to b.
func Writer(b []byte) *State { return &State{b: b} }

// Reader returns a state that reads b.
func Reader(b []byte) *State { return &State{b: b, reading: true} }

// Bytes is what was written.
func (s *State) Bytes() []byte { return s.b }

// Err is the first thing that was refused.
func (s *State) Err() error { return s.err }

// End refuses what is left over, and returns the first thing that was refused.
func (s *State) End() error {
	if s.err == nil && len(s.b) > 0 {
		s.Fail(fmt.Errorf("%d bytes too many", len(s.b)))
	}
	return s.err
}

// U64 takes any word.
func (s *State) U64(p *uint64) {
	if !s.reading {
		s.b = binary.LittleEndian.AppendUint64(s.b, *p)
		return
	}
	if len(s.b) < 8 {
		s.Fail(errors.New("it ends too early"))
		return
	}
	*p, s.b = binary.LittleEndian.Uint64(s.b), s.b[8:]
}

// Float takes finite numbers within the limit of values' squares.
func (s *State) Float(p *float64) {
	bits := math.Float64bits(*p)
	s.U64(&bits)
	*p = math.Float64frombits(bits)
	if s.reading && !(math.Abs(*p) <= MaxNumber) {
		s.Fail(fmt.Errorf("%v is no number of a detector", *p))
		*p = 0
	}
}

// Pair takes a float of four bytes, finite and within the limit of values' differences, and any number of four.
func (s *State) Pair(x *float32, u *uint32) {
	word := uint64(math.Float32bits(*x))<<32 | uint64(*u)
	s.U64(&word)
	*x, *u = math.Float32frombits(uint32(word>>32)), uint32(word)
	if s.reading && !(math.Abs(float64(*x)) <= MaxDifference) {
		s.Fail(fmt.Errorf("%v is no difference of values", *x))
		*x = 0
	}
}

// Within takes a number from low to high.
func (s *State) Within(p *float64, low, high float64) {
	s.Float(p)
	if s.reading && !(*p >= low && *p <= high) {
		s.Fail(fmt.Errorf("%v is not from %v to %v", *p, low, high))
		*p = low
	}
}

// Floats takes as many as there are places for.
func (s *State) Floats(p []float64) {
	for i := range p {
		s.Float(&p[i])
	}
}

// Count takes an integer from 0 to most.
func (s *State) Count(p *int, most int) {
	u := uint64(*p)
	s.Upto(&u, uint64(most))
	*p = int(u)
}

// Upto takes a word from 0 to most.
func (s *State) Upto(p *uint64, most uint64) {
	s.U64(p)
	if s.reading && *p > most {
		s.Fail(fmt.Errorf("a count of %d where %d is the most", *p, most))
		*p = 0
	}
}

// Flag takes 0 or 1.
func (s *State) Flag(p *bool) {
	n := 0
	if *p {
		n = 1
	}
	s.Count(&n, 1)
	*p = n == 1
}

// Fail refuses the state. The first reason counts.
func (s *State) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Text takes up to most bytes, in words of eight.
func (s *State) Text(p *string, most int) {
	n := len(*p)
	s.Count(&n, most)
	var text []byte
	for at := 0; at < n; at += 8 {
		var word [8]byte
		copy(word[:], (*p)[min(at, len(*p)):])
		u := binary.LittleEndian.Uint64(word[:])
		s.U64(&u)
		text = binary.LittleEndian.AppendUint64(text, u)
	}
	if s.reading && s.err == nil {
		*p = string(text[:n])
	}
}
