package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A use is what the operator's desk knows of a stay.
type use struct {
	id     string // of the session
	buyer  lamppost.PartyID
	guest  bool
	prepay lamppost.Micro // of a guest
	stop   lamppost.TimeMS
	shown  int64 // what the meter's own display shows at the stop, in Wh
	state  useState
	heard  bool          // a complaint about it
	done   chan struct{} // closed when nothing will come of it any more but a bill
}

type useState uint8

const (
	notBegun useState = iota
	refused           // for want of money
	settled
	void
	billed
)

// A desk is the operator's office: it orders sessions, settles and bills them, and answers who complains.
type desk struct {
	*run
	park *carPark
	uses []use // by stay; its charger's goroutine writes one until done is closed, and the biller after

	mu                   sync.Mutex // guards what follows
	quoteTold, guestTold bool
	invoices             []tariff.Invoice
	replaced             map[string]bool                     // numbers that a correction replaced
	moved                map[lamppost.PartyID]lamppost.Micro // by transfers, into accounts
}

func newDesk(r *run, p *carPark) *desk {
	d := &desk{run: r, park: p, uses: make([]use, len(p.stays)), replaced: make(map[string]bool),
		moved: make(map[lamppost.PartyID]lamppost.Micro)}
	for i := range d.uses {
		d.uses[i] = use{id: fmt.Sprintf("s-%03d", i+1), buyer: p.buyers[i], guest: p.stays[i].who == "", done: make(chan struct{})}
	}
	return d
}

// tell writes a line of the story.
func (d *desk) tell(at lamppost.TimeMS, c *charger, format string, args ...any) {
	where := "office"
	if c != nil {
		where = string(c.id)
	}
	d.screen.say(fmt.Sprintf("%s  %-10s  %s", d.w.local(at, "Mon 15:04"), where, fmt.Sprintf(format, args...)))
}

// open quotes, and orders a session with a hold. It reports whether power may flow.
func (d *desk) open(life context.Context, c *charger, stay int) (bool, error) {
	s, u := &d.park.stays[stay], &d.uses[stay]
	lines, sum, limit, err := d.park.quote(*s)
	if err != nil {
		return false, err
	}
	held, _ := tariff.WithTax(limit, vat, currency, d.park.terms.Rounding)
	d.tellQuote(c, stay, lines, sum, limit, held)
	if u.guest {
		u.prepay = held
		if err := d.transfer(life, provider, u.buyer, held, "paid by card"); err != nil {
			return false, err
		}
	}
	_, err = d.order(life, lamppost.TxSession, lamppost.SessionBody{ID: u.id, Buyer: u.buyer, Point: string(c.id), Tariff: d.park.terms.ID,
		Version: 1, Limit: limit, From: s.in, Until: s.until()})
	if refusal := new(lamppost.Refusal); errors.As(err, &refusal) && refusal.Code == lamppost.CodeNoFunds {
		d.tell(s.in, c, "session %s refused, no power flows: %s", u.id, refusal.Text)
		u.state = refused
		close(u.done)
		return false, nil
	}
	return err == nil, err
}

// tellQuote tells the first quote, as an example of all.
func (d *desk) tellQuote(c *charger, stay int, lines []tariff.Line, sum, limit, held lamppost.Micro) {
	if !d.first(&d.quoteTold) {
		return
	}
	s := &d.park.stays[stay]
	d.tell(s.in, c, "quote for %s, %s kWh until %s: %s; %s %s before tax, at most %s: with tax %s are held", d.callOf(stay),
		kWh(s.wh), d.w.local(s.out, "15:04"), inWords(lines), sum, currency, limit, held)
}

// first reports whether something was not told before.
func (d *desk) first(told *bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := *told
	*told = true
	return !before
}

func (d *desk) callOf(stay int) string {
	if u := &d.uses[stay]; !u.guest {
		return d.w.nameOf(u.buyer)
	}
	return "a guest"
}

func inWords(lines []tariff.Line) string {
	var words []string
	for i := range lines {
		if lines[i].Amount != 0 {
			words = append(words, fmt.Sprintf("%s %s", strings.TrimPrefix(lines[i].Band, "session-"), lines[i].Amount))
		}
	}
	return strings.Join(words, ", ")
}

// finish settles a session when its reports are committed, and bills a guest at once. A session without a stop has ended
// when it had to, or when the user has had enough.
func (d *desk) finish(ctx, life context.Context, c *charger, stay int, stop lamppost.TimeMS) error {
	s, u := &d.park.stays[stay], &d.uses[stay]
	if err := c.dev.Drain(life); err != nil {
		return err
	}
	if s.mishap == forgets || s.mishap == onlyStart {
		stop = s.until()
		if d.clock.Until(ctx, stamp(stop)) != nil {
			stop = max(s.in+1000, min(stop, lamppost.TimeMS(d.clock.Now().UnixMilli())))
		}
	}
	u.stop = stop
	lines, err := d.settleSession(life, c, stay)
	if err != nil {
		return fmt.Errorf("settling session %s: %w", u.id, err)
	}
	d.tellSettled(c, stay, lines)
	if u.guest {
		err = d.billGuest(life, stay)
	}
	close(u.done)
	return err
}

