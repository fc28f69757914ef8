package api_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/provider"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

// A fakeProvider is a payment provider in this process. It authorises, captures and pays back, and sends a signed notice of each; to
// what is not answered well it says the same again, by resend, and it may send twice, or later things first.
type fakeProvider struct {
	h      *house
	name   string
	secret []byte
	held   map[string]lamppost.Micro
	queue  []notice
}

// A notice is what it has to report.
type notice struct{ id, body string }

func newFakeProvider(h *house, name string, seller lamppost.PartyID) *fakeProvider {
	p := &fakeProvider{h: h, name: name, secret: []byte("the secret of " + name + " is long enough"), held: map[string]lamppost.Micro{}}
	path := filepath.Join(h.t.TempDir(), "secrets")
	must(h.t, os.WriteFile(path, []byte("whsec_"+base64.StdEncoding.EncodeToString(p.secret)), 0o600))
	h.providers[name] = &provider.Webhook{Name: name, Kind: "standard", Seller: seller, Secrets: path}
	return p
}

func (p *fakeProvider) say(kind, id, invoice string, amount lamppost.Micro, currency string) {
	body := fmt.Sprintf(`{"type":"payment.%s","data":{"id":%q,"amount":%q,"currency":%q,"invoice":%q}}`, kind, id, amount, currency, invoice)
	p.queue = append(p.queue, notice{fmt.Sprintf("msg_%s_%s", kind, id), body})
}

func (p *fakeProvider) authorise(id string, amount lamppost.Micro) {
	p.held[id] = amount
	p.say("authorised", id, "", amount, "EUR")
}

func (p *fakeProvider) capture(id, invoice string, amount lamppost.Micro) error {
	if amount > p.held[id] {
		return fmt.Errorf("%s was not authorised", amount)
	}
	delete(p.held, id)
	p.say("captured", id, invoice, amount, "EUR")
	return nil
}

func (p *fakeProvider) refund(id, invoice string, amount lamppost.Micro) {
	p.say("refunded", id, invoice, amount, "EUR")
}

// send delivers a notice once, and says what came of it.
func (p *fakeProvider) send(n notice) (status int, outcome string) {
	p.h.t.Helper()
	unix := fmt.Sprint(p.h.now() / 1000)
	mac := hmac.New(sha256.New, p.secret)
	fmt.Fprintf(mac, "%s.%s.%s", n.id, unix, n.body)
	r := httptest.NewRequest("POST", "/api/providers/"+p.name, strings.NewReader(n.body))
	r.Header.Set("Webhook-Id", n.id)
	r.Header.Set("Webhook-Timestamp", unix)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	p.h.handler.ServeHTTP(w, r)
	var out struct {
		api.Error
		Outcome string `json:"outcome"`
	}
	must(p.h.t, json.Unmarshal(w.Body.Bytes(), &out))
	return w.Code, out.Outcome + out.Code
}

// deliver sends what waits, keeps what was not taken, and returns the outcomes.
func (p *fakeProvider) deliver() string {
	p.h.t.Helper()
	var all []string
	var again []notice
	for _, n := range p.queue {
		status, outcome := p.send(n)
		if all = append(all, outcome); status != http.StatusOK {
			again = append(again, n)
		}
	}
	p.queue = again
	return strings.Join(all, " ")
}

func (h *house) pay(dry bool, payments ...books.Payment) (outcomes string, results []api.PaymentResult) {
	h.t.Helper()
	var out api.PaymentResults
	h.ok(http.StatusOK, "POST", "/api/payments", api.Payments{Payments: payments, DryRun: dry}, &out)
	var all []string
	for _, r := range out.Results {
		all = append(all, r.Outcome)
	}
	return strings.Join(all, " "), out.Results
}

