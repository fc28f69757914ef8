package explore_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// of makes a sweep of a space whose latency of each point and repetition a function says.
func of(t testing.TB, space string, p99 func(p explore.Point, rep int) float64) *explore.Set {
	t.Helper()
	s := must(explore.ParseSpace([]byte(space)))(t)
	set := &explore.Set{V: explore.Version, Space: s}
	for _, run := range must(s.Plan())(t) {
		set.Rows = append(set.Rows, explore.Row{V: explore.Version, Order: run.Order, Rep: run.Rep, Point: run.Point, Figures: explore.Figures{Committed: 1, P99: p99(run.Point, run.Rep)}})
	}
	return set
}

// by finds what is said of a metric by the only comparison.
func by(t testing.TB, all []explore.Agreement, metric string) explore.Agreement {
	t.Helper()
	i := slices.IndexFunc(all, func(a explore.Agreement) bool { return a.Metric == metric })
	if i < 0 {
		t.Fatalf("nothing is said of %q: %+v", metric, all)
	}
	return all[i]
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// Rank correlations are those that books give, with the mean rank for equal values.
func TestRankCorrelation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b []float64
		want float64
	}{
		"IQ and hours of television": {[]float64{106, 100, 86, 101, 99, 103, 97, 113, 112, 110}, []float64{7, 27, 2, 50, 28, 29, 20, 12, 6, 17}, -29.0 / 165},
		"equal values":               {[]float64{1, 2, 2, 3}, []float64{1, 2, 3, 4}, math.Sqrt(0.9)},
		"alike":                      {[]float64{1, 5, 3}, []float64{10, 11, 10.5}, 1},
		"the other way round":        {[]float64{1, 2, 3}, []float64{9, 8, 7}, -1},
		"one tells nothing apart":    {[]float64{1, 2, 3}, []float64{4, 4, 4}, 0},
		"neither does":               {[]float64{2, 2, 2}, []float64{4, 4, 4}, 1},
		"nothing there is no point":  {[]float64{0, 1, 2, 3}, []float64{0, 3, 2, 1}, -1},
	} {
		readings := "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"[:3*len(c.a)-2]
		if len(c.a) == 10 {
			readings += "0"
		}
		set := of(t, "repetitions: 2\ngrids:\n  - {readings: ["+readings+"]}\n", func(p explore.Point, rep int) float64 {
			return [][]float64{c.a, c.b}[rep-1][p.Readings-1]
		})
		if got := by(t, set.Agreement(), "commit_p99_ms"); !near(got.All, c.want) || got.Groups != 0 {
			t.Errorf("%s: %+v, want %v over all points, and no groups", name, got, c.want)
		}
	}
}

// threeGroups are three engines at three settings.
const threeGroups = "repetitions: 2\ngrids:\n  - {engine: [solo, raft, comet], readings: [1, 2, 3]}\n"

// Engines are ranked within groups. A swap of near ties is told from one of what is far apart, and counts less where all are ranked over their group's mean.
func TestEnginesRankedWithinGroups(t *testing.T) {
	t.Parallel()
	values := map[string][2][3]float64{ // by engine, of each repetition, of each group
		"solo":  {{10, 100, 1000}, {11, 90, 1050}},
		"raft":  {{20, 200, 2000}, {22, 195, 1000}},
		"comet": {{60, 205, 9000}, {58, 190, 8000}},
	}
	set := of(t, threeGroups, func(p explore.Point, rep int) float64 { return values[p.Engine][rep-1][p.Readings-1] })
	got := by(t, set.Agreement(), "commit_p99_ms")
	// Group 1 is alike. In group 2 raft and comet swap, 2.5 % apart: ranks 1 2 3 and 1 3 2, correlation 0.5. In group 3 solo and raft swap, twice as much.
	want := explore.Agreement{A: "repetition 1", B: "repetition 2", Metric: "commit_p99_ms", Points: 9, Groups: 3, Engines: 2.0 / 3, Alike: 1.0 / 3, Pairs: 9, Swapped: 2, Wide: 1}
	want.All, want.Relative = got.All, got.Relative
	if !near(got.Engines, want.Engines) || !near(got.Alike, want.Alike) {
		t.Errorf("correlation within groups %v, alike %v", got.Engines, got.Alike)
	}
	if want.Engines, want.Alike = got.Engines, got.Alike; got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !near(got.Relative, relativeByHand(values)) {
		t.Errorf("over the groups' means %v, want %v", got.Relative, relativeByHand(values))
	}
	if text := explore.AgreementMarkdown(set.Agreement()); !strings.Contains(text, "| 9 | 2 | 1 |") {
		t.Errorf("the table does not say that two pairs swapped, one of them far apart:\n%s", text)
	}
}

