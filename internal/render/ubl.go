package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A correction is written as the document of the difference: its lines, and one that takes back what was billed before for each
// category and rate of tax; as a credit note if that is below zero.

// Names and codes that invoices and credit notes have differently in UBL 2.1.
var ublKinds = [...]struct{ root, typeCode, code, line, quantity string }{
	KindInvoice:    {"Invoice", "cbc:InvoiceTypeCode", "380", "cac:InvoiceLine", "cbc:InvoicedQuantity"},
	KindCreditNote: {"CreditNote", "cbc:CreditNoteTypeCode", "381", "cac:CreditNoteLine", "cbc:CreditedQuantity"},
}

// A ublWriter makes the document of an invoice.
type ublWriter struct {
	p    *Page
	v    *Invoice
	l    *locale
	sign int64 // -1: of a credit note, which writes amounts the other way round
}

// writeUBL writes an invoice as EN 16931-1 has it, in the syntax of UBL 2.1. The comments name its business terms (BT) and
// rules (BR). docs/statements.md has the table. What the log and the details of the parties do not say is left out; a
// receiver may demand it.
func writeUBL(p *Page, v *Invoice, l *locale) ([]byte, error) {
	if digits, _ := tariff.Minor(v.Currency); digits > 2 {
		return nil, &InputError{fmt.Sprintf("invoice %s: EN 16931 writes amounts with two digits (BR-DEC), %s has %d: take another format", v.Number, v.Currency, digits)}
	}
	w := &ublWriter{p, v, l, 1}
	if v.Kind == KindCreditNote {
		w.sign = -1
	}
	k := ublKinds[v.Kind]
	root := element{name: k.root, attributes: []string{"xmlns", "urn:oasis:names:specification:ubl:schema:xsd:" + k.root + "-2",
		"xmlns:cac", "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
		"xmlns:cbc", "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"}}
	root.add(leaf("cbc:CustomizationID", "urn:cen.eu:en16931:2017"), // BT-24
		leaf("cbc:ID", v.Number),                         // BT-1
		leaf("cbc:IssueDate", isoDate(v.Zone, v.Issued))) // BT-2
	if v.Kind == KindInvoice && v.Seller.DueDays > 0 {
		root.add(leaf("cbc:DueDate", isoDate(v.Zone, v.due()))) // BT-9
	}
	root.add(leaf(k.typeCode, k.code), // BT-3
		leaf("cbc:Note", l.text("proof.copy")),       // BT-22
		leaf("cbc:DocumentCurrencyCode", v.Currency), // BT-5
		w.period(v.From, v.To),                       // BG-14
		w.preceding(),
		node("cac:AccountingSupplierParty", w.party(&v.Seller, true)), // BG-4
		node("cac:AccountingCustomerParty", w.party(&v.Buyer, false)), // BG-7
		w.delivery(), w.payment(),
		node("cac:PaymentTerms", leaf("cbc:Note", l.text("terms"))), // BT-20, BR-CO-25
		w.tax(), w.sums())
	v.each(func(place *Place, d *Device, line *Line) { root.add(w.line(place, d, line)) })
	for _, line := range v.takenBack() {
		root.add(w.line(new(Place), new(Device), &line))
	}
	return root.write(), nil
}

// preceding names the invoice that this one replaces (BG-3).
func (w *ublWriter) preceding() *element {
	c := w.v.Corrects
	if c == nil {
		return nil
	}
	ref := node("cac:InvoiceDocumentReference", leaf("cbc:ID", c.Number)) // BT-25
	if c.Issued != 0 {
		ref.add(leaf("cbc:IssueDate", isoDate(w.v.Zone, c.Issued))) // BT-26
	}
	return node("cac:BillingReference", ref)
}

// taxes are those of the document: of a correction less those of what it replaces, by category and rate.
func (v *Invoice) taxes() []tariff.TaxSum {
	all := slices.Clone(v.Taxes)
	if v.Corrects == nil {
		return all
	}
	for _, old := range v.Corrects.Taxes {
		i := slices.IndexFunc(all, func(x tariff.TaxSum) bool { return x.Category == old.Category && x.BasisPoints == old.BasisPoints })
		if i < 0 {
			i, all = len(all), append(all, tariff.TaxSum{Category: old.Category, BasisPoints: old.BasisPoints})
		}
		all[i].Base -= old.Base
		all[i].Amount -= old.Amount
	}
	return all
}

