package render_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// The house's statement is what it was: the view model, the CSV, and an XML document. With -rewrite they are written anew, to
// be read before they are committed.
func TestGolden(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	model := must(json.MarshalIndent(p, "", " "))(t)
	for name, got := range map[string][]byte{"page.json": append(model, '\n'), "statement.csv": must(p.Render("csv", ""))(t).Data,
		"invoice.xml": must(must(p.Only("ST-000042"))(t).Render("xml", "en"))(t).Data} {
		file := filepath.Join("testdata", name)
		if *rewrite {
			must(0, os.WriteFile(file, got, 0o644))(t)
		}
		if want := must(os.ReadFile(file))(t); !bytes.Equal(got, want) {
			t.Errorf("%s is not what is written now: compare with go test ./internal/render -run Golden -rewrite and git diff", file)
		}
	}
}

// A statement that the ledger made and audit checked shows the words of its file: every quantity, price and amount.
func TestShowsTheStatement(t *testing.T) {
	t.Parallel()
	file := must(os.ReadFile("../../audit/testdata/statement.json"))(t)
	pin := must(audit.ParsePin(string(must(os.ReadFile("../../audit/testdata/network.pin"))(t))))(t)
	st := must(audit.Verify(file, pin))(t).Statement
	p := must(render.NewPage(st, render.Options{}))(t)
	if !p.Proof.Pinned || p.Party.Name != "Anna Fischer" || len(p.Invoices) != len(st.Invoices) {
		t.Fatalf("page %+v", p)
	}
	rows := must(csv.NewReader(bytes.NewReader(must(p.Render("csv", ""))(t).Data)).ReadAll())(t)[1:]
	column := func(name string) int { return slices.Index(render.CSVColumns, name) }
	n := 0
	for _, inv := range st.Invoices {
		for _, l := range inv.Lines {
			for name, want := range map[string]string{"invoice": inv.Number, "line": fmt.Sprint(l.N), "place": l.Place, "quantity": l.Quantity, "unit": l.Unit, "price": l.Price,
				"amount": l.Amount, "invoice_net": inv.Net, "invoice_total": inv.Total, "device": l.Device} {
				if got := rows[n][column(name)]; got != want && !(name == "price" && strings.TrimSuffix(want, "0") == strings.TrimSuffix(got, "0")) {
					t.Errorf("line %d of %s: %s is %q, the statement says %q", l.N, inv.Number, name, got, want)
				}
			}
			n++
		}
	}
	if n != len(rows) || n == 0 {
		t.Errorf("%d rows for %d lines", len(rows), n)
	}
	for _, format := range render.Formats {
		a, b := must(render.Render(st, format, render.Options{Lang: "nl"}))(t), must(render.Render(st, format, render.Options{Lang: "nl"}))(t)
		if !bytes.Equal(a.Data, b.Data) || len(a.Data) == 0 {
			t.Errorf("%s: equal statements give other bytes", format)
		}
	}
	if _, err := render.Render(st, "pdf", render.Options{Invoice: "ST-9"}); !isInput(err) {
		t.Errorf("an invoice that there is not: %v", err)
	}
}

func isInput(err error) bool {
	var input *render.InputError
	return errors.As(err, &input)
}

// All formats show the same amounts: those of the page.
func TestSameNumbers(t *testing.T) {
	t.Parallel()
	p := must(newHouse(t).page().Only("ST-000042"))(t)
	v := p.Invoices[0]
	page := text(must(p.Render("html", "de"))(t).Data)
	pdf := pdfText(t, must(p.Render("pdf", "de"))(t).Data)
	table := string(must(p.Render("csv", "de"))(t).Data)
	doc := string(must(p.Render("xml", "de"))(t).Data)
	amounts := []lamppost.Micro{v.Net, v.Total}
	for _, place := range v.Places {
		for _, d := range place.Devices {
			for _, l := range d.Lines {
				amounts = append(amounts, l.Amount)
			}
		}
	}
	for _, a := range amounts {
		people := spaces.Replace(render.Money("de", a.String(), "EUR"))
		if !strings.Contains(page, people) || pdf != "" && !strings.Contains(pdf, people) {
			t.Errorf("HTML or PDF does not show %s:\n%s", people, pdf)
		}
		if !strings.Contains(table, ","+a.String()) || !strings.Contains(doc, ">"+a.String()+"<") {
			t.Errorf("CSV or XML does not show %s", a)
		}
	}
}

var tag = regexp.MustCompile(`<[^>]*>`)

func text(page []byte) string {
	return spaces.Replace(html.UnescapeString(tag.ReplaceAllString(string(page), " ")))
}

// pdfText is what a reader copies from a PDF; empty without poppler.
func pdfText(t *testing.T, pdf []byte) string {
	t.Helper()
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		t.Log("no pdftotext on this machine: the words of the PDF are not read")
		return ""
	}
	cmd := exec.Command(tool, "-layout", "-", "-")
	cmd.Stdin = bytes.NewReader(pdf)
	return spaces.Replace(string(must(cmd.Output())(t)))
}

// spaces makes all spaces alike.
var spaces = strings.NewReplacer("\u00a0", " ")

