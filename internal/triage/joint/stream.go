package joint

import "math"

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
	n, mean float64
	smooth  float64 // the latest distances from the mean, smoothed
	usual   float64 // the mean of the square of that
	far     float64 // by how many usual errors it is away, smoothed
}

const (
	smoothing   = 0.2  // five rows or so
	steadying   = 0.25 // of how unusual it is
	streamLeast = 60   // numbers before one can be called unusual
	mostFar     = 8
	leastUsual  = 1e-3 // deviations of the quantity that are told from nothing
)

func (s *stream) next(x, learn float64) {
	gap := x - s.mean
	s.smooth += float64(smoothing * (gap - s.smooth))
	far := 0.0
	if s.n > streamLeast {
		far = min(math.Abs(s.smooth)/s.error(), mostFar)
	}
	s.far += float64(steadying * (far - s.far))
	a := share(&s.n, learn)
	s.mean += float64(a * gap)
	s.usual += float64(a * (float64(s.smooth*s.smooth) - s.usual))
}

// miss is what a row without the number changes.
func (s *stream) miss() { s.far -= float64(steadying * s.far) }

// error is how far the smoothed distance usually is from 0.
func (s *stream) error() float64 {
	return math.Sqrt(s.usual) + leastUsual
}
