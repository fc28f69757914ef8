package render_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/render"
)

// paid are two payments of contracts, one of each kind of reason, in the second with a name that is markup and a formula.
func (h *house) paid() *render.Paid {
	anna, carl := render.Party{ID: "anna", Name: "Anna Fischer"}, render.Party{ID: "carl", Name: "=<b>Carl</b>"}
	return &render.Paid{Zone: h.zone, Lines: []render.Payment{
		{Contract: "cashback", Version: 2, Run: 7, Event: "split", Invoice: "ST-000042", At: h.at("2026-12-01 00:01"), From: carl, To: anna, Amount: micro(h.t, "1234.5"), Currency: "EUR", Note: "5 % back"},
		{Contract: "cashback", Version: 2, Run: 8, Event: "breach", At: h.at("2026-12-02 12:00"), From: anna, To: carl, Amount: micro(h.t, "0.125"), Currency: "EUR"}},
		Sums: []render.PaidSum{{Currency: "EUR", Received: micro(h.t, "1234.5"), Paid: micro(h.t, "0.125")}}}
}

// What contracts paid stands after the invoices in every language, with its sums, and says what is not proven of it.
func TestPaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for lang, want := range map[string][]string{
		"en":    {"Payments by contracts", "that none is missing is not", "1 December 2026", "Invoice ST-000042: 5 % back", "€1,234.50", "€0.125", "Received less paid", "€1,234.375", "breach"},
		"de-AT": {"Zahlungen durch Verträge", "dass keine fehlt, ist es nicht", "Rechnung ST-000042", "Erhalten abzüglich gezahlt"},
		"es":    {"Pagos de contratos", "que no falte ninguno, no", "1.234,50"}, "fr": {"Paiements par contrats", "qu’il n’en manque aucun ne l’est pas"},
		"nl": {"Betalingen door contracten", "dat er geen ontbreekt, is dat niet"},
	} {
		p := h.pageOf()
		p.Paid = h.paid()
		page := string(must(p.Render("html", lang))(t).Data)
		for _, w := range append(want, "&lt;b&gt;Carl") {
			if !strings.Contains(page, w) {
				t.Errorf("%s: no %q on the page", lang, w)
			}
		}
		if strings.Contains(page, "<b>") {
			t.Errorf("%s: a name is markup", lang)
		}
		if d := must(p.Render("pdf", lang))(t); !bytes.HasPrefix(d.Data, []byte("%PDF")) || d.Name != "statement-anna.pdf" {
			t.Errorf("%s: %s begins with %.8q", lang, d.Name, d.Data)
		}
	}
}

// Each payment is a row of the CSV of its own kind, which no invoice's column misleads about.
func TestPaidCSV(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.pageOf()
	p.Paid = h.paid()
	rows := must(csv.NewReader(bytes.NewReader(must(p.Render("csv", "en"))(t).Data)).ReadAll())(t)
	at := func(row []string, column string) string { return row[slices.Index(rows[0], column)] }
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for column, want := range map[string]string{"kind": "payment", "invoice": "ST-000042", "issued": "2026-12-01T00:01:00+01:00", "currency": "EUR", "amount": "1234.50", "invoice_total": "", "line": "",
		"contract": "cashback", "contract_version": "2", "run": "7", "event": "split", "payer": "carl", "payer_name": "'=<b>Carl</b>", "payee": "anna", "payee_name": "Anna Fischer", "note": "5 % back"} {
		if got := at(rows[1], column); got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
	var input *render.InputError
	if _, err := p.Render("xml", "en"); !errors.As(err, &input) {
		t.Errorf("as an electronic invoice: %v", err)
	}
}
