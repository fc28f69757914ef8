package ledgertest

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// Traffic makes what happens on a network up: orders and segments, sensible ones and refused ones, first times and
// repeats, on a clock that jumps. Everything follows from the numbers that Draw gives.
type Traffic struct {
	Net  *Network
	Draw func(n int) int // a number from 0 to n-1
	Now  lamppost.TimeMS

	devices []*fleetDevice
	cold    [2]*Device
	colder  uint64                  // their reports
	orders  []*lamppost.Transaction // made before
	created [5]int                  // counts by kind, for fresh names
}

type fleetDevice struct {
	*Device
	former Device // before its last key change
	next   uint64
	wh     int64
	edge   lamppost.TimeMS
	signed [][]byte
}

const fleet = 4

// NewTraffic begins before the genesis, which is the first block.
func NewTraffic(net *Network, draw func(n int) int) *Traffic {
	t := &Traffic{Net: net, Draw: draw, Now: Start}
	for i := range fleet {
		t.devices = append(t.devices, &fleetDevice{Device: net.NewDevice(lamppost.DeviceID(fmt.Sprint("d", i)), sig.EdDSA), next: 1, edge: Start})
	}
	for i := range t.cold {
		t.cold[i] = net.NewDevice(lamppost.DeviceID(fmt.Sprint("c", i)), sig.EdDSA)
	}
	return t
}

// Found returns the first block: the network, some parties, devices, tariffs and agreements.
func (t *Traffic) Found() []*lamppost.Transaction {
	txs := []*lamppost.Transaction{t.Net.Genesis()}
	add := func(typ lamppost.TxType, body any) { txs = append(txs, t.Net.Order(t.Now+Hour, typ, body)) }
	for i := range 4 {
		add(lamppost.TxParty, lamppost.PartyBody{ID: party(i), CreditLimit: lamppost.Micro(i) * 5_000_000})
	}
	for i, d := range t.devices {
		add(lamppost.TxDevice, d.Body(party(i%2)))
		add(lamppost.TxPoint, lamppost.PointBody{ID: point(i), Device: d.ID, Register: "energy", Unit: "Wh"})
	}
	for i, d := range t.cold {
		add(lamppost.TxDevice, d.Body(party(i)))
	}
	for i := range 2 {
		add(lamppost.TxTariff, Tariff(fmt.Sprint("t", i), 1, party(i), Start, lamppost.Micro(i+1)*100_000))
	}
	for i := range t.devices {
		add(lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: party(i % 2), Buyer: party(2 + i/2), Point: point(i),
			Tariff: fmt.Sprint("t", i%2), From: Start})
	}
	return txs
}

func party(i int) lamppost.PartyID { return lamppost.PartyID(fmt.Sprint("p", i)) }
func point(i int) string           { return fmt.Sprint("o", i) }

// Next returns a transaction.
func (t *Traffic) Next() *lamppost.Transaction {
	switch t.Draw(10) {
	case 0, 1, 2, 3:
		return t.Segment()
	case 4:
		if n := len(t.orders); n > 0 {
			return t.orders[t.Draw(n)]
		}
	}
	tx := t.order()
	t.orders = append(t.orders, tx)
	return tx
}

// Wait lets time go by: from a millisecond to hours.
func (t *Traffic) Wait() {
	t.Now += [...]lamppost.TimeMS{1, 1, 20, 1000, 60_000, Hour / 4, 3 * Hour}[t.Draw(7)]
}

func (t *Traffic) order() *lamppost.Transaction {
	typ, body := t.body()
	expiry := t.Now + [...]lamppost.TimeMS{-1, 1, 30, 2000, Hour, 2 * Hour, Day, Day + 1}[t.Draw(8)]
	return t.Net.Order(max(0, expiry), typ, body)
}

func (t *Traffic) body() (lamppost.TxType, any) {
	fresh := func(kind int) int { t.created[kind]++; return 10 + t.created[kind] - t.Draw(2) } // every other one is taken
	i := t.Draw(fleet)
	switch t.Draw(11) {
	case 0:
		return lamppost.TxParty, lamppost.PartyBody{ID: party(fresh(0)), CreditLimit: lamppost.Micro(t.Draw(3)) * 1_000_000}
	case 1:
		return lamppost.TxDevice, t.devices[i].enrol(t, party(i%2))
	case 2:
		return lamppost.TxTariff, Tariff(fmt.Sprint("t", t.Draw(2)), uint32(1+t.Draw(4)), party(t.Draw(2)), t.Now/Hour*Hour+Hour, lamppost.Micro(t.Draw(9))*50_000)
	case 3:
		return lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprint("a", fresh(1)), Seller: party(t.Draw(2)), Buyer: party(t.Draw(4)), Point: point(i),
			Tariff: fmt.Sprint("t", t.Draw(2)), From: t.Now / Hour * Hour}
	case 4, 5:
		from := Start + Hour*lamppost.TimeMS(t.Draw(6))
		return lamppost.TxInvoice, lamppost.InvoiceBody{Seller: party(i % 2), Buyer: party(2 + i/2), Currency: "EUR", From: from,
			To: min(from+Hour*lamppost.TimeMS(1+t.Draw(6)), t.Now/Hour*Hour)}
	case 6:
		d := t.devices[i]
		return lamppost.TxRevoke, lamppost.RevokeBody{Device: d.ID, KeyEpoch: d.Epoch - min(d.Epoch, uint32(t.Draw(4))), Reason: "drawn"}
	case 7:
		return t.keeping(t.devices[i].ID)
	default:
		accounts := []lamppost.PartyID{party(0), party(1), party(2), party(3), party(11), "d0", "d1"}
		return lamppost.TxTransfer, lamppost.TransferBody{From: accounts[t.Draw(len(accounts))], To: accounts[t.Draw(len(accounts))],
			Currency: [...]string{"EUR", "EUR", "JPY", "XXX"}[t.Draw(4)], Amount: lamppost.Micro(t.Draw(8)) * 1_000_000}
	}
}

