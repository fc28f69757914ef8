package forecast_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/tariff"
)

const hourMS = 3_600_000

var hourly = forecast.Settings{Step: hourMS, Horizon: 24}

func series(t *testing.T, s forecast.Settings) *forecast.Series {
	t.Helper()
	x, err := forecast.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// load is a household's: by the hour and the day of the week, with noise.
func load(random *rand.Rand, hour int) float64 {
	v := 100 + 40*math.Sin(2*math.Pi*float64(hour%24)/24)
	if day := (hour/24 + 3) % 7; day >= 5 {
		v += 30
	}
	return v + 5*random.NormFloat64()
}

// feed lets a series know the hours from one on, before another.
func feed(t *testing.T, s *forecast.Series, random *rand.Rand, from, end int) {
	t.Helper()
	for h := from; h < end; h++ {
		if err := s.Observe(lamppost.TimeMS(h)*hourMS, load(random, h)); err != nil {
			t.Fatal(err)
		}
	}
	s.Advance(lamppost.TimeMS(end) * hourMS)
}

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }

func saved(t *testing.T, s interface{ AppendBinary([]byte) ([]byte, error) }) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// near fails where a forecast is off by more than the noise allows.
func near(t *testing.T, p forecast.Point, most float64) {
	t.Helper()
	want := load(rand.New(zero{}), int(p.At/hourMS))
	if math.Abs(p.Middle-want) > most || !(p.Low <= p.Middle && p.Middle <= p.High) {
		t.Errorf("hour %d: %+v, want about %.1f", p.At/hourMS, p, want)
	}
}

// zero is a source of which NormFloat64 is 0.
type zero struct{}

func (zero) Uint64() uint64 { return 0 }

// TestLearns: after eight weeks a day and a week are known, each hour within half of the noise's three deviations.
func TestLearns(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	feed(t, s, seeded(1), 0, 56*24)
	f := s.Forecast(56 * 24 * hourMS)
	if !f.Usable() || f.AgeMS != 0 || len(f.Points) != 24 {
		t.Fatalf("%+v", f)
	}
	for i, p := range f.Points {
		if p.At != lamppost.TimeMS(56*24+i)*hourMS {
			t.Errorf("point %d is of %d", i, p.At)
		}
		near(t, p, 7.5)
		if width := p.High - p.Low; width < 10 || width > 35 {
			t.Errorf("point %d: a range of %.1f for noise of deviation 5", i, width)
		}
	}
}

// TestCovers: nine of ten values come to lie in the range, of noise that is skewed and grows with the day.
func TestCovers(t *testing.T) {
	t.Parallel()
	random, s := seeded(2), series(t, hourly)
	in, all, bias, off := 0, 0, 0.0, 0.0
	values := make([]float64, 200*24)
	for h := range values {
		values[h] = 50 + (1+float64(h%24))*random.ExpFloat64()
	}
	for h, v := range values {
		if h > 50*24 && h+24 < len(values) {
			for i, p := range s.Forecast(lamppost.TimeMS(h) * hourMS).Points {
				came := values[h+i]
				all, bias, off = all+1, bias+p.Mean-came, off+math.Abs(p.Mean-came)
				if p.Low <= came && came <= p.High {
					in++
				}
			}
		}
		if err := s.Observe(lamppost.TimeMS(h)*hourMS, v); err != nil {
			t.Fatal(err)
		}
	}
	if share := float64(in) / float64(all); math.Abs(share-0.9) > 0.02 {
		t.Errorf("%.3f are in the range", share)
	}
	if math.Abs(bias/off) > 0.1 {
		t.Errorf("the mean is off by %.3f of the mean error", bias/off)
	}
}

// TestReplay: a series that is saved and restored anywhere goes on as if it had not been, to the bit, and what comes later changes nothing before.
func TestReplay(t *testing.T) {
	t.Parallel()
	straight, stopped := series(t, hourly), series(t, hourly)
	a, b := seeded(3), seeded(3)
	for h := 0; h < 40*24; {
		next := h + 1 + h%61
		feed(t, straight, a, h, next)
		feed(t, stopped, b, h, next)
		h = next
		state := saved(t, stopped)
		stopped = series(t, hourly)
		if err := stopped.UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(saved(t, stopped), state) {
			t.Fatalf("at hour %d the restored series saves other bytes", h)
		}
		x, y := straight.Forecast(lamppost.TimeMS(h)*hourMS), stopped.Forecast(lamppost.TimeMS(h)*hourMS)
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("at hour %d a restored series says %+v, not %+v", h, y, x)
		}
	}
	if !bytes.Equal(saved(t, straight), saved(t, stopped)) {
		t.Error("a restored series ends in another state")
	}
}

