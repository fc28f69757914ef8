package tariff

import (
	"fmt"
	"math/big"
	"slices"
	"sort"

	"github.com/lamppost/lamppost"
)

// A Line is one row of an invoice: a quantity at a price. Its amount is rounded once, to the currency's minor unit.
type Line struct {
	N    uint32 `cbor:"1,keyasint" json:"n"`    // 1, 2, … through the invoice; 0 from [Price]
	Band string `cbor:"2,keyasint" json:"band"` // the name of a band or levy, [LineSeries], [LineStanding] …
	// Quantity is in register units: the sum of the register's differences while the band held. Of a peak it is what an hour
	// like the highest quarter hour would have.
	Quantity lamppost.Decimal `cbor:"3,keyasint" json:"quantity"`
	Days     uint32           `cbor:"4,keyasint,omitempty" json:"days,omitempty"` // of a charge per day
	Price    lamppost.Micro   `cbor:"5,keyasint" json:"price"`                    // per PerUnit, day or minute; 0 of a series, which has many
	Amount   lamppost.Micro   `cbor:"6,keyasint" json:"amount"`
	// Estimated: a reading under the line was estimated, substituted or interpolated. The line is provisional.
	Estimated bool   `cbor:"7,keyasint,omitempty" json:"estimated,omitempty"`
	Block     uint32 `cbor:"8,keyasint,omitempty" json:"block,omitempty"`   // from 1, of a tariff with blocks
	Minutes   uint32 `cbor:"9,keyasint,omitempty" json:"minutes,omitempty"` // begun, of a session
}

// Price returns what the period from the first to the last edge costs: a line for each band name in the order of the
// bands, used or not, or one for each block, or one for the series; then the peak, the levies that held, the standing
// charge, and what the minimum or maximum asks for. Edges must be at least those of [Tariff.Edges], with rising times on
// UTC quarter hours inside the tariff's validity; more are fine. A register that went back, a missing edge or an amount
// beyond 63 bits is an error: a bill never guesses.
func Price(t *Tariff, edges []Edge) ([]Line, error) { return priceOnce(t, edges, false) }

// PriceInTurn returns the lines of meters that measured one supply in turn, for each meter its own. They are those of [Price], but blocks
// go on from one meter to the next, and the minimum and the maximum are of all lines together: that a meter was exchanged makes nothing
// dearer or cheaper.
func PriceInTurn(t *Tariff, meters [][]Edge) ([][]Line, error) { return priceAll(t, meters, false) }

// PriceSession returns what a session from the first to the last edge costs, which need not lie on quarter hours, with those
// of [Tariff.Edges] in between. There are no charges per day, and in their place those of [SessionTerms]. The lines come to no more
// than limit, which is [Whole].
func PriceSession(t *Tariff, edges []Edge, limit lamppost.Micro) ([]Line, error) {
	within := t.inSession()
	if t.Maximum == 0 || limit < t.Maximum {
		within.Maximum = limit
	}
	if limit <= 0 || within.Maximum < t.Minimum || !Whole(limit, t.Currency) {
		return nil, fmt.Errorf("a limit of %s is under the minimum of %s, or nothing, or cannot be paid in %s", limit, t.Minimum, clip(t.Currency))
	}
	return priceOnce(&within, edges, true)
}

// inSession returns the terms that count in a session: those without charges per day, among them that for the peak, for which every quarter
// hour would have to be known.
func (t *Tariff) inSession() Tariff {
	within := *t
	within.Capacity = 0
	return within
}

// SessionEdges returns the values that a session is priced by, out of readings in ascending order: the first and the last of those
// from a time to another, those where the price changes, and the first that shows the last value, after which it only idled. Those that
// somebody entered by hand are among them: what they replaced may have been signed beside others, and who sees that must see them.
func SessionEdges(t *Tariff, have []Edge, from, to lamppost.TimeMS, rollsAt *lamppost.Decimal) ([]Edge, error) {
	usable, err := usableReadings(have)
	if err != nil {
		return nil, err
	}
	lo := sort.Search(len(usable), func(i int) bool { return usable[i].Time >= from })
	hi := sort.Search(len(usable), func(i int) bool { return usable[i].Time > to })
	if hi-lo < 2 {
		return nil, fmt.Errorf("%d readings from %s to %s, not at least one at its begin and one at its end", hi-lo, stamp(from), stamp(to))
	}
	inside := usable[lo:hi]
	last := inside[len(inside)-1]
	idle := len(inside) - 1
	for idle > 0 && inside[idle-1].Value.Cmp(last.Value) == 0 {
		idle--
	}
	within := t.inSession()
	want := within.Edges(inside[0].Time, last.Time)
	for i := range inside {
		if i != idle && !inside[i].Manual {
			continue
		}
		if at, there := slices.BinarySearch(want, inside[i].Time); !there {
			want = slices.Insert(want, at, inside[i].Time)
		}
	}
	return FillEdges(want, inside, rollsAt)
}

