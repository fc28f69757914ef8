package advise

import (
	"maps"
	"math"
	"slices"
)

// A surface is a figure over the settings, in logarithms: a Gaussian process (Rasmussen and Williams 2006, chapter 2) of a plane, of what
// each setting bends by itself, of what they bend together, and of noise. The first two carry it to where no row lies near.
type surface struct {
	scale scales
	trend *trend // that was taken off
	x     [][]float64
	mean  float64
	low   [][]float64 // Cholesky's factor of the rows' covariance, lower triangle
	alpha []float64   // covariance⁻¹ (y − mean)
	wide  float64     // standard deviations, that nine of ten held out rows lie within
}

// scales are in natural logarithms, of settings and of figures.
type scales struct {
	slope  float64   // of the plane, along each setting
	alone  float64   // of what one setting bends
	smooth float64   // of what all bend together
	length []float64 // along each setting, over which that is alike
	noise  float64   // of a measurement
	far    float64   // so many times as much between members that are apart
}

// distantAt is where the distance between members stands in every place.
const distantAt = 0

// noiseAt is the noise of a measurement at a place.
func (s *scales) noiseAt(x []float64) float64 {
	if x[distantAt] > 0 {
		return s.noise * s.far
	}
	return s.noise
}

// startScales are those of which the likelihood's climb begins.
func startScales(dimensions int) scales {
	return scales{slope: 0.2, alone: 0.2, smooth: 0.2, length: slices.Repeat([]float64{4}, dimensions), noise: 0.1, far: 1}
}

// steps are the values that a scale may take; few, so that rows are not fitted too well.
var (
	smoothSteps = []float64{0.02, 0.05, 0.1, 0.2, 0.4, 0.8}
	slopeSteps  = []float64{0.05, 0.1, 0.2, 0.5}
	lengthSteps = []float64{1.2, 2.5, 5, 10}
	farSteps    = []float64{1, 2, 4}
	noiseSteps  = []float64{0.02, 0.03, 0.06, 0.1, 0.15, 0.25}
)

func (s *scales) covariance(a, b []float64) float64 {
	plane, far, alone := 4.0, 0.0, 0.0
	for i := range a {
		plane += s.slope * s.slope * a[i] * b[i]
		if a[i] == b[i] {
			alone++
			continue
		}
		d := (a[i] - b[i]) / s.length[i]
		d *= d
		far, alone = far+d, alone+math.Exp(-d/2)
	}
	return plane + s.alone*s.alone*alone + s.smooth*s.smooth*math.Exp(-far/2)
}

// fit lays a surface through points. Noise is by how much each repetition of a point lies off y, its middle; points of the same block stand and fall
// together when the intervals are found.
func fit(x [][]float64, y []float64, noise [][]float64, block []int) *surface {
	best := newSurface(x, y, startScales(len(x[0])))
	score := best.likelihood(y)
	try := func(steps []float64, put func(*scales, float64)) {
		for _, v := range steps {
			sc := best.scale
			sc.length = slices.Clone(sc.length)
			put(&sc, v)
			s := newSurface(x, y, sc)
			if l := s.likelihood(y); l > score+1e-9 {
				best, score = s, l
			}
		}
	}
	for range 2 {
		try(noiseSteps, func(s *scales, v float64) { s.noise = v })
		try(farSteps, func(s *scales, v float64) { s.far = v })
		try(slopeSteps, func(s *scales, v float64) { s.slope = v })
		try(smoothSteps, func(s *scales, v float64) { s.alone = v })
		try(smoothSteps, func(s *scales, v float64) { s.smooth = v })
		for i := range x[0] {
			try(lengthSteps, func(s *scales, v float64) { s.length[i] = v })
		}
	}
	best.wide = best.width(noise, block)
	return best
}

func newSurface(x [][]float64, y []float64, sc scales) *surface {
	s := &surface{scale: sc, x: x}
	for _, v := range y {
		s.mean += v / float64(len(y))
	}
	s.low = make([][]float64, len(x))
	for i := range x {
		s.low[i] = make([]float64, i+1)
		for j := range i + 1 {
			s.low[i][j] = sc.covariance(x[i], x[j])
		}
		s.low[i][i] += sc.noiseAt(x[i]) * sc.noiseAt(x[i])
	}
	cholesky(s.low)
	s.alpha = make([]float64, len(y))
	for i, v := range y {
		s.alpha[i] = v - s.mean
	}
	forward(s.low, s.alpha)
	backward(s.low, s.alpha)
	return s
}

