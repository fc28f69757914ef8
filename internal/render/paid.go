package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

// Paid are the payments of contracts to and from the party and its devices.
type Paid struct {
	Zone  tariff.Zone // the first invoice's, UTC where there is none
	Lines []Payment
	Sums  []PaidSum // by currency
}

// A Payment is one that a contract made.
type Payment struct {
	Contract string
	Version  uint32
	Run      uint64
	Event    string
	Invoice  string // that led to it, or
	Session  string // that was settled, or neither
	At       lamppost.TimeMS
	From, To Party
	Amount   lamppost.Micro
	Currency string
	Note     string // of the contract's program
}

// A PaidSum is what the payments in a currency come to. A payment between two accounts of the party is in both.
type PaidSum struct {
	Currency       string
	Received, Paid lamppost.Micro
}

// paid reads the payments of a statement.
func (b *builder) paid(p *Page) *Paid {
	all := b.st.Payments()
	if len(all) == 0 {
		return nil
	}
	out := &Paid{}
	if len(p.Invoices) > 0 {
		out.Zone = p.Invoices[0].Zone
	}
	for i, x := range all {
		words, r := &b.st.Paid.Lines[i], x.Run
		at, ok := b.st.Evidence().Time(r.Tx.Height)
		if !ok {
			at = r.Event.Time
		}
		out.Lines = append(out.Lines, Payment{words.Contract, words.Version, words.Run, words.Event, words.Invoice, words.Session, at, b.party(words.From), b.party(words.To),
			x.Amount, words.Currency, words.Note})
	}
	for _, x := range b.st.Paid.Sums {
		out.Sums = append(out.Sums, sumOf(x))
	}
	return out
}

// sumOf reads a sum, which the statement wrote from one.
func sumOf(x audit.PaidSum) PaidSum {
	received, err1 := lamppost.ParseMicro(x.Received)
	paid, err2 := lamppost.ParseMicro(x.Paid)
	if err1 != nil || err2 != nil {
		panic(fmt.Sprintf("render: sums of payments %q and %q", x.Received, x.Paid))
	}
	return PaidSum{x.Currency, received, paid}
}

// paid writes them as a table, sums last.
func (s *sheet) paid(p *Paid) *grid {
	if p == nil {
		return nil
	}
	l := s.l
	money := func(m lamppost.Micro, currency string) string { return l.money(fixed(m, currency), currency) }
	g := &grid{Title: l.text("paid"), Intro: l.text("paid.intro"), Left: 5,
		Head: []string{l.text("issued"), l.text("paid.contract"), l.text("paid.for"), l.text("seller"), l.text("buyer"), l.text("amount")}}
	for i := range p.Lines {
		x := &p.Lines[i]
		why := x.Event
		switch {
		case x.Invoice != "":
			why = l.text("invoice", "number", x.Invoice)
		case x.Session != "":
			why = l.text("proof.session", "id", x.Session)
		}
		if x.Note != "" {
			why = l.text("named", "name", why, "text", x.Note)
		}
		g.Rows = append(g.Rows, []string{l.date(p.Zone, x.At), x.Contract, why, x.From.Name, x.To.Name, money(x.Amount, x.Currency)})
		s.Issued = later(s.Issued, local(p.Zone, x.At))
	}
	for _, x := range p.Sums {
		for _, sum := range [...]struct {
			name   string
			amount lamppost.Micro
		}{{l.text("paid.received"), x.Received}, {l.text("paid.paid"), x.Paid}, {l.text("paid.balance"), x.Received - x.Paid}} {
			g.Rows = append(g.Rows, []string{sum.name, "", "", "", "", money(sum.amount, x.Currency)})
		}
	}
	return g
}

// paidRow writes a payment for spreadsheets: in the columns of an invoice what those mean, and further ones.
func (p *Paid) row(x *Payment) []string {
	row := make([]string, len(csvColumns))
	set := func(column, text string) { row[slices.Index(csvColumns, column)] = text }
	set("kind", "payment")
	set("invoice", x.Invoice)
	set("issued", iso(p.Zone, x.At))
	set("currency", x.Currency)
	set("amount", fixed(x.Amount, x.Currency))
	set("session", x.Session)
	set("contract", x.Contract)
	set("contract_version", fmt.Sprint(x.Version))
	set("run", fmt.Sprint(x.Run))
	set("event", x.Event)
	set("payer", x.From.ID)
	set("payer_name", safe(x.From.Name))
	set("payee", x.To.ID)
	set("payee_name", safe(x.To.Name))
	set("note", safe(strings.TrimSpace(x.Note)))
	return row
}
