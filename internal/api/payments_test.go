package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/render"
)

// A provider is a payment provider in this process: it authorises, captures and pays back, and reports each event by its own id, as
// often as it likes.
type provider struct {
	seller lamppost.PartyID
	held   map[string]lamppost.Micro
	events []books.Payment
}

func (p *provider) authorise(id string, amount lamppost.Micro) { p.held[id] = amount }

func (p *provider) capture(id, invoice string, amount lamppost.Micro) error {
	if amount > p.held[id] {
		return fmt.Errorf("%s was not authorised", amount)
	}
	delete(p.held, id)
	p.events = append(p.events, books.Payment{Reference: "pay/" + id, Seller: p.seller, Amount: amount, Currency: "EUR", EndToEnd: invoice})
	return nil
}

func (p *provider) refund(id, invoice string, amount lamppost.Micro) {
	p.events = append(p.events, books.Payment{Reference: "refund/" + id, Seller: p.seller, Out: true, Amount: amount, Currency: "EUR", EndToEnd: invoice})
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

// What a provider reports is booked once, however often it reports it, and what it pays back too; a dry run books nothing and counts
// within itself.
func TestProvider(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	h.details = render.Details{string(inv.Seller): {Clearing: "clearing", IBAN: "DE02120300000000202051"}, string(inv.Buyer): {IBAN: "AT611904300234573201"}}
	h.ok(http.StatusCreated, "POST", "/api/parties", lamppost.PartyBody{ID: "clearing", Name: "Bank account", CreditLimit: 1_000_000_000}, nil)
	p := &provider{seller: inv.Seller, held: map[string]lamppost.Micro{}}
	p.authorise("1", 2*inv.Total)
	must(t, p.capture("1", inv.Number, inv.Total+1_000_000))
	p.refund("1", inv.Number, 1_000_000)
	for range 2 {
		if got, res := h.pay(true, p.events...); got != "over refunded" {
			t.Fatalf("a dry run: %s: %+v", got, res)
		}
	}
	if got, res := h.pay(false, p.events...); got != "over refunded" || res[0].Left != -1_000_000 || res[1].Left != 0 || res[0].Height == 0 {
		t.Fatalf("%s: %+v", got, res)
	}
	if got, res := h.pay(false, append(p.events, p.events...)...); got != "unchanged unchanged unchanged unchanged" {
		t.Errorf("again: %s: %+v", got, res)
	}
	var dues api.DueList
	h.ok(http.StatusOK, "GET", "/api/dues?settled=true", nil, &dues)
	if len(dues.Dues) != 1 || dues.Dues[0].Due != 0 || dues.Dues[0].Paid != inv.Total {
		t.Errorf("dues: %+v", dues)
	}
	h.ok(http.StatusOK, "GET", "/api/dues", nil, &dues)
	if len(dues.Dues) != 0 {
		t.Errorf("what is settled is listed: %+v", dues)
	}
	var accounts api.AccountList
	h.ok(http.StatusOK, "GET", "/api/accounts", nil, &accounts)
	for _, a := range accounts.Accounts {
		if want := -inv.Total; a.Party == "clearing" && a.Balance != want {
			t.Errorf("the clearing account has %s, not %s", a.Balance, want)
		}
		if a.Party == inv.Buyer && a.Balance != 0 {
			t.Errorf("the buyer has %s after paying", a.Balance)
		}
	}
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
