package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// KindStatement marks the file of a statement.
const KindStatement = "statement/1"

// A Statement is the cover sheet over invoices of one party, for people, with the proof that it is true at its end. All
// of it but the party follows from the proof. Amounts are in major units of the currency, times on the tariffs' clocks.
type Statement struct {
	Lamppost   string           `json:"lamppost"`
	Network    string           `json:"network"`
	Party      Named            `json:"party"`
	Invoices   []BilledInvoice  `json:"invoices"`
	Paid       *Paid            `json:"payments,omitempty"` // by contracts; nil: the file shows none
	Notes      []string         `json:"notes,omitempty"`    // who put in the devices' keys, where not the device itself
	Checkpoint SignedCheckpoint `json:"checkpoint"`
	Proof      string           `json:"proof"` // a [lamppost.Proof], compressed, in base64

	party    lamppost.PartyID
	invoices []*Invoice
	payments []Payment
	evidence *Evidence
}

// Named is an id with the name that the log has for it.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// A SignedCheckpoint is what everything in a file hangs on.
type SignedCheckpoint struct {
	Size     int64        `json:"size"`
	Root     string       `json:"root"`
	Signers  []string     `json:"signers"`
	Cosigned []CosignedBy `json:"cosigned,omitempty"`
}

// CosignedBy says which witness cosigned which member's checkpoint, and when by its clock.
type CosignedBy struct {
	Witness string `json:"witness"`
	Log     string `json:"log"`
	Time    string `json:"time"`
}

// A BilledInvoice is an invoice as a statement shows it.
type BilledInvoice struct {
	Number   string         `json:"number"`
	Seller   Named          `json:"seller"`
	Buyer    Named          `json:"buyer"`
	From     string         `json:"from"`
	To       string         `json:"to"`
	Issued   string         `json:"issued"`
	Currency string         `json:"currency"`
	Lines    []BilledLine   `json:"lines"`
	Net      string         `json:"net"`
	Taxes    []BilledTax    `json:"taxes"`
	Total    string         `json:"total"`
	Tariffs  []BilledTariff `json:"tariffs"`
	Corrects *Corrected     `json:"corrects,omitempty"`
}

// Corrected says which invoice another one replaces, why, what that came to, and the difference that is due.
type Corrected struct {
	Number string `json:"number"`
	Cause  string `json:"cause"`
	Total  string `json:"total"`
	Due    string `json:"due"`
}

// A BilledLine is a line of an invoice. A standing charge has no registers.
type BilledLine struct {
	N         uint32 `json:"n"`
	Text      string `json:"text"`
	Place     string `json:"place,omitempty"`
	Session   string `json:"session,omitempty"`
	Channel   string `json:"channel,omitempty"`
	Device    string `json:"device"`
	Register  string `json:"register,omitempty"`
	Band      string `json:"band"`
	From      string `json:"from"`
	To        string `json:"to"`
	Opening   *Value `json:"opening,omitempty"`
	Closing   *Value `json:"closing,omitempty"`
	Intervals int    `json:"intervals,omitempty"` // of a line that holds in more than one: see [Statement.Intervals]
	Quantity  string `json:"quantity"`
	Unit      string `json:"unit"`
	Price     string `json:"price,omitempty"`
	Amount    string `json:"amount"`
	Estimated bool   `json:"estimated"`
	Assurance string `json:"assurance,omitempty"` // meter-signed, where all registers of the line are
	// Judged: triage had judged all registers of the line. Findings are what it found of them that held up the bill.
	Judged   bool            `json:"judged,omitempty"`
	Findings []BilledFinding `json:"findings,omitempty"`
}

// A BilledFinding is a verdict on a line's register, and what was answered: valid, it is true all the same, or wrong, and other values
// were entered.
type BilledFinding struct {
	Verdict string `json:"verdict"`
	Code    string `json:"code"`
	Answer  string `json:"answer"`
}

// A Value is a register as it stood at an edge of a line, and how far to trust it.
type Value struct {
	Time      string `json:"time"`
	Value     string `json:"value"`
	Unit      string `json:"unit"`
	Quality   string `json:"quality"`
	Assurance string `json:"assurance"`
}

// An Interval is a stretch of time in which a line's price held.
type Interval struct {
	From    string `json:"from"`
	Opening string `json:"opening"`
	To      string `json:"to"`
	Closing string `json:"closing"`
	Price   string `json:"price,omitempty"` // of a series
}

// A BilledTax is the tax of one category and rate.
type BilledTax struct {
	Rate   string `json:"rate"`
	Base   string `json:"base"`
	Amount string `json:"amount"`
}

// A BilledTariff is a tariff in words.
type BilledTariff struct {
	ID      string `json:"id"`
	Version uint32 `json:"version"`
	Terms   string `json:"terms"`
}

