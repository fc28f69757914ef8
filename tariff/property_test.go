package tariff_test

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"
	"time"
	_ "time/tzdata" // the oracle must not depend on the machine

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

const (
	hourMS = 3600 * 1000
	dayMS  = 24 * hourMS
)

func berlin(t testing.TB) *time.Location {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// anyTariff draws valid terms: bands cut at random over the week, or a series, in 2026 in Berlin.
func anyTariff(t *rapid.T, loc *time.Location) tariff.Tariff {
	from, to := at("2026-01-01T00:00Z"), at("2027-02-01T00:00Z")
	p := tariff.Tariff{
		ID: "t", Version: 1, Seller: "acme", Currency: rapid.SampledFrom([]string{"EUR", "JPY", "KWD"}).Draw(t, "currency"),
		From: from, To: to, PerUnit: "kWh", RegisterUnit: "Wh", Scale: rapid.Uint8Range(0, tariff.MaxScale).Draw(t, "scale"),
		Zone: tariff.ZoneOf(loc, from, to), Standing: anyPrice(t, "standing"),
		Rounding: rapid.SampledFrom([]string{tariff.RoundHalfUp, tariff.RoundHalfEven}).Draw(t, "rounding"),
		Tax:      tariff.Tax{Category: "S", BasisPoints: rapid.Uint16Range(1, 10_000).Draw(t, "tax")},
	}
	if rapid.Bool().Draw(t, "by series") {
		p.Series = anySeries(t, from, to)
	} else {
		p.Bands = anyBands(t)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func anyPrice(t *rapid.T, label string) lamppost.Micro {
	return lamppost.Micro(rapid.Int64Range(-2_000_000, 2_000_000).Draw(t, label))
}

func anySeries(t *rapid.T, from, to lamppost.TimeMS) *tariff.Series {
	s := &tariff.Series{From: from, StepMS: lamppost.TimeMS(rapid.Int64Range(1, 8).Draw(t, "step")) * 15 * 60_000}
	a, b := anyPrice(t, "a"), anyPrice(t, "b")
	for at := from; at < to; at += s.StepMS {
		s.Prices = append(s.Prices, a)
		a, b = b, (a*7+b*3)%2_000_000
	}
	return s
}

// anyBands cuts working days and weekends at random quarter hours and gives the pieces one of three names.
func anyBands(t *rapid.T) []tariff.Band {
	price := [3]lamppost.Micro{anyPrice(t, "p0"), anyPrice(t, "p1"), anyPrice(t, "p2")}
	var bands []tariff.Band
	for _, days := range []uint8{0b0011111, 0b1100000} {
		for from := 0; from < 1440; {
			to := min(1440, from+15*rapid.IntRange(4, 60).Draw(t, "quarters"))
			name := rapid.IntRange(0, 2).Draw(t, "name")
			bands = append(bands, tariff.Band{
				Name: fmt.Sprint("b", name), Days: days, FromMin: uint16(from), ToMin: uint16(to), Price: price[name],
			})
			from = to
		}
	}
	return bands
}

// anyInstant draws a quarter hour of 2026, most often near a clock change.
func anyInstant(t *rapid.T, label string) lamppost.TimeMS {
	start := rapid.SampledFrom([]string{"2026-01-01T00:00Z", "2026-03-27T00:00Z", "2026-10-23T00:00Z"}).Draw(t, label)
	return at(start) + lamppost.TimeMS(rapid.Int64Range(0, 5*96).Draw(t, label+" quarters"))*15*60_000
}

// anyRegister gives the edges rising values with mixed exponents.
func anyRegister(t *rapid.T, times []lamppost.TimeMS) []tariff.Edge {
	value := rapid.Int64Range(0, 1<<40).Draw(t, "opening")
	uses := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000), 8, 8).Draw(t, "uses")
	edges := make([]tariff.Edge, len(times))
	for i, at := range times {
		value += uses[i%len(uses)]
		edges[i] = tariff.Edge{Time: at, Value: lamppost.Dec(value, -2), Source: tariff.Source{Height: lamppost.Height(i + 1)}}
		if value%3 == 0 { // a coarser reading
			value = (value + 99) / 100 * 100
			edges[i].Value = lamppost.Dec(value/100, 0)
		}
	}
	return edges
}

// anyPeriod returns [a, b) with b after a.
func anyPeriod(t *rapid.T) (from, to lamppost.TimeMS) {
	from = anyInstant(t, "from")
	return from, from + lamppost.TimeMS(rapid.Int64Range(1, 4*96).Draw(t, "length"))*15*60_000
}

// bandName is the oracle: what time.Location says the local clock shows, looked up in the bands.
func bandName(p *tariff.Tariff, loc *time.Location, at lamppost.TimeMS) string {
	local := time.UnixMilli(int64(at)).In(loc)
	minute := uint16(local.Hour()*60 + local.Minute())
	monday0 := (int(local.Weekday()) + 6) % 7
	for _, b := range p.Bands {
		if (b.Days == 0 || b.Days&(1<<monday0) != 0) && b.FromMin <= minute && minute < b.ToMin {
			return b.Name
		}
	}
	return fmt.Sprint("step ", (at-p.Series.From)/p.Series.StepMS)
}

// TestEdgesFollowTheClock checks edges against a walk over all quarter hours with the standard library's time zones,
// which the package itself never asks: the same changes, on 23- and 25-hour days too.
func TestEdgesFollowTheClock(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		from, to := anyPeriod(t)
		want := []lamppost.TimeMS{from}
		for at := from + lamppost.EdgeMS; at < to; at += lamppost.EdgeMS {
			if bandName(&p, loc, at) != bandName(&p, loc, at-lamppost.EdgeMS) {
				want = append(want, at)
			}
		}
		want = append(want, to)
		if got := p.Edges(from, to); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("edges of %s to %s:\ngot  %v\nwant %v", iso(from), iso(to), got, want)
		}
	})
}

