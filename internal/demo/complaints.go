package demo

import (
	"context"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// followDays bills every day when it is over and its sessions are settled, until ctx is done.
func (d *desk) followDays(ctx, life context.Context) error {
	for from := d.w.from; from < d.w.to; from += 24 * hourMS {
		to := from + 24*hourMS
		if d.clock.Until(ctx, stamp(to)) != nil {
			return nil // ended early: finishBills does the rest
		}
		for i := range d.uses {
			if d.park.stays[i].out > to {
				continue
			}
			select {
			case <-d.uses[i].done:
			case <-ctx.Done():
				return nil
			}
		}
		if err := d.billDrivers(life, from, to); err != nil {
			return err
		}
	}
	return nil
}

// finishBills bills what was settled and is not billed. All chargers have ended.
func (d *desk) finishBills(life context.Context) error {
	from, last := d.w.from, lamppost.TimeMS(0)
	for i := range d.uses {
		if u := &d.uses[i]; u.state == settled {
			last = max(last, u.stop)
		}
	}
	if last == 0 {
		return nil
	}
	to := last - last%quarterMS + quarterMS
	if err := d.clock.Until(life, stamp(to)); err != nil {
		return err
	}
	return d.billDrivers(life, from, to)
}

// billDrivers makes one invoice for each driver whose sessions ended by a time and are not billed, and hears complaints.
func (d *desk) billDrivers(life context.Context, from, to lamppost.TimeMS) error {
	due := make(map[lamppost.PartyID]bool)
	n, total := 0, lamppost.Micro(0)
	for i := range d.uses {
		u := &d.uses[i]
		if !d.isDone(i) || u.state != settled || u.stop > to {
			continue
		}
		if !due[u.buyer] {
			inv, err := d.bill(life, u.buyer, from, to)
			if err != nil {
				return err
			}
			due[u.buyer] = true
			n, total = n+1, total+inv.Total
		}
		u.state = billed
	}
	if n > 0 {
		d.tell(to, nil, "%s of %s made out to drivers: %s %s", plural(n, "invoice"), d.w.local(from, "Monday"), total, currency)
	}
	return d.hearComplaints(life, due)
}

func (d *desk) isDone(stay int) bool {
	select {
	case <-d.uses[stay].done:
		return true
	default:
		return false
	}
}

// hearComplaints lets the drivers dispute what they have reason to, or think so.
func (d *desk) hearComplaints(life context.Context, due map[lamppost.PartyID]bool) error {
	for i := range d.uses {
		if !due[d.uses[i].buyer] || !d.isDone(i) || d.uses[i].state != billed || d.uses[i].heard {
			continue
		}
		d.uses[i].heard = true
		inv, line := d.invoiceOf(d.uses[i].id, d.park.stays[i].mishap)
		if inv == nil {
			continue
		}
		var err error
		switch d.park.stays[i].mishap {
		case highStop:
			err = d.uphold(life, i, inv, line)
		case longIdle:
			err = d.reject(life, i, inv, line)
		}
		if err != nil {
			return fmt.Errorf("the dispute of %s: %w", d.uses[i].buyer, err)
		}
	}
	return nil
}

// invoiceOf finds the invoice in force that has a session, and on it the line that a complaint about it is of.
func (d *desk) invoiceOf(session string, m mishap) (*tariff.Invoice, uint32) {
	for _, inv := range d.inForce("") {
		for j := range inv.Supplies {
			if inv.Supplies[j].Session != session {
				continue
			}
			for _, l := range inv.Supplies[j].Lines {
				if (m == longIdle) == (l.Band == tariff.LineIdle) && l.Amount != 0 {
					return &inv, l.N
				}
			}
		}
	}
	return nil, 0
}

// dispute opens a dispute and returns its id.
func (d *desk) dispute(life context.Context, stay int, inv *tariff.Invoice, line uint32, reason string) (string, error) {
	id := "dispute-" + d.uses[stay].id
	_, err := d.order(life, lamppost.TxDispute, lamppost.DisputeBody{ID: id, Seller: operator, Invoice: inv.Number, Line: line,
		State: lamppost.DisputeOpen, Reason: reason})
	if err == nil {
		d.tellNow("%s disputes line %d of %s: %s", d.callOf(stay), line, inv.Number, reason)
	}
	return id, err
}

func (d *desk) tellNow(format string, args ...any) {
	d.tell(lamppost.TimeMS(d.clock.Now().UnixMilli()), nil, format, args...)
}

// uphold is a dispute in which the driver is right: the stop is replaced by what the display shows, and the bill corrected.
func (d *desk) uphold(life context.Context, stay int, inv *tariff.Invoice, line uint32) error {
	u := &d.uses[stay]
	id, err := d.dispute(life, stay, inv, line, "my car took less")
	if err != nil {
		return err
	}
	charger := d.park.machines[d.park.stays[stay].charger].id
	if err := d.substitute(life, charger, u.stop, u.shown, "the meter counted 2 kWh at once when the plug was pulled; read from the charger's log"); err != nil {
		return err
	}
	data, err := d.order(life, lamppost.TxCorrect, lamppost.CorrectBody{Seller: operator, Number: inv.Number, Cause: lamppost.CauseDispute,
		Dispute: id, Reason: "the charger's stop was too high"})
	if err != nil {
		return err
	}
	now, err := d.keep(data)
	if err == nil {
		d.tellNow("upheld: %s replaces %s, %s %s are credited", now.Number, inv.Number, -now.Due(), currency)
	}
	return err
}

// reject is a dispute in which the operator is right.
func (d *desk) reject(life context.Context, stay int, inv *tariff.Invoice, line uint32) error {
	id, err := d.dispute(life, stay, inv, line, "nobody told me of a fee for staying")
	if err != nil {
		return err
	}
	s := &d.park.stays[stay]
	reason := fmt.Sprintf("full at %s, gone at %s: the fee after %d minutes stood in the quote", d.w.local(s.ended(), "15:04"),
		d.w.local(d.uses[stay].stop, "15:04"), graceMin)
	_, err = d.order(life, lamppost.TxDispute, lamppost.DisputeBody{ID: id, Seller: operator, Invoice: inv.Number, Line: line,
		State: lamppost.DisputeRejected, Reason: reason})
	if err == nil {
		d.tellNow("rejected: %s", reason)
	}
	return err
}
