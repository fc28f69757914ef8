package triage

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// stateMagic opens a saved series: "LPTR" and the version of models and settings, one for both, as a state means nothing to others.
const stateMagic = 0x32_30_30_30_52_54_50_4c // "LPTR0002", little-endian

// AppendBinary appends the state of the series: a series that loads it goes on as this one would. docs/formats.md has the layout.
func (s *Series) AppendBinary(b []byte) ([]byte, error) {
	st := saved.Writer(b)
	s.state(st)
	return st.Bytes(), nil
}

// UnmarshalBinary loads what AppendBinary wrote for a series of the same models. On an error the series has forgotten everything.
func (s *Series) UnmarshalBinary(b []byte) error {
	st := saved.Reader(b)
	s.state(st)
	if err := st.End(); err != nil {
		s.restart()
		return fmt.Errorf("reading the state of a series: %w", err)
	}
	return nil
}

func (s *Series) state(st *saved.State) {
	magic, models := uint64(stateMagic), len(s.models)
	st.U64(&magic)
	st.Count(&models, len(s.models))
	if magic != stateMagic || models != len(s.models) {
		st.Fail(errors.New("it is of another version or of other models"))
	}
	if st.Err() != nil {
		return
	}
	st.Text(&s.unit, lamppost.MaxUnitBytes)
	kind, at := int(s.kind), uint64(s.last.AtMS)
	st.Count(&kind, int(lamppost.Register))
	st.Flag(&s.begun)
	st.Count(&s.n, maxReadings)
	st.U64(&at)
	st.Float(&s.last.Value)
	risen := uint64(s.risen)
	st.Flag(&s.high)
	st.U64(&risen)
	s.kind, s.risen, s.last.AtMS = lamppost.Kind(kind), lamppost.TimeMS(risen), lamppost.TimeMS(at)
	s.width.state(st)
	s.windows.state(st)
	s.alarm.state(st)
	for _, m := range s.models {
		m.state(st)
	}
}

// perModel is what a series keeps of a model beside the model: a pointer, a weight, a part.
const perModel = 40

// Bytes is how much memory the series takes.
func (s *Series) Bytes() int {
	n := int(unsafe.Sizeof(*s)) + perModel*len(s.models) + s.width.bytes()
	for _, m := range s.models {
		n += m.bytes()
	}
	return n
}

func (r *ranges) bytes() int {
	n := int(unsafe.Sizeof(*r))
	for _, q := range r.records() {
		n += q.usually.bytes()
	}
	return n
}

func (h *shift) bytes() int { return int(unsafe.Sizeof(*h)) + h.gap.usually.bytes() }

func (d *discord) bytes() int { return int(unsafe.Sizeof(*d)) + bytesOf(d.steps) + bytesOf(d.at) }

func (q *spread) bytes() int { return bytesOf(q.sorted) }

func bytesOf[T any](s []T) int {
	var one T
	var size int = int(unsafe.Sizeof(one))
	return size * cap(s)
}
