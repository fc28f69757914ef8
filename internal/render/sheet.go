package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A sheet is a page in words: what HTML and PDF show, in their order. Only here are numbers turned into text for people.
type sheet struct {
	Lang     string
	Title    string
	Issued   time.Time // of the last invoice: all that a file may say of when it was made
	Cover    *grid     // of several invoices
	Invoices []invoiceSheet
	Paid     *grid         // by contracts; nil: nothing
	Ahead    *outlookSheet // nil: nothing is said
	Proof    proofSheet
	PageOf   string // with {page} and {pages}
	l        *locale
}

// A grid is a table with a heading. Columns beyond the first Left ones hold numbers.
type grid struct {
	Title, Intro string
	Head         []string
	Left         int
	Rows         [][]string
}

// A fact is a heading with what it says.
type fact struct {
	Name  string
	Lines []string
}

type invoiceSheet struct {
	Title     string
	TotalName string
	Total     string
	Facts     []fact
	Note      string // on estimates
	Head      [4]string
	Places    []placeSheet
	Totals    []amountRow
	Changes   *grid
}

type placeSheet struct {
	Name     string
	Devices  []deviceSheet
	Subtotal amountRow
}

type deviceSheet struct {
	Name   string
	Meters []string
	Rows   []row
}

type row struct{ Item, Mark, Quantity, Price, Amount string }

type amountRow struct {
	Name, Amount string
	Grand        bool
}

type proofSheet struct {
	Title  string
	Text   []string
	Facts  []fact
	Notes  []string // in English
	Meters grid
}

