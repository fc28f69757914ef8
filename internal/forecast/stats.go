package forecast

import (
	"errors"
	"fmt"
	"math"
)

// MaxFeatures is how many features statistics may be of.
const MaxFeatures = 512

const maxRows = 1<<31 - 1

// Stats are what a linear regression needs of its samples: the sums of x·xᵀ, of x·y, of y² and of the weights. They add: those of two parties,
// merged, are those of all their samples, so that parties learn together in one round without showing any of them.
type Stats struct {
	d      int
	Rows   int       // samples, whatever they weigh
	Weight float64   // the sum of the samples' weights
	Gram   []float64 // the sum of x·xᵀ, its lower triangle, row by row
	Cross  []float64 // the sum of x·y
	Square float64   // the sum of y²: what weights miss can be told from it, see [Stats.Loss]
}

// NewStats returns statistics of no samples with d features.
func NewStats(d int) (*Stats, error) {
	if d < 1 || d > MaxFeatures {
		return nil, fmt.Errorf("%d features, not 1 to %d", d, MaxFeatures)
	}
	return newStats(d), nil
}

func newStats(d int) *Stats {
	return &Stats{d: d, Gram: make([]float64, d*(d+1)/2), Cross: make([]float64, d)}
}

// Add takes a sample with a weight. It must have as many features as the statistics.
func (s *Stats) Add(x []float64, y, weight float64) {
	at := 0
	for i, xi := range x {
		by := float64(xi * weight)
		if by == 0 {
			at += i + 1
			continue
		}
		row := s.Gram[at : at+i+1]
		for j := range row {
			row[j] += float64(by * x[j])
		}
		s.Cross[i] += float64(by * y)
		at += i + 1
	}
	s.Square += float64(float64(y*y) * weight)
	s.Weight += weight
	s.Rows = min(s.Rows+1, maxRows)
}

var errFeatures = errors.New("statistics are of other features")

// Merge adds the samples of others, each as if it had the weight it has there times this factor.
func (s *Stats) Merge(o *Stats, factor float64) error {
	if o.d != s.d || len(o.Gram) != len(s.Gram) || len(o.Cross) != len(s.Cross) {
		return errFeatures
	}
	for i, x := range o.Gram {
		s.Gram[i] += float64(x * factor)
	}
	for i, x := range o.Cross {
		s.Cross[i] += float64(x * factor)
	}
	s.Square += float64(o.Square * factor)
	s.Weight += float64(o.Weight * factor)
	s.Rows = min(s.Rows+o.Rows, maxRows)
	return nil
}

// fading is what is left of a sample when the weights are solved for again.
const fading = 0.98

func (s *Stats) fade() {
	for i := range s.Gram {
		s.Gram[i] = float64(s.Gram[i] * fading)
	}
	for i := range s.Cross {
		s.Cross[i] = float64(s.Cross[i] * fading)
	}
	s.Square = float64(s.Square * fading)
	s.Weight = float64(s.Weight * fading)
}

// Features is how many features a sample has.
func (s *Stats) Features() int { return s.d }

// Loss is the weighted mean of (y - w·x)².
func (s *Stats) Loss(w []float64) (float64, error) {
	if !(s.Weight > 0) || len(w) != s.d {
		return 0, errors.New("nothing to compare with")
	}
	sum, at := s.Square, 0
	for i, wi := range w {
		row := 0.0 // of the matrix, its diagonal by half
		for j, wj := range w[:i] {
			row += float64(s.Gram[at+j] * wj)
		}
		row += float64(float64(0.5*s.Gram[at+i]) * wi)
		sum += float64(2 * float64(wi*(row-s.Cross[i])))
		at += i + 1
	}
	return sum / s.Weight, nil
}

// Fit returns the weights that a [Model] takes from these samples.
func (s *Stats) Fit() ([]float64, error) {
	w := make([]float64, s.d)
	if err := s.Solve(penalty, w); err != nil {
		return nil, err
	}
	for _, x := range w {
		if !(x >= -maxWeight && x <= maxWeight) {
			return nil, fmt.Errorf("a weight of %g", x)
		}
	}
	return w, nil
}

// Solve puts into w the weights that minimise the weighted mean of (y - w·x)² + penalty·|w|², the first feature's weight being free, as it
// is the constant. It says no where the samples do not tell: no penalty, and features that depend on each other.
func (s *Stats) Solve(penalty float64, w []float64) error {
	if !(s.Weight > 0) || len(w) != s.d {
		return errors.New("nothing to learn from")
	}
	l := make([]float64, len(s.Gram)) // Cholesky's: the matrix is l·lᵀ
	for i, at := 0, 0; i < s.d; i, at = i+1, at+i+1 {
		ri := l[at : at+i+1]
		for j, from := 0, 0; j <= i; j, from = j+1, from+j+1 {
			rj := l[from : from+j+1]
			sum := s.Gram[at+j] / s.Weight
			if i == j && i > 0 {
				sum += penalty
			}
			for k := range j {
				sum -= float64(ri[k] * rj[k])
			}
			if i > j {
				ri[j] = sum / rj[j]
				continue
			}
			if !(sum > 1e-14) {
				return fmt.Errorf("feature %d says nothing that others do not: a higher penalty is needed", i)
			}
			ri[i] = math.Sqrt(sum)
		}
	}
	s.substitute(l, w)
	return nil
}

// substitute solves l·lᵀ·w = the sum of x·y.
func (s *Stats) substitute(l, w []float64) {
	at := 0
	for i := range w {
		sum := s.Cross[i] / s.Weight
		for k := range i {
			sum -= float64(l[at+k] * w[k])
		}
		w[i] = sum / l[at+i]
		at += i + 1
	}
	for i := s.d - 1; i >= 0; i-- {
		sum := w[i]
		for k := i + 1; k < s.d; k++ {
			sum -= float64(l[k*(k+1)/2+i] * w[k])
		}
		w[i] = sum / l[i*(i+1)/2+i]
	}
}
