package render

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/tariff"
)

// Options are what a reader may choose.
type Options struct {
	Lang    string // BCP 47, such as "de-AT"; empty: the party's, or English
	Invoice string // a number: only this one; empty: all
	Details Details
	Outlook *outlook.Outlook // of the party; nil: none is shown
}

// NewPage makes the view model of a statement, which was checked by whoever made or read it.
func NewPage(st *audit.Statement, o Options) (*Page, error) {
	b := builder{st: st, details: o.Details, deviceName: deviceNames(st.Evidence())}
	txs := st.Evidence().Txs
	for i := range txs {
		if txs[i].Invoice != nil {
			b.invoices = append(b.invoices, txs[i].Invoice)
		}
	}
	p, err := b.page()
	if err != nil {
		return nil, err
	}
	p.Outlook = o.Outlook
	p.Proof.Pinned = st.Evidence().Pinned
	return p.only(o.Invoice)
}

// deviceNames returns what finds the name of a supply's device: the log has it where the device was enrolled.
func deviceNames(e *audit.Evidence) func(*tariff.InvoiceSupply) string {
	return func(s *tariff.InvoiceSupply) string {
		for i := len(s.Edges) - 1; i >= 0; i-- {
			if r := e.Report(s.Edges[i].Source); r != nil && r.Device != nil && r.Device.ID == s.Device {
				return r.Device.Name
			}
		}
		return ""
	}
}

// only leaves one invoice on the page, if a number is given.
func (p *Page) only(number string) (*Page, error) {
	if number == "" {
		return p, nil
	}
	i := slices.IndexFunc(p.Invoices, func(v Invoice) bool { return v.Number == number })
	if i < 0 {
		return nil, &InputError{fmt.Sprintf("the statement of %q has no invoice %q", p.Party.ID, number)}
	}
	one := *p
	one.Invoices = p.Invoices[i : i+1]
	if len(p.Invoices) > 1 {
		one.Paid = nil
	}
	return &one, nil
}

// A builder makes a page.
type builder struct {
	st         *audit.Statement // its words, and the names in it
	invoices   []*audit.Invoice // as many and in the same order
	details    Details
	deviceName func(*tariff.InvoiceSupply) string
}

func (b *builder) page() (*Page, error) {
	c := b.st.Checkpoint
	p := &Page{Network: b.st.Network, Party: b.party(b.st.Party), Proof: Proof{Size: c.Size, Root: c.Root, Signers: c.Signers, Notes: b.st.Notes}}
	for _, w := range c.Cosigned {
		p.Proof.Witnesses = append(p.Proof.Witnesses, Witness{w.Witness, w.Log, w.Time})
	}
	for i, inv := range b.invoices {
		v := b.invoice(inv, b.st.Invoices[i])
		p.Invoices = append(p.Invoices, v)
	}
	p.Paid = b.paid(p)
	for i := range p.Invoices {
		if err := p.compare(i); err != nil {
			return nil, fmt.Errorf("invoice %s: %w", p.Invoices[i].Number, err)
		}
	}
	return p, nil
}

func (b *builder) party(n audit.Named) Party {
	p := Party{ID: n.ID, Name: orElse(n.Name, n.ID), PartyDetails: b.details[n.ID]}
	return p
}

func (b *builder) invoice(inv *audit.Invoice, words audit.BilledInvoice) Invoice {
	v := Invoice{Number: inv.Number, Seller: b.party(words.Seller), Buyer: b.party(words.Buyer), Currency: inv.Currency, Zone: inv.Zone,
		From: inv.From, To: inv.To, Issued: inv.Issued, Net: inv.Net, Taxes: inv.Tax, Total: inv.Total}
	if c := inv.Corrects; c != nil {
		v.Corrects = &Corrected{c.Number, b.issued(c.Number), c.Cause, c.Net, c.Tax, c.Total}
		if v.Due() < 0 {
			v.Kind = KindCreditNote
		}
	}
	for i := range inv.Supplies {
		b.supply(&v, &inv.Supplies[i], words.Lines)
	}
	return v
}

// issued is when an invoice of the statement was, or 0.
func (b *builder) issued(number string) lamppost.TimeMS {
	for _, v := range b.invoices {
		if v.Number == number {
			return v.Issued
		}
	}
	return 0
}

// exempt notes why a category's tax is not paid, each reason once.
func (v *Invoice) exempt(s *tariff.InvoiceSupply) {
	if x := (Exemption{s.Tax.Category, s.TaxReason}); s.TaxReason != "" && !slices.Contains(v.Exempt, x) {
		v.Exempt = append(v.Exempt, x)
	}
}

