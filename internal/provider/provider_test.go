package provider_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/provider"
)

const (
	now    lamppost.TimeMS = 1_790_000_000_000
	secret                 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// webhook returns a webhook of a kind whose secrets are some lines.
func webhook(t *testing.T, kind string, secrets ...string) *provider.Webhook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte(strings.Join(secrets, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &provider.Webhook{Name: "zahlfix", Kind: kind, Seller: "works", Secrets: path}
}

// sign seals a notice as its provider would.
func sign(kind, secret string, at lamppost.TimeMS, body string) http.Header {
	unix := fmt.Sprint(at / 1000)
	sum := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	h := http.Header{}
	if kind == "stripe" {
		h.Set("Stripe-Signature", "t="+unix+",v1="+hex.EncodeToString(sum([]byte(secret), unix+"."+body))+",v0=6ffb")
		return h
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", unix)
	h.Set("Webhook-Signature", "v1a,xx v1,"+base64.StdEncoding.EncodeToString(sum(key, "msg_1."+unix+"."+body)))
	return h
}

var bodies = map[string]string{
	"standard": `{"type":"payment.captured","timestamp":"2026-09-21T13:33:20Z","data":{"id":"cap_1","amount":"12.34","currency":"EUR","invoice":"works-000042","payer":"Ann"}}`,
	"stripe": `{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","object":"payment_intent","amount":1300,"amount_received":1234,
"currency":"eur","metadata":{"invoice":"works-000042"}}}}`,
}

// The published example of the Standard Webhooks libraries has the signature that they publish with it.
func TestStandardExample(t *testing.T) {
	t.Parallel()
	w := webhook(t, "standard", secret)
	h := http.Header{}
	h.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("Webhook-Timestamp", "1614265330")
	h.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	n, err := w.Read(h, []byte(`{"test": 2432232314}`), 1614265330_000)
	var bad *provider.Malformed
	if !errors.As(err, &bad) { // it is signed; only it says nothing that we know
		t.Errorf("%+v, %v", n, err)
	}
}

// A signed notice of each kind is the payment that it tells of, by any of the secrets that count.
func TestRead(t *testing.T) {
	t.Parallel()
	for kind, body := range bodies {
		w := webhook(t, kind, "whsec_"+base64.StdEncoding.EncodeToString([]byte("another secret of some length")), secret)
		n, err := w.Read(sign(kind, secret, now, body), []byte(body), now+299_000)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		want := books.Payment{Reference: map[string]string{"standard": "zahlfix/captured/cap_1", "stripe": "zahlfix/captured/pi_1"}[kind], Seller: "works",
			Amount: 12_340_000, Currency: "EUR", EndToEnd: "works-000042", Payer: map[string]string{"standard": "Ann"}[kind]}
		if n.Payment == nil || *n.Payment != want || n.ID == "" {
			t.Errorf("%s: %+v, want %+v", kind, n.Payment, want)
		}
	}
}

// Whatever is changed about a signed notice, or left out, or sent at another time, it is nobody's.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	for kind, body := range bodies {
		w := webhook(t, kind, secret)
		good := sign(kind, secret, now, body)
		refused := func(what string, h http.Header, body string, at lamppost.TimeMS) {
			t.Helper()
			if n, err := w.Read(h, []byte(body), at); !errors.Is(err, provider.ErrUnsigned) || n != (provider.Notice{}) {
				t.Errorf("%s: %s: %+v, %v", kind, what, n, err)
			}
		}
		refused("no header", http.Header{}, body, now)
		refused("another amount", good, strings.Replace(body, "12", "13", 1), now)
		refused("another secret", sign(kind, "whsec_"+base64.StdEncoding.EncodeToString([]byte("another secret of some length")), now, body), body, now)
		refused("too late", good, body, now+lamppost.TimeMS(provider.Tolerance.Milliseconds())+1000)
		refused("too early", good, body, now-lamppost.TimeMS(provider.Tolerance.Milliseconds())-1000)
		for name := range good {
			h := good.Clone()
			h.Set(name, strings.ReplaceAll(h.Get(name), "1", "2"))
			refused("another "+name, h, body, now)
			h.Del(name)
			refused("no "+name, h, body, now)
		}
		for other := range bodies {
			if other != kind {
				refused("signed like "+other, sign(other, secret, now, body), body, now)
			}
		}
	}
}

// What moves no money is no payment, money that goes back goes out, and what cannot be booked is said.
func TestKinds(t *testing.T) {
	t.Parallel()
	stripe := func(kind, object string) string {
		return `{"id":"evt","type":"` + kind + `","data":{"object":` + object + `}}`
	}
	standard := func(kind, data string) string { return `{"type":"` + kind + `","data":` + data + `}` }
	const money = `{"id":"x","amount":"1.50","currency":"EUR","invoice":"i"}`
	const minor = `{"id":"x","amount":150,"currency":"eur","status":"succeeded","metadata":{"invoice":"i"}}`
	for _, c := range []struct{ kind, body, want string }{
		{"standard", standard("payment.authorised", money), "nothing"},
		{"standard", standard("payout.paid", `{}`), "nothing"},
		{"standard", standard("payment.refunded", money), "refunded out 1.50 EUR refunded"},
		{"standard", standard("payment.charged_back", money), "charged_back out 1.50 EUR charged_back"},
		{"standard", standard("payment.reinstated", money), "reinstated in 1.50 EUR reinstated"},
		{"standard", standard("payment.capture", money), "not payment.authorised"},
		{"standard", standard("payment.captured", `{"id":"x","amount":"0","currency":"EUR"}`), "no amount above zero"},
		{"standard", standard("payment.captured", `{"amount":"1","currency":"EUR"}`), "no id"},
		{"standard", standard("payment.captured", `{"id":"x","amount":1.5,"currency":"EUR"}`), "expected shape"},
		{"standard", "{", "expected shape"},
		{"stripe", stripe("payment_intent.amount_capturable_updated", minor), "nothing"},
		{"stripe", stripe("payment_intent.succeeded", `{"id":"x","amount_received":150,"currency":"jpy"}`), "captured in 150.00 JPY"},
		{"stripe", stripe("payment_intent.succeeded", `{"id":"x","amount_received":150,"currency":"kwd"}`), "captured in 0.15 KWD"},
		{"stripe", stripe("payment_intent.succeeded", `{"id":"x","amount_received":150,"currency":"isk"}`), "captured in 1.50 ISK"},
		{"stripe", stripe("payment_intent.succeeded", `{"id":"x","amount_received":150,"currency":"xyz"}`), "one that can be booked|XYZ"},
		{"stripe", stripe("payment_intent.succeeded", `{"id":"x","amount_received":9223372036854775807,"currency":"eur"}`), "cannot be booked"},
		{"stripe", stripe("refund.created", minor), "refunded out 1.50 EUR refunded"},
		{"stripe", stripe("refund.updated", minor), "refunded out 1.50 EUR refunded"},
		{"stripe", stripe("refund.created", strings.Replace(minor, "succeeded", "pending", 1)), "nothing"},
		{"stripe", stripe("refund.failed", minor), "by hand"},
		{"stripe", stripe("charge.dispute.funds_withdrawn", minor), "charged_back out 1.50 EUR charged_back"},
		{"stripe", stripe("charge.dispute.funds_reinstated", minor), "reinstated in 1.50 EUR reinstated"},
		{"stripe", `{"object":"event"}`, "no event"},
	} {
		n, err := webhook(t, c.kind, secret).Read(sign(c.kind, secret, now, c.body), []byte(c.body), now)
		got := "nothing"
		var bad *provider.Malformed
		switch p := n.Payment; {
		case errors.As(err, &bad):
			got = err.Error()
		case err != nil:
			t.Errorf("%s: %v", c.body, err)
		case p != nil:
			direction := map[bool]string{true: "out", false: "in"}[p.Out]
			got = fmt.Sprint(strings.Split(p.Reference, "/")[1], " ", direction, " ", p.Amount, " ", p.Currency, " ", p.Returned)
		}
		for _, want := range strings.Split(c.want, "|") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", c.body, got, want)
			}
		}
	}
}

