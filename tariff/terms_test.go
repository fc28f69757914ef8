package tariff_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// anyTerms adds to a tariff of one band or a series what else can be charged.
func anyTerms(t *rapid.T, p *tariff.Tariff) {
	if rapid.Bool().Draw(t, "blocks") {
		p.Series, p.Bands = nil, []tariff.Band{{Name: "b0", ToMin: 1440}}
		p.BlockRule = rapid.SampledFrom([]string{tariff.BlockPeriod, tariff.BlockDay, tariff.BlockReached}).Draw(t, "rule")
		end := int64(0)
		for i := range rapid.IntRange(0, 4).Draw(t, "ends") {
			end += rapid.Int64Range(1, 3_000_000).Draw(t, fmt.Sprint("end", i))
			p.Blocks = append(p.Blocks, tariff.Block{To: lamppost.Dec(end, -int8(min(p.Scale, 3))), Price: anyPrice(t, "block")})
		}
		p.Blocks = append(p.Blocks, tariff.Block{Price: anyPrice(t, "last")})
	}
	if rapid.Bool().Draw(t, "levies") {
		cut := anyInstant(t, "levy")
		p.Levies = []tariff.Levy{{Name: "l0", Price: 70_000, To: cut}, {Name: "l0", Price: 90_001, From: cut}, {Name: "l1", Day: 333_333, From: cut}}
	}
	if rapid.Bool().Draw(t, "peak") {
		p.Capacity = max(1, anyPrice(t, "peak price"))
	}
	whole := func(x lamppost.Micro) lamppost.Micro { return max(0, x-x%lamppost.MicroUnit) }
	p.Minimum = whole(anyPrice(t, "minimum"))
	p.Maximum = p.Minimum + whole(anyPrice(t, "maximum"))
	if p.Maximum > tariff.MaxPrice {
		p.Maximum = 0
	}
}

// TestOtherTermsAreExact recomputes blocks, levies and the peak from single intervals with rationals, and the bounds.
func TestOtherTermsAreExact(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		anyTerms(t, &p)
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		from, to := anyPeriod(t)
		edges := anyRegister(t, p.Edges(from, to))
		lines, err := tariff.Price(&p, edges)
		if err != nil {
			t.Fatal(err)
		}
		var sum lamppost.Micro
		for _, l := range lines {
			sum += l.Amount
			switch {
			case l.Kind() == tariff.ByPeak:
				checkRounded(t, &p, l, peakAmount(&p, edges, daysBegun(loc, from, to)))
			case l.Band == "l0":
				checkRounded(t, &p, l, levyAmount(&p, edges, l.Price))
			case l.Block > 0:
				checkRounded(t, &p, l, perUnitOf(&p, rat(l.Quantity), l.Price))
			}
		}
		if len(p.Blocks) > 0 {
			checkBlocks(t, &p, lines, edges, daysBegun(loc, from, to))
		}
		if sum < p.Minimum && p.Minimum != 0 || sum > p.Maximum && p.Maximum != 0 {
			t.Fatalf("the lines come to %s, not within %s and %s", sum, p.Minimum, p.Maximum)
		}
	})
}

// perUnitOf is quantity × price, exactly.
func perUnitOf(p *tariff.Tariff, quantity *big.Rat, price lamppost.Micro) *big.Rat {
	value := new(big.Rat).Mul(quantity, big.NewRat(int64(price), 1))
	return value.Quo(value, tenTo(int64(p.Scale)))
}

func peakAmount(p *tariff.Tariff, edges []tariff.Edge, days int64) *big.Rat {
	most := new(big.Rat)
	for i := 1; i < len(edges); i++ {
		if edges[i].Time-edges[i-1].Time != lamppost.EdgeMS {
			panic("an interval of a peak that is no quarter hour")
		}
		if diff := new(big.Rat).Sub(rat(edges[i].Value), rat(edges[i-1].Value)); diff.Cmp(most) > 0 {
			most = diff
		}
	}
	return perUnitOf(p, most.Mul(most, big.NewRat(4*days, 1)), p.Capacity)
}

