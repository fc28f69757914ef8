// Package triage knows what is unusual in a series of readings, as they come: no training, one setting for all series, bounded memory.
//
// Start reading at [Series], which judges one reading after the other. It puts them in order, lets its models score them, mixes the
// scores, and decides what is an alarm. Models are small and can say in numbers why: [ReasonCode] lists what they can say.
// docs/intelligence.md has what they find in a public benchmark, and how they were chosen.
//
// What it promises: a verdict depends only on the readings up to it (nothing ahead, no length, no labels); the same readings give the
// same bits on every machine, whether or not the state was saved and restored between them; a series takes less than [MaxSeriesBytes];
// once it has grown to what it keeps, a reading allocates nothing. What it does not: it knows no device, ledger or disk, and does not judge what a meter may measure.
package triage

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
)

// Limits.
const (
	MaxSeriesBytes = 128 << 10 // in memory, and saved
	MaxValue       = 1e30      // a reading's magnitude
	MaxReasons     = 3         // of an alarm

	maxReadings = math.MaxInt32 // that a count reaches: 68 years of one a second
	msPerHour   = 3_600_000
	msPerDay    = 24 * msPerHour
)

// What is refused. A refused reading changes nothing.
var (
	ErrNumber    = errors.New("a reading is a finite number of a magnitude up to 1e30")
	ErrLate      = errors.New("a reading is older than the latest of its series")
	ErrDuplicate = errors.New("a series has a reading of this time already")
	ErrUnit      = errors.New("a unit is longer than a report can say")

	errNegative = errors.New("a variance below 0")
)

// A Sample is one reading of a series.
type Sample struct {
	AtMS  lamppost.TimeMS
	Value float64
	Unit  string
	Kind  lamppost.Kind // a register is judged by its rate an hour, others by their value
}

// A Verdict is what a series says of a reading.
type Verdict struct {
	Score float64 // how unusual: 0 is usual; comparable between series
	Alarm bool
	Fresh bool // there is nothing to compare with: the first readings, another unit, a register's first or one that fell
	// LatestMS is of a reading that came late: the time of the latest then; else 0.
	LatestMS lamppost.TimeMS

	// Of an alarm: the weightiest reasons, and what the score would be without them. The slice is the series's own until the next
	// reading. Since is when what is wrong began: the first reading that the weightiest reason is about, or, if that is earlier, the
	// first of those up to now whose scores all reach the series's own level, as where another alarm was too recent to say so.
	Reasons []Reason
	Without float64
	Since   lamppost.TimeMS
}

// A Series judges the readings of one quantity of one device. It is not for concurrent use.
type Series struct {
	models  []Model
	weights []float64
	alarm   Alarm

	unit     string
	kind     lamppost.Kind
	n        int             // readings judged since the unit is what it is
	high     bool            // the latest score reached the level,
	risen    lamppost.TimeMS // and all of them from this time on
	begun    bool
	last     Sample
	width    spread
	windows  windows
	features Features
	parts    []part
	reasons  [MaxReasons]Reason
}

// A part is what a model has said of the latest reading.
type part struct {
	model int
	worth float64 // its share of the score
}

// NewSeries returns a series with the models and settings that were chosen: see docs/intelligence.md.
func NewSeries() *Series {
	s, _ := NewSeriesOf(Weighted{newRanges(), 1}, Weighted{newShift(), 0.5}, Weighted{newDiscord(3, 8), 0.35},
		Weighted{newDiscord(12, 8), 0.35}, Weighted{newDiscord(24, 8), 0.35})
	return s
}

// Weighted is a model with its weight in the mix.
type Weighted struct {
	Model  Model
	Weight float64 // above 0
}

// NewSeriesOf returns a series with other models, for tests and experiments.
func NewSeriesOf(models ...Weighted) (*Series, error) {
	s := &Series{alarm: NewAlarm(DefaultLevel)}
	for _, m := range models {
		if !(m.Weight > 0) {
			return nil, fmt.Errorf("a model's weight is above 0, not %v", m.Weight)
		}
		s.models, s.weights = append(s.models, m.Model), append(s.weights, m.Weight)
	}
	s.parts = make([]part, 0, len(models))
	return s, nil
}

// Observe judges a reading and learns it. It refuses what is no number, late or a duplicate: [ErrNumber], [ErrUnit],
// [ErrLate], [ErrDuplicate].
func (s *Series) Observe(x Sample) (Verdict, error) {
	if err := s.check(x); err != nil {
		return Verdict{}, err
	}
	if s.begun && (x.Unit != s.unit || x.Kind != s.kind) {
		s.restart()
	}
	before, begun := s.last, s.begun
	s.unit, s.kind, s.last, s.begun = x.Unit, x.Kind, x, true
	if x.Kind == lamppost.Register {
		if !begun || x.Value < before.Value {
			return Verdict{Fresh: true}, nil // a fall is a reset or an exchange, which are declared, never inferred
		}
		x.Value = float64((x.Value - before.Value) / float64(x.AtMS-before.AtMS) * msPerHour)
		if x.Value > MaxValue {
			return Verdict{Fresh: true}, nil
		}
	}
	return s.judge(x), nil
}

