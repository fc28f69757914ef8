package judge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// A Reading is one as it was committed, and where it stands.
type Reading struct {
	lamppost.Reading
	Height             lamppost.Height
	Tx, Report, Record uint32
	Received           lamppost.TimeMS
	Device             lamppost.DeviceID
	Billing            bool
}

// saved is what a verdict can be replayed from: the state of the models before a reading, and what was known of it besides. docs/formats.md has
// its table.
type saved struct {
	Version uint8           `cbor:"1,keyasint"`
	From    lamppost.TimeMS `cbor:"2,keyasint"` // readings near it are kept from then on
	Series  *savedSeries    `cbor:"3,keyasint,omitempty"`
	Meters  *savedMeters    `cbor:"4,keyasint,omitempty"`
	Model   []byte          `cbor:"5,keyasint"`
	Vector  *savedVector    `cbor:"6,keyasint,omitempty"`
}

type savedSeries struct {
	Device lamppost.DeviceID `cbor:"1,keyasint"`
	Name   string            `cbor:"2,keyasint"`
	Units  []string          `cbor:"3,keyasint"`
	Level  int64             `cbor:"4,keyasint"` // billionths put upon the series's own
}

type savedVector struct {
	Device     lamppost.DeviceID `cbor:"1,keyasint"`
	Quantities []quantity        `cbor:"2,keyasint"`
	Level      int64             `cbor:"3,keyasint"` // billionths put upon levels of series
	At         lamppost.TimeMS   `cbor:"4,keyasint"`
	Row        []savedValue      `cbor:"5,keyasint"` // what else was in it, and the reading
}

// A savedValue is one of a row's.
type savedValue struct {
	Place uint8  `cbor:"1,keyasint"`
	Bits  uint64 `cbor:"2,keyasint"` // the double's
}

type savedMeters struct {
	Members []member `cbor:"1,keyasint"`
	Scale   int8     `cbor:"2,keyasint"`
	Grouped bool     `cbor:"3,keyasint"`
	Place   int      `cbor:"4,keyasint"`
	Flags   uint8    `cbor:"5,keyasint"`
	Twice   bool     `cbor:"6,keyasint"`
}

const savedVersion = 2

func (s *saved) encode() []byte {
	s.Version = savedVersion
	return lamppost.Marshal(s)
}

var errState = errors.New("it is no state that a verdict can be replayed from")

// Replay gives the verdicts on a reading again, from the state before it: all bytes are as they were. A state that was damaged, or is of
// another version of the models, is refused.
func Replay(state []byte, r Reading) ([]lamppost.Verdict, error) {
	var s saved
	if err := lamppost.Unmarshal(state, &s); err != nil {
		return nil, fmt.Errorf("reading a state: %w", err)
	}
	all, err := s.replay(&r)
	for i := range all {
		place(&all[i], &r, s.From, sha256.Sum256(state))
	}
	return all, err
}

func (s *saved) replay(r *Reading) ([]lamppost.Verdict, error) {
	switch {
	case s.Version != savedVersion:
		return nil, errState
	case s.Series != nil:
		return s.Series.replay(s.Model, r)
	case s.Vector != nil:
		return s.Vector.replay(s.Model, r)
	case s.Meters != nil:
		return s.Meters.replay(s.Model, r)
	}
	return nil, errState
}

func (s *savedSeries) replay(model []byte, r *Reading) ([]lamppost.Verdict, error) {
	unit := slices.Index(s.Units, r.Unit)
	if unit < 0 || unit >= maxUnits || r.Device != s.Device || r.Name != s.Name {
		return nil, errors.New("the state is of another series")
	}
	m := newSeriesModel(&slot{units: s.Units})
	if err := m.load(model); err != nil {
		return nil, err
	}
	e := entry{at: r.Time, bits: math.Float64bits(r.number()), extra: uint64(s.Level), kind: uint8(r.Kind), unit: uint8(unit)}
	v, err := m.observe(&e)
	if err != nil || !v.Alarm {
		return nil, err
	}
	return []lamppost.Verdict{anomaly(&v, m.Level())}, nil
}

func (s *savedVector) replay(model []byte, r *Reading) ([]lamppost.Verdict, error) {
	own := slices.IndexFunc(s.Quantities, func(q quantity) bool { return q == quantity{r.Name, r.Unit, r.Kind} })
	if r.Device != s.Device || own < 0 || r.Time < s.At-momentMS || r.Time > s.At+momentMS {
		return nil, errors.New("the state is of other quantities, or of another moment")
	}
	m := newVectorModel(nil, s.Quantities)
	if m.Vector == nil || len(s.Row) == 0 {
		return nil, errState
	}
	if err := m.load(model); err != nil {
		return nil, err
	}
	for _, x := range s.Row {
		if int(x.Place) == own {
			x.Bits = math.Float64bits(r.number())
		}
		m.take(&entry{bits: x.Bits, unit: x.Place})
	}
	v := m.judge(s.At, s.Level)
	if name := m.about(&v); v.Alarm && name == r.Name {
		return []lamppost.Verdict{m.anomaly(&v, name)}, nil
	}
	return nil, nil
}

func (s *savedMeters) replay(model []byte, r *Reading) ([]lamppost.Verdict, error) {
	n := len(s.Members)
	if n == 0 || n > plausible.MaxMeters+1 || s.Grouped && n < 2 || !s.Grouped && (n != 1 || s.Place != 0) || s.Place < plausible.Main || s.Place >= n || s.Scale > 0 || s.Scale < minScale {
		return nil, errState
	}
	m := &meters{members: s.Members, scale: s.Scale}
	m.make(s.Grouped)
	if x := m.member(s.Place); r.Device != x.Device || r.Name != x.Name || r.Unit != x.Unit {
		return nil, errors.New("the state is of other meters")
	}
	if err := m.load(model); err != nil {
		return nil, err
	}
	e := m.entry(r, s.Place, s.Flags)
	found, err := m.observe(&e)
	if err != nil {
		return nil, err
	}
	return m.verdicts(m.own(found, s.Place, s.Twice)), nil
}

// own leaves out what a main meter is found of by itself, where it is judged elsewhere too.
func (m *meters) own(found []plausible.Finding, place int, twice bool) []plausible.Finding {
	if !twice || place != plausible.Main {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(f plausible.Finding) bool { return f.Meter == plausible.Main && f.Code != plausible.Unbalanced })
}
