package joint

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// stateMagic opens a saved vector: "LPJT" and the version of models and settings, one for both.
const stateMagic = 0x31_30_30_30_54_4a_50_4c // "LPJT0001", little-endian

var errOther = errors.New("it is of another version or of other quantities")

// AppendBinary appends the state of the vector: one that loads it goes on as this one would. docs/formats.md has the layout.
func (v *Vector) AppendBinary(b []byte) ([]byte, error) {
	s := saved.Writer(b)
	v.state(s)
	return s.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote for a vector of the same names. On an error the vector has forgotten everything.
func (v *Vector) UnmarshalBinary(b []byte) error {
	s := saved.Reader(b)
	v.state(s)
	if err := s.End(); err != nil {
		fresh, _ := New(v.names...)
		*v = *fresh
		return fmt.Errorf("reading the state of a vector: %w", err)
	}
	return nil
}

func (v *Vector) state(s *saved.State) {
	magic, n := uint64(stateMagic), len(v.names)
	s.U64(&magic)
	s.Count(&n, MaxQuantities)
	if magic != stateMagic || n != len(v.names) {
		s.Fail(errOther)
	}
	for _, want := range v.names {
		name := want
		if s.Text(&name, MaxNameBytes); name != want {
			s.Fail(errOther)
		}
		if s.Err() != nil {
			return
		}
	}
	at := uint64(v.atMS)
	s.Flag(&v.begun)
	s.Count(&v.rows, maxRows)
	s.U64(&at)
	s.Float(&v.score)
	s.Count(&v.unusual, veryLong)
	v.atMS = lamppost.TimeMS(at)
	v.alarm.State(s)
	for i := range v.quantities {
		q := &v.quantities[i]
		q.scale.state(s)
		q.level.state(s)
		q.relation.state(s)
	}
	v.relations.state(s)
}

func (q *scale) state(s *saved.State) {
	s.Within(&q.n, 0, memory)
	s.Float(&q.mean)
	s.Within(&q.variance, 0, saved.MaxNumber)
	s.Float(&q.latest)
}

func (q *stream) state(s *saved.State) {
	const most = 4 * farthest // that a number of deviations, or of residuals, is away
	s.Within(&q.n, 0, memory)
	s.Within(&q.mean, -most, most)
	s.Within(&q.smooth, -most, most)
	s.Within(&q.usual, 0, most*most)
	s.Within(&q.far, 0, mostFar)
}

func (r *relations) state(s *saved.State) {
	s.Within(&r.weight, prior, memory)
	s.Count(&r.pseudo, len(r.z)-1)
	for i := range r.rows {
		s.Within(&r.rows[i], -farthest, farthest)
	}
	for i := range r.learnt {
		s.Within(&r.learnt[i], 0, 1)
	}
	for i := range r.inverse {
		s.Within(&r.inverse[i], -mostInverse, mostInverse)
	}
	for i := range r.z {
		if s.Err() == nil && r.inverse[place(i, i)] < leastInverse {
			s.Fail(errors.New("it is not the inverse of a covariance"))
		}
	}
}

// MostBytes is how much memory a vector of so many quantities takes, however long their names are.
func MostBytes(quantities int) int {
	wide := width(quantities)
	var each, rest int = int(unsafe.Sizeof(quantity{})+unsafe.Sizeof("")) + MaxNameBytes, int(unsafe.Sizeof(Vector{}))
	return 8*(3*wide+(quantities+1)*(delay+1)+place(wide, 0)) + quantities*each + rest
}

// Bytes is how much memory the vector takes.
func (v *Vector) Bytes() int {
	r := &v.relations
	n := int(unsafe.Sizeof(*v)) + 8*(len(r.rows)+len(r.learnt)+len(r.inverse)+len(r.v)+len(r.u))
	for _, name := range v.names {
		n += int(unsafe.Sizeof(quantity{})+unsafe.Sizeof(name)) + len(name)
	}
	return n
}
