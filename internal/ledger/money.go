package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// A posting is one side of a movement of money: a claim of a party in a currency grows or shrinks.
type posting struct {
	party  lamppost.PartyID
	amount lamppost.Micro
}

// post books a movement. Its postings sum to zero: money is neither made nor lost. Posting something else, or more than
// an account can hold, is refused before anything is written.
func (s *State) post(currency string, postings []posting) error {
	sums := map[lamppost.PartyID]lamppost.Micro{}
	var order []lamppost.PartyID
	var total lamppost.Micro
	for _, p := range postings {
		before, known := sums[p.party]
		if !known {
			order = append(order, p.party)
		}
		sum, ok1 := before.Add(p.amount)
		all, ok2 := total.Add(p.amount)
		if !ok1 || !ok2 {
			return lamppost.Refuse(lamppost.CodeBadTx, "amounts of this size cannot be posted")
		}
		sums[p.party], total = sum, all
	}
	if total != 0 {
		panic(fmt.Sprintf("ledger: postings sum to %s %s", total, currency))
	}
	balances := make([]lamppost.Micro, len(order))
	for i, party := range order {
		before, err := s.balance(party, currency)
		if err != nil {
			return err
		}
		var ok bool
		if balances[i], ok = before.Add(sums[party]); !ok {
			return lamppost.Refuse(lamppost.CodeBadTx, "the account of %q cannot hold so much", party)
		}
	}
	for i, party := range order {
		s.put(key('A', string(party), currency), binary.BigEndian.AppendUint64(nil, uint64(balances[i])))
	}
	return nil
}

func (s *State) balance(party lamppost.PartyID, currency string) (lamppost.Micro, error) {
	n, err := s.number(key('A', string(party), currency))
	return lamppost.Micro(n), err
}

// number reads eight bytes big-endian, 0 where there are none.
func (s *State) number(key []byte) (int64, error) {
	raw, err := s.get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(raw) != 8 {
		err = fmt.Errorf("state %q has %d bytes, not 8", key, len(raw))
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(raw)), nil
}

// transfer moves a claim. The payer's account stays above its credit limit.
func (s *State) transfer(b lamppost.TransferBody) error {
	if _, ok := tariff.Minor(b.Currency); !ok || b.Amount <= 0 || b.From == b.To {
		return lamppost.Refuse(lamppost.CodeBadTx, "a transfer moves a positive amount of a known currency between two accounts")
	}
	if err := checkText(b.Memo); err != nil {
		return err
	}
	for _, p := range [...]lamppost.PartyID{b.From, b.To} {
		if !s.hasAccount(p) {
			return lamppost.Refuse(lamppost.CodeUnknown, "no party or device %q", p)
		}
	}
	before, err := s.balance(b.From, b.Currency)
	if err != nil {
		return err
	}
	after, ok := before.Add(-b.Amount)
	if limit := s.parties[b.From].CreditLimit; !ok || after < -limit {
		return lamppost.Refuse(lamppost.CodeNoFunds, "%q has %s %s and may go to -%s", b.From, before, b.Currency, limit)
	}
	return s.post(b.Currency, []posting{{b.From, -b.Amount}, {b.To, b.Amount}})
}

func (s *State) hasAccount(p lamppost.PartyID) bool {
	_, party := s.parties[p]
	return party || s.devices[lamppost.DeviceID(p)] != nil
}

// invoice bills everything a seller supplied to a buyer in a period, books the claim and returns the tariff.Invoice as
// CBOR. Number and period leave no gap: numbers count up per seller, and an agreement is billed on from where it was.
func (s *State) invoice(b lamppost.InvoiceBody) ([]byte, error) {
	supplies, err := s.supplies(&b)
	if err != nil {
		return nil, err
	}
	counter := key('C', string(b.Seller))
	last, err := s.number(counter)
	if err != nil {
		return nil, err
	}
	number := invoiceNumber(b.Seller, last+1)
	inv, err := tariff.Bill(tariff.InvoiceOrder{Number: number, InvoiceBody: b, IssuedMS: s.time}, supplies)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "%v", err)
	}
	postings, err := s.postings(&inv)
	if err != nil {
		return nil, err
	}
	if err := s.post(b.Currency, postings); err != nil {
		return nil, err
	}
	s.put(counter, binary.BigEndian.AppendUint64(nil, uint64(last+1)))
	for i := range inv.Supplies {
		s.put(key('B', inv.Supplies[i].Agreement), binary.BigEndian.AppendUint64(nil, uint64(inv.Supplies[i].To)))
	}
	s.put(key('V', string(b.Buyer), string(b.Seller), number), Place{s.height, s.index}.append(nil))
	return lamppost.Marshal(inv), s.rests(&inv)
}

