package render_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

// orders is a statement with all that bills had not at first: blocks, levies, a peak, a minimum, a buyer without tax, sessions with a
// maximum, and corrections in both directions, one of which takes back everything.
func (h *house) orders() *render.Page {
	h.t.Helper()
	water := h.water()
	water.Bands[0].Price, water.Capacity, water.Minimum = 0, micro(h.t, "0.01"), micro(h.t, "200")
	water.Blocks = []tariff.Block{{To: lamppost.Dec(5, 0), Price: micro(h.t, "1.20")}, {Price: micro(h.t, "2.40")}}
	water.Levies = []tariff.Levy{{Name: "Wasserabgabe", Price: micro(h.t, "0.31"), From: water.From}, {Name: "Zählermiete", Day: micro(h.t, "0.05"), From: water.From}}
	first := h.order("ST-000050", nil, h.supplies(contract{id: "w", place: "Haus", device: "W-1", terms: water, perHour: 90}, h.at("2026-11-01 00:00"), h.at("2026-12-01 00:00")))
	more := h.order("ST-000051", first, h.supplies(contract{id: "w", place: "Haus", device: "W-1", terms: water, perHour: 800}, h.at("2026-11-01 00:00"), h.at("2026-12-01 00:00")))
	none := h.order("ST-000052", more, nil)
	return h.pageOf(first, more, none, h.order("ST-000053", nil, h.sessions()))
}

// order bills November, in place of an invoice if there is one.
func (h *house) order(number string, before *audit.Invoice, supplies []tariff.Supply) *audit.Invoice {
	h.t.Helper()
	order := tariff.InvoiceOrder{Number: number, IssuedMS: h.at("2026-12-01 00:10"), InvoiceBody: lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna", Currency: "EUR",
		From: h.at("2026-11-01 00:00"), To: h.at("2026-12-01 00:00")}}
	if before != nil {
		order.Corrects = &tariff.Correction{Number: before.Number, Cause: lamppost.CauseLate, Net: before.Net, Tax: before.Tax, Total: before.Total}
	}
	for i := range supplies {
		if supplies[i].Judged = supplies[i].Session == nil; number == "ST-000051" {
			supplies[i].Findings = []tariff.Finding{{Verdict: lamppost.VerdictID{Height: 12}, Code: "too_fast", Answer: lamppost.ReviewWrong},
				{Verdict: lamppost.VerdictID{Height: 14, Index: 3}, Code: "unheard", Answer: lamppost.ReviewValid}}
		}
		if a := &supplies[i].Agreement; a.ID == "x-exempt" {
			a.TaxCategory, a.TaxReason = "AE", "Steuerschuldnerschaft des Leistungsempfängers, § 13b UStG"
		}
	}
	inv := &audit.Invoice{Invoice: must(tariff.Bill(order, supplies))(h.t), Zone: h.zone}
	for range inv.Supplies {
		t := h.power()
		inv.Tariffs = append(inv.Tariffs, &t)
	}
	return inv
}

// sessions are two at a charger, of which the second is over its limit, beside a supply without tax.
func (h *house) sessions() []tariff.Supply {
	fast := h.solar()
	fast.ID, fast.Bands[0].Name, fast.Bands[0].Price = "fast", "Laden", micro(h.t, "0.59")
	fast.Session = &tariff.SessionTerms{Start: micro(h.t, "0.50"), Minute: micro(h.t, "0.02"), Idle: micro(h.t, "0.10"), Grace: 5}
	all := h.supplies(contract{id: "x-exempt", place: "Hof", device: "PV-1", terms: h.power(), perHour: 100}, h.at("2026-11-01 00:00"), h.at("2026-12-01 00:00"))
	for i, at := range []string{"2026-11-03 18:04", "2026-11-09 07:30"} {
		begin := h.at(at)
		session := &lamppost.SessionBody{ID: []string{"s-17", "s-23"}[i], Buyer: "anna", Point: "bay", Tariff: "fast", Version: 1, Limit: micro(h.t, "20"), From: begin, Until: begin + 7_200_000}
		used := []int64{12_345, 61_000}[i]
		s := tariff.Supply{Device: "WB-1", Register: "energy", Unit: "Wh", Place: "Hof", Tariff: fast, Session: session}
		for j, wh := range []int64{0, used, used} {
			s.Edges = append(s.Edges, tariff.Edge{Time: begin + 20_000 + lamppost.TimeMS(j)*1_830_000, Value: lamppost.Dec(wh, 0)})
		}
		all = append(all, s)
	}
	return all
}

