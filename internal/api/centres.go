package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// A Centre answers GET /api/centres/{device}: a device's books.
type Centre struct {
	Device   lamppost.DeviceID     `json:"device"`
	Name     string                `json:"name"`
	Owner    lamppost.PartyID      `json:"owner"`
	Currency string                `json:"currency"`
	Terms    []lamppost.CentreBody `json:"terms"`     // by version
	Closed   lamppost.TimeMS       `json:"closed_ms"` // up to when the books are closed
	Loss     lamppost.Micro        `json:"loss"`      // that is carried on: 0 or negative
	Balance  lamppost.Micro        `json:"balance"`   // of its account
	Spending *ledger.Spending      `json:"spending"`  // null: it may spend nothing
	Open     *Period               `json:"open"`      // since then, as far as it is known; null: nothing is
	Periods  []Period              `json:"periods"`   // that are closed, the last of them, the oldest first
}

// A Period is what a device earned and cost in a time.
type Period struct {
	From         lamppost.TimeMS  `json:"from_ms"`
	To           lamppost.TimeMS  `json:"to_ms"`
	Income       lamppost.Micro   `json:"income"`
	Bought       lamppost.Micro   `json:"bought"`
	Energy       lamppost.Micro   `json:"energy"`
	Service      lamppost.Micro   `json:"service"`
	Depreciation lamppost.Micro   `json:"depreciation"`
	Profit       lamppost.Micro   `json:"profit"`
	Before       lamppost.Micro   `json:"before"` // losses of earlier periods: 0 or negative
	Paid         []tariff.Payment `json:"paid"`   // of one that is open: what a payout now would pay
}

func periodOf(p *tariff.Profit) Period {
	return Period{From: p.From, To: p.To, Income: tariff.Sum(p.Income), Bought: tariff.Sum(p.Bought), Energy: p.EnergyCost, Service: p.Service, Depreciation: p.Depreciation,
		Profit: p.Profit, Before: p.Before, Paid: append([]tariff.Payment{}, p.Paid...)}
}

// CentreList answers GET /api/centres.
type CentreList struct {
	Centres []Centre `json:"centres"` // without their closed periods
}

// OfferList answers GET /api/offers and, for a device, GET /v1/offers.
type OfferList struct {
	Offers []Offer `json:"offers"`
}

// An Offer is what a device can be used for, in words as well.
type Offer struct {
	lamppost.OfferBody
	Seller   lamppost.PartyID `json:"seller"`
	Currency string           `json:"currency"`
	Terms    string           `json:"terms"`
}

