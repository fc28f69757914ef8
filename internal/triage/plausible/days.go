package plausible

import (
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

const (
	daysKept   = 28 // that a day is held against
	dayHours   = 23 // a day counts if steps of no more than 25 hours cover so much of it
	longestDay = 25
)

// days adds up the use of each day (UTC) and knows whether it has shifted: the sum of what the days deviate from the median of the 28 before,
// in mean deviations, less an allowance (Page 1954, CUSUM). In a group the median deviation of all meters is taken out first, as far as
// this one usually shares it: weather and holidays are everybody's.
type days struct {
	day   int // since 1970, of what is being added up
	used  float64
	hours float64

	closed    float64 // the use of the latest day that counts
	closedDay int
	fresh     bool // it was not judged yet
	ring      [daysKept]float64
	n         int // days judged, up to twice the ring

	// How much of the others' deviation is usually its own: sums of products, of the last weeks mostly.
	withKin, kinKin float64
	spread          float64 // mean deviation so far, of the last weeks mostly
	judged          int     // deviations in it, up to daysKept
	below, above    cusum
}

type cusum struct {
	sum    float64
	fromMS lamppost.TimeMS
	said   bool
}

// What a shift is.
const (
	leastSpread = 0.03 // of a meter's usual use
	mostDays    = 3    // deviations that one day counts for
	allowance   = 1
	shiftLevel  = 7

	kinDays  = 84  // that a meter's share in the others' deviation is learnt from
	kinPrior = 0.1 // at first it is one
	kinLeast = 0.1 // of the usual use is left at least, whatever the others do
)

func (d *days) stop() { d.hours, d.used = 0, 0 }

func (d *days) next(s step) {
	if s.hours() > longestDay {
		d.stop()
		return
	}
	if day := int(s.fromMS / msPerDay); day != d.day {
		d.stop()
		d.day = day
	}
	d.used, d.hours = d.used+s.used, d.hours+s.hours()
	if d.hours >= dayHours && int(s.atMS/msPerDay) > d.day {
		d.closed, d.closedDay, d.fresh = d.used, d.day, true
		d.stop()
	}
}

// deviation is how far the latest day is from the usual one, as a share of it; ok is false where there is nothing to hold it against.
func (d *days) deviation() (dev float64, ok bool) {
	usual := d.usual()
	if !d.fresh || d.n < daysKept || usual < 0.5 {
		return 0, false
	}
	return d.closed/usual - 1, true
}

func (d *days) usual() float64 {
	sorted := d.ring
	slices.Sort(sorted[:])
	return (sorted[daysKept/2-1] + sorted[daysKept/2]) / 2
}

// judge judges the day that has just been closed, if one was. Kin is the deviation that it shares with others.
func (d *days) judge(kin float64) (f Finding, found bool) {
	if !d.fresh {
		return Finding{}, false
	}
	if dev, ok := d.deviation(); ok {
		f, found = d.shift(d.apart(dev, kin))
	}
	if d.n == 2*daysKept {
		d.n = daysKept
	}
	d.ring[d.n%daysKept] = d.closed
	d.n++
	d.fresh = false
	return f, found
}

// apart is the deviation without what the meter usually shares with the others, and learns how much that is.
func (d *days) apart(dev, kin float64) float64 {
	share := (d.withKin + kinPrior) / (d.kinKin + kinPrior)
	d.withKin += float64(dev*kin) - d.withKin/kinDays
	d.kinKin += float64(kin*kin) - d.kinKin/kinDays
	return (1+dev)/max(kinLeast, 1+float64(share*kin)) - 1
}

func (d *days) shift(dev float64) (Finding, bool) {
	ready := d.judged == daysKept
	z := dev / max(d.spread, leastSpread)
	d.judged = min(d.judged+1, daysKept)
	d.spread += (min(math.Abs(dev), float64(mostDays*max(d.spread, leastSpread))) - d.spread) / float64(d.judged)
	if !ready {
		return Finding{}, false
	}
	z = max(-mostDays, min(mostDays, z))
	begin := dayMS(d.closedDay)
	f := finding(LessUsed, 0, dayMS(d.closedDay+1), d.closed, d.usual())
	if d.below.add(-z, begin) {
		f.FromMS = d.below.fromMS
		return f, true
	}
	if d.above.add(z, begin) {
		f.Code, f.FromMS = MoreUsed, d.above.fromMS
		return f, true
	}
	return Finding{}, false
}

func dayMS(day int) lamppost.TimeMS { return lamppost.TimeMS(int64(day) * msPerDay) }

// add reports whether the sum has just passed the level. It says so once, until it has been at 0.
func (c *cusum) add(z float64, at lamppost.TimeMS) bool {
	if c.sum == 0 {
		c.fromMS, c.said = at, false
	}
	c.sum = max(0, min(c.sum+z-allowance, 2*shiftLevel))
	if c.said || c.sum < shiftLevel {
		return false
	}
	c.said = true
	return true
}

func (c *cusum) state(s *saved.State) {
	amount(s, &c.sum)
	timeState(s, &c.fromMS)
	s.Flag(&c.said)
}

func (d *days) state(s *saved.State) {
	s.Count(&d.day, maxTimeMS/msPerDay)
	amount(s, &d.used)
	amount(s, &d.hours)
	amount(s, &d.closed)
	s.Count(&d.closedDay, maxTimeMS/msPerDay)
	amounts(s, d.ring[:])
	s.Count(&d.n, 2*daysKept)
	s.Flag(&d.fresh)
	signed(s, &d.withKin)
	amount(s, &d.kinKin)
	amount(s, &d.spread)
	s.Count(&d.judged, daysKept)
	d.below.state(s)
	d.above.state(s)
}
