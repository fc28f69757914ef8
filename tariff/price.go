package tariff

import (
	"fmt"
	"math/big"

	"github.com/lamppost/lamppost"
)

// A Line is one row of an invoice: a quantity at a price. Its amount is rounded once, to the currency's minor unit.
type Line struct {
	N    uint32 `cbor:"1,keyasint" json:"n"`    // 1, 2, … through the invoice; 0 from [Price]
	Band string `cbor:"2,keyasint" json:"band"` // the band's name, [LineSeries] or [LineStanding]
	// Quantity is in register units: the sum of the register's differences while the band held.
	Quantity lamppost.Decimal `cbor:"3,keyasint" json:"quantity"`
	Days     uint32           `cbor:"4,keyasint,omitempty" json:"days,omitempty"` // of a standing charge
	Price    lamppost.Micro   `cbor:"5,keyasint" json:"price"`                    // per PerUnit or day; 0 of a series, which has many
	Amount   lamppost.Micro   `cbor:"6,keyasint" json:"amount"`
	// Estimated: a reading under the line was estimated, substituted or interpolated. The line is provisional.
	Estimated bool `cbor:"7,keyasint,omitempty" json:"estimated,omitempty"`
}

// Price returns what the period from the first to the last edge costs: a line for each band name in the order of the
// bands, used or not, or one line for the series; then the standing charge, if there is one. Edges must be at least those
// of [Tariff.Edges], with rising times on UTC quarter hours inside the tariff's validity; more are fine. A register that
// went back, a missing edge or an amount beyond 63 bits is an error: a bill never guesses.
func Price(t *Tariff, edges []Edge) ([]Line, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	lines, err := price(t, edges)
	if err != nil {
		return nil, fmt.Errorf("pricing by tariff %q version %d: %v", t.ID, t.Version, err)
	}
	return lines, nil
}

