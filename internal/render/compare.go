package render

import (
	"errors"
	"math/big"
	"slices"

	"github.com/lamppost/lamppost"
)

// A bandKey names what is compared between two invoices: a price band at a place.
type bandKey struct {
	place, band, unit string
	kind              LineKind
	block             uint32
}

// compare fills in what changed on invoice i against the last one before it that bills one of the same agreements.
func (p *Page) compare(i int) error {
	now := &p.Invoices[i]
	before := p.before(now)
	if before == nil {
		return nil
	}
	c := &Changes{Before: before.Number, From: before.From, To: before.To, Net: before.Net}
	if err := c.add(now, func(c *Change) *Use { return &c.Now }); err != nil {
		return err
	}
	if err := c.add(before, func(c *Change) *Use { return &c.Before }); err != nil {
		return err
	}
	for j := range c.Rows {
		r := &c.Rows[j]
		q, err := sum(r.Now.Quantity, lamppost.Decimal{Mantissa: -r.Before.Quantity.Mantissa, Exponent: r.Before.Quantity.Exponent})
		if err != nil {
			return err
		}
		r.More = Use{q, r.Now.Amount - r.Before.Amount}
	}
	now.Changes = c
	return nil
}

// before finds the latest invoice of an earlier period between the same parties under one of the same agreements.
func (p *Page) before(now *Invoice) (found *Invoice) {
	under := now.agreements()
	for i := range p.Invoices {
		v := &p.Invoices[i]
		earlier := v.From < now.From && v.Seller.ID == now.Seller.ID && v.Buyer.ID == now.Buyer.ID && v.Currency == now.Currency
		if !earlier || found != nil && v.From < found.From {
			continue
		}
		if slices.ContainsFunc(v.agreements(), func(id string) bool { return slices.Contains(under, id) }) {
			found = v
		}
	}
	return found
}

func (v *Invoice) agreements() (ids []string) {
	v.each(func(_ *Place, _ *Device, l *Line) {
		if l.Meter.Agreement != "" && !slices.Contains(ids, l.Meter.Agreement) {
			ids = append(ids, l.Meter.Agreement)
		}
	})
	return ids
}

// each visits the lines in the order in which they are shown.
func (v *Invoice) each(visit func(*Place, *Device, *Line)) {
	for i := range v.Places {
		p := &v.Places[i]
		for j := range p.Devices {
			d := &p.Devices[j]
			for k := range d.Lines {
				visit(p, d, &d.Lines[k])
			}
		}
	}
}

// add sums up an invoice's lines on one side of the rows.
func (c *Changes) add(v *Invoice, side func(*Change) *Use) (err error) {
	rows := make(map[bandKey]int, len(c.Rows))
	for i, r := range c.Rows {
		rows[bandKey{r.Place, r.Band, r.Unit, r.Kind, r.Block}] = i
	}
	v.each(func(p *Place, _ *Device, l *Line) {
		k := bandKey{p.Name, l.Band, l.Unit, l.Kind, l.Block}
		i, known := rows[k]
		if !known {
			i = len(c.Rows)
			rows[k] = i
			c.Rows = append(c.Rows, Change{Place: p.Name, Band: l.Band, Block: l.Block, Unit: l.Unit, Kind: l.Kind})
		}
		u := side(&c.Rows[i])
		q, sumErr := sum(u.Quantity, l.Quantity)
		u.Quantity, u.Amount, err = q, u.Amount+l.Amount, errors.Join(err, sumErr)
	})
	return err
}

var errDigits = errors.New("a quantity has too many digits to be compared")

// sum adds what [lamppost.Decimal] cannot: quantities in the unit of a price may have more digits than a register.
func sum(a, b lamppost.Decimal) (lamppost.Decimal, error) {
	exp := min(a.Exponent, b.Exponent)
	at := func(d lamppost.Decimal) *big.Int {
		n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Exponent)-int64(exp)), nil)
		return n.Mul(n, big.NewInt(d.Mantissa))
	}
	total := at(a)
	total.Add(total, at(b))
	if !total.IsInt64() {
		return lamppost.Decimal{}, errDigits
	}
	return trimZeros(lamppost.Decimal{Mantissa: total.Int64(), Exponent: exp}), nil
}
