package tariff

import (
	"cmp"
	"fmt"
	"math/big"

	"github.com/lamppost/lamppost"
)

// The terms beside bands and series: blocks, levies, the peak, bounds, and what sessions cost.

func (t *Tariff) checkBlocks() error {
	if len(t.Blocks) == 0 {
		if t.BlockRule != "" {
			return fmt.Errorf("a rule of blocks and no blocks")
		}
		return nil
	}
	switch t.BlockRule {
	case BlockPeriod, BlockDay, BlockReached:
	default:
		return fmt.Errorf("block rule %q: use %q, %q or leave it out", clip(t.BlockRule), BlockDay, BlockReached)
	}
	if t.Series != nil || t.line(len(t.Bands)-1) != 0 || t.Bands[0].Price != 0 {
		return fmt.Errorf("blocks need one band, whose price is 0: the blocks have the prices")
	}
	if len(t.Blocks) > MaxBlocks {
		return fmt.Errorf("%d blocks, not up to %d", len(t.Blocks), MaxBlocks)
	}
	for i := range t.Blocks {
		if err := t.checkBlock(i); err != nil {
			return fmt.Errorf("block %d: %v", i+1, err)
		}
	}
	return nil
}

func (t *Tariff) checkBlock(i int) error {
	b := &t.Blocks[i]
	if last := i == len(t.Blocks)-1; last != (b.To.Mantissa == 0) {
		return fmt.Errorf("it ends at %s: all have an end but the last", b.To)
	}
	if b.To.Exponent > 0 || int(b.To.Exponent) < -int(t.Scale) || b.To.Mantissa < 0 || b.To.Mantissa > MaxBlockEnd {
		return fmt.Errorf("an end of %s is not a number of %q of whole %q", b.To, t.PerUnit, t.RegisterUnit)
	}
	if i > 0 && b.To.Mantissa != 0 && t.Blocks[i-1].To.Cmp(b.To) >= 0 {
		return fmt.Errorf("it ends at %s, not after the one before it", b.To)
	}
	return checkPrice("block", b.To.String(), b.Price)
}

func (t *Tariff) checkLevies() error {
	if len(t.Levies) > MaxLevies {
		return fmt.Errorf("%d levies, not up to %d", len(t.Levies), MaxLevies)
	}
	for i := range t.Levies {
		if err := t.checkLevy(i); err != nil {
			return fmt.Errorf("levy %q: %v", clip(t.Levies[i].Name), err)
		}
	}
	return nil
}

func (t *Tariff) checkLevy(i int) error {
	l := &t.Levies[i]
	if err := checkText("name", l.Name, lamppost.MaxNameBytes); err != nil {
		return err
	}
	taken := reserved(l.Name)
	for j := range t.Bands {
		taken = taken || t.Bands[j].Name == l.Name
	}
	if taken {
		return fmt.Errorf("the name is that of another line, choose another")
	}
	if (l.Price == 0) == (l.Day == 0) {
		return fmt.Errorf("it needs either a price per %q or a price per day", t.PerUnit)
	}
	for j := range t.Levies[:i] { // one name, one line: levies of it follow each other
		if before := &t.Levies[j]; before.Name == l.Name && (before.To == 0 || before.To > l.From || (before.Day == 0) != (l.Day == 0)) {
			return fmt.Errorf("it holds twice at %s, or is once per %q and once per day", stamp(l.From), t.PerUnit)
		}
	}
	if err := checkGrid("its begin", l.From); err != nil {
		return err
	}
	if l.To != 0 && l.To <= l.From {
		return fmt.Errorf("it ends at %s, not after its begin", stamp(l.To))
	}
	if err := checkGrid("its end", l.To); err != nil {
		return err
	}
	return checkPrice("price", l.Name, max(l.Price, l.Day, -l.Price, -l.Day))
}

func (t *Tariff) checkBounds() error {
	if t.Minimum < 0 || t.Maximum < 0 || t.Maximum != 0 && t.Maximum < t.Minimum {
		return fmt.Errorf("a minimum of %s and a maximum of %s do not go together", t.Minimum, t.Maximum)
	}
	if !Whole(t.Minimum, t.Currency) || !Whole(t.Maximum, t.Currency) {
		return fmt.Errorf("a minimum of %s or a maximum of %s cannot be paid in %s: use whole minor units", t.Minimum, t.Maximum, t.Currency)
	}
	for _, x := range [...]struct {
		name  string
		price lamppost.Micro
	}{{LineCapacity, t.Capacity}, {LineMinimum, t.Minimum}, {LineMaximum, t.Maximum}} {
		if x.price < 0 || x.price > MaxPrice {
			return fmt.Errorf("charge %s: %s is not from 0 to %s", x.name, x.price, MaxPrice)
		}
	}
	return nil
}

func (t *Tariff) checkSession() error {
	s := t.Session
	if s == nil {
		return nil
	}
	for _, p := range [...]lamppost.Micro{s.Start, s.Minute, s.Idle} {
		if p < 0 || p > MaxPrice {
			return fmt.Errorf("session: %s is not from 0 to %s", p, MaxPrice)
		}
	}
	if limit := uint32(MaxSessionMS / minuteMS); s.Grace > limit || s.MaxMin > limit {
		return fmt.Errorf("session: a time over %d minutes", limit)
	}
	return nil
}