// supply puts a supply's lines where its reader looks for them.
func (b *builder) supply(v *Invoice, s *tariff.InvoiceSupply, words []audit.BilledLine) {
	name := b.deviceName(s)
	place := v.place(orElse(orElse(orElse(s.Place, name), orElse(s.Point, string(s.Device))), s.Channel))
	if name == place.Name {
		name = ""
	}
	v.exempt(s)
	device := place.device(name, s)
	meter := &Meter{ID: string(s.Device), Register: s.Register, Unit: s.PerUnit, Agreement: s.Agreement, Session: s.Session, Channel: s.Channel, Point: s.Point,
		Tariff: s.Tariff, Version: s.Version, Judged: s.Judged, Findings: s.Findings, Assurances: assurances(s, words)}
	if s.Channel == "" { // which has no register
		meter.Opening, meter.Closing = reading(s, &s.Edges[0]), reading(s, &s.Edges[len(s.Edges)-1])
		device.Meters = append(device.Meters, meter)
	}
	for i := range s.Lines {
		line := lineOf(s, &s.Lines[i])
		line.Meter = meter
		device.Lines = append(device.Lines, line)
		place.Subtotal += line.Amount // the ledger added the same, and it fitted
	}
}

// assurances lists how the registers of a supply's lines are vouched for, each once.
func assurances(s *tariff.InvoiceSupply, words []audit.BilledLine) (all []string) {
	for i := range words {
		l := &words[i]
		if l.Opening == nil || !slices.ContainsFunc(s.Lines, func(x tariff.Line) bool { return x.N == l.N }) {
			continue
		}
		for _, a := range [...]string{l.Opening.Assurance, l.Closing.Assurance} {
			if a != "" && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

func (v *Invoice) place(name string) *Place {
	i := slices.IndexFunc(v.Places, func(p Place) bool { return p.Name == name })
	if i < 0 {
		i, v.Places = len(v.Places), append(v.Places, Place{Name: name})
	}
	return &v.Places[i]
}

// device finds where lines of a device stand; each session stands by itself.
func (p *Place) device(name string, s *tariff.InvoiceSupply) *Device {
	if s.Session != "" {
		p.Devices = append(p.Devices, Device{Name: name, Session: &Session{s.Session, s.From, s.To}})
		return &p.Devices[len(p.Devices)-1]
	}
	i := slices.IndexFunc(p.Devices, func(d Device) bool { return d.Name == name && d.Session == nil })
	if i < 0 {
		i, p.Devices = len(p.Devices), append(p.Devices, Device{Name: name})
	}
	return &p.Devices[i]
}

func reading(s *tariff.InvoiceSupply, e *tariff.Edge) Reading {
	return Reading{e.Time, perUnit(s, e.Value), e.Estimated || e.Quality != lamppost.Measured}
}

func lineOf(s *tariff.InvoiceSupply, l *tariff.Line) Line {
	line := Line{N: l.N, Kind: lineKinds[l.Band], Band: l.Band, Block: l.Block, From: s.From, To: s.To, Unit: s.PerUnit, Price: l.Price, Amount: l.Amount, Tax: s.Tax,
		Estimated: l.Estimated}
	if line.Kind != LineBand {
		line.Band = ""
	}
	switch l.Kind() {
	case tariff.ByDay:
		if line.Kind == LineBand {
			line.Kind = LineDay
		}
		line.Unit, line.Quantity = unitDay, lamppost.Dec(int64(l.Days), 0)
	case tariff.ByMinute:
		line.Unit, line.Quantity = unitMinute, lamppost.Dec(int64(l.Minutes), 0)
	case tariff.ByPeak:
		line.Unit, line.Quantity, line.Days = peakUnit(s.PerUnit), perUnit(s, l.Quantity), l.Days
	case tariff.Once:
		line.Unit, line.Quantity = "", lamppost.Dec(1, 0)
	default:
		line.Quantity = perUnit(s, l.Quantity)
	}
	return line
}

// lineKinds are the kinds of lines with reserved names; others are bands and levies.
var lineKinds = map[string]LineKind{tariff.LineSeries: LineSeries, tariff.LineStanding: LineStanding, tariff.LineCapacity: LineCapacity, tariff.LineStart: LineStart,
	tariff.LineTime: LineTime, tariff.LineIdle: LineIdle, tariff.LineMinimum: LineMinimum, tariff.LineMaximum: LineMaximum,
	tariff.LineVouchers: LineVouchers}

// perUnit takes register units to the unit of the price: 31200 Wh are 31.2 kWh. The result may have more digits than a
// register can; it is only written.
func perUnit(s *tariff.InvoiceSupply, q lamppost.Decimal) lamppost.Decimal {
	q.Exponent -= int8(s.Scale)
	return trimZeros(q)
}

func trimZeros(q lamppost.Decimal) lamppost.Decimal {
	for q.Exponent < 0 && q.Mantissa%10 == 0 {
		q.Mantissa /= 10
		q.Exponent++
	}
	return q
}

// fixed writes an amount of money with the digits of its currency, and more where it has more.
func fixed(m lamppost.Micro, code string) string {
	digits, _ := tariff.Minor(code)
	q := lamppost.Dec(int64(m), -6)
	for q.Exponent < -int8(digits) && q.Mantissa%10 == 0 {
		q.Mantissa /= 10
		q.Exponent++
	}
	return q.String()
}
