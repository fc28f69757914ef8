package demo

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

// Limits and rules of the street's lamps.
const (
	minLevel    = 30     // percent; below it the street is not safe
	darkWPerM2  = 40     // lamps burn below this irradiance
	busyStreet  = 4_000  // vehicles per hour from which a lamp wants to burn at full
	quietLevel  = 15     // percent that a lamp wants on an empty street
	standbyMW   = 500    // milliwatts a lamp takes when it is off
	newLumens   = 5_600  // of a new lamp at full
	agedLumens  = 220    // lost with every year of age
	ratedMW     = 40_000 // milliwatts at full
	mwMSPerWh   = 3_600_000_000
	lmPctMSPerH = 360_000_000 // lumen × percent × millisecond in a lumen hour
)

// A lamp is a street lamp of 40 W that dims itself. Its registers are integrals of what it did, in integers.
type lamp struct {
	week   *Week
	guard  *guard.State
	share  int64 // percent of the street's traffic that passes it
	lumens int64 // at full
	base   int64 // Wh on the register when the week begins

	at     lamppost.TimeMS // up to where it is integrated
	level  int             // percent, since at
	energy int64           // mW × ms
	light  int64           // lm × percent × ms
	held   int             // quarter hours in which the guard held the level up
}

// newLamp makes the n-th lamp of the street, counted from 0. Lamps differ in age and in the traffic that passes them.
func newLamp(w *Week, n int) *lamp {
	age := int64(n * 7 % 13)
	return &lamp{
		week: w, guard: lampGuard(), share: 60 + int64(n*37%61),
		lumens: newLumens - agedLumens*age, base: 160_000*age + 3_217*int64(n), at: w.From(),
	}
}

// lampGuard keeps the light of a lamp at the safe level. What its owner would sign at the enrolment is written into it here.
func lampGuard() *guard.State {
	s := guard.New(lamppost.Public)
	s.Charters = []guard.Held{{Charter: lamppost.Charter{Functions: []lamppost.Function{{Name: "light", Class: lamppost.Public, Min: minLevel}}}}}
	return s
}

// decide sets the level for the time that follows: off by day; by night the more the busier, and never below what the
// guard grants.
func (l *lamp) decide(t lamppost.TimeMS) {
	if l.week.light(t) >= darkWPerM2 {
		l.level = 0
		return
	}
	vehicles := l.week.Hours[l.week.at(t)].Vehicles * l.share / 100
	wanted := quietLevel + int((100-quietLevel)*min(vehicles, busyStreet)/busyStreet)
	least := int(l.guard.Least("light").Level)
	if wanted < least {
		l.held++
	}
	l.level = max(wanted, least)
}

// powerMW is what the lamp takes at its level.
func (l *lamp) powerMW() int64 {
	if l.level == 0 {
		return standbyMW
	}
	return ratedMW * int64(l.level) / 100
}

// read moves the lamp on to t and returns what it measures there.
func (l *lamp) read(t lamppost.TimeMS) []lamppost.Reading {
	passed := int64(t - l.at)
	l.energy += l.powerMW() * passed
	l.light += l.lumens * int64(l.level) * passed
	l.at = t
	l.decide(t)
	return []lamppost.Reading{
		{Name: registerEnergy, Unit: "Wh", Kind: lamppost.Register, Time: t, Value: lamppost.Dec(l.base+l.energy/mwMSPerWh, 0)},
		{Name: registerLight, Unit: unitLight, Kind: lamppost.Register, Time: t, Value: lamppost.Dec(l.light/lmPctMSPerH, 0)},
		{Name: "power", Unit: "W", Time: t, Value: lamppost.Dec(l.powerMW()/100, -1)},
		{Name: "level", Unit: "%", Time: t, Value: lamppost.Dec(int64(l.level), 0)},
	}
}

// heldUp returns in how many quarter hours the guard held the level up.
func (l *lamp) heldUp() int { return l.held }
