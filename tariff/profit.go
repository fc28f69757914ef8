package tariff

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/lamppost/lamppost"
)

// A Profit is what a device earned and cost in a period, and what was paid out of it. It follows from a [ProfitOrder]; the ledger logs it
// and never changes it. Costs are positive.
type Profit struct {
	Device       lamppost.DeviceID `cbor:"1,keyasint" json:"device"`
	Version      uint32            `cbor:"2,keyasint" json:"version"` // of its terms as a profit centre
	Currency     string            `cbor:"3,keyasint" json:"currency"`
	From         lamppost.TimeMS   `cbor:"4,keyasint" json:"from_ms"`
	To           lamppost.TimeMS   `cbor:"5,keyasint" json:"to_ms"`
	Income       []Booked          `cbor:"6,keyasint,omitempty" json:"income"`
	Bought       []Booked          `cbor:"7,keyasint,omitempty" json:"bought"`
	Energy       []InvoiceSupply   `cbor:"8,keyasint,omitempty" json:"energy"` // its own, with registers
	EnergyCost   lamppost.Micro    `cbor:"9,keyasint" json:"energy_cost"`
	Service      lamppost.Micro    `cbor:"10,keyasint" json:"service"`
	Depreciation lamppost.Micro    `cbor:"11,keyasint" json:"depreciation"`
	Profit       lamppost.Micro    `cbor:"12,keyasint" json:"profit"`         // of the period; negative: a loss
	Before       lamppost.Micro    `cbor:"13,keyasint" json:"before"`         // losses of earlier periods that are not made up: 0 or negative
	Paid         []Payment         `cbor:"14,keyasint,omitempty" json:"paid"` // profit and before, if positive
	After        lamppost.Micro    `cbor:"15,keyasint" json:"after"`          // before of the next period
}

// Booked is what an invoice's lines came to that are a device's, before tax; of a correction the difference to what it replaces.
type Booked struct {
	Seller lamppost.PartyID `cbor:"1,keyasint" json:"seller"`
	Number string           `cbor:"2,keyasint" json:"number"`
	Net    lamppost.Micro   `cbor:"3,keyasint" json:"net"`
}

// A Payment is what a party got of a profit.
type Payment struct {
	Party  lamppost.PartyID `cbor:"1,keyasint" json:"party"`
	Amount lamppost.Micro   `cbor:"2,keyasint" json:"amount"`
}

// A ProfitOrder is what a profit is made from. Invoices count when they are issued, so that a period that is over does not change.
type ProfitOrder struct {
	Centre   lamppost.CentreBody // terms that hold in all of [From, To)
	From, To lamppost.TimeMS
	Income   []Booked // in the order in which they were issued
	Bought   []Booked
	Energy   []Supply       // of [EnergyTerms], with registers
	Before   lamppost.Micro // 0 or negative
}

// Close computes a profit, and shares it out: to the last minor unit, in proportion to the shares, larger rests first. A loss is
// carried on. It is the one function for this, of the ledger and of auditors.
func Close(o ProfitOrder) (Profit, error) {
	c := &o.Centre
	p := Profit{Device: c.Device, Version: c.Version, Currency: c.Currency, From: o.From, To: o.To, Income: o.Income, Bought: o.Bought, Before: o.Before}
	if err := checkPeriod(o.From, o.To); err != nil {
		return p, err
	}
	if len(o.Income)+len(o.Bought) > MaxBooked {
		return p, fmt.Errorf("%d invoices are more than %d: close a shorter period", len(o.Income)+len(o.Bought), MaxBooked)
	}
	if err := p.priceEnergy(&o); err != nil {
		return p, err
	}
	for i := range c.Costs {
		x := &c.Costs[i]
		due := Accrued(x, o.To, c.Currency) - Accrued(x, o.From, c.Currency)
		if x.Kind == lamppost.CostDepreciation {
			p.Depreciation += due // at most MaxCosts times MaxPrice
		} else {
			p.Service += due
		}
	}
	if !p.sum() {
		return p, fmt.Errorf("its sum does not fit 63 bits")
	}
	return p, p.share(c.Shares)
}