// What only the network knows stands nowhere before the part that says how to check the bill.
func TestNoIdentifiers(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	before, proof, found := strings.Cut(string(must(p.Render("html", "en"))(t).Data), `<section class="proof"`)
	if !found {
		t.Fatal("the page has no section with the proof")
	}
	for _, id := range []string{"BQ27", "W-0815", "PV-1", "energy", "a-power", "point-", "home-2026", "7428973c", "riverside/", "anna<", "stadtwerk<", "w1.utility"} {
		if strings.Contains(before, id) {
			t.Errorf("%q stands before the proof", id)
		}
		if !strings.Contains(proof, id) && !strings.HasSuffix(id, "<") {
			t.Errorf("%q does not stand in the proof", id)
		}
	}
	for _, want := range []string{"lamppost verify --pin network.pin statement.json", "/check/", "12,345 entries"} {
		if !strings.Contains(proof, want) {
			t.Errorf("the proof does not say %q", want)
		}
	}
}

// Text from the ledger is text: no markup in HTML or XML, no formula in a spreadsheet.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	const evil = `=HYPERLINK("x")<script>alert(1)</script>&amp;`
	p.Invoices[0].Buyer.Name, p.Invoices[0].Places[0].Name, p.Party.Name = evil, evil, "\u0000\u202e𝕏"+evil
	if page := string(must(p.Render("html", "en"))(t).Data); strings.Contains(page, "<script") || strings.Contains(page, "http-equiv=\"refresh") {
		t.Error("a name became markup")
	}
	for _, row := range must(csv.NewReader(bytes.NewReader(must(p.Render("csv", ""))(t).Data)).ReadAll())(t) {
		for _, field := range row {
			if strings.HasPrefix(field, "=") {
				t.Errorf("a field begins with %.20q", field)
			}
		}
	}
	p.Invoices = p.Invoices[:1]
	if err := xml.Unmarshal(must(p.Render("xml", "en"))(t).Data, new(xmlNode)); err != nil {
		t.Error(err)
	}
	must(p.Render("pdf", "en"))(t)
	if name := must(p.Render("pdf", "en"))(t).Name; name != "invoice-ST-000041.pdf" {
		t.Errorf("file name %q", name)
	}
}

// A long invoice breaks into pages, each with a number and the head of its table, and loses no line.
func TestLongPDF(t *testing.T) {
	t.Parallel()
	p := must(newHouse(t).page().Only("ST-000041"))(t)
	v := &p.Invoices[0]
	place := v.Places[0]
	for i := range 60 {
		next := place
		next.Name = fmt.Sprintf("Ort %d", i)
		v.Places = append(v.Places, next)
	}
	for range 200 {
		v.Places[1].Devices[0].Lines = append(v.Places[1].Devices[0].Lines, v.Places[1].Devices[0].Lines[0])
	}
	v.Places[2].Devices = slices.Clone(v.Places[2].Devices)
	v.Places[2].Devices[0].Name = strings.Repeat("Donaudampfschifffahrtsgesellschaft ", 300) // longer than a page
	pdf := must(p.Render("pdf", "de"))(t).Data
	pages := bytes.Count(pdf, []byte("/Type /Page\n"))
	if pages < 15 {
		t.Errorf("%d pages", pages)
	}
	words := pdfText(t, pdf)
	if words == "" {
		return
	}
	for _, want := range []string{fmt.Sprintf("Seite %d von %d", pages, pages), "Seite 1 von", "Ort 59", "ß", "€", "m³"} {
		if !strings.Contains(words, want) {
			t.Errorf("the PDF does not say %q", want)
		}
	}
	if n := strings.Count(words, "Verbrauch zu Intervallpreisen"); n != 201 {
		t.Errorf("%d lines of the charging station, want 201", n)
	}
	for i, page := range strings.Split(words, "\f")[:5] {
		if !strings.Contains(page, "Menge") {
			t.Errorf("page %d has no head of a table", i+1)
		}
	}
}

// Changes are those against the invoice of the period before of the same agreement, and only of that.
func TestChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sep, oct, nov := h.invoice("ST-1", "2026-09-01 00:00", "2026-10-01 00:00"), h.invoice("ST-3", "2026-10-01 00:00", "2026-11-01 00:00"), h.invoice("ST-2", "2026-11-01 00:00", "2026-12-01 00:00")
	other := h.simple("ST-9", tariff.Tax{Category: "Z"}, "EUR") // other agreements
	other.From, other.To = h.at("2026-10-15 00:00"), h.at("2026-10-16 00:00")
	p := h.pageOf(nov, sep, other, oct)
	if c := p.Invoices[0].Changes; c == nil || c.Before != "ST-3" {
		t.Fatalf("November is compared with %+v", c)
	}
	if p.Invoices[1].Changes != nil || p.Invoices[2].Changes != nil {
		t.Error("an invoice without a period before is compared")
	}
	var sum lamppost.Micro
	for _, r := range p.Invoices[0].Changes.Rows {
		sum += r.More.Amount
		if r.Now.Amount-r.Before.Amount != r.More.Amount || r.Place == "" {
			t.Errorf("row %+v", r)
		}
	}
	if want := p.Invoices[0].Net - p.Invoices[3].Net; sum != want || len(p.Invoices[0].Changes.Rows) != 6 {
		t.Errorf("%d rows sum up to %s, the net amounts differ by %s", len(p.Invoices[0].Changes.Rows), sum, want)
	}
}
