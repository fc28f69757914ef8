package demo

import (
	"bytes"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

// The agents cost a third less than full light and less than the best timetable that anybody could have found, and no street is too dark for a minute.
// The figures are those that the documentation has. Every decision replays from what is kept.
func TestAgentsAreWorthIt(t *testing.T) {
	t.Parallel()
	d := newDistrict(loadWeek(t))
	var said []pilot.Made
	for _, l := range d.lamps() {
		l.say = func(m pilot.Made) { said = append(said, m) }
		for at := d.week.From(); at <= d.week.To(); at += quarterMS {
			l.read(at)
		}
	}
	x := compare(d.week, d.lamps())
	kWh := func(u used) string { return lamppost.Dec(u.mWms/mwMSPerWh, -3).String() }
	if got, want := kWh(x.decided)+" "+kWh(x.timetable)+" "+kWh(x.full), "90.763 95.930 153.480"; got != want {
		t.Errorf("%s kWh, want %s", got, want)
	}
	if got, want := cents(x.decided.cost).String()+" "+cents(x.timetable.cost).String()+" "+cents(x.full.cost).String(), "27.93 29.20 41.71"; got != want {
		t.Errorf("%s %s, want %s", got, currency, want)
	}
	if x.minutes != 0 {
		t.Errorf("too dark for %d minutes", x.minutes)
	}
	if len(said) != 1523 {
		t.Errorf("%d decisions", len(said))
	}
	replay(t, said)
	for i := range d.agents {
		if err := d.agents[i].Check(); err != nil {
			t.Error(err)
		}
	}
}

// replay decides some again: each is in the mode that the owner ordered, and the same byte for byte.
func replay(t *testing.T, said []pilot.Made) {
	t.Helper()
	for i := range said {
		m := &said[i]
		if m.Decision.Mode != lamppost.AgentBounded {
			t.Fatalf("%+v", m.Decision)
		}
		if i%97 != 0 {
			continue
		}
		again, err := agent.Replay(m.Inputs)
		if err != nil || !bytes.Equal(lamppost.Marshal(again), lamppost.Marshal(m.Decision)) {
			t.Errorf("decision %d replays as %+v, %v", i, again, err)
		}
	}
}

// What is expected at a time does not depend on traffic or light that come later.
func TestOutlookSeesNothingOfWhatComes(t *testing.T) {
	t.Parallel()
	a, b := loadWeek(t), loadWeek(t)
	at := a.From() + 60*hourMS
	for i := range b.outlook.hours {
		if h := &b.outlook.hours[i]; h.Start > at+hourMS { // the light of an hour reaches into the one before
			h.Vehicles, h.Irradiance = 9, 9
		}
	}
	for now := a.From(); now <= at; now += quarterMS {
		x, y := a.outlook.at(now), b.outlook.at(now)
		for i := range x {
			if len(x[i]) != horizon {
				t.Fatalf("%s at %d: %d points", expectedNames[i], now, len(x[i]))
			}
			for k := range x[i] {
				if x[i][k] != y[i][k] {
					t.Fatalf("%s at %d, point %d: %+v and %+v", expectedNames[i], now, k, x[i][k], y[i][k])
				}
			}
		}
	}
	later := at + 30*hourMS
	if x, y := a.outlook.at(later), b.outlook.at(later); x[0][0] == y[0][0] {
		t.Error("other traffic is expected to be the same: this test shows nothing")
	}
}

// Of each device one decision is ordered at a time, the oldest first, and none is lost.
func TestDecisionsInOrder(t *testing.T) {
	t.Parallel()
	q := decisions{more: make(chan struct{}, 1)}
	for at := range lamppost.TimeMS(3) {
		for n := range 2 {
			if n == 0 || at < 2 {
				q.add(pilot.Made{Decision: lamppost.Decision{Device: lampID(n), At: at}})
			}
		}
	}
	for at, want := range []int{2, 2, 1, 0} {
		part := q.next()
		if len(part) != want {
			t.Fatalf("%d decisions in order %d, want %d", len(part), at, want)
		}
		for i := range part {
			if part[i].Decision.At != lamppost.TimeMS(at) || part[i].Decision.Device != lampID(i) {
				t.Errorf("order %d: %+v", at, part[i].Decision)
			}
		}
	}
}

// Asked for money alone, agents of lamps with sensors do what the sensors would alone: docs/agents.md says so, and where the savings come from.
func TestAgentsFollowSensors(t *testing.T) {
	t.Parallel()
	d := newDistrict(loadWeek(t))
	for n, l := range d.lamps() {
		for at := d.week.From(); at < d.week.To(); at += quarterMS {
			l.read(at)
			want := 0
			if l.dark(at) {
				want = max(required(l.vehicles(at)), minLevel)
			}
			if l.level != want {
				t.Fatalf("lamp %d at %s: level %d, its sensor says %d", n, d.week.local(at, "Mon 15:04"), l.level, want)
			}
		}
	}
}
