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
	Zone    tariff.Zone      // of its times: the first tariff's; where a correction leaves nothing, that of what it corrects
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

// checkInvoices derives the accepted invoices again: supplies from the agreements, points and tariffs that the log has before
// them, registers from signed reports, amounts from [tariff.Bill]. The result must be what the proof shows of the logged
// invoice, which is all but its registers. That these are the logged ones shows in the log. Errors are [*LineError]s.
func (e *Evidence) checkInvoices() error {
	e.numbers, e.used = make(map[billNumber]*Tx), make(map[string]use)
	for _, t := range e.invoices() {
		if err := e.checkInvoice(t); err != nil {
			return err
		}
	}
	return nil
}

func (e *Evidence) checkInvoice(t *Tx) error {
	c := invoiceCheck{e: e, tx: t}
	inv, err := c.run()
	var line *LineError
	if err != nil && !errors.As(err, &line) {
		return &LineError{Invoice: c.number(), Err: err}
	}
	if t.Invoice = inv; err == nil {
		e.numbers[billNumber{inv.Seller, inv.Number}] = t
	}
	return err
}

// An invoiceCheck is the state of one checkInvoice.
type invoiceCheck struct {
	e      *Evidence
	tx     *Tx
	order  tariff.InvoiceOrder
	logged tariff.Invoice       // what the ledger says, without registers: to be proven
	centre *lamppost.CentreBody // of a device's own energy: its terms in place of an agreement
}

func (c *invoiceCheck) number() string {
	if lamppost.CheckName("number", c.logged.Number) != nil {
		return fmt.Sprintf("of block %d", c.tx.Height)
	}
	return c.logged.Number
}

func (c *invoiceCheck) run() (*Invoice, error) {
	if err := c.read(); err != nil {
		return nil, err
	}
	if err := cmp.Or(c.checkComplete(), c.checkCorrection()); err != nil {
		return nil, err
	}
	inv, err := c.compute()
	if err != nil {
		return nil, err
	}
	return inv, cmp.Or(c.compare(&inv.Invoice), c.checkOnce(&inv.Invoice))
}

func (c *invoiceCheck) read() error {
	if err := lamppost.Unmarshal(c.tx.Outcome.Data, &c.logged); err != nil {
		return fmt.Errorf("the logged invoice: %w", err)
	}
	if err := c.readOrder(); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	if n := len(c.logged.Supplies); n > tariff.MaxSupplies {
		return fmt.Errorf("%d supplies are over the limit of %d", n, tariff.MaxSupplies)
	}
	for i := range c.logged.Supplies {
		if len(c.logged.Supplies[i].Edges) > 0 {
			return errors.New("its registers stand beside the reports that give them")
		}
	}
	issued, ok := c.e.Time(c.tx.Height)
	if !ok {
		return fmt.Errorf("the time of block %d is not in the proof", c.tx.Height)
	}
	c.order.Number, c.order.IssuedMS = c.logged.Number, issued
	return nil
}

// readOrder reads what was ordered: an invoice, or the same as another again.
func (c *invoiceCheck) readOrder() error {
	if c.tx.Type == lamppost.TxInvoice {
		return lamppost.Unmarshal(c.tx.Order.Body, &c.order.InvoiceBody)
	}
	var b lamppost.CorrectBody
	if err := lamppost.Unmarshal(c.tx.Order.Body, &b); err != nil {
		return err
	}
	t := c.e.numbers[billNumber{b.Seller, b.Number}]
	if t == nil {
		return fmt.Errorf("it corrects invoice %q, which is not in the proof before it", b.Number)
	}
	was := t.Invoice
	c.order.InvoiceBody = lamppost.InvoiceBody{Seller: was.Seller, Buyer: was.Buyer, Currency: was.Currency, From: was.From, To: was.To}
	c.order.Corrects = &tariff.Correction{Number: b.Number, Cause: b.Cause, Net: was.Net, Tax: was.Tax, Total: was.Total}
	return nil
}

// compute makes the invoice again.
func (c *invoiceCheck) compute() (*Invoice, error) {
	inv := &Invoice{Tx: c.tx}
	supplies := make([]tariff.Supply, len(c.logged.Supplies))
	for i := range supplies {
		if err := c.derive(i, &supplies[i]); err != nil {
			return nil, err
		}
		inv.Tariffs = append(inv.Tariffs, &supplies[i].Tariff)
	}
	if len(supplies) > 0 {
		inv.Zone = supplies[0].Tariff.Zone
	} else if was := c.order.Corrects; was != nil {
		inv.Zone = c.e.numbers[billNumber{c.order.Seller, was.Number}].Invoice.Zone
	}
	var err error
	if inv.Invoice, err = tariff.Bill(c.order, supplies); err != nil {
		return nil, fmt.Errorf("it cannot be computed again: %w", err)
	}
	return inv, nil
}

