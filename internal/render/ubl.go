package render

import (
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// Names and codes that invoices and credit notes have differently in UBL 2.1.
var ublKinds = [...]struct{ root, typeCode, code, line, quantity string }{
	KindInvoice:    {"Invoice", "cbc:InvoiceTypeCode", "380", "cac:InvoiceLine", "cbc:InvoicedQuantity"},
	KindCreditNote: {"CreditNote", "cbc:CreditNoteTypeCode", "381", "cac:CreditNoteLine", "cbc:CreditedQuantity"},
}

// A ublWriter makes the document of an invoice.
type ublWriter struct {
	p *Page
	v *Invoice
	l *locale
}

// writeUBL writes an invoice as EN 16931-1 has it, in the syntax of UBL 2.1. The comments name its business terms (BT) and
// rules (BR). docs/statements.md has the table. What the log and the details of the parties do not say is left out; a
// receiver may demand it.
func writeUBL(p *Page, v *Invoice, l *locale) ([]byte, error) {
	if digits, _ := tariff.Minor(v.Currency); digits > 2 {
		return nil, &InputError{fmt.Sprintf("invoice %s: EN 16931 writes amounts with two digits (BR-DEC), %s has %d: take another format", v.Number, v.Currency, digits)}
	}
	w := &ublWriter{p, v, l}
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
		leaf("cbc:Note", l.text("proof.copy")),                        // BT-22
		leaf("cbc:DocumentCurrencyCode", v.Currency),                  // BT-5
		w.period(v.From, v.To),                                        // BG-14
		node("cac:AccountingSupplierParty", w.party(&v.Seller, true)), // BG-4
		node("cac:AccountingCustomerParty", w.party(&v.Buyer, false)), // BG-7
		w.delivery(), w.payment(),
		node("cac:PaymentTerms", leaf("cbc:Note", l.text("terms"))), // BT-20, BR-CO-25
		w.tax(), w.sums())
	v.each(func(place *Place, d *Device, line *Line) { root.add(w.line(place, d, line)) })
	return root.write(), nil
}

func (w *ublWriter) period(from, to lamppost.TimeMS) *element {
	return node("cac:InvoicePeriod", leaf("cbc:StartDate", isoDate(w.v.Zone, from)), leaf("cbc:EndDate", isoDate(w.v.Zone, to-1))) // BT-73, BT-74; BT-134, BT-135
}

// outside says that nothing here is subject to VAT: then no VAT identifier may stand (BR-O-02 to -04).
func (v *Invoice) outside() bool {
	for _, x := range v.Taxes {
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
	for _, x := range w.v.Taxes {
		if x.Category == "K" {
			return node("cac:Delivery", node("cac:DeliveryLocation", node("cac:Address", node("cac:Country", leaf("cbc:IdentificationCode", w.v.Buyer.Country))))) // BT-80
		}
	}
	return nil
}

// payment is a SEPA credit transfer where the seller's account is known (BG-16, BG-17).
func (w *ublWriter) payment() *element {
	s := &w.v.Seller
	if s.IBAN == "" {
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
	for _, x := range w.v.Taxes {
		sum += x.Amount
		total.add(node("cac:TaxSubtotal", w.money("cbc:TaxableAmount", x.Base), w.money("cbc:TaxAmount", x.Amount), // BT-116, BT-117
			taxCategory("cac:TaxCategory", x.Category, x.BasisPoints, true)))
	}
	total.children = append([]*element{w.money("cbc:TaxAmount", sum)}, total.children...) // BT-110
	return total
}

// taxCategory is BT-118 to BT-121 of a sum, BT-151 and BT-152 of a line.
func taxCategory(name, category string, basisPoints uint16, reasons bool) *element {
	c := node(name, leaf("cbc:ID", category))
	if category != "O" { // BR-O-05: no rate at all
		c.add(leaf("cbc:Percent", lamppost.Dec(int64(basisPoints), -2).String()))
	}
	if reasons {
		c.add(leaf("cbc:TaxExemptionReasonCode", exemptions[category].code), leaf("cbc:TaxExemptionReason", exemptions[category].text))
	}
	return c.add(taxScheme("VAT"))
}

func (w *ublWriter) sums() *element {
	v := w.v
	return node("cac:LegalMonetaryTotal", w.money("cbc:LineExtensionAmount", v.Net), // BT-106
		w.money("cbc:TaxExclusiveAmount", v.Net),   // BT-109
		w.money("cbc:TaxInclusiveAmount", v.Total), // BT-112
		w.money("cbc:PayableAmount", v.Total))      // BT-115
}

func (w *ublWriter) money(name string, m lamppost.Micro) *element {
	return leaf(name, fixed(m, w.v.Currency), "currencyID", w.v.Currency)
}

func (w *ublWriter) line(p *Place, d *Device, line *Line) *element {
	k := ublKinds[w.v.Kind]
	quantity, price, base := ublPrice(line, w.v.Currency)
	note := ""
	if line.Estimated {
		note = w.l.text("estimated.note")
	}
	code := unitCode(line.Unit)
	item := (&sheet{l: w.l}).item(line.Kind, line.Band)
	out := node(k.line, leaf("cbc:ID", fmt.Sprint(line.N)), leaf("cbc:Note", note), // BT-126, BT-127
		leaf(k.quantity, quantity, "unitCode", code), w.money("cbc:LineExtensionAmount", line.Amount), // BT-129, BT-130, BT-131
		w.period(line.From, line.To), // BG-26
		node("cac:Item", leaf("cbc:Description", w.description(p, d, line)), leaf("cbc:Name", item), // BT-154, BT-153
			taxCategory("cac:ClassifiedTaxCategory", line.Tax.Category, line.Tax.BasisPoints, false)))
	priced := node("cac:Price", leaf("cbc:PriceAmount", price, "currencyID", w.v.Currency)) // BT-146
	if base != "" {
		priced.add(leaf("cbc:BaseQuantity", base, "unitCode", code)) // BT-149, BT-150
	}
	return out.add(priced)
}

// description says where a line was measured, and in which unit where the code does not.
func (w *ublWriter) description(p *Place, d *Device, line *Line) string {
	parts := []string{p.Name, d.Name}
	if line.Kind != LineStanding {
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
// of its quantity.
func ublPrice(line *Line, currency string) (quantity, price, base string) {
	q, m := line.Quantity, line.Price
	if line.Kind == LineSeries {
		m = line.Amount
		if q.Mantissa != 0 {
			base = q.String()
		}
	}
	if m < 0 {
		q.Mantissa, m = -q.Mantissa, -m
	}
	return q.String(), fixed(m, currency), base
}
