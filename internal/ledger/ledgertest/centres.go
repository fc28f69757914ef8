package ledgertest

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
)

// Devices as profit centres, and what they agree on with each other, among the random orders about money.

// A booksOf is what a device's books are known to be.
type booksOf struct {
	versions uint32
	closed   lamppost.TimeMS
}

// centre is an order about a device that earns or spends.
func (m *Money) centre() (lamppost.TxType, any) {
	quarter := m.Now / (Hour / 4) * (Hour / 4)
	x := m.meters[m.Draw(len(m.meters))]
	known := m.books[x.ID]
	switch n := m.Draw(8); {
	case known.versions == 0 || n == 0:
		return lamppost.TxCentre, m.centreOf(x.ID, known.versions+1, quarter+lamppost.TimeMS(1-m.Draw(8)/7)*Hour/4)
	case n < 3:
		return lamppost.TxPayout, lamppost.PayoutBody{Device: x.ID, From: known.closed, To: quarter - lamppost.TimeMS(m.Draw(4))*Hour/4}
	case n < 4 || len(m.offers) == 0:
		return lamppost.TxOffer, m.offer()
	}
	return lamppost.TxAccept, m.accept(x)
}

func (m *Money) centreOf(id lamppost.DeviceID, version uint32, from lamppost.TimeMS) lamppost.CentreBody {
	b := lamppost.CentreBody{Device: id, Version: version, From: from, Currency: "EUR", Limit: lamppost.Micro(m.Draw(4)) * 20_000_000}
	if b.Limit > 0 {
		b.LimitDays = uint32(1 + m.Draw(2))
	}
	for i := range 1 + m.Draw(3) {
		b.Shares = append(b.Shares, lamppost.Share{Party: buyer(i), Parts: uint32(1 + m.Draw(7))})
	}
	for range m.Draw(3) {
		b.Costs = append(b.Costs, lamppost.Cost{Kind: lamppost.CostKind(1 + m.Draw(2)), Amount: lamppost.Micro(1+m.Draw(500)) * 10_000, From: from - Day, To: from + lamppost.TimeMS(m.Draw(10))*Day})
	}
	if i := m.Draw(2 * supplied); i < supplied {
		b.Point, b.Tariff = m.places[i].id, termsOf(i)
	}
	return b
}

func (m *Money) offer() lamppost.OfferBody {
	i := supplied + m.Draw(2)
	x := m.meters[m.places[i].meter]
	b := lamppost.OfferBody{ID: fmt.Sprint("o", m.offered-m.Draw(2)), Device: x.ID, Point: m.places[i].id, Tariff: termsOf(i), Version: m.versions[termsOf(i)],
		Most: lamppost.Micro(1+m.Draw(30)) * 1_000_000, Longest: lamppost.TimeMS(1+m.Draw(4)) * Hour, Until: m.Now + lamppost.TimeMS(m.Draw(24))*Hour}
	m.offered++
	if m.Draw(3) > 0 {
		b.KeyEpoch = x.Epoch
		m.sign(b.Sign(m.Net.ID, x.Key))
	}
	return b
}

func (m *Money) accept(x *countingMeter) lamppost.AcceptBody {
	o := m.offers[len(m.offers)-1-m.Draw(min(len(m.offers), 3))]
	from := m.Now - lamppost.TimeMS(m.Draw(1000))
	m.opened++
	b := lamppost.AcceptBody{Offer: o.ID, Device: x.ID, KeyEpoch: x.Epoch, Session: lamppost.SessionBody{ID: fmt.Sprint("x", m.opened-m.Draw(2)), Buyer: m.owner(x), Point: o.Point, Tariff: o.Tariff,
		Version: o.Version, Limit: min(o.Most, lamppost.Micro(1+m.Draw(20))*1_000_000), From: from, Until: from + lamppost.TimeMS(1+m.Draw(2*3_600_000))}}
	m.sign(b.Sign(m.Net.ID, x.Key))
	return b
}

// owner is whose a meter is, as Found enrols it.
func (m *Money) owner(x *countingMeter) lamppost.PartyID {
	i := slices.Index(m.meters, x)
	return [...]lamppost.PartyID{seller(i), seller(i), buyer(i)}[i%3]
}

func (m *Money) sign(err error) {
	if err != nil {
		panic(err)
	}
}

// sawCentre is Saw of these orders.
func (m *Money) sawCentre(t lamppost.TxType, raw []byte) {
	switch t {
	case lamppost.TxCentre:
		b := read[lamppost.CentreBody](raw)
		if b.Version == 1 {
			m.books[b.Device] = booksOf{1, b.From}
			return
		}
		m.books[b.Device] = booksOf{b.Version, m.books[b.Device].closed}
	case lamppost.TxPayout:
		b := read[lamppost.PayoutBody](raw)
		m.books[b.Device] = booksOf{m.books[b.Device].versions, b.To}
	case lamppost.TxOffer:
		m.offers = append(m.offers, read[lamppost.OfferBody](raw))
	case lamppost.TxAccept:
		m.open = append(m.open, read[lamppost.AcceptBody](raw).Session)
	}
}
