package tariff_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
	"pgregory.net/rapid"
)

const quarter = lamppost.EdgeMS

// Whatever a period came to, what is paid out is what was earned less what was lost before, to the last minor unit; nobody's part is further
// than one minor unit from his share; a loss is paid to nobody and carried on.
func TestProfitIsShared(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		minor := rapid.SampledFrom([]struct {
			currency string
			unit     int64
		}{{"EUR", 10_000}, {"JPY", 1_000_000}, {"KWD", 1000}}).Draw(t, "currency")
		amount := func(label string, from int64) lamppost.Micro {
			return lamppost.Micro(rapid.Int64Range(from, 1_000_000_000).Draw(t, label) * minor.unit)
		}
		c := lamppost.CentreBody{Device: "lamp", Version: 1, Currency: minor.currency}
		whole := int64(0)
		for i := range rapid.IntRange(1, tariff.MaxShares).Draw(t, "shares") {
			parts := rapid.Uint32Range(1, 1<<32-1).Draw(t, "parts")
			whole += int64(parts)
			c.Shares = append(c.Shares, lamppost.Share{Party: lamppost.PartyID(fmt.Sprint("p", i)), Parts: parts})
		}
		if err := tariff.CheckCentre(&c); err != nil {
			t.Fatal(err)
		}
		o := tariff.ProfitOrder{Centre: c, From: 0, To: quarter, Before: -amount("before", 0),
			Income: []tariff.Booked{{Net: amount("income", -1_000_000)}}, Bought: []tariff.Booked{{Net: amount("bought", -1_000_000)}}}
		p, err := tariff.Close(o)
		if err != nil {
			t.Fatal(err)
		}
		left := o.Income[0].Net - o.Bought[0].Net + o.Before
		var paid lamppost.Micro
		for _, x := range p.Paid {
			paid += x.Amount
			i := 0
			fmt.Sscanf(string(x.Party), "p%d", &i)
			fair := new(big.Int).Mul(big.NewInt(int64(left)), big.NewInt(int64(c.Shares[i].Parts)))
			fair.Quo(fair, big.NewInt(whole))
			if d := int64(x.Amount) - fair.Int64(); x.Amount <= 0 || d > minor.unit || d < -minor.unit || !tariff.Whole(x.Amount, minor.currency) {
				t.Errorf("%s gets %s, and %s is fair", x.Party, x.Amount, lamppost.Micro(fair.Int64()))
			}
		}
		if paid != max(left, 0) || p.PaidOut() != paid || p.After != min(left, 0) {
			t.Errorf("of %s are %s paid and %s carried on", left, paid, p.After)
		}
	})
}

// However the time from a cost's begin to its end is cut into periods, what falls due in them is the cost.
func TestCostsFallDueOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := lamppost.TimeMS(rapid.Int64Range(0, 1000).Draw(t, "from"))
		length := lamppost.TimeMS(rapid.Int64Range(1, 2000).Draw(t, "length"))
		x := lamppost.Cost{Kind: lamppost.CostDepreciation, Amount: lamppost.Micro(rapid.Int64Range(1, 1_000_000).Draw(t, "cents")) * 10_000, From: from * 1000, To: (from + length) * 1000}
		c := lamppost.CentreBody{Device: "lamp", Version: 1, Currency: "EUR", Shares: []lamppost.Share{{Party: "acme", Parts: 1}}, Costs: []lamppost.Cost{x}}
		var sum lamppost.Micro
		for at := lamppost.TimeMS(0); at < x.To; {
			next := at + quarter*lamppost.TimeMS(rapid.Int64Range(1, 3).Draw(t, "period"))
			p, err := tariff.Close(tariff.ProfitOrder{Centre: c, From: at, To: next})
			if err != nil || p.Depreciation < 0 || p.Profit != -p.Depreciation {
				t.Fatalf("%+v, %v", p, err)
			}
			sum, at = sum+p.Depreciation, next
		}
		if sum != x.Amount {
			t.Errorf("%s of %s fell due", sum, x.Amount)
		}
	})
}

// Energy is priced like a bill, and refused where a bill would be.
func TestProfitOfEnergy(t *testing.T) {
	t.Parallel()
	spot := tariff.Tariff{ID: "spot", Version: 1, Seller: "grid", Currency: "EUR", PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3, Rounding: tariff.RoundHalfUp,
		Tax: tariff.Tax{Category: "S", BasisPoints: 1900}, Zone: tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{}}}, Series: &tariff.Series{StepMS: quarter, Prices: []lamppost.Micro{100_000, -50_000, 400_000, 0}}, To: 4 * quarter}
	c := lamppost.CentreBody{Device: "lamp", Version: 1, Currency: "EUR", Shares: []lamppost.Share{{Party: "acme", Parts: 1}}, Point: "p", Tariff: "spot"}
	supply := tariff.Supply{Agreement: tariff.EnergyTerms(&c, "grid"), Device: "meter", Register: "energy", Unit: "Wh", Tariff: spot}
	for i, v := range []int64{0, 1000, 3000, 6000} {
		supply.Edges = append(supply.Edges, tariff.Edge{Time: lamppost.TimeMS(i) * quarter, Value: lamppost.Dec(v, 0)})
	}
	o := tariff.ProfitOrder{Centre: c, From: 0, To: 3 * quarter, Income: []tariff.Booked{{Seller: "acme", Number: "acme-000001", Net: 2_000_000}}, Energy: []tariff.Supply{supply}}
	p, err := tariff.Close(o)
	if err != nil || p.EnergyCost != 1_200_000 || p.Profit != 800_000 || len(p.Energy) != 1 || len(p.Energy[0].Edges) != 4 {
		t.Errorf("1 kWh at 0.10, 2 at -0.05 and 3 at 0.40 are %s of %s: %v", p.EnergyCost, tariff.Sum(o.Income), err)
	}
	for want, bad := range map[string]func(o *tariff.ProfitOrder){
		"nothing is known of metering point": func(o *tariff.ProfitOrder) { o.Energy = nil },
		"the registers end at":               func(o *tariff.ProfitOrder) { o.To += quarter },
		"the tariff's currency":              func(o *tariff.ProfitOrder) { o.Centre.Currency = "CHF" },
		"not a UTC quarter hour":             func(o *tariff.ProfitOrder) { o.To++ },
		"cannot be paid in EUR":              func(o *tariff.ProfitOrder) { o.Before = 10_000 },
		"does not fit":                       func(o *tariff.ProfitOrder) { o.Bought = []tariff.Booked{{Net: -1 << 62}, {Net: -1 << 62}} },
		"close a shorter period":             func(o *tariff.ProfitOrder) { o.Bought = make([]tariff.Booked, tariff.MaxBooked) },
	} {
		x := o
		bad(&x)
		if _, err := tariff.Close(x); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