// keeping is an order about what is kept of a device, or of all.
func (t *Traffic) keeping(id lamppost.DeviceID) (lamppost.TxType, any) {
	if t.Draw(3) == 0 {
		id = ""
	}
	switch hold := fmt.Sprint("h", t.Draw(3)); t.Draw(5) {
	case 0:
		return lamppost.TxRetention, lamppost.RetentionBody{Device: id, RawDays: uint32(t.Draw(3)), SummaryDays: uint32(t.Draw(4))}
	case 1:
		return lamppost.TxHold, lamppost.HoldBody{ID: hold, Device: id, From: Start, To: Start + Hour*lamppost.TimeMS(t.Draw(9)), Reason: "drawn"}
	case 2:
		return lamppost.TxHold, lamppost.HoldBody{ID: hold, Lifted: true, Reason: "drawn"}
	case 3:
		return lamppost.TxErase, lamppost.EraseBody{Party: party(t.Draw(4)), Basis: "drawn"}
	default:
		return lamppost.TxErase, lamppost.EraseBody{Device: id, Basis: "drawn"}
	}
}

// enrol is the enrolment of the key that the device has, or of its next one, with the consent of the key before or without.
func (d *fleetDevice) enrol(t *Traffic, owner lamppost.PartyID) lamppost.DeviceBody {
	if t.Draw(4) > 0 {
		return d.Body(owner)
	}
	d.former = *d.Device
	consent := d.Rotate()
	b := d.Body(owner)
	if t.Draw(2) == 0 {
		b.Consent = consent
	}
	return b
}

// Segment packs some reports.
func (t *Traffic) Segment() *lamppost.Transaction {
	var reports [][]byte
	for range 1 + t.Draw(4) {
		reports = append(reports, t.report())
	}
	if t.Draw(3) == 0 {
		return t.aggregate(reports)
	}
	return t.Net.Segment(t.Now, reports...)
}

// aggregate packs a cold report of each cold device too, mostly halved and now and then by a key that is not its.
func (t *Traffic) aggregate(reports [][]byte) *lamppost.Transaction {
	first := len(reports)
	for _, d := range t.cold {
		t.colder++
		reports = append(reports, d.Sign(lamppost.Report{Seq: lamppost.Seq{N: t.colder}, Flags: lamppost.FlagCold,
			Readings: []lamppost.Reading{Power(t.Now, int64(t.Draw(1000)))}}))
	}
	if t.Draw(4) == 0 {
		return t.Net.Segment(t.Now, reports...)
	}
	wrong := t.Draw(4) == 0
	return t.Net.Aggregate(t.Now, func(i int) *sig.PublicKey {
		switch {
		case i < first:
			return nil
		case wrong:
			return t.cold[0].Key.Public()
		}
		return t.cold[i-first].Key.Public()
	}, reports...)
}

func (t *Traffic) report() []byte {
	d := t.devices[t.Draw(fleet)]
	switch t.Draw(12) {
	case 0:
		return []byte("junk")
	case 1, 2:
		if n := len(d.signed); n > 0 {
			return d.signed[t.Draw(n)]
		}
	case 3:
		d.next += uint64(t.Draw(5))
	case 4:
		if d.next > 40 && t.Draw(4) == 0 { // a number again, with other readings
			return d.Report(d.next-uint64(t.Draw(40))-1, Power(t.Now, int64(t.Draw(1000))))
		}
	case 5:
		back := uint64(t.Draw(8))
		return d.keep(d.Report(max(1, d.next-min(d.next-1, back)), Power(1, 1))) // perhaps into a gap
	}
	n := d.next
	d.next++
	if d.former.Key != nil && t.Draw(6) == 0 { // it was in the queue when the key changed
		return d.keep(d.former.Report(n, Power(t.Now, int64(t.Draw(1000)))))
	}
	if t.Draw(2) == 0 {
		return d.keep(d.Report(n, Power(t.Now, int64(t.Draw(1000)))))
	}
	var readings []Reading
	for ; d.edge <= t.Now && len(readings) < 12; d.edge += Hour {
		d.wh += int64(t.Draw(1000))
		readings = append(readings, Energy(d.edge, d.wh))
	}
	if len(readings) == 0 {
		readings = append(readings, Energy(t.Now, d.wh))
	}
	return d.keep(d.Billing(n, readings...))
}

// Reading is short for the protocol's.
type Reading = lamppost.Reading

func (d *fleetDevice) keep(raw []byte) []byte {
	d.signed = append(d.signed, raw)
	return raw
}