func priceOnce(t *Tariff, edges []Edge, session bool) ([]Line, error) {
	lines, err := priceAll(t, [][]Edge{edges}, session)
	if err != nil {
		return nil, err
	}
	return lines[0], nil
}

func priceAll(t *Tariff, meters [][]Edge, session bool) ([][]Line, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	lines, err := price(t, meters, session)
	if err != nil {
		return nil, fmt.Errorf("pricing by tariff %q version %d: %v", t.ID, t.Version, err)
	}
	return lines, nil
}

func price(t *Tariff, meters [][]Edge, session bool) ([][]Line, error) {
	counted := make([]meter, len(meters))
	var in turn
	for i := range meters {
		if err := counted[i].count(t, meters[i], session); err != nil {
			return nil, err
		}
		if err := in.add(&counted[i]); err != nil {
			return nil, err
		}
	}
	c, ends := charges{t: t}, make([]int, len(meters))
	for i := range counted {
		c.meter(&counted[i], &in, session)
		ends[i] = len(c.lines)
	}
	c.bound()
	if c.err != nil {
		return nil, c.err
	}
	lines, begin := make([][]Line, len(meters)), 0
	for i, end := range ends {
		if i == len(ends)-1 {
			end = len(c.lines) // with what the bounds ask for
		}
		lines[i], begin = c.lines[begin:end:end], end
	}
	return lines, nil
}