func price(t *Tariff, edges []Edge) ([]Line, error) {
	if err := checkEdges(t, edges); err != nil {
		return nil, err
	}
	uses := newUses(t, finest(edges))
	for i := 1; i < len(edges); i++ {
		if err := addInterval(t, uses, &edges[i-1], &edges[i]); err != nil {
			return nil, err
		}
	}
	var lines []Line
	for i := range uses {
		if uses[i].band == "" {
			continue // not the first band of its name
		}
		line, err := uses[i].line(t)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return addStanding(t, lines, edges[0].Time, edges[len(edges)-1].Time)
}

func checkEdges(t *Tariff, edges []Edge) error {
	if len(edges) < 2 {
		return fmt.Errorf("%d register readings, not at least the opening and the closing one", len(edges))
	}
	first, last := edges[0].Time, edges[len(edges)-1].Time
	if err := checkPeriod(first, last); err != nil {
		return err
	}
	if from, to := t.clamp(first, last); from != first || to != last {
		return fmt.Errorf("the period %s to %s is not inside the tariff's validity from %s", stamp(first), stamp(last), t.validity())
	}
	for i := range edges {
		if err := checkEdge(&edges[i]); err != nil {
			return err
		}
		if i > 0 && edges[i-1].Time >= edges[i].Time {
			return fmt.Errorf("a reading at %s follows one at %s: times must rise", stamp(edges[i].Time), stamp(edges[i-1].Time))
		}
	}
	return nil
}

func (t *Tariff) validity() string {
	if t.To == 0 {
		return stamp(t.From) + " on"
	}
	return stamp(t.From) + " to " + stamp(t.To)
}

func checkEdge(e *Edge) error {
	if e.Quality >= lamppost.Faulty {
		return fmt.Errorf("the reading at %s is faulty: it cannot be billed", stamp(e.Time))
	}
	if e.Value.Exponent < lamppost.MinExponent || e.Value.Exponent > 0 {
		return fmt.Errorf("the reading at %s has exponent %d, not %d to 0", stamp(e.Time), e.Value.Exponent, lamppost.MinExponent)
	}
	return checkGrid("a reading", e.Time)
}

// checkPeriod refuses what is not a period of billing: [from, to) on UTC quarter hours, at most [MaxPeriodMS] long.
func checkPeriod(from, to lamppost.TimeMS) error {
	if err := checkGrid("the period's begin", from); err != nil {
		return err
	}
	if err := checkGrid("the period's end", to); err != nil {
		return err
	}
	if from >= to || to-from > MaxPeriodMS {
		return fmt.Errorf("the period %s to %s is not between a quarter hour and 400 days long", stamp(from), stamp(to))
	}
	return nil
}

// finest returns the exponent in which all values are whole numbers.
func finest(edges []Edge) int8 {
	exp := int8(0)
	for i := range edges {
		exp = min(exp, edges[i].Value.Exponent)
	}
	return exp
}

// A use sums up what a line is made of.
type use struct {
	band      string
	price     lamppost.Micro
	quantity  lamppost.Decimal
	value     big.Int // Σ mantissa × price, both at fixed scales
	a, b, ab  big.Int // scratch of addProduct: a series has an interval every hour
	estimated bool
}

func (u *use) addProduct(a, b int64) {
	u.ab.Mul(u.a.SetInt64(a), u.b.SetInt64(b))
	u.value.Add(&u.value, &u.ab)
}

// newUses returns a use for every band, of which the first of each name gets that name, or one for a series.
func newUses(t *Tariff, exp int8) []use {
	uses := make([]use, max(1, len(t.Bands)))
	for i := range uses {
		uses[i].quantity.Exponent = exp
	}
	if t.Series != nil {
		uses[0].band = LineSeries
		return uses
	}
	for i := range t.Bands {
		if t.line(i) == i {
			uses[i].band, uses[i].price = t.Bands[i].Name, t.Bands[i].Price
		}
	}
	return uses
}

// addInterval gives the register's difference between two edges to the line whose price holds there.
func addInterval(t *Tariff, uses []use, a, b *Edge) error {
	s := t.stretch(a.Time, b.Time)
	if s.end < b.Time {
		return fmt.Errorf("no register reading at %s, where the price changes", stamp(s.end))
	}
	diff, ok := b.Value.Sub(a.Value)
	if ok && diff.Mantissa < 0 {
		return fmt.Errorf("the register went back from %s at %s to %s at %s", a.Value, stamp(a.Time), b.Value, stamp(b.Time))
	}
	u := &uses[s.line]
	sum, fits := u.quantity.Add(diff)
	m, whole := diff.At(u.quantity.Exponent)
	if !ok || !fits || !whole {
		return fmt.Errorf("the quantity from %s at %s to %s at %s has too many digits", a.Value, stamp(a.Time), b.Value, stamp(b.Time))
	}
	u.quantity = sum
	u.addProduct(m, int64(s.price))
	u.estimated = u.estimated || a.rough() || b.rough()
	return nil
}

// line rounds a use. Its value is in 10^exponent register units × Micro per 10^Scale register units.
func (u *use) line(t *Tariff) (Line, error) {
	amount, ok := roundTo(t.Currency, t.Rounding, &u.value, int(t.Scale)-int(u.quantity.Exponent))
	if !ok {
		return Line{}, fmt.Errorf("the amount of %s %s in %q does not fit 63 bits", u.quantity, t.RegisterUnit, u.band)
	}
	return Line{Band: u.band, Quantity: u.quantity, Price: u.price, Amount: amount, Estimated: u.estimated}, nil
}

func addStanding(t *Tariff, lines []Line, from, to lamppost.TimeMS) ([]Line, error) {
	if t.Standing == 0 {
		return lines, nil
	}
	days := t.Zone.Midnights(from, to)
	value := new(big.Int).Mul(big.NewInt(days), big.NewInt(int64(t.Standing)))
	amount, ok := roundTo(t.Currency, t.Rounding, value, 0)
	if !ok {
		return nil, fmt.Errorf("the standing charge of %d days does not fit 63 bits", days)
	}
	return append(lines, Line{Band: LineStanding, Days: uint32(days), Price: t.Standing, Amount: amount}), nil
}

// roundTo returns value × 10^-shift Micro rounded to the currency's minor unit, or false where that does not fit.
func roundTo(currency, rule string, value *big.Int, shift int) (lamppost.Micro, bool) {
	digits, ok := Minor(currency)
	if !ok {
		return 0, false
	}
	minor := power10(6 - int(digits)) // one minor unit in Micro
	unit := new(big.Int).Mul(power10(shift), minor)
	n := divide(value, unit, rule)
	n.Mul(n, minor)
	return lamppost.Micro(n.Int64()), n.IsInt64()
}

// divide returns a / b for b > 0, rounded to the nearest whole number, ties by the rule.
func divide(a, b *big.Int, rule string) *big.Int {
	q, rest := new(big.Int).QuoRem(a, b, new(big.Int))
	switch twice := rest.Lsh(rest, 1); twice.CmpAbs(b) {
	case -1:
		return q
	case 0:
		if rule == RoundHalfEven && q.Bit(0) == 0 {
			return q
		}
	}
	return q.Add(q, big.NewInt(int64(a.Sign()))) // away from zero
}

func power10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}