func (w *ublWriter) period(from, to lamppost.TimeMS) *element {
	return node("cac:InvoicePeriod", leaf("cbc:StartDate", isoDate(w.v.Zone, from)), leaf("cbc:EndDate", isoDate(w.v.Zone, to-1))) // BT-73, BT-74; BT-134, BT-135
}

// outside says that nothing here is subject to VAT: then no VAT identifier may stand (BR-O-02 to -04).
func (v *Invoice) outside() bool {
	for _, x := range v.taxes() {
		if x.Category != "O" {
			return false
		}
	}
	return true
}

func (w *ublWriter) party(p *Party, seller bool) *element {
	party := node("cac:Party", node("cac:PartyIdentification", leaf("cbc:ID", p.ID)), // BT-29, BT-46
		node("cac:PostalAddress", leaf("cbc:StreetName", p.Street), leaf("cbc:CityName", p.City), leaf("cbc:PostalZone", p.Postcode), // BG-5, BG-8
			node("cac:Country", leaf("cbc:IdentificationCode", p.Country)))) // BT-40, BT-55
	if p.VAT != "" && !w.v.outside() {
		party.add(node("cac:PartyTaxScheme", leaf("cbc:CompanyID", p.VAT), taxScheme("VAT"))) // BT-31, BT-48
	}
	if p.TaxNumber != "" && seller {
		party.add(node("cac:PartyTaxScheme", leaf("cbc:CompanyID", p.TaxNumber), taxScheme("TAX"))) // BT-32
	}
	return party.add(node("cac:PartyLegalEntity", leaf("cbc:RegistrationName", p.Name), leaf("cbc:CompanyID", p.Registration)), // BT-27, BT-44; BT-30, BT-47
		node("cac:Contact", leaf("cbc:Telephone", p.Phone), leaf("cbc:ElectronicMail", p.Email))) // BT-42, BT-43; BT-57, BT-58
}

func taxScheme(id string) *element { return node("cac:TaxScheme", leaf("cbc:ID", id)) }

// delivery says to which country goods went: an intra-Community supply must (BR-IC-12).
func (w *ublWriter) delivery() *element {
	for _, x := range w.v.taxes() {
		if x.Category == "K" {
			return node("cac:Delivery", node("cac:DeliveryLocation", node("cac:Address", node("cac:Country", leaf("cbc:IdentificationCode", w.v.Buyer.Country))))) // BT-80
		}
	}
	return nil
}

// payment is a SEPA credit transfer where the seller's account is known (BG-16, BG-17).
func (w *ublWriter) payment() *element {
	s := &w.v.Seller
	if s.IBAN == "" || w.v.Kind == KindCreditNote {
		return nil
	}
	return node("cac:PaymentMeans", leaf("cbc:PaymentMeansCode", "58"), leaf("cbc:PaymentID", w.v.Number), // BT-81, BT-83
		node("cac:PayeeFinancialAccount", leaf("cbc:ID", s.IBAN), leaf("cbc:Name", s.Name), // BT-84, BT-85
			node("cac:FinancialInstitutionBranch", leaf("cbc:ID", s.BIC)))) // BT-86
}

// exemptions are the reasons that a category without tax needs (BR-E-10, BR-AE-10, BR-IC-10, BR-G-10, BR-O-10).
var exemptions = map[string]struct{ code, text string }{
	"E": {"", "Exempt from tax"}, "AE": {"VATEX-EU-AE", "Reverse charge"}, "K": {"VATEX-EU-IC", "Intra-community supply"},
	"G": {"VATEX-EU-G", "Export outside the EU"}, "O": {"VATEX-EU-O", "Not subject to VAT"},
}

// tax is BG-23: the ledger rounds the tax of a category once, on its total (BR-CO-17).
func (w *ublWriter) tax() *element {
	var sum lamppost.Micro
	total := node("cac:TaxTotal")
	for _, x := range w.v.taxes() {
		sum += x.Amount
		total.add(node("cac:TaxSubtotal", w.money("cbc:TaxableAmount", x.Base), w.money("cbc:TaxAmount", x.Amount), // BT-116, BT-117
			taxCategory("cac:TaxCategory", x.Category, x.BasisPoints, orElse(w.v.reason(x.Category), exemptions[x.Category].text))))
	}
	total.children = append([]*element{w.money("cbc:TaxAmount", sum)}, total.children...) // BT-110
	return total
}