func (s *Server) getCentres(w http.ResponseWriter, _ *http.Request) error {
	out := CentreList{Centres: []Centre{}}
	err := s.snapshot(func(r archive.View) error {
		all, err := ledger.View{Reader: r}.Centres()
		for i := range all {
			if err != nil || i+1 < len(all) && all[i+1].Device == all[i].Device || len(out.Centres) == maxListed {
				continue
			}
			var c Centre
			c, err = s.centre(r, all[i].Device, false)
			out.Centres = append(out.Centres, c)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getCentre(w http.ResponseWriter, req *http.Request) error {
	var out Centre
	err := s.snapshot(func(r archive.View) (err error) {
		out, err = s.centre(r, lamppost.DeviceID(req.PathValue("device")), true)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// maxPeriods is how many closed periods are told of a device: five years of months.
const maxPeriods = 60

func (s *Server) centre(r archive.View, id lamppost.DeviceID, periods bool) (c Centre, err error) {
	v := ledger.View{Reader: r}
	c = Centre{Device: id, Periods: []Period{}}
	if c.Terms, err = v.Centre(id); errors.Is(err, kv.ErrNotFound) {
		return c, notFound("device %q is no profit centre: POST /api/centres makes it one", clip(string(id)))
	}
	if err != nil {
		return c, err
	}
	d, err := v.Device(id)
	if err != nil {
		return c, err
	}
	c.Name, c.Owner, c.Currency = d.Name, d.Owner, c.Terms[0].Currency
	if c.Closed, c.Loss, err = v.Closed(id); err != nil {
		return c, err
	}
	if c.Spending, err = v.Spending(id, s.cfg.Now()); err != nil {
		return c, err
	}
	if c.Balance, err = v.Balance(lamppost.PartyID(id), c.Currency); err != nil {
		return c, err
	}
	switch p, err := v.Profit(id, s.cfg.Now()); {
	case err == nil:
		open := periodOf(&p)
		c.Open = &open
	case !isRefusal(err):
		s.log.Warn("what a device earns cannot be told", "device", id, "err", err) // such as energy that cannot be priced yet
	}
	if periods {
		c.Periods, err = closedPeriods(r, id)
	}
	return c, err
}

func isRefusal(err error) bool {
	var refusal *lamppost.Refusal
	return errors.As(err, &refusal)
}

func closedPeriods(r archive.View, id lamppost.DeviceID) ([]Period, error) {
	all := []Period{}
	places, err := ledger.View{Reader: r}.Payouts(id)
	for _, at := range places[max(0, len(places)-maxPeriods):] {
		p, err := replica.Profit(r, at)
		if err != nil {
			return nil, err
		}
		all = append(all, periodOf(p))
	}
	return all, err
}

// postCentre takes terms; without a version the next is meant, without a begin the next quarter hour that its order cannot miss, as
// the ledger refuses terms that begin before its block.
func (s *Server) postCentre(w http.ResponseWriter, r *http.Request) error {
	var b lamppost.CentreBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	if b.Version == 0 {
		old, err := ledger.View{Reader: s.cfg.Store}.Centre(b.Device)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		b.Version = uint32(len(old)) + 1
	}
	if b.From == 0 {
		b.From = ((s.cfg.Now()+lamppost.TimeMS(orderTimeout.Milliseconds()))/lamppost.EdgeMS + 1) * lamppost.EdgeMS
	}
	return s.order(w, r, lamppost.TxCentre, b)
}

// A Payout closes a device's books, in POST /api/centres/{device}/payout.
type Payout struct {
	To lamppost.TimeMS `json:"to_ms"` // 0: as far as they are known
}

func (s *Server) postPayout(w http.ResponseWriter, r *http.Request) error {
	var b Payout
	if err := readJSON(r, &b); err != nil {
		return err
	}
	id, v := lamppost.DeviceID(r.PathValue("device")), ledger.View{Reader: s.cfg.Store}
	from, _, err := v.Closed(id)
	if errors.Is(err, kv.ErrNotFound) {
		return notFound("device %q is no profit centre: POST /api/centres makes it one", clip(string(id)))
	}
	if err == nil && b.To == 0 {
		var p tariff.Profit
		p, err = v.Profit(id, s.cfg.Now())
		b.To = p.To
	}
	if err != nil {
		return err
	}
	return s.order(w, r, lamppost.TxPayout, lamppost.PayoutBody{Device: id, From: from, To: b.To})
}

// getBooks hands out a device's books: the file that proves itself.
func (s *Server) getBooks(w http.ResponseWriter, req *http.Request) error {
	id := lamppost.DeviceID(req.PathValue("device"))
	var books *audit.Books
	err := s.proven(func(r archive.View) (replica.Want, error) {
		if _, err := (ledger.View{Reader: r}).Centre(id); errors.Is(err, kv.ErrNotFound) {
			return replica.Want{}, notFound("device %q is no profit centre: POST /api/centres makes it one", clip(string(id)))
		}
		return replica.WantBooks(r, id)
	}, func(p *lamppost.Proof, pin *audit.Pin) (err error) {
		books, err = audit.NewBooks(p, pin, id)
		return err
	})
	if err != nil {
		return err
	}
	return writeFile(w, &render.Document{Name: "books.json", Type: "application/json", Data: books.Encode()})
}

func (s *Server) getOffers(w http.ResponseWriter, _ *http.Request) error {
	all, err := s.offers("")
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, all)
}

// postOffer offers a device for its owner.
func (s *Server) postOffer(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.OfferBody](s, w, r, lamppost.TxOffer)
}

// offers lists those that can be accepted now, where a device is named by it.
func (s *Server) offers(to lamppost.DeviceID) (OfferList, error) {
	out := OfferList{Offers: []Offer{}}
	err := s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		all, err := v.Offers()
		if err != nil {
			return err
		}
		for i := range all {
			o := &all[i]
			if o.Until <= s.cfg.Now() || to != "" && (o.Device == to || o.To != "" && o.To != to) || len(out.Offers) == maxListed {
				continue
			}
			t, err := v.Tariff(o.Tariff, o.Version)
			if err != nil {
				return err
			}
			out.Offers = append(out.Offers, Offer{o.OfferBody, t.Seller, t.Currency, audit.Terms(&t)})
		}
		return nil
	})
	return out, err
}

// Deals serves devices that deal with each other: whoever logged in as one can do no more than that device may. Errors for the device
// are *lamppost.Refusal.
type Deals struct{ s *Server }

// Deals returns them.
func (s *Server) Deals() Deals { return Deals{s} }

// Offers lists what a device can accept now.
func (d Deals) Offers(id lamppost.DeviceID) (any, error) { return d.s.offers(id) }

// Offer has a device's own offer ordered.
func (d Deals) Offer(ctx context.Context, id lamppost.DeviceID, b lamppost.OfferBody) (any, error) {
	if b.Device != id || len(b.Word) == 0 {
		return nil, lamppost.Refuse(lamppost.CodeForbidden, "you are %q: sign what you offer yourself", id)
	}
	return d.do(ctx, lamppost.TxOffer, b)
}

// Accept has a device's acceptance ordered.
func (d Deals) Accept(ctx context.Context, id lamppost.DeviceID, b lamppost.AcceptBody) (any, error) {
	if b.Device != id {
		return nil, lamppost.Refuse(lamppost.CodeForbidden, "you are %q: accept for yourself", id)
	}
	return d.do(ctx, lamppost.TxAccept, b)
}

func (d Deals) do(ctx context.Context, t lamppost.TxType, body any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	got, err := d.s.cfg.Order.do(ctx, t, body)
	if err != nil {
		return nil, err
	}
	return doneOf(t, got)
}

// Session tells a session to its two devices, and ends it now if one of them says so.
func (d Deals) Session(ctx context.Context, id lamppost.DeviceID, session string, settle bool) (any, error) {
	v := ledger.View{Reader: d.s.cfg.Store}
	x, err := v.Session(session)
	if errors.Is(err, kv.ErrNotFound) || err == nil && (x.For == "" || !slices.Contains([]lamppost.DeviceID{x.For, x.Device}, id)) {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "you have no session %q", session)
	}
	if err != nil {
		return nil, err
	}
	if settle && x.Stop == 0 {
		stop := min(d.s.cfg.Now(), x.Until)
		if err := v.Ready(session, stop); err != nil {
			return nil, err
		}
		return d.do(ctx, lamppost.TxSettle, lamppost.SettleBody{Session: session, Stop: stop})
	}
	return d.s.shown(v, x)
}
