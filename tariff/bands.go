package tariff

import (
	"fmt"

	"github.com/lamppost/lamppost"
)

var weekdays = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// on reports whether b holds on a weekday, Monday being 0.
func (b *Band) on(weekday int) bool { return b.Days == 0 || b.Days>>weekday&1 == 1 }

// checkBands refuses bands that leave a quarter hour of the week without a price or give it two.
func (t *Tariff) checkBands() error {
	if n := len(t.Bands); n == 0 || n > MaxBands {
		return fmt.Errorf("%d bands, not 1 to %d (or a series)", n, MaxBands)
	}
	var week [7][dayMin / slotMin]uint8 // 1 + index of the band that holds
	for i := range t.Bands {
		if err := t.checkBand(i); err != nil {
			return err
		}
		if err := t.claim(&week, i); err != nil {
			return err
		}
	}
	for day := range week {
		for slot, owner := range week[day] {
			if owner == 0 {
				return fmt.Errorf("no band holds on %s from %s: extend one or add one", weekdays[day], clock(slot*slotMin))
			}
		}
	}
	return nil
}

func (t *Tariff) checkBand(i int) error {
	b := &t.Bands[i]
	if err := checkText("band", b.Name, lamppost.MaxNameBytes); err != nil {
		return err
	}
	if reserved(b.Name) {
		return fmt.Errorf("band %q: the name is taken by a line of that kind, choose another", b.Name)
	}
	if b.FromMin >= b.ToMin || b.ToMin > dayMin || b.FromMin%slotMin != 0 || b.ToMin%slotMin != 0 {
		return fmt.Errorf("band %q: %s to %s is not a span of quarter hours in one day; split a band at midnight in two of one name",
			b.Name, clock(int(b.FromMin)), clock(int(b.ToMin)))
	}
	if b.Days > 0x7f {
		return fmt.Errorf("band %q: days %#x has a bit above Sunday's 0x40", b.Name, b.Days)
	}
	if first := &t.Bands[t.line(i)]; first.Price != b.Price {
		return fmt.Errorf("two bands %q have the prices %s and %s: give each price its own name", b.Name, first.Price, b.Price)
	}
	return checkPrice("band", b.Name, b.Price)
}

// line returns the first band with band i's name: the one whose line gets its quantity.
func (t *Tariff) line(i int) int {
	for first := range t.Bands[:i] {
		if t.Bands[first].Name == t.Bands[i].Name {
			return first
		}
	}
	return i
}

func (t *Tariff) claim(week *[7][dayMin / slotMin]uint8, i int) error {
	b := &t.Bands[i]
	for day := range week {
		if !b.on(day) {
			continue
		}
		for slot := b.FromMin / slotMin; slot < b.ToMin/slotMin; slot++ {
			if owner := week[day][slot]; owner != 0 {
				return fmt.Errorf("bands %q and %q both hold on %s from %s: shorten one", t.Bands[owner-1].Name, b.Name,
					weekdays[day], clock(int(slot)*slotMin))
			}
			week[day][slot] = uint8(i + 1)
		}
	}
	return nil
}

// A stretch is a time in which one line's price holds.
type stretch struct {
	line  int // index into Bands of the line's first band; 0 for a series
	price lamppost.Micro
	end   lamppost.TimeMS
}

// stretch returns what holds at a time inside the validity of a valid tariff, and until when, at the latest at limit.
// Bands of one name that follow each other are one stretch; every step of a series is its own. A levy that begins or ends cuts
// it, and a price of the peak at every quarter hour.
func (t *Tariff) stretch(at, limit lamppost.TimeMS) stretch {
	limit = t.cut(at, limit)
	if t.Series != nil {
		return t.step(at, limit)
	}
	s := t.piece(at)
	for s.end < limit {
		next := t.piece(s.end)
		if next.line != s.line {
			return s
		}
		s.end = next.end
	}
	s.end = limit
	return s
}

func (t *Tariff) step(at, limit lamppost.TimeMS) stretch {
	s := t.Series
	i := (at - s.From) / s.StepMS
	return stretch{0, s.Prices[i], min(limit, s.From+(i+1)*s.StepMS)}
}

// piece ends where its band ends on the local clock or where the clock is changed, whichever comes first.
func (t *Tariff) piece(at lamppost.TimeMS) stretch {
	local := t.Zone.Local(at)
	for i := range t.Bands {
		b := &t.Bands[i]
		if b.on(local.Weekday) && int(b.FromMin) <= local.Minute && local.Minute < int(b.ToMin) {
			whole := at - at%minuteMS // offsets and bands are whole minutes
			end := whole + lamppost.TimeMS(int(b.ToMin)-local.Minute)*minuteMS
			return stretch{t.line(i), b.Price, min(end, t.Zone.next(at))}
		}
	}
	panic("tariff: a time without a band in a tariff that is valid") // checkBands found an owner for every slot
}

// clock writes a minute of the day.
func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }
