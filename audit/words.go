package audit

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// stamp writes an instant on a tariff's clock, with its offset from UTC: "2026-10-25 02:00+01:00", with seconds and their
// fractions only where there are some. On the night of a clock change the offset tells the two 02:00 apart.
func stamp(z tariff.Zone, at lamppost.TimeMS) string {
	local := time.UnixMilli(int64(at)).In(time.FixedZone("", z.OffsetAt(at)*60))
	layout := "2006-01-02 15:04-07:00"
	if at%60_000 != 0 {
		layout = "2006-01-02 15:04:05.999-07:00"
	}
	return local.Format(layout)
}

// perUnit writes a quantity of register units in the unit of the price: 31200 Wh as 31.2 (kWh).
func perUnit(s *tariff.InvoiceSupply, q lamppost.Decimal) string {
	return scaled(q, s.Scale)
}

// scaled writes q × 10^-scale without zeros at the end.
func scaled(q lamppost.Decimal, scale uint8) string {
	q.Exponent -= int8(min(scale, tariff.MaxScale))
	for q.Exponent < 0 && q.Mantissa%10 == 0 {
		q.Mantissa /= 10
		q.Exponent++
	}
	return q.String()
}

func days(n uint32) string { return plural(int(n), "day") }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lineText says in plain words what a line charges.
func lineText(s *tariff.InvoiceSupply, l *tariff.Line, currency string) string {
	switch l.Band {
	case tariff.LineStanding:
		return fmt.Sprintf("standing charge: %s at %s %s per day", days(l.Days), l.Price, currency)
	case tariff.LineSeries:
		return fmt.Sprintf("%s %s, each interval at its own price", perUnit(s, l.Quantity), s.PerUnit)
	}
	return fmt.Sprintf("%s: %s %s at %s %s per %s", l.Band, perUnit(s, l.Quantity), s.PerUnit, l.Price, currency, s.PerUnit)
}

// tariffWords says in plain words what a tariff's terms are.
func tariffWords(t *tariff.Tariff) string {
	var parts []string
	if s := t.Series; s != nil {
		parts = append(parts, fmt.Sprintf("a price per %s for every %d minutes from %s", t.PerUnit, s.StepMS/60_000, stamp(t.Zone, s.From)))
	}
	for i := range t.Bands {
		b := &t.Bands[i]
		parts = append(parts, fmt.Sprintf("%s %02d:%02d-%02d:%02d %s at %s %s per %s", b.Name, b.FromMin/60, b.FromMin%60,
			b.ToMin/60, b.ToMin%60, daysOfWeek(b.Days), b.Price, t.Currency, t.PerUnit))
	}
	if t.Standing != 0 {
		parts = append(parts, fmt.Sprintf("standing charge %s %s per day", t.Standing, t.Currency))
	}
	rounding := "half up"
	if t.Rounding == tariff.RoundHalfEven {
		rounding = "half to even"
	}
	parts = append(parts, "tax "+taxRate(t.Tax.Category, t.Tax.BasisPoints), "each line rounded "+rounding, "on the clock of "+t.Zone.Name)
	return strings.Join(parts, "; ")
}

func taxRate(category string, basisPoints uint16) string {
	return category + " " + lamppost.Dec(int64(basisPoints), -2).String() + " %"
}

func daysOfWeek(set uint8) string {
	if set == 0 || set == 0x7f {
		return "every day"
	}
	var on []string
	for i, name := range [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		if set>>i&1 == 1 {
			on = append(on, name)
		}
	}
	return strings.Join(on, ", ")
}

// printable keeps what a file says from moving a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
