package triage

import (
	"errors"
	"math"
	"slices"

	"github.com/lamppost/lamppost/internal/triage/saved"
)

// sampleSize is how many values a spread keeps. Its quantiles are those of all values within about 1 %.
const sampleSize = 256

// A spread is a sorted random sample of all values so far, each as likely to be in it as any other (Vitter's algorithm R): the
// robust range of a quantity, in bounded memory. What is asked of it at every reading stands beside the sample, which changes ever more
// rarely and so stays out of the processor's caches.
type spread struct {
	low, high float64 // what all but 2 % of the values on each side lie between
	width     float64 // of these bounds, and never 0: at least a millionth of their size
	n         int     // values so far
	dice      uint64  // the state of the generator: always the same draws, so that a replay gives the same
	sorted    []float64
}

func (q *spread) reset() { *q = spread{sorted: q.sorted[:0]} }

func (q *spread) add(x float64) {
	q.n++
	out := len(q.sorted)
	if out < sampleSize {
		q.sorted = append(q.sorted, 0)
	} else {
		q.dice = q.dice*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		if out = int((q.dice >> 33) % uint64(q.n)); out >= sampleSize {
			return
		}
	}
	q.put(x, out)
	q.settle()
}

// put replaces the value at a place, which in the sorted sample leads to another.
func (q *spread) put(x float64, out int) {
	kept := len(q.sorted)
	if q.n <= sampleSize {
		kept-- // the last place is the new one
	}
	in, _ := slices.BinarySearch(q.sorted[:kept], x)
	if in > out { // the place of who leaves is filled from the right
		in--
		copy(q.sorted[out:in], q.sorted[out+1:in+1])
	} else {
		copy(q.sorted[in+1:out+1], q.sorted[in:out])
	}
	q.sorted[in] = x
}

// settle works out the bounds of the sample.
func (q *spread) settle() {
	q.low, q.high = 0, 0
	if last := len(q.sorted) - 1; last >= 0 {
		least := len(q.sorted) / 50
		q.low, q.high = q.sorted[least], q.sorted[last-least]
		if q.low == q.high {
			q.low, q.high = q.sorted[0], q.sorted[last]
		}
	}
	q.width = q.high - q.low + float64(1e-6*max(math.Abs(q.low), math.Abs(q.high))) + 1e-12
}

func (q *spread) state(s *saved.State) {
	s.Count(&q.n, maxReadings)
	s.U64(&q.dice)
	q.sorted = resized(q.sorted, min(q.n, sampleSize))
	s.Floats(q.sorted)
	if !slices.IsSorted(q.sorted) {
		s.Fail(errors.New("a sample is not sorted"))
	}
	q.settle()
}

// resized has n elements, the first ones of s among them. What is new is 0.
func resized[T any](s []T, n int) []T {
	if n <= len(s) {
		return s[:n]
	}
	return append(s, make([]T, n-len(s))...)
}