func newSheet(p *Page, l *locale) *sheet {
	s := &sheet{Lang: l.tag.String(), l: l, Title: l.text("statement", "name", p.Party.Name), PageOf: l.text("page")}
	for i := range p.Invoices {
		v := &p.Invoices[i]
		s.Invoices = append(s.Invoices, s.invoice(v))
		s.Issued = later(s.Issued, local(v.Zone, v.Issued))
	}
	switch len(p.Invoices) {
	case 0: // of a party to whom contracts paid
	case 1:
		s.Title = s.Invoices[0].Title
	default:
		s.Cover = s.cover(p)
	}
	s.Paid = s.paid(p.Paid)
	s.Ahead, s.Proof = s.ahead(p), s.proof(p)
	return s
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (s *sheet) cover(p *Page) *grid {
	l := s.l
	g := &grid{Title: s.Title, Intro: l.count("cover", len(p.Invoices)), Left: 4,
		Head: []string{l.text("number"), l.text("seller"), l.text("buyer"), l.text("period.name"), l.text("total")}}
	for i := range p.Invoices {
		v := &p.Invoices[i]
		number := v.Number
		if v.Corrects != nil {
			number = l.text("cover.replaces", "number", v.Number, "before", v.Corrects.Number)
		}
		g.Rows = append(g.Rows, []string{number, v.Seller.Name, v.Buyer.Name, l.period(v.Zone, v.From, v.To), s.money(v, v.Due())})
	}
	return g
}

// money writes an amount of an invoice.
func (s *sheet) money(v *Invoice, m lamppost.Micro) string {
	return s.l.money(fixed(m, v.Currency), v.Currency)
}

func (s *sheet) invoice(v *Invoice) invoiceSheet {
	l := s.l
	title := "invoice"
	switch {
	case v.Kind == KindCreditNote:
		title = "credit_note"
	case v.Corrects != nil:
		title = "corrected"
	}
	out := invoiceSheet{Title: l.text(title, "number", v.Number), TotalName: l.text("total"), Total: s.money(v, v.Total), Facts: s.facts(v),
		Head: [4]string{l.text("item"), l.text("quantity"), l.text("price"), l.text("amount")}}
	estimated := false
	for i := range v.Places {
		out.Places = append(out.Places, s.place(v, &v.Places[i]))
	}
	v.each(func(_ *Place, _ *Device, line *Line) { estimated = estimated || line.Estimated })
	if estimated {
		out.Note = l.text("estimated.note")
	}
	out.Totals = append(out.Totals, amountRow{Name: l.text("net"), Amount: s.money(v, v.Net)})
	for _, x := range v.Taxes {
		out.Totals = append(out.Totals, amountRow{Name: s.tax(v, x), Amount: s.money(v, x.Amount)})
	}
	out.Totals = append(out.Totals, amountRow{l.text("total"), s.money(v, v.Total), v.Corrects == nil})
	if c := v.Corrects; c != nil {
		out.TotalName, out.Total = l.text("total.due"), s.money(v, v.Due())
		if v.Kind == KindCreditNote {
			out.TotalName, out.Total = l.text("total.credit"), s.money(v, -v.Due())
		}
		out.Totals = append(out.Totals, amountRow{Name: l.text("total.before", "number", c.Number), Amount: s.money(v, -c.Total)}, amountRow{out.TotalName, out.Total, true})
	}
	if v.Changes != nil {
		out.Changes = s.changes(v)
	}
	return out
}

func (s *sheet) tax(v *Invoice, x tariff.TaxSum) string {
	text := s.l.text("tax."+x.Category, "rate", s.l.percent(int64(x.BasisPoints)), "base", s.money(v, x.Base))
	if reason := v.reason(x.Category); reason != "" {
		text = s.l.text("named", "name", text, "text", reason)
	}
	return text
}

// reason is why a category's tax is not paid, in the words of the agreements.
func (v *Invoice) reason(category string) string {
	var reasons []string
	for _, x := range v.Exempt {
		if x.Category == category {
			reasons = append(reasons, x.Reason)
		}
	}
	return strings.Join(reasons, "; ")
}

func (s *sheet) facts(v *Invoice) []fact {
	l := s.l
	facts := []fact{{l.text("seller"), s.party(&v.Seller)}, {l.text("buyer"), s.party(&v.Buyer)},
		{l.text("period.name"), []string{l.period(v.Zone, v.From, v.To)}},
		{l.text("issued"), []string{l.date(v.Zone, v.Issued)}}}
	if c := v.Corrects; c != nil {
		facts = append(facts, fact{l.text("replaces"), []string{l.text("replaces.what", "number", c.Number), l.text(causes[c.Cause])}})
	}
	if days := v.Seller.DueDays; days > 0 && v.Kind == KindInvoice {
		facts = append(facts, fact{l.text("due"), []string{l.date(v.Zone, v.due())}})
	}
	if v.Seller.IBAN != "" && v.Kind == KindInvoice {
		facts = append(facts, fact{l.text("pay_to"), []string{strings.TrimSpace("IBAN " + v.Seller.IBAN), l.text("reference", "number", v.Number)}})
	}
	return append(facts, fact{l.text("clock"), []string{v.Zone.Name}})
}

// causes are the messages for why a bill was corrected.
var causes = map[lamppost.Cause]string{lamppost.CauseLate: "cause.late", lamppost.CauseSubstituted: "cause.substituted", lamppost.CauseDispute: "cause.dispute",
	lamppost.CauseTerms: "cause.terms"}

// due is noon of the day on which an invoice is to be paid, if its seller says so.
func (v *Invoice) due() lamppost.TimeMS {
	t := local(v.Zone, v.Issued)
	return lamppost.TimeMS(time.Date(t.Year(), t.Month(), t.Day()+v.Seller.DueDays, 12, 0, 0, 0, t.Location()).UnixMilli())
}

func (s *sheet) party(p *Party) []string {
	lines := append([]string{p.Name}, p.lines()...)
	for _, x := range [][2]string{{"vat", p.VAT}, {"tax_number", p.TaxNumber}} {
		if x[1] != "" {
			lines = append(lines, s.l.text(x[0], "id", x[1]))
		}
	}
	for _, x := range []string{p.Email, p.Phone} {
		if x != "" {
			lines = append(lines, x)
		}
	}
	return lines
}

func (s *sheet) place(v *Invoice, p *Place) placeSheet {
	out := placeSheet{Name: p.Name, Subtotal: amountRow{Name: s.l.text("subtotal", "place", p.Name), Amount: s.money(v, p.Subtotal)}}
	for i := range p.Devices {
		d := &p.Devices[i]
		sheet := deviceSheet{Name: d.Name}
		if x := d.Session; x != nil {
			sheet.Name = s.l.text("session", "from", s.l.moment(v.Zone, x.From), "to", s.l.moment(v.Zone, x.To))
			if d.Name != "" {
				sheet.Name = s.l.text("named", "name", d.Name, "text", sheet.Name)
			}
		}
		for _, m := range d.Meters {
			sheet.Meters = append(append(sheet.Meters, s.meter(v, m)), s.trust(m)...)
		}
		for j := range d.Lines {
			sheet.Rows = append(sheet.Rows, s.row(v, d, &d.Lines[j]))
		}
		out.Devices = append(out.Devices, sheet)
	}
	return out
}

func (s *sheet) meter(v *Invoice, m *Meter) string {
	at := func(r Reading) string {
		text := s.l.text("reading", "value", s.quantity(r.Value, m.Unit), "time", s.l.moment(v.Zone, r.At))
		if r.Estimated {
			text += " (" + s.l.text("estimated") + ")"
		}
		return text
	}
	return s.l.text("meter", "opening", at(m.Opening), "closing", at(m.Closing))
}

// trust says how far to trust a meter's readings: who vouches for them, and what triage said.
func (s *sheet) trust(m *Meter) (lines []string) {
	var words []string
	for _, a := range m.Assurances {
		words = append(words, s.l.text("assured."+strings.NewReplacer("-", "_", " ", "_").Replace(a)))
	}
	if m.Judged {
		words = append(words, s.l.text("judged"))
	}
	if len(words) > 0 {
		lines = append(lines, s.l.text("trust", "words", strings.Join(words, " · ")))
	}
	for _, f := range m.Findings {
		lines = append(lines, s.l.text("found."+f.Answer.String(), "verdict", f.Verdict.String(), "code", orElse(s.l.text("found.code."+f.Code), f.Code)))
	}
	return lines
}

// quantity writes a quantity with its unit.
func (s *sheet) quantity(q lamppost.Decimal, unit string) string {
	switch {
	case unit == unitDay && q.Exponent == 0:
		return s.l.count("days", int(q.Mantissa))
	case unit == "" && q.Mantissa == 0:
		return ""
	case unit == "":
		return s.l.decimal(q.String()) + " ×"
	}
	return s.l.decimal(q.String()) + " " + s.unit(unit)
}

// unit writes a unit as a price is per it.
func (s *sheet) unit(name string) string {
	switch sign := unitSign(name); {
	case name == unitDay:
		return s.l.text("day")
	case sign == unitCount:
		return s.l.text("piece")
	default:
		return sign
	}
}

func (s *sheet) row(v *Invoice, d *Device, line *Line) row {
	l := s.l
	r := row{Item: s.item(line.Kind, line.Band, line.Block), Quantity: s.quantity(line.Quantity, line.Unit), Amount: s.money(v, line.Amount)}
	switch {
	case line.Kind == LineSeries:
		r.Price = l.text("price.changing")
	case line.Kind == LineCapacity:
		r.Quantity += ", " + l.count("days", int(line.Days))
		r.Price = l.text("price.peak", "price", s.money(v, line.Price), "unit", s.unit(line.Unit))
	case line.Kind.once():
		r.Quantity, r.Price = "", s.money(v, line.Price)
	default:
		r.Price = l.text("price.per", "price", s.money(v, line.Price), "unit", s.unit(line.Unit))
	}
	if len(d.Meters) > 1 { // under several terms or meters a line says when it holds
		r.Item = l.text("item.period", "item", r.Item, "period", l.period(v.Zone, line.From, line.To))
	}
	if line.Estimated {
		r.Mark = l.text("estimated")
	}
	return r
}

// item names a line. A band has the name that its seller gave it.
func (s *sheet) item(k LineKind, band string, block uint32) string {
	switch k {
	case LineStanding:
		return s.l.text("standing")
	case LineSeries:
		return s.l.text("series")
	case LineCapacity:
		return s.l.text("capacity")
	case LineStart:
		return s.l.text("session.start")
	case LineTime:
		return s.l.text("session.time")
	case LineIdle:
		return s.l.text("session.idle")
	case LineVouchers:
		return s.l.text("vouchers")
	case LineMinimum:
		return s.l.text("minimum")
	case LineMaximum:
		return s.l.text("maximum")
	}
	if block > 0 {
		return s.l.text("block", "band", band, "n", fmt.Sprint(block))
	}
	return band
}

func (s *sheet) changes(v *Invoice) *grid {
	l, c := s.l, v.Changes
	g := &grid{Title: l.text("changes"), Intro: l.text("changes.intro", "number", c.Before, "period", l.period(v.Zone, c.From, c.To)), Left: 2,
		Head: []string{l.text("place"), l.text("item"), l.text("changes.before"), l.text("changes.now"), l.text("changes.more"), l.text("changes.amount")}}
	for _, r := range c.Rows {
		g.Rows = append(g.Rows, []string{r.Place, s.item(r.Kind, r.Band, r.Block), s.quantity(r.Before.Quantity, r.Unit), s.quantity(r.Now.Quantity, r.Unit),
			signed(s.quantity(r.More.Quantity, r.Unit)), signed(s.money(v, r.More.Amount))})
	}
	g.Rows = append(g.Rows, []string{l.text("net"), "", s.money(v, c.Net), s.money(v, v.Net), "", signed(s.money(v, v.Net-c.Net))})
	return g
}

// signed puts a plus before what is more.
func signed(text string) string {
	if strings.HasPrefix(text, "−") || !strings.ContainsAny(text, "123456789") {
		return text
	}
	return "+" + text
}

const verifyCommand = "lamppost verify --pin network.pin statement.json"

func (s *sheet) proof(p *Page) proofSheet {
	l := s.l
	out := proofSheet{Title: l.text("proof"), Text: []string{l.text("proof.copy"), l.text("proof.how", "command", verifyCommand)}, Notes: p.Proof.Notes}
	if !p.Proof.Pinned {
		out.Text = append(out.Text, l.text("proof.unpinned"))
	}
	out.Facts = []fact{{l.text("proof.network"), []string{p.Network}},
		{l.text("proof.checkpoint"), []string{l.text("proof.entries", "n", l.decimal(fmt.Sprint(p.Proof.Size))), p.Proof.Root}},
		{l.text("proof.signers"), p.Proof.Signers}}
	var witnesses []string
	for _, w := range p.Proof.Witnesses {
		witnesses = append(witnesses, l.text("proof.witnessed", "witness", w.Name, "log", w.Log, "time", w.Time))
	}
	if len(witnesses) == 0 {
		witnesses = []string{l.text("proof.unwitnessed")}
	}
	out.Facts = append(out.Facts, fact{l.text("proof.witnesses"), witnesses})
	out.Meters = s.meters(p)
	return out
}

// meters lists what each line rests on, by the names that the network has for it.
func (s *sheet) meters(p *Page) grid {
	l := s.l
	g := grid{Title: l.text("proof.lines"), Left: 7, Head: []string{l.text("number"), l.text("proof.line"), l.text("proof.device"), l.text("proof.register"),
		l.text("proof.point"), l.text("proof.agreement"), l.text("proof.tariff")}}
	for i := range p.Invoices {
		v := &p.Invoices[i]
		var last *Meter
		first := uint32(0)
		v.each(func(_ *Place, _ *Device, line *Line) {
			if m := line.Meter; m != last {
				last, first = m, line.N
				under := m.Agreement
				if m.Session != "" {
					under = l.text("proof.session", "id", m.Session)
				}
				if m.Channel != "" {
					under = l.text("proof.channel", "id", m.Channel)
				}
				g.Rows = append(g.Rows, []string{v.Number, fmt.Sprint(first), m.ID, m.Register, m.Point, under, fmt.Sprintf("%s/%d", m.Tariff, m.Version)})
				return
			}
			g.Rows[len(g.Rows)-1][1] = fmt.Sprintf("%d–%d", first, line.N)
		}) // a meter's lines follow each other
	}
	return g
}
