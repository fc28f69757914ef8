package triage

import (
	"math"
	"slices"
)

// Scores replay bit for bit on every machine. The compiler may fuse x*y + z into one rounding where the processor can (arm64, riscv64,
// ppc64), so every product here stands in float64(…), which forbids it; TestNothingIsFused holds the package to that. Of package
// math only what is exact everywhere is used: ln is our own because math.Log may be fused.

const ln2 = 0.693147180559945309417232121458176568

// ln is the natural logarithm of a positive finite number, within 1e-15 of it: x = 2^k·f with f in [√½, √2), and
// ln f = 2·atanh(s) by its series, s = (f-1)/(f+1), |s| < 0.1716.
func ln(x float64) float64 {
	f, k := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f, k = float64(f*2), k-1
	}
	s := (f - 1) / (f + 1)
	s2, sum := float64(s*s), 0.0
	for n := 21.0; n >= 1; n -= 2 {
		sum = 1/n + float64(sum*s2)
	}
	return float64(float64(k)*ln2) + float64(2*float64(s*sum))
}

// sampleSize is how many values a spread keeps. Its quantiles are those of all values within about 1 %.
const sampleSize = 256

// A spread is a sorted random sample of all values so far, each as likely to be in it as any other (Vitter's algorithm R): the
// robust range of a quantity, in bounded memory.
type spread struct {
	sorted [sampleSize]float64
	n      int    // values so far
	dice   uint64 // the state of the generator: always the same draws, so that a replay gives the same
}

func (q *spread) kept() int { return min(q.n, sampleSize) }

func (q *spread) add(x float64) {
	kept := q.kept()
	q.n++
	out := kept
	if kept == sampleSize {
		q.dice = q.dice*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		if out = int((q.dice >> 33) % uint64(q.n)); out >= sampleSize {
			return
		}
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

// bounds are what all but 2 % of the values on each side lie between.
func (q *spread) bounds() (low, high float64) {
	kept := q.kept()
	if kept == 0 {
		return 0, 0
	}
	low, high = q.sorted[kept/50], q.sorted[kept-1-kept/50]
	if low == high {
		low, high = q.sorted[0], q.sorted[kept-1]
	}
	return low, high
}

// width is the distance of the bounds, and never 0: at least a millionth of their size.
func (q *spread) width() float64 {
	low, high := q.bounds()
	return high - low + float64(1e-6*max(math.Abs(low), math.Abs(high))) + 1e-12
}
