package api

import (
	"context"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// list answers with what read returns, an empty list as [] and never as null.
func list[B any](s *Server, w http.ResponseWriter, read func(ledger.View) ([]B, error), wrap func([]B) any) error {
	all, err := read(ledger.View{Reader: s.cfg.Store})
	if err != nil {
		return err
	}
	if all == nil {
		all = []B{}
	}
	return writeJSON(w, http.StatusOK, wrap(all))
}

func (s *Server) getParties(w http.ResponseWriter, _ *http.Request) error {
	return list(s, w, ledger.View.Parties, func(all []lamppost.PartyBody) any { return PartyList{all} })
}

func (s *Server) getPoints(w http.ResponseWriter, _ *http.Request) error {
	return list(s, w, ledger.View.Points, func(all []lamppost.PointBody) any { return PointList{all} })
}

func (s *Server) getTariffs(w http.ResponseWriter, _ *http.Request) error {
	return list(s, w, ledger.View.Tariffs, func(all []tariff.Tariff) any { return TariffList{all} })
}

func (s *Server) getAgreements(w http.ResponseWriter, _ *http.Request) error {
	return list(s, w, ledger.View.Agreements, func(all []lamppost.AgreementBody) any { return AgreementList{all} })
}

// getAccounts answers with the balances after one block, and which.
func (s *Server) getAccounts(w http.ResponseWriter, _ *http.Request) error {
	out := AccountList{Accounts: []ledger.Account{}}
	err := s.snapshot(func(r archive.View) (err error) {
		if out.Height, _, err = replica.Position(r); err != nil {
			return err
		}
		all, err := ledger.View{Reader: r}.Accounts()
		out.Accounts = append(out.Accounts, all...)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postParty(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.PartyBody](s, w, r, lamppost.TxParty)
}

func (s *Server) postCredit(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.CreditBody](s, w, r, lamppost.TxCredit)
}

func (s *Server) postPoint(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.PointBody](s, w, r, lamppost.TxPoint)
}

func (s *Server) postTariff(w http.ResponseWriter, r *http.Request) error {
	return post[tariff.Tariff](s, w, r, lamppost.TxTariff)
}

func (s *Server) postAgreement(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.AgreementBody](s, w, r, lamppost.TxAgreement)
}

func (s *Server) postTransfer(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.TransferBody](s, w, r, lamppost.TxTransfer)
}

func (s *Server) postInvoice(w http.ResponseWriter, r *http.Request) error {
	return post[lamppost.InvoiceBody](s, w, r, lamppost.TxInvoice)
}

// post reads an order's body, has it decided, and answers once it is committed. The ledger judges what it says.
func post[B any](s *Server, w http.ResponseWriter, r *http.Request, t lamppost.TxType) error {
	var body B
	if err := readJSON(r, &body); err != nil {
		return err
	}
	return s.order(w, r, t, body)
}

func (s *Server) order(w http.ResponseWriter, r *http.Request, t lamppost.TxType, body any) error {
	ctx, cancel := context.WithTimeout(r.Context(), orderTimeout)
	defer cancel()
	d, err := s.cfg.Order.do(ctx, t, body)
	if err != nil {
		return err
	}
	done, err := doneOf(t, d)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, done)
}

// doneOf tells what an accepted order made.
func doneOf(t lamppost.TxType, d consensus.Decision) (done Done, err error) {
	out := d.Outcomes[0]
	done = Done{Height: d.Height, Index: d.Index, Outcome: out.Code.String()}
	if t == lamppost.TxNetwork && len(out.Data) == 2 {
		done.Have, done.Need = int(out.Data[0]), int(out.Data[1])
	}
	if out.Code != lamppost.CodeOK || len(out.Data) == 0 {
		return done, nil
	}
	switch t {
	case lamppost.TxSettle:
		err = lamppost.Unmarshal(out.Data, &done.Lines)
	case lamppost.TxInvoice, lamppost.TxCorrect:
		done.Invoice = new(tariff.Invoice)
		err = lamppost.Unmarshal(out.Data, done.Invoice)
	case lamppost.TxPayout:
		var p tariff.Profit
		err = lamppost.Unmarshal(out.Data, &p)
		period := periodOf(&p)
		done.Period = &period
	case lamppost.TxCall:
		var x ledger.Run
		err = lamppost.Unmarshal(out.Data, &x)
		x.At = ledger.Place{Height: d.Height, Index: d.Index}
		run := shownRun(&x)
		done.Run = &run
	case lamppost.TxCash:
		err = lamppost.Unmarshal(out.Data, &done.Cashed)
	case lamppost.TxFraud:
		done.Correction = new(lamppost.Correction)
		err = lamppost.Unmarshal(out.Data, done.Correction)
	}
	return done, err
}
