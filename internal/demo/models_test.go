package demo

import (
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

func loadWeek(t *testing.T) *Week {
	t.Helper()
	w, err := LoadWeek()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The week has 169 hours in a row, on a Monday-to-Monday calendar of seven days of which the last has 25 hours, and every
// hour's values are within what homes, streets and the sun can do.
func TestWeek(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	if got := (w.To() - w.From()) / hourMS; got != 169 {
		t.Errorf("the week has %d hours", got)
	}
	for i := range w.Hours {
		h := &w.Hours[i]
		if want := w.From() + lamppost.TimeMS(i)*hourMS; h.Start != want {
			t.Fatalf("hour %d begins at %d, want %d", i, h.Start, want)
		}
		if h.Price < 200_000 || h.Price > 540_000 || h.Vehicles < 100 || h.Vehicles > 8000 || h.Irradiance < 0 || h.Irradiance > 2000 {
			t.Errorf("hour %d: %+v", i, h)
		}
	}
	days := w.Days()
	if len(days) != 7 || w.Zone.Local(days[0].From) != (tariff.Clock{Day: 20745, Weekday: 0, Minute: 0}) {
		t.Fatalf("days %v", days)
	}
	for i, day := range days {
		want := 24 * hourMS
		if i == 6 {
			want = 25 * hourMS
		}
		if day.To-day.From != want || w.Zone.Local(day.To).Minute != 0 {
			t.Errorf("day %d has %d ms and ends at minute %d", i, day.To-day.From, w.Zone.Local(day.To).Minute)
		}
	}
}

// The doubled hour of the clock change is taken twice from the sources, and only it.
func TestWeekDoubledHour(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	a, b := w.Hours[6*24+2], w.Hours[6*24+3]
	if w.Zone.Local(a.Start).Minute != 120 || w.Zone.Local(b.Start).Minute != 120 {
		t.Fatalf("hours 146 and 147 begin at minutes %d and %d", w.Zone.Local(a.Start).Minute, w.Zone.Local(b.Start).Minute)
	}
	if b.Start = a.Start; a != b {
		t.Errorf("%+v and %+v", a, b)
	}
}

// A flat's register grows by exactly the energy of the hours, at every full hour, whatever happened between them.
func TestFlatKeepsEnergy(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	for n := range flats {
		f := newFlat(w, n)
		sum, last := int64(0), f.base
		for at := w.From(); at <= w.To(); at += quarterMS {
			got := f.read(at)[0].Value.Mantissa
			if got < last {
				t.Fatalf("flat %d: the register went back from %d to %d", n, last, got)
			}
			last = got
			if (at-w.From())%hourMS != 0 {
				continue
			}
			if i := int((at - w.From()) / hourMS); i > 0 {
				sum += w.Hours[i-1].FlatWh[n]
			}
			if got != f.base+sum {
				t.Fatalf("flat %d at %d: register %d, want %d", n, at, got, f.base+sum)
			}
		}
	}
}

// A lamp's registers are the integrals of the power and level it reports: summed up from its own gauges, quarter hour by
// quarter hour, they agree to the last unit.
func TestLampKeepsEnergyAndLight(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	for n := range lamps {
		l := newLamp(w, n)
		energy, light := int64(0), int64(0) // tenths of W × quarter hours; lm × percent × quarter hours
		before := l.read(w.From())
		if before[0].Value.Mantissa != l.base || before[1].Value.Mantissa != 0 {
			t.Fatalf("lamp %d begins with %v and %v", n, before[0].Value, before[1].Value)
		}
		for at := w.From() + quarterMS; at <= w.To(); at += quarterMS {
			energy += before[2].Value.Mantissa
			light += l.lumens * before[3].Value.Mantissa
			now := l.read(at)
			if got, want := now[0].Value.Mantissa-l.base, energy/40; got != want {
				t.Fatalf("lamp %d at %d: %d Wh, its power makes %d", n, at, got, want)
			}
			if got, want := now[1].Value.Mantissa, light/400; got != want {
				t.Fatalf("lamp %d at %d: %d lmh, its level makes %d", n, at, got, want)
			}
			before = now
		}
		if energy == 0 || light == 0 {
			t.Fatalf("lamp %d never burnt", n)
		}
	}
}

// No lamp ever burns below the safe level in the dark, and the guard is what prevents it: on its own, an empty
// street would need less.
func TestLampSafeLevel(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	for n := range lamps {
		l := newLamp(w, n)
		for at := w.From(); at <= w.To(); at += quarterMS {
			level := l.read(at)[3].Value.Mantissa
			if dark := w.light(at) < darkWPerM2; dark && level < minLevel || !dark && level != 0 || level > 100 {
				t.Fatalf("lamp %d at %s: level %d, dark %v", n, w.local(at, "Mon 15:04"), level, dark)
			}
		}
		if l.heldUp() == 0 {
			t.Errorf("lamp %d: the guard was never needed, so this test shows nothing", n)
		}
	}
}

// The two water meters of one flat count what one would have, and no litre between them is lost or counted twice; at the exchange both
// are asked, and each only while it hangs there.
func TestExchangeLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDistrict(loadWeek(t))
	i := slices.IndexFunc(d.machines, func(m machineSpec) bool { return m.id == wornMeter })
	old, next := &d.machines[i], &d.machines[len(d.machines)-1]
	if old.next != next.id || old.to != next.from || old.to <= d.days[exchangeDay].From || old.to >= d.days[exchangeDay].To {
		t.Fatalf("%s hangs to %d, %s from %d", old.id, old.to, next.id, next.from)
	}
	first, last := old.model.(*tap), next.model.(*tap)
	whole := first.shows(d.week.To()) - first.base
	if got := first.shows(old.to) - first.base + last.shows(d.week.To()) - last.base; got != whole || whole == 0 {
		t.Errorf("two meters count %d l, one %d", got, whole)
	}
	if a, b := old.registers[0].edges, next.registers[0].edges; a[len(a)-1] != old.to || b[0] != old.to || len(a)+len(b) != 8+2 {
		t.Errorf("edges %v and %v", a, b)
	}
	day := old.to / utcDayMS * utcDayMS
	if a, b, c := d.reportsOn(day-utcDayMS), d.reportsOn(day), d.reportsOn(day+utcDayMS); a != 104 || b != 105 || c != 104 {
		t.Errorf("%d, %d and %d billing reports about the exchange", a, b, c)
	}
}

// Light falls and rises between the hours' middles without a jump.
func TestLightIsSteady(t *testing.T) {
	t.Parallel()
	w := loadWeek(t)
	for i := 1; i < weekHours; i++ {
		edge := w.Hours[i].Start
		a, b := w.Hours[i-1].Irradiance, w.Hours[i].Irradiance
		if got := w.light(edge); got < min(a, b) || got > max(a, b) || max(got-(a+b)/2, (a+b)/2-got) > 1 {
			t.Fatalf("at the edge between %d and %d W/m² the light is %d", a, b, got)
		}
		if got := w.light(edge + hourMS/2); got != b {
			t.Fatalf("in the middle of an hour of %d W/m² the light is %d", b, got)
		}
	}
}

// Every tariff is valid, and every day of every register can be billed on its own from the edges that are kept.
func TestDistrictTerms(t *testing.T) {
	t.Parallel()
	d := newDistrict(loadWeek(t))
	if len(d.machines) != 65 || len(d.agreements) != 104 || len(d.points) != 104 || len(d.parties) != 16 || len(d.pairs) != 14 {
		t.Fatalf("%d machines, %d agreements, %d points, %d parties, %d pairs", len(d.machines), len(d.agreements), len(d.points),
			len(d.parties), len(d.pairs))
	}
	for _, terms := range d.tariffs {
		if err := terms.Validate(); err != nil {
			t.Error(err)
		}
		r := registerSpec{edges: d.edges(terms)}
		for _, day := range d.days {
			for _, at := range terms.Edges(day.From, day.To) {
				if !r.billed(at) {
					t.Errorf("tariff %q: the edge %d of the day from %d is not kept", terms.ID, at, day.From)
				}
			}
		}
	}
	if got := len(d.edges(d.tariffs[0])); got != 170 {
		t.Errorf("%d edges of hourly prices", got)
	}
}

// A register's edges fall into eight UTC days, each edge into one.
func TestEdgesByDay(t *testing.T) {
	t.Parallel()
	d := newDistrict(loadWeek(t))
	for _, m := range append(d.machines[38:42:42], d.machines[lamps+flats:lamps+flats+2]...) {
		for _, r := range m.registers {
			n, days := 0, 0
			for day := d.week.From() / utcDayMS * utcDayMS; day <= d.week.To(); day += utcDayMS {
				n, days = n+len(r.of(day)), days+1
			}
			if n != len(r.edges) || days != 8 {
				t.Errorf("%s %s: %d of %d edges in %d days", m.id, r.name, n, len(r.edges), days)
			}
		}
	}
}
