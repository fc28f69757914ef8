package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// Centres returns the terms of all devices that are profit centres, by device and version.
func (v View) Centres() ([]lamppost.CentreBody, error) { return readAll[lamppost.CentreBody](v, 'p') }

// Centre returns the versions of a device's terms as a profit centre, or kv.ErrNotFound.
func (v View) Centre(id lamppost.DeviceID) ([]lamppost.CentreBody, error) {
	all, err := readRange[lamppost.CentreBody](v, append(key('p', string(id)), 0))
	if err == nil && len(all) == 0 {
		err = kv.ErrNotFound
	}
	return all, err
}

// Closed says up to when a device's books are closed, and what loss is carried on. Before the first payout that is their begin.
func (v View) Closed(id lamppost.DeviceID) (to lamppost.TimeMS, loss lamppost.Micro, err error) {
	versions, err := v.Centre(id)
	if err != nil {
		return 0, 0, err
	}
	x, err := v.books(id, versions)
	return x.Closed, x.Loss, err
}

func (v View) books(id lamppost.DeviceID, versions []lamppost.CentreBody) (x books, err error) {
	raw, err := v.Get(booksKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return books{Closed: versions[0].From}, nil
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &x)
	}
	return x, err
}

// Payouts returns where the orders stand that closed a device's books, by period.
func (v View) Payouts(id lamppost.DeviceID) ([]Place, error) {
	return v.places(append(key('f', string(id)), 0, 'p'))
}

// A Spending is what a device may spend in a period, and has.
type Spending struct {
	From  lamppost.TimeMS `json:"from_ms"`
	To    lamppost.TimeMS `json:"to_ms"`
	Limit lamppost.Micro  `json:"limit"`
	Spent lamppost.Micro  `json:"spent"`
	Held  lamppost.Micro  `json:"held"` // for sessions that are not billed yet
	// Decided is what decisions of its agent are expected to spend, or spent where nobody bills it.
	Decided lamppost.Micro `json:"decided,omitempty"`
}

// Spending returns what a device may spend at a time, and has; nil: it may nothing.
func (v View) Spending(id lamppost.DeviceID, at lamppost.TimeMS) (*Spending, error) {
	versions, err := v.Centre(id)
	if err != nil {
		return nil, err
	}
	c := centreAt(versions, at)
	if c == nil || c.Limit == 0 {
		return nil, nil
	}
	x := &Spending{Limit: c.Limit}
	x.From, x.To = tariff.LimitPeriod(c, at)
	have, err := spendingOf(v, id, x.From)
	x.Spent, x.Held, x.Decided = have.Spent, have.Held, have.Decided
	return x, err
}

// Profit computes what a device has earned since its books were closed, up to a time or the last value known of its energy: what a payout
// would say. A *lamppost.Refusal says that there is nothing yet.
func (v View) Profit(id lamppost.DeviceID, to lamppost.TimeMS) (p tariff.Profit, err error) {
	versions, err := v.Centre(id)
	if err != nil {
		return p, err
	}
	x, err := v.books(id, versions)
	if err != nil {
		return p, err
	}
	to -= to % lamppost.EdgeMS
	c := centreAt(versions, x.Closed)
	if next := int(c.Version); next < len(versions) {
		to = min(to, versions[next].From)
	}
	to = min(to, x.Closed+tariff.MaxPeriodMS)
	if c.Point != "" {
		if to, err = v.lastEdge(c.Point, x.Closed, to); err != nil {
			return p, err
		}
	}
	if to <= x.Closed {
		return p, lamppost.Refuse(lamppost.CodeNotReady, "nothing is known of %q since its books were closed", id)
	}
	order, err := v.profitOrder(versions, lamppost.PayoutBody{Device: id, From: x.Closed, To: to}, to)
	if err == nil {
		p, err = tariff.Close(order)
	}
	return p, err
}

