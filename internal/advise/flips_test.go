package advise

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// everyFleet runs a test on each fleet of examples/fleets.
func everyFleet(t *testing.T, test func(t *testing.T, f *Fleet, a *Answer)) {
	paths, err := filepath.Glob(fleets + "*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found no fleets (%v)", err)
	}
	m, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if name == "expected" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := readFleet(t, name)
			a, err := Advise(f, m)
			if err != nil {
				t.Fatal(err)
			}
			test(t, f, a)
		})
	}
}

// TestFlipsFlip: whoever makes the change that an answer names is told what the answer says.
func TestFlipsFlip(t *testing.T) {
	t.Parallel()
	m, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWeigher(m)
	if err != nil {
		t.Fatal(err)
	}
	everyFleet(t, func(t *testing.T, f *Fleet, a *Answer) {
		before := f.clone()
		if len(a.Flips) == 0 || len(a.Flips) > mostFlips {
			t.Errorf("%d flips", len(a.Flips))
		}
		for _, flip := range a.Flips {
			n, err := flip.Apply(f)
			if err != nil {
				t.Errorf("%+v: %v", flip, err)
				continue
			}
			b := w.weigh(n)
			if b.outcome() != flip.Then || flip.Then == a.outcome() {
				t.Errorf("%+v: it is %q then, and was %q", flip, b.outcome(), a.outcome())
			}
		}
		if !slices.Equal(before.Organisations[0].Trusts, f.Organisations[0].Trusts) || before.Needs.LatencyMS != f.Needs.LatencyMS {
			t.Error("looking for flips changed the fleet")
		}
	})
}

// TestAnswersKeepMusts: what is placed breaks nothing, what is out says why, places are in order of cost, ledgers of others among themselves, and words are there for everything.
func TestAnswersKeepMusts(t *testing.T) {
	t.Parallel()
	everyFleet(t, func(t *testing.T, f *Fleet, a *Answer) {
		var last float64
		for i, o := range a.Options {
			switch {
			case (o.Place > 0) != (len(o.Out) == 0):
				t.Errorf("%s: place %d, out %q", o.Name, o.Place, o.Out)
			case o.Place > 0 && o.Place != i+1:
				t.Errorf("%s: place %d at %d", o.Name, o.Place, i)
			case o.Place > 1 && o.Year.EUR.Mid < last && a.Verdict != "database" && (o.Kind == "outside") == (a.Options[i-1].Kind == "outside"):
				t.Errorf("%s is cheaper than what stands before it", o.Name)
			}
			if o.Year != nil {
				last = o.Year.EUR.Mid
			}
			if o.Place == 0 || o.Figures == nil {
				continue
			}
			if o.Figures.Sure > f.Needs.LatencyMS || o.Figures.Capacity.Low < a.Demand.ReadingsPerS {
				t.Errorf("%s is placed with %+v for %+v", o.Name, o.Figures, a.Demand)
			}
		}
		text := a.Text()
		for _, want := range []string{f.Name, a.Options[0].Name, verdicts[a.Verdict], "What it rests on"} {
			if !strings.Contains(text, want) {
				t.Errorf("the text does not say %q", want)
			}
		}
	})
}

// TestChanges: every change that is looked at can be made, and does not touch the fleet.
func TestChanges(t *testing.T) {
	t.Parallel()
	f := parse(t, `
name: x
classes:
  - {name: a.b, devices: 10, signs: [ed25519], readings_a_day: 96, power: battery, battery_wh: 8, battery_years: 5}
organisations: [{name: o.p, runs: true}, {name: q}]
needs: {stay_in: [DE], budget_a_year: 100}`)
	for _, c := range []struct {
		field, to string
		is        func(*Fleet) bool
	}{
		{"needs.latency_ms", "12", func(f *Fleet) bool { return f.Needs.LatencyMS == 12 }},
		{"needs.survive", "machine", func(f *Fleet) bool { return f.Needs.Survive == "machine" }},
		{"needs.stay_in", "anywhere", func(f *Fleet) bool { return len(f.Needs.StayIn) == 0 }},
		{"classes.a.b.devices", "20", func(f *Fleet) bool { return f.Classes[0].Devices == 20 }},
		{"classes.a.b.battery_years", "0", func(f *Fleet) bool { return f.Classes[0].BatteryYears == 0 }},
		{"organisations.o.p.runs", "false", func(f *Fleet) bool { return !f.Organisations[0].Runs }},
		{"organisations.*.trusts", "o.p", func(f *Fleet) bool { return f.trustedByAll("o.p") }},
		{"organisations.*.trusts", "all", func(f *Fleet) bool { return f.mutual("o.p", "q") }},
		{"organisations", "one more", func(f *Fleet) bool { return len(f.Organisations) == 3 && f.Organisations[2].Place == "DE" }},
	} {
		n, err := change{c.field, c.to}.apply(f)
		if err != nil || !c.is(n) || c.is(f) {
			t.Errorf("%s to %s: %v, %+v", c.field, c.to, err, n)
		}
	}
	for _, c := range []change{{"needs.latency_ms", "0"}, {"needs.x", "1"}, {"classes.z.devices", "2"}, {"classes.a.b.devices", "1.5"}, {"x.y", "1"}, {"needs.survive", "all"}} {
		if _, err := c.apply(f); err == nil {
			t.Errorf("%+v can be made", c)
		}
	}
}

// TestAbstainsAndSaysHow: beyond what was measured there is no advice, and the commands that are given measure it.
func TestAbstainsAndSaysHow(t *testing.T) {
	t.Parallel()
	m, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	const text = `
name: x
classes: [{name: m, devices: %d, signs: [es256], readings_a_day: %d}]
organisations: [{name: a, runs: true}, {name: b, runs: true}, {name: c, runs: true}, {name: d, runs: true}]
needs: {nobody_alone: true, check: anyone, personal_data: true, rtt_ms: %d}`
	for _, c := range []struct {
		devices, readings, rtt int
		why                    string
		measurable             bool
	}{
		{9_000, 24, 20, "devices 9000", true},
		{200_000, 24, 20, "devices 200000", false},
		{100, 24, 800, "rtt_ms 800", true},
		{4_000, 864_000, 20, "rate", true},
	} {
		a, err := Advise(parse(t, fmt.Sprintf(text, c.devices, c.readings, c.rtt)), m)
		if err != nil {
			t.Fatal(err)
		}
		if a.Verdict != "abstain" || !strings.Contains(a.Summary, c.why) || len(a.Next) == 0 || a.Config != "" {
			t.Errorf("%+v: %s: %s, next %q", c, a.Verdict, a.Summary, a.Next)
			continue
		}
		if !c.measurable {
			continue
		}
		_, space, _ := strings.Cut(a.Next[0], "'")
		space, _, _ = strings.Cut(space, "'")
		s, err := explore.ParseSpace([]byte(space))
		if err != nil {
			t.Fatalf("%q: %v", space, err)
		}
		points, _, err := s.Points()
		if err != nil {
			t.Fatalf("%q: %v", space, err)
		}
		rated, full := map[string]int{}, map[string]int{}
		for _, p := range points {
			if p.Rate > 0 {
				rated[p.Engine]++
				continue
			}
			full[p.Engine]++
		}
		for _, kind := range kinds {
			if rated[kind] < fewestPoints || full[kind] < fewestPoints {
				t.Errorf("%q: %d points with a rate and %d without of %s, predictions need %d", space, rated[kind], full[kind], kind, fewestPoints)
			}
		}
	}
}