// TestParts: the parts of a forecast sum to it, reasons are three at most, the weightiest first, and with level and rest they sum to it too.
func TestParts(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	feed(t, s, seeded(4), 0, 33*24+5)
	for i, p := range s.Forecast((33*24 + 5) * hourMS).Points {
		sum := 0.0
		for _, worth := range s.Parts(i) {
			sum += worth
		}
		e := s.Why(i)
		total := e.Level + e.Rest
		for j, r := range e.Reasons {
			total += r.Worth
			if j > 0 && math.Abs(r.Worth) > math.Abs(e.Reasons[j-1].Worth) || r.Part.String() == "unknown" || r.At >= p.At {
				t.Errorf("point %d: reason %+v", i, r)
			}
		}
		if math.Abs(sum-p.Middle) > 1e-9 || math.Abs(total-p.Middle) > 1e-9 || len(e.Reasons) == 0 || len(e.Reasons) > forecast.MaxReasons {
			t.Errorf("point %d: parts %v, reasons %v, forecast %v: %+v", i, sum, total, p.Middle, e)
		}
	}
}

// TestRefused: what cannot be is refused and leaves no trace.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	feed(t, s, seeded(5), 0, 30*24)
	before := saved(t, s)
	for _, c := range []struct {
		at    lamppost.TimeMS
		value float64
		want  error
	}{
		{30 * 24 * hourMS, math.NaN(), forecast.ErrNumber}, {30 * 24 * hourMS, math.Inf(-1), forecast.ErrNumber}, {30 * 24 * hourMS, 1e300, forecast.ErrNumber},
		{math.MaxInt64, 1, forecast.ErrTime}, {math.MinInt64, 1, forecast.ErrTime}, {29 * 24 * hourMS, 1, forecast.ErrLate}, {-100 * 24 * hourMS, 1, forecast.ErrLate},
	} {
		if err := s.Observe(c.at, c.value); !errors.Is(err, c.want) {
			t.Errorf("%v at %d: %v, want %v", c.value, c.at, err, c.want)
		}
	}
	if !bytes.Equal(saved(t, s), before) {
		t.Error("what was refused left a trace")
	}
	for _, bad := range []forecast.Settings{{Step: 0, Horizon: 1}, {Step: 7_000_000, Horizon: 1}, {Step: hourMS}, {Step: hourMS, Horizon: 385}, {Step: hourMS / 60, Horizon: 1},
		{Step: 24 * hourMS, Horizon: 15}, {Step: hourMS, Horizon: 1, Holidays: []int64{2, 1}}} {
		if _, err := forecast.New(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestNeverWild: a few monstrous readings, a value that never changes and silence do not make a forecast that anybody could act on wrongly.
func TestNeverWild(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	random := seeded(6)
	feed(t, s, random, 0, 40*24)
	if err := s.Observe(40*24*hourMS, 9e14); err != nil {
		t.Fatal(err)
	}
	points := s.Forecast((40*24 + 1) * hourMS).Points
	if s.Capped() == 0 {
		t.Error("a monstrous reading was taken as it is")
	}
	for _, p := range points {
		if math.Abs(p.Middle) > 700 || p.High > 2000 {
			t.Errorf("after one monstrous reading: %+v", p)
		}
	}
	if err := s.Observe((39*24+1)*hourMS, 9e14); !errors.Is(err, forecast.ErrLate) || s.Capped() != 1 {
		t.Errorf("a late monstrous reading: %v, %d taken as less", err, s.Capped())
	}
	if err := s.Observe((40*24+4)*hourMS, -9e14); err != nil { // after a gap that is filled by a line to it
		t.Fatal(err)
	}
	for _, p := range s.Forecast((40*24 + 5) * hourMS).Points {
		if math.Abs(p.Middle) > 3000 {
			t.Errorf("after a gap and another: %+v", p)
		}
	}
	feed(t, s, random, 40*24+5, 45*24)
	end := lamppost.TimeMS(45*24) * hourMS
	if f := s.Forecast(end + 5*hourMS); f.State != forecast.Ready || f.AgeMS != 5*hourMS || len(f.Points) != 19 || f.Points[0].At != end+5*hourMS {
		t.Errorf("five hours later: %v, %d ms, %d points", f.State, f.AgeMS, len(f.Points))
	}
	if f := s.Forecast(end + 8*hourMS); f.State != forecast.Stale || f.Usable() {
		t.Errorf("eight hours later: %v", f.State)
	}
	if f := s.Forecast(end + 100*hourMS); f.Usable() || len(f.Points) > 0 {
		t.Errorf("beyond the horizon: %v, %d points", f.State, len(f.Points))
	}
	for h := 45 * 24; h < 53*24; h++ {
		if err := s.Observe(lamppost.TimeMS(h)*hourMS, 77); err != nil {
			t.Fatal(err)
		}
	}
	if f := s.Forecast(53 * 24 * hourMS); f.State != forecast.Stuck || f.Usable() {
		t.Errorf("the same value for eight days: %v", f.State)
	}
	young := series(t, hourly)
	feed(t, young, random, 0, 47)
	if f := young.Forecast(47 * hourMS); f.State != forecast.Young || len(f.Points) > 0 {
		t.Errorf("after 47 hours: %+v", f)
	}
}

// TestIrregular: readings within a step are averaged in any order; a step without any is filled in and learnt when it comes late; after more than four weeks of
// silence the series is young again, and still knows its weights.
func TestIrregular(t *testing.T) {
	t.Parallel()
	a, b := series(t, hourly), series(t, hourly)
	feed(t, a, seeded(7), 0, 30*24)
	feed(t, b, seeded(7), 0, 30*24)
	at := lamppost.TimeMS(30*24) * hourMS
	for _, x := range []struct {
		s  *forecast.Series
		at []lamppost.TimeMS
	}{{a, []lamppost.TimeMS{0, 20, 40}}, {b, []lamppost.TimeMS{40, 0, 20}}} {
		for i, minute := range x.at {
			if err := x.s.Observe(at+minute*60_000, 100+float64(minute)); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	x, y := slices.Clone(a.Forecast(at+hourMS).Points), b.Forecast(at+hourMS).Points
	for i := range x {
		if math.Abs(x[i].Middle-y[i].Middle) > 1e-6 {
			t.Errorf("point %d hangs on the order within a step: %v, %v", i, x[i], y[i])
		}
	}
	feed(t, a, seeded(8), 30*24+6, 31*24) // five steps are missing
	if err := a.Observe(at+3*hourMS, 100); err != nil {
		t.Errorf("a late reading of a step that was filled in: %v", err)
	}
	if err := a.Observe(at+3*hourMS, 100); !errors.Is(err, forecast.ErrLate) {
		t.Errorf("the same again: %v", err)
	}
	for _, p := range a.Forecast(31 * 24 * hourMS).Points {
		near(t, p, 15)
	}
	feed(t, a, seeded(9), 70*24, 70*24+30)
	if f := a.Forecast((70*24 + 30) * hourMS); f.State != forecast.Young {
		t.Errorf("a day after six weeks of silence: %v", f.State)
	}
	feed(t, a, seeded(9), 70*24+30, 73*24)
	for _, p := range a.Forecast(73 * 24 * hourMS).Points {
		near(t, p, 20)
	}
}

// TestClockChange: use that follows the local clock is forecast by the local clock on the days after it changed.
func TestClockChange(t *testing.T) {
	t.Parallel()
	const change = 60 * 24
	zone, err := tariff.ZoneFromTransitions("Test", []tariff.Transition{{OffsetMin: 60}, {AtMS: change * hourMS, OffsetMin: 120}})
	if err != nil {
		t.Fatal(err)
	}
	off := func(zone tariff.Zone, h int) int {
		if h >= change {
			return h + 2
		}
		return h + 1
	}
	errs := [2]float64{}
	for i, z := range []tariff.Zone{zone, {}} {
		s := series(t, forecast.Settings{Step: hourMS, Horizon: 24, Zone: z})
		random := seeded(10)
		for h := range change + 6 {
			if err := s.Observe(lamppost.TimeMS(h)*hourMS, load(random, off(zone, h))); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range s.Forecast((change + 6) * hourMS).Points {
			errs[i] += math.Abs(p.Middle-load(rand.New(zero{}), off(zone, int(p.At/hourMS)))) / 24
		}
	}
	if errs[0] > 4 || errs[1] < errs[0]+2 {
		t.Errorf("off by %.1f with the zone, by %.1f without", errs[0], errs[1])
	}
}

// TestHoliday: a declared holiday goes like a Sunday.
func TestHoliday(t *testing.T) {
	t.Parallel()
	const day = 61 // a Tuesday
	with := hourly
	with.Holidays = []int64{day}
	mean := func(settings forecast.Settings) (sum float64) {
		s := series(t, settings)
		feed(t, s, seeded(11), 0, day*24)
		for _, p := range s.Forecast(day * 24 * hourMS).Points {
			sum += p.Middle / 24
		}
		return sum
	}
	if plain, holiday := mean(hourly), mean(with); holiday < plain+8 || holiday > plain+40 {
		t.Errorf("%.1f on a holiday, %.1f on a Tuesday: Sundays have 30 more", holiday, plain)
	}
}

// TestKin: a new device of which only three days are known is forecast better with what others of another size have learnt.
func TestKin(t *testing.T) {
	t.Parallel()
	model, err := forecast.NewModel(hourMS, 24)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(3) {
		s, err := model.NewSeries(hourly)
		if err != nil {
			t.Fatal(err)
		}
		feed(t, s, seeded(20+seed), 0, 60*24)
	}
	errs := [2]float64{}
	for i := range errs {
		own, err := forecast.NewModel(hourMS, 24)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			if err := own.SetKin(model.Stats()); err != nil {
				t.Fatal(err)
			}
		}
		s, err := own.NewSeries(hourly)
		if err != nil {
			t.Fatal(err)
		}
		random := seeded(30)
		for h := range 14 * 24 {
			v := 7 * load(random, h)
			if h >= 3*24 {
				f := s.Forecast(lamppost.TimeMS(h) * hourMS)
				errs[i] += math.Abs(f.Points[5].Middle - 7*load(rand.New(zero{}), h+5))
			}
			if err := s.Observe(lamppost.TimeMS(h)*hourMS, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if errs[1] > 0.98*errs[0] {
		t.Errorf("with kin off by %.0f, without by %.0f", errs[1], errs[0])
	}
}

// TestTogether: what two models gather of different series, merged in one round, is what one model of both gathers, within 1e-9, and makes its forecasts.
func TestTogether(t *testing.T) {
	t.Parallel()
	model := func() *forecast.Model {
		m, err := forecast.NewModel(hourMS, 24)
		if err != nil {
			t.Fatal(err)
		}
		m.Hold()
		return m
	}
	central, parts := model(), []*forecast.Model{model(), model()}
	run := func(m *forecast.Model, seed uint64, factor float64) *forecast.Series {
		s, err := m.NewSeries(hourly)
		if err != nil {
			t.Fatal(err)
		}
		random := seeded(seed)
		for h := range 40 * 24 {
			if err := s.Observe(lamppost.TimeMS(h)*hourMS, factor*load(random, h+9*int(seed))); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	var last [2]*forecast.Series
	for i, m := range []*forecast.Model{central, parts[0]} {
		last[i] = run(m, 40, 1)
	}
	run(central, 41, 1000)
	run(parts[1], 41, 1000)
	merged := parts[0].Stats()
	for g, s := range parts[1].Stats() {
		var arrived forecast.Stats
		if err := arrived.UnmarshalBinary(saved(t, s)); err != nil {
			t.Fatal(err)
		}
		if err := merged[g].Merge(&arrived, 1); err != nil {
			t.Fatal(err)
		}
		want := central.Stats()[g]
		for i, x := range want.Gram {
			if math.Abs(x-merged[g].Gram[i]) > 1e-9*(1+math.Abs(x)) {
				t.Fatalf("group %d, product %d: %v merged, %v central", g, i, merged[g].Gram[i], x)
			}
		}
	}
	if err := errors.Join(parts[0].Adopt(merged), central.Adopt(central.Stats())); err != nil {
		t.Fatal(err)
	}
	x, y := last[0].Forecast(40*24*hourMS), last[1].Forecast(40*24*hourMS)
	for i := range x.Points {
		if math.Abs(x.Points[i].Middle-y.Points[i].Middle) > 1e-6 {
			t.Errorf("point %d: central %v, together %v", i, x.Points[i].Middle, y.Points[i].Middle)
		}
	}
}

// TestSolve: weights of a small regression, by hand; what does not tell is refused.
func TestSolve(t *testing.T) {
	t.Parallel()
	s, err := forecast.NewStats(2)
	if err != nil {
		t.Fatal(err)
	}
	w := make([]float64, 2)
	if s.Solve(0, w) == nil {
		t.Error("no samples, and yet weights")
	}
	for x := range 5 {
		s.Add([]float64{1, float64(x)}, 3+2*float64(x), 1)
	}
	if err := s.Solve(0, w); err != nil || math.Abs(w[0]-3) > 1e-12 || math.Abs(w[1]-2) > 1e-12 {
		t.Errorf("%v, %v", w, err)
	}
	o, _ := forecast.NewStats(3)
	if s.Merge(o, 1) == nil {
		t.Error("statistics of other features were merged")
	}
	o.Add([]float64{1, 2, 2}, 1, 1)
	if o.Solve(0, make([]float64, 3)) == nil {
		t.Error("features that depend on each other, and yet weights")
	}
}

// TestBounds: the largest series keeps to its memory; a forecast allocates nothing.
func TestBounds(t *testing.T) {
	s := series(t, forecast.Settings{Step: 24 * hourMS / forecast.MaxStepsPerDay, Horizon: forecast.MaxHorizon})
	random := seeded(12)
	for i := range 35 * 96 {
		if err := s.Observe(lamppost.TimeMS(i)*hourMS/4, load(random, i/4)); err != nil {
			t.Fatal(err)
		}
	}
	now := lamppost.TimeMS(35*96) * hourMS / 4
	if n := s.Bytes(); n > forecast.MaxBytes {
		t.Errorf("%d bytes in memory, at most %d", n, forecast.MaxBytes)
	}
	if n := len(saved(t, s)); n > forecast.MaxBytes {
		t.Errorf("%d bytes saved, at most %d", n, forecast.MaxBytes)
	}
	if f := s.Forecast(now); len(f.Points) != forecast.MaxHorizon {
		t.Errorf("%d points", len(f.Points))
	}
	if n := testing.AllocsPerRun(10, func() { s.Forecast(now) }); n != 0 {
		t.Errorf("a forecast allocates %v times", n)
	}
}

// TestHostile: a state that was cut or changed is refused and leaves a new series, or is taken and harmless.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := series(t, hourly)
	feed(t, s, seeded(13), 0, 31*24)
	good, random := saved(t, s), seeded(14)
	for i := range 100 {
		bad := slices.Clone(good)
		if i%2 == 0 {
			bad = bad[:random.IntN(len(bad))]
		} else {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
		survive(t, bad)
	}
}

func survive(t *testing.T, b []byte) {
	t.Helper()
	s := series(t, hourly)
	if err := s.UnmarshalBinary(b); err != nil && !bytes.Equal(saved(t, s), saved(t, series(t, hourly))) {
		t.Fatalf("refused (%v), and yet it is no new series", err)
	}
	at := lamppost.TimeMS(1 << 49)
	for h := range lamppost.TimeMS(72) {
		_ = s.Observe(at+h*hourMS, float64(h%24))
	}
	for now := range lamppost.TimeMS(3) {
		for _, p := range s.Forecast(at + (72+now)*hourMS).Points {
			if math.IsNaN(p.Middle+p.Low+p.High+p.Mean) || math.IsInf(p.Middle, 0) {
				t.Fatalf("after a strange state: %+v", p)
			}
		}
	}
}

func FuzzState(f *testing.F) {
	s, err := forecast.New(hourly)
	if err != nil {
		f.Fatal(err)
	}
	for h := range 60 {
		_ = s.Observe(lamppost.TimeMS(h)*hourMS, float64(h%24))
	}
	b, _ := s.AppendBinary(nil)
	f.Add(b)
	f.Add(b[:100])
	f.Fuzz(func(t *testing.T, b []byte) { survive(t, b) })
}

func FuzzStats(f *testing.F) {
	s, _ := forecast.NewStats(2)
	s.Add([]float64{1, 2}, 3, 1)
	b, _ := s.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var s forecast.Stats
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if again, _ := s.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Error("what was read is written otherwise")
		}
	})
}
