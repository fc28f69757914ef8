package books

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
)

// A Payment is what a bank or a payment provider reports: money came to a seller, or went from it.
type Payment struct {
	Reference string           `json:"reference"`            // by which whoever reports it knows it, once and for ever
	Seller    lamppost.PartyID `json:"seller,omitempty"`     // whose money it is; or
	Account   string           `json:"account,omitempty"`    // the seller's IBAN
	Out       bool             `json:"out,omitempty"`        // money went out
	Returned  string           `json:"returned,omitempty"`   // why a payment that came before was taken back
	Amount    lamppost.Micro   `json:"amount"`               // above zero
	Currency  string           `json:"currency"`             // ISO 4217
	EndToEnd  string           `json:"end_to_end,omitempty"` // what the invoice was called when it was collected
	Text      string           `json:"text,omitempty"`       // remittance information
	Payer     string           `json:"payer,omitempty"`      // for people
	PayerIBAN string           `json:"payer_iban,omitempty"` // of the other side
}

// What a payment comes to.
const (
	Paid     = "paid"     // what was due, to the cent
	Partial  = "partial"  // less: the rest stays due
	Over     = "over"     // more: the rest is due to the buyer
	Returned = "returned" // what was paid is due again, to the seller or to the buyer
	Refunded = "refunded" // what was due to the buyer went out
)

// A Match is what a payment pays.
type Match struct {
	Outcome  string
	By       string // end_to_end, text or amount
	Invoice  string
	Left     lamppost.Micro // due after it
	Transfer lamppost.TransferBody
}

// Accounts say whose an IBAN is, and which party's account takes the other side of a seller's payments.
type Accounts struct {
	Owners   map[string][]lamppost.PartyID
	Clearing map[lamppost.PartyID]lamppost.PartyID // the seller itself where none is said
}

// A NoMatch says why nothing can be booked.
type NoMatch struct{ Reason string }

// Error returns the reason.
func (e *NoMatch) Error() string { return e.Reason }

func noMatch(format string, args ...any) error { return &NoMatch{fmt.Sprintf(format, args...)} }

// Match finds what a payment pays: by the end-to-end id, by a number in the text, or by amount and the payer's IBAN, in this order.
// What is said wins over what is guessed: a payment that names an invoice pays that, whatever its amount. An error is a [*NoMatch].
func (d *Dues) Match(p *Payment, a *Accounts) (*Match, error) {
	if p.Reference == "" || p.Amount <= 0 {
		return nil, noMatch("a payment has a reference and an amount above zero")
	}
	x, by, err := d.find(p, a)
	if err != nil {
		return nil, err
	}
	if x.Currency != p.Currency {
		return nil, noMatch("invoice %s is in %s, the payment in %s", x.Invoice, x.Currency, p.Currency)
	}
	if err := belongs(p, a, x.Seller); err != nil {
		return nil, err
	}
	return d.settle(p, a, x, by)
}

// find finds the invoice.
func (d *Dues) find(p *Payment, a *Accounts) (x *Due, by string, err error) {
	if x := d.Find(p.EndToEnd, p.Seller); x != nil {
		return x, "end_to_end", nil
	}
	switch named := d.named(p); {
	case len(named) == 1:
		return named[0], "text", nil
	case len(named) > 1:
		return nil, "", noMatch("the text names %d invoices: book each part by hand", len(named))
	case p.PayerIBAN == "":
		return nil, "", noMatch("it names no invoice and no account of the payer")
	case len(a.Owners[p.PayerIBAN]) == 0:
		return nil, "", noMatch("it names no invoice, and no party has the account %s", p.PayerIBAN)
	}
	x, err = d.byAmount(p, a)
	return x, "amount", err
}

// named finds the invoices whose numbers stand in the text, as words, or with line breaks that a bank put in.
func (d *Dues) named(p *Payment) (all []*Due) {
	words := strings.FieldsFunc(p.Text, func(r rune) bool { return !nameRune(r) })
	words = append(words, joined(words)...)
	for _, w := range words {
		w = strings.Trim(w, ".-_")
		x := d.Find(w, p.Seller)
		if x == nil {
			x = d.Find(strings.ToLower(w), p.Seller) // banks like capitals
		}
		if x != nil && !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// joined puts neighbours together.
func joined(words []string) (all []string) {
	const most = 64 // words that are looked at: the text of a payment has 140 characters
	for i := 1; i < min(len(words), most); i++ {
		all = append(all, words[i-1]+words[i])
	}
	return all
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
}

// byAmount finds the one thing due to or from the owner of the payer's account that comes to just this.
func (d *Dues) byAmount(p *Payment, a *Accounts) (*Due, error) {
	want := p.Amount
	if p.Out {
		want = -want
	}
	var found *Due
	for _, x := range d.all {
		if x.Due != want || x.Currency != p.Currency || p.Seller != "" && x.Seller != p.Seller || !slices.Contains(a.Owners[p.PayerIBAN], x.Buyer) ||
			belongs(p, a, x.Seller) != nil {
			continue
		}
		if found != nil {
			return nil, noMatch("it names no invoice, and %s and %s both come to %s", found.Invoice, x.Invoice, p.Amount)
		}
		found = x
	}
	if found == nil {
		return nil, noMatch("it names no invoice, and nothing that is due with the owner of %s comes to %s", p.PayerIBAN, p.Amount)
	}
	return found, nil
}

// belongs refuses a payment on another seller's account.
func belongs(p *Payment, a *Accounts, seller lamppost.PartyID) error {
	switch {
	case p.Seller != "" && p.Seller != seller, p.Seller == "" && p.Account != "" && !slices.Contains(a.Owners[p.Account], seller):
		return noMatch("the invoice is of %q, whose account %s is not", seller, p.Account)
	case p.Seller == "" && p.Account == "":
		return noMatch("it says neither a seller nor its account")
	}
	return nil
}

// settle says what a payment on an invoice comes to, and how it is booked.
func (d *Dues) settle(p *Payment, a *Accounts, x *Due, by string) (*Match, error) {
	other := x.Seller
	if c := a.Clearing[x.Seller]; c != "" {
		other = c
	}
	m := &Match{By: by, Invoice: x.Invoice, Left: x.Due - p.Amount,
		Transfer: lamppost.TransferBody{From: other, To: x.Buyer, Currency: p.Currency, Amount: p.Amount, Memo: memo(x.Invoice, p.Reference)}}
	if p.Out {
		m.Left, m.Transfer.From, m.Transfer.To = x.Due+p.Amount, x.Buyer, other
	}
	switch {
	case p.Out && p.Returned != "" && p.Amount > x.Paid:
		return nil, noMatch("it takes back %s of invoice %s, on which %s was paid", p.Amount, x.Invoice, x.Paid)
	case p.Out && p.Returned != "":
		m.Outcome = Returned
	case p.Out && p.Amount > -x.Due:
		return nil, noMatch("it pays out %s on invoice %s, on which %s is due to the buyer", p.Amount, x.Invoice, max(0, -x.Due))
	case p.Out:
		m.Outcome = Refunded
	case p.Returned != "":
		m.Outcome = Returned // a refund that came back
	case m.Left == 0:
		m.Outcome = Paid
	case m.Left > 0:
		m.Outcome = Partial
	default:
		m.Outcome = Over
	}
	return m, nil
}
