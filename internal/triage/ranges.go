package triage

import (
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// A record is the range that a quantity has been in so far. What leaves it is unusual by how far, in widths of where it nearly always
// is. The more was seen, the rarer records become by themselves: about two for every doubling, in a series without a trend.
type record struct {
	low, high float64
	usually   spread
}

// recordLeast is how many values must have been seen before leaving their range means something.
const recordLeast = 30

// next returns how far outside of the range a value is, in widths that are not below the least, and learns it. The least keeps the noise of
// rounding in an otherwise constant quantity from being a record.
func (r *record) next(x, least float64) (outside float64) {
	switch n := r.usually.n; {
	case n == 0:
		r.low, r.high = x, x
	case n >= recordLeast:
		outside = max(0, x-r.high, r.low-x) / max(r.usually.width(), least)
	}
	r.low, r.high = min(r.low, x), max(r.high, x)
	r.usually.add(x)
	return outside
}

func (r *record) state(s *saved.State) {
	s.Float(&r.low)
	s.Float(&r.high)
	r.usually.state(s)
}

// margin is how many widths outside of a range are worth ln 2.
const margin = 0.01

// outsideScore makes a score of how far outside a value is: 0.7 at a hundredth of the width, 4.6 at the whole.
func outsideScore(widths float64) float64 { return ln(1 + widths/margin) }

// recentReadings are the latest ones, contiguous in order of time.
type recentReadings struct {
	values [4 * longest]float64
	n      int
}

// longest is how many readings the longest quantity is made of.
const longest = shiftLatest + shiftBefore

// add appends a value, and drops the oldest when there is no room.
func (r *recentReadings) add(x float64) {
	if r.n == len(r.values) {
		copy(r.values[:], r.values[r.n-longest:])
		r.n = longest
	}
	r.values[r.n] = x
	r.n++
}

// last returns the latest readings, or fewer if there are not as many.
func (r *recentReadings) last(n int) []float64 { return r.values[max(0, r.n-n):r.n] }

func (r *recentReadings) state(s *saved.State) {
	s.Count(&r.n, len(r.values))
	s.Floats(r.values[:r.n])
}

// meanOf is the mean by four sums, which a processor adds side by side.
func meanOf(values []float64) float64 {
	var sums [4]float64
	rest := values
	for len(rest) >= 4 {
		sums[0] += rest[0]
		sums[1] += rest[1]
		sums[2] += rest[2]
		sums[3] += rest[3]
		rest = rest[4:]
	}
	for _, x := range rest {
		sums[0] += x
	}
	return (sums[0] + sums[1] + sums[2] + sums[3]) / float64(len(values))
}

// deviationOf is the standard deviation around a mean.
func deviationOf(values []float64, mean float64) float64 {
	var sums [2]float64
	for i, x := range values {
		gap := x - mean
		sums[i&1] += float64(gap * gap)
	}
	return math.Sqrt((sums[0] + sums[1]) / float64(len(values)))
}

// spans are how many readings means and deviations are taken over.
var spans = [...]int{12, 36, 108}

// The least that is told from nothing.
const (
	steadiest      = 0.01 // of a deviation or a distance, in widths of the series
	leastLog       = 0.5  // of a deviation's logarithm
	leastDeviation = 4    // of how many deviations a value is from its hour's
)

// plainer is how many times as far outside a quantity must be to be named in place of a plainer one: most spikes leave several ranges, and
// the value says more to a person than how many deviations it is from its hour's.
const plainer = 4

// ranges tells when a quantity leaves the range it has been in: the value, its change, means and deviations, and how far the value is
// from what is usual at its hour. The one that is farthest outside counts.
type ranges struct {
	latest recentReadings
	value  record
	change record
	mean   [len(spans)]record
	log    [len(spans)]record // of the deviation
	hour   record
	hours  [24]hourly
	named  Reason
}

func newRanges() *ranges { return new(ranges) }

func (r *ranges) reset() { *r = ranges{} }

func (r *ranges) reason() Reason { return r.named }

func (r *ranges) next(x *Features) (float64, bool) {
	most, named := 0.0, 0.0
	r.named = Reason{}
	least := float64(steadiest * x.Width)
	try := func(q *record, code ReasonCode, readings int, value, least float64) {
		low, high := q.low, q.high
		outside := q.next(value, least)
		most = max(most, outside)
		if outside > float64(plainer*named) {
			named = outside
			r.named = Reason{Code: code, Readings: readings, Value: value, Low: low, High: high, AtMS: x.AtMS}
		}
	}
	before := r.latest.last(1)
	try(&r.value, ReasonValue, 1, x.Value, least)
	if len(before) == 1 {
		try(&r.change, ReasonChange, 2, x.Value-before[0], least)
	}
	r.latest.add(x.Value)
	for i, n := range spans {
		values := r.latest.last(n)
		if len(values) < n {
			break
		}
		mean := meanOf(values)
		try(&r.mean[i], ReasonMean, n, mean, least)
		try(&r.log[i], ReasonVariation, n, ln(deviationOf(values, mean)+least), leastLog)
	}
	if z, ok := r.hours[hourOf(x.AtMS)].next(x); ok && r.value.usually.n > warmUp {
		try(&r.hour, ReasonHour, 1, z, leastDeviation)
	}
	return outsideScore(most), true
}

func hourOf(at lamppost.TimeMS) int {
	ms := at % msPerDay
	if ms < 0 {
		ms += msPerDay
	}
	return int(ms / msPerHour)
}

func (r *ranges) state(s *saved.State) {
	r.latest.state(s)
	for _, q := range [...]*record{&r.value, &r.change, &r.mean[0], &r.mean[1], &r.mean[2], &r.log[0], &r.log[1], &r.log[2], &r.hour} {
		q.state(s)
	}
	for i := range r.hours {
		r.hours[i].state(s)
	}
}

// An hourly is the mean and variance of the values at one hour of the day, of which old ones fade.
type hourly struct{ n, mean, m2 float64 }

const (
	hourlyLeast = 4    // values at an hour before another is held against them
	hourlyMost  = 400  // values that it remembers
	hourlyFloor = 0.02 // the least deviation, in widths
)

// next returns how many deviations a value is from the mean of its hour, and learns it.
func (h *hourly) next(x *Features) (z float64, ok bool) {
	gap := x.Value - h.mean
	if ok = h.n >= hourlyLeast; ok {
		z = gap / (math.Sqrt(h.m2/h.n) + float64(hourlyFloor*x.Width))
	}
	if h.n++; h.n > hourlyMost {
		h.m2 = float64(h.m2 * (hourlyMost / (hourlyMost + 1.0)))
		h.n = hourlyMost
	}
	h.mean += gap / h.n
	h.m2 += float64(gap * (x.Value - h.mean))
	return z, ok
}

func (h *hourly) state(s *saved.State) {
	n := int(h.n)
	s.Count(&n, hourlyMost)
	h.n = float64(n)
	s.Float(&h.mean)
	s.Float(&h.m2)
	if h.m2 < 0 {
		s.Fail(errNegative)
		h.m2 = 0
	}
}

// A shift tells when the mean of the latest readings is farther than ever from the mean of those before.
type shift struct {
	latest recentReadings
	gap    record
	why    Reason
}

const (
	shiftLatest = 12
	shiftBefore = 144
)

func newShift() *shift { return new(shift) }

func (h *shift) reset() { *h = shift{} }

func (h *shift) reason() Reason { return h.why }

func (h *shift) next(x *Features) (float64, bool) {
	h.latest.add(x.Value)
	values := h.latest.last(longest)
	if len(values) < longest {
		return 0, true
	}
	gap := (meanOf(values[shiftBefore:]) - meanOf(values[:shiftBefore])) / x.Width
	h.why = Reason{Code: ReasonShift, Readings: shiftLatest, Value: gap, Low: h.gap.low, High: h.gap.high, AtMS: x.AtMS}
	return outsideScore(h.gap.next(gap, steadiest)), true
}

func (h *shift) state(s *saved.State) {
	h.latest.state(s)
	h.gap.state(s)
}
