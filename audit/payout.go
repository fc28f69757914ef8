package audit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// What devices earn and take on themselves, computed and checked again.

// A Profit is a closed period of a device's books that was computed again, from invoices that were, and gave what the ledger logged.
type Profit struct {
	tariff.Profit
	Tx      *Tx
	Centre  *lamppost.CentreBody
	Tariffs []*tariff.Tariff // of its energy
}

// checkWords checks that devices signed themselves what they accepted. Whoever has the session in a proof has the device's key there, too.
func (e *Evidence) checkWords() error {
	for i := range e.Txs {
		t := &e.Txs[i]
		x, ok := t.body.(*lamppost.SessionBody)
		if !ok || t.Type != lamppost.TxAccept {
			continue
		}
		b := e.accepted[x.ID]
		made := e.enrolled(b.Device, b.KeyEpoch, t.Leaf)
		if made == nil {
			return fmt.Errorf("%s: key epoch %d of device %q, which accepts session %q, is not in the proof", t, b.KeyEpoch, b.Device, x.ID)
		}
		d := made.body.(*lamppost.DeviceBody)
		key, err := sig.ParsePublicKey(d.Suite, d.Key)
		if err != nil || !b.Verify(e.Network, key) {
			return fmt.Errorf("%s: device %q did not sign that it accepts session %q", t, b.Device, x.ID)
		}
		if err := e.counted(bodyKey{kind: lamppost.TxDevice, id: string(b.Device)}, made, t); err != nil {
			return fmt.Errorf("%s: session %q is accepted with a key %w", t, x.ID, err)
		}
	}
	return nil
}

// checkPayouts derives the closed periods of devices' books again, as checkInvoices does invoices: income and what was bought from the
// invoices in the proof, energy from signed reports, costs and shares from the terms that the log has before them, all by [tariff.Close].
func (e *Evidence) checkPayouts() error {
	last := make(map[lamppost.DeviceID]*Profit)
	for i := range e.Txs {
		t := &e.Txs[i]
		b, ok := t.body.(*lamppost.PayoutBody)
		if !ok {
			continue
		}
		c := payoutCheck{e: e, tx: t, body: b, before: last[b.Device]}
		err := c.run()
		if err != nil {
			var line *LineError
			if errors.As(err, &line) && line.Invoice == string(b.Device) { // of its energy
				err = fmt.Errorf("energy: %w", line.Err)
			}
			return fmt.Errorf("books of %s from %s: %w", b.Device, stamp(tariff.Zone{}, b.From), err)
		}
		t.Profit = &c.again
		last[b.Device] = t.Profit
	}
	return nil
}

// A payoutCheck is the state of one payout's check.
type payoutCheck struct {
	e      *Evidence
	tx     *Tx
	body   *lamppost.PayoutBody
	before *Profit // the period before, nil for the first
	logged tariff.Profit
	again  Profit
}

func (c *payoutCheck) run() error {
	if err := lamppost.Unmarshal(c.tx.Outcome.Data, &c.logged); err != nil {
		return fmt.Errorf("the logged profit: %w", err)
	}
	centre, err := c.centre()
	if err != nil {
		return err
	}
	o := tariff.ProfitOrder{Centre: *centre, From: c.body.From, To: c.body.To}
	begin := c.e.centres(c.body.Device, c.tx.Leaf)[0].From
	if c.before != nil {
		begin, o.Before = c.before.To, c.before.After
	}
	if o.From != begin {
		return fmt.Errorf("the period before it, until then, is not in the proof: it ends at %s", stamp(tariff.Zone{}, begin))
	}
	if o.Income, err = c.booked("income", c.logged.Income, func(m moved) lamppost.Micro { return m.income }); err != nil {
		return err
	}
	if o.Bought, err = c.booked("bought", c.logged.Bought, func(m moved) lamppost.Micro { return m.bought }); err != nil {
		return err
	}
	if o.Energy, err = c.energy(centre); err != nil {
		return err
	}
	c.again = Profit{Tx: c.tx, Centre: centre}
	for i := range o.Energy {
		c.again.Tariffs = append(c.again.Tariffs, &o.Energy[i].Tariff)
	}
	if c.again.Profit, err = tariff.Close(o); err != nil {
		return fmt.Errorf("it cannot be computed again: %w", err)
	}
	return c.compare()
}

// centres returns the versions of a device's terms that the log has before a leaf, which are all from the first on.
func (e *Evidence) centres(id lamppost.DeviceID, before int64) (all []*lamppost.CentreBody) {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxCentre, id: string(id)}] {
		if t := &e.Txs[i]; t.Leaf < before {
			all = append(all, t.body.(*lamppost.CentreBody))
		}
	}
	return all
}

func (c *payoutCheck) centre() (found *lamppost.CentreBody, err error) {
	for i, b := range c.e.centres(c.body.Device, c.tx.Leaf) {
		switch {
		case int(b.Version) != i+1:
			return nil, fmt.Errorf("version %d of its terms is not in the proof", i+1)
		case b.From <= c.body.From:
			found = b
		case b.From < c.body.To:
			return nil, fmt.Errorf("version %d of its terms holds from %s", b.Version, stamp(tariff.Zone{}, b.From))
		}
	}
	if found == nil {
		return nil, errors.New("its terms as a profit centre are not in the proof")
	}
	return found, nil
}

