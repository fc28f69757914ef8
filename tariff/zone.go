package tariff

import (
	"fmt"
	"math"
	"sort"

	"github.com/lamppost/lamppost"
)

// A Zone is a local clock as data: the offsets from UTC and the instants from which they hold. Before the first
// transition its offset holds too; after the last, the last.
type Zone struct {
	Name        string       `cbor:"1,keyasint" json:"name"` // for people, e.g. the IANA name; pricing never looks it up
	Transitions []Transition `cbor:"2,keyasint" json:"transitions"`
}

// A Transition sets a zone's clock: from AtMS on, local time is UTC plus OffsetMin minutes.
type Transition struct {
	AtMS      lamppost.TimeMS `cbor:"1,keyasint" json:"at_ms"`
	OffsetMin int16           `cbor:"2,keyasint" json:"offset_min"`
}

// ZoneFromTransitions returns the zone with these transitions, or says what is wrong with them: they must ascend, lie on
// UTC quarter hours and have offsets of whole quarter hours, or band edges would fall between the instants of billing.
func ZoneFromTransitions(name string, transitions []Transition) (Zone, error) {
	z := Zone{name, transitions}
	return z, z.check()
}

func (z Zone) check() error {
	if err := checkText("zone", z.Name, lamppost.MaxReadingNameBytes); err != nil {
		return err
	}
	if n := len(z.Transitions); n == 0 || n > MaxTransitions {
		return fmt.Errorf("zone %q: %d transitions, not 1 to %d; the first gives the offset at the begin", z.Name, n, MaxTransitions)
	}
	for i, x := range z.Transitions {
		if err := checkGrid("zone: a transition", x.AtMS); err != nil {
			return err
		}
		if x.OffsetMin%slotMin != 0 || x.OffsetMin > 15*60 || x.OffsetMin < -15*60 {
			return fmt.Errorf("zone %q: an offset of %d minutes is not a multiple of 15 within ±15 hours", z.Name, x.OffsetMin)
		}
		if i > 0 && z.Transitions[i-1].AtMS >= x.AtMS {
			return fmt.Errorf("zone %q: the transition at %s does not come after the one before it", z.Name, stamp(x.AtMS))
		}
	}
	return nil
}

// inForce returns the index of the transition whose offset holds at a time, or -1 before the first.
func (z Zone) inForce(at lamppost.TimeMS) int {
	return sort.Search(len(z.Transitions), func(i int) bool { return z.Transitions[i].AtMS > at }) - 1
}

// next returns the first change of the clock after a time.
func (z Zone) next(at lamppost.TimeMS) lamppost.TimeMS {
	if i := z.inForce(at) + 1; i < len(z.Transitions) {
		return z.Transitions[i].AtMS
	}
	return math.MaxInt64
}

// OffsetAt returns the minutes that local time is ahead of UTC at an instant.
func (z Zone) OffsetAt(at lamppost.TimeMS) int { return z.offset(z.inForce(at)) }

func (z Zone) offset(i int) int {
	if len(z.Transitions) == 0 {
		return 0
	}
	return int(z.Transitions[max(i, 0)].OffsetMin)
}

// A Clock is what a local clock and calendar show.
type Clock struct {
	Day     int64 // days since 1970-01-01
	Weekday int   // Monday is 0
	Minute  int   // of the day, 0 to 1439
}

// Local returns what the zone's clock shows at an instant. On the day of a clock change a minute may be shown twice or
// never, and the day has 23 or 25 hours.
func (z Zone) Local(at lamppost.TimeMS) Clock {
	local := at + lamppost.TimeMS(z.OffsetAt(at))*minuteMS
	day := floorDiv(local, dayMS)
	return Clock{
		Day:     int64(day),
		Weekday: int(((day+3)%7 + 7) % 7), // day 0 was a Thursday
		Minute:  int((local - day*dayMS) / minuteMS),
	}
}

// Midnights counts the local days that begin in [from, to), so that the counts of adjoining periods add up. A day whose
// first hour the clock leaves out begins at the change. A day whose midnight is shown twice begins at the first. A date
// that the calendar leaves out, as Samoa's 2011-12-30, counts where it would have been.
func (z Zone) Midnights(from, to lamppost.TimeMS) int64 {
	return z.begun(to) - z.begun(from)
}

// begun counts the local days since 1970 that began before an instant: those below the furthest that the clock has shown.
//
//	local        22:00   23:00   24:00=00:00  01:00         the clock falls back from 00:30 to 23:30:
//	furthest     22:00   23:00   24:00 … 24:30, 24:30 …     the second 24:00 is no new day
func (z Zone) begun(before lamppost.TimeMS) int64 {
	i := z.inForce(before - 1)
	furthest := before + lamppost.TimeMS(z.offset(i))*minuteMS
	for ; i > 0; i-- {
		furthest = max(furthest, z.Transitions[i].AtMS+lamppost.TimeMS(z.offset(i-1))*minuteMS)
	}
	return -int64(floorDiv(-furthest, dayMS)) // rounded up: a day that begins exactly there has not begun before
}

func floorDiv(a, b lamppost.TimeMS) lamppost.TimeMS {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// stamp writes an instant for error messages: RFC 3339 in UTC, to the minute where that is exact.
func stamp(at lamppost.TimeMS) string {
	if at < 0 || at >= maxTimeMS {
		return fmt.Sprintf("%d ms", at)
	}
	year, month, day := date(int(at / dayMS))
	ms := at % dayMS
	s := fmt.Sprintf("%04d-%02d-%02dT%s", year, month, day, clock(int(ms/minuteMS)))
	if rest := ms % minuteMS; rest != 0 {
		s += fmt.Sprintf(":%02d.%03d", rest/1000, rest%1000)
	}
	return s + "Z"
}

// date counts years, then months off the days since 1970-01-01. Only error messages need it, so it may take its time.
func date(day int) (year, month, dayOfMonth int) {
	year = 1970
	for ; day >= 365+leap(year); year++ {
		day -= 365 + leap(year)
	}
	lengths := [...]int{31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for ; day >= lengths[month]; month++ {
		day -= lengths[month]
	}
	return year, month + 1, day + 1
}

func leap(year int) int {
	if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 1
	}
	return 0
}