// relativeByHand ranks by counting, as the definition says, and takes 1 - 6 Σd²/(n(n²-1)), which is right where no values are equal.
func relativeByHand(values map[string][2][3]float64) float64 {
	var a, b []float64
	for _, e := range []string{"solo", "raft", "comet"} {
		for g := range 3 {
			var sum [2]float64
			for _, v := range values {
				sum[0], sum[1] = sum[0]+v[0][g], sum[1]+v[1][g]
			}
			a, b = append(a, values[e][0][g]/sum[0]), append(b, values[e][1][g]/sum[1])
		}
	}
	place := func(v []float64, i int) (n float64) {
		for _, x := range v {
			if x < v[i] {
				n++
			}
		}
		return n
	}
	d2, n := 0.0, float64(len(a))
	for i := range a {
		d := place(a, i) - place(b, i)
		d2 += d * d
	}
	return 1 - 6*d2/(n*(n*n-1))
}

// Three repetitions make three comparisons; one that is not done yet is compared where it is.
func TestRepetitionsCompared(t *testing.T) {
	t.Parallel()
	set := of(t, strings.Replace(threeGroups, "2", "3", 1), func(p explore.Point, rep int) float64 { return float64(len(p.Engine) * p.Readings) })
	set.Rows = set.Rows[:len(set.Rows)-6]
	set.Rows[0].Error, set.Rows[0].Figures = "it failed", explore.Figures{}
	var said []string
	for _, a := range set.Agreement() {
		said = append(said, a.A+", "+a.B)
		if want := map[string]int{"repetition 1repetition 2": 8}[a.A+a.B]; want != 0 && a.Points != want {
			t.Errorf("%s and %s have %d points in common, want %d", a.A, a.B, a.Points, want)
		}
		if a.B == "repetition 3" && a.Points > 3 {
			t.Errorf("three runs of the last repetition are done, %d are compared", a.Points)
		}
	}
	if !slices.Equal(said, []string{"repetition 1, repetition 2", "repetition 1, repetition 3", "repetition 2, repetition 3"}) {
		t.Errorf("compared are %q", said)
	}
}

// Two sweeps are compared by their middles, where both have been.
func TestAgainst(t *testing.T) {
	t.Parallel()
	value := func(p explore.Point, rep int) float64 { return float64(len(p.Engine)*p.Readings + 1000*(rep%2)) } // the middle of three is one with 1000
	one := of(t, strings.Replace(threeGroups, "2", "3", 1), value)
	other := of(t, strings.Replace(threeGroups, "readings: [1, 2, 3]", "readings: [1, 2]", 1), func(p explore.Point, rep int) float64 {
		return float64(len(p.Engine) * p.Readings)
	})
	got := by(t, must(one.Against(other))(t), "commit_p99_ms")
	if got.Points != 6 || got.Groups != 2 || !near(got.Engines, 1) || !near(got.Alike, 1) || got.Swapped != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := one.Against(of(t, "grids:\n  - {readings: 77}\n", value)); err == nil {
		t.Error("sweeps of different spaces are compared")
	}
}

// At full load and at an offered rate throughput is ranked apart: there engines that keep up tie.
func TestThroughputByLoad(t *testing.T) {
	t.Parallel()
	set := of(t, "repetitions: 2\ngrids:\n  - {engine: [raft, comet], rate: [0, 500]}\n", func(explore.Point, int) float64 { return 0 })
	for i := range set.Rows {
		r := &set.Rows[i]
		r.PerS = map[string]float64{"raft": 9000, "comet": 4000}[r.Engine]
		if r.Rate > 0 {
			r.PerS = 499 + float64(r.Rep)/10*float64(len(r.Engine)-4) // comet is a little ahead the second time
			if r.Engine == "raft" {
				r.PerS = 499.15
			}
		}
	}
	var full, offered explore.Agreement
	for _, a := range set.Agreement() {
		switch a.Load {
		case "full":
			full = a
		case "offered":
			offered = a
		}
	}
	if full.Engines != 1 || full.Points != 2 || offered.Engines != -1 || offered.Swapped != 1 || offered.Wide != 0 {
		t.Errorf("full %+v\noffered %+v", full, offered)
	}
}