// Late judges a reading that [Series.Observe] has refused as late or a duplicate, by what needs no order: its value against the range so far, and its
// hour's. It learns nothing; an alarm counts like any other. A register is judged by its course, so a late one is refused again, and so is one of
// another unit or kind: [ErrLate]. The score is no higher than it would have been in order.
func (s *Series) Late(x Sample) (Verdict, error) {
	i := slices.IndexFunc(s.models, func(m Model) bool { _, ok := m.(*ranges); return ok })
	if i < 0 || x.Kind == lamppost.Register || x.Kind != s.kind || x.Unit != s.unit || !(math.Abs(x.Value) <= MaxValue) {
		return Verdict{}, ErrLate
	}
	v := Verdict{Fresh: s.n <= warmUp, LatestMS: s.last.AtMS, Since: x.AtMS}
	weight := 0.0
	for _, w := range s.weights {
		weight += w
	}
	s.features = Features{Sample: x, Low: s.width.low, High: s.width.high, Width: s.width.width, windows: &s.windows}
	score, why := s.models[i].(*ranges).late(&s.features)
	v.Score = float64(s.weights[i]*min(score, mostScore)) / weight
	if v.Alarm = s.alarm.Late(v.Score); v.Alarm {
		why.Worth = v.Score
		s.reasons[0] = why
		v.Reasons = s.reasons[:1]
	}
	return v, nil
}

func (s *Series) check(x Sample) error {
	switch {
	case !(math.Abs(x.Value) <= MaxValue):
		return ErrNumber
	case len(x.Unit) > lamppost.MaxUnitBytes:
		return ErrUnit
	case s.begun && x.AtMS < s.last.AtMS:
		return ErrLate
	case s.begun && x.AtMS == s.last.AtMS:
		return ErrDuplicate
	}
	return nil
}

// restart forgets everything: a reading of another unit or kind begins another series.
func (s *Series) restart() {
	for _, m := range s.models {
		m.reset()
	}
	raised := s.alarm.raised
	s.alarm, s.n, s.windows = NewAlarm(s.alarm.Level), 0, windows{}
	s.alarm.raised, s.high, s.risen = raised, false, 0
	s.width.reset()
	s.unit, s.kind, s.last, s.begun = "", 0, Sample{}, false
}

// Raise puts something above 0 upon the level of the series until it is called again: what whoever has many series wants fewer alarms by. A saved
// state does not hold it.
func (s *Series) Raise(by float64) { s.alarm.Raise(by) }

// Level is what the latest score was held against: the series's own level, what its alarms put upon it and what Raise did, or what was
// accepted.
func (s *Series) Level() float64 { return s.alarm.Height() }

// Accept notes that a person called an alarm of this score usual: for 40,000 readings only a higher score is one. Of several the highest
// counts, from the last on. A saved state holds it; another unit forgets it.
func (s *Series) Accept(score float64) { s.alarm.Accept(score) }

func (s *Series) judge(x Sample) Verdict {
	s.n++
	s.width.add(x.Value)
	s.windows.add(x.AtMS, x.Value)
	s.features = Features{Sample: x, Low: s.width.low, High: s.width.high, Width: s.width.width, windows: &s.windows}
	v := Verdict{Score: s.score(), Fresh: s.n <= warmUp}
	if high := v.Score >= s.alarm.Level; high != s.high {
		s.high, s.risen = high, x.AtMS
	}
	if v.Alarm = s.alarm.Next(v.Score); v.Alarm {
		v.Reasons, v.Without = s.explain(v.Score)
		v.Since = min(v.Reasons[0].SinceMS, s.risen)
	}
	return v
}

// No model's score counts for more than mostScore, or for less than 0.
const mostScore = 8

// score is the weighted mean of the models that have something to say.
func (s *Series) score() float64 {
	sum, weight := 0.0, 0.0
	s.parts = s.parts[:0]
	for i, m := range s.models {
		score, ready := m.next(&s.features)
		if !ready {
			continue
		}
		score = float64(s.weights[i] * min(max(score, 0), mostScore))
		s.parts = append(s.parts, part{i, score})
		sum, weight = sum+score, weight+s.weights[i]
	}
	if weight == 0 {
		return 0
	}
	for i := range s.parts {
		s.parts[i].worth /= weight
	}
	return sum / weight
}

// explain names the weightiest models until the score without them is below the level, or there is no more room.
func (s *Series) explain(score float64) ([]Reason, float64) {
	reasons := s.reasons[:0]
	for len(reasons) < MaxReasons && (len(reasons) == 0 || score >= s.alarm.Level) {
		most := -1
		for i, p := range s.parts {
			if p.worth > 0 && (most < 0 || p.worth > s.parts[most].worth) {
				most = i
			}
		}
		if most < 0 {
			break
		}
		r := s.models[s.parts[most].model].reason()
		r.Worth, r.SinceMS = s.parts[most].worth, s.windows.began(r.Readings)
		reasons = append(reasons, r)
		score -= r.Worth
		s.parts[most].worth = 0
	}
	return reasons, score
}
