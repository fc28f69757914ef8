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
	if r.usually.n == 0 {
		r.low, r.high = x, x
	}
	outside = r.outside(x, least)
	r.low, r.high = min(r.low, x), max(r.high, x)
	r.usually.add(x)
	return outside
}

func (r *record) outside(x, least float64) float64 {
	if r.usually.n < recordLeast || x >= r.low && x <= r.high { // most are not outside, and dividing is slow
		return 0
	}
	return max(x-r.high, r.low-x) / max(r.usually.width, least)
}

func (r *record) reset() {
	r.low, r.high = 0, 0
	r.usually.reset()
}

func (r *record) state(s *saved.State) {
	s.Float(&r.low)
	s.Float(&r.high)
	r.usually.state(s)
}

// margin is how many widths outside of a range are worth ln 2.
const margin = 0.01

// outsideScore makes a score of how far outside a value is: 0.7 at a hundredth of the width, 4.6 at the whole.
func outsideScore(widths float64) float64 {
	if widths == 0 {
		return 0
	}
	return ln(1 + widths/margin)
}

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
	value  record
	change record
	mean   [len(spans)]record
	log    [len(spans)]record // of the deviation
	hour   record
	hours  [24]hourly
	named  Reason
}

func newRanges() *ranges { return new(ranges) }

func (r *ranges) records() [9]*record {
	return [9]*record{&r.value, &r.change, &r.mean[0], &r.mean[1], &r.mean[2], &r.log[0], &r.log[1], &r.log[2], &r.hour}
}

func (r *ranges) reset() {
	for _, q := range r.records() {
		q.reset()
	}
	r.hours, r.named = [24]hourly{}, Reason{}
}

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
	try(&r.value, ReasonValue, 1, x.Value, least)
	if before, ok := x.windows.before(); ok {
		try(&r.change, ReasonChange, 2, x.Value-before, least)
	}
	for i, n := range spans {
		latest, ok := x.windows.last(i)
		if !ok {
			break
		}
		try(&r.mean[i], ReasonMean, int(n), latest.mean, least)
		try(&r.log[i], ReasonVariation, int(n), ln(latest.deviation(n)+least), leastLog)
	}
	if z, ok := r.hours[hourOf(x.AtMS)].next(x); ok && r.value.usually.n > warmUp {
		try(&r.hour, ReasonHour, 1, z, leastDeviation)
	}
	return outsideScore(most), true
}

// late scores a value that came late by what needs no order: the value itself, and its hour. Nothing is learnt.
func (r *ranges) late(x *Features) (float64, Reason) {
	most := r.value.outside(x.Value, float64(steadiest*x.Width))
	why := Reason{Code: ReasonValue, Readings: 1, SinceMS: x.AtMS, Value: x.Value, Low: r.value.low, High: r.value.high, AtMS: x.AtMS}
	if z, ok := r.hours[hourOf(x.AtMS)].deviation(x); ok && r.value.usually.n > warmUp {
		outside := r.hour.outside(z, leastDeviation)
		if outside > float64(plainer*most) {
			why.Code, why.Value, why.Low, why.High = ReasonHour, z, r.hour.low, r.hour.high
		}
		most = max(most, outside)
	}
	return outsideScore(most), why
}

func hourOf(at lamppost.TimeMS) int {
	ms := at % msPerDay
	if ms < 0 {
		ms += msPerDay
	}
	return int(ms / msPerHour)
}

func (r *ranges) state(s *saved.State) {
	for _, q := range r.records() {
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

// deviation is how many deviations a value is from the mean of its hour.
func (h *hourly) deviation(x *Features) (z float64, ok bool) {
	if h.n < hourlyLeast {
		return 0, false
	}
	return (x.Value - h.mean) / (math.Sqrt(h.m2/h.n) + float64(hourlyFloor*x.Width)), true
}

// next is deviation, and learns the value.
func (h *hourly) next(x *Features) (z float64, ok bool) {
	gap := x.Value - h.mean
	z, ok = h.deviation(x)
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
	gap record
	why Reason
}

func newShift() *shift { return new(shift) }

func (h *shift) reset() {
	h.gap.reset()
	h.why = Reason{}
}

func (h *shift) reason() Reason { return h.why }

func (h *shift) next(x *Features) (float64, bool) {
	gap, ok := x.windows.shift()
	if !ok {
		return 0, true
	}
	gap /= x.Width
	h.why = Reason{Code: ReasonShift, Readings: shiftLatest, Value: gap, Low: h.gap.low, High: h.gap.high, AtMS: x.AtMS}
	return outsideScore(h.gap.next(gap, steadiest)), true
}

func (h *shift) state(s *saved.State) { h.gap.state(s) }
