package triage

import (
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// pastSteps is how far back a discord looks: so many windows end in them.
const pastSteps = 1000

const mostSteps = pastSteps + pastSteps/8

// A discord is how far the newest window of a coarsened stream is from its nearest neighbour among the earlier ones: what never
// happened before is far from everything (left discord; Yeh et al., Matrix Profile I, ICDM 2016; Lu et al., DAMP, KDD 2022). A step
// is the mean of so many readings. The distance is the root mean square over a window, in widths of the series.
type discord struct {
	readings int // of a step
	window   int // steps

	origin    float64   // what is taken off every step
	steps     []float32 // the latest ones, contiguous: the first leave when there are mostSteps
	from      int64     // what is taken off every time, in milliseconds
	at        []uint32  // when each ended, in seconds
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

func (d *discord) reset() {
	*d = discord{readings: d.readings, window: d.window, steps: d.steps[:0], at: d.at[:0]}
}

func (d *discord) next(x *Features) (float64, bool) {
	d.low, d.high = x.Low, x.High
	d.sum += x.Value
	if d.summed++; d.summed < d.readings {
		return d.score, d.ready()
	}
	d.step(d.sum/float64(d.readings), x.AtMS)
	d.sum, d.summed = 0, 0
	if len(d.steps) < 3*d.window {
		return 0, false
	}
	d.score = d.usual.score(d.distance(x.Width))
	return d.score, d.ready()
}

func (d *discord) ready() bool { return d.usual.n > usualLeast }

// step appends one, and drops the oldest ones when there is no room.
func (d *discord) step(x float64, at lamppost.TimeMS) {
	switch len(d.steps) {
	case 0:
		d.origin, d.from = x, int64(at)
	case mostSteps:
		d.drop(mostSteps - (pastSteps - 1))
	}
	d.steps = append(d.steps, float32(x-d.origin))
	d.at = append(d.at, uint32(min((int64(at)-d.from)/1000, math.MaxUint32)))
}

// drop forgets the oldest steps. The origins move to where the series is now, so that small differences of large values stay exact.
func (d *discord) drop(n int) {
	d.steps, d.at = d.steps[:copy(d.steps, d.steps[n:])], d.at[:copy(d.at, d.at[n:])]
	moved, passed := float64(d.steps[len(d.steps)-1]), d.at[0]
	for i := range d.steps {
		d.steps[i] = float32(float64(d.steps[i]) - moved)
		d.at[i] -= passed
	}
	d.origin += moved
	d.from += int64(passed) * 1000
}

// ended is when a step did, to the second below, within 136 years.
func (d *discord) ended(step int) lamppost.TimeMS {
	return lamppost.TimeMS(d.from + int64(d.at[step])*1000)
}

// distance finds the nearest earlier window that has no step in common with the newest. Four steps, the newest window's most telling ones, are
// enough to leave out nearly all others: they are compared without a branch, which a processor would guess wrongly.
func (d *discord) distance(width float64) float64 {
	w, n := d.window, len(d.steps)
	newest, past := d.steps[n-w:], d.steps[max(0, n-pastSteps-w):n-w]
	windows := len(past) - w + 1
	latest := w + windows - 1 // window i ends latest-i steps before the newest
	least := math.MaxFloat64
	if i := latest - d.nearest; d.nearest > 0 && i >= 0 { // where the last search ended
		least = squares(newest, past[i:], least)
	}
	t := d.telling(newest)
	x, y, z, u := float64(newest[t[0]]), float64(newest[t[1]]), float64(newest[t[2]]), float64(newest[t[3]])
	xs, ys, zs, us := past[t[0]:][:windows], past[t[1]:][:windows], past[t[2]:][:windows], past[t[3]:][:windows]
	for i := windows - 1; i >= 0; i-- {
		gapX, gapY, gapZ, gapU := x-float64(xs[i]), y-float64(ys[i]), z-float64(zs[i]), u-float64(us[i])
		if (float64(gapX*gapX)+float64(gapY*gapY))+(float64(gapZ*gapZ)+float64(gapU*gapU)) >= least {
			continue
		}
		if sum := squares(newest, past[i:], least); sum < least {
			least, d.nearest = sum, latest-i
		}
	}
	d.lag, d.gap = 0, 0
	for i, x := range d.steps[n-w-d.nearest : n-d.nearest] {
		if gap := float64(newest[i]) - float64(x); math.Abs(gap) > math.Abs(d.gap) {
			d.lag, d.gap = w-1-i, gap
		}
	}
	return math.Sqrt(least/float64(w)) / width
}

// telling returns the step of each quarter of a window that is farthest from the middle of the series.
func (d *discord) telling(window []float32) (at [4]int) {
	middle, quarter := (d.low+d.high)/2-d.origin, len(window)/len(at)
	for q := range at {
		at[q] = q * quarter
		for i := range quarter {
			if i += q * quarter; math.Abs(float64(window[i])-middle) > math.Abs(float64(window[at[q]])-middle) {
				at[q] = i
			}
		}
	}
	return at
}

// squares is the sum of squared distances of two windows, or more than the most as soon as it is.
func squares(window, other []float32, most float64) float64 {
	sum := 0.0
	for i, x := range other[:len(window)] {
		gap := float64(window[i]) - float64(x)
		if sum += float64(gap * gap); sum >= most {
			break
		}
	}
	return sum
}

func (d *discord) reason() Reason {
	if d.nearest == 0 {
		return Reason{Code: ReasonPattern}
	}
	latest := len(d.steps) - 1
	return Reason{Code: ReasonPattern, Readings: d.readings * d.window, Value: d.origin + float64(d.steps[latest-d.lag]), Low: d.low, High: d.high,
		AtMS: d.ended(latest - d.lag), NearestMS: d.ended(latest - d.nearest), Gap: d.gap}
}

func (d *discord) state(s *saved.State) {
	n := len(d.steps)
	s.Count(&n, mostSteps)
	d.steps, d.at = resized(d.steps, n), resized(d.at, n)
	from := uint64(d.from)
	s.Float(&d.origin)
	s.U64(&from)
	d.from = int64(from)
	for i := range d.steps {
		s.Pair(&d.steps[i], &d.at[i])
	}
	s.Float(&d.sum)
	s.Count(&d.summed, d.readings-1)
	d.usual.state(s)
	s.Float(&d.score)
	s.Count(&d.nearest, max(0, n-d.window))
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
