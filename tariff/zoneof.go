package tariff

import (
	"time"

	"github.com/lamppost/lamppost"
)

// ZoneOf reads the clock changes of a location from the time zone database, from the quarter hour of from until to. It
// helps sellers to write a tariff. Pricing never calls it: this is the only file of the package that imports time, and
// what the database says tomorrow does not change a tariff of today. [Tariff.Validate] refuses what does not fit the
// quarter hours, such as the local mean times of before 1900.
func ZoneOf(loc *time.Location, from, to lamppost.TimeMS) Zone {
	from -= from % lamppost.EdgeMS
	z := Zone{Name: loc.String()}
	for at := time.UnixMilli(int64(from)).In(loc); at.UnixMilli() <= int64(to); {
		_, seconds := at.Zone()
		offset := int16(seconds / 60)
		// Some changes are only of the abbreviation or the summer time flag.
		if n := len(z.Transitions); n == 0 || z.Transitions[n-1].OffsetMin != offset {
			z.Transitions = append(z.Transitions, Transition{lamppost.TimeMS(at.UnixMilli()), offset})
		}
		_, end := at.ZoneBounds()
		if end.IsZero() {
			break
		}
		at = end
	}
	return z
}
