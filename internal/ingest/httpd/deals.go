package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
)

// Deals serve devices that deal with each other. What is returned is the answer's body, as JSON; an error that is a *lamppost.Refusal is
// told to the device, others are logged. They are called by several goroutines.
type Deals interface {
	Offers(device lamppost.DeviceID) (any, error)
	Offer(ctx context.Context, device lamppost.DeviceID, b lamppost.OfferBody) (any, error)
	Accept(ctx context.Context, device lamppost.DeviceID, b lamppost.AcceptBody) (any, error)
	// Session tells a session to one of its two devices, and with settle ends it now.
	Session(ctx context.Context, device lamppost.DeviceID, session string, settle bool) (any, error)
}

func (d *door) dealRoutes(mux *http.ServeMux) {
	as := func(do func(r *http.Request, device lamppost.DeviceID, raw []byte) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			device, ok := d.logIn(w, r)
			if !ok {
				return
			}
			if who := (attempt{user: string(device)}); r.Method == http.MethodPost {
				if wait := d.deals.wait(who, d.cfg.Now()); wait > 0 {
					d.tooMany(w, wait, codeTooMany, "too many offers and acceptances of this device")
					return
				}
				d.deals.count(who, d.cfg.Now())
			}
			raw, ok := d.body(w, r, maxDealBytes)
			if !ok {
				return
			}
			answer, err := do(r, device, raw)
			d.answerDeal(w, r, device, answer, err)
		}
	}
	deals := d.cfg.Deals
	mux.HandleFunc("GET /v1/offers", as(func(_ *http.Request, device lamppost.DeviceID, _ []byte) (any, error) { return deals.Offers(device) }))
	mux.HandleFunc("POST /v1/offers", as(func(r *http.Request, device lamppost.DeviceID, raw []byte) (any, error) {
		var b lamppost.OfferBody
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, lamppost.Refuse(lamppost.CodeBadTx, "the body is no offer: %v", err)
		}
		return deals.Offer(r.Context(), device, b)
	}))
	mux.HandleFunc("POST /v1/sessions", as(func(r *http.Request, device lamppost.DeviceID, raw []byte) (any, error) {
		var b lamppost.AcceptBody
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, lamppost.Refuse(lamppost.CodeBadTx, "the body is no acceptance: %v", err)
		}
		return deals.Accept(r.Context(), device, b)
	}))
	mux.HandleFunc("GET /v1/sessions/{id}", as(func(r *http.Request, device lamppost.DeviceID, _ []byte) (any, error) {
		return deals.Session(r.Context(), device, r.PathValue("id"), false)
	}))
	mux.HandleFunc("POST /v1/sessions/{id}/settle", as(func(r *http.Request, device lamppost.DeviceID, _ []byte) (any, error) {
		return deals.Session(r.Context(), device, r.PathValue("id"), true)
	}))
}

func (d *door) answerDeal(w http.ResponseWriter, r *http.Request, device lamppost.DeviceID, answer any, err error) {
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		d.answer(w, http.StatusOK, answer)
	case errors.As(err, &refusal):
		d.refuse(w, refusal.Code, refusal.Text)
	case r.Context().Err() != nil: // the client has gone
	case errors.Is(err, context.DeadlineExceeded):
		d.busy(w, "it is not decided yet: send the same again to hear what became of it")
	default:
		d.cfg.Log.Error("http: a device's deal", "device", device, "path", r.URL.Path, "err", err)
		d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not do it; its log says why"})
	}
}
