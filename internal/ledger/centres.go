package ledger

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// Devices as profit centres: the books that each keeps by itself, what it may spend, and what of its profit is paid out.

func centreKey(id lamppost.DeviceID, version uint32) []byte {
	return epochKey('p', string(id), version)
}

// bookingKey holds what an invoice came to for a device, by when it was issued.
func bookingKey(id lamppost.DeviceID, t lamppost.TimeMS, index uint32) []byte {
	b := binary.BigEndian.AppendUint64(append(key('q', string(id)), 0), uint64(t))
	return binary.BigEndian.AppendUint32(b, index)
}

// booksKey holds how far a device's books are closed, and payoutKey where the order is that closed them up to a time.
func booksKey(id lamppost.DeviceID) []byte { return append(key('f', string(id)), 0, 'b') }

func payoutKey(id lamppost.DeviceID, to lamppost.TimeMS) []byte {
	return binary.BigEndian.AppendUint64(append(key('f', string(id)), 0, 'p'), uint64(to))
}

// spendingKey holds what a device spends in the period of its limit that begins at a time.
func spendingKey(id lamppost.DeviceID, from lamppost.TimeMS) []byte {
	return binary.BigEndian.AppendUint64(append(key('f', string(id)), 0, 's'), uint64(from))
}

// A booking is what an invoice came to for a device: of a correction the difference.
type booking struct {
	Seller lamppost.PartyID `cbor:"1,keyasint"`
	Number string           `cbor:"2,keyasint"`
	Income lamppost.Micro   `cbor:"3,keyasint,omitempty"`
	Bought lamppost.Micro   `cbor:"4,keyasint,omitempty"`
}

// books are how far a device's books are closed.
type books struct {
	Closed lamppost.TimeMS `cbor:"1,keyasint"`
	Loss   lamppost.Micro  `cbor:"2,keyasint,omitempty"` // that is carried on: 0 or negative
}

// A spending is what counts against a device's limit in a period.
type spending struct {
	Spent lamppost.Micro `cbor:"1,keyasint,omitempty"` // what invoices say
	Held  lamppost.Micro `cbor:"2,keyasint,omitempty"` // the limits of sessions that no invoice has billed yet
	// Decided is what agents' decisions are expected to cost, and what those that are over did where nobody bills it.
	Decided lamppost.Micro `cbor:"3,keyasint,omitempty"`
}

// sum is what counts against the limit, or false where it does not fit.
func (x *spending) sum() (lamppost.Micro, bool) {
	a, ok1 := x.Spent.Add(x.Held)
	b, ok2 := a.Add(x.Decided)
	return b, ok1 && ok2
}

// profitCentre makes a device a profit centre, or changes its terms.
func (s *State) profitCentre(b lamppost.CentreBody) error {
	bad := func(format string, args ...any) error {
		return lamppost.Refuse(lamppost.CodeBadTx, "profit centre %q: "+format, append([]any{b.Device}, args...)...)
	}
	if s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q to be a profit centre", b.Device)
	}
	if err := tariff.CheckCentre(&b); err != nil {
		return bad("%v", err)
	}
	versions := s.centres[b.Device]
	if int(b.Version) != len(versions)+1 {
		return lamppost.Refuse(lamppost.CodeExists, "profit centre %q has %d versions; the next is %d", b.Device, len(versions), len(versions)+1)
	}
	if b.From < s.time {
		return bad("its terms do not begin in the past, where invoices may stand already")
	}
	if n := len(versions); n > 0 && (b.From <= versions[n-1].From || b.Currency != versions[n-1].Currency) {
		return bad("a version keeps the currency and begins later")
	}
	for _, x := range b.Shares {
		if _, ok := s.parties[x.Party]; !ok {
			return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to share in %q", x.Party, b.Device)
		}
	}
	for i := range b.Costs {
		if err := checkText(b.Costs[i].Text); err != nil {
			return err
		}
	}
	if err := s.checkEnergy(&b); err != nil {
		return err
	}
	s.centres[b.Device] = append(versions, b)
	s.putBody(centreKey(b.Device, b.Version), b)
	return nil
}

// checkEnergy refuses prices that do not fit the meter, and energy that would be paid for twice.
func (s *State) checkEnergy(b *lamppost.CentreBody) error {
	if b.Point == "" {
		return nil
	}
	mounts, versions := s.points[b.Point], s.tariffs[b.Tariff]
	switch {
	case len(mounts) == 0 || len(versions) == 0:
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q, or no tariff %q", b.Point, b.Tariff)
	case versions[0].Currency != b.Currency || versions[0].RegisterUnit != mounts[0].Unit || versions[0].From > b.From:
		return lamppost.Refuse(lamppost.CodeBadTx, "tariff %q is in another currency, counts in another unit than %q, or begins later", b.Tariff, b.Point)
	}
	owner := s.devices[b.Device].Body.Owner
	for _, a := range s.agreements { // in any order: the answer is the same
		if a.Point == b.Point && a.Buyer == owner && (a.To == 0 || a.To > b.From) {
			return lamppost.Refuse(lamppost.CodeBadTx, "an agreement of %q bills the energy at %q: leave it out here, and it counts as bought", owner, b.Point)
		}
	}
	return nil
}

