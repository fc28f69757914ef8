package forecast

import (
	"math"
	"slices"
)

// windowDays is how far back features reach.
const windowDays = 28

// A window is the latest steps of a series in a ring, and what was known at those from which a forecast can still be judged.
type window struct {
	perDay  int
	entries []entry  // by slot, modulo
	origins []origin // of the latest slots, modulo
	n       int      // slots known, up to len(entries)
	last    int      // the latest slot
	run     int      // for how many slots the value has been the same
}

// An entry is one step.
type entry struct {
	value    float64
	clock    clock
	measured bool // not filled in
}

// A clock is what the local clock shows in the middle of a step.
type clock struct {
	weekday uint8 // Monday is 0
	kind    uint8 // of day: 0 is a weekday, 1 a Saturday, 2 a Sunday or holiday
	phase   uint8 // the step of the day
	shift   int8  // the clock's offset from UTC, in whole steps
}

// An origin is what is known of a series at the end of a step, of the steps up to it.
type origin struct {
	slot, n   int
	center    float64 // the mean of a week: values are counted from it
	scale     float64 // the mean distance of four weeks' values from it: values are counted in it
	low, high float64 // of four weeks
	days      [7]float64
	month     float64 // the mean of four weeks
	before    float64 // the mean of the week before the last
	short     [2]float64
	usual     float64 // at this time of such days
	ahead     float64 // by how much the latest steps are above what is usual then, the older the less
}

// doubt is how much counts of what a forecast says beyond all that there was in four weeks.
const doubt = 0.1

// tame lets little of a value go beyond four weeks' range: what never was seldom comes. It is not a bound, as a range must be able to widen until
// it holds what does come.
func (o *origin) tame(value float64) float64 {
	held := min(max(value, o.low), o.high)
	return held + float64(doubt*(value-held))
}

func newWindow(perDay, horizon int) window {
	return window{perDay: perDay, entries: make([]entry, windowDays*perDay+horizon+4), origins: make([]origin, horizon+1)}
}

func (w *window) clear() { w.n, w.last, w.run = 0, 0, 0 }

func (w *window) first() int { return w.last - w.n + 1 }

func (w *window) entry(slot int) *entry { return &w.entries[modulo(slot, len(w.entries))] }

// origin is what was known at a slot; nil: it is too old or not known.
func (w *window) origin(slot int) *origin {
	if w.n == 0 || slot > w.last || slot <= w.last-len(w.origins) || slot < w.first() {
		return nil
	}
	return &w.origins[modulo(slot, len(w.origins))]
}

func modulo(a, b int) int {
	if a %= b; a < 0 {
		a += b
	}
	return a
}

func (w *window) push(slot int, e entry) {
	if w.n > 0 && w.entry(w.last).value == e.value {
		w.run = min(w.run+1, maxSamples)
	} else {
		w.run = 1
	}
	*w.entry(slot) = e
	w.last, w.n = slot, min(w.n+1, len(w.entries))
}

// filled says whether nothing was measured in a slot of the window.
func (w *window) filled(slot int) bool {
	return w.n > 0 && slot >= w.first() && slot <= w.last && !w.entry(slot).measured
}

// at is the value of a slot. What is before the first slot is taken from as many whole weeks later as it takes, or days.
func (w *window) at(slot int) float64 {
	first := w.first()
	if slot < first {
		for _, period := range [...]int{7 * w.perDay, w.perDay} {
			if later := slot + (first-slot+period-1)/period*period; later <= w.last {
				slot = later
				break
			}
		}
		slot = min(max(slot, first), w.last)
	}
	return w.entries[modulo(slot, len(w.entries))].value
}

// mean is of the slots from first on, before end; of those that are not known, otherwise.
func (w *window) mean(first, end int, otherwise float64) float64 {
	first = max(first, w.first())
	if first >= end {
		return otherwise
	}
	sum := 0.0
	for i, at := first, modulo(first, len(w.entries)); i < end; i++ {
		sum += w.entries[at].value
		if at++; at == len(w.entries) {
			at = 0
		}
	}
	return sum / float64(end-first)
}

// note keeps what is known at the latest slot.
func (w *window) note(usual float64) {
	d, end := w.perDay, w.last+1
	o := origin{slot: w.last, n: w.n, usual: usual}
	value := w.at(w.last)
	o.center = w.mean(end-7*d, end, value)
	o.low, o.high = value, value
	from, sum := max(end-windowDays*d, w.first()), 0.0
	total := 0.0
	for i, at := from, modulo(from, len(w.entries)); i < end; i++ {
		v := w.entries[at].value
		sum += math.Abs(v - o.center)
		total += v
		o.low, o.high = min(o.low, v), max(o.high, v)
		if at++; at == len(w.entries) {
			at = 0
		}
	}
	o.scale = sum / float64(end-from)
	if o.scale <= float64(1e-9*math.Abs(o.center)) {
		o.scale = 0
	}
	o.month = total / float64(end-from)
	for i := range o.days {
		o.days[i] = w.mean(end-(i+1)*d, end-i*d, o.center)
	}
	o.before = w.mean(end-14*d, end-7*d, o.center)
	o.short = [2]float64{w.mean(end-max(1, d/4), end, value), w.mean(end-max(1, d/2), end, value)}
	if before := w.origin(w.last - 1); before != nil {
		o.ahead = before.ahead
	}
	o.ahead += float64(aheadRate * (value - usual - o.ahead))
	w.origins[modulo(w.last, len(w.origins))] = o
}

// aheadRate is how fast the level follows, as in simple exponential smoothing.
const aheadRate = 0.15

// clock is what the local clock shows at a slot.
func (s *Series) clock(slot int) clock {
	at := s.begin(slot) + s.settings.Step/2
	local := s.settings.Zone.Local(at)
	var minute, offset int = local.Minute, s.settings.Zone.OffsetAt(at) // with their type, for the test that looks for products of floats
	c := clock{weekday: uint8(local.Weekday), phase: uint8(minute * 60_000 / s.stepMS),
		shift: int8(offset * 60_000 / s.stepMS)}
	if c.weekday > 4 {
		c.kind = c.weekday - 4
	}
	if _, ok := slices.BinarySearch(s.settings.Holidays, local.Day); ok {
		c.kind = 2
	}
	return c
}

// fill puts values in place of the steps before a slot that nothing was heard of: a line over up to a quarter of a day, and else the course
// of a week before.
func (s *Series) fill(slot int, next float64) {
	w := &s.window
	last, gap := w.last, slot-w.last-1
	from := w.at(last)
	for i := range gap {
		value := w.at(last + 1 + i - 7*s.perDay)
		if gap <= s.perDay/4 {
			value = from + float64((next-from)*float64(i+1))/float64(gap+1)
		}
		s.push(last+1+i, value, false)
	}
}

// back is the slot that shows the same local time days before a slot with this clock.
func (w *window) back(slot, days int, c clock) int {
	j := slot - days*w.perDay
	if j >= w.first() && j <= w.last {
		j += int(c.shift) - int(w.entry(j).clock.shift)
	}
	return j
}
