package render_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

func obeys(t *testing.T, what string, doc []byte) {
	t.Helper()
	broken, err := brokenRules(doc)
	if err != nil || len(broken) > 0 {
		t.Errorf("%s breaks %q (%v):\n%s", what, broken, err, doc)
	}
}

// The documents of a house with all kinds of lines obey the rules, in every language and as credit notes.
func TestUBLObeys(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	for i := range p.Invoices {
		one := must(p.Only(p.Invoices[i].Number))(t)
		for _, lang := range render.Languages() {
			obeys(t, lang, must(one.Render("xml", lang))(t).Data)
		}
		credit := *one
		credit.Invoices = []render.Invoice{one.Invoices[0]}
		credit.Invoices[0].Kind = render.KindCreditNote
		obeys(t, "credit note", must(credit.Render("xml", "en"))(t).Data)
	}
}

// Every category of tax obeys its rules, at prices that do not divide evenly, in currencies without minor units, and with
// either rule of rounding.
func TestUBLTaxes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tax := range []tariff.Tax{{Category: "S", BasisPoints: 1900}, {Category: "S", BasisPoints: 525}, {Category: "Z"}, {Category: "E"}, {Category: "AE"},
		{Category: "K"}, {Category: "G"}, {Category: "O"}, {Category: "L", BasisPoints: 700}, {Category: "M", BasisPoints: 400}} {
		for _, currency := range []string{"EUR", "JPY"} {
			p := h.pageOf(h.simple("T-1", tax, currency))
			p.Invoices[0].Buyer.VAT = "FR40303265045"
			obeys(t, tax.Category+" "+currency, must(p.Render("xml", "en"))(t).Data)
		}
	}
}

// simple is an invoice of an hour at a price for each quarter of it, a price below zero in a band, and use that was none.
func (h *house) simple(number string, tax tariff.Tax, currency string) *audit.Invoice {
	h.t.Helper()
	all := []contract{{id: "a", device: "A", terms: h.charging(), perHour: 0}, {id: "b", device: "B", terms: h.solar(), perHour: 77_777},
		{id: "c", device: "C", terms: h.charging(), perHour: 3_333_337}, {id: "d", place: "x", device: "D", terms: h.power(), perHour: 1_234_567}}
	order := tariff.InvoiceOrder{Number: number, IssuedMS: h.at("2026-10-26 00:00"), InvoiceBody: lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna",
		Currency: currency, From: h.at("2026-10-25 01:15"), To: h.at("2026-10-25 23:45")}}
	var supplies []tariff.Supply
	for _, c := range all {
		c.terms.Tax, c.terms.Currency = tax, currency
		supplies = append(supplies, h.supplies(c, order.From, order.To)...)
	}
	inv := &audit.Invoice{Invoice: must(tariff.Bill(order, supplies))(h.t), Zone: supplies[0].Tariff.Zone}
	for i := range supplies {
		inv.Tariffs = append(inv.Tariffs, &supplies[i].Tariff)
	}
	return inv
}

// The check itself can fail: what breaks a rule is found.
func TestUBLRulesFind(t *testing.T) {
	t.Parallel()
	doc := string(must(must(newHouse(t).page().Only("ST-000042"))(t).Render("xml", "en"))(t).Data)
	for _, c := range []struct{ rule, old, new string }{
		{"BR-01", "urn:cen.eu:en16931:2017", "x"}, {"BR-09", ">DE</cbc:IdentificationCode>", ">Germany</cbc:IdentificationCode>"}, {"BR-29", "<cbc:EndDate>2026-11-30", "<cbc:EndDate>2026-10-30"},
		{"BR-CO-10", ">1334.42</cbc:LineExtensionAmount>", ">1334.43</cbc:LineExtensionAmount>"}, {"BR-CO-13", ">1334.42</cbc:TaxExclusiveAmount>", ">1334.43</cbc:TaxExclusiveAmount>"},
		{"BR-CO-15", ">1573.86</cbc:TaxInclusiveAmount>", ">1573.85</cbc:TaxInclusiveAmount>"}, {"BR-CO-17", ">8.22</cbc:TaxAmount>", ">8.23</cbc:TaxAmount>"},
		{"BT-131", ">0.3019</cbc:PriceAmount>", ">0.3119</cbc:PriceAmount>"}, {"BR-27", ">0.0812</cbc:PriceAmount>", ">-0.0812</cbc:PriceAmount>"},
		{"schema: in", "cbc:CustomizationID", "cbc:ProfileID"}, {"BR-S-02", "PartyTaxScheme", "PartyLegalEntity"}, {"BR-25", "<cbc:Name>Tag</cbc:Name>", ""},
	} {
		changed := strings.ReplaceAll(doc, c.old, c.new)
		broken, err := brokenRules([]byte(changed))
		if changed == doc || err != nil || !strings.Contains(strings.Join(broken, "\n"), c.rule) {
			t.Errorf("%q for %q breaks %q (%v), want %s", c.new, c.old, broken, err, c.rule)
		}
	}
}

// An amount with three digits is refused, not rounded.
func TestUBLThreeDigits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := h.pageOf(h.simple("T-1", tariff.Tax{Category: "Z"}, "KWD")).Render("xml", "en")
	var input *render.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "KWD") {
		t.Errorf("error %v, want the caller's", err)
	}
}

// Of several invoices the XML is an archive with a document each, the same bytes each time.
func TestUBLArchive(t *testing.T) {
	t.Parallel()
	d := must(newHouse(t).page().Render("xml", "de"))(t)
	again := must(newHouse(t).page().Render("xml", "de"))(t)
	if !bytes.Equal(d.Data, again.Data) || d.Name != "statement-anna.zip" || d.Type != "application/zip" {
		t.Errorf("%s, %s, equal bytes: %v", d.Name, d.Type, bytes.Equal(d.Data, again.Data))
	}
	z := must(zip.NewReader(bytes.NewReader(d.Data), int64(len(d.Data))))(t)
	if len(z.File) != 2 || z.File[1].Name != "invoice-ST-000042.xml" {
		t.Errorf("the archive holds %v", z.File)
	}
}

// Where somebody has the schema of UBL 2.1 (UBL_SCHEMA names its UBL-Invoice-2.1.xsd) and xmllint, documents are valid by it.
func TestUBLSchema(t *testing.T) {
	t.Parallel()
	xsd := os.Getenv("UBL_SCHEMA")
	lint, err := exec.LookPath("xmllint")
	if xsd == "" || err != nil {
		t.Skip("no UBL_SCHEMA or no xmllint: the schema comes in no package, so only our own reading of it is checked")
	}
	p := newHouse(t).page()
	for i := range p.Invoices {
		d := must(must(p.Only(p.Invoices[i].Number))(t).Render("xml", "de"))(t)
		file := filepath.Join(t.TempDir(), d.Name)
		must(0, os.WriteFile(file, d.Data, 0o600))(t)
		if out, err := exec.Command(lint, "--noout", "--nonet", "--schema", xsd, file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}
