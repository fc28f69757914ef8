package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// What becomes of bills after they are made: corrections, which replace them, and disputes.

// A billed record is what the state keeps of an invoice, to correct it one day.
type billed struct {
	Order lamppost.InvoiceBody `cbor:"1,keyasint"`
	Parts []part               `cbor:"2,keyasint"`
	Lines uint32               `cbor:"3,keyasint"`
	Net   lamppost.Micro       `cbor:"4,keyasint"`
	Tax   []tariff.TaxSum      `cbor:"5,keyasint"`
	Total lamppost.Micro       `cbor:"6,keyasint"`
	Next  string               `cbor:"7,keyasint,omitempty"` // the number that replaced it
}

// A part is what one supply of an invoice came to, and on whose accounts it was booked.
type part struct {
	Agreement string            `cbor:"1,keyasint,omitempty"`
	Session   string            `cbor:"2,keyasint,omitempty"`
	Device    lamppost.DeviceID `cbor:"3,keyasint"`
	Seller    lamppost.PartyID  `cbor:"4,keyasint"`
	Buyer     lamppost.PartyID  `cbor:"5,keyasint"`
	Net       lamppost.Micro    `cbor:"6,keyasint"`
	Channel   string            `cbor:"7,keyasint,omitempty"`
	Used      lamppost.Micro    `cbor:"8,keyasint,omitempty"` // told to contracts
}

func billedKey(seller lamppost.PartyID, number string) []byte {
	return key('J', string(seller), number)
}

// issue numbers an invoice, books what it claims, and keeps what is needed to correct it.
func (s *State) issue(order tariff.InvoiceOrder, supplies []tariff.Supply, before *billed) (*tariff.Invoice, *billed, error) {
	counter := key('C', string(order.Seller))
	last, err := s.number(counter)
	if err != nil {
		return nil, nil, err
	}
	order.Number, order.IssuedMS = invoiceNumber(order.Seller, last+1), s.time
	if err := s.markJudged(supplies); err != nil {
		return nil, nil, err
	}
	inv, err := tariff.Bill(order, supplies)
	if err != nil {
		return nil, nil, lamppost.Refuse(lamppost.CodeNotReady, "%v", err)
	}
	now, err := s.booked(&inv, &order)
	if err != nil {
		return nil, nil, err
	}
	if before != nil && now.equal(before) {
		return nil, nil, lamppost.Refuse(lamppost.CodeNotReady, "invoice %q comes to the same again", order.Corrects.Number)
	}
	postings := now.postings(1)
	if before != nil {
		postings = append(postings, before.postings(-1)...)
	}
	if err := s.post(order.Currency, postings); err != nil {
		return nil, nil, err
	}
	s.put(counter, binary.BigEndian.AppendUint64(nil, uint64(last+1)))
	s.put(key('V', string(inv.Buyer), string(inv.Seller), inv.Number), Place{s.height, s.index}.append(nil))
	s.putBody(billedKey(inv.Seller, inv.Number), now)
	if err := s.keepBooks(&order, now, before); err != nil {
		return nil, nil, err
	}
	return &inv, now, s.rests(&inv)
}

// booked says what an invoice came to. A device is a profit centre: what a line earns or costs is booked to the device's own account
// where the device belongs to that side, and to the party otherwise; what a device bought from another, to the one that accepted. Taxes
// are between the parties.
func (s *State) booked(inv *tariff.Invoice, order *tariff.InvoiceOrder) (*billed, error) {
	deals := map[string]lamppost.DeviceID{}
	b := &billed{Order: order.InvoiceBody, Net: inv.Net, Tax: inv.Tax, Total: inv.Total}
	for i := range inv.Supplies {
		b.Lines += uint32(len(inv.Supplies[i].Lines))
		id := inv.Supplies[i].Session
		if id == "" {
			continue
		}
		u, err := s.session(id)
		if err != nil {
			return nil, err
		}
		if u.For != "" {
			deals[id] = u.For
		}
	}
	b.Parts = partsOf(inv, s.centre, deals)
	return b, nil
}

// partsOf says what each supply of an invoice came to, and on whose accounts. Deals are the sessions that devices accepted.
func partsOf(inv *tariff.Invoice, centre func(lamppost.PartyID, lamppost.DeviceID) lamppost.PartyID, deals map[string]lamppost.DeviceID) (parts []part) {
	for i := range inv.Supplies {
		sup := &inv.Supplies[i]
		p := part{Agreement: sup.Agreement, Session: sup.Session, Channel: sup.Channel, Device: sup.Device, Seller: centre(inv.Seller, sup.Device), Buyer: centre(inv.Buyer, sup.Device),
			Used: used(sup.Edges, sup.Scale)}
		if by := deals[sup.Session]; by != "" {
			p.Buyer = lamppost.PartyID(by)
		}
		for j := range sup.Lines {
			p.Net += sup.Lines[j].Amount // tariff.Bill summed them up without overflow
		}
		parts = append(parts, p)
	}
	return parts
}

