package demo

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

// Limits and rules of the street's lamps.
const (
	minLevel    = 30     // percent; below it the street is not safe
	darkWPerM2  = 40     // lamps burn below this irradiance
	quietLevel  = 15     // percent that an empty street needs by itself
	midLevel    = 60     // and one with midStreet vehicles an hour
	midStreet   = 1_000  //
	busyStreet  = 3_000  // from which it needs all
	standbyMW   = 500    // milliwatts a lamp takes when it is off
	newLumens   = 5_600  // of a new lamp at full
	agedLumens  = 220    // lost with every year of age
	ratedMW     = 40_000 // milliwatts at full
	mwMSPerWh   = 3_600_000_000
	lmPctMSPerH = 360_000_000 // lumen × percent × millisecond in a lumen hour
)

// A lamp is a street lamp of 40 W with an agent in its controller, which decides every quarter hour. Its registers are integrals of what it did, in
// integers.
type lamp struct {
	week   *Week
	id     lamppost.DeviceID
	guard  *guard.State
	share  int64 // percent of the street's traffic that passes it
	lumens int64 // at full
	base   int64 // Wh on the register when the week begins

	at      lamppost.TimeMS // up to where it is integrated
	level   int             // percent, since at
	energy  int64           // mW × ms
	light   int64           // lm × percent × ms
	held    int             // quarter hours in which the guard held the level up
	levels  []int           // of each quarter hour
	decided lamppost.Decision
	samples []pilot.Sample   // since it was decided
	say     func(pilot.Made) // hears of each change; nil: nobody does
}

// newLamp makes the n-th lamp of the street, counted from 0. Lamps differ in age and in the traffic that passes them.
func newLamp(w *Week, n int) *lamp {
	age := int64(n * 7 % 13)
	return &lamp{
		week: w, id: lampID(n), guard: lampGuard(), share: 60 + int64(n*37%61),
		lumens: newLumens - agedLumens*age, base: 160_000*age + 3_217*int64(n), at: w.From(),
	}
}

// lampGuard keeps the light of a lamp at the safe level. What its owner would sign at the enrolment is written into it here.
func lampGuard() *guard.State {
	s := guard.New(lamppost.Public)
	s.Charters = []guard.Held{{Charter: lamppost.Charter{Functions: []lamppost.Function{{Name: "light", Class: lamppost.Public, Min: minLevel}}}}}
	return s
}

// lampAgent is what the owner orders of a lamp's agent.
func lampAgent(id lamppost.DeviceID, tariff string) lamppost.AgentBody {
	percent := func(name string, n int64) lamppost.AgentRule {
		return lamppost.AgentRule{Name: name, Value: lamppost.Dec(n, 0), Unit: "%"}
	}
	return lamppost.AgentBody{Device: id, Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, Member: member, Currency: currency, Tariff: tariff, Site: street, Function: "light",
		Inputs: []lamppost.AgentInput{{Name: "daylight", Device: id, Reading: "daylight"}, {Name: "level", Device: id, Reading: "level"}, {Name: "traffic", Device: id, Reading: "traffic"}},
		Rules: []lamppost.AgentRule{
			{Name: "dark", Value: lamppost.Dec(lxPerW*darkWPerM2, 0), Unit: "lx"},
			{Name: "full", Value: lamppost.Dec(ratedMW, -3), Unit: "W"},
			percent("least", minLevel), percent("level_0", quietLevel), percent("level_1000", midLevel), percent("level_3000", 100),
			{Name: "sensor", Value: lamppost.Dec(1, 0)},
		}}
}

// vehicles is what the lamp's sensor sees, in an hour.
func (l *lamp) vehicles(t lamppost.TimeMS) int64 {
	return l.week.Hours[l.week.at(t)].Vehicles * l.share / 100
}

func (l *lamp) dark(t lamppost.TimeMS) bool { return l.week.light(t) < darkWPerM2 }

// required is the level in percent that traffic requires in the dark, before the guard is asked.
func required(vehicles int64) int {
	switch {
	case vehicles >= busyStreet:
		return 100
	case vehicles >= midStreet:
		return midLevel
	}
	return quietLevel
}

