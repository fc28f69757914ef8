package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/lamppost/lamppost"
)

// Deals are what a device agrees on with other devices, without a person: it offers itself, or accepts what another offers, under its own
// signature. A node brings its word to the ledger and can change nothing of it. What it spends is bounded by the limit that its owner
// has registered. All methods may be called concurrently. An error that is a *lamppost.Refusal is the ledger's last word; while the node is
// busy or cannot be reached they try again, with the same bytes, until ctx is done.
type Deals struct {
	d    *Device
	http *HTTP
}

// Deals deals through a node, with the key that the device has.
func (d *Device) Deals(h *HTTP) *Deals { return &Deals{d, h} }

// An Offer is what another device offers.
type Offer struct {
	lamppost.OfferBody
	Seller   lamppost.PartyID `json:"seller"`
	Currency string           `json:"currency"`
	Terms    string           `json:"terms"` // in words
}

// A Deal is how a session of two devices stands.
type Deal struct {
	lamppost.SessionBody
	State   string            `json:"state"`  // open, settled, billed or void
	Device  lamppost.DeviceID `json:"device"` // that is used
	For     lamppost.DeviceID `json:"for"`    // that uses it
	Stop    lamppost.TimeMS   `json:"stop_ms"`
	Invoice string            `json:"invoice"`
}

// Offers lists what the device can accept now.
func (x *Deals) Offers(ctx context.Context) ([]Offer, error) {
	var list struct {
		Offers []Offer `json:"offers"`
	}
	return list.Offers, x.ask(ctx, http.MethodGet, "/v1/offers", nil, &list)
}

// Offer offers the device to others. Device, KeyEpoch and Word are filled in.
func (x *Deals) Offer(ctx context.Context, b lamppost.OfferBody) (lamppost.OfferBody, error) {
	b.Device = x.d.cfg.ID
	key, epoch := x.d.signer()
	b.KeyEpoch = epoch
	if err := b.Sign(x.d.cfg.Network, key); err != nil {
		return b, err
	}
	return b, x.ask(ctx, http.MethodPost, "/v1/offers", b, nil)
}

// A Bid is what a device wants of an offer.
type Bid struct {
	Buyer lamppost.PartyID // the device's owner, who answers for it
	Limit lamppost.Micro   // the most that it may come to, before tax; 0: the offer's
	For   time.Duration    // it ends then at the latest; 0: the offer's longest
}

// Accept begins a session now, on the terms of an offer. The session's id is new.
func (x *Deals) Accept(ctx context.Context, o *Offer, bid Bid) (lamppost.SessionBody, error) {
	now := lamppost.TimeMS(x.d.cfg.Now().UnixMilli())
	if bid.Limit == 0 {
		bid.Limit = o.Most
	}
	length := lamppost.TimeMS(bid.For.Milliseconds())
	if length == 0 {
		length = o.Longest
	}
	var random [6]byte
	rand.Read(random[:]) // never fails
	name := string(x.d.cfg.ID)
	id := name[:min(len(name), lamppost.MaxNameBytes-1-2*len(random))] + "-" + hex.EncodeToString(random[:])
	key, epoch := x.d.signer()
	b := lamppost.AcceptBody{Offer: o.ID, Device: x.d.cfg.ID, KeyEpoch: epoch, Session: lamppost.SessionBody{ID: id, Buyer: bid.Buyer, Point: o.Point, Tariff: o.Tariff,
		Version: o.Version, Limit: bid.Limit, From: now, Until: now + length}}
	if err := b.Sign(x.d.cfg.Network, key); err != nil {
		return b.Session, err
	}
	return b.Session, x.ask(ctx, http.MethodPost, "/v1/sessions", b, nil)
}

// Session tells how one of the device's sessions stands, whichever side of it is the device's.
func (x *Deals) Session(ctx context.Context, id string) (deal Deal, err error) {
	return deal, x.ask(ctx, http.MethodGet, "/v1/sessions/"+url.PathEscape(id), nil, &deal)
}

// Settle ends a session now. It waits until the readings that it needs are in; without it a session ends when its time is over.
func (x *Deals) Settle(ctx context.Context, id string) error {
	return x.ask(ctx, http.MethodPost, "/v1/sessions/"+url.PathEscape(id)+"/settle", struct{}{}, nil)
}

// ask asks a node until it answers.
func (x *Deals) ask(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	wait := x.d.cfg.MinBackoff
	for {
		err := x.once(ctx, method, path, text, out)
		var refusal *lamppost.Refusal
		if err == nil || errors.As(err, &refusal) && refusal.Code.Final() {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s %s: %w (last: %v)", method, path, ctx.Err(), err)
		case <-timer.C:
		}
		wait = min(2*wait, x.d.cfg.MaxBackoff)
	}
}

func (x *Deals) once(ctx context.Context, method, path string, text []byte, out any) error {
	at := x.http.url()
	ctx, cancel := context.WithTimeout(ctx, x.d.cfg.SendTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	status, _, answer, err := x.http.do(req, maxDealReply)
	if err != nil {
		x.http.Elsewhere(at)
		return err
	}
	if status != http.StatusOK {
		return enrolRefusal(status, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