// EnergyTerms is the agreement as which a device's own energy is priced: nobody sells it and nobody buys it.
func EnergyTerms(c *lamppost.CentreBody, seller lamppost.PartyID) lamppost.AgreementBody {
	return lamppost.AgreementBody{ID: string(c.Device), Seller: seller, Point: c.Point, Tariff: c.Tariff}
}

func (p *Profit) priceEnergy(o *ProfitOrder) error {
	if o.Centre.Point == "" || len(o.Energy) == 0 {
		if o.Centre.Point != "" {
			return fmt.Errorf("energy: nothing is known of metering point %q", clip(o.Centre.Point))
		}
		return nil
	}
	order := InvoiceOrder{Number: string(p.Device), InvoiceBody: lamppost.InvoiceBody{Seller: o.Energy[0].Tariff.Seller, Currency: p.Currency, From: o.From, To: o.To}}
	inv, err := bill(&order, o.Energy)
	if err != nil {
		return fmt.Errorf("energy: %v", err)
	}
	p.Energy, p.EnergyCost = inv.Supplies, inv.Net
	return nil
}

// sum makes the profit, or returns false where that does not fit.
func (p *Profit) sum() bool {
	fits := true
	add := func(amount lamppost.Micro) {
		sum, ok := p.Profit.Add(amount)
		p.Profit, fits = sum, fits && ok
	}
	for _, b := range p.Income {
		add(b.Net)
	}
	for _, b := range p.Bought {
		add(-b.Net)
	}
	add(-p.EnergyCost)
	add(-p.Service)
	add(-p.Depreciation)
	return fits
}

// share pays out what is left after losses of earlier periods, or carries on what is lost.
func (p *Profit) share(shares []lamppost.Share) error {
	left, ok := p.Profit.Add(p.Before)
	if !ok || p.Before > 0 || !Whole(left, p.Currency) {
		return fmt.Errorf("%s and %s of earlier periods cannot be paid in %s", p.Profit, p.Before, clip(p.Currency))
	}
	if left <= 0 {
		p.After = left
		return nil
	}
	amounts := divideBy(left, shares, p.Currency)
	for i, a := range amounts {
		if a != 0 {
			p.Paid = append(p.Paid, Payment{shares[i].Party, a})
		}
	}
	return nil
}

// divideBy divides a whole number of minor units: each gets what is certain, and one more those with the largest rests, the first among
// equals (the method of Hamilton), so that the sum is exact.
func divideBy(amount lamppost.Micro, shares []lamppost.Share, currency string) []lamppost.Micro {
	digits, _ := Minor(currency) // CheckCentre knows it
	minor := power10(6 - int(digits)).Int64()
	whole := new(big.Int)
	for _, s := range shares {
		whole.Add(whole, big.NewInt(int64(s.Parts)))
	}
	left := int64(amount) / minor
	parts, rests, order := make([]lamppost.Micro, len(shares)), make([]*big.Int, len(shares)), make([]int, len(shares))
	units := left
	for i, s := range shares {
		q, rest := new(big.Int).QuoRem(product(units, int64(s.Parts)), whole, new(big.Int))
		parts[i], rests[i], order[i] = lamppost.Micro(q.Int64()*minor), rest, i
		left -= q.Int64()
	}
	slices.SortStableFunc(order, func(a, b int) int { return rests[b].Cmp(rests[a]) })
	for _, i := range order[:left] { // fewer than there are shares
		parts[i] += lamppost.Micro(minor)
	}
	return parts
}

