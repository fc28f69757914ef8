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
	quantity, price := perUnit(s, l.Quantity)+" "+s.PerUnit, l.Price.String()+" "+currency
	switch name := lineName(l); l.Kind() {
	case tariff.ByDay:
		return fmt.Sprintf("%s: %s at %s per day", name, days(l.Days), price)
	case tariff.ByPeak:
		return fmt.Sprintf("%s: %s an hour in the highest quarter hour, for %s at %s per day", name, quantity, days(l.Days), price)
	case tariff.ByMinute:
		return fmt.Sprintf("%s: %s at %s per minute", name, plural(int(l.Minutes), "minute"), price)
	case tariff.Once:
		return fmt.Sprintf("%s: %s", name, price)
	default:
		if l.Band == tariff.LineSeries {
			return quantity + ", each interval at its own price"
		}
		return fmt.Sprintf("%s: %s at %s per %s", name, quantity, price, s.PerUnit)
	}
}

// lineName names a line: a band or levy by its own name.
func lineName(l *tariff.Line) string {
	switch l.Band {
	case tariff.LineStanding:
		return "standing charge"
	case tariff.LineMinimum:
		return "to the minimum of"
	case tariff.LineMaximum:
		return "over the maximum of"
	case tariff.LineCapacity:
		return "capacity"
	case tariff.LineVouchers:
		return "vouchers"
	case tariff.LineStart:
		return "start of the session"
	case tariff.LineTime:
		return "time"
	case tariff.LineIdle:
		return "time without use"
	}
	if l.Block > 0 {
		return fmt.Sprintf("%s, block %d", l.Band, l.Block)
	}
	return l.Band
}

// Terms says in plain words what a tariff's terms are.
func Terms(t *tariff.Tariff) string {
	var parts []string
	if s := t.Series; s != nil {
		parts = append(parts, fmt.Sprintf("a price per %s for every %d minutes from %s", t.PerUnit, s.StepMS/60_000, stamp(t.Zone, s.From)))
	}
	for i := range t.Bands {
		b := &t.Bands[i]
		parts = append(parts, fmt.Sprintf("%s %02d:%02d-%02d:%02d %s at %s %s per %s", b.Name, b.FromMin/60, b.FromMin%60,
			b.ToMin/60, b.ToMin%60, daysOfWeek(b.Days), b.Price, t.Currency, t.PerUnit))
	}
	parts = append(parts, otherTerms(t)...)
	rounding := "half up"
	if t.Rounding == tariff.RoundHalfEven {
		rounding = "half to even"
	}
	parts = append(parts, "tax "+taxRate(t.Tax.Category, t.Tax.BasisPoints), "each line rounded "+rounding, "on the clock of "+t.Zone.Name)
	return strings.Join(parts, "; ")
}

// otherTerms are those beside bands and series.
func otherTerms(t *tariff.Tariff) (parts []string) {
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for i := range t.Blocks {
		switch x := &t.Blocks[i]; {
		case x.To.Mantissa == 0:
			add("the rest at %s %s per %s", x.Price, t.Currency, t.PerUnit)
		default:
			add("up to %s %s%s at %s %s", x.To, t.PerUnit, blockRule[t.BlockRule], x.Price, t.Currency)
		}
	}
	for i := range t.Levies {
		l := &t.Levies[i]
		price, per := l.Price, t.PerUnit
		if l.Day != 0 {
			price, per = l.Day, "day"
		}
		until := ""
		if l.To != 0 {
			until = " until " + stamp(t.Zone, l.To)
		}
		add("%s %s %s per %s from %s%s", l.Name, price, t.Currency, per, stamp(t.Zone, l.From), until)
	}
	for _, x := range [...]struct {
		price lamppost.Micro
		words string
	}{{t.Capacity, "%s %s per day for each " + t.PerUnit + " an hour of the highest quarter hour"}, {t.Standing, "standing charge %s %s per day"},
		{t.Minimum, "at least %s %s"}, {t.Maximum, "at most %s %s"}} {
		if x.price != 0 {
			add(x.words, x.price, t.Currency)
		}
	}
	if s := t.Session; s != nil {
		add("a session %s %s, %s per minute, and %s per minute after %s without use", s.Start, t.Currency, s.Minute, s.Idle, plural(int(s.Grace), "minute"))
		if s.MaxMin != 0 {
			add("for at most %s of that", plural(int(s.MaxMin), "minute"))
		}
	}
	return parts
}

var blockRule = map[string]string{tariff.BlockDay: " a day", tariff.BlockReached: " in all"}

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
