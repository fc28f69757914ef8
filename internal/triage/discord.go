package triage

import (
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// pastSteps is how far back a discord looks: so many windows end in them.
const pastSteps = 1000

// A discord is how far the newest window of a coarsened stream is from its nearest neighbour among the earlier ones: what never
// happened before is far from everything (left discord; Yeh et al., Matrix Profile I, ICDM 2016; Lu et al., DAMP, KDD 2022). A step
// is the mean of so many readings. The distance is the root mean square over a window, in widths of the series.
type discord struct {
	readings int // of a step
	window   int // steps

	steps     [pastSteps + pastSteps/4]float64 // the latest, contiguous: the first ones leave when it is full
	at        [pastSteps + pastSteps/4]lamppost.TimeMS
	n         int // steps kept
	sum       float64
	summed    int // readings of the step that is being made
	usual     usual
	score     float64 // of the latest step
	nearest   int     // where the nearest earlier window ends, in steps before the latest; 0: there is none yet
	lag       int     // where in the window the gap is largest, in steps before the latest
	gap       float64
	low, high float64 // of the series, at the latest reading: not of the state
}

func newDiscord(readings, window int) *discord { return &discord{readings: readings, window: window} }

func (d *discord) reset() { *d = *newDiscord(d.readings, d.window) }

func (d *discord) next(x *Features) (float64, bool) {
	d.low, d.high = x.Low, x.High
	d.sum += x.Value
	if d.summed++; d.summed < d.readings {
		return d.score, d.ready()
	}
	d.step(d.sum/float64(d.readings), x.AtMS)
	d.sum, d.summed = 0, 0
	if d.n < 3*d.window {
		return 0, false
	}
	d.score = d.usual.score(d.distance(x.Width))
	return d.score, d.ready()
}

func (d *discord) ready() bool { return d.usual.n > usualLeast }

// step appends one, and drops the oldest ones when there is no room.
func (d *discord) step(x float64, at lamppost.TimeMS) {
	if d.n == len(d.steps) {
		keep := pastSteps - 1
		copy(d.steps[:], d.steps[d.n-keep:])
		copy(d.at[:], d.at[d.n-keep:])
		d.n = keep
	}
	d.steps[d.n], d.at[d.n] = x, at
	d.n++
}

// distance finds the nearest earlier window that has no step in common with the newest. Most are left after a step or two.
func (d *discord) distance(width float64) float64 {
	w := d.window
	newest := d.steps[d.n-w : d.n]
	least := math.MaxFloat64
	for end := d.n - w; end >= max(w, d.n-pastSteps); end-- {
		sum := 0.0
		for i, x := range d.steps[end-w : end] {
			gap := newest[i] - x
			if sum += float64(gap * gap); sum >= least {
				break
			}
		}
		if sum < least {
			least, d.nearest = sum, d.n-end
		}
	}
	d.lag, d.gap = 0, 0
	for i, x := range d.steps[d.n-w-d.nearest : d.n-d.nearest] {
		if gap := newest[i] - x; math.Abs(gap) > math.Abs(d.gap) {
			d.lag, d.gap = w-1-i, gap
		}
	}
	return math.Sqrt(least/float64(w)) / width
}

func (d *discord) reason() Reason {
	if d.nearest == 0 {
		return Reason{Code: ReasonPattern}
	}
	newest := d.n - 1 - d.lag
	return Reason{Code: ReasonPattern, Readings: d.readings * d.window, Value: d.steps[newest], Low: d.low, High: d.high,
		AtMS: d.at[newest], NearestMS: d.at[d.n-1-d.nearest], Gap: d.gap}
}

func (d *discord) state(s *saved.State) {
	s.Count(&d.n, len(d.steps))
	s.Floats(d.steps[:d.n])
	for i := range d.n {
		at := uint64(d.at[i])
		s.U64(&at)
		d.at[i] = lamppost.TimeMS(at)
	}
	s.Float(&d.sum)
	s.Count(&d.summed, d.readings-1)
	d.usual.state(s)
	s.Float(&d.score)
	s.Count(&d.nearest, max(0, d.n-d.window))
	s.Count(&d.lag, d.window-1)
	s.Float(&d.gap)
}

// usualLeast is how many distances must be known before one can be called unusual.
const usualLeast = 8

// A usual is the running mean and variance of a distance's logarithm. Ten distances of a variance of 0.36 are taken to have been seen
// before the first: else a series that is calm at first alarms at anything.
type usual struct {
	n        int
	mean, m2 float64
}

const (
	usualPrior    = 10
	usualVariance = 0.36
	usualOffset   = 0.01 // distances below it are alike
	usualFloor    = 0.05
)

// score returns how many deviations a distance is above the mean of those before, and learns it.
func (u *usual) score(distance float64) float64 {
	x := ln(distance + usualOffset)
	deviation := math.Sqrt((u.m2+usualPrior*usualVariance)/float64(u.n+usualPrior)) + usualFloor
	score := (x - u.mean) / deviation
	if u.n < usualLeast {
		score = 0
	}
	u.n++
	gap := x - u.mean
	u.mean += gap / float64(u.n)
	u.m2 += float64(gap * (x - u.mean))
	return score
}

func (u *usual) state(s *saved.State) {
	s.Count(&u.n, maxReadings)
	s.Float(&u.mean)
	s.Float(&u.m2)
	if u.m2 < 0 {
		s.Fail(errNegative)
		u.m2 = 0
	}
}
