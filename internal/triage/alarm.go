package triage

import "github.com/lamppost/lamppost/internal/triage/saved"

// An Alarm turns scores into alarms: the level above which a score is one, and when not to say so again. Soon after an alarm there is no
// other, and a series that alarms often needs more each time, for long: most alarms of a restless series say nothing new.
type Alarm struct {
	Level float64

	n     int     // scores so far
	quiet int     // scores until the next alarm may be
	upon  float64 // what earlier alarms put upon the level, fading

	accepted float64 // an alarm of this score was called usual,
	holds    int     // and that holds for so many scores

	raised float64 // put upon the level from outside; not of the state
	height float64 // what the latest score was held against; not of the state
}

// DefaultLevel was chosen on one half of the benchmark's files: see docs/intelligence.md.
const DefaultLevel = 0.54

const (
	warmUp     = 100 // no alarm in so many readings at first
	refractory = 60  // nor in so many after another

	eachAlarm = 0.2                // put upon the level by every alarm
	uponKeep  = 0.9998267282181494 // 2^(-1/4000): half of it is gone after 4,000 readings

	acceptedFor  = 40_000 // readings: 14 months of one every quarter of an hour
	mostAccepted = 16     // no score is above that, of a series or of several together
)

// NewAlarm returns an alarm with a level of its own.
func NewAlarm(level float64) Alarm { return Alarm{Level: level} }

// Next reports whether a score is an alarm.
func (a *Alarm) Next(score float64) bool {
	a.n++
	a.upon = float64(a.upon * uponKeep)
	if a.holds > 0 {
		a.holds--
	} else {
		a.accepted = 0
	}
	if a.quiet > 0 {
		a.quiet--
		a.raise()
		return false
	}
	return a.Late(score)
}

// Late is Next for a score out of order: no time goes by.
func (a *Alarm) Late(score float64) bool {
	if a.raise(); a.quiet > 0 || a.n <= warmUp || score < a.height || score <= a.accepted {
		return false
	}
	a.quiet, a.upon = refractory, a.upon+eachAlarm
	return true
}

// raise reckons what a score is held against.
func (a *Alarm) raise() { a.height = max(a.Level+a.upon+a.raised, a.accepted) }

// Raise puts something above 0 upon the level until it is called again. A saved state does not hold it.
func (a *Alarm) Raise(by float64) { a.raised = max(by, 0) }

// Height is what the latest score was held against.
func (a *Alarm) Height() float64 { return a.height }

// Accept notes that a person called an alarm of this score usual: for 40,000 scores only a higher one is an alarm. Of several the highest
// counts, from the last on.
func (a *Alarm) Accept(score float64) {
	if score > a.accepted {
		a.accepted = min(score, mostAccepted)
	}
	a.holds = acceptedFor
}

// State reads or writes what Next depends on, the level apart.
func (a *Alarm) State(s *saved.State) {
	s.Count(&a.n, maxReadings)
	s.Count(&a.quiet, refractory)
	s.Float(&a.upon)
	s.Within(&a.accepted, 0, mostAccepted)
	s.Count(&a.holds, acceptedFor)
}
