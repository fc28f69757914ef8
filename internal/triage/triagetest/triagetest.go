// Package triagetest is the contract that every model of package triage passes, alone and in the mix: what a verdict may depend on, what
// it must survive, and what it may cost.
package triagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
)

const (
	readings = 2500 // of a test's series: more than any model needs to be ready
	stepMS   = 300_000
)

// Run checks series that make returns: new ones, of the same models. [NoAllocation] is apart.
func Run(t *testing.T, make func() *triage.Series) {
	for name, test := range map[string]func(*testing.T, func() *triage.Series){
		"Causal": causal, "Restored": restored, "Bounded": bounded, "Refused": refused, "Units": units,
		"Registers": registers, "Constant": constant, "Extremes": extremes, "Irregular": irregular, "Finds": finds, "Reasons": reasons, "Levels": levels, "Hostile": hostile,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, make) })
	}
}

// Street is a series like a street's: a day and a night, noise, and a spike in the reading 2,000. Fewer readings are its beginning.
func Street(seed uint64, n int) []triage.Sample {
	random := rand.New(rand.NewPCG(seed, 1))
	all := make([]triage.Sample, n)
	for i := range all {
		value := 100 + 40*math.Sin(2*math.Pi*float64(i)/288) + 5*random.NormFloat64()
		if i == 2000 {
			value += 400
		}
		all[i] = triage.Sample{AtMS: lamppost.TimeMS(i) * stepMS, Value: value, Unit: "W"}
	}
	return all
}

// observe returns the verdicts of a series whose readings are all accepted, with reasons of their own.
func observe(t *testing.T, s *triage.Series, samples []triage.Sample) []triage.Verdict {
	t.Helper()
	all := make([]triage.Verdict, len(samples))
	for i, x := range samples {
		v, err := s.Observe(x)
		if err != nil {
			t.Fatalf("reading %d, %+v: %v", i, x, err)
		}
		if math.IsNaN(v.Score) || math.IsInf(v.Score, 0) || v.Score < 0 {
			t.Fatalf("reading %d, %+v: score %v", i, x, v.Score)
		}
		v.Reasons = slices.Clone(v.Reasons)
		all[i] = v
	}
	return all
}

func save(t *testing.T, s *triage.Series) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// causal: what comes later changes no verdict, and the same readings give the same ones.
func causal(t *testing.T, make func() *triage.Series) {
	samples := Street(1, readings)
	whole, again := observe(t, make(), samples), observe(t, make(), samples)
	if !reflect.DeepEqual(whole, again) {
		t.Error("the same readings gave other verdicts")
	}
	changed := slices.Clone(samples)
	for i := 1500; i < len(changed); i++ {
		changed[i].Value = -1e6
	}
	if got := observe(t, make(), changed); !reflect.DeepEqual(got[:1500], whole[:1500]) {
		t.Error("later readings change earlier verdicts")
	}
}

