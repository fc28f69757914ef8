package outlook

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// How the rest of a month is foreseen: as if each week that is still to come went like one and the same of the last weeks. For each
// of these the whole month is priced as a bill would be, with its bands, blocks and standing charges. The mean of the latest four sums
// is what is expected, the cheapest and the dearest of all are the range.
//
// Nothing is assumed of how use is spread, a weekday stays a weekday, and whoever wants to can compute it again by hand. Older weeks
// widen the range and do not move the amount: they are of another season. What was measured stands in docs/decisions/0018-outlook.md.

// A supply is an agreement with what its meters recorded.
type supply struct {
	lamppost.AgreementBody
	point    Point // registers up to until only
	place    string
	versions []tariff.Tariff // of its tariff, in turn
	from, to lamppost.TimeMS // its part of the running month
	until    lamppost.TimeMS // up to where its register is known; 0: nowhere
	edges    []tariff.Edge   // of the meter that hangs there now, up to until
}

// supply reads an agreement's meters. Nil: there is nothing of it in the running month.
func (b *buyer) supply(a lamppost.AgreementBody) (*supply, error) {
	mounts, err := b.v.Point(a.Point)
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	x := &supply{AgreementBody: a, from: max(b.from, a.From), to: b.to}
	if a.To != 0 {
		x.to = min(x.to, a.To)
	}
	last := len(mounts) - 1
	x.place = mounts[last].Place
	for i := range b.tariffs {
		if b.tariffs[i].ID == a.Tariff {
			x.versions = append(x.versions, b.tariffs[i])
		}
	}
	if x.from >= x.to || len(x.versions) == 0 {
		return nil, nil
	}
	known := make([][]tariff.Edge, len(mounts))
	since := max(a.From, b.from-MaxMonths*monthMS)
	x.point = Point{mounts, func(mount uint32, _, _ lamppost.TimeMS) ([]tariff.Edge, error) { return known[mount], nil }}
	for i := range mounts {
		lo, hi := During(mounts, i, since, min(x.to, b.now))
		if lo >= hi {
			continue
		}
		all, err := b.v.Registers(a.Point, uint32(i), lo, hi)
		if err != nil {
			return nil, err
		}
		known[i] = usable(all, since, hi)
	}
	x.edges = known[last]
	if n := len(x.edges); n > 0 {
		x.until = x.edges[n-1].Time
	}
	return x, nil
}

// usable are values that can be priced, and those of the day before, between which and the next a bill would interpolate too.
func usable(all []tariff.Edge, from, to lamppost.TimeMS) []tariff.Edge {
	return slices.DeleteFunc(all, func(e tariff.Edge) bool { return e.Time < from-dayMS || e.Time > to || e.Quality >= lamppost.Faulty })
}

var (
	errTerms = errors.New("no price is known for part of the period")
	errLarge = errors.New("a sum does not fit 63 bits")
)

// cost is what [from, to) comes to under the agreement, with tax.
func (x *supply) cost(p *Point, from, to lamppost.TimeMS) (sum lamppost.Micro, err error) {
	for at := from; at < to; {
		t, end := x.version(at, to)
		if t == nil {
			return 0, errTerms
		}
		priced, err := p.Price(t, at, end)
		if err != nil {
			return 0, err
		}
		total, fits := tariff.WithTax(priced.Net, x.tax(t), t.Currency, t.Rounding)
		more, fits2 := sum.Add(total)
		if !fits || !fits2 {
			return 0, errLarge
		}
		sum, at = more, end
	}
	return sum, nil
}

// version returns the terms that hold at an instant, and until when; nil: none do.
func (x *supply) version(at, to lamppost.TimeMS) (*tariff.Tariff, lamppost.TimeMS) {
	for i := len(x.versions) - 1; i >= 0; i-- {
		t := &x.versions[i]
		if t.From > at {
			to = min(to, t.From)
			continue
		}
		if t.To != 0 {
			to = min(to, t.To)
		}
		if to <= at {
			return nil, 0
		}
		return t, to
	}
	return nil, 0
}

// tax is the tariff's, or the agreement's exception.
func (x *supply) tax(t *tariff.Tariff) tariff.Tax {
	if x.TaxCategory != "" {
		return tariff.Tax{Category: x.TaxCategory}
	}
	return t.Tax
}

// weeks counts the whole weeks before until in which there is no hole. What was recorded before the agreement is another's.
func (x *supply) weeks() int {
	since := x.until
	for i := len(x.edges) - 1; i >= 0 && since-x.edges[i].Time <= holeMS; i-- {
		since = x.edges[i].Time
	}
	return max(0, min(MaxWeeks, int((x.until-max(since, x.From))/weekMS)))
}