func (b *billed) equal(c *billed) bool {
	same := func(p, q part) bool {
		p.Used, q.Used = 0, 0
		return p == q
	}
	return b.Net == c.Net && b.Total == c.Total && slices.Equal(b.Tax, c.Tax) && slices.EqualFunc(b.Parts, c.Parts, same)
}

// postings turns what was billed into claims, or takes them back.
func (b *billed) postings(sign lamppost.Micro) []posting {
	var ps []posting
	for _, p := range b.Parts {
		ps = append(ps, posting{p.Buyer, -sign * p.Net}, posting{p.Seller, sign * p.Net})
	}
	tax := sign * (b.Total - b.Net)
	return append(ps, posting{b.Order.Buyer, -tax}, posting{b.Order.Seller, tax})
}

// centre is the account that a party's dealings with a device's lines go to.
func (s *State) centre(p lamppost.PartyID, d lamppost.DeviceID) lamppost.PartyID {
	if x := s.devices[d]; x != nil && x.Body.Owner == p {
		return lamppost.PartyID(d)
	}
	return p
}

// correct bills again what an invoice billed, with what is known now.
func (s *State) correct(b lamppost.CorrectBody) ([]byte, error) {
	before, err := s.billed(b.Seller, b.Number)
	if err != nil {
		return nil, err
	}
	if err := s.checkCause(&b, before); err != nil {
		return nil, err
	}
	order := tariff.InvoiceOrder{InvoiceBody: before.Order,
		Corrects: &tariff.Correction{Number: b.Number, Cause: b.Cause, Net: before.Net, Tax: before.Tax, Total: before.Total}}
	supplies, err := s.suppliedAgain(&order, before)
	if err != nil {
		return nil, err
	}
	inv, now, err := s.issue(order, supplies, before)
	if err != nil {
		return nil, err
	}
	before.Next = inv.Number
	s.putBody(billedKey(b.Seller, b.Number), before)
	if b.Cause == lamppost.CauseDispute {
		if err := s.endDispute(b.Dispute, lamppost.DisputeUpheld, b.Reason); err != nil {
			return nil, err
		}
	}
	return lamppost.Marshal(inv), s.hearBill(inv, now, before)
}

// billed finds an invoice that nothing replaced yet.
func (s *State) billed(seller lamppost.PartyID, number string) (*billed, error) {
	b, err := read[billed](s.view(), billedKey(seller, number))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "%q made no invoice %q", seller, number)
	case err == nil && b.Next != "":
		return nil, lamppost.Refuse(lamppost.CodeExists, "invoice %q was replaced by %q: correct that one", number, b.Next)
	}
	return &b, err
}

func (s *State) checkCause(b *lamppost.CorrectBody, before *billed) error {
	if b.Cause < lamppost.CauseLate || b.Cause > lamppost.CauseTerms {
		return lamppost.Refuse(lamppost.CodeBadTx, "a correction has a cause from %d to %d", lamppost.CauseLate, lamppost.CauseTerms)
	}
	if (b.Dispute != "") != (b.Cause == lamppost.CauseDispute) {
		return lamppost.Refuse(lamppost.CodeBadTx, "a correction names the dispute that is its cause, and none otherwise")
	}
	if b.Dispute == "" {
		return checkText(b.Reason)
	}
	d, err := s.dispute(b.Dispute)
	if err != nil {
		return err
	}
	if d.State != lamppost.DisputeOpen || d.Seller != before.Order.Seller || d.Invoice != b.Number {
		return lamppost.Refuse(lamppost.CodeBadTx, "dispute %q is %s and about invoice %q of %q", d.ID, d.State, d.Invoice, d.Seller)
	}
	return checkText(b.Reason)
}