// restored: a series that is saved and restored anywhere goes on as if it had not been, and saves the same bytes.
func restored(t *testing.T, make func() *triage.Series) {
	samples := Street(2, readings)
	straight := make()
	want := observe(t, straight, samples)
	stopped, got := make(), []triage.Verdict(nil)
	random := rand.New(rand.NewPCG(3, 3))
	for at := 0; at < len(samples); {
		next := min(at+1+random.IntN(200), len(samples))
		got = append(got, observe(t, stopped, samples[at:next])...)
		at = next
		b := save(t, stopped)
		stopped = make()
		if err := stopped.UnmarshalBinary(b); err != nil {
			t.Fatalf("after reading %d: %v", at, err)
		}
		if again := save(t, stopped); !bytes.Equal(again, b) {
			t.Fatalf("after reading %d the restored series saves other bytes", at)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("a restored series gives other verdicts")
	}
	if !bytes.Equal(save(t, stopped), save(t, straight)) {
		t.Error("a restored series ends in another state")
	}
}

// NoAllocation: in the steady state a reading allocates nothing, an alarm neither. It is for tests that do not run in parallel.
func NoAllocation(t *testing.T, make func() *triage.Series) {
	s, samples := make(), Street(4, readings)
	observe(t, s, samples)
	at := samples[len(samples)-1].AtMS
	if n := testing.AllocsPerRun(500, func() {
		at += stepMS
		if _, err := s.Observe(triage.Sample{AtMS: at, Value: float64(at % 7919), Unit: "W"}); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a reading", n)
	}
}

// bounded: a long series takes no more than a short one may.
func bounded(t *testing.T, make func() *triage.Series) {
	s := make()
	observe(t, s, Street(5, 4*readings))
	if n := s.Bytes(); n > triage.MaxSeriesBytes {
		t.Errorf("%d bytes in memory, at most %d are allowed", n, triage.MaxSeriesBytes)
	}
	if n := len(save(t, s)); n > triage.MaxSeriesBytes {
		t.Errorf("%d bytes saved, at most %d are allowed", n, triage.MaxSeriesBytes)
	}
}

// refused: what is refused says why and leaves no trace.
func refused(t *testing.T, make func() *triage.Series) {
	s := make()
	samples := Street(6, 800)
	observe(t, s, samples)
	before, last := save(t, s), samples[len(samples)-1]
	for _, c := range []struct {
		what string
		x    triage.Sample
		want error
	}{
		{"no number", triage.Sample{AtMS: last.AtMS + 1, Value: math.NaN(), Unit: "W"}, triage.ErrNumber},
		{"infinite", triage.Sample{AtMS: last.AtMS + 1, Value: math.Inf(1), Unit: "W"}, triage.ErrNumber},
		{"minus infinite", triage.Sample{AtMS: last.AtMS + 1, Value: math.Inf(-1), Unit: "W"}, triage.ErrNumber},
		{"too large", triage.Sample{AtMS: last.AtMS + 1, Value: 2 * triage.MaxValue, Unit: "W"}, triage.ErrNumber},
		{"late", triage.Sample{AtMS: last.AtMS - 1, Value: 1, Unit: "W"}, triage.ErrLate},
		{"the same again", last, triage.ErrDuplicate},
		{"another value of that time", triage.Sample{AtMS: last.AtMS, Value: 1, Unit: "W"}, triage.ErrDuplicate},
		{"late in another unit", triage.Sample{AtMS: last.AtMS - 1, Value: 1, Unit: "kW"}, triage.ErrLate},
		{"a unit that is too long", triage.Sample{AtMS: last.AtMS + 1, Value: 1, Unit: "12345678901234567"}, triage.ErrUnit},
	} {
		if v, err := s.Observe(c.x); !errors.Is(err, c.want) || v.Alarm || v.Score != 0 {
			t.Errorf("%s: %+v, %v; want %v", c.what, v, err, c.want)
		}
		if !bytes.Equal(save(t, s), before) {
			t.Fatalf("%s: refused, and yet the state is another one", c.what)
		}
	}
}

// units: with another unit or kind the series begins anew, and what it learnt of the old one is gone.
func units(t *testing.T, make func() *triage.Series) {
	for _, change := range []func(*triage.Sample){
		func(x *triage.Sample) { x.Unit, x.Value = "kW", x.Value/1000 },
		func(x *triage.Sample) { x.Kind = lamppost.Interval },
	} {
		s, samples := make(), Street(7, readings)
		observe(t, s, samples)
		later := Street(8, 1900)
		for i := range later {
			later[i].AtMS += samples[len(samples)-1].AtMS + stepMS
			change(&later[i])
		}
		if got, want := observe(t, s, later), observe(t, make(), later); !reflect.DeepEqual(got, want) {
			t.Errorf("after %s/%v the verdicts are not those of a new series", later[0].Unit, later[0].Kind)
		}
	}
}

// registers: a register is judged by its rate; its size, a longer step and a fall are nothing unusual, and its first reading is not judged.
func registers(t *testing.T, make func() *triage.Series) {
	s := make()
	count, at := 1e9, lamppost.TimeMS(0)
	for i := range readings {
		step := lamppost.TimeMS(stepMS)
		if i%97 == 0 {
			step *= 12
		}
		at += step
		count += float64(step) / 3600
		reset := i == 1700
		if reset {
			count = 0
		}
		v, err := s.Observe(triage.Sample{AtMS: at, Value: count, Unit: "Wh", Kind: lamppost.Register})
		if err != nil {
			t.Fatal(err)
		}
		if (i == 0 || reset) && (!v.Fresh || v.Score != 0) {
			t.Errorf("reading %d: %+v, want it not to be judged", i, v)
		}
		if v.Score > 2 { // below is the rounding of the rate; a jump is worth 4 or more
			t.Errorf("reading %d of a steady register: score %v, %+v", i, v.Score, v.Reasons)
		}
	}
}

// constant: a value that never changes is never unusual.
func constant(t *testing.T, make func() *triage.Series) {
	for _, value := range []float64{0, 1, -273.15, 1e-30, triage.MaxValue} {
		s := make()
		for i := range readings {
			v, err := s.Observe(triage.Sample{AtMS: lamppost.TimeMS(i) * stepMS, Value: value})
			if err != nil || v.Score != 0 || v.Alarm {
				t.Fatalf("%v for the %dth time: %+v, %v", value, i, v, err)
			}
		}
	}
}

// extremes: whatever numbers come, scores stay finite and states can be restored.
func extremes(t *testing.T, make func() *triage.Series) {
	values := []float64{0, math.Copysign(0, -1), 1, -1, triage.MaxValue, -triage.MaxValue, math.SmallestNonzeroFloat64, 1e-300, 1e15, 0.1}
	random, s := rand.New(rand.NewPCG(10, 10)), make()
	samples := Street(11, readings)
	for i := range samples {
		if random.IntN(3) == 0 {
			samples[i].Value = values[random.IntN(len(values))]
		}
	}
	observe(t, s, samples)
	if err := make().UnmarshalBinary(save(t, s)); err != nil {
		t.Error(err)
	}
}

// irregular: steps from a millisecond to a month, far times and times before 1970 are judged.
func irregular(t *testing.T, make func() *triage.Series) {
	random, samples := rand.New(rand.NewPCG(12, 12)), Street(13, readings)
	at := lamppost.TimeMS(-1e13)
	for i := range samples {
		at += 1 + lamppost.TimeMS(math.Exp(random.Float64()*21.7))
		samples[i].AtMS = at
	}
	observe(t, make(), samples)
}

// finds: something that never happened before is scored far above the usual, within a few hours. What it is depends on the model: there is a
// spike, then a level that stays, and then a week's course is another one.
func finds(t *testing.T, make func() *triage.Series) {
	samples := Street(14, 2*readings)
	for i := 3000; i < len(samples); i++ {
		samples[i].Value += 300
		if i >= 4000 {
			samples[i].Value += 80 * math.Sin(2*math.Pi*float64(i)/36)
		}
	}
	all := observe(t, make(), samples)
	usual, unusual := 0.0, 0.0
	for i, v := range all {
		switch {
		case i >= 1500 && i < 2000:
			usual += v.Score / 500
		case i >= 2000 && i < 2100, i >= 3000 && i < 3400, i >= 4000 && i < 4400:
			unusual = max(unusual, v.Score)
		}
	}
	if unusual < usual+1 {
		t.Errorf("at most %.2f where it is unusual, %.2f on the average where it is not", unusual, usual)
	}
}

// reasons: an alarm has one to three, the weightiest first, of known codes and finite numbers, and says what is left without them. Another
// verdict has none.
func reasons(t *testing.T, make func() *triage.Series) {
	samples := Street(15, 2*readings)
	for i := 3000; i < len(samples); i++ {
		samples[i].Value += 300 + float64(i)/10
	}
	alarms := 0
	for i, v := range observe(t, make(), samples) {
		if !v.Alarm {
			if len(v.Reasons) > 0 {
				t.Errorf("reading %d: reasons without an alarm", i)
			}
			continue
		}
		alarms++
		if len(v.Reasons) < 1 || len(v.Reasons) > triage.MaxReasons {
			t.Errorf("reading %d: %d reasons", i, len(v.Reasons))
		}
		sum := v.Without
		for j, r := range v.Reasons {
			sum += r.Worth
			if r.Code.String() == "unknown" || r.Readings < 1 || r.Worth <= 0 || j > 0 && r.Worth > v.Reasons[j-1].Worth {
				t.Errorf("reading %d: reason %+v", i, r)
			}
			for _, x := range []float64{r.Value, r.Low, r.High, r.Gap} {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					t.Errorf("reading %d: reason %+v", i, r)
				}
			}
			if r.SinceMS != samples[i-r.Readings+1].AtMS || v.Since > v.Reasons[0].SinceMS {
				t.Errorf("reading %d at %d, since %d: reason %+v", i, samples[i].AtMS, v.Since, r)
			}
			if r.AtMS > samples[i].AtMS || r.NearestMS >= samples[i].AtMS && r.NearestMS != 0 {
				t.Errorf("reading %d at %d: reason %+v looks ahead", i, samples[i].AtMS, r)
			}
		}
		if math.Abs(sum-v.Score) > 1e-12 {
			t.Errorf("reading %d: reasons and the rest are %v, the score is %v", i, sum, v.Score)
		}
	}
	if alarms == 0 {
		t.Error("no alarm at all")
	}
}

// levels: what a person accepted is no alarm again for 40,000 readings, restored or not, and what is more unusual is one; what is put upon the
// level from outside counts until it is taken off.
func levels(t *testing.T, make func() *triage.Series) {
	samples := Street(19, 2*readings)
	for i := 3000; i < len(samples); i++ {
		samples[i].Value += 300 + float64(i)/10
	}
	first, at := make(), 0
	var alarm triage.Verdict
	for i, v := range observe(t, first, samples) {
		if v.Alarm {
			alarm, at = v, i
			break
		}
	}
	before := make()
	observe(t, before, samples[:at])
	state := save(t, before)
	for _, c := range []struct {
		what  string
		tell  func(s *triage.Series)
		alarm bool
	}{
		{"nothing", func(*triage.Series) {}, true},
		{"accepted", func(s *triage.Series) { s.Accept(alarm.Score) }, false},
		{"accepted, then less", func(s *triage.Series) { s.Accept(alarm.Score); s.Accept(0.1) }, false},
		{"accepted, no number", func(s *triage.Series) { s.Accept(math.NaN()) }, true},
		{"accepted what was less", func(s *triage.Series) { s.Accept(math.Nextafter(alarm.Score, 0)) }, true},
		{"raised", func(s *triage.Series) { s.Raise(alarm.Score) }, false},
		{"raised by no number", func(s *triage.Series) { s.Raise(math.NaN()) }, true},
		{"raised and lowered", func(s *triage.Series) { s.Raise(alarm.Score); s.Raise(0) }, true},
	} {
		s := make()
		if err := s.UnmarshalBinary(state); err != nil {
			t.Fatal(err)
		}
		c.tell(s)
		if restored := make(); c.what != "raised" {
			if err := restored.UnmarshalBinary(save(t, s)); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			s = restored
		}
		if v := observe(t, s, samples[at:at+1])[0]; v.Alarm != c.alarm || v.Score != alarm.Score || v.Alarm != (v.Score >= s.Level()) && s.Level() != v.Score {
			t.Errorf("%s: %+v at level %v", c.what, v, s.Level())
		}
	}
}

// hostile: a state that was cut or changed is refused, or taken and harmless; a refused one leaves a new series.
func hostile(t *testing.T, make func() *triage.Series) {
	s := make()
	samples := Street(16, 1500)
	observe(t, s, samples)
	good := save(t, s)
	random := rand.New(rand.NewPCG(17, 17))
	for i := range 200 {
		bad := slices.Clone(good)
		if i%2 == 0 {
			bad = bad[:random.IntN(len(bad))]
		} else {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
		Survive(t, make, bad)
	}
}

// Survive loads a state that may be anything and, whether it is taken or not, observes readings after it.
func Survive(t *testing.T, make func() *triage.Series, b []byte) {
	t.Helper()
	s := make()
	err := s.UnmarshalBinary(b)
	if err != nil && !bytes.Equal(save(t, s), save(t, make())) {
		t.Fatalf("refused (%v), and yet it is no new series", err)
	}
	for _, x := range Street(18, 400) {
		x.AtMS += 1 << 60
		v, err := s.Observe(x)
		if refusal := errors.Is(err, triage.ErrLate) || errors.Is(err, triage.ErrDuplicate); err != nil && !refusal || math.IsNaN(v.Score) {
			t.Fatal(fmt.Errorf("after a strange state: %+v, %w", v, err))
		}
	}
}