// What a provider reports is booked once, however often it reports it, and what it pays back too; what has nothing to be booked on comes
// again until it has. The ledger's orders are those of any payment.
func TestProvider(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	h.details = render.Details{string(inv.Seller): {Clearing: "clearing"}}
	h.ok(http.StatusCreated, "POST", "/api/parties", lamppost.PartyBody{ID: "clearing", Name: "Bank account", CreditLimit: 1_000_000_000}, nil)
	p := newFakeProvider(h, "zahlfix", inv.Seller)
	p.authorise("1", 2*inv.Total)
	must(t, p.capture("1", inv.Number, inv.Total+1_000_000))
	p.refund("1", inv.Number, 1_000_000)
	all := slices.Clone(p.queue)
	slices.Reverse(p.queue) // the refund is first: there is nothing yet that could go back
	if got := p.deliver(); got != "unmatched over noted" || len(p.queue) != 1 {
		t.Fatalf("in the wrong order: %s, and %d wait", got, len(p.queue))
	}
	if got := p.deliver(); got != "returned" || len(p.queue) != 0 {
		t.Fatalf("again: %s", got)
	}
	p.queue = append(all, all...)
	if got := p.deliver(); got != "noted unchanged unchanged noted unchanged unchanged" {
		t.Errorf("all of it twice more: %s", got)
	}
	for _, n := range []notice{
		{"msg_usd", fmt.Sprintf(`{"type":"payment.captured","data":{"id":"2","amount":"1.00","currency":"USD","invoice":%q}}`, inv.Number)},
		{"msg_none", `{"type":"payment.captured","data":{"id":"3","amount":"1.00","currency":"EUR","invoice":"none"}}`},
		{"msg_all", fmt.Sprintf(`{"type":"payment.refunded","data":{"id":"4","amount":"99999.00","currency":"EUR","invoice":%q}}`, inv.Number)},
	} {
		if status, got := p.send(n); status != http.StatusConflict || got != api.Unmatched {
			t.Errorf("%s: %d %s", n.body, status, got)
		}
	}
	if status, got := p.send(notice{"msg_x", `{"type":"payment.capturd","data":{}}`}); status != http.StatusBadRequest {
		t.Errorf("a type that is not known: %d %s", status, got)
	}
	h.settled(&inv)
}

// settled fails unless an invoice is paid, and the money is on the clearing account.
func (h *house) settled(inv *tariff.Invoice) {
	h.t.Helper()
	var dues api.DueList
	h.ok(http.StatusOK, "GET", "/api/dues?settled=true", nil, &dues)
	if len(dues.Dues) != 1 || dues.Dues[0].Due != 0 || dues.Dues[0].Paid != inv.Total {
		h.t.Errorf("dues: %+v", dues)
	}
	h.ok(http.StatusOK, "GET", "/api/dues", nil, &dues)
	if len(dues.Dues) != 0 {
		h.t.Errorf("what is settled is listed: %+v", dues)
	}
	var accounts api.AccountList
	h.ok(http.StatusOK, "GET", "/api/accounts", nil, &accounts)
	for _, a := range accounts.Accounts {
		if want := -inv.Total; a.Party == "clearing" && a.Balance != want {
			h.t.Errorf("the clearing account has %s, not %s", a.Balance, want)
		}
		if a.Party == inv.Buyer && a.Balance != 0 {
			h.t.Errorf("the buyer has %s after paying", a.Balance)
		}
	}
}

// Nobody but the provider reports: not without its secret, not with that of another one, not later, not with the operator's token.
func TestProviderUnsigned(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	p, other := newFakeProvider(h, "zahlfix", inv.Seller), newFakeProvider(h, "andere", inv.Seller)
	p.say("captured", "1", inv.Number, inv.Total, "EUR")
	good := p.queue[0]
	secret := p.secret
	for what, key := range map[string][]byte{"none": nil, "another's": other.secret} {
		p.secret = key
		if status, got := p.send(good); status != http.StatusUnprocessableEntity || got != lamppost.CodeBadSignature.String() {
			t.Errorf("with the secret %s: %d %s", what, status, got)
		}
	}
	p.secret, p.name = secret, "nobody"
	if status, got := p.send(good); status != http.StatusNotFound {
		t.Errorf("of no provider: %d %s", status, got)
	}
	h.refused(http.StatusUnprocessableEntity, "bad_signature", "POST", "/api/providers/zahlfix", map[string]any{"type": "payment.captured"})
	var dues api.DueList
	h.ok(http.StatusOK, "GET", "/api/dues", nil, &dues)
	if len(dues.Dues) != 1 || dues.Dues[0].Paid != 0 {
		t.Errorf("something was booked: %+v", dues)
	}
}