// invoiceNumber is the seller's id and a count, "acme-000042". A long id is cut so that the number stays one itself.
func invoiceNumber(seller lamppost.PartyID, n int64) string {
	count := fmt.Sprintf("-%06d", n)
	return string(seller[:min(len(seller), lamppost.MaxNameBytes-len(count))]) + count
}

// supplies gathers, for every agreement between the two, what its registers counted under each version of its tariff.
func (s *State) supplies(b *lamppost.InvoiceBody) ([]tariff.Supply, error) {
	if b.From >= b.To || b.To > s.time || b.From%lamppost.EdgeMS != 0 || b.To%lamppost.EdgeMS != 0 {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a billing period lies in the past, between two UTC quarter hours")
	}
	var all []tariff.Supply
	order := tariff.InvoiceOrder{InvoiceBody: *b}
	for _, id := range s.bySide[sides{b.Seller, b.Buyer}] {
		a := s.agreements[id]
		from, to := order.Period(&a)
		if from >= to || s.tariffs[a.Tariff][0].Currency != b.Currency {
			continue
		}
		until, err := s.number(key('B', id))
		if err != nil {
			return nil, err
		}
		if until := max(lamppost.TimeMS(until), a.From); until != from {
			return nil, lamppost.Refuse(lamppost.CodeExists, "agreement %q is billed until %d ms; the next invoice begins there, not at %d ms", id, until, from)
		}
		if all, err = s.supply(all, a, from, to); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "%q supplied nothing to %q in this period and currency", b.Seller, b.Buyer)
	}
	return all, nil
}

// supply appends one supply per version of the agreement's tariff that holds in [from, to).
func (s *State) supply(all []tariff.Supply, a lamppost.AgreementBody, from, to lamppost.TimeMS) ([]tariff.Supply, error) {
	p := s.points[a.Point]
	versions := s.tariffs[a.Tariff]
	for i := range versions {
		t := versions[i]
		start, stop := max(from, t.From), to
		if i+1 < len(versions) {
			stop = min(stop, versions[i+1].From)
		}
		if start >= stop {
			continue
		}
		want := t.Edges(start, stop)
		have, err := s.readings(p.Device, p.Register, start, stop)
		if err != nil {
			return nil, err
		}
		edges, err := tariff.FillEdges(want, have)
		if err != nil {
			return nil, lamppost.Refuse(lamppost.CodeNotReady, "agreement %q, meter %q, register %q: %v", a.ID, p.Device, p.Register, err)
		}
		all = append(all, tariff.Supply{Agreement: a, Device: p.Device, Register: p.Register, Unit: p.Unit, Place: p.Place,
			Tariff: t, Edges: edges})
	}
	return all, nil
}

// neighbourMS is how far outside a period a reading may lie from which a missing edge is interpolated.
const neighbourMS = 24 * 3600 * 1000

// readings returns the edges known of a register in a period and a day around it.
func (s *State) readings(d lamppost.DeviceID, register string, from, to lamppost.TimeMS) ([]tariff.Edge, error) {
	var edges []tariff.Edge
	lo := edgeKey(d, register, max(0, from-neighbourMS))
	hi := edgeKey(d, register, to+neighbourMS+1)
	err := s.scan(lo, hi, func(_, val []byte) error {
		var e tariff.Edge
		if err := lamppost.Unmarshal(val, &e); err != nil {
			return err
		}
		edges = append(edges, e)
		return nil
	})
	return edges, err
}

// postings turns an invoice into claims. A device is a profit centre: what a line earns or costs is booked to the
// device's own account where the device belongs to that side, and to the party otherwise. Taxes are between the parties.
func (s *State) postings(inv *tariff.Invoice) ([]posting, error) {
	var ps []posting
	var tax lamppost.Micro
	for i := range inv.Supplies {
		sup := &inv.Supplies[i]
		seller, buyer := s.centre(inv.Seller, sup.Device), s.centre(inv.Buyer, sup.Device)
		for j := range sup.Lines {
			ps = append(ps, posting{buyer, -sup.Lines[j].Amount}, posting{seller, sup.Lines[j].Amount})
		}
	}
	for i := range inv.Tax {
		tax += inv.Tax[i].Amount
	}
	if tax != inv.Total-inv.Net {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "invoice %q: taxes do not add up", inv.Number)
	}
	return append(ps, posting{inv.Buyer, -tax}, posting{inv.Seller, tax}), nil
}

// centre is the account that a party's dealings with a device's lines go to.
func (s *State) centre(p lamppost.PartyID, d lamppost.DeviceID) lamppost.PartyID {
	if s.devices[d].Body.Owner == p {
		return lamppost.PartyID(d)
	}
	return p
}
