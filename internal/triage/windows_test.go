package triage

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestWindows: moments that were put together are those of the readings themselves, also after readings that are larger by far, and equal
// readings have their own value for a mean and no deviation.
func TestWindows(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	var w windows
	var all []float64
	for i := range 2000 {
		x := 230 + random.NormFloat64()
		switch {
		case i%311 == 310:
			x = 1e12
		case i >= 1500:
			x = -273.15
		}
		w.put(x)
		all = append(all, x)
		for j, n := range spans {
			got, ok := w.last(j)
			if ok != (len(all) >= int(n)) {
				t.Fatalf("%d readings: a window of %d is there: %v", len(all), n, ok)
			}
			if ok {
				alike(t, "mean", got.mean, meanOf(all[len(all)-int(n):]))
				alike(t, "deviation", got.deviation(n), deviationOf(all[len(all)-int(n):]))
			}
		}
		if gap, ok := w.shift(); ok {
			latest := len(all) - shiftLatest
			alike(t, "shift", gap, meanOf(all[latest:])-meanOf(all[latest-shiftBefore:latest]))
		}
	}
	if m, _ := w.last(2); m != (moments{-273.15, 0}) {
		t.Errorf("of equal readings: %+v", m)
	}
}

func alike(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Fatalf("%s %v, want %v", what, got, want)
	}
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x - values[0]
	}
	return values[0] + sum/float64(len(values))
}

func deviationOf(values []float64) float64 {
	mean, sum := meanOf(values), 0.0
	for _, x := range values {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(values)))
}

// TestNearest: a discord finds the nearest earlier window, however it searches.
func TestNearest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 5))
	d, values := newDiscord(1, 8), []float64(nil)
	for i := range 3 * mostSteps {
		x := math.Round(20*math.Sin(float64(i)/17)) + float64(random.IntN(4)) + 1e6
		values = append(values, x)
		d.next(&Features{Sample: Sample{Value: x}, Low: 1e6 - 20, High: 1e6 + 23, Width: 43})
		if len(values) < 3*d.window {
			continue
		}
		least := math.Inf(1)
		for back := d.window; back <= min(pastSteps, len(values)-d.window); back++ {
			least = min(least, apart(values, d.window, back))
		}
		if got := apart(values, d.window, d.nearest); d.nearest < d.window || got != least {
			t.Fatalf("step %d: %d steps back, at a distance of %v; the nearest is at %v", i, d.nearest, got, least)
		}
	}
}

// apart is the squared distance of the newest window from the one that ended so many values before.
func apart(values []float64, window, back int) (sum float64) {
	for i := range window {
		gap := values[len(values)-1-i] - values[len(values)-1-i-back]
		sum += gap * gap
	}
	return sum
}
