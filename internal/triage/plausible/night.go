package plausible

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// night knows the least that was used in an hour of each day: when all sleep, a tight house uses next to nothing. If that least is above
// that of all the 28 days before, for some days, something runs on. Days without four hours or more of readings are left out, so that
// meters that are read daily are not judged.
type night struct {
	day         int
	used, hours float64 // of the hour that is being added up
	beginMS     lamppost.TimeMS
	least       float64 // of the day so far, an hour
	leastMS     lamppost.TimeMS
	windows     int

	ring  [daysKept]float64
	n     int     // days closed, up to twice the ring
	run   int     // days above limit
	limit float64 // the highest of the ring when the run began
	said  bool
}

const (
	nightWindows = 12    // hours, or longer windows, that a day has at least
	nightRun     = 2     // days
	nightFactor  = 1.25  // above the highest so far
	nightMargin  = 0.002 // of the connection's size, besides
)

func (n *night) stop() { n.hours, n.used, n.windows = 0, 0, 0 }

func (n *night) next(s step, size float64) (f Finding, found bool) {
	if day := int(s.fromMS / msPerDay); day != n.day {
		if n.windows >= nightWindows {
			f, found = n.close(size)
		}
		n.stop()
		n.day = day
	}
	if s.hours() > 2 {
		n.stop()
		return f, found
	}
	if n.hours == 0 {
		n.beginMS = s.fromMS
	}
	n.used, n.hours = n.used+s.used, n.hours+s.hours()
	if n.hours < 1 {
		return f, found
	}
	if rate := n.used / n.hours; n.windows == 0 || rate < n.least {
		n.least, n.leastMS = rate, n.beginMS
	}
	n.windows++
	n.used, n.hours = 0, 0
	return f, found
}

func (n *night) close(size float64) (f Finding, found bool) {
	if n.run == 0 {
		n.limit, n.said = 0, false
		for _, least := range n.ring {
			n.limit = max(n.limit, least)
		}
	}
	if n.n >= daysKept && n.least > float64(nightFactor*n.limit)+float64(nightMargin*size) {
		n.run = min(n.run+1, 2*daysKept)
	} else {
		n.run = 0
	}
	if n.run >= nightRun && !n.said {
		n.said, found = true, true
		f = finding(NeverZero, n.leastMS, n.leastMS+msPerHour, n.least, n.limit)
	}
	if n.n == 2*daysKept {
		n.n = daysKept
	}
	n.ring[n.n%daysKept] = n.least
	n.n++
	return f, found
}

func (n *night) state(s *saved.State) {
	s.Count(&n.day, maxTimeMS/msPerDay)
	amount(s, &n.used)
	amount(s, &n.hours)
	timeState(s, &n.beginMS)
	amount(s, &n.least)
	timeState(s, &n.leastMS)
	s.Count(&n.windows, 24)
	amounts(s, n.ring[:])
	s.Count(&n.n, 2*daysKept)
	s.Count(&n.run, 2*daysKept)
	amount(s, &n.limit)
	s.Flag(&n.said)
}