// Accrued is how much of a cost has fallen due at a time: in proportion to the time, down to a whole minor unit. What falls due in a
// period is the difference of two, so rests are carried on and the sum over all periods is the amount.
func Accrued(c *lamppost.Cost, at lamppost.TimeMS, currency string) lamppost.Micro {
	at = min(max(at, c.From), c.To)
	digits, ok := Minor(currency)
	if !ok || c.From >= c.To {
		return 0
	}
	minor := power10(6 - int(digits))
	n := product(int64(c.Amount), int64(at-c.From))
	n.Quo(n, new(big.Int).Mul(big.NewInt(int64(c.To-c.From)), minor))
	return lamppost.Micro(n.Mul(n, minor).Int64())
}

// CheckCentre says what a device's terms as a profit centre contradict by themselves.
func CheckCentre(c *lamppost.CentreBody) error {
	if _, ok := Minor(c.Currency); !ok {
		return fmt.Errorf("currency %q is not known", clip(c.Currency))
	}
	if err := checkGrid("its begin", c.From); err != nil {
		return err
	}
	if len(c.Shares) == 0 || len(c.Shares) > MaxShares || len(c.Costs) > MaxCosts {
		return fmt.Errorf("%d shares and %d costs: 1 to %d shares and at most %d costs", len(c.Shares), len(c.Costs), MaxShares, MaxCosts)
	}
	seen := make(map[lamppost.PartyID]bool)
	for _, s := range c.Shares {
		if s.Parts == 0 || seen[s.Party] {
			return fmt.Errorf("%q has no part, or two shares", clip(string(s.Party)))
		}
		seen[s.Party] = true
	}
	for i := range c.Costs {
		if err := checkCost(&c.Costs[i], c.Currency); err != nil {
			return fmt.Errorf("cost %d: %v", i+1, err)
		}
	}
	switch {
	case (c.Point == "") != (c.Tariff == ""):
		return fmt.Errorf("energy has a metering point and a tariff, or neither")
	case c.Limit < 0 || c.Limit > MaxPrice || !Whole(c.Limit, c.Currency):
		return fmt.Errorf("a spending limit of %s cannot be paid in %s", c.Limit, c.Currency)
	case (c.Limit == 0) != (c.LimitDays == 0) || c.LimitDays > MaxLimitDays:
		return fmt.Errorf("a spending limit is for 1 to %d days", MaxLimitDays)
	}
	return nil
}

func checkCost(c *lamppost.Cost, currency string) error {
	switch {
	case c.Kind != lamppost.CostService && c.Kind != lamppost.CostDepreciation:
		return fmt.Errorf("its kind is %s", c.Kind)
	case c.Amount <= 0 || c.Amount > MaxPrice || !Whole(c.Amount, currency):
		return fmt.Errorf("an amount of %s cannot be paid in %s", c.Amount, currency)
	case c.From < 0 || c.From >= c.To || c.To > maxTimeMS:
		return fmt.Errorf("it falls due from an earlier time to a later one")
	}
	return nil
}

// LimitPeriod returns the period of a spending limit that a time is in, which is not before the terms' begin.
func LimitPeriod(c *lamppost.CentreBody, at lamppost.TimeMS) (from, to lamppost.TimeMS) {
	length := lamppost.TimeMS(max(c.LimitDays, 1)) * dayMS
	from = at - (at-c.From)%length
	return from, from + length
}

// Sum adds amounts up; [Close] has checked that they fit.
func Sum(all []Booked) (sum lamppost.Micro) {
	for _, b := range all {
		sum += b.Net
	}
	return sum
}

// ProfitWithoutEdges returns an encoded profit without its energy's edges, as it stands in a proof: see [WithoutEdges].
func ProfitWithoutEdges(profit []byte) ([]byte, error) {
	var p Profit
	if err := lamppost.Unmarshal(profit, &p); err != nil {
		return nil, err
	}
	for i := range p.Energy {
		p.Energy[i].Edges = nil
	}
	return lamppost.Marshal(p), nil
}

// PaidOut is what a profit's payments come to.
func (p *Profit) PaidOut() lamppost.Micro { return max(p.Profit+p.Before, 0) }
