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
	if err := s.covers(b.From, b.Currency, b.Amount); err != nil {
		return err
	}
	return s.post(b.Currency, []posting{{b.From, -b.Amount}, {b.To, b.Amount}})
}

func (s *State) hasAccount(p lamppost.PartyID) bool {
	_, party := s.parties[p]
	return party || s.devices[lamppost.DeviceID(p)] != nil
}

// invoice bills everything a seller supplied to a buyer in a period, and all sessions and channels that ended before its end and are
// not billed yet. It books the claim and returns the tariff.Invoice as CBOR. Number and period leave no gap: numbers count up per seller, and an
// agreement is billed on from where it was.
func (s *State) invoice(b lamppost.InvoiceBody) ([]byte, error) {
	supplies, err := s.supplies(&b)
	if err != nil {
		return nil, err
	}
	supplies, sessions, err := s.addSessions(&b, supplies)
	if err != nil {
		return nil, err
	}
	supplies, channels, err := s.addChannels(&b, supplies)
	if err != nil {
		return nil, err
	}
	if len(supplies) == 0 {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "%q supplied nothing to %q in this period and currency", b.Seller, b.Buyer)
	}
	inv, now, err := s.issue(tariff.InvoiceOrder{InvoiceBody: b}, supplies, nil)
	if err != nil {
		return nil, err
	}
	for i := range inv.Supplies {
		if x := &inv.Supplies[i]; x.Agreement != "" {
			s.put(key('B', x.Agreement), binary.BigEndian.AppendUint64(nil, uint64(x.To)))
		}
	}
	if err := s.bill(sessions, inv.Number); err != nil {
		return nil, err
	}
	if err := s.billChannels(channels, inv.Number); err != nil {
		return nil, err
	}
	return lamppost.Marshal(inv), s.hearBill(inv, now, nil)
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
		if all, err = supply(s.view(), all, s.terms(a), from, to); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// terms are an agreement with the meters of its point and the versions of its tariff.
type terms struct {
	lamppost.AgreementBody
	mounts   []lamppost.PointBody
	versions []tariff.Tariff
}

func (s *State) terms(a lamppost.AgreementBody) terms {
	return terms{a, s.points[a.Point], s.tariffs[a.Tariff]}
}

// supply appends one supply per version of the agreement's tariff and meter of its point that hold in [from, to).
func supply(v View, all []tariff.Supply, a terms, from, to lamppost.TimeMS) ([]tariff.Supply, error) {
	mounts, versions := a.mounts, a.versions
	for i := range versions {
		start, stop := max(from, versions[i].From), to
		if i+1 < len(versions) {
			stop = min(stop, versions[i+1].From)
		}
		for j := range mounts {
			lo, hi := mounts[j].Mounted(after(mounts, j))
			if lo, hi = max(start, lo), min(stop, hi); lo >= hi {
				continue
			}
			x := tariff.Supply{Agreement: a.AgreementBody, Device: mounts[j].Device, Register: mounts[j].Register, Unit: mounts[j].Unit, Place: mounts[j].Place,
				Tariff: versions[i], Mount: mounts[j].Mount, RollsAt: mounts[j].RollsAt}
			have, err := registers(v, &mounts[j], after(mounts, j), lo, hi)
			if err != nil {
				return nil, err
			}
			if x.Edges, err = tariff.FillEdges(versions[i].Edges(lo, hi), have, x.RollsAt); err != nil {
				return nil, lamppost.Refuse(lamppost.CodeNotReady, "agreement %q, meter %q, register %q: %v", a.ID, x.Device, x.Register, err)
			}
			if err := v.find(&x, have, fmt.Sprintf("agreement %q", a.ID)); err != nil {
				return nil, err
			}
			all = append(all, x)
		}
	}
	return all, nil
}

// after returns the meter that followed at a point, or nil.
func after(mounts []lamppost.PointBody, i int) *lamppost.PointBody {
	if i+1 < len(mounts) {
		return &mounts[i+1]
	}
	return nil
}

// neighbourMS is how far outside a period a reading may lie from which a missing edge is interpolated.
const neighbourMS = 24 * 3600 * 1000

// registers returns the values known of a meter in a period and a day around it, while it hung there, and what was declared of its
// register when it came and when the next one did.
func registers(v View, p, next *lamppost.PointBody, from, to lamppost.TimeMS) ([]tariff.Edge, error) {
	var edges []tariff.Edge
	hung, taken := p.Mounted(next)
	lo := edgeKey(p.Device, p.Register, max(hung, from-neighbourMS))
	hi := edgeKey(p.Device, p.Register, min(taken, to+neighbourMS)+1)
	err := v.Scan(lo, hi, func(_, val []byte) error {
		var e tariff.Edge
		if err := lamppost.Unmarshal(val, &e); err != nil {
			return err
		}
		edges = append(edges, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tariff.Declared(edges, p, next, func(p *lamppost.PointBody) (tariff.Source, error) {
		at, err := v.Where(lamppost.TxPoint, p.ID, p.Mount)
		return tariff.Source{Height: at.Height, Tx: at.Index}, err
	})
}
