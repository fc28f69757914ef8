package triage_test

import (
	"math"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/triagetest"
)

// TestAlarm: none in the first 100 readings, none for 60 after one, each puts 0.2 upon the level, and half of that is gone after 4,000.
func TestAlarm(t *testing.T) {
	t.Parallel()
	a := triage.NewAlarm(1)
	alarms := func(score float64, readings int) (at []int) {
		for i := range readings {
			if a.Next(score) {
				at = append(at, i)
			}
		}
		return at
	}
	for _, c := range []struct {
		what     string
		score    float64
		readings int
		want     []int
	}{
		{"warm-up", 5, 100, nil},
		{"the first", 1, 1, []int{0}},
		{"its refractory time", 5, 60, nil},
		{"as unusual as before", 1, 200, nil},
		{"more unusual", 1.2, 62, []int{0, 61}[:1]},
		{"once more", 1.2, 10, nil},
		{"calm", 0, 4000, nil},
		{"half forgotten", 1.19, 1, nil},
		{"half forgotten, and more unusual", 1.2, 1, []int{0}},
	} {
		if got := alarms(c.score, c.readings); !slices.Equal(got, c.want) {
			t.Errorf("%s: alarms at %v, want %v", c.what, got, c.want)
		}
	}
}

// TestAccept: an accepted score holds for 40,000 readings.
func TestAccept(t *testing.T) {
	t.Parallel()
	s := triage.NewSeries()
	s.Accept(7)
	for i := range 40_002 {
		if _, err := s.Observe(triage.Sample{AtMS: lamppost.TimeMS(i), Value: 1}); err != nil {
			t.Fatal(err)
		}
		want := 7.0
		if i >= 40_000 {
			want = triage.DefaultLevel
		}
		if s.Level() != want {
			t.Fatalf("reading %d: level %v, want %v", i, s.Level(), want)
		}
	}
}

// TestSince: an alarm that had to wait for the end of another one's refractory time says when it began, and a short one that it did just now.
func TestSince(t *testing.T) {
	t.Parallel()
	const spike, rise = 3000, 3010
	samples := triagetest.Street(4, rise+300)
	samples[spike].Value += 800
	for i := rise; i < len(samples); i++ {
		samples[i].Value += 900 + 20*float64(i-rise)
	}
	var found []int
	s := triage.NewSeries()
	for i, x := range samples {
		v, err := s.Observe(x)
		if err != nil {
			t.Fatal(err)
		}
		if !v.Alarm || i < spike {
			continue
		}
		found = append(found, i)
		since := (v.Since - samples[0].AtMS) / 300_000
		if i == spike && since != spike || i > rise && i < rise+120 && (since < spike || since > rise) {
			t.Errorf("the alarm of reading %d is since reading %d: %+v", i, since, v.Reasons)
		}
	}
	if len(found) < 2 || found[0] != spike || found[1] > rise+120 {
		t.Errorf("alarms at %v", found)
	}
}

// TestReasonCodes: each way of being unusual is named as what it is, with numbers that show it.
func TestReasonCodes(t *testing.T) {
	t.Parallel()
	const at = 2300 // the first strange reading
	for _, c := range []struct {
		want    triage.ReasonCode
		strange func(i int, value float64) float64
		shows   func(r triage.Reason) bool
	}{
		{triage.ReasonValue, func(i int, x float64) float64 { return x + 400 }, func(r triage.Reason) bool { return r.Value > r.High+50 && r.Readings == 1 }},
		{triage.ReasonVariation, func(i int, _ float64) float64 { return 100 }, func(r triage.Reason) bool { return r.Value < r.Low }},
		{triage.ReasonHour, func(i int, x float64) float64 { return 140 - (x - 100) }, func(r triage.Reason) bool { return math.Abs(r.Value) > 4 }},
		{triage.ReasonPattern, func(i int, x float64) float64 { return 100 + 35*math.Sin(float64(i)/9) }, func(r triage.Reason) bool {
			return r.NearestMS > 0 && r.NearestMS < r.AtMS && math.Abs(r.Gap) > 5
		}},
		{triage.ReasonMean, func(i int, x float64) float64 { return x + 200 }, func(r triage.Reason) bool { return r.Value > r.High && r.Readings > 1 }},
	} {
		samples := triagetest.Street(3, at+300)
		samples[2000].Value -= 400 // its own spike
		for i := at; i < len(samples); i++ {
			samples[i].Value = c.strange(i, samples[i].Value)
		}
		s, found := triage.NewSeries(), []triage.Reason(nil)
		for i, x := range samples {
			v, err := s.Observe(x)
			if err != nil {
				t.Fatal(err)
			}
			if i >= at {
				found = append(found, v.Reasons...)
			}
		}
		ok := slices.ContainsFunc(found, func(r triage.Reason) bool { return r.Code == c.want && c.shows(r) })
		if !ok {
			t.Errorf("%s: not among %+v", c.want, found)
		}
	}
}