// inputs are what the agent decides from: what the sensors see, and what the street expects.
func (l *lamp) inputs(t lamppost.TimeMS) *agent.Inputs {
	seen := l.vehicles(t)
	in := &agent.Inputs{Format: 1, Device: l.id, Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, At: t, Step: quarterMS, Steps: horizon, Currency: currency,
		Bounds: agent.Bounds{Most: 1000},
		Lamp: &agent.Lamp{Full: ratedMW / 1000, Dark: lxPerW * darkWPerM2, Level: int64(10 * l.level), Sensed: &seen,
			Needs: []agent.Need{{From: 0, Level: 10 * quietLevel}, {From: midStreet, Level: 10 * midLevel}, {From: busyStreet, Level: 1000}}}}
	if l.dark(t) { // by day the guard asks for no light
		in.Bounds.Least = 10 * int64(l.guard.Least("light").Level)
	}
	e := l.week.outlook.at(t)
	for i, name := range expectedNames {
		f := agent.Forecast{Name: name, Usable: e[i] != nil, Points: append([]agent.Point(nil), e[i]...)}
		for k := range f.Points {
			if p := &f.Points[k]; name == "traffic" {
				p.Mean, p.Low, p.High = p.Mean*l.share/100, p.Low*l.share/100, p.High*l.share/100
			}
		}
		if name == "daylight" && len(f.Points) > 0 { // its sensor sees what is now
			now := lxPerW * l.week.light(t)
			p := &f.Points[0]
			p.Mean, p.Low, p.High = now, now, now
		}
		in.Forecasts = append(in.Forecasts, f)
	}
	return in
}

// decide lets the agent set the level for the time that follows. Whoever listens hears of it when the action is another.
func (l *lamp) decide(t lamppost.TimeMS) {
	in := l.inputs(t)
	d := agent.Decide(in)
	level, _ := d.Action.Value.At(-1)
	l.level = int(level / 10)
	least := int(in.Bounds.Least / 10)
	if l.dark(t) {
		need := required(*in.Lamp.Sensed)
		if need < least {
			l.held++
		}
		l.level = max(l.level, need, least) // its sensor and its guard have the last word
	}
	l.levels = append(l.levels, l.level)
	if d.Mode == l.decided.Mode && d.Action == l.decided.Action {
		return
	}
	if l.say != nil {
		d = agent.Record(in)
		l.say(pilot.Made{Decision: d, Inputs: in.Encode(), Samples: l.samples})
	}
	l.decided, l.samples = d, nil
}

// sample notes the time that has passed.
func (l *lamp) sample(t lamppost.TimeMS) {
	if t == l.at {
		return
	}
	l.samples = append(l.samples, pilot.Sample{At: t, For: t - l.at, Known: pilot.KnowsLamp, Price: int64(l.week.Hours[l.week.at(l.at)].Price),
		Traffic: l.vehicles(l.at), Daylight: lxPerW * l.week.light(l.at), Actual: int64(10 * l.level)})
}

// powerMW is what the lamp takes at its level.
func (l *lamp) powerMW() int64 { return powerMW(l.level) }

func powerMW(level int) int64 {
	if level == 0 {
		return standbyMW
	}
	return ratedMW * int64(level) / 100
}

// read moves the lamp on to t and returns what it measures there.
func (l *lamp) read(t lamppost.TimeMS) []lamppost.Reading {
	passed := int64(t - l.at)
	l.energy += l.powerMW() * passed
	l.light += l.lumens * int64(l.level) * passed
	l.sample(t)
	l.at = t
	l.decide(t)
	return []lamppost.Reading{
		{Name: registerEnergy, Unit: "Wh", Kind: lamppost.Register, Time: t, Value: lamppost.Dec(l.base+l.energy/mwMSPerWh, 0)},
		{Name: registerLight, Unit: unitLight, Kind: lamppost.Register, Time: t, Value: lamppost.Dec(l.light/lmPctMSPerH, 0)},
		{Name: "power", Unit: "W", Time: t, Value: lamppost.Dec(l.powerMW()/100, -1)},
		{Name: "level", Unit: "%", Time: t, Value: lamppost.Dec(int64(l.level), 0)},
		{Name: "traffic", Unit: "1/h", Time: t, Value: lamppost.Dec(l.vehicles(t), 0)},
		{Name: "daylight", Unit: "lx", Time: t, Value: lamppost.Dec(lxPerW*l.week.light(t), 0)},
	}
}

// heldUp returns in how many quarter hours the guard held the level up.
func (l *lamp) heldUp() int { return l.held }
