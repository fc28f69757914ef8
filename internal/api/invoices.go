package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// getInvoices lists invoices, the newest first.
func (s *Server) getInvoices(w http.ResponseWriter, req *http.Request) error {
	buyer, seller := lamppost.PartyID(req.URL.Query().Get("buyer")), lamppost.PartyID(req.URL.Query().Get("seller"))
	out := InvoiceList{Invoices: []InvoiceEntry{}}
	err := s.snapshot(func(r archive.View) error {
		var replacedErr error
		err := eachInvoice(r, buyer, func(inv *tariff.Invoice, at ledger.Place) bool {
			if seller != "" && inv.Seller != seller {
				return true
			}
			e := InvoiceEntry{Number: inv.Number, Seller: inv.Seller, Buyer: inv.Buyer, Currency: inv.Currency, From: inv.From, To: inv.To, Issued: inv.Issued,
				Net: inv.Net, Total: inv.Total, Due: inv.Due(), Height: at.Height, Index: at.Index}
			if inv.Corrects != nil {
				e.Corrects = inv.Corrects.Number
			}
			e.Replaced, replacedErr = ledger.View{Reader: r}.Replaced(inv.Seller, inv.Number)
			out.Invoices = append(out.Invoices, e)
			return replacedErr == nil && len(out.Invoices) < maxListed
		})
		return errors.Join(err, replacedErr)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// eachInvoice reads the invoices of a buyer, or of all where it is empty, from the newest back, until fn returns false.
func eachInvoice(r archive.View, buyer lamppost.PartyID, fn func(*tariff.Invoice, ledger.Place) bool) error {
	view := ledger.View{Reader: r}
	places, err := view.AllInvoices()
	if buyer != "" {
		places, err = view.Invoices(buyer)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(places, func(a, b ledger.Place) int {
		return cmp.Or(cmp.Compare(b.Height, a.Height), cmp.Compare(b.Index, a.Index))
	})
	for _, at := range places {
		inv, err := replica.Invoice(r, at)
		if err != nil {
			return err
		}
		if !fn(inv, at) {
			return nil
		}
	}
	return nil
}

func (s *Server) getInvoice(w http.ResponseWriter, req *http.Request) error {
	number := req.PathValue("number")
	var out Invoice
	err := s.snapshot(func(r archive.View) error {
		view := ledger.View{Reader: r}
		inv, at, err := invoiceOf(r, number)
		if err != nil {
			return err
		}
		out = Invoice{Invoice: *inv, SellerName: nameOf(view, inv.Seller), BuyerName: nameOf(view, inv.Buyer), Due: inv.Due(), Height: at.Height, Index: at.Index}
		if out.Replaced, err = view.Replaced(inv.Seller, inv.Number); err != nil {
			return err
		}
		out.FoundSince, err = view.FoundSince(inv)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// nameOf is a party's name, or nothing: a name is for people and no reason to fail.
func nameOf(view ledger.View, id lamppost.PartyID) string {
	p, err := view.Party(id)
	if err != nil {
		return ""
	}
	return p.Name
}