// cut returns the first instant after a time at which something but bands and series ends, or limit.
func (t *Tariff) cut(at, limit lamppost.TimeMS) lamppost.TimeMS {
	if t.Capacity != 0 {
		limit = min(limit, at-at%lamppost.EdgeMS+lamppost.EdgeMS)
	}
	for i := range t.Levies {
		for _, x := range [...]lamppost.TimeMS{t.Levies[i].From, t.Levies[i].To} {
			if x > at {
				limit = min(limit, x)
			}
		}
	}
	return limit
}

// Holds reports whether a levy per unit is due on what is used from a time on.
func (l *Levy) Holds(at lamppost.TimeMS) bool {
	return l.Price != 0 && l.From <= at && (l.To == 0 || at < l.To)
}

// A LineKind says what a line's amount is made of beside its price.
type LineKind uint8

// Kinds of lines.
const (
	ByUse    LineKind = iota // of a band, block, series or levy: Quantity
	ByPeak                   // Quantity and Days
	ByDay                    // of the standing charge or a levy: Days
	ByMinute                 // of a session: Minutes
	Once                     // the start of a session, what the minimum or maximum asks for, or what vouchers promised
)

// Kind returns it.
func (l *Line) Kind() LineKind {
	switch {
	case l.Band == LineCapacity:
		return ByPeak
	case l.Band == LineStart || l.Band == LineMinimum || l.Band == LineMaximum || l.Band == LineVouchers:
		return Once
	case l.Days > 0 || l.Band == LineStanding:
		return ByDay
	case l.Minutes > 0:
		return ByMinute
	}
	return ByUse
}

// Charges collect the lines of one supply or session.
type charges struct {
	t     *Tariff
	lines []Line
	err   error
}

// add rounds value × 10^-shift Micro and puts a line. The first error stays.
func (c *charges) add(l Line, value *big.Int, shift int) {
	if c.err != nil {
		return
	}
	amount, ok := roundTo(c.t.Currency, c.t.Rounding, value, shift)
	if !ok {
		c.err = fmt.Errorf("the amount of %s %s in %q does not fit 63 bits", l.Quantity, c.t.RegisterUnit, l.Band)
		return
	}
	l.Amount = amount
	c.lines = append(c.lines, l)
}

func product(factors ...int64) *big.Int {
	p := big.NewInt(1)
	for _, f := range factors {
		p.Mul(p, big.NewInt(f))
	}
	return p
}

// use puts the line of a band, a series or a levy. A use's value is in 10^exponent register units × Micro per 10^Scale register units.
func (c *charges) use(u *use) {
	c.add(Line{Band: u.name, Quantity: u.quantity, Price: u.price, Estimated: u.estimated}, &u.value, c.shift(u.quantity))
}

// shift is how many digits a mantissa of a quantity times a price per PerUnit has after the point.
func (c *charges) shift(quantity lamppost.Decimal) int {
	return int(c.t.Scale) - int(quantity.Exponent)
}

// meter puts the lines of one of the meters that hung in turn.
func (c *charges) meter(m *meter, in *turn, session bool) {
	if len(c.t.Blocks) > 0 {
		c.blocks(&m.bands[0], in)
	} else {
		for i := range m.bands {
			if m.bands[i].name != "" { // not the first band of its name
				c.use(&m.bands[i])
			}
		}
	}
	c.levies(m.levies, m.from(), m.to(), session)
	if session {
		c.session(m.edges)
		return
	}
	c.peak(&m.peak, m.from(), m.to())
	c.daily(LineStanding, c.t.Standing, m.from(), m.to())
}

// blocks puts a line for each block, used or not, or one for the block that the whole comes to. What the meters before used is in
// the blocks already.
func (c *charges) blocks(u *use, in *turn) {
	exp := in.whole.Exponent // the finest of all
	whole, _ := in.whole.At(exp)
	before, ok1 := in.before.At(exp)
	used, ok2 := u.quantity.At(exp)
	if !ok1 || !ok2 {
		c.err = cmp.Or(c.err, fmt.Errorf("the quantity of %s %s has too many digits", u.quantity, c.t.RegisterUnit))
		return
	}
	in.before = lamppost.Dec(before+used, exp) // no more than the whole
	line := Line{Band: u.name, Estimated: u.estimated}
	begin := new(big.Int)
	for i := range c.t.Blocks {
		end := c.blockEnd(i, exp, in.days)
		line.Block, line.Price = uint32(i+1), c.t.Blocks[i].Price
		if c.t.BlockRule == BlockReached {
			if end == nil || end.Cmp(big.NewInt(whole)) >= 0 {
				c.block(line, used, exp)
				return
			}
			continue
		}
		c.block(line, common(before, before+used, begin, end), exp)
		begin = end
	}
}

func (c *charges) block(l Line, used int64, exp int8) {
	l.Quantity = lamppost.Dec(used, exp)
	c.add(l, product(used, int64(l.Price)), c.shift(l.Quantity))
}