// TestLinesAreExact recomputes every line from single quarter hours with rationals: nothing the meter counted is lost
// or billed twice, each difference is at the price of its time, and rounding happens once.
func TestLinesAreExact(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		from, to := anyPeriod(t)
		edges := anyRegister(t, p.Edges(from, to))
		lines, err := tariff.Price(&p, edges)
		if err != nil {
			t.Fatal(err)
		}
		checkTotal(t, edges, lines)
		want := exactAmounts(&p, loc, edges)
		for _, l := range lines {
			if l.Band == tariff.LineStanding {
				want[l.Band] = new(big.Rat).Mul(big.NewRat(int64(p.Standing), 1), big.NewRat(daysBegun(loc, from, to), 1))
			}
			checkRounded(t, &p, l, want[l.Band])
		}
	})
}

func checkTotal(t *rapid.T, edges []tariff.Edge, lines []tariff.Line) {
	want, _ := edges[len(edges)-1].Value.Sub(edges[0].Value)
	var got lamppost.Decimal
	for _, l := range lines {
		got, _ = got.Add(l.Quantity)
	}
	if got.Cmp(want) != 0 {
		t.Fatalf("lines bill %s, the register counted %s", got, want)
	}
}

// exactAmounts returns Micro by line name.
func exactAmounts(p *tariff.Tariff, loc *time.Location, edges []tariff.Edge) map[string]*big.Rat {
	sums := map[string]*big.Rat{tariff.LineSeries: new(big.Rat)}
	prices := map[string]lamppost.Micro{}
	for _, b := range p.Bands {
		sums[b.Name], prices[b.Name] = new(big.Rat), b.Price
	}
	for i := 1; i < len(edges); i++ {
		name := bandName(p, loc, edges[i-1].Time)
		price := prices[name]
		if p.Series != nil {
			name, price = tariff.LineSeries, p.Series.Prices[(edges[i-1].Time-p.Series.From)/p.Series.StepMS]
		}
		diff := new(big.Rat).Sub(rat(edges[i].Value), rat(edges[i-1].Value))
		diff.Mul(diff, big.NewRat(int64(price), 1))
		sums[name].Add(sums[name], diff.Quo(diff, tenTo(int64(p.Scale))))
	}
	return sums
}