// likeWeek is the point with a register that goes on as it went from back weeks ago until a week later, over and over. Where the clock
// changed since, it is an hour off.
func (x *supply) likeWeek(back int) (*Point, error) {
	begin := x.until - lamppost.TimeMS(back)*weekMS
	want := []lamppost.TimeMS{begin}
	for i := range x.edges {
		if t := x.edges[i].Time; t > begin && t < begin+weekMS {
			want = append(want, t)
		}
	}
	last := len(x.point.Mounts) - 1
	week, err := tariff.FillEdges(append(want, begin+weekMS), x.edges, x.point.Mounts[last].RollsAt)
	if err != nil {
		return nil, err
	}
	near, _ := slices.BinarySearchFunc(x.edges, min(x.from, x.until)-dayMS, func(e tariff.Edge, at lamppost.TimeMS) int { return cmp.Compare(e.Time, at) })
	ahead, err := goesOn(x.edges[near:], week, x.to)
	return &Point{x.point.Mounts, func(mount uint32, from, to lamppost.TimeMS) ([]tariff.Edge, error) {
		if int(mount) == last {
			return ahead, nil
		}
		return x.point.Registers(mount, from, to)
	}}, err
}

// goesOn adds a week's use to what is known, as often as it takes to get beyond a time.
func goesOn(known, week []tariff.Edge, to lamppost.TimeMS) ([]tariff.Edge, error) {
	out := slices.Clone(known)
	for out[len(out)-1].Time < to {
		base := out[len(out)-1]
		for i := 1; i < len(week); i++ {
			used, ok1 := week[i].Value.Sub(week[0].Value)
			value, ok2 := base.Value.Add(used)
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("the register has too many digits")
			}
			out = append(out, tariff.Edge{Time: base.Time + week[i].Time - week[0].Time, Value: value})
		}
	}
	return out, nil
}

// A course is how a month may go, for one of the last weeks: what it has come to by an instant.
type course func(at lamppost.TimeMS) (lamppost.Micro, error)

// foresee fills in a supply's part of the month, and returns how it may go on, if enough is known.
func (x *supply) foresee(now lamppost.TimeMS) (Supply, []course) {
	out := Supply{Agreement: x.ID, Seller: x.Seller, Point: x.Point, Place: x.place, PerUnit: x.versions[0].PerUnit, Until: min(max(x.until, x.from), x.to)}
	var err error
	if out.SoFar, err = x.cost(&x.point, x.from, out.Until); err != nil {
		out.Missing = missing(err)
		return out, nil
	}
	if max(x.until, x.From) < min(now, x.to)-silentMS {
		out.Missing = MissingReadings
		return out, nil
	}
	weeks := x.weeks()
	if x.until >= x.to { // all of it is known
		weeks = MaxWeeks
	}
	if weeks < MinWeeks {
		out.Missing = MissingHistory
		return out, nil
	}
	var all []course
	for back := 1; back <= weeks; back++ {
		p := &x.point
		if x.until < x.to {
			if p, err = x.likeWeek(back); err != nil {
				out.Missing = missing(err)
				return out, nil
			}
		}
		all = append(all, func(at lamppost.TimeMS) (lamppost.Micro, error) { return x.cost(p, x.from, min(at, x.to)) })
	}
	out.Expected, _, err = expect(all, x.to, x.versions[0].Currency)
	if err != nil {
		out.Missing = missing(err)
	}
	return out, all
}

func missing(err error) Missing {
	if errors.Is(err, errTerms) {
		return MissingTerms
	}
	return MissingReadings
}

// expect prices courses to the end, the latest week's first, and returns with what is expected the course that comes to it.
func expect(all []course, end lamppost.TimeMS, currency string) (*Expected, course, error) {
	mean := meanOf(all[:MinWeeks], currency)
	amount, err := mean(end)
	e := &Expected{Amount: amount, Weeks: len(all)}
	for i, c := range all {
		sum, courseErr := c(end)
		if err = errors.Join(err, courseErr); i == 0 {
			e.Low, e.High = sum, sum
		}
		e.Low, e.High = min(e.Low, sum), max(e.High, sum)
	}
	if err != nil {
		return nil, nil, err
	}
	return e, mean, nil
}

// meanOf is the mean of courses, rounded to what can be paid.
func meanOf(all []course, currency string) course {
	digits, _ := tariff.Minor(currency)
	unit := lamppost.Micro(1)
	for range 6 - digits {
		unit *= 10
	}
	return func(at lamppost.TimeMS) (sum lamppost.Micro, err error) {
		for _, c := range all {
			amount, err := c(at)
			if err != nil {
				return 0, err
			}
			var fits bool
			if sum, fits = sum.Add(amount); !fits {
				return 0, errLarge
			}
		}
		return sum / (lamppost.Micro(len(all)) * unit) * unit, nil
	}
}