// checkComplete refuses an invoice that leaves out an agreement which the proof shows to hold.
func (c *invoiceCheck) checkComplete() error {
	for i := range c.e.Txs {
		a, ok := c.e.Txs[i].body.(*lamppost.AgreementBody)
		if !ok || c.tx.Type == lamppost.TxCorrect || a != c.e.Agreement(a.ID, c.tx.Leaf) || a.Seller != c.order.Seller || a.Buyer != c.order.Buyer {
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

// derive makes supply i from what was signed. The logged invoice only says which agreement or session, version, meter and period to look
// at; [tariff.Bill] checks that these fit together.
func (c *invoiceCheck) derive(i int, s *tariff.Supply) error {
	logged := &c.logged.Supplies[i]
	if logged.Channel != "" {
		return c.promised(i, logged, s)
	}
	point, err := c.agreed(i, logged, s)
	if err != nil {
		return err
	}
	meter := c.e.Point(point, logged.Mount, c.tx.Leaf)
	if meter == nil {
		return c.supplyError(i, "metering point %q is not in the proof", point)
	}
	if meter.Device != logged.Device || meter.Register != logged.Register {
		return c.supplyError(i, "metering point %q has register %q of device %q, the invoice bills %q of %q",
			meter.ID, meter.Register, meter.Device, logged.Register, logged.Device)
	}
	s.Device, s.Register, s.Unit, s.Place, s.Mount, s.RollsAt = meter.Device, meter.Register, meter.Unit, meter.Place, meter.Mount, meter.RollsAt
	var have []tariff.Edge
	if s.Session != nil {
		have, err = c.useEdges(s)
	} else {
		have, err = c.supplyEdges(logged, s, meter)
	}
	if err == nil {
		err = c.found(logged, s, have)
	}
	if err != nil {
		return c.supplyError(i, "device %s: %v", s.Device, err)
	}
	return c.checkUnits(i, s)
}

// agreed finds the terms of a supply, and returns its metering point.
func (c *invoiceCheck) agreed(i int, logged *tariff.InvoiceSupply, s *tariff.Supply) (point string, err error) {
	id := ""
	if logged.Session != "" {
		s.Session = latest[lamppost.SessionBody](c.e, bodyKey{kind: lamppost.TxSession, id: logged.Session}, c.tx.Leaf)
		if s.Session == nil {
			return "", c.supplyError(i, "session %q is not in the proof", logged.Session)
		}
		point, id = s.Session.Point, s.Session.Tariff
	} else if c.centre != nil {
		point, id = c.centre.Point, c.centre.Tariff
	} else {
		agreement := c.e.Agreement(logged.Agreement, c.tx.Leaf)
		if agreement == nil {
			return "", c.supplyError(i, "agreement %q is not in the proof", logged.Agreement)
		}
		s.Agreement, point, id = *agreement, agreement.Point, agreement.Tariff
	}
	terms := c.e.Tariff(id, logged.Version, c.tx.Leaf)
	if terms == nil {
		return "", c.supplyError(i, "tariff %q version %d is not in the proof", id, logged.Version)
	}
	if later := c.laterTerms(id, logged); later != nil && s.Session == nil {
		return "", c.supplyError(i, "tariff %q version %d holds from %s, the invoice bills version %d until %s", later.ID, later.Version,
			stamp(later.Zone, later.From), logged.Version, stamp(later.Zone, logged.To))
	}
	if s.Tariff = *terms; c.centre != nil {
		s.Agreement = tariff.EnergyTerms(c.centre, terms.Seller)
	}
	return point, nil
}

// supplyEdges derives the registers of a supply under an agreement, and returns the readings that they are filled from.
func (c *invoiceCheck) supplyEdges(logged *tariff.InvoiceSupply, s *tariff.Supply, meter *lamppost.PointBody) ([]tariff.Edge, error) {
	next := c.e.Point(meter.ID, meter.Mount+1, c.tx.Leaf)
	hung, taken := meter.Mounted(next)
	if logged.From < hung || logged.To > taken {
		return nil, fmt.Errorf("mount %d hung at %q only from %d to %d ms", meter.Mount, meter.ID, hung, taken)
	}
	want := s.Tariff.Edges(logged.From, logged.To)
	if len(want) == 0 {
		return nil, fmt.Errorf("tariff %q version %d asks for no register reading from %d to %d", s.Tariff.ID, s.Tariff.Version, logged.From, logged.To)
	}
	have, err := tariff.Declared(known(c.e.edges[register{s.Device, s.Register}], c.tx.Leaf, hung, taken), meter, next, c.pointAt)
	if err != nil {
		return nil, err
	}
	s.Edges, err = tariff.FillEdges(want, have, s.RollsAt)
	return have, err
}

// pointAt says where a point's order stands.
func (c *invoiceCheck) pointAt(p *lamppost.PointBody) (tariff.Source, error) {
	for _, i := range c.e.bodies[bodyKey{lamppost.TxPoint, p.ID, p.Mount + 1}] {
		if t := &c.e.Txs[i]; t.body == p {
			return tariff.Source{Height: t.Height, Tx: t.Index}, nil
		}
	}
	return tariff.Source{}, fmt.Errorf("metering point %q, mount %d, is not in the proof", p.ID, p.Mount)
}

// useEdges derives the registers of a session, likewise.
func (c *invoiceCheck) useEdges(s *tariff.Supply) ([]tariff.Edge, error) {
	settled := latest[lamppost.SettleBody](c.e, bodyKey{kind: lamppost.TxSettle, id: s.Session.ID}, c.tx.Leaf)
	if settled == nil || settled.Void != "" {
		return nil, fmt.Errorf("that session %q was settled is not in the proof", s.Session.ID)
	}
	of := register{s.Device, s.Register}
	have := known(c.e.since(of), c.tx.Leaf, s.Session.From, settled.Stop)
	var err error
	s.Edges, err = tariff.SessionEdges(&s.Tariff, have, s.Session.From, settled.Stop, s.RollsAt)
	return have, err
}

// since returns what came of a register after the first point that has sessions on it.
func (e *Evidence) since(of register) []edge {
	first := slices.IndexFunc(e.Txs, func(t Tx) bool {
		p, ok := t.body.(*lamppost.PointBody)
		return ok && p.Sessions && p.Device == of.device && p.Register == of.name
	})
	if first < 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(e.moments[of]), func(x edge) bool { return x.leaf < e.Txs[first].Leaf })
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

// checkUnits refuses registers that were not signed in the unit that the metering point counts.
func (c *invoiceCheck) checkUnits(i int, s *tariff.Supply) error {
	for j := range s.Edges {
		x := &s.Edges[j]
		for _, at := range []tariff.Source{x.Source, x.Next} {
			if signed := c.e.sources[at]; signed != nil && signed.unit != s.Unit {
				return c.supplyError(i, "reading %s of device %s: it was signed in %q, the metering point counts %q",
					stamp(s.Tariff.Zone, signed.Time), s.Device, signed.unit, s.Unit)
			}
		}
	}
	return nil
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

// holds reports whether what is used from an instant on counts for a line.
func holds(t *tariff.Tariff, l *tariff.Line, at lamppost.TimeMS) bool {
	for i := range t.Levies {
		if x := &t.Levies[i]; x.Name == l.Band {
			if x.Price == l.Price && x.Holds(at) {
				return true
			}
		}
	}
	return bandAt(t, at) == l.Band
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
	bare, err := tariff.WithoutEdges(lamppost.Marshal(again))
	if err != nil || bytes.Equal(bare, c.tx.Outcome.Data) {
		return err
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
	if err := c.compareFindings(logged, again); err != nil {
		return err
	}
	if len(logged.Lines) != len(again.Lines) {
		return fmt.Errorf("agreement %q has %d lines, its tariff gives %d", again.Agreement, len(logged.Lines), len(again.Lines))
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
	quantity, unit, _ := counted(s, y)
	of := quantity + " " + unit
	if y.Kind() == tariff.ByDay {
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

// nameLine puts the first line that rests on a faulty report before what is wrong with it.
func (e *Evidence) nameLine(f *reportFault) error {
	at := e.Reports[f.report].place()
	e.numbers = make(map[billNumber]*Tx)
	for _, t := range e.invoices() {
		c := invoiceCheck{e: e, tx: t}
		if c.read() != nil {
			continue
		}
		inv, err := c.compute()
		if err != nil {
			continue
		}
		t.Invoice, e.numbers[billNumber{inv.Seller, inv.Number}] = inv, t // for what corrects it
		for i := range inv.Supplies {
			s := &inv.Supplies[i]
			reads := func(x tariff.Source) bool { x.Record = 0; return x == at }
			j := slices.IndexFunc(s.Edges, func(x tariff.Edge) bool { return reads(x.Source) || reads(x.Next) })
			if j >= 0 {
				return &LineError{inv.Number, lineAt(s, inv.Tariffs[i], j), &readingFault{stamp(inv.Tariffs[i].Zone, s.Edges[j].Time), f}}
			}
		}
	}
	return f
}

// A readingFault is a fault of a report, told of the first of its readings that a line rests on.
type readingFault struct {
	when string
	of   *reportFault
}

func (f *readingFault) Error() string {
	return fmt.Sprintf("the report with the reading %s %s", f.when, f.of.what)
}

func (f *readingFault) Unwrap() error { return f.of }
