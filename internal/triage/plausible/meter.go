package plausible

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// maxFindings of one reading of one meter: every rule speaks once at most.
const maxFindings = 6

// A Meter judges the readings of one register.
type Meter struct {
	size    float64 // the most that the connection lets through in an hour
	grouped bool    // its days are judged by the group

	begun  bool
	last   Reading // of those that were in order
	trail  trail
	frozen frozen
	off    off
	night  night
	days   days
	found  [maxFindings]Finding

	// Of the latest reading: it is the last now, and it does not go on from the one before. Not of the state.
	moved, broke bool
}

// NewMeter returns a meter at a connection that lets at most size units through in an hour. It refuses others: [ErrSize].
func NewMeter(size int64) (*Meter, error) {
	if size < 1 || size > MaxRegister {
		return nil, ErrSize
	}
	return &Meter{size: float64(size)}, nil
}

// Observe judges a reading and learns it. One that comes later than younger ones, or is aside, is held against what the register showed just
// before and after, and teaches nothing else. The findings are the meter's own until the next reading. It refuses [ErrRegister] and [ErrTime].
func (m *Meter) Observe(r Reading) ([]Finding, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	m.moved, m.broke = false, false
	found, again := m.hold(r, m.found[:0])
	if again || r.Aside || m.begun && r.AtMS <= m.last.AtMS {
		return found, nil
	}
	before, begun := m.last, m.begun
	m.last, m.begun, m.moved = r, true, true
	s := step{before.AtMS, r.AtMS, float64(r.Register - before.Register), r.Off}
	if !begun || r.Exchanged || s.used < 0 || s.used > m.let(s) {
		m.restart() // nobody used that, so nothing is learnt from it
		return found, nil
	}
	return m.judge(s, found), nil
}

// restart is for a register that does not go on from where it was: what was being counted begins again, what was learnt stays.
func (m *Meter) restart() {
	m.broke = true
	m.frozen.stop()
	m.off = off{}
	m.night.stop()
	m.days.stop()
}

// A step is what was used between two readings.
type step struct {
	fromMS, atMS lamppost.TimeMS
	used         float64
	off          bool
}

func (s step) hours() float64 { return float64(s.atMS-s.fromMS) / msPerHour }

// let is the most that the connection lets through in a step.
func (m *Meter) let(s step) float64 { return float64(m.size*s.hours()) + 1 }

func (m *Meter) judge(s step, found []Finding) []Finding {
	if f, ok := m.off.next(s, m.size); ok {
		found = append(found, f)
	}
	if f, ok := m.frozen.next(s); ok {
		found = append(found, f)
	}
	if f, ok := m.night.next(s, m.size); ok {
		found = append(found, f)
	}
	m.days.next(s)
	if m.grouped {
		return found
	}
	if f, ok := m.days.judge(0); ok {
		found = append(found, f)
	}
	return found
}

func finding(code Code, from, at lamppost.TimeMS, value, limit float64) Finding {
	return Finding{Code: code, FromMS: from, AtMS: at, Value: value, Limit: limit}
}

// off adds up what is used while nothing should. A stand-by is allowed: a share of what the connection lets through, and at first some hours
// of it at once, as a place is hardly ever left at the moment that was declared.
type off struct {
	fromMS lamppost.TimeMS
	used   float64
	hours  float64
	said   bool
}

const (
	standby      = 0.005
	standbyHours = 4
)

func (o *off) next(s step, size float64) (Finding, bool) {
	if !s.off {
		*o = off{}
		return Finding{}, false
	}
	if o.hours == 0 {
		o.fromMS = s.fromMS
	}
	o.used, o.hours = o.used+s.used, o.hours+s.hours()
	limit := float64(float64(standby*size) * (standbyHours + o.hours))
	if o.said || o.used <= limit {
		return Finding{}, false
	}
	o.said = true
	return finding(UsedWhileOff, o.fromMS, s.atMS, o.used, limit), true
}

func (o *off) state(s *saved.State) {
	timeState(s, &o.fromMS)
	amount(s, &o.used)
	amount(s, &o.hours)
	s.Flag(&o.said)
}

func timeState(s *saved.State, p *lamppost.TimeMS) {
	u := uint64(*p)
	s.Upto(&u, maxTimeMS)
	*p = lamppost.TimeMS(u)
}

func registerState(s *saved.State, p *int64) {
	u := uint64(*p)
	s.Upto(&u, MaxRegister)
	*p = int64(u)
}
