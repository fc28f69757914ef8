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
// this one usually shares it: weather and holidays are everybody's. So is what is usual on the day of the week.
type days struct {
	day   int // since 1970, of what is being added up
	used  float64
	hours float64

	closed    float64 // the use of the latest day that counts
	closedDay int
	fresh     bool // it was not judged yet
	ring      [daysKept]float64
	n         int // days judged, up to twice the ring

	// How much of the others' deviation is usually its own, and how much of what is usual on a day of the week shows: sums of products, of
	// the last weeks mostly.
	withKin, kinKin    float64
	withWeek, weekWeek float64
	week               [7]float64 // how far each day of the week is from the usual day, others' deviation taken out
	spread             float64    // mean deviation so far, of the last weeks mostly
	judged             int        // deviations in it, up to learntDays
	below, above       cusum
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
	allowance   = 1.3
	shiftLevel  = 6.7

	learntDays  = 84             // that shares and the spread are learnt from
	learntWeeks = learntDays / 7 // and what is usual on a day of the week
	sharePrior  = 0.1            // of sums of products, at first: a meter shares in all that the others do, and has no weekdays
	leastLeft   = 0.1            // of the usual use, whatever the others or the weekday do
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
		f, found = d.shift(d.weekday(d.apart(dev, kin)))
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
	share := (d.withKin + sharePrior) / (d.kinKin + sharePrior)
	d.withKin += float64(dev*kin) - d.withKin/learntDays
	d.kinKin += float64(kin*kin) - d.kinKin/learntDays
	return (1+dev)/max(leastLeft, 1+float64(share*kin)) - 1
}

// weekday is the deviation without what is usual on this day of the week, as far as that holds, and learns both: an office's Sunday is no
// shift, and a home that has no week is not judged by chance.
func (d *days) weekday(dev float64) float64 {
	usual := &d.week[d.closedDay%len(d.week)]
	share := max(0, d.withWeek/(d.weekWeek+sharePrior))
	apart := (1+dev)/max(leastLeft, 1+float64(share**usual)) - 1
	d.withWeek += float64(dev**usual) - d.withWeek/learntDays
	d.weekWeek += float64(*usual**usual) - d.weekWeek/learntDays
	most := float64(mostDays * max(d.spread, leastSpread))
	*usual += max(-most, min(most, dev-*usual)) / learntWeeks
	return apart
}

func (d *days) shift(dev float64) (Finding, bool) {
	ready := d.judged >= daysKept
	z := dev / max(d.spread, leastSpread)
	d.judged = min(d.judged+1, learntDays)
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
	signed(s, &d.withWeek)
	amount(s, &d.weekWeek)
	for i := range d.week {
		signed(s, &d.week[i])
	}
	amount(s, &d.spread)
	s.Count(&d.judged, learntDays)
	d.below.state(s)
	d.above.state(s)
}
