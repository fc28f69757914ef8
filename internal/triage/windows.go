package triage

import (
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// moments are the mean of some readings and the sum of their squared distances from it.
type moments struct{ mean, m2 float64 }

// spans are how many readings means and deviations are taken over: each is three of the one before.
var spans = [...]uint{shortSpan, 3 * shortSpan, 9 * shortSpan}

const (
	shortSpan   = 12
	shiftLatest = shortSpan
	shiftBefore = 12 * shortSpan

	mostTimes = 256 // a reason is about no more readings: 8 steps of 24
)

// windows are the moments of the latest readings over each span. A long span is put together from three shorter ones that ended earlier (Chan,
// Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979): a reading costs the same whatever the span,
// few bytes are touched, and nothing is ever taken out of a sum, so that no error stays.
//
//	short    the last 12 readings, worked out anew
//	medium   36: the short ones of now, 12 and 24 readings ago
//	long     108: the medium ones of now, 36 and 72 readings ago
//	before   144, the last 12 left out: the long one of 12 and the medium one of 120 readings ago
type windows struct {
	n      uint // readings so far
	times  [mostTimes]lamppost.TimeMS
	values [16]float64
	short  [32]moments
	medium [128]moments
	long   [16]moments
}

func (w *windows) add(at lamppost.TimeMS, x float64) {
	w.times[w.n%mostTimes] = at
	w.put(x)
}

func (w *windows) put(x float64) {
	at := w.n
	w.n++
	w.values[at%uint(len(w.values))] = x
	if w.n >= spans[0] {
		w.short[at%uint(len(w.short))] = w.latest()
	}
	if w.n >= spans[1] {
		w.medium[at%uint(len(w.medium))] = joined(w.short[:], at, spans[0])
	}
	if w.n >= spans[2] {
		w.long[at%uint(len(w.long))] = joined(w.medium[:], at, spans[1])
	}
}

// began is when the first of the last readings came, or of those that there are.
func (w *windows) began(readings int) lamppost.TimeMS {
	return w.times[(w.n-min(uint(readings), w.n, mostTimes))%mostTimes]
}

// before is the value before the latest.
func (w *windows) before() (x float64, ok bool) {
	return w.values[(w.n-2)%uint(len(w.values))], w.n >= 2
}

// last returns the moments of the last readings, spans[i] of them, and whether there were as many.
func (w *windows) last(i int) (m moments, ok bool) {
	at := w.n - 1
	switch i {
	case 0:
		m = w.short[at%uint(len(w.short))]
	case 1:
		m = w.medium[at%uint(len(w.medium))]
	default:
		m = w.long[at%uint(len(w.long))]
	}
	return m, w.n >= spans[i]
}

// shift is how far the mean of the last 12 readings is above that of the 144 before.
func (w *windows) shift() (gap float64, ok bool) {
	at := w.n - 1
	latest, long := w.short[at%uint(len(w.short))].mean, w.long[(at-spans[0])%uint(len(w.long))].mean
	medium := w.medium[(at-spans[0]-spans[2])%uint(len(w.medium))].mean
	return latest - (long + (medium-long)/4), w.n >= shiftLatest+shiftBefore
}

// latest works out the moments of the last 12 readings, by two sums that a processor adds side by side. They are of distances from one of the
// readings, so that equal ones have exactly their value for a mean.
func (w *windows) latest() moments {
	var values [shortSpan]float64
	for i := range values {
		values[i] = w.values[(w.n-1-uint(i))%uint(len(w.values))]
	}
	var sum, m2 [2]float64
	for i := 0; i < len(values); i += 2 {
		sum[0] += values[i] - values[0]
		sum[1] += values[i+1] - values[0]
	}
	mean := values[0] + (sum[0]+sum[1])/shortSpan
	for i := 0; i < len(values); i += 2 {
		x, y := values[i]-mean, values[i+1]-mean
		m2[0] += float64(x * x)
		m2[1] += float64(y * y)
	}
	return moments{mean, m2[0] + m2[1]}
}

// joined are the moments of three windows of a span that follow on one another, the last one ending at a reading.
func joined(ring []moments, at, span uint) moments {
	last := uint(len(ring)) - 1 // lengths are powers of 2
	a, b, c := &ring[at&last], &ring[(at-span)&last], &ring[(at-2*span)&last]
	mean := a.mean + ((b.mean-a.mean)+(c.mean-a.mean))/3
	x, y, z := a.mean-mean, b.mean-mean, c.mean-mean
	between := float64(x*x) + float64(y*y) + float64(z*z)
	return moments{mean, a.m2 + b.m2 + c.m2 + float64(float64(span)*between)}
}

// deviation is the standard deviation of the readings of a window.
func (m moments) deviation(readings uint) float64 { return math.Sqrt(m.m2 / float64(readings)) }

func (w *windows) state(s *saved.State) {
	n := int(w.n)
	s.Count(&n, maxReadings)
	w.n = uint(n)
	for i := range w.times {
		at := uint64(w.times[i])
		s.U64(&at)
		w.times[i] = lamppost.TimeMS(at)
	}
	s.Floats(w.values[:])
	for _, ring := range [...][]moments{w.short[:], w.medium[:], w.long[:]} {
		for i := range ring {
			s.Float(&ring[i].mean)
			s.Within(&ring[i].m2, 0, saved.MaxNumber)
		}
	}
}