func checkEdges(t *Tariff, edges []Edge, session bool) error {
	if len(edges) < 2 {
		return fmt.Errorf("%d register readings, not at least the opening and the closing one", len(edges))
	}
	first, last := edges[0].Time, edges[len(edges)-1].Time
	if session {
		if first < 0 || last > maxTimeMS || last-first > MaxSessionMS {
			return fmt.Errorf("a session from %s to %s is longer than 31 days", stamp(first), stamp(last))
		}
	} else if err := checkPeriod(first, last); err != nil {
		return err
	}
	if from, to := t.clamp(first, last); from != first || to != last {
		return fmt.Errorf("the period %s to %s is not inside the tariff's validity from %s", stamp(first), stamp(last), t.validity())
	}
	for i := range edges {
		if err := checkEdge(&edges[i], session); err != nil {
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

func checkEdge(e *Edge, session bool) error {
	if e.Quality >= lamppost.Faulty {
		return fmt.Errorf("the reading at %s is faulty: it cannot be billed", stamp(e.Time))
	}
	if e.Value.Exponent < lamppost.MinExponent || e.Value.Exponent > 0 {
		return fmt.Errorf("the reading at %s has exponent %d, not %d to 0", stamp(e.Time), e.Value.Exponent, lamppost.MinExponent)
	}
	if session {
		return nil
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
	name      string
	price     lamppost.Micro
	quantity  lamppost.Decimal
	value     big.Int // Σ mantissa × price, both at fixed scales
	a, b, ab  big.Int // scratch of add: a series has an interval every hour
	estimated bool
}

// add counts a difference at a price; it has the exponent of the quantity at most.
func (u *use) add(diff lamppost.Decimal, price lamppost.Micro, estimated bool) bool {
	sum, fits := u.quantity.Add(diff)
	m, whole := diff.At(u.quantity.Exponent)
	u.quantity = sum
	u.ab.Mul(u.a.SetInt64(m), u.b.SetInt64(int64(price)))
	u.value.Add(&u.value, &u.ab)
	u.estimated = u.estimated || estimated
	return fits && whole
}

// newUses returns a use for every band, of which the first of each name gets that name, or one for a series.
func newUses(t *Tariff, exp int8) []use {
	uses := make([]use, max(1, len(t.Bands)))
	for i := range uses {
		uses[i].quantity.Exponent = exp
	}
	if t.Series != nil {
		uses[0].name = LineSeries
		return uses
	}
	for i := range t.Bands {
		if t.line(i) == i {
			uses[i].name, uses[i].price = t.Bands[i].Name, t.Bands[i].Price
		}
	}
	return uses
}

func newLevies(t *Tariff, exp int8) []use {
	uses := make([]use, len(t.Levies))
	for i := range uses {
		uses[i].name, uses[i].price, uses[i].quantity.Exponent = t.Levies[i].Name, t.Levies[i].Price, exp
	}
	return uses
}

// A meter gives what was used to the lines.
type meter struct {
	t             *Tariff
	edges         []Edge
	bands, levies []use
	peak          peak
}

// count takes in what the meter showed.
func (m *meter) count(t *Tariff, edges []Edge, session bool) error {
	if err := checkEdges(t, edges, session); err != nil {
		return err
	}
	*m = meter{t: t, edges: edges, bands: newUses(t, finest(edges)), levies: newLevies(t, finest(edges))}
	for i := 1; i < len(edges); i++ {
		if err := m.interval(&edges[i-1], &edges[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *meter) from() lamppost.TimeMS { return m.edges[0].Time }
func (m *meter) to() lamppost.TimeMS   { return m.edges[len(m.edges)-1].Time }

// A turn is what blocks are measured by: what meters counted that hung one after the other, and what of it before the one at hand.
type turn struct {
	whole, before lamppost.Decimal // of a tariff with blocks
	days          int64            // local days that begin in all of it
}

func (in *turn) add(m *meter) error {
	in.days += m.t.Zone.Midnights(m.from(), m.to())
	if len(m.t.Blocks) == 0 {
		return nil
	}
	var ok bool
	if in.whole, ok = in.whole.Add(m.bands[0].quantity); !ok {
		return fmt.Errorf("the quantities of the meters have too many digits together")
	}
	return nil
}

// interval gives the register's difference between two edges to the lines whose prices hold there.
func (m *meter) interval(a, b *Edge) error {
	s := m.t.stretch(a.Time, b.Time)
	if s.end < b.Time {
		return fmt.Errorf("no register reading at %s, where the price changes", stamp(s.end))
	}
	diff, ok := b.Value.Sub(a.Value)
	if ok && diff.Mantissa < 0 {
		return fmt.Errorf("the register went back from %s at %s to %s at %s", a.Value, stamp(a.Time), b.Value, stamp(b.Time))
	}
	rough := a.rough() || b.rough()
	ok = ok && m.bands[s.line].add(diff, s.price, rough)
	for i := range m.levies {
		if l := &m.t.Levies[i]; l.Holds(a.Time) {
			ok = ok && m.levies[i].add(diff, l.Price, rough)
		}
	}
	if !ok {
		return fmt.Errorf("the quantity from %s at %s to %s at %s has too many digits", a.Value, stamp(a.Time), b.Value, stamp(b.Time))
	}
	m.peak.see(diff, rough)
	return nil
}

// Convert returns an amount in another currency at a rate, rounded half up to its minor unit, or false where that does not fit.
func Convert(amount lamppost.Micro, rate lamppost.Decimal, to string) (lamppost.Micro, bool) {
	return roundTo(to, RoundHalfUp, product(int64(amount), rate.Mantissa), -int(rate.Exponent))
}

// Whole reports whether an amount can be paid in a currency: whether it is a whole number of minor units.
func Whole(amount lamppost.Micro, currency string) bool {
	digits, ok := Minor(currency)
	return ok && int64(amount)%power10(6-int(digits)).Int64() == 0
}

// WithTax returns an amount with its tax, rounded.
func WithTax(amount lamppost.Micro, x Tax, currency, rounding string) (lamppost.Micro, bool) {
	tax, ok := roundTo(currency, rounding, product(int64(amount), int64(x.BasisPoints)), 4)
	sum, fits := amount.Add(tax)
	return sum, ok && fits
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

// PriceVoucher returns the line of a channel: what its last voucher promises, rounded once. Nothing is priced: the payer's signature,
// which the caller checks, is what the amount rests on.
func PriceVoucher(t *Tariff, channel *lamppost.ChannelBody, voucher []byte) ([]Line, error) {
	var v lamppost.Voucher
	if err := v.Decode(voucher); err != nil {
		return nil, err
	}
	if why := channel.Breach(&v); why != "" {
		return nil, fmt.Errorf("its voucher: %s", why)
	}
	c := charges{t: t}
	c.add(Line{Band: LineVouchers, Price: v.Amount}, product(int64(v.Amount)), 0)
	return c.lines, c.err
}