func levyAmount(p *tariff.Tariff, edges []tariff.Edge, price lamppost.Micro) *big.Rat {
	sum := new(big.Rat)
	for i := 1; i < len(edges); i++ {
		first := edges[i-1].Time < p.Levies[0].To
		if edges[i].Time > p.Levies[0].To && first {
			panic("an interval over the end of a levy")
		}
		if first == (price == p.Levies[0].Price) {
			sum.Add(sum, rat(edges[i].Value)).Sub(sum, rat(edges[i-1].Value))
		}
	}
	return perUnitOf(p, sum, price)
}

// checkBlocks: together the blocks are what was counted; each is full before the next begins, or one has it all.
func checkBlocks(t *rapid.T, p *tariff.Tariff, lines []tariff.Line, edges []tariff.Edge, days int64) {
	whole := new(big.Rat).Sub(rat(edges[len(edges)-1].Value), rat(edges[0].Value))
	rest, begin := new(big.Rat).Set(whole), new(big.Rat)
	for _, l := range lines {
		if l.Block == 0 {
			continue
		}
		x := p.Blocks[l.Block-1]
		end := new(big.Rat).Mul(rat(x.To), tenTo(int64(p.Scale)))
		if p.BlockRule == tariff.BlockDay {
			end.Mul(end, big.NewRat(days, 1))
		}
		last := x.To.Mantissa == 0
		if p.BlockRule == tariff.BlockReached {
			if rat(l.Quantity).Cmp(whole) != 0 || !last && whole.Cmp(end) > 0 {
				t.Fatalf("block %d has %s of %s", l.Block, l.Quantity, whole)
			}
			return
		}
		want := new(big.Rat).Set(rest)
		if size := new(big.Rat).Sub(end, begin); !last && want.Cmp(size) > 0 {
			want = size
		}
		if rat(l.Quantity).Cmp(want) != 0 || l.Price != x.Price {
			t.Fatalf("block %d has %s at %s, want %s at %s", l.Block, l.Quantity, l.Price, want, x.Price)
		}
		rest.Sub(rest, want)
		begin = end
	}
	if rest.Sign() != 0 {
		t.Fatalf("%s are in no block", rest)
	}
}

// TestExchangesChangeNothing: where meters hang in turn, what all of them have in a block is what one meter would have, to the last digit,
// and the sum keeps the bounds.
func TestExchangesChangeNothing(t *testing.T) {
	t.Parallel()
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		p := anyTariff(t, loc)
		anyTerms(t, &p)
		p.Capacity = 0 // a peak is a meter's
		from, to := anyPeriod(t)
		edges := anyRegister(t, p.Edges(from, to))
		one, err := tariff.Price(&p, edges)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(edges)-1).Draw(t, "exchange")
		if cut == 0 || cut == len(edges)-1 {
			return
		}
		two, err := tariff.PriceInTurn(&p, [][]tariff.Edge{edges[:cut+1], edges[cut:]})
		if err != nil {
			t.Fatal(err)
		}
		both := slices.Concat(two[0], two[1])
		if have, want := quantities(both), quantities(one); have != want {
			t.Fatalf("two meters have %s, one has %s", have, want)
		}
		var sum lamppost.Micro
		for _, l := range both {
			sum += l.Amount
		}
		if sum < p.Minimum && p.Minimum != 0 || sum > p.Maximum && p.Maximum != 0 {
			t.Fatalf("the lines come to %s, not within %s and %s", sum, p.Minimum, p.Maximum)
		}
	})
}

// quantities sums up what there is of each band, block and levy.
func quantities(lines []tariff.Line) string {
	sums := map[string]*big.Rat{}
	for _, l := range lines {
		if l.Quantity.Mantissa == 0 {
			continue
		}
		key := fmt.Sprint(l.Band, " ", l.Block)
		if sums[key] == nil {
			sums[key] = new(big.Rat)
		}
		sums[key].Add(sums[key], rat(l.Quantity))
	}
	return fmt.Sprint(sums)
}
