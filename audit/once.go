package audit

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// What the invoices of a proof must not do together: each may be right by itself.

// A use is up to when an agreement was billed, or that a session or channel was, and on which invoice.
type use struct {
	until   lamppost.TimeMS
	invoice string
}

// checkOnce refuses what bills something again that another invoice billed, where that is no correction.
func (c *invoiceCheck) checkOnce(inv *tariff.Invoice) error {
	if before := c.e.numbers[billNumber{inv.Seller, inv.Number}]; before != nil {
		return fmt.Errorf("block %d has an invoice of this number, too", before.Height)
	}
	if inv.Corrects != nil {
		return nil
	}
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		id, once := s.Once()
		if !once {
			id = "agreement " + s.Agreement
		}
		if x, ok := c.e.used[id]; ok && x.invoice != inv.Number && (once || s.From < x.until) {
			return c.supplyError(i, "%s was billed on invoice %s, too", id, x.invoice)
		}
		c.e.used[id] = use{s.To, inv.Number}
	}
	return nil
}

// checkCorrection refuses to correct what was corrected before, and demands that what was billed is billed again, unless its agreement does
// not hold any more, and nothing else.
func (c *invoiceCheck) checkCorrection() error {
	if c.order.Corrects == nil {
		return nil
	}
	of := c.order.Corrects.Number
	for _, t := range c.e.numbers {
		if x := t.Invoice; x.Corrects != nil && x.Seller == c.order.Seller && x.Corrects.Number == of {
			return fmt.Errorf("it corrects invoice %s, which %s corrected before", of, x.Number)
		}
	}
	was, now := map[string]bool{}, map[string]bool{}
	for i := range c.logged.Supplies {
		now[supplied(&c.logged.Supplies[i])] = true
	}
	before := c.e.numbers[billNumber{c.order.Seller, of}].Invoice
	for i := range before.Supplies {
		s := &before.Supplies[i]
		was[supplied(s)] = true
		_, held := s.Once()
		if a := c.e.Agreement(s.Agreement, c.tx.Leaf); a != nil && !held {
			from, to := c.order.Period(a)
			held = from < to
		}
		if held && !now[supplied(s)] {
			return fmt.Errorf("%q stands on invoice %s and not on what corrects it", s.Agreement+s.Session+s.Channel, of)
		}
	}
	for i := range c.logged.Supplies {
		if s := &c.logged.Supplies[i]; !was[supplied(s)] {
			return c.supplyError(i, "%q does not stand on invoice %s, which this corrects", s.Agreement+s.Session+s.Channel, of)
		}
	}
	return nil
}

// supplied names what a supply is of, across invoices.
func supplied(s *tariff.InvoiceSupply) string { return s.Agreement + " " + s.Session + " " + s.Channel }