// NewStatement checks a proof and writes the statement of a party that all its invoices concern, as buyer or seller, and all its contracts
// bind. The pin may be nil, see [CheckProof].
func NewStatement(p *lamppost.Proof, pin *Pin, party lamppost.PartyID) (*Statement, error) {
	s, err := newStatement(p, pin, party)
	if err == nil {
		s.Proof = writeProof(p)
	}
	return s, err
}

// checkLines is [CheckProof] for a file of lines: its error names the line that rests on what is wrong.
func checkLines(p *lamppost.Proof, pin *Pin) (*Evidence, error) {
	e, err := CheckProof(p, pin)
	var fault *reportFault
	if errors.As(err, &fault) {
		return nil, e.nameLine(fault)
	}
	return e, err
}

// newStatement leaves the proof's text to the caller.
func newStatement(p *lamppost.Proof, pin *Pin, party lamppost.PartyID) (*Statement, error) {
	e, err := checkLines(p, pin)
	if err != nil {
		return nil, err
	}
	s := &Statement{Lamppost: KindStatement, Network: e.Network, Party: e.party(party, maxLogSize), Checkpoint: e.signed(), evidence: e,
		party: party, Invoices: []BilledInvoice{}}
	for _, t := range e.invoices() {
		inv := t.Invoice
		if inv.Seller != party && inv.Buyer != party {
			return nil, fmt.Errorf("invoice %s: it is between %q and %q and does not concern party %q", inv.Number, inv.Seller, inv.Buyer, party)
		}
		s.invoices = append(s.invoices, inv)
		s.Invoices = append(s.Invoices, e.billed(inv))
	}
	if err := s.pay(party); err != nil {
		return nil, err
	}
	if len(s.Invoices) == 0 && s.Paid == nil {
		return nil, errors.New("statement: the proof has no invoice, and no payment of a contract")
	}
	s.Notes = e.notes()
	return s, nil
}

func (e *Evidence) party(id lamppost.PartyID, before int64) Named {
	n := Named{ID: string(id)}
	if p := e.Party(id, before); p != nil {
		n.Name = p.Name
	}
	return n
}

func (e *Evidence) signed() SignedCheckpoint {
	s := SignedCheckpoint{Size: e.Checkpoint.Size, Root: e.Checkpoint.Root.String(), Signers: e.Signers}
	for _, c := range e.Cosigned {
		s.Cosigned = append(s.Cosigned, CosignedBy{c.Witness, c.Log, c.Time})
	}
	return s
}

func (e *Evidence) billed(inv *Invoice) BilledInvoice {
	zone := inv.Zone
	b := BilledInvoice{
		Number: inv.Number, Seller: e.party(inv.Seller, inv.Tx.Leaf), Buyer: e.party(inv.Buyer, inv.Tx.Leaf),
		From: stamp(zone, inv.From), To: stamp(zone, inv.To), Issued: stamp(zone, inv.Issued), Currency: inv.Currency,
		Net: inv.Net.String(), Total: inv.Total.String(),
	}
	for i := range inv.Supplies {
		r := lineRenderer{e, &inv.Supplies[i], inv.Tariffs[i], inv.Currency}
		for j := range r.s.Lines {
			b.Lines = append(b.Lines, r.line(&r.s.Lines[j]))
		}
		t := BilledTariff{r.t.ID, r.t.Version, Terms(r.t)}
		if n := len(b.Tariffs); n == 0 || b.Tariffs[n-1] != t {
			b.Tariffs = append(b.Tariffs, t)
		}
	}
	if c := inv.Corrects; c != nil {
		b.Corrects = &Corrected{c.Number, c.Cause.String(), c.Total.String(), inv.Due().String()}
	}
	for _, x := range inv.Tax {
		b.Taxes = append(b.Taxes, BilledTax{taxRate(x.Category, x.BasisPoints), x.Base.String(), x.Amount.String()})
	}
	return b
}

// A lineRenderer writes the lines of one supply.
type lineRenderer struct {
	e        *Evidence
	s        *tariff.InvoiceSupply
	t        *tariff.Tariff
	currency string
}