// shownText is what a reader of the page sees, without empty lines.
func shownText(t *testing.T, p *render.Page, lang string) string {
	t.Helper()
	_, main, _ := strings.Cut(string(must(p.Render("html", lang))(t).Data), "<main>")
	var lines []string
	for _, line := range strings.Split(text([]byte(main)), "\n") {
		if words := strings.Join(strings.Fields(line), " "); words != "" {
			lines = append(lines, words)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// What such bills look like is what it was, with -rewrite anew.
func TestOrdersGolden(t *testing.T) {
	t.Parallel()
	p := newHouse(t).orders()
	files := map[string][]byte{"orders.csv": must(p.Render("csv", ""))(t).Data, "orders.txt": []byte(shownText(t, p, "en"))}
	for name, number := range map[string]string{"corrected.xml": "ST-000051", "credit.xml": "ST-000052", "sessions.xml": "ST-000053"} {
		files[name] = must(must(p.Only(number))(t).Render("xml", "en"))(t).Data
	}
	for name, got := range files {
		file := filepath.Join("testdata", name)
		if *rewrite {
			must(0, os.WriteFile(file, got, 0o644))(t)
		}
		if want := must(os.ReadFile(file))(t); !bytes.Equal(got, want) {
			t.Errorf("%s is not what is written now: compare with go test ./internal/render -run Golden -rewrite and git diff", file)
		}
	}
}

// The documents of corrections, sessions and all kinds of lines obey the rules in every language: the difference is what is claimed.
func TestUBLOrders(t *testing.T) {
	t.Parallel()
	p := newHouse(t).orders()
	p.Invoices[3].Buyer.VAT = "FR40303265045"
	for i := range p.Invoices {
		one := must(p.Only(p.Invoices[i].Number))(t)
		for _, lang := range render.Languages() {
			obeys(t, one.Invoices[0].Number+" "+lang, must(one.Render("xml", lang))(t).Data)
		}
	}
	for number, words := range map[string][]string{
		"ST-000051": {"<Invoice ", "<cac:BillingReference>", "<cbc:ID>ST-000050</cbc:ID>", "Invoice ST-000050 as it was"},
		"ST-000052": {"<CreditNote ", ">381<", "<cbc:ID>ST-000051</cbc:ID>"},
		"ST-000053": {"<cbc:TaxExemptionReasonCode>VATEX-EU-AE</cbc:TaxExemptionReasonCode>", "§ 13b UStG"},
	} {
		doc := string(must(must(p.Only(number))(t).Render("xml", "en"))(t).Data)
		for _, w := range words {
			if !strings.Contains(doc, w) {
				t.Errorf("%s does not say %q:\n%s", number, w, doc)
			}
		}
	}
}

// HTML and PDF say what a correction replaces and what is due, and show each session with its begin and end, in every language.
func TestOrdersForPeople(t *testing.T) {
	t.Parallel()
	p := newHouse(t).orders()
	for _, lang := range render.Languages() {
		page := shownText(t, p, lang)
		if strings.Contains(page, "{") || strings.Contains(page, "%!") {
			t.Errorf("%s: a placeholder is left", lang)
		}
		if pdf := must(p.Render("pdf", lang))(t).Data; len(pdf) == 0 {
			t.Errorf("%s: no PDF", lang)
		}
	}
	page := shownText(t, p, "en")
	for _, want := range []string{"Corrected invoice ST-000051", "Credit note ST-000052", "a reading came after the bill", "less invoice ST-000050", "Still to be paid", "Credited",
		"Session from 3 November 2026, 18:04:20 to 3 November 2026, 19:05:20", "Trinkwasser, block 2", "Highest load (quarter hour)", "Wasserabgabe", "Zählermiete", "Time without use",
		"Over the maximum price", "Up to the minimum price", "§ 13b UStG", "session s-17"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	before, _, _ := strings.Cut(page, "How to check this bill")
	if strings.Contains(before, "s-17") {
		t.Error("a session's id stands before the proof")
	}
}
