package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/sepa"
)

// A SEPAOrder asks for a file for a seller's bank, in POST /api/sepa.
type SEPAOrder struct {
	Kind    string           `json:"kind"` // debits: what buyers with a mandate owe; credits: what is due to buyers
	Seller  lamppost.PartyID `json:"seller"`
	Date    string           `json:"date"`    // the earliest, as 2026-11-30
	Exclude []string         `json:"exclude"` // invoices that an earlier file has
}

// A SEPAFile answers it. It moves nothing: what came of it is known from the bank.
type SEPAFile struct {
	ID       string         `json:"id"`       // the message's
	File     string         `json:"file"`     // XML; empty: there is nothing to pay
	Payments int            `json:"payments"` // in it
	Sum      lamppost.Micro `json:"sum"`
	Skipped  []SEPALeft     `json:"skipped"` // without a mandate, in another currency, or in an earlier file
	Refused  []SEPALeft     `json:"refused"` // what a bank would refuse
}

// A SEPALeft is an invoice that is not in the file.
type SEPALeft struct {
	Invoice string           `json:"invoice"`
	Party   lamppost.PartyID `json:"party"`
	Amount  lamppost.Micro   `json:"amount"`
	Text    string           `json:"text"` // why
}

// postSEPA writes a file for a bank. It books nothing.
func (s *Server) postSEPA(w http.ResponseWriter, r *http.Request) error {
	var in SEPAOrder
	if err := readJSON(r, &in); err != nil {
		return err
	}
	day, err := time.Parse(time.DateOnly, in.Date)
	if err != nil || in.Kind != "debits" && in.Kind != "credits" {
		return badRequest("kind %q is debits or credits, and date %q one like 2026-11-30", clip(in.Kind), clip(in.Date))
	}
	details, err := s.details()
	if err != nil {
		return err
	}
	x := &sepaWriter{SEPAOrder: in, day: day, details: details, view: ledger.View{Reader: s.cfg.Store}, out: SEPAFile{Skipped: []SEPALeft{}, Refused: []SEPALeft{}}}
	seller := details[string(in.Seller)]
	x.message = sepa.Message{Created: time.UnixMilli(int64(s.cfg.Now())), Self: x.party(in.Seller), CreditorID: seller.CreditorID}
	if err := sepa.CheckSelf(&x.message.Self, seller.CreditorID, x.debits()); err != nil {
		return badRequest("seller %q cannot send this to a bank: %s; the setting parties names the file with iban and creditor_id", clip(string(in.Seller)), oneText(err))
	}
	err = s.withDues(r.Context(), func(d *books.Dues) error {
		for _, due := range d.List(in.Seller, "", false) {
			x.add(&due)
		}
		return nil
	})
	if err == nil {
		err = x.write()
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, x.out)
}

// A sepaWriter makes one file.
type sepaWriter struct {
	SEPAOrder
	day     time.Time
	details render.Details
	view    ledger.View
	message sepa.Message
	out     SEPAFile
}

func (x *sepaWriter) debits() bool { return x.Kind == "debits" }

// add puts what is due on an invoice into the message, or says why not.
func (x *sepaWriter) add(due *books.Due) {
	amount := due.Due
	if !x.debits() {
		amount = -amount
	}
	if amount <= 0 {
		return
	}
	left := SEPALeft{Invoice: due.Invoice, Party: due.Buyer, Amount: amount}
	mandate, mandated := x.details[string(due.Buyer)].Mandates[x.Seller]
	switch {
	case due.Currency != "EUR":
		left.Text = "it is in " + due.Currency + ": the area pays in euros"
	case slices.ContainsFunc(due.Numbers, func(n string) bool { return slices.Contains(x.Exclude, n) }):
		left.Text = "an earlier file has it"
	case x.debits() && !mandated:
		left.Text = "no mandate: the buyer pays by itself"
	}
	if left.Text != "" {
		x.out.Skipped = append(x.out.Skipped, left)
		return
	}
	day, err := x.date(due)
	p := sepa.Payment{EndToEnd: due.Invoice, Amount: amount, Date: day, Party: x.party(due.Buyer), Text: "Invoice " + due.Invoice}
	if x.debits() {
		p.Mandate, p.Signed, p.Sequence = mandate.ID, mandate.Signed, mandate.Sequence
		if p.Sequence == "" {
			p.Sequence = "RCUR"
		}
	} else {
		p.Text = "Refund of invoice " + due.Invoice
	}
	if err = errors.Join(err, sepa.Check(&p, x.debits())); err != nil {
		left.Text = oneText(err)
		x.out.Refused = append(x.out.Refused, left)
		return
	}
	x.message.Payments = append(x.message.Payments, p)
}

// date is when an invoice is due, as the invoice says on its tariff's clock, not before the day that was asked for, and not on a weekend.
func (x *sepaWriter) date(due *books.Due) (string, error) {
	day := x.day
	if x.debits() {
		t, err := x.view.Tariff(due.Tariff, due.Version)
		if err != nil {
			return "", fmt.Errorf("the clock of invoice %s, by tariff %q: %w", due.Invoice, due.Tariff, err)
		}
		issued := time.UnixMilli(int64(due.Issued)).In(time.FixedZone("", t.Zone.OffsetAt(due.Issued)*60))
		issued = time.Date(issued.Year(), issued.Month(), issued.Day(), 0, 0, 0, 0, time.UTC)
		if d := issued.AddDate(0, 0, x.details[string(due.Seller)].DueDays); d.After(day) {
			day = d
		}
	}
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, 1)
	}
	return day.Format(time.DateOnly), nil
}

func (x *sepaWriter) party(id lamppost.PartyID) sepa.Party {
	p := x.details[string(id)]
	return sepa.Party{Name: partyName(x.view, id), IBAN: p.IBAN, BIC: p.BIC, Street: p.Street, Postcode: p.Postcode, City: p.City, Country: p.Country}
}

func (x *sepaWriter) write() (err error) {
	if len(x.message.Payments) == 0 {
		return nil
	}
	write := x.message.Credits
	if x.debits() {
		write = x.message.Debits
	}
	text, err := write()
	x.out.ID, x.out.File, x.out.Payments, x.out.Sum = x.message.ID(), string(text), len(x.message.Payments), x.message.Sum()
	return err
}

// oneText puts several errors on one line.
func oneText(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