// Secrets are read for each notice, and a file that holds none is told of and lets nobody in.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for kind, body := range bodies {
		w := webhook(t, kind, secret)
		h := sign(kind, secret, now, body)
		if err := w.Ready(); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "short", strings.Repeat(secret+"\n", 9)} {
			if err := os.WriteFile(w.Secrets, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Read(h, []byte(body), now); err == nil || errors.Is(err, provider.ErrUnsigned) || w.Ready() == nil {
				t.Errorf("%s: secrets %q: %v", kind, text, err)
			}
			if err := w.Ready(); strings.Contains(fmt.Sprint(err), "whsec") {
				t.Errorf("the error tells a secret: %v", err)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for kind, body := range bodies {
		f.Add(kind == "stripe", body, fmt.Sprint(now/1000))
	}
	f.Add(true, `{"id":"e","type":"refund.created","data":{"object":{"amount":-1}}}`, "x")
	f.Fuzz(func(t *testing.T, stripe bool, body, header string) {
		kind := map[bool]string{true: "stripe", false: "standard"}[stripe]
		w := webhook(t, kind, secret)
		n, err := w.Read(sign(kind, secret, now, body), []byte(body), now)
		if errors.Is(err, provider.ErrUnsigned) {
			t.Fatalf("a signed notice is refused: %v", err)
		}
		if p := n.Payment; err == nil && p != nil && (p.Amount <= 0 || p.Reference == "" || p.Seller != "works") {
			t.Fatalf("%q is the payment %+v", body, p)
		}
		h := http.Header{"Stripe-Signature": {header}, "Webhook-Id": {"a"}, "Webhook-Timestamp": {header}, "Webhook-Signature": {header}}
		if _, err := w.Read(h, []byte(body), now); !errors.Is(err, provider.ErrUnsigned) {
			t.Fatalf("header %q: %v", header, err)
		}
	})
}
