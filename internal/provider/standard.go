package provider

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/lamppost/lamppost"
)

// The dialect "standard": signed as standardwebhooks.com says, with a body of ours (docs/money.md). For providers that can be told
// what to send, and for a small program in front of one that cannot.

// standardSeal reads webhook-id, webhook-timestamp and webhook-signature: "v1,BASE64 v1,BASE64 …" of "ID.TIMESTAMP.BODY".
func standardSeal(h http.Header, body []byte) (seal, error) {
	s := seal{id: h.Get("Webhook-Id"), unix: h.Get("Webhook-Timestamp")}
	if s.id == "" {
		return s, unsigned("it has no header webhook-id")
	}
	s.signed = append([]byte(s.id+"."+s.unix+"."), body...)
	for _, word := range strings.Fields(h.Get("Webhook-Signature")) {
		if text, ok := strings.CutPrefix(word, "v1,"); ok {
			if sum, err := base64.StdEncoding.DecodeString(text); err == nil {
				s.signatures = append(s.signatures, sum)
			}
		}
	}
	return s, nil
}

func standardSecret(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
}

// standardTypes are what a notice can tell of.
var standardTypes = map[string]string{
	"payment.authorised":   "",
	"payment.captured":     captured,
	"payment.refunded":     refunded,
	"payment.charged_back": chargedBack,
	"payment.reinstated":   reinstated,
}

func readStandard(body []byte) (event, error) {
	var n struct {
		Type string `json:"type"`
		Data struct {
			ID       string         `json:"id"`
			Amount   lamppost.Micro `json:"amount"`
			Currency string         `json:"currency"`
			Invoice  string         `json:"invoice"`
			Payer    string         `json:"payer"`
		} `json:"data"`
	}
	if err := decode(body, &n); err != nil {
		return event{}, err
	}
	moved, known := standardTypes[n.Type]
	if !known && (n.Type == "" || strings.HasPrefix(n.Type, "payment.")) {
		return event{}, malformed("type %q is not payment.authorised, captured, refunded, charged_back or reinstated", n.Type)
	}
	return event{kind: n.Type, moved: moved, of: n.Data.ID, amount: n.Data.Amount, currency: n.Data.Currency, invoice: n.Data.Invoice, payer: n.Data.Payer}, nil
}