// lastEdge returns the last quarter hour up to a time at which a metering point's register is known.
func (v View) lastEdge(point string, from, to lamppost.TimeMS) (last lamppost.TimeMS, err error) {
	mounts, err := v.Point(point)
	if err != nil {
		return 0, err
	}
	last = from
	for i := len(mounts) - 1; i >= 0 && last == from; i-- {
		err := v.Scan(edgeKey(mounts[i].Device, mounts[i].Register, from), edgeKey(mounts[i].Device, mounts[i].Register, to+1), func(k, _ []byte) error {
			last = lamppost.TimeMS(binary.BigEndian.Uint64(k[len(k)-8:]))
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

// profitOrder gathers what a device's profit in a period is made from. The period follows the one that was closed last, and is over.
func (v View) profitOrder(versions []lamppost.CentreBody, b lamppost.PayoutBody, now lamppost.TimeMS) (o tariff.ProfitOrder, err error) {
	id, from, to := b.Device, b.From, b.To
	x, err := v.books(id, versions)
	if err != nil {
		return o, err
	}
	c := centreAt(versions, from)
	switch {
	case from != x.Closed:
		return o, lamppost.Refuse(lamppost.CodeExists, "the books of %q are closed until %d ms; the next period begins there, not at %d ms", id, x.Closed, from)
	case to > now:
		return o, lamppost.Refuse(lamppost.CodeBadTx, "the books of %q are closed when the period is over", id)
	case to <= from || to%lamppost.EdgeMS != 0:
		return o, lamppost.Refuse(lamppost.CodeBadTx, "a period of the books of %q ends later, on a UTC quarter hour", id)
	case int(c.Version) < len(versions) && to > versions[c.Version].From:
		return o, lamppost.Refuse(lamppost.CodeBadTx, "version %d of the terms of %q begins at %d ms: close its books until there first", c.Version+1, id, versions[c.Version].From)
	}
	o = tariff.ProfitOrder{Centre: *c, From: from, To: to, Before: x.Loss}
	err = v.Scan(bookingKey(id, from, 0), bookingKey(id, to, 0), func(_, val []byte) error {
		b, err := decodeBody[booking](val)
		if err != nil {
			return err
		}
		if b.Income != 0 {
			o.Income = append(o.Income, tariff.Booked{Seller: b.Seller, Number: b.Number, Net: b.Income})
		}
		if b.Bought != 0 {
			o.Bought = append(o.Bought, tariff.Booked{Seller: b.Seller, Number: b.Number, Net: b.Bought})
		}
		return nil
	})
	if err == nil && c.Point != "" {
		o.Energy, err = v.energy(c, from, to)
	}
	return o, err
}

// energy gathers what a device's own energy is priced by.
func (v View) energy(c *lamppost.CentreBody, from, to lamppost.TimeMS) ([]tariff.Supply, error) {
	mounts, err := v.Point(c.Point)
	if err != nil {
		return nil, err
	}
	versions, err := v.TariffVersions(c.Tariff)
	if err != nil {
		return nil, err
	}
	return supply(v, nil, terms{tariff.EnergyTerms(c, versions[0].Seller), mounts, versions}, from, to)
}

// Booked returns where the invoices stand that a device's books have in a period, in the order in which they were issued.
func (v View) Booked(id lamppost.DeviceID, from, to lamppost.TimeMS) ([]Place, error) {
	var all []Place
	err := v.Scan(bookingKey(id, from, 0), bookingKey(id, to, 0), func(_, val []byte) error {
		at, err := decodePlace(val)
		all = append(all, at)
		return err
	})
	return all, err
}

// An Offer is what a device offers to others.
type Offer struct {
	lamppost.OfferBody
	Place Place `json:"-"`
}

// Offers returns all offers by id, those that are over as well.
func (v View) Offers() ([]Offer, error) {
	var all []Offer
	from := key('o')
	err := v.Scan(from, end(from), func(_, val []byte) error {
		o, err := asOffer(val)
		all = append(all, o)
		return err
	})
	return all, err
}

// Offer returns an offer, or kv.ErrNotFound.
func (v View) Offer(id string) (Offer, error) {
	raw, err := v.Get(offerKey(id))
	if err != nil {
		return Offer{}, err
	}
	return asOffer(raw)
}

func asOffer(val []byte) (Offer, error) {
	at, err := decodePlace(val)
	if err != nil {
		return Offer{}, err
	}
	b, err := decodeBody[lamppost.OfferBody](slices.Clone(val))
	return Offer{b, at}, err
}

// Ready says whether a session could be settled with a stop: nil, or a *lamppost.Refusal that says what is missing. Whoever tries again and
// again asks here first, because an order that is refused stands in the log for ever.
func (v View) Ready(id string, stop lamppost.TimeMS) error {
	u, err := read[use](v, useKey(id))
	if err != nil {
		return err
	}
	mounts, err := v.Point(u.Body.Point)
	if err != nil {
		return err
	}
	t, err := v.Tariff(u.Body.Tariff, u.Body.Version)
	if err != nil {
		return err
	}
	p := &mounts[u.Mount]
	have, err := moments(v, p, u.Body.From, stop)
	if err != nil {
		return err
	}
	edges, err := tariff.SessionEdges(&t, have, u.Body.From, stop, p.RollsAt)
	if err == nil {
		_, err = tariff.PriceSession(&t, edges, u.Body.Limit)
	}
	if err != nil {
		return lamppost.Refuse(lamppost.CodeNotReady, "session %q: %v", id, err)
	}
	return nil
}

// Deals returns the sessions that devices accepted for themselves and that no invoice has billed yet, running ones first.
func (v View) Deals() ([]Session, error) {
	var ids []string
	from := key('Z')
	err := v.Scan(from, end(from), func(_, val []byte) error {
		var x seat
		err := lamppost.Unmarshal(val, &x)
		if x.Session != "" {
			ids = append(ids, x.Session)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	from = key('l')
	if err := v.Scan(from, end(from), func(k, _ []byte) error {
		ids = append(ids, string(k[bytes.LastIndexByte(k, 0)+1:]))
		return nil
	}); err != nil {
		return nil, err
	}
	var all []Session
	for _, id := range ids {
		x, err := v.Session(id)
		if err != nil {
			return nil, err
		}
		if x.For != "" {
			all = append(all, x)
		}
	}
	return all, nil
}