// A bank's statement, too, is booked once, and a dry run books nothing and counts within itself.
func TestPayments(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	h.details = render.Details{string(inv.Seller): {Clearing: "clearing"}}
	h.ok(http.StatusCreated, "POST", "/api/parties", lamppost.PartyBody{ID: "clearing", Name: "Bank account", CreditLimit: 1_000_000_000}, nil)
	all := []books.Payment{
		{Reference: "1", Seller: inv.Seller, Amount: inv.Total + 1_000_000, Currency: "EUR", EndToEnd: inv.Number},
		{Reference: "2", Seller: inv.Seller, Out: true, Amount: 1_000_000, Currency: "EUR", EndToEnd: inv.Number},
	}
	for range 2 {
		if got, res := h.pay(true, all...); got != "over refunded" {
			t.Fatalf("a dry run: %s: %+v", got, res)
		}
	}
	if got, res := h.pay(false, all...); got != "over refunded" || res[0].Left != -1_000_000 || res[1].Left != 0 || res[0].Height == 0 {
		t.Fatalf("%s: %+v", got, res)
	}
	if got, res := h.pay(false, append(all, all...)...); got != "unchanged unchanged unchanged unchanged" {
		t.Errorf("again: %s: %+v", got, res)
	}
	h.settled(&inv)
}

// A payment that fits nothing, or what the ledger refuses, is left with its reason.
func TestUnmatched(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	const ours, theirs = "DE02120300000000202051", "AT611904300234573201"
	h.details = render.Details{string(inv.Seller): {IBAN: ours}, string(inv.Buyer): {IBAN: theirs}}
	good := books.Payment{Reference: "r", Account: ours, Amount: inv.Total, Currency: "EUR", EndToEnd: inv.Number}
	for want, change := range map[string]func(*books.Payment){
		"has a reference":                 func(p *books.Payment) { p.Reference = "" },
		"an amount above zero":            func(p *books.Payment) { p.Amount = 0 },
		"the payment in CHF":              func(p *books.Payment) { p.Currency = "CHF" },
		"whose account " + theirs:         func(p *books.Payment) { p.Account = theirs },
		"neither a seller nor":            func(p *books.Payment) { p.Account = "" },
		"no invoice and no account":       func(p *books.Payment) { p.EndToEnd = "x" },
		"nothing that is due":             func(p *books.Payment) { p.EndToEnd, p.PayerIBAN, p.Amount = "", theirs, 1 },
		"no party has the account " + "X": func(p *books.Payment) { p.EndToEnd, p.PayerIBAN = "", "X" },
		"it takes back":                   func(p *books.Payment) { p.Out, p.Returned = true, "AM04" },
		"it pays out":                     func(p *books.Payment) { p.Out = true },
	} {
		p := good
		change(&p)
		if got, res := h.pay(true, p); got != api.Unmatched || !strings.Contains(res[0].Text, want) {
			t.Errorf("%+v: %s, want %q", res[0], got, want)
		}
	}
	byAmount := good
	byAmount.Reference, byAmount.EndToEnd, byAmount.PayerIBAN = "q", "", theirs
	if got, res := h.pay(true, byAmount, good); got != "paid over" || res[0].By != "amount" {
		t.Errorf("by amount: %s: %+v", got, res)
	}
	long := good
	long.Reference = strings.Repeat("ä", 300)
	long.Amount = 1_000_000_000_000
	if got, res := h.pay(false, long); got != lamppost.CodeNoFunds.String() || res[0].Text == "" {
		t.Errorf("more than the seller may owe: %s: %+v", got, res)
	}
}

// A direct debit is collected on the day that the invoice names: both count from its day on the tariff's clock, which is another than UTC's
// for some hours of each day.
func TestDebitOnTheInvoicesDay(t *testing.T) {
	t.Parallel()
	for offset, want := range map[int16]string{0: "2026-11-12", 60: "2026-11-12", -60: "2026-11-11"} {
		h := newHouse(t)
		h.offsetMin = offset
		h.settle()
		inv := h.bill() // a second after UTC's 2 November began
		h.details = render.Details{
			string(inv.Seller): {IBAN: "DE02120300000000202051", BIC: "BYLADEM1001", CreditorID: "DE98ZZZ09999999999", DueDays: 10},
			string(inv.Buyer): {IBAN: "AT611904300234573201",
				Mandates: map[lamppost.PartyID]render.Mandate{inv.Seller: {ID: "M-1", Signed: "2025-12-01"}}},
		}
		var out api.SEPAFile
		h.ok(http.StatusOK, "POST", "/api/sepa", api.SEPAOrder{Kind: "debits", Seller: inv.Seller, Date: "2026-11-03", Exclude: []string{}}, &out)
		if !strings.Contains(out.File, "<ReqdColltnDt>"+want+"</ReqdColltnDt>") {
			t.Errorf("with a clock %d min ahead it is not collected on %s: %+v", offset, want, out)
		}
	}
}
