package provider

import (
	"encoding/hex"
	"math"
	"net/http"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// The dialect "stripe": events of Stripe (docs.stripe.com/webhooks), of which the invoice's number is in the metadata of the payment
// intent, or of the refund.

// stripeSeal reads "Stripe-Signature: t=SECONDS,v1=HEX,v1=HEX": of "SECONDS.BODY".
func stripeSeal(h http.Header, body []byte) (s seal, err error) {
	for _, item := range strings.Split(h.Get("Stripe-Signature"), ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(item), "="); name {
		case "t":
			s.unix = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil {
				s.signatures = append(s.signatures, sum)
			}
		}
	}
	s.signed = append([]byte(s.unix+"."), body...)
	return s, nil
}

// stripeSecret is the text itself, "whsec_" included.
func stripeSecret(text string) ([]byte, error) { return []byte(text), nil }

// A stripeObject is what an event is about: a payment intent, a refund or a dispute.
type stripeObject struct {
	ID       string            `json:"id"`
	Amount   int64             `json:"amount"` // in minor units
	Received int64             `json:"amount_received"`
	Currency string            `json:"currency"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
}

func readStripe(body []byte) (event, error) {
	var n struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		Data struct {
			Object stripeObject `json:"object"`
		} `json:"data"`
	}
	if err := decode(body, &n); err != nil {
		return event{}, err
	}
	if n.ID == "" || n.Type == "" {
		return event{}, malformed("it is no event: it has no id or no type")
	}
	x := &n.Data.Object
	e := event{id: n.ID, kind: n.Type, of: x.ID, invoice: x.Metadata["invoice"], currency: strings.ToUpper(x.Currency)}
	minor := x.Amount
	switch n.Type {
	case "payment_intent.succeeded":
		e.moved, minor = captured, x.Received
	case "refund.created", "refund.updated": // several tell of one refund
		if x.Status == "succeeded" {
			e.moved = refunded
		}
	case "refund.failed":
		return e, malformed("refund %s failed: if it was booked, book it back by hand", x.ID)
	case "charge.dispute.funds_withdrawn":
		e.moved = chargedBack
	case "charge.dispute.funds_reinstated":
		e.moved = reinstated
	}
	if e.moved == "" {
		return e, nil
	}
	var err error
	e.amount, err = stripeAmount(minor, e.currency)
	return e, err
}

// stripeAmount reads an amount in minor units, which Stripe counts otherwise than ISO 4217 for two currencies.
func stripeAmount(minor int64, currency string) (lamppost.Micro, error) {
	digits, known := tariff.Minor(currency)
	if currency == "ISK" || currency == "UGX" {
		digits = 2
	}
	if !known {
		return 0, malformed("currency %q is not one that can be booked", currency)
	}
	unit := int64(lamppost.MicroUnit)
	for range digits {
		unit /= 10
	}
	if minor <= 0 || minor > math.MaxInt64/unit {
		return 0, malformed("an amount of %d in minor units cannot be booked", minor)
	}
	return lamppost.Micro(minor * unit), nil
}