// settleSession settles a session, and does what has to be done where the ledger refuses to: a stop below the start is
// replaced by what the display shows, and a start alone is nothing.
func (d *desk) settleSession(life context.Context, c *charger, stay int) (lines []tariff.Line, err error) {
	u, body := &d.uses[stay], lamppost.SettleBody{Session: d.uses[stay].id, Stop: d.uses[stay].stop}
	u.state = settled
	data, err := d.order(life, lamppost.TxSettle, body)
	refusal := new(lamppost.Refusal)
	if errors.As(err, &refusal) && refusal.Code == lamppost.CodeNotReady {
		d.tell(u.stop, c, "not settled: %s", refusal.Text)
		switch d.park.stays[stay].mishap {
		case staleStop:
			if err = d.rightStop(life, c, stay); err == nil {
				data, err = d.order(life, lamppost.TxSettle, body)
			}
		case forgets, onlyStart:
			u.state = void
			body.Void = "a start without a stop: nothing can be billed"
			data, err = d.order(life, lamppost.TxSettle, body)
		}
	}
	if err != nil || body.Void != "" {
		return nil, err
	}
	return lines, lamppost.Unmarshal(data, &lines)
}

// rightStop does what the office does when triage says that a register fell: it looks at the meter's display, enters what that shows, and
// what its log has of when the fall began, and answers the verdict.
func (d *desk) rightStop(life context.Context, c *charger, stay int) error {
	const reason = "stop below start: the charger sent an old value; read from the meter's display"
	u, s := &d.uses[stay], &d.park.stays[stay]
	if err := d.substitute(life, c.id, u.stop, u.shown, reason); err != nil {
		return err
	}
	d.tell(u.stop, c, "the stop of %s replaced by hand: %s kWh, from the meter's display", u.id, kWh(u.shown))
	found, err := d.web.verdicts(life, c.id)
	for i := 0; err == nil && i < len(found); i++ {
		v := &found[i]
		if !v.Suspending {
			continue
		}
		if err = d.substitute(life, c.id, v.Since, u.shown-s.used(u.stop)+s.used(v.Since), reason); err == nil {
			err = d.web.review(life, v.ID, "wrong", reason)
		}
		if err == nil {
			d.tell(u.stop, c, "verdict %s (%s) answered: it was wrong, and is put right", v.ID, v.Reasons[0].Code)
		}
	}
	return err
}

// substitute enters by hand what a meter shows at a time, in Wh.
func (d *desk) substitute(life context.Context, id lamppost.DeviceID, at lamppost.TimeMS, wh int64, reason string) error {
	_, err := d.order(life, lamppost.TxReading, lamppost.ReadingBody{Device: id, Register: registerEnergy, Unit: d.park.terms.RegisterUnit,
		Time: at, Value: lamppost.Dec(wh, 0), Quality: lamppost.Substituted, Reason: reason})
	return err
}

// tellSettled tells how a stay ended in which something went wrong, and the first of all.
func (d *desk) tellSettled(c *charger, stay int, lines []tariff.Line) {
	u, m := &d.uses[stay], d.park.stays[stay].mishap
	at := lamppost.TimeMS(d.clock.Now().UnixMilli())
	switch {
	case u.state == void:
		d.tell(at, c, "session %s void: nothing billed, its hold is free again", u.id)
	case m == offline:
		d.tell(at, c, "session %s, which ended at %s, settled from the late reports: %s", u.id, d.w.local(u.stop, "15:04"), inWords(lines))
	case m == forgets:
		d.tell(at, c, "session %s settled at its end by what was read until then: %s", u.id, inWords(lines))
	case m == powerCut || m == staleStop || stay == 0:
		d.tell(at, c, "session %s settled: %s", u.id, inWords(lines))
	}
}

// transfer moves money and remembers it, to hold the accounts against.
func (d *desk) transfer(ctx context.Context, from, to lamppost.PartyID, amount lamppost.Micro, memo string) error {
	_, err := d.order(ctx, lamppost.TxTransfer, lamppost.TransferBody{From: from, To: to, Currency: currency, Amount: amount, Memo: memo})
	if err != nil {
		return fmt.Errorf("transfer from %s to %s: %w", from, to, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moved[from] -= amount
	d.moved[to] += amount
	return nil
}

// billGuest bills a guest at once and gives back what was paid too much.
func (d *desk) billGuest(life context.Context, stay int) error {
	u := &d.uses[stay]
	paid := u.prepay
	if u.state == settled {
		to := u.stop - u.stop%quarterMS + quarterMS
		if err := d.clock.Until(life, stamp(to)); err != nil {
			return err
		}
		s := &d.park.stays[stay]
		inv, err := d.bill(life, u.buyer, s.in-s.in%quarterMS, to)
		if err != nil {
			return err
		}
		u.state, paid = billed, paid-inv.Total
		if d.first(&d.guestTold) {
			d.tellNow("a guest paid %s by card for session %s; %s bills %s at once, the rest is refunded", u.prepay, u.id, inv.Number, inv.Total)
		}
	}
	if paid <= 0 {
		return nil
	}
	return d.transfer(life, u.buyer, provider, paid, "refunded to the card")
}

// bill makes an invoice of all that was settled and not billed.
func (d *desk) bill(life context.Context, buyer lamppost.PartyID, from, to lamppost.TimeMS) (*tariff.Invoice, error) {
	data, err := d.order(life, lamppost.TxInvoice, lamppost.InvoiceBody{Seller: operator, Buyer: buyer, Currency: currency, From: from, To: to})
	if err != nil {
		return nil, fmt.Errorf("billing %s: %w", buyer, err)
	}
	return d.keep(data)
}

// keep remembers an invoice, and that it replaces another.
func (d *desk) keep(data []byte) (*tariff.Invoice, error) {
	inv := new(tariff.Invoice)
	if err := lamppost.Unmarshal(data, inv); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.invoices = append(d.invoices, *inv)
	if inv.Corrects != nil {
		d.replaced[inv.Corrects.Number] = true
	}
	return inv, nil
}