// taxCategory is BT-118 to BT-121 of a sum, BT-151 and BT-152 of a line.
func taxCategory(name, category string, basisPoints uint16, reason string) *element {
	c := node(name, leaf("cbc:ID", category))
	if category != "O" { // BR-O-05: no rate at all
		c.add(leaf("cbc:Percent", lamppost.Dec(int64(basisPoints), -2).String()))
	}
	if x, exempt := exemptions[category]; exempt && reason != "" {
		c.add(leaf("cbc:TaxExemptionReasonCode", x.code), leaf("cbc:TaxExemptionReason", reason))
	}
	return c.add(taxScheme("VAT"))
}

func (w *ublWriter) sums() *element {
	net := w.v.Net
	if c := w.v.Corrects; c != nil {
		net -= c.Net
	}
	return node("cac:LegalMonetaryTotal", w.money("cbc:LineExtensionAmount", net), // BT-106
		w.money("cbc:TaxExclusiveAmount", net),       // BT-109
		w.money("cbc:TaxInclusiveAmount", w.v.Due()), // BT-112
		w.money("cbc:PayableAmount", w.v.Due()))      // BT-115
}

func (w *ublWriter) money(name string, m lamppost.Micro) *element {
	return leaf(name, fixed(m*lamppost.Micro(w.sign), w.v.Currency), "currencyID", w.v.Currency)
}

func (w *ublWriter) line(p *Place, d *Device, line *Line) *element {
	k := ublKinds[w.v.Kind]
	quantity, price, base := ublPrice(line, w.v.Currency, w.sign)
	note := ""
	if line.Estimated {
		note = w.l.text("estimated.note")
	}
	code := unitCode(line.Unit)
	item := (&sheet{l: w.l}).item(line.Kind, line.Band, line.Block)
	if line.Kind == LineReplaced {
		item = w.l.text("replaced.line", "number", w.v.Corrects.Number)
	}
	out := node(k.line, leaf("cbc:ID", fmt.Sprint(line.N)), leaf("cbc:Note", note), // BT-126, BT-127
		leaf(k.quantity, quantity, "unitCode", code), w.money("cbc:LineExtensionAmount", line.Amount), // BT-129, BT-130, BT-131
		w.period(line.From, line.To), // BG-26
		node("cac:Item", leaf("cbc:Description", w.description(p, d, line)), leaf("cbc:Name", item), // BT-154, BT-153
			taxCategory("cac:ClassifiedTaxCategory", line.Tax.Category, line.Tax.BasisPoints, "")))
	priced := node("cac:Price", leaf("cbc:PriceAmount", price, "currencyID", w.v.Currency)) // BT-146
	if base != "" {
		priced.add(leaf("cbc:BaseQuantity", base, "unitCode", code)) // BT-149, BT-150
	}
	return out.add(priced)
}

// description says where a line was measured, and in which unit where the code does not.
func (w *ublWriter) description(p *Place, d *Device, line *Line) string {
	parts := []string{p.Name, d.Name}
	if d.Session != nil {
		parts = append(parts, w.l.text("session", "from", w.l.moment(w.v.Zone, d.Session.From), "to", w.l.moment(w.v.Zone, d.Session.To)))
	}
	if line.Kind == LineCapacity {
		parts = append(parts, w.l.decimal(line.Quantity.String())+" "+line.Unit, w.l.count("days", int(line.Days)))
	}
	if line.Kind.byUse() {
		parts = append(parts, w.l.text("meter", "opening", line.Meter.Opening.Value.String(), "closing", line.Meter.Closing.Value.String()+" "+unitSign(line.Unit)))
	}
	return strings.Join(deleteEmpty(parts), ", ")
}

func deleteEmpty(parts []string) (some []string) {
	for _, s := range parts {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

// ublPrice returns quantity, price and base quantity such that quantity × price ÷ base, rounded, is the line's amount. A price
// below zero, which is not allowed (BR-27), becomes a quantity below zero. A series has no one price: its amount is the price
// of its quantity. A peak counts for each day, and what a minimum or maximum asks for is the price of one. In a credit note (sign -1)
// quantities are the other way round.
func ublPrice(line *Line, currency string, sign int64) (quantity, price, base string) {
	q, m := line.Quantity, line.Price
	switch line.Kind {
	case LineSeries:
		m = line.Amount
		if q.Mantissa != 0 {
			base = q.String()
		}
	case LineCapacity:
		q.Mantissa *= int64(line.Days) // a load is far from filling 63 bits
	case LineMinimum, LineMaximum:
		m = line.Amount
	}
	if m < 0 {
		q.Mantissa, m = -q.Mantissa, -m
	}
	q.Mantissa *= sign
	return q.String(), fixed(m, currency), base
}
