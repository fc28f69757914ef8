package outlook

import (
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// monthOf returns the calendar month that an instant lies in, on a zone's clock.
func monthOf(z tariff.Zone, at lamppost.TimeMS) (from, to lamppost.TimeMS) {
	t := local(z, at)
	return midnight(z, t.Year(), t.Month(), 1), midnight(z, t.Year(), t.Month()+1, 1)
}

// dayAfter returns the midnight that follows an instant.
func dayAfter(z tariff.Zone, at lamppost.TimeMS) lamppost.TimeMS {
	t := local(z, at)
	return midnight(z, t.Year(), t.Month(), t.Day()+1)
}

func local(z tariff.Zone, at lamppost.TimeMS) time.Time {
	return time.UnixMilli(int64(at)).In(time.FixedZone("", z.OffsetAt(at)*60))
}

// midnight returns when a day begins. Of a midnight that the clock shows twice it is the first, and where it shows none, the change.
func midnight(z tariff.Zone, year int, month time.Month, day int) lamppost.TimeMS {
	shown := lamppost.TimeMS(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).UnixMilli())
	offset := func(at lamppost.TimeMS) lamppost.TimeMS { return lamppost.TimeMS(z.OffsetAt(at)) * 60_000 }
	before := shown - offset(shown-dayMS) // right, unless the clock changed in the day before
	if after := shown - offset(before); offset(after) == offset(before) {
		return after
	}
	return before
}
