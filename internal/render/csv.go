package render

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// csvColumns are the columns of the CSV, one row per line of an invoice and per payment of a contract. docs/statements.md says what is in them.
var csvColumns = []string{"kind", "invoice", "issued", "seller", "seller_name", "buyer", "buyer_name", "currency", "invoice_from", "invoice_to",
	"line", "place", "device_name", "item", "band", "from", "to", "quantity", "unit", "price", "amount", "tax_category", "tax_rate", "estimated",
	"opening", "closing", "agreement", "point", "device", "register", "tariff", "tariff_version", "invoice_net", "invoice_tax", "invoice_total",
	"session", "block", "replaces", "invoice_due", "tax_reason", "channel",
	"assurance", "judged", "findings",
	"contract", "contract_version", "run", "event", "payer", "payer_name", "payee", "payee_name", "note"}

// lineItems are the values of the column item.
var lineItems = [...]string{LineBand: "band", LineSeries: "series", LineStanding: "standing", LineDay: "levy_per_day", LineCapacity: "capacity",
	LineStart: "session_start", LineTime: "session_time", LineIdle: "session_idle", LineMinimum: "minimum", LineMaximum: "maximum", LineVouchers: "vouchers", LineReplaced: "replaced"}

// documentKinds are the values of the column kind.
var documentKinds = [...]string{KindInvoice: "invoice", KindCreditNote: "credit_note"}

// writeCSV writes RFC 4180: CRLF, a decimal point, times in RFC 3339 on the tariff's clock. It is the same in every language.
func writeCSV(p *Page) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	rows := [][]string{csvColumns}
	for i := range p.Invoices {
		v := &p.Invoices[i]
		v.each(func(place *Place, d *Device, l *Line) { rows = append(rows, csvRow(v, place, d, l)) })
		for _, l := range v.takenBack() {
			rows = append(rows, csvRow(v, new(Place), new(Device), &l))
		}
	}
	if p.Paid != nil {
		for i := range p.Paid.Lines {
			rows = append(rows, p.Paid.row(&p.Paid.Lines[i]))
		}
	}
	err := w.WriteAll(rows)
	return b.Bytes(), err
}

func csvRow(v *Invoice, p *Place, d *Device, l *Line) []string {
	at := func(t lamppost.TimeMS) string { return iso(v.Zone, t) }
	money := func(m lamppost.Micro) string { return fixed(m, v.Currency) }
	var tax lamppost.Micro
	for _, x := range v.Taxes {
		tax += x.Amount
	}
	price, opening, closing := "", "", ""
	if l.Kind != LineSeries {
		price = money(l.Price)
	}
	if l.Kind.byUse() {
		opening, closing = l.Meter.Opening.Value.String(), l.Meter.Closing.Value.String()
	}
	block, replaces := "", ""
	if l.Block > 0 {
		block = fmt.Sprint(l.Block)
	}
	if v.Corrects != nil {
		replaces = v.Corrects.Number
	}
	version := ""
	if l.Meter.Version > 0 {
		version = fmt.Sprint(l.Meter.Version)
	}
	return []string{documentKinds[v.Kind], v.Number, at(v.Issued), v.Seller.ID, safe(v.Seller.Name), v.Buyer.ID, safe(v.Buyer.Name), v.Currency, at(v.From), at(v.To),
		fmt.Sprint(l.N), safe(p.Name), safe(d.Name), lineItems[l.Kind], safe(l.Band), at(l.From), at(l.To), l.Quantity.String(), safe(l.Unit), price, money(l.Amount),
		l.Tax.Category, lamppost.Dec(int64(l.Tax.BasisPoints), -2).String(), fmt.Sprint(l.Estimated), opening, closing,
		l.Meter.Agreement, l.Meter.Point, l.Meter.ID, safe(l.Meter.Register), l.Meter.Tariff, version, money(v.Net), money(tax), money(v.Total),
		l.Meter.Session, block, replaces, money(v.Due()), safe(v.reason(l.Tax.Category)), l.Meter.Channel,
		strings.Join(l.Meter.Assurances, " "), fmt.Sprint(l.Meter.Judged), safe(findings(l.Meter)), "", "", "", "", "", "", "", "", ""}
}

// findings lists what triage found of a meter: the verdict, its code and the answer of each, as in "v12.0.0 too_fast wrong".
func findings(m *Meter) string {
	var all []string
	for _, f := range m.Findings {
		all = append(all, fmt.Sprintf("%s %s %s", f.Verdict, f.Code, f.Answer))
	}
	return strings.Join(all, ", ")
}

// iso writes an instant in RFC 3339 with the zone's offset.
func iso(z tariff.Zone, at lamppost.TimeMS) string {
	return local(z, at).Format("2006-01-02T15:04:05.999Z07:00")
}

// isoDate writes the day of an instant on the zone's clock.
func isoDate(z tariff.Zone, at lamppost.TimeMS) string { return local(z, at).Format(time.DateOnly) }

// safe keeps free text from being a formula where a spreadsheet opens the file (OWASP, CSV injection).
func safe(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@' || s[0] == '\t' || s[0] == '\r') {
		return "'" + s
	}
	return s
}