// blockEnd is where a block ends, in units of 10^exp of the register; nil: nowhere.
func (c *charges) blockEnd(i int, exp int8, days int64) *big.Int {
	to := c.t.Blocks[i].To
	if to.Mantissa == 0 {
		return nil
	}
	end := power10(int(c.t.Scale) - int(exp) + int(to.Exponent))
	end.Mul(end, big.NewInt(to.Mantissa))
	if c.t.BlockRule == BlockDay {
		end.Mul(end, big.NewInt(days))
	}
	return end
}

// common is how much of [from, to) lies in [begin, end); an end of nil is none.
func common(from, to int64, begin, end *big.Int) int64 {
	inside := func(x *big.Int) int64 { // as a number of [from, to]
		if x.Cmp(big.NewInt(to)) >= 0 {
			return to
		}
		return max(from, x.Int64())
	}
	if end == nil {
		return to - inside(begin)
	}
	return inside(end) - inside(begin)
}

// daily puts a charge per local day that begins.
func (c *charges) daily(name string, price lamppost.Micro, from, to lamppost.TimeMS) {
	if price == 0 || from >= to {
		return
	}
	days := c.t.Zone.Midnights(from, to)
	c.add(Line{Band: name, Days: uint32(days), Price: price}, product(days, int64(price)), 0)
}

// levies puts a line for each span of time in which a levy held.
func (c *charges) levies(uses []use, from, to lamppost.TimeMS, session bool) {
	for i := range c.t.Levies {
		l := &c.t.Levies[i]
		if lo, hi := clamp(from, to, l.From, l.To); lo >= hi {
			continue
		} else if l.Price != 0 {
			c.use(&uses[i])
		} else if !session && c.t.Zone.Midnights(lo, hi) > 0 {
			c.daily(l.Name, l.Day, lo, hi)
		}
	}
}

// peak puts the charge for the highest quarter hour, whose quantity is what an hour like it would have.
func (c *charges) peak(p *peak, from, to lamppost.TimeMS) {
	if c.t.Capacity == 0 || c.err != nil {
		return
	}
	half, fits := p.most.Add(p.most)
	hour, ok := half.Add(half)
	if !fits || !ok {
		c.err = fmt.Errorf("the peak of %s in a quarter hour has too many digits", p.most)
		return
	}
	days := c.t.Zone.Midnights(from, to)
	c.add(Line{Band: LineCapacity, Quantity: hour, Days: uint32(days), Price: c.t.Capacity, Estimated: p.estimated},
		product(hour.Mantissa, days, int64(c.t.Capacity)), c.shift(hour))
}

// A peak is the most that a quarter hour used.
type peak struct {
	most      lamppost.Decimal
	estimated bool
}

func (p *peak) see(diff lamppost.Decimal, estimated bool) {
	if diff.Cmp(p.most) > 0 {
		p.most, p.estimated = diff, estimated
	}
}

// session puts what a session costs beside what it used. It idles from the first reading that shows its last value.
func (c *charges) session(edges []Edge) {
	s := c.t.Session
	if s == nil {
		return
	}
	last := &edges[len(edges)-1]
	idle := last.Time
	for i := len(edges) - 1; i >= 0 && edges[i].Value.Cmp(last.Value) == 0; i-- {
		idle = edges[i].Time
	}
	idle += lamppost.TimeMS(s.Grace) * minuteMS
	if s.Start != 0 {
		c.add(Line{Band: LineStart, Price: s.Start}, product(int64(s.Start)), 0)
	}
	c.minutes(LineTime, begun(last.Time-edges[0].Time), s.Minute)
	minutes := begun(max(0, last.Time-idle))
	if s.MaxMin != 0 {
		minutes = min(minutes, int64(s.MaxMin))
	}
	c.minutes(LineIdle, minutes, s.Idle)
}

func begun(d lamppost.TimeMS) int64 { return int64((d + minuteMS - 1) / minuteMS) }

func (c *charges) minutes(name string, n int64, price lamppost.Micro) {
	if n != 0 && price != 0 {
		c.add(Line{Band: name, Minutes: uint32(n), Price: price}, product(n, int64(price)), 0)
	}
}

// bound puts what the lines lack to the minimum, or are over the maximum.
func (c *charges) bound() {
	var sum lamppost.Micro
	for i := range c.lines {
		var ok bool
		if sum, ok = sum.Add(c.lines[i].Amount); !ok && c.err == nil {
			c.err = fmt.Errorf("the sum of the lines does not fit 63 bits")
		}
	}
	switch t := c.t; {
	case t.Minimum != 0 && sum < t.Minimum:
		c.add(Line{Band: LineMinimum, Price: t.Minimum}, difference(t.Minimum, sum), 0)
	case t.Maximum != 0 && sum > t.Maximum:
		c.add(Line{Band: LineMaximum, Price: t.Maximum}, difference(t.Maximum, sum), 0)
	}
}

func difference(a, b lamppost.Micro) *big.Int {
	return new(big.Int).Sub(big.NewInt(int64(a)), big.NewInt(int64(b)))
}
