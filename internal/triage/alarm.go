package triage

import "github.com/lamppost/lamppost/internal/triage/saved"

// An Alarm turns scores into alarms: the level above which a score is one, and when not to say so again. Soon after an alarm there is no
// other, and a series that alarms often needs more each time, for long: most alarms of a restless series say nothing new.
type Alarm struct {
	Level float64

	n     int     // scores so far
	quiet int     // scores until the next alarm may be
	upon  float64 // what earlier alarms put upon the level, fading

	raised float64 // what is put upon it besides, by whoever has many series: not of the state
	height float64 // of the level at the latest score, all together: not of the state
}

// DefaultLevel was chosen on one half of the benchmark's files: see docs/intelligence.md.
const DefaultLevel = 0.54

const (
	warmUp     = 100 // no alarm in so many readings at first
	refractory = 60  // nor in so many after another

	eachAlarm = 0.2                // put upon the level by every alarm
	uponKeep  = 0.9998267282181494 // 2^(-1/4000): half of it is gone after 4,000 readings
)

// NewAlarm returns an alarm with a level of its own.
func NewAlarm(level float64) Alarm { return Alarm{Level: level} }

// Next reports whether a score is an alarm.
func (a *Alarm) Next(score float64) bool {
	a.n++
	a.upon = float64(a.upon * uponKeep)
	a.height = a.Level + a.upon + a.raised
	if a.quiet > 0 {
		a.quiet--
		return false
	}
	if a.n <= warmUp || score < a.height {
		return false
	}
	a.quiet, a.upon = refractory, a.upon+eachAlarm
	return true
}

// Raise puts something upon the level of the series until it is called again. A saved state does not hold it.
func (s *Series) Raise(by float64) { s.alarm.raised = by }

// Level is what the latest score was held against: the series's own level, what its alarms put upon it, and what Raise did.
func (s *Series) Level() float64 { return s.alarm.height }

func (a *Alarm) state(s *saved.State) {
	s.Count(&a.n, maxReadings)
	s.Count(&a.quiet, refractory)
	s.Float(&a.upon)
}
