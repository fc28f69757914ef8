// Package forecast knows how a series goes on: load, traffic, light, water or price, hours to days ahead, with the range that nine of
// ten come to lie in and the reasons in numbers. One setting for all series; nothing to train beforehand.
//
// Start reading at [Series.Observe] and [Series.Forecast]. A series keeps four weeks of slots (window.go). What is known at a slot and a
// target makes features (features.go), scaled by the series itself, so that what is learnt of one device holds for its kin. A [Model]
// learns from them by additive statistics ([Stats]) that merge. Its forecast is mixed with plain ones by their recent errors (mix.go), and
// ranges follow what they missed (spread.go). docs/intelligence.md has how good that is.
//
// What it promises: a forecast depends only on readings before it; the same readings give the same bits on every machine, whether or not
// the state was saved and restored between them; memory is bounded; a forecast's parts sum to it; what must not be used says so. What it
// does not: it knows no device, no ledger and no weather, and it does not judge readings. Registers are for the caller to take differences of.
package forecast

import (
	"errors"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// Limits.
const (
	MaxStepsPerDay = 96  // a step is a quarter of an hour or longer
	MaxHorizon     = 384 // steps
	MaxDays        = 14  // of a horizon
	MaxHolidays    = 1000
	MaxValue       = 1e15 // a reading's magnitude
	MaxReasons     = 3

	// MaxBytes is what the largest series takes, its own model with it.
	MaxBytes = 384 << 10

	dayMS      = 86_400_000
	maxSamples = math.MaxInt32
	maxTimeMS  = 1 << 50
)

// What is refused. A refused reading changes nothing.
var (
	ErrNumber = errors.New("a reading is a finite number of a magnitude up to 1e15")
	ErrTime   = errors.New("a reading's time is not within 35,000 years of 1970")
	ErrLate   = errors.New("a reading is of a step that is over and known, or older than four weeks")
)

// Settings of a series.
type Settings struct {
	Step     lamppost.TimeMS // of which a day has a whole number, up to MaxStepsPerDay
	Horizon  int             // steps, up to MaxHorizon and to MaxDays
	Zone     tariff.Zone     // the local clock; without transitions it is UTC's
	Holidays []int64         // local days since 1970-01-01 that go like a Sunday, ascending
}

func (s *Settings) check() error {
	var step int = int(s.Step)
	switch {
	case s.Step <= 0 || dayMS%s.Step != 0 || dayMS/s.Step > MaxStepsPerDay:
		return fmt.Errorf("a day has no whole number of steps of %d ms, up to %d", s.Step, MaxStepsPerDay)
	case s.Horizon < 1 || s.Horizon > MaxHorizon || s.Horizon > MaxDays*(dayMS/step):
		return fmt.Errorf("a horizon of %d steps, not 1 to %d and up to %d days", s.Horizon, MaxHorizon, MaxDays)
	case len(s.Holidays) > MaxHolidays:
		return fmt.Errorf("%d holidays, at most %d", len(s.Holidays), MaxHolidays)
	}
	for i := 1; i < len(s.Holidays); i++ {
		if s.Holidays[i] <= s.Holidays[i-1] {
			return errors.New("holidays do not ascend")
		}
	}
	if len(s.Zone.Transitions) == 0 {
		return nil
	}
	_, err := tariff.ZoneFromTransitions(s.Zone.Name, s.Zone.Transitions)
	return err
}

// A State says whether a forecast can be used.
type State uint8

// The states.
const (
	Ready State = iota
	Young       // too little is known: less than two days, or than 14 steps
	Stale       // the latest reading is older than a quarter of the horizon and a step
	Stuck       // the value has been the same for a week
)

// String names the state.
func (s State) String() string { return [...]string{"ready", "young", "stale", "stuck"}[s&3] }

// A Forecast is what is expected of a series from an instant on.
type Forecast struct {
	At    lamppost.TimeMS
	AgeMS lamppost.TimeMS // since the end of the latest step that is known
	State State

	// Points are the steps that begin at At or later, up to the horizon from the latest known step. There are none in state Young.
	// The slice is the series's own until its next forecast.
	Points []Point
}

// Usable says whether to act on it.
func (f *Forecast) Usable() bool { return f.State == Ready && len(f.Points) > 0 }

// A Point is the forecast of one step. Nine of ten values come to lie from Low to High, one of twenty beyond either.
type Point struct {
	At        lamppost.TimeMS // the step's begin
	Middle    float64         // as likely too high as too low
	Mean      float64         // the expectation, for sums: of a skewed series it is not the middle
	Low, High float64
}

// A Series forecasts one quantity of one device. It is not for concurrent use, nor are series of one model.
type Series struct {
	settings Settings
	model    *Model
	own      bool // the model is of this series alone
	perDay   int
	stepMS   int
	window   window
	open     openSlot
	capped   int
	mixes    [maxGroups]mix
	spreads  [maxGroups]spread
	phases   []phase // errors by the time of the day
	pendings [][]pending
	points   []Point
	row      row // scratch
}

// An openSlot gathers the readings of the step that is not over.
type openSlot struct {
	slot int
	n    int
	mean float64
}

// New returns a series with a model of its own.
func New(s Settings) (*Series, error) {
	m, err := NewModel(s.Step, s.Horizon)
	if err != nil {
		return nil, err
	}
	x, err := m.NewSeries(s)
	if err == nil {
		x.own = true
	}
	return x, err
}

// NewSeries returns a series that shares a model with others of its kind.
func (m *Model) NewSeries(s Settings) (*Series, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Step != m.step || s.Horizon > m.horizon {
		return nil, fmt.Errorf("the model is of steps of %d ms up to %d ahead", m.step, m.horizon)
	}
	d := int(dayMS / s.Step)
	x := &Series{settings: s, model: m, perDay: d, stepMS: int(s.Step), pendings: newPendings(s.Horizon), window: newWindow(d, s.Horizon)}
	x.phases, x.points = make([]phase, d), make([]Point, 0, s.Horizon)
	x.restart()
	return x, nil
}

func (s *Series) restart() {
	for g := range s.mixes {
		s.mixes[g], s.spreads[g] = mix{}, newSpread()
	}
	for i := range s.phases {
		s.phases[i] = phase{mean: phaseStart}
	}
	for _, ring := range s.pendings {
		clear(ring)
	}
	s.window.clear()
	s.open, s.capped = openSlot{}, 0
}

// Observe takes a reading. Readings of one step are averaged, in any order, until the step is over: a later one comes, or [Series.Advance]
// says so. A step without readings is filled in, and not learnt from. A late reading of such a step is kept in its place. It refuses
// what cannot be: [ErrNumber], [ErrTime], [ErrLate].
func (s *Series) Observe(at lamppost.TimeMS, value float64) error {
	if !(math.Abs(value) <= MaxValue) {
		return ErrNumber
	}
	if at < -maxTimeMS || at > maxTimeMS {
		return ErrTime
	}
	slot := s.slotOf(at)
	switch {
	case s.open.n > 0 && slot == s.open.slot:
		if s.open.n < maxSamples {
			s.open.n++
			s.open.mean += (value - s.open.mean) / float64(s.open.n)
		}
		return nil
	case s.open.n > 0 && slot < s.open.slot, s.open.n == 0 && s.window.n > 0 && slot <= s.window.last:
		if !s.window.filled(slot) {
			return ErrLate
		}
		e := s.window.entry(slot)
		e.value, e.measured = s.held(value), true
		return nil
	}
	s.close()
	s.open = openSlot{slot, 1, value}
	return nil
}

// Advance says that it is now this late: a step that is over is learnt, without waiting for the next one's reading.
func (s *Series) Advance(now lamppost.TimeMS) {
	if s.open.n > 0 && s.slotOf(now) > s.open.slot {
		s.close()
	}
}

// close ends the open step: forecasts that were made for it are compared with it, and learnt from.
func (s *Series) close() {
	if s.open.n == 0 {
		return
	}
	slot, value := s.open.slot, s.open.mean
	s.open = openSlot{}
	if slot-s.window.last-1 > windowDays*s.perDay {
		s.window.clear() // nothing that is known is of now
	}
	if s.window.n > 0 {
		value = s.held(value)
		s.fill(slot, value)
	}
	s.push(slot, value, true)
	s.came()
	s.said()
}

// push appends a step to the window.
func (s *Series) push(slot int, value float64, measured bool) {
	c := s.clock(slot)
	s.window.push(slot, entry{value: value, clock: c, measured: measured})
	same, _, _ := s.window.usual(slot-1, slot, c)
	s.window.note(same)
}

// A value is taken as it is within so many widths of the last four weeks' range; beyond, as the bound. A level that truly changed gets there in a
// few steps, since the range grows with each.
const capWidths = 4

func (s *Series) held(value float64) float64 {
	if s.window.n < 2*s.perDay {
		return value
	}
	o := s.window.origin(s.window.last)
	width := max(o.high-o.low, float64(0.5*max(math.Abs(o.low), math.Abs(o.high))))
	if width == 0 {
		return value
	}
	held := min(max(value, o.low-float64(capWidths*width)), o.high+float64(capWidths*width))
	if held != value {
		s.capped++
	}
	return held
}

// Capped is how many readings were so far from all of four weeks that they were taken as less.
func (s *Series) Capped() int { return s.capped }

// least is how many steps make a series old enough.
func (s *Series) least() int { return max(2*s.perDay, 14) }

// Forecast says how the series goes on from an instant, which is now or earlier than its end's horizon.
func (s *Series) Forecast(now lamppost.TimeMS) Forecast {
	s.Advance(now)
	f := Forecast{At: now}
	if s.window.n == 0 {
		f.State = Young
		return f
	}
	last := s.window.last
	f.AgeMS = max(0, now-s.begin(last+1))
	f.State = s.fitness(f.AgeMS)
	if f.State == Young {
		return f
	}
	next := -s.slotOf(-now) // the first step that begins at now or later
	s.points = s.points[:0]
	for h := max(1, next-last); h <= s.settings.Horizon; h++ {
		s.points = append(s.points, s.point(h))
	}
	f.Points = s.points
	return f
}

func (s *Series) fitness(age lamppost.TimeMS) State {
	switch {
	case s.window.n < s.least():
		return Young
	case age > s.begin(s.settings.Horizon/4+1):
		return Stale
	case s.window.run >= max(7*s.perDay, 7):
		return Stuck
	}
	return Ready
}

func (s *Series) point(h int) Point {
	g, slot := groupOf(h), s.window.last+h
	o := s.window.origin(s.window.last)
	s.expect(&s.row, o, g, h)
	middle := o.tame(s.mixes[g].of(&s.row.experts))
	size := float64(s.phases[s.row.clock.phase].size() * o.scale)
	if s.row.like == 0 {
		size = float64(size * strange)
	}
	q := &s.spreads[g]
	return Point{At: s.begin(slot), Middle: middle, Mean: middle + float64(q.bias*o.scale),
		Low: min(o.tame(middle-float64(q.below*size)), o.high), High: max(o.tame(middle+float64(q.above*size)), o.low)}
}

// begin is when a step begins.
func (s *Series) begin(slot int) lamppost.TimeMS { return lamppost.TimeMS(slot * s.stepMS) }

// slotOf is the step that an instant is in, counted from 1970.
func (s *Series) slotOf(at lamppost.TimeMS) int {
	slot := int(at) / s.stepMS
	if int(at)%s.stepMS < 0 {
		slot--
	}
	return slot
}