func rat(d lamppost.Decimal) *big.Rat {
	r, _ := new(big.Rat).SetString(d.String())
	return r
}

func tenTo(n int64) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil))
}

// daysBegun asks the standard library for every local midnight.
func daysBegun(loc *time.Location, from, to lamppost.TimeMS) int64 {
	n := int64(0)
	for d := time.Date(2025, 12, 30, 0, 0, 0, 0, loc); d.UnixMilli() < int64(to); d = d.AddDate(0, 0, 1) {
		if d.UnixMilli() >= int64(from) {
			n++
		}
	}
	return n
}

// checkRounded: a whole number of minor units, at most half of one away, and at exactly half as the rule says.
func checkRounded(t *rapid.T, p *tariff.Tariff, l tariff.Line, exact *big.Rat) {
	digits, _ := tariff.Minor(p.Currency)
	minor := tenTo(6 - int64(digits))
	got := big.NewRat(int64(l.Amount), 1)
	units := new(big.Rat).Quo(got, minor)
	away := new(big.Rat).Sub(got, exact)
	half := new(big.Rat).Quo(minor, big.NewRat(2, 1))
	switch cmp := away.Abs(away).Cmp(half); {
	case !units.IsInt() || cmp > 0:
		t.Fatalf("line %q: %s is not %s Micro rounded to %s digits", l.Band, l.Amount, exact, fmt.Sprint(digits))
	case cmp == 0 && p.Rounding == tariff.RoundHalfEven && units.Num().Bit(0) != 0:
		t.Fatalf("line %q: tie %s went to the odd %s", l.Band, exact, l.Amount)
	case cmp == 0 && p.Rounding == tariff.RoundHalfUp && got.Abs(got).Cmp(exact.Abs(exact)) < 0:
		t.Fatalf("line %q: tie %s went towards zero to %s", l.Band, exact, l.Amount)
	}
}

// TestPeriodsAddUp bills [a, b), [b, c) and [a, c): quantities and days of each line are the same together.
func TestPeriodsAddUp(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		a, b := anyPeriod(t)
		c := b + lamppost.TimeMS(rapid.Int64Range(1, 4*96).Draw(t, "rest"))*15*60_000
		first := p.Edges(a, b)
		all := anyRegister(t, append(first[:len(first)-1], p.Edges(b, c)...))
		whole, err := tariff.Price(&p, all)
		if err != nil {
			t.Fatal(err)
		}
		left, err1 := tariff.Price(&p, all[:len(first)])
		right, err2 := tariff.Price(&p, all[len(first)-1:])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for i, l := range whole {
			sum, _ := left[i].Quantity.Add(right[i].Quantity)
			if sum.Cmp(l.Quantity) != 0 || left[i].Days+right[i].Days != l.Days || left[i].Band != l.Band {
				t.Fatalf("%+v and %+v are not %+v", left[i], right[i], l)
			}
		}
	})
}

// anyBill draws an order with one to five agreements under their own tariffs.
func anyBill(t *rapid.T, loc *time.Location) (tariff.InvoiceOrder, []tariff.Supply) {
	from, to := anyPeriod(t)
	order := tariff.InvoiceOrder{Number: "2026-1", IssuedMS: to}
	order.InvoiceBody = lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: from, To: to}
	var supplies []tariff.Supply
	for i := range rapid.IntRange(1, 5).Draw(t, "supplies") {
		p := anyTariff(t, loc)
		p.Currency, p.Rounding, p.ID = "EUR", tariff.RoundHalfUp, fmt.Sprint("t", i)
		p.Tax.BasisPoints = rapid.SampledFrom([]uint16{700, 1900}).Draw(t, "rate")
		supplies = append(supplies, tariff.Supply{
			Agreement: lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: "acme", Buyer: "bob", Point: "p", Tariff: p.ID},
			Device:    "meter-1", Register: "energy", Unit: "Wh", Tariff: p, Edges: anyRegister(t, p.Edges(from, to)),
		})
	}
	return order, supplies
}

