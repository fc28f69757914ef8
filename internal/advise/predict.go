package advise

import (
	"errors"

	"github.com/lamppost/lamppost/internal/explore"
)

// Measured is what was measured, ready to predict from. It does not change, and may be used by many at once.
type Measured struct {
	Source  Source
	engines map[string]*engine
}

// Unmeasured is returned for a point of which the rows say nothing.
type Unmeasured struct {
	Why string // "raft: rtt_ms 300 is outside what was measured, 0 to 100"
}

func (u *Unmeasured) Error() string { return u.Why }

// A Span is from the least to the most that was measured.
type Span struct{ Low, High float64 }

// Limits are what was measured of an engine: outside them nothing is predicted.
type Limits struct {
	Nodes    Span
	Devices  Span
	Rate     Span // reports a second, of rows with a rate
	Readings Span // in a report
	LingerMS Span
	Segment  Span
	RTTMS    Span
	Suites   []string // every mix of these
	Verify   []string
}

type engine struct {
	limits Limits
}

// Open prepares predictions from a sweep.
func Open(set *explore.Set) (*Measured, error) {
	m := &Measured{engines: map[string]*engine{}}
	for _, g := range explore.Groups(set.Rows) {
		if len(g.Rows) == 0 {
			continue
		}
		if m.engines[g.Engine] == nil {
			m.engines[g.Engine] = &engine{}
		}
	}
	if len(m.engines) == 0 {
		return nil, errors.New("there are no measured rows to predict from")
	}
	return m, nil
}

// Limits says what was measured of an engine; false: nothing.
func (m *Measured) Limits(engine string) (Limits, bool) {
	e := m.engines[engine]
	if e == nil {
		return Limits{}, false
	}
	return e.limits, true
}

// Predict says what a point with a rate would measure. The error is an [*Unmeasured] where the rows say nothing of it.
func (m *Measured) Predict(p explore.Point) (Prediction, error) {
	if m.engines[p.Engine] == nil {
		return Prediction{}, &Unmeasured{"no row is of engine " + p.Engine}
	}
	return Prediction{}, &Unmeasured{"not yet"}
}