func (r *lineRenderer) line(l *tariff.Line) BilledLine {
	b := BilledLine{
		N: l.N, Text: lineText(r.s, l, r.currency), Place: r.s.Place, Session: r.s.Session, Channel: r.s.Channel, Device: string(r.s.Device), Band: l.Band,
		From: stamp(r.t.Zone, r.s.From), To: stamp(r.t.Zone, r.s.To), Amount: l.Amount.String(), Estimated: l.Estimated,
	}
	b.Quantity, b.Unit, b.Price = counted(r.s, l)
	if l.Kind() != tariff.ByUse {
		return b
	}
	b.Register, b.Judged = r.s.Register, r.s.Judged
	for _, f := range r.s.Findings {
		b.Findings = append(b.Findings, BilledFinding{f.Verdict.String(), f.Code, f.Answer.String()})
	}
	spans := r.spans(l)
	if len(spans) == 0 {
		return b // the band did not occur in the period
	}
	if meterSigned(spans) {
		b.Assurance = lamppost.MeterSigned.String()
	}
	b.Opening, b.Closing = r.value(spans[0][0]), r.value(spans[len(spans)-1][1])
	if len(spans) > 1 {
		b.Intervals = len(spans)
	}
	return b
}

// counted returns a line's quantity, its unit and the price of one.
func counted(s *tariff.InvoiceSupply, l *tariff.Line) (quantity, unit, price string) {
	price = l.Price.String()
	switch l.Kind() {
	case tariff.ByDay:
		return fmt.Sprint(l.Days), "day", price
	case tariff.ByMinute:
		return fmt.Sprint(l.Minutes), "minute", price
	case tariff.ByPeak:
		return perUnit(s, l.Quantity), s.PerUnit + "/h", price
	case tariff.Once:
		return "1", "", price
	}
	if l.Band == tariff.LineSeries {
		price = ""
	}
	return perUnit(s, l.Quantity), s.PerUnit, price
}

// Intervals lists the intervals in which the price of a line held: their registers make its quantity. The line is named by its
// place among those of the invoice, and that by its place in the statement.
func (s *Statement) Intervals(invoice, line int) (all []Interval) {
	inv := s.invoices[invoice]
	i, l := findLine(inv, s.Invoices[invoice].Lines[line].N)
	if l.Kind() != tariff.ByUse {
		return nil
	}
	r := lineRenderer{s: &inv.Supplies[i], t: inv.Tariffs[i]}
	for _, span := range r.spans(l) {
		all = append(all, r.interval(span))
	}
	return all
}

// meterSigned reports whether a line rests on nothing but what its meter signed.
func meterSigned(spans [][2]*tariff.Edge) bool {
	return !slices.ContainsFunc(spans, func(s [2]*tariff.Edge) bool { return !s[0].MeterSigned || !s[1].MeterSigned })
}

// spans returns the first and last edge of each stretch of time in which a line's price held.
func (r *lineRenderer) spans(l *tariff.Line) (spans [][2]*tariff.Edge) {
	going := false
	for j := 1; j < len(r.s.Edges); j++ {
		a, b := &r.s.Edges[j-1], &r.s.Edges[j]
		held := holds(r.t, l, a.Time)
		switch {
		case held && going && r.t.Series == nil:
			spans[len(spans)-1][1] = b
		case held:
			spans = append(spans, [2]*tariff.Edge{a, b})
		}
		going = held
	}
	return spans
}

func (r *lineRenderer) interval(span [2]*tariff.Edge) Interval {
	i := Interval{From: stamp(r.t.Zone, span[0].Time), Opening: span[0].Value.String(),
		To: stamp(r.t.Zone, span[1].Time), Closing: span[1].Value.String()}
	if x := r.t.Series; x != nil {
		i.Price = x.Prices[(span[0].Time-x.From)/x.StepMS].String()
	}
	return i
}

func (r *lineRenderer) value(x *tariff.Edge) *Value {
	v := &Value{Time: stamp(r.t.Zone, x.Time), Value: x.Value.String(), Unit: r.s.Unit, Quality: x.Quality.String()}
	if report := r.e.Report(x.Source); report != nil {
		v.Assurance = report.Device.Assurance.String()
	}
	switch {
	case x.Manual:
		v.Assurance = "entered by hand"
	case x.MeterSigned:
		v.Assurance = lamppost.MeterSigned.String()
	}
	return v
}

// Encode writes the statement's file, each line of an invoice on a line of its own.
func (s *Statement) Encode() []byte { return encode(s, 4) }

