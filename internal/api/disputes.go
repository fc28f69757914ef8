package api

import (
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// A Dispute answers GET /api/disputes/{id}.
type Dispute struct {
	lamppost.DisputeBody
	Status   string           `json:"status"` // State in a word
	Buyer    lamppost.PartyID `json:"buyer"`
	Currency string           `json:"currency"`
	Total    lamppost.Micro   `json:"total"`       // of the invoice
	Overdue  bool             `json:"overdue"`     // open, and the seller should have answered
	Replaced string           `json:"replaced_by"` // the number of what corrected the invoice
}

// DisputeList answers GET /api/disputes.
type DisputeList struct {
	Disputes []Dispute `json:"disputes"`
}

func (s *Server) postReading(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.ReadingBody](s, w, r, lamppost.TxReading)
}

func (s *Server) postCorrection(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.CorrectBody](s, w, r, lamppost.TxCorrect)
}

func (s *Server) postDispute(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.DisputeBody](s, w, r, lamppost.TxDispute)
}

func (s *Server) postConversion(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.ConvertBody](s, w, r, lamppost.TxConvert)
}

// getDisputes lists all disputes by id, or with ?status= those in one state.
func (s *Server) getDisputes(w http.ResponseWriter, req *http.Request) error {
	status := req.URL.Query().Get("status")
	out := DisputeList{Disputes: []Dispute{}}
	err := s.snapshot(func(r archive.View) error {
		all, err := ledger.View{Reader: r}.Disputes()
		if err != nil {
			return err
		}
		for i := range all {
			if status != "" && all[i].State.String() != status {
				continue
			}
			d, err := s.disputed(r, all[i])
			if err != nil {
				return err
			}
			if out.Disputes = append(out.Disputes, d); len(out.Disputes) == maxListed {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) getDispute(w http.ResponseWriter, req *http.Request) error {
	var out Dispute
	err := s.snapshot(func(r archive.View) error {
		b, err := disputeOf(r, req.PathValue("id"))
		if err == nil {
			out, err = s.disputed(r, b)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func disputeOf(r archive.View, id string) (lamppost.DisputeBody, error) {
	b, err := ledger.View{Reader: r}.Dispute(id)
	if errors.Is(err, kv.ErrNotFound) {
		err = notFound("no dispute %q: GET /api/disputes lists them", clip(id))
	}
	return b, err
}

// disputed adds to a dispute what its invoice says.
func (s *Server) disputed(r archive.View, b lamppost.DisputeBody) (Dispute, error) {
	d := Dispute{DisputeBody: b, Status: b.State.String(), Overdue: b.State == lamppost.DisputeOpen && s.cfg.Now() > b.Until}
	inv, _, err := invoiceOf(r, b.Invoice)
	if err != nil {
		return d, err
	}
	d.Buyer, d.Currency, d.Total = inv.Buyer, inv.Currency, inv.Total
	d.Replaced, err = ledger.View{Reader: r}.Replaced(b.Seller, b.Invoice)
	return d, err
}

// invoiceOf reads the invoice of a number.
func invoiceOf(r archive.View, number string) (*tariff.Invoice, ledger.Place, error) {
	at, err := ledger.View{Reader: r}.InvoiceAt(number)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, at, notFound("no invoice %q", clip(number))
	}
	if err != nil {
		return nil, at, err
	}
	inv, err := replica.Invoice(r, at)
	return inv, at, err
}
