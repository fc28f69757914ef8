package joint

import (
	"math"

	"github.com/lamppost/lamppost/internal/triage"
)

// As in package triage, every product stands in float64(…), so that no compiler fuses it with a sum, and of package math only what is exact
// everywhere is used: scores are the same bits on every machine.

const (
	memory   = 2000 // rows that means, variances and relations remember
	farthest = 10   // deviations that a value counts as at most
)

// share is what the newest of n numbers weighs in their mean.
func share(n *float64, learn float64) float64 {
	*n = min(*n+learn, memory)
	return learn / max(1, *n)
}

func within(x, most float64) float64 { return min(max(x, -most), most) }

// A scale is the mean and variance of a quantity, in its unit.
type scale struct{ n, mean, variance, latest float64 }

// next returns how many deviations a value is from the mean of those before, and learns it.
func (s *scale) next(x, learn float64) float64 {
	gap, z := x-s.mean, 0.0
	if s.n > 1 {
		z = within(gap/s.deviation(), farthest)
		s.latest += float64(smoothing * (x - s.latest))
	} else {
		s.latest = x
	}
	a := share(&s.n, learn)
	s.mean += float64(a * gap)
	s.variance += float64(a * (float64(float64(gap*gap)*(1-a)) - s.variance))
	return z
}

// deviation is above 0: at least a millionth of the mean.
func (s *scale) deviation() float64 {
	return math.Sqrt(s.variance) + float64(1e-6*math.Abs(s.mean)) + 1e-12
}

// of is a number of deviations in the quantity's unit.
func (s *scale) of(z float64) float64 { return s.mean + float64(s.deviation()*z) }

// A stream is a number that should stay near its mean. It is unusual when it stays away from it, for longer or farther than it ever strays.
type stream struct {
	n, mean, variance float64
	smooth, usual     float64 // the latest distances from the mean, smoothed, and the mean of its square
	slow, wander      float64 // the same, over long
	far               float64 // how unusual it is, smoothed
}

const (
	smoothing   = 0.2  // five rows or so
	slowness    = 0.01 // a hundred
	steadying   = 0.25 // of how unusual it is
	streamLeast = 60   // numbers before one can be called unusual
	outlying    = 5    // deviations that a number widens the variance by at most
	mostFar     = 8
	leastUsual  = 0.02 // of a smoothed distance, in deviations of the number
)

func (s *stream) next(x, learn float64) {
	gap := x - s.mean
	s.smooth += float64(smoothing * (gap - s.smooth))
	s.slow += float64(slowness * (gap - s.slow))
	far := 0.0
	if s.n > streamLeast {
		far = s.unusual()
	}
	s.far += float64(steadying * (far - s.far))
	a := share(&s.n, learn)
	s.mean += float64(a * gap)
	if s.n > streamLeast {
		gap = within(gap, float64(outlying*math.Sqrt(s.variance)))
	}
	s.variance += float64(a * (float64(gap*gap) - s.variance))
	s.usual += float64(a * (float64(s.smooth*s.smooth) - s.usual))
	s.wander += float64(a * (float64(s.slow*s.slow) - s.wander))
}

// miss is what a row without the number changes.
func (s *stream) miss() { s.far -= float64(steadying * s.far) }

// error is how far the smoothed distance usually is from 0.
func (s *stream) error() float64 {
	return math.Sqrt(s.usual) + float64(leastUsual*math.Sqrt(s.variance)) + 1e-6
}

// unusual returns by how many errors the smoothed distance is from 0, as a normal deviate of the same rarity (Student's t, in Wallace's
// approximation, 1959). Of a number that wanders, numbers in a row say the same thing again: n of them are worth n over the length of its
// excursions, which the variance of means of a hundred shows. So what drifted before is not soon unusual.
func (s *stream) unusual() float64 {
	t := s.smooth / s.error()
	worth := s.n
	if s.variance > 0 {
		worth = max(1, s.n/max(1, s.wander/float64(s.variance*slowness)))
	}
	return min(math.Sqrt(float64(worth*triage.Ln(1+float64(t*t)/worth))), mostFar)
}