// centreAt returns the terms of a device at a time, or nil.
func centreAt(versions []lamppost.CentreBody, at lamppost.TimeMS) (c *lamppost.CentreBody) {
	for i := range versions {
		if versions[i].From <= at {
			c = &versions[i]
		}
	}
	return c
}

// A movement is what an invoice changes for a device.
type movement struct {
	device         lamppost.DeviceID
	income, bought lamppost.Micro
}

// keepBooks notes in the books of the devices that it concerns what an invoice came to, or by how much it differs from what it replaces.
func (s *State) keepBooks(order *tariff.InvoiceOrder, now, before *billed) error {
	var all []movement
	of := func(p lamppost.PartyID) *movement {
		id := lamppost.DeviceID(p)
		c := centreAt(s.centres[id], s.time)
		if c == nil || c.Currency != order.Currency {
			return new(movement)
		}
		for i := range all {
			if all[i].device == id {
				return &all[i]
			}
		}
		all = append(all, movement{device: id})
		return &all[len(all)-1]
	}
	add := func(b *billed, sign lamppost.Micro) error {
		for _, p := range b.Parts {
			of(p.Seller).income += sign * p.Net // what a bill comes to fits, and so does the difference of two
			x := of(p.Buyer)
			x.bought += sign * p.Net
			if x.device == "" {
				continue
			}
			if err := s.spend(x.device, p.Session, sign*p.Net); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(now, 1); err != nil {
		return err
	}
	if before != nil {
		if err := add(before, -1); err != nil {
			return err
		}
	}
	for _, x := range all {
		if x.income != 0 || x.bought != 0 {
			s.putBody(bookingKey(x.device, s.time, s.index), booking{order.Seller, order.Number, x.income, x.bought})
		}
	}
	return nil
}

// spend counts what a device was billed against its limit: in the period in which it accepted the session, otherwise now.
func (s *State) spend(id lamppost.DeviceID, session string, amount lamppost.Micro) error {
	from, _ := tariff.LimitPeriod(centreAt(s.centres[id], s.time), s.time)
	if session != "" {
		u, err := s.session(session)
		if err != nil {
			return err
		}
		if u.For == id {
			from = u.Period
		}
	}
	return s.changeSpending(id, from, amount, 0)
}

func (s *State) changeSpending(id lamppost.DeviceID, from lamppost.TimeMS, spent, held lamppost.Micro) error {
	x, err := spendingOf(s.view(), id, from)
	if err != nil {
		return err
	}
	sum, ok := x.Spent.Add(spent)
	if !ok {
		sum = math.MaxInt64 // of bills, which always post: no more can be agreed to
	}
	x.Spent, x.Held = sum, x.Held+held // which is bounded by the limit
	s.put(spendingKey(id, from), lamppost.Marshal(x))
	return nil
}

func spendingOf(v View, id lamppost.DeviceID, from lamppost.TimeMS) (x spending, err error) {
	raw, err := v.Get(spendingKey(id, from))
	if errors.Is(err, kv.ErrNotFound) {
		return x, nil
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &x)
	}
	return x, err
}

// maySpend refuses a device that has no limit in a currency, or would go beyond it, and returns the period that counts.
func (s *State) maySpend(id lamppost.DeviceID, currency string, amount lamppost.Micro) (from lamppost.TimeMS, err error) {
	c := centreAt(s.centres[id], s.time)
	if c == nil || c.Limit == 0 || c.Currency != currency {
		return 0, lamppost.Refuse(lamppost.CodeNoFunds, "device %q has no spending limit in %s: register it as a profit centre that has", id, currency)
	}
	from, to := tariff.LimitPeriod(c, s.time)
	x, err := spendingOf(s.view(), id, from)
	if err != nil {
		return 0, err
	}
	sum, ok1 := x.sum()
	if sum, ok2 := sum.Add(amount); !ok1 || !ok2 || sum > c.Limit {
		return 0, lamppost.Refuse(lamppost.CodeNoFunds, "device %q may spend %s %s until %d ms, has spent %s and holds %s: not %s more", id, c.Limit, currency, to, x.Spent, x.Held+x.Decided, amount)
	}
	return from, nil
}

// payout closes a period of a device's books and pays out its profit. It returns the tariff.Profit as CBOR.
func (s *State) payout(b lamppost.PayoutBody) ([]byte, error) {
	versions := s.centres[b.Device]
	if len(versions) == 0 {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "device %q is no profit centre", b.Device)
	}
	order, err := s.view().profitOrder(versions, b, s.time)
	if err != nil {
		return nil, err
	}
	if err := s.markJudged(order.Energy); err != nil {
		return nil, err
	}
	p, err := tariff.Close(order)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "the books of %q: %v", b.Device, err)
	}
	account := lamppost.PartyID(b.Device)
	if p.PaidOut() > 0 {
		if err := s.covers(account, p.Currency, p.PaidOut()); err != nil {
			return nil, err
		}
	}
	postings := []posting{{account, -p.PaidOut()}}
	for _, x := range p.Paid {
		postings = append(postings, posting{x.Party, x.Amount})
	}
	if err := s.post(p.Currency, postings); err != nil {
		return nil, err
	}
	s.put(booksKey(b.Device), lamppost.Marshal(books{b.To, p.After}))
	s.putBody(payoutKey(b.Device, b.To), b)
	return lamppost.Marshal(p), nil
}