// finding sums up what the statement proves.
func (s *Statement) finding() *Finding {
	f := s.evidence.finding(KindStatement)
	f.Statement = s
	for _, inv := range s.invoices {
		n, readings, rough, metered := 0, 0, 0, 0
		for i := range inv.Supplies {
			n += len(inv.Supplies[i].Lines)
			for _, x := range inv.Supplies[i].Edges {
				readings++
				if x.Estimated || x.Quality != lamppost.Measured {
					rough++
				}
				if x.MeterSigned {
					metered++
				}
			}
		}
		f.Invoices, f.Lines, f.Readings = f.Invoices+1, f.Lines+n, f.Readings+readings
		words := fmt.Sprintf("invoice %s: %s and total %s %s computed again from %s", inv.Number, plural(n, "line"), inv.Total,
			inv.Currency, plural(readings, "register value"))
		if rough > 0 {
			words += fmt.Sprintf(", %d of them estimated", rough)
		}
		if metered > 0 {
			words += fmt.Sprintf(", %d of them meter-signed", metered)
		}
		words += plausibility(inv)
		if c := inv.Corrects; c != nil {
			words += fmt.Sprintf("; it replaces %s (%s), so %s are due", c.Number, c.Cause, inv.Due())
		}
		f.add("%s", words)
	}
	f.add("%s of %s", plural(len(s.evidence.Reports), "report"), strings.Join(s.evidence.devices(), ", "))
	s.evidence.addAssurances(f)
	f.Summary = append(f.Summary, s.Notes...)
	if slices.ContainsFunc(s.invoices, func(inv *Invoice) bool { return plausibility(inv) != "" }) {
		f.DoesNotProve = append(f.DoesNotProve, "that triage judged what it says to have judged, or found nothing else: that is the ledger's word; the findings that lines name and their answers are proven")
	}
	s.addPaid(f)
	f.DoesNotProve = append(f.DoesNotProve,
		"that these are all invoices of the party, or that one was paid",
		"that the log has no later terms or earlier readings: only that the members, who see all of it, agreed on these",
		"that a meter measured right: only that its device signed these values",
		"that place and names are true: only that the network's members recorded them",
	)
	return f
}

// plausibility says what triage had to say of an invoice's registers.
func plausibility(inv *Invoice) (words string) {
	judged, registers := 0, 0
	var found []string
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		if s.Channel == "" {
			registers++
		}
		if s.Judged {
			judged++
		}
		for _, f := range s.Findings {
			found = append(found, fmt.Sprintf("%s (%s) of %s was found %s", f.Verdict, clip(f.Code), s.Device, f.Answer))
		}
	}
	if judged > 0 {
		words = fmt.Sprintf("; triage judged %d of %s", judged, plural(registers, "register"))
	}
	if len(found) > 0 {
		words += "; verdict " + strings.Join(found, ", verdict ")
	}
	return words
}

// devices lists with their assurance the devices whose reports are in the proof, in the proof's order.
func (e *Evidence) devices() []string {
	var names []string
	seen := make(map[lamppost.DeviceID]bool)
	for i := range e.Reports {
		if d := e.Reports[i].Device; d != nil && !seen[d.ID] {
			seen[d.ID] = true
			names = append(names, fmt.Sprintf("device %s (%s)", d.ID, d.Assurance))
		}
	}
	if len(names) == 0 {
		return []string{"no device"}
	}
	return names
}

// addAssurances counts the accepted reports by how they are vouched for, and says whose word has to be taken.
func (e *Evidence) addAssurances(f *Finding) {
	f.Assurances = map[string]int{}
	by := map[lamppost.Assurance]int{}
	for i := range e.Reports {
		if d := e.Reports[i].Device; d != nil {
			by[d.Assurance]++
			f.Assurances[d.Assurance.String()]++
		}
	}
	var words []string
	for a := lamppost.DeviceSigned; a <= lamppost.Unsigned; a++ {
		if n := by[a]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, a))
		}
		if n := by[a]; n > 0 && notProven[a] != "" {
			f.DoesNotProve = append(f.DoesNotProve, fmt.Sprintf("that %s (%s) %s", plural(n, "report"), a, notProven[a]))
		}
	}
	if len(words) > 0 {
		f.add("reports by how they are vouched for: %s", strings.Join(words, ", "))
	}
	e.addMeters(f)
}

// addMeters says what was checked of the meters' own signatures.
func (e *Evidence) addMeters(f *Finding) {
	records := 0
	for i := range e.Reports {
		if r := &e.Reports[i]; r.given != nil {
			records += len(r.Signed.Meter)
		}
	}
	if records == 0 {
		return
	}
	f.add("%s in the Open Charge Metering Format: the meters' signatures hold, and the reports say the same", plural(records, "record"))
	f.DoesNotProve = append(f.DoesNotProve, "that a meter's key is the meter's: the member who ordered the device's enrolment says so")
}

// notProven says what is left open where a device does not sign itself.
var notProven = [...]string{
	lamppost.GatewayVouched:       "came from their device: a gateway says so, which could have made them itself",
	lamppost.ChannelAuthenticated: "came from their device: a gateway says that its connection brought them",
	lamppost.Unsigned:             "came from their device: anybody who reached the gateway could have used its name",
}

// Evidence returns what the statement's proof turned out to prove: its invoices with every register, tariff and device.
func (s *Statement) Evidence() *Evidence { return s.evidence }