// suppliedAgain gathers for the agreements, sessions and channels of an invoice what is known of them now.
func (s *State) suppliedAgain(order *tariff.InvoiceOrder, before *billed) (all []tariff.Supply, err error) {
	seen := map[string]bool{}
	for _, p := range before.Parts {
		id := p.Agreement + "\x00" + p.Session + "\x00" + p.Channel
		if seen[id] {
			continue
		}
		seen[id] = true
		if p.Session != "" {
			x, err := s.session(p.Session)
			if err != nil {
				return nil, err
			}
			if all, err = s.sessionSupply(all, x); err != nil {
				return nil, err
			}
			continue
		}
		if p.Channel != "" {
			x, err := s.channel(p.Channel)
			if err != nil {
				return nil, err
			}
			all = append(all, s.channelSupply(x))
			continue
		}
		a := s.agreements[p.Agreement]
		if from, to := order.Period(&a); from < to {
			if all, err = supply(s.view(), all, s.terms(a), from, to); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// maxDisputeDays is how long a seller may take to answer, and how long after a period reports of it may come and be kept for a dispute.
const maxDisputeDays = 90

// maxDisputeID leaves room for the ids of its holds.
const maxDisputeID = 32

// changeDispute opens a dispute, or ends it.
func (s *State) changeDispute(b lamppost.DisputeBody) error {
	if err := lamppost.CheckName("dispute", b.ID); err != nil || len(b.ID) > maxDisputeID {
		return lamppost.Refuse(lamppost.CodeBadTx, "a dispute's id is a name of at most %d characters", maxDisputeID)
	}
	if err := checkText(b.Reason); err != nil {
		return err
	}
	switch {
	case b.Reason == "":
		return lamppost.Refuse(lamppost.CodeBadTx, "a dispute is opened and ended with a reason")
	case b.State == lamppost.DisputeOpen:
		return s.openDispute(b)
	case b.State == lamppost.DisputeRejected || b.State == lamppost.DisputeWithdrawn:
		return s.endDispute(b.ID, b.State, b.Reason)
	case b.State == lamppost.DisputeUpheld:
		return lamppost.Refuse(lamppost.CodeBadTx, "a dispute is upheld by the correction that it asked for")
	}
	return lamppost.Refuse(lamppost.CodeBadTx, "a dispute is not in a state %d", b.State)
}

func (s *State) openDispute(b lamppost.DisputeBody) error {
	of, err := s.billed(b.Seller, b.Invoice)
	if err != nil {
		return err
	}
	if _, err := s.dispute(b.ID); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "dispute %q exists", b.ID)
	} else if r := new(lamppost.Refusal); !errors.As(err, &r) {
		return err
	}
	const day = 24 * 3600 * 1000
	if b.Until == 0 {
		b.Until = s.time + 30*day
	}
	if b.Line > of.Lines || b.Until <= s.time || b.Until > s.time+maxDisputeDays*day {
		return lamppost.Refuse(lamppost.CodeBadTx, "a dispute is about one of %d lines, and answered within %d days", of.Lines, maxDisputeDays)
	}
	devices := of.devices()
	for i := range devices {
		if _, err := s.get(key('h', holdID(b.ID, i))); err == nil {
			return lamppost.Refuse(lamppost.CodeExists, "hold %q exists: choose another id", holdID(b.ID, i))
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
	}
	s.putBody(key('U', b.ID), b)
	for i, d := range devices {
		if err := s.hold(lamppost.HoldBody{ID: holdID(b.ID, i), Device: d, From: of.Order.From, To: of.Order.To + maxDisputeDays*day,
			Reason: "dispute " + b.ID}); err != nil {
			return err
		}
	}
	return nil
}

// holdID is what the hold on an invoice's device i is called.
func holdID(dispute string, i int) string { return fmt.Sprintf("%s.%d", dispute, i) }

// devices returns the devices of an invoice. A channel may pay the seller, and no device.
func (b *billed) devices() (all []lamppost.DeviceID) {
	for _, p := range b.Parts {
		if p.Device != "" {
			all = append(all, p.Device)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *State) dispute(id string) (lamppost.DisputeBody, error) {
	b, err := read[lamppost.DisputeBody](s.view(), key('U', id))
	if errors.Is(err, kv.ErrNotFound) {
		err = lamppost.Refuse(lamppost.CodeUnknown, "no dispute %q", id)
	}
	return b, err
}

func (s *State) endDispute(id string, state lamppost.DisputeState, reason string) error {
	b, err := s.dispute(id)
	if err != nil {
		return err
	}
	if b.State != lamppost.DisputeOpen {
		return lamppost.Refuse(lamppost.CodeExists, "dispute %q was ended before: %s", id, b.State)
	}
	of, err := read[billed](s.view(), billedKey(b.Seller, b.Invoice))
	if err != nil {
		return err
	}
	b.State, b.Reason = state, reason
	s.putBody(key('U', id), b)
	for i := range of.devices() {
		switch h, err := read[lamppost.HoldBody](s.view(), key('h', holdID(id, i))); {
		case err != nil:
			return err
		case h.Lifted: // by somebody's order
			continue
		}
		if err := s.hold(lamppost.HoldBody{ID: holdID(id, i), Lifted: true, Reason: "dispute " + id + " was " + state.String()}); err != nil {
			return err
		}
	}
	return nil
}
