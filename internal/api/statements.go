package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// getStatement hands out the statement of a party's invoices and of what contracts paid to or from it: the file that proves itself, or with ?format= a copy for people.
func (s *Server) getStatement(w http.ResponseWriter, req *http.Request) error {
	party, query := lamppost.PartyID(req.PathValue("party")), req.URL.Query()
	format, o := query.Get("format"), render.Options{Lang: query.Get("lang"), Invoice: query.Get("invoice")}
	ahead, err := strconv.ParseBool(cmp.Or(query.Get("outlook"), "true"))
	if err != nil {
		return badRequest("outlook=%q: expected true or false", clip(query.Get("outlook")))
	}
	if format == "" || format == "json" {
		if o.Lang+o.Invoice+query.Get("outlook") != "" {
			return badRequest("lang, invoice and outlook are for copies: say ?format= and one of %s", strings.Join(render.Formats, ", "))
		}
		st, err := s.statement(party)
		if err != nil {
			return err
		}
		return writeFile(w, &render.Document{Name: "statement.json", Type: "application/json", Data: st.Encode()})
	}
	if err := render.Check(format, o.Lang); err != nil { // before the proof is gathered
		return badRequest("%v", err)
	}
	st, err := s.statement(party)
	if err == nil {
		o.Details, err = s.details()
	}
	if err == nil && ahead && (format == "html" || format == "pdf") {
		err = s.snapshot(func(r archive.View) (err error) {
			o.Outlook, err = outlookOf(r, party, o.Details, s.cfg.Now())
			return err
		})
	}
	if err != nil {
		return err
	}
	d, err := render.Render(st, format, o)
	var input *render.InputError
	if errors.As(err, &input) {
		return badRequest("%v", err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return writeFile(w, d)
}

// statement is made by checking the proof against the network's own pin, so what leaves here holds at the customer's too, or
// does not leave.
func (s *Server) statement(party lamppost.PartyID) (st *audit.Statement, err error) {
	err = s.proven(func(r archive.View) (replica.Want, error) {
		view := ledger.View{Reader: r}
		body, err := view.Party(party)
		if errors.Is(err, kv.ErrNotFound) {
			return replica.Want{}, notFound("no party %q", clip(string(party)))
		}
		if err == nil {
			err = erasedParty(view, &body)
		}
		if err != nil {
			return replica.Want{}, err
		}
		want, err := replica.WantStatement(r, party)
		var refusal *lamppost.Refusal
		if errors.As(err, &refusal) && len(want.Txs) == 0 {
			return want, notFound("party %q has no invoice yet, and no contract paid to or from it: POST /api/invoices makes an invoice", party)
		}
		return want, err
	}, func(p *lamppost.Proof, pin *audit.Pin) (err error) {
		st, err = audit.NewStatement(p, pin, party)
		return err
	})
	return st, err
}

// getReceipt hands out the receipt of one of a device's last reports.
func (s *Server) getReceipt(w http.ResponseWriter, req *http.Request) error {
	device := lamppost.DeviceID(req.PathValue("device"))
	epoch, err1 := strconv.ParseUint(req.PathValue("epoch"), 10, 32)
	n, err2 := strconv.ParseUint(req.PathValue("n"), 10, 63)
	if err1 != nil || err2 != nil {
		return badRequest("a report is named by its device, epoch and number: /api/receipts/<device>/1/42")
	}
	var receipt *audit.Receipt
	err := s.proven(func(r archive.View) (replica.Want, error) {
		view, seq := ledger.View{Reader: r}, lamppost.Seq{Epoch: uint32(epoch), N: n}
		at, report, err := view.Recent(device, seq)
		if errors.Is(err, kv.ErrNotFound) {
			return replica.Want{}, forgottenReport(view, device, seq)
		}
		if err != nil {
			return replica.Want{}, err
		}
		return replica.WantReport(r, tariff.Source{Height: at.Height, Tx: at.Index, Report: report})
	}, func(p *lamppost.Proof, pin *audit.Pin) (err error) {
		receipt, err = audit.NewReceipt(p, pin)
		return err
	})
	if err != nil {
		return err
	}
	return writeFile(w, &render.Document{Name: "receipt.json", Type: "application/json", Data: receipt.Encode()})
}

// proven gathers a proof against the latest published checkpoint, where there are witnesses the latest cosigned one, and
// lets file check it. The checkpoint is taken before the snapshot: then the snapshot has all that the checkpoint covers.
func (s *Server) proven(want func(archive.View) (replica.Want, error), file func(*lamppost.Proof, *audit.Pin) error) error {
	c, checkpointErr := s.provable()
	return s.snapshot(func(r archive.View) error {
		what, err := want(r)
		if err != nil {
			return s.unpublished(err)
		}
		if checkpointErr != nil {
			return checkpointErr
		}
		proof, err := replica.Prove(r, s.cfg.Network, c.Notes(), s.tree(c.Checkpoint), what)
		if err != nil {
			return s.unpublished(err)
		}
		proof.Witnesses = c.Keys
		pin, err := s.pin(r)
		if err != nil {
			return err
		}
		if err := file(proof, pin); err != nil {
			return fmt.Errorf("a proof of this node does not hold: %w", err)
		}
		return nil
	})
}

// writeFile answers with a file to be saved.
func writeFile(w http.ResponseWriter, d *render.Document) error {
	w.Header().Set("Content-Type", d.Type)
	w.Header().Set("Content-Disposition", `attachment; filename="`+d.Name+`"`)
	_, err := w.Write(d.Data)
	return err
}
