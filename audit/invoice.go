package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// An Invoice is an invoice that was computed again from signed readings and gave what the ledger logged.
type Invoice struct {
	tariff.Invoice
	Tx      *Tx
	Tariffs []*tariff.Tariff // of each supply
}

// A LineError says what does not hold on an invoice, and where.
type LineError struct {
	Invoice string // number
	Line    uint32 // 0: not about one line
	Err     error
}

// Error is "invoice ST-000001: line 4: …".
func (e *LineError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("invoice %s: %v", e.Invoice, e.Err)
	}
	return fmt.Sprintf("invoice %s: line %d: %v", e.Invoice, e.Line, e.Err)
}

// Unwrap returns what is wrong, so that a [*Disagreement] can be found below.
func (e *LineError) Unwrap() error { return e.Err }

// CheckInvoice derives an invoice again: supplies from the agreements, points and tariffs that the log has before it,
// registers from signed reports, amounts from [tariff.Bill]. The result must be the logged invoice byte for byte.
// Errors are [*LineError]s.
func CheckInvoice(e *Evidence, t *Tx) (*Invoice, error) {
	c := invoiceCheck{e: e, tx: t}
	inv, err := c.run()
	var line *LineError
	if err != nil && !errors.As(err, &line) {
		return nil, &LineError{Invoice: c.number(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	return inv, nil
}

// An invoiceCheck is the state of one CheckInvoice.
type invoiceCheck struct {
	e      *Evidence
	tx     *Tx
	order  tariff.InvoiceOrder
	logged tariff.Invoice // what the ledger says: to be proven
}

func (c *invoiceCheck) number() string {
	if lamppost.CheckName("number", c.logged.Number) != nil {
		return fmt.Sprintf("of block %d", c.tx.Height)
	}
	return c.logged.Number
}

func (c *invoiceCheck) run() (*Invoice, error) {
	if c.tx.Type != lamppost.TxInvoice || c.tx.Outcome.Code != lamppost.CodeOK {
		return nil, fmt.Errorf("%s is no invoice, or was refused", c.tx)
	}
	if err := lamppost.Unmarshal(c.tx.Outcome.Data, &c.logged); err != nil {
		return nil, fmt.Errorf("the logged invoice: %w", err)
	}
	if err := lamppost.Unmarshal(c.tx.Order.Body, &c.order.InvoiceBody); err != nil {
		return nil, fmt.Errorf("the order: %w", err)
	}
	if n := len(c.logged.Supplies); n > tariff.MaxSupplies {
		return nil, fmt.Errorf("%d supplies are over the limit of %d", n, tariff.MaxSupplies)
	}
	issued, ok := c.e.Time(c.tx.Height)
	if !ok {
		return nil, fmt.Errorf("the time of block %d is not in the proof", c.tx.Height)
	}
	c.order.Number, c.order.IssuedMS = c.logged.Number, issued
	if err := c.checkComplete(); err != nil {
		return nil, err
	}
	inv := &Invoice{Tx: c.tx}
	supplies := make([]tariff.Supply, len(c.logged.Supplies))
	for i := range supplies {
		if err := c.derive(i, &supplies[i]); err != nil {
			return nil, err
		}
		inv.Tariffs = append(inv.Tariffs, &supplies[i].Tariff)
	}
	again, err := tariff.Bill(c.order, supplies)
	if err != nil {
		return nil, fmt.Errorf("it cannot be computed again: %w", err)
	}
	if err := c.compare(&again); err != nil {
		return nil, err
	}
	inv.Invoice = again
	return inv, nil
}

// checkComplete refuses an invoice that leaves out an agreement which the proof shows to hold.
func (c *invoiceCheck) checkComplete() error {
	for i := range c.e.Txs {
		a, ok := c.e.Txs[i].body.(*lamppost.AgreementBody)
		if !ok || c.e.Txs[i].Leaf >= c.tx.Leaf || a.Seller != c.order.Seller || a.Buyer != c.order.Buyer {
			continue
		}
		from, to := c.order.Period(a)
		terms := latest[tariff.Tariff](c.e, bodyKey{kind: lamppost.TxTariff, id: a.Tariff}, c.tx.Leaf)
		if from >= to || terms == nil || terms.Currency != c.order.Currency {
			continue
		}
		billed := func(s tariff.InvoiceSupply) bool { return s.Agreement == a.ID }
		if !slices.ContainsFunc(c.logged.Supplies, billed) {
			return fmt.Errorf("agreement %q holds in its period and is not billed", a.ID)
		}
	}
	return nil
}

// derive makes supply i from what was signed. The logged invoice only says which agreement, version and period to look at;
// [tariff.Bill] checks that these fit together.
func (c *invoiceCheck) derive(i int, s *tariff.Supply) error {
	logged := &c.logged.Supplies[i]
	agreement := c.e.Agreement(logged.Agreement, c.tx.Leaf)
	if agreement == nil {
		return c.supplyError(i, "agreement %q is not in the proof", logged.Agreement)
	}
	point := c.e.Point(agreement.Point, c.tx.Leaf)
	if point == nil {
		return c.supplyError(i, "metering point %q is not in the proof", agreement.Point)
	}
	terms := c.e.Tariff(agreement.Tariff, logged.Version, c.tx.Leaf)
	if terms == nil {
		return c.supplyError(i, "tariff %q version %d is not in the proof", agreement.Tariff, logged.Version)
	}
	if later := c.laterTerms(agreement.Tariff, logged); later != nil {
		return c.supplyError(i, "tariff %q version %d holds from %s, the invoice bills version %d until %s", later.ID, later.Version,
			stamp(later.Zone, later.From), logged.Version, stamp(later.Zone, logged.To))
	}
	if point.Device != logged.Device || point.Register != logged.Register {
		return c.supplyError(i, "metering point %q has register %q of device %q, the invoice bills %q of %q",
			point.ID, point.Register, point.Device, logged.Register, logged.Device)
	}
	*s = tariff.Supply{Agreement: *agreement, Device: point.Device, Register: point.Register, Unit: point.Unit,
		Place: point.Place, Tariff: *terms}
	want := terms.Edges(logged.From, logged.To)
	if len(want) == 0 || len(want) != len(logged.Edges) {
		return c.supplyError(i, "tariff %q version %d asks for %d register readings from %d to %d, the invoice has %d",
			terms.ID, terms.Version, len(want), logged.From, logged.To, len(logged.Edges))
	}
	if err := c.checkSources(i, s, want); err != nil {
		return err
	}
	var err error
	if s.Edges, err = tariff.FillEdges(want, c.readings(s)); err != nil {
		return c.supplyError(i, "device %s: %v", s.Device, err)
	}
	return nil
}

// laterTerms returns a version of a tariff that was logged before the invoice and takes over inside a supply: a version
// holds until the next one begins.
func (c *invoiceCheck) laterTerms(id string, s *tariff.InvoiceSupply) *tariff.Tariff {
	for _, i := range c.e.bodies[bodyKey{kind: lamppost.TxTariff, id: id}] {
		t := c.e.Txs[i].body.(*tariff.Tariff)
		if c.e.Txs[i].Leaf < c.tx.Leaf && t.Version > s.Version && t.From < s.To {
			return t
		}
	}
	return nil
}

func (c *invoiceCheck) supplyError(i int, format string, args ...any) error {
	e := &LineError{Invoice: c.number(), Err: fmt.Errorf(format, args...)}
	if lines := c.logged.Supplies[i].Lines; len(lines) > 0 {
		e.Line = lines[0].N
	}
	return e
}

// readings returns the signed values of a supply's register that the ledger had when it made the invoice.
func (c *invoiceCheck) readings(s *tariff.Supply) []tariff.Edge {
	var have []tariff.Edge
	for _, x := range c.e.edges[register{s.Device, s.Register}] {
		if x.leaf < c.tx.Leaf {
			have = append(have, x.Edge)
		}
	}
	return have
}

// checkSources follows every value on the invoice to the reading it names. [tariff.FillEdges] would notice the same
// faults; only it could not name the reading.
func (c *invoiceCheck) checkSources(i int, s *tariff.Supply, want []lamppost.TimeMS) error {
	for j := range want {
		x := &c.logged.Supplies[i].Edges[j]
		fail := func(format string, args ...any) error {
			return &LineError{c.number(), lineAt(&c.logged.Supplies[i], &s.Tariff, j), fmt.Errorf("reading %s of device %s: %w",
				stamp(s.Tariff.Zone, x.Time), s.Device, fmt.Errorf(format, args...))}
		}
		if x.Time != want[j] {
			return fail("the tariff asks for one at %s", stamp(s.Tariff.Zone, want[j]))
		}
		signed, after := c.find(x.Source), c.find(x.Next)
		switch {
		case signed == nil:
			return fail("%s is not in the proof", sourceName(x.Source))
		case x.Estimated && after == nil:
			return fail("it was estimated, and the reading after it, %s, is not in the proof", sourceName(x.Next))
		case signed.of != register{s.Device, s.Register}:
			return fail("%s is of register %s of device %s", sourceName(x.Source), signed.of.name, signed.of.device)
		case signed.unit != s.Unit:
			return fail("it was signed in %q, the metering point counts %q", signed.unit, s.Unit)
		case x.Estimated:
			continue // compared when all are filled in
		case signed.Time != x.Time:
			return fail("the reading it names was signed for %s", stamp(s.Tariff.Zone, signed.Time))
		case signed.Value != x.Value || signed.Quality != x.Quality:
			return fail("the invoice says %s %s (%s), signed is %s (%s)", x.Value, s.Unit, x.Quality, signed.Value, signed.Quality)
		}
	}
	return nil
}

// find returns a register value of the proof that was logged before the invoice, or nil.
func (c *invoiceCheck) find(at tariff.Source) *edge {
	if x := c.e.sources[at]; x != nil && x.leaf < c.tx.Leaf {
		return x
	}
	return nil
}

func sourceName(s tariff.Source) string {
	return fmt.Sprintf("record %d of report %d in segment %d of block %d", s.Record, s.Report, s.Tx, s.Height)
}

// lineAt returns the line that a supply's edge j opens or, for the last one, closes; 0 where the supply has no such line.
func lineAt(s *tariff.InvoiceSupply, t *tariff.Tariff, j int) uint32 {
	if j == len(s.Edges)-1 && j > 0 {
		j--
	}
	band := bandAt(t, s.Edges[j].Time)
	for i := range s.Lines {
		if s.Lines[i].Band == band {
			return s.Lines[i].N
		}
	}
	return 0
}

// bandAt names the line whose price holds at an instant.
func bandAt(t *tariff.Tariff, at lamppost.TimeMS) string {
	if t.Series != nil {
		return tariff.LineSeries
	}
	local := t.Zone.Local(at)
	for i := range t.Bands {
		b := &t.Bands[i]
		today := b.Days == 0 || b.Days>>local.Weekday&1 == 1
		if today && int(b.FromMin) <= local.Minute && local.Minute < int(b.ToMin) {
			return b.Name
		}
	}
	return ""
}

// compare demands that the logged invoice is the one computed again, and names the first difference.
func (c *invoiceCheck) compare(again *tariff.Invoice) error {
	if bytes.Equal(lamppost.Marshal(again), c.tx.Outcome.Data) {
		return nil
	}
	logged := &c.logged
	for i := range min(len(logged.Supplies), len(again.Supplies)) {
		if err := c.compareSupply(&logged.Supplies[i], &again.Supplies[i]); err != nil {
			return err
		}
	}
	switch {
	case logged.Net != again.Net:
		return fmt.Errorf("net %s is not the sum of its lines (%s)", logged.Net, again.Net)
	case !slices.Equal(logged.Tax, again.Tax):
		return fmt.Errorf("tax %s is not what its lines give (%s)", taxes(logged.Tax), taxes(again.Tax))
	case logged.Total != again.Total:
		return fmt.Errorf("total %s is not net and tax (%s)", logged.Total, again.Total)
	case logged.Issued != again.Issued:
		return fmt.Errorf("it is dated %s, its block %s", stamp(tariff.Zone{}, logged.Issued), stamp(tariff.Zone{}, again.Issued))
	}
	return errors.New("it is not the invoice that its order, agreements and readings give")
}

func (c *invoiceCheck) compareSupply(logged, again *tariff.InvoiceSupply) error {
	for j := range min(len(logged.Lines), len(again.Lines)) {
		x, y := &logged.Lines[j], &again.Lines[j]
		if *x != *y {
			return &LineError{c.number(), x.N, lineDifference(again, x, y)}
		}
	}
	if len(logged.Lines) != len(again.Lines) {
		return fmt.Errorf("agreement %q has %d lines, its tariff gives %d", again.Agreement, len(logged.Lines), len(again.Lines))
	}
	for j := range min(len(logged.Edges), len(again.Edges)) {
		if x, y := &logged.Edges[j], &again.Edges[j]; *x != *y {
			return fmt.Errorf("agreement %q: the register at %s is %s, the readings give %s", again.Agreement,
				stamp(tariff.Zone{}, x.Time), x.Value, y.Value)
		}
	}
	return nil
}

func lineDifference(s *tariff.InvoiceSupply, x, y *tariff.Line) error {
	switch {
	case x.Quantity != y.Quantity:
		return fmt.Errorf("quantity %s is not the difference of its registers (%s)", perUnit(s, x.Quantity), perUnit(s, y.Quantity))
	case x.Amount != y.Amount:
		return amountDifference(s, y, x.Amount.String())
	case x.Price != y.Price:
		return fmt.Errorf("price %s is not that of tariff %q version %d (%s)", x.Price, s.Tariff, s.Version, y.Price)
	case x.Estimated != y.Estimated:
		return fmt.Errorf("estimated is %t, its readings say %t", x.Estimated, y.Estimated)
	}
	return fmt.Errorf("%q is not the line that tariff %q version %d gives (%q)", x.Band, s.Tariff, s.Version, y.Band)
}

func amountDifference(s *tariff.InvoiceSupply, y *tariff.Line, amount string) error {
	of := perUnit(s, y.Quantity) + " " + s.PerUnit
	if y.Band == tariff.LineStanding {
		of = days(y.Days)
	}
	return fmt.Errorf("amount %s is not what tariff %q version %d gives for %s (%s)", amount, s.Tariff, s.Version, of, y.Amount)
}

func taxes(sums []tariff.TaxSum) string {
	var total lamppost.Micro
	for _, s := range sums {
		total, _ = total.Add(s.Amount)
	}
	return total.String()
}

// nameLine puts the line that rests on a faulty report before what is wrong with it.
func (e *Evidence) nameLine(f *reportFault) error {
	r := &e.proof.Reports[f.report]
	if int64(r.Tx) >= int64(len(e.Txs)) {
		return f
	}
	segment := &e.Txs[r.Tx]
	at := tariff.Source{Height: segment.Height, Tx: segment.Index, Report: r.Index}
	for _, t := range e.invoices() {
		var inv tariff.Invoice
		if lamppost.Unmarshal(t.Outcome.Data, &inv) != nil {
			continue
		}
		for i := range inv.Supplies {
			if err := e.nameLineOf(f, &inv, &inv.Supplies[i], at, t.Leaf); err != nil {
				return err
			}
		}
	}
	return f
}

func (e *Evidence) nameLineOf(f *reportFault, inv *tariff.Invoice, s *tariff.InvoiceSupply, at tariff.Source, before int64) error {
	terms := e.Tariff(s.Tariff, s.Version, before)
	if terms == nil {
		return nil
	}
	reads := func(x tariff.Source) bool { x.Record = 0; return x == at }
	first := slices.IndexFunc(s.Edges, func(x tariff.Edge) bool { return reads(x.Source) || reads(x.Next) })
	if first < 0 {
		return nil
	}
	// Where the report still says which value changed, name that reading, otherwise its first.
	if j := e.changed(f.report, s, at); j >= 0 {
		first = j
	}
	return &LineError{inv.Number, lineAt(s, terms, first), &readingFault{stamp(terms.Zone, s.Edges[first].Time), f}}
}

// A readingFault is a fault of a report, told of the reading that a line rests on.
type readingFault struct {
	when string
	of   *reportFault
}

func (f *readingFault) Error() string {
	return fmt.Sprintf("reading %s %s", f.when, cmp.Or(f.of.what, "does not hold"))
}

func (f *readingFault) Unwrap() error { return f.of }

// changed returns the edge whose value is not the one that the report now shows, or -1.
func (e *Evidence) changed(report int, s *tariff.InvoiceSupply, at tariff.Source) int {
	var r lamppost.Report
	if r.Decode(e.proof.Reports[report].Report) != nil {
		return -1
	}
	for j, x := range s.Edges {
		record := x.Source.Record
		x.Source.Record = 0
		if x.Source != at || x.Estimated || int64(record) >= int64(len(r.Readings)) {
			continue
		}
		if got := &r.Readings[record]; got.Value != x.Value || got.Quality != x.Quality {
			return j
		}
	}
	return -1
}