// likelihood is the logarithm of the rows' (equation 2.30), without its constant.
func (s *surface) likelihood(y []float64) float64 {
	l := 0.0
	for i, v := range y {
		l -= (v-s.mean)*s.alpha[i]/2 + math.Log(s.low[i][i])
	}
	return l
}

// at is the middle and the standard deviation of a measurement.
func (s *surface) at(x []float64) (mid, deviation float64) {
	k := make([]float64, len(s.x))
	mid = s.mean
	for i := range k {
		k[i] = s.scale.covariance(x, s.x[i])
		mid += k[i] * s.alpha[i]
	}
	noise := s.scale.noiseAt(x) * s.scale.noiseAt(x)
	variance := s.scale.covariance(x, x) + noise
	forward(s.low, k)
	for _, v := range k {
		variance -= v * v
	}
	return mid, math.Sqrt(max(variance, noise))
}

// interval is that of a figure itself.
func (s *surface) interval(x []float64) Range {
	mid, deviation := s.at(x)
	d := s.wide * deviation
	return Range{math.Exp(mid - d), math.Exp(mid), math.Exp(mid + d)}
}

// width is how many deviations off nine of ten repetitions are, when the points of their block are not known (conformal prediction, with what leaving
// out does by the inverse's blocks: Rasmussen and Williams 2006, equation 5.12, for several points at once).
func (s *surface) width(noise [][]float64, block []int) float64 {
	members := map[int][]int{}
	for i, b := range block {
		members[b] = append(members[b], i)
	}
	inverse := s.inverse()
	var off []float64
	for _, b := range slices.Sorted(maps.Keys(members)) {
		residuals, deviations := s.without(inverse, members[b])
		for i, point := range members[b] {
			for _, n := range noise[point] {
				off = append(off, math.Abs(residuals[i]+n)/deviations[i])
			}
		}
	}
	return conformal(off)
}

// without is how far points lie from what the others say of them, and the deviation of that: the part P of the inverse that is theirs gives the
// residuals P⁻¹α, with covariance P⁻¹.
func (s *surface) without(inverse [][]float64, at []int) (residuals, deviations []float64) {
	low := make([][]float64, len(at))
	for i, r := range at {
		residuals = append(residuals, s.alpha[r])
		for _, c := range at[:i+1] {
			low[i] = append(low[i], inverse[r][c])
		}
	}
	cholesky(low)
	forward(low, residuals)
	backward(low, residuals)
	for i := range at {
		unit := make([]float64, len(at))
		unit[i] = 1
		forward(low, unit)
		variance := 0.0
		for _, v := range unit {
			variance += v * v
		}
		deviations = append(deviations, math.Sqrt(variance))
	}
	return residuals, deviations
}

func (s *surface) inverse() [][]float64 {
	inverse := make([][]float64, len(s.x))
	for i := range inverse {
		inverse[i] = make([]float64, len(s.x))
		inverse[i][i] = 1
		forward(s.low, inverse[i])
		backward(s.low, inverse[i])
	}
	return inverse
}

// conformal is the value that nine of ten are below, the one to come among them.
func conformal(values []float64) float64 {
	slices.Sort(values)
	return values[min(len(values), int(math.Ceil(0.9*float64(len(values)+1))))-1]
}

// cholesky replaces the lower triangle of a positive matrix by its factor.
func cholesky(a [][]float64) {
	for i := range a {
		for j := range i + 1 {
			sum := a[i][j]
			for k, v := range a[j][:j] {
				sum -= a[i][k] * v
			}
			if i == j {
				a[i][i] = math.Sqrt(max(sum, 1e-12)) // positive by the noise, but for rounding
				continue
			}
			a[i][j] = sum / a[j][j]
		}
	}
}

// forward solves low·v = v.
func forward(low [][]float64, v []float64) {
	for i := range v {
		sum := v[i]
		for k, l := range low[i][:i] {
			sum -= l * v[k]
		}
		v[i] = sum / low[i][i]
	}
}

// backward solves lowᵀ·v = v.
func backward(low [][]float64, v []float64) {
	for i := len(v) - 1; i >= 0; i-- {
		v[i] /= low[i][i]
		for k, l := range low[i][:i] {
			v[k] -= l * v[i]
		}
	}
}
