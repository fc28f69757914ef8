package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
)

// DueList answers /api/dues.
type DueList struct {
	Height lamppost.Height `json:"height"`
	Dues   []books.Due     `json:"dues"`
}

// Payments are what a bank or a payment provider reports, in POST /api/payments.
type Payments struct {
	Payments []books.Payment `json:"payments"`
	DryRun   bool            `json:"dry_run"` // nothing is booked; the outcomes say what would be
}

// PaymentResults answers with an outcome for each payment, in their sequence.
type PaymentResults struct {
	Results []PaymentResult `json:"results"`
}

// A PaymentResult is what became of a payment.
type PaymentResult struct {
	Reference string          `json:"reference"`
	Outcome   string          `json:"outcome"` // paid, partial, over, returned, refunded; unchanged: booked before; unmatched; or a code
	Text      string          `json:"text,omitempty"`
	Invoice   string          `json:"invoice,omitempty"`
	By        string          `json:"by,omitempty"`   // end_to_end, text or amount
	Left      lamppost.Micro  `json:"left,omitempty"` // due on the invoice after it
	Height    lamppost.Height `json:"height,omitempty"`

	refused error // why it was not booked
}

// Unmatched is the outcome of a payment that says too little or fits nothing.
const Unmatched = "unmatched"

// withDues brings the dues up to date and calls fn with them. While it runs no payment is booked.
func (s *Server) withDues(ctx context.Context, fn func(*books.Dues) error) error {
	s.booking.Lock()
	defer s.booking.Unlock()
	if s.dues == nil {
		s.dues = books.NewDues()
	}
	if err := s.dues.Update(ctx, s.snapshot); err != nil {
		s.dues = nil
		return err
	}
	return fn(s.dues)
}

func (s *Server) getDues(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	var out DueList
	err := s.withDues(r.Context(), func(d *books.Dues) error {
		out = DueList{d.Height, d.List(lamppost.PartyID(q.Get("seller")), lamppost.PartyID(q.Get("buyer")), q.Get("settled") == "true")}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// postPayments books what was paid, once for each reference.
func (s *Server) postPayments(w http.ResponseWriter, r *http.Request) error {
	var in Payments
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if len(in.Payments) == 0 || len(in.Payments) > MaxPayments {
		return badRequest("body: %d payments, not 1 to %d", len(in.Payments), MaxPayments)
	}
	results, err := s.book(r.Context(), in.Payments, in.DryRun)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, PaymentResults{results})
}

// book books payments one after the other, whoever reported them. A dry run orders nothing.
func (s *Server) book(ctx context.Context, payments []books.Payment, dry bool) (results []PaymentResult, err error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	err = s.withDues(ctx, func(d *books.Dues) error {
		for i := range payments {
			res, undo := s.pay(ctx, d, &payments[i], accounts, dry)
			defer undo()
			results = append(results, res)
			if dry {
				continue
			}
			if err := d.Update(ctx, s.snapshot); err != nil {
				s.dues = nil
				return err
			}
		}
		return nil
	})
	return results, err
}

// pay books one payment, or says why not. A dry run counts it until undo is called.
func (s *Server) pay(ctx context.Context, d *books.Dues, p *books.Payment, a *books.Accounts, dry bool) (res PaymentResult, undo func()) {
	res, undo = PaymentResult{Reference: p.Reference}, func() {}
	if at, ok := d.Booked(p.Reference); ok && p.Reference != "" {
		res.Outcome, res.Height = OutcomeUnchanged, at.Height
		return res, undo
	}
	m, err := d.Match(p, a)
	var none *books.NoMatch
	if errors.As(err, &none) {
		res.Outcome, res.Text = Unmatched, none.Reason
		res.refused = &statusError{http.StatusConflict, Unmatched, none.Reason}
		return res, undo
	}
	res.Outcome, res.Invoice, res.By, res.Left = m.Outcome, m.Invoice, m.By, m.Left
	if dry {
		return res, d.Try(m)
	}
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	decision, err := s.cfg.Order.do(ctx, lamppost.TxTransfer, m.Transfer)
	if res.Height = decision.Height; err != nil {
		answer := answerOf(err)
		res.Outcome, res.Text, res.Left, res.refused = answer.code, answer.text, 0, err
	}
	return res, undo
}

// accounts are what the parties' details say of accounts.
func (s *Server) accounts() (*books.Accounts, error) {
	a := &books.Accounts{Owners: map[string][]lamppost.PartyID{}, Clearing: map[lamppost.PartyID]lamppost.PartyID{}}
	details, err := s.details()
	for id, p := range details {
		if p.IBAN != "" {
			a.Owners[p.IBAN] = append(a.Owners[p.IBAN], lamppost.PartyID(id))
		}
		if p.Clearing != "" {
			a.Clearing[lamppost.PartyID(id)] = p.Clearing
		}
	}
	return a, err
}

// details are what is known of the parties beyond the log.
func (s *Server) details() (render.Details, error) {
	if s.cfg.Details == nil {
		return nil, nil
	}
	d, err := s.cfg.Details()
	if err != nil {
		return nil, &statusError{http.StatusInternalServerError, "internal", "the node's file of parties cannot be read: " + err.Error()}
	}
	return d, nil
}

// partyName is a party's name, or its id where the name was erased.
func partyName(v ledger.View, id lamppost.PartyID) string {
	if name := nameOf(v, id); name != "" {
		return name
	}
	return string(id)
}
