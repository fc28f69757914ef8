package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/shadow"
	"github.com/lamppost/lamppost/tariff"
)

// SummaryList answers /api/invoices/summaries.
type SummaryList struct {
	Invoices []shadow.Invoice `json:"invoices"`
}

// getSummaries lists the invoices of a time in short, without those that were replaced.
func (s *Server) getSummaries(w http.ResponseWriter, r *http.Request) error {
	from, err := queryNumber(r, "from_ms", 0, 1<<62)
	if err != nil {
		return err
	}
	to, err := queryNumber(r, "to_ms", 1<<62, 1<<62)
	if err != nil {
		return err
	}
	seller := lamppost.PartyID(r.URL.Query().Get("seller"))
	out := SummaryList{Invoices: []shadow.Invoice{}}
	err = s.snapshot(func(v archive.View) error {
		levies := levyNames{view: ledger.View{Reader: v}, known: map[string][]string{}}
		before := map[string][]string{} // numbers that an invoice replaced, from the newest back
		return eachInvoice(v, "", func(inv *tariff.Invoice, _ ledger.Place) bool {
			if inv.Corrects != nil {
				before[inv.Corrects.Number] = append(before[inv.Number], inv.Number)
			}
			if inv.From < lamppost.TimeMS(from) || inv.To > lamppost.TimeMS(to) || seller != "" && inv.Seller != seller {
				return true
			}
			if newer := before[inv.Number]; len(newer) > 0 {
				for i := range out.Invoices {
					if x := &out.Invoices[i]; x.Number == newer[0] {
						x.Numbers = append(x.Numbers, inv.Number)
					}
				}
				return true
			}
			out.Invoices = append(out.Invoices, inShort(inv, &levies))
			return true
		})
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// inShort is an invoice as it is compared.
func inShort(inv *tariff.Invoice, levies *levyNames) shadow.Invoice {
	x := shadow.Invoice{Number: inv.Number, Numbers: []string{inv.Number}, Buyer: inv.Buyer, Currency: inv.Currency, From: inv.From, To: inv.To,
		Net: inv.Net, Tax: inv.Total - inv.Net, Total: inv.Total, Points: []shadow.Point{}}
	at := map[string]int{}
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		j, ok := at[s.Point]
		if !ok {
			j = len(x.Points)
			at[s.Point], x.Points = j, append(x.Points, shadow.Point{Point: s.Point})
		}
		p := &x.Points[j]
		for k := range s.Lines {
			l := &s.Lines[k]
			p.Net, p.Lines = p.Net+l.Amount, p.Lines+1
			if l.Kind() != tariff.ByUse || slices.Contains(levies.of(s), l.Band) {
				continue
			}
			q := l.Quantity
			q.Exponent -= int8(s.Scale)
			if sum, ok := p.Quantity.Add(q); ok {
				p.Quantity = sum
			}
		}
	}
	return x
}

// levyNames are the levies of tariffs, whose lines count the same use again.
type levyNames struct {
	view  ledger.View
	known map[string][]string
}

func (n *levyNames) of(s *tariff.InvoiceSupply) []string {
	key := fmt.Sprint(s.Tariff, " ", s.Version)
	names, ok := n.known[key]
	if ok {
		return names
	}
	if t, err := n.view.Tariff(s.Tariff, s.Version); err == nil { // it is there, or there would be no invoice
		for _, l := range t.Levies {
			names = append(names, l.Name)
		}
	}
	n.known[key] = names
	return names
}