// booked makes a list again from the invoices of the proof that were issued in the period.
func (c *payoutCheck) booked(what string, logged []tariff.Booked, amount func(moved) lamppost.Micro) (all []tariff.Booked, err error) {
	for _, t := range c.e.invoices() {
		inv := t.Invoice
		if t.Leaf > c.tx.Leaf || inv.Issued < c.body.From || inv.Issued >= c.body.To || inv.Currency != c.logged.Currency {
			continue
		}
		m, err := c.e.moved(t, c.body.Device)
		if err != nil {
			return nil, err
		}
		if net := amount(m); net != 0 {
			all = append(all, tariff.Booked{Seller: inv.Seller, Number: inv.Number, Net: net})
		}
	}
	for i := range max(len(all), len(logged)) {
		switch {
		case i >= len(all) || i < len(logged) && (logged[i].Seller != all[i].Seller || logged[i].Number != all[i].Number) && c.e.numbers[billNumber{logged[i].Seller, logged[i].Number}] == nil:
			return nil, fmt.Errorf("%s: invoice %s is not in the proof, or not issued in the period", what, logged[i].Number)
		case i >= len(logged) || logged[i].Seller != all[i].Seller || logged[i].Number != all[i].Number:
			return nil, fmt.Errorf("%s: invoice %s is missing: %s of it are the device's", what, all[i].Number, all[i].Net)
		case logged[i].Net != all[i].Net:
			return nil, fmt.Errorf("%s: invoice %s: %s is not what its lines come to for the device (%s)", what, all[i].Number, logged[i].Net, all[i].Net)
		}
	}
	return all, nil
}

// moved is what an invoice changed for a device.
type moved struct{ income, bought lamppost.Micro }

func (e *Evidence) moved(t *Tx, device lamppost.DeviceID) (moved, error) {
	m, err := e.booked(t.Invoice, device, t.Leaf)
	if was := t.Invoice.Corrects; err == nil && was != nil {
		before := e.numbers[billNumber{t.Invoice.Seller, was.Number}]
		var b moved
		b, err = e.booked(before.Invoice, device, before.Leaf)
		m.income, m.bought = m.income-b.income, m.bought-b.bought
	}
	return m, err
}

// booked says by the rule of the ledger whose an invoice's lines are: of the device that supplies where it belongs to that side, and of the
// one that accepted a session.
func (e *Evidence) booked(inv *Invoice, device lamppost.DeviceID, before int64) (m moved, err error) {
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		var net lamppost.Micro
		for j := range s.Lines {
			net += s.Lines[j].Amount
		}
		if x := e.accepted[s.Session]; s.Session != "" && x != nil {
			if x.Device == device {
				m.bought += net
			}
		} else if s.Device == device && e.owns(inv.Buyer, device, before) {
			m.bought += net
		}
		if s.Device != device {
			continue
		}
		if latest[lamppost.DeviceBody](e, bodyKey{kind: lamppost.TxDevice, id: string(device)}, before) == nil {
			return m, fmt.Errorf("the enrolment of device %q is not in the proof", device)
		}
		if e.owns(inv.Seller, device, before) {
			m.income += net
		}
	}
	return m, nil
}

func (e *Evidence) owns(p lamppost.PartyID, device lamppost.DeviceID, before int64) bool {
	d := latest[lamppost.DeviceBody](e, bodyKey{kind: lamppost.TxDevice, id: string(device)}, before)
	return d != nil && d.Owner == p
}

// energy derives the registers of a device's own energy, as those of an invoice.
func (c *payoutCheck) energy(centre *lamppost.CentreBody) ([]tariff.Supply, error) {
	if len(c.logged.Energy) > tariff.MaxSupplies {
		return nil, fmt.Errorf("energy: %d supplies are over the limit of %d", len(c.logged.Energy), tariff.MaxSupplies)
	}
	check := invoiceCheck{e: c.e, tx: c.tx, centre: centre}
	check.logged.Number, check.logged.Supplies = string(c.body.Device), c.logged.Energy
	supplies := make([]tariff.Supply, len(c.logged.Energy))
	for i := range supplies {
		if err := check.derive(i, &supplies[i]); err != nil {
			return nil, err
		}
	}
	return supplies, nil
}

// compare demands that the logged profit is the one computed again, and names the first difference.
func (c *payoutCheck) compare() error {
	again, logged := &c.again.Profit, &c.logged
	bare, err := tariff.ProfitWithoutEdges(lamppost.Marshal(again))
	if err != nil || bytes.Equal(bare, c.tx.Outcome.Data) {
		return err
	}
	check := invoiceCheck{e: c.e, tx: c.tx}
	check.logged.Number = string(again.Device)
	for i := range min(len(again.Energy), len(logged.Energy)) {
		if err := check.compareSupply(&logged.Energy[i], &again.Energy[i]); err != nil {
			return err
		}
	}
	for _, x := range [...]struct {
		what        string
		logged, has lamppost.Micro
	}{{"energy", logged.EnergyCost, again.EnergyCost}, {"service", logged.Service, again.Service}, {"depreciation", logged.Depreciation, again.Depreciation},
		{"profit", logged.Profit, again.Profit}, {"loss of earlier periods", logged.Before, again.Before}, {"loss that is carried on", logged.After, again.After}} {
		if x.logged != x.has {
			return fmt.Errorf("%s %s is not what the proof gives (%s)", x.what, x.logged, x.has)
		}
	}
	for i := range min(len(again.Paid), len(logged.Paid)) {
		if x, y := logged.Paid[i], again.Paid[i]; x != y {
			return fmt.Errorf("paid %s to %s: it is %s to %s", x.Amount, x.Party, y.Amount, y.Party)
		}
	}
	return errors.New("it is not the profit that its order, terms and invoices give")
}
