package compact

import (
	"math"
	"math/bits"
)

// Predictions are made of steps of the quantiser, by both sides alike. What is no integer is float64 with every product rounded by itself
// (float64(x*y)), as in package triage: the same bits on every machine.

const (
	taps    = 12 // differences that the filter looks at
	lagTaps = 3  // values around the same place one season ago
	inputs  = taps + 1 + lagTaps
)

// A filter is normalised least mean squares (Widrow and Hoff 1960; Nagumo and Noda 1967): it foresees the next step from differences, from the
// distance to the mean, and from a season ago.
type filter struct {
	lag    int     // rows of a season; 0: none
	rate   float64 // how fast it learns
	weight [inputs]float64
	in     [inputs]float64
	mean   float64
	n      int
	guess  float64
}

const (
	filterRest = 1.0 // added to the power, in steps²
	meanRows   = 256
)

// filterRates are what a filter may learn by; the first is tried with every lag, the others with the best one.
var filterRates = [...]float64{0.012, 0.003, 0.04}

// next foresees steps[i] from those before.
func (f *filter) next(steps []int64, i int) float64 {
	last := float64(steps[i-1])
	for k := range taps {
		f.in[k] = 0
		if i >= k+2 {
			f.in[k] = float64(steps[i-1-k] - steps[i-2-k])
		}
	}
	f.n++
	f.mean += (last - f.mean) / float64(min(f.n, meanRows))
	f.in[taps] = f.mean - last
	for k := range lagTaps {
		f.in[taps+1+k] = 0
		if at := i - f.lag + 1 - k; f.lag > 0 && at >= 0 {
			f.in[taps+1+k] = float64(steps[at]) - last
		}
	}
	sum := 0.0
	for k := range f.in {
		sum += float64(f.weight[k] * f.in[k])
	}
	f.guess = last + sum
	if !(math.Abs(f.guess) <= mostStep) {
		f.guess = last
	}
	return f.guess
}

// learn is told what came.
func (f *filter) learn(step int64) {
	power := filterRest
	for _, x := range f.in {
		power += float64(x * x)
	}
	gain := float64(f.rate*(float64(step)-f.guess)) / power
	for k, x := range f.in {
		f.weight[k] += float64(gain * x)
	}
}

// residuals codes how far steps are from what was foreseen. What is likely depends on how far the last ones were, and on which side of the
// rounded guess the guess is.
type residuals struct {
	any   [levels][2][sides]prob
	sign  [levels][sides]prob
	place [levels][mostBits]prob
	magnitudes
	recent int // mean size of the last ones, in 16ths
	zero   uint32
}

const (
	levels = 12
	sides  = 5
)

func (m *residuals) code(c *coder, guess float64, step int64) int64 {
	whole := math.Round(guess)
	side := int(float64((guess - whole + 0.5) * sides))
	side = min(max(side, 0), sides-1)
	level := min(bits.Len(uint(m.recent)), levels-1)
	v := step - int64(whole)
	var size uint64
	if c.bit(&m.any[level][m.zero][side], b2u(v != 0)) != 0 {
		negative := c.bit(&m.sign[min(level, 5)][side], b2u(v < 0)) != 0
		size = uint64(v)
		if v < 0 {
			size = -size
		}
		size = m.rest(c, unary(c, m.place[level][:], bits.Len64(size)-1, mostBits-1), size)
		v = int64(size)
		if negative {
			v = -v
		}
	} else {
		v = 0
	}
	m.zero = b2u(size == 0)
	m.recent += (int(min(size, 1<<20))<<4 - m.recent) >> 2
	return int64(whole) + v
}