// TestInvoiceAddsUp: the net is the sum of the lines, which are numbered through; each tax base is the lines under it and
// its amount within half a cent; the total is their sum; the same input in another order is the same bytes; and the
// bytes read back as the same invoice.
func TestInvoiceAddsUp(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		order, supplies := anyBill(t, loc)
		inv, err := tariff.Bill(order, supplies)
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, &inv)
		raw := lamppost.Marshal(inv)
		again, err := tariff.Bill(order, rapid.Permutation(supplies).Draw(t, "order"))
		if err != nil || !bytes.Equal(lamppost.Marshal(again), raw) {
			t.Fatalf("the same supplies in another order are another invoice (%v)", err)
		}
		var read tariff.Invoice
		if err := lamppost.Unmarshal(raw, &read); err != nil || !bytes.Equal(lamppost.Marshal(read), raw) {
			t.Fatalf("reading the invoice back: %v", err)
		}
	})
}

func checkSums(t *rapid.T, inv *tariff.Invoice) {
	var net lamppost.Micro
	bases := map[tariff.Tax]lamppost.Micro{}
	n := uint32(0)
	for _, s := range inv.Supplies {
		for _, l := range s.Lines {
			n++
			net += l.Amount
			bases[s.Tax] += l.Amount
			if l.N != n {
				t.Fatalf("line %d has number %d", n, l.N)
			}
		}
	}
	total := net
	for _, x := range inv.Tax {
		if base := bases[tariff.Tax{Category: x.Category, BasisPoints: x.BasisPoints}]; base != x.Base {
			t.Fatalf("tax base %s, lines under it %s", x.Base, base)
		}
		if off := int64(x.Base)*int64(x.BasisPoints) - int64(x.Amount)*10_000; off > 5_000*10_000 || off < -5_000*10_000 || x.Amount%10_000 != 0 {
			t.Fatalf("%d bp of %s is not %s", x.BasisPoints, x.Base, x.Amount)
		}
		total += x.Amount
	}
	if inv.Net != net || inv.Total != total || len(inv.Tax) != len(bases) {
		t.Fatalf("net %s, total %s, %d taxes; lines say %s, %s, %d", inv.Net, inv.Total, len(inv.Tax), net, total, len(bases))
	}
}

// TestEstimatesStayBetween: a filled edge lies between its neighbours and names them, and filling a register that was
// read at every edge changes nothing.
func TestEstimatesStayBetween(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		from, to := anyPeriod(t)
		want := p.Edges(from, to)
		have := anyRegister(t, want)
		lost := rapid.IntRange(0, len(have)-1).Draw(t, "lost")
		inside := 0 < lost && lost < len(have)-1
		rest := append(append([]tariff.Edge{}, have[:lost]...), have[lost+1:]...)
		got, err := tariff.FillEdges(want, rest, nil)
		if (err == nil) != inside {
			t.Fatalf("edge %d of %d lost: %v", lost, len(have), err)
		}
		for i := range got {
			if i != lost && got[i] != have[i] {
				t.Fatalf("edge %d became %+v, was %+v", i, got[i], have[i])
			}
		}
		if inside {
			checkBetween(t, have[lost-1], got[lost], have[lost+1])
		}
	})
}

func checkBetween(t *rapid.T, before, e, after tariff.Edge) {
	if !e.Estimated || e.Source != before.Source || e.Next != after.Source {
		t.Fatalf("%+v does not say that it was estimated between %+v and %+v", e, before, after)
	}
	if e.Value.Cmp(before.Value) < 0 || e.Value.Cmp(after.Value) > 0 {
		t.Fatalf("%s is not between %s and %s", e.Value, before.Value, after.Value)
	}
}
