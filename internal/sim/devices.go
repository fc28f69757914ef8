package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// window is how far a device's numbers may run ahead of its oldest unacknowledged report: below lamppost.RecentIDs, so
// that the ledger can always tell a resend.
const window = 24

// A device numbers, signs and keeps its reports until it hears what became of them. What it keeps survives everything.
type device struct {
	*ledgertest.Device
	last    uint64
	wh      int64
	edge    lamppost.TimeMS           // the next quarter hour to report
	atEdge  map[lamppost.TimeMS]int64 // the register at those before
	outbox  []*parcel
	refused bool // something of it was refused, because its key had ended
	cold    bool // it is not billed, and its signatures may be halved
}

// A parcel is a report on its way.
type parcel struct {
	number uint64
	raw    []byte
	sent   int
}

// A message is under way on the network, a report to the node or a reply to a device.
type message struct {
	device *device
	number uint64
	report []byte        // nil: a reply
	reply  *ingest.Reply // nil: a report
}

// measure signs a new report.
func (d *device) measure(w *world) {
	if len(d.outbox) > 0 && d.last-d.outbox[0].number >= window {
		return
	}
	d.last++
	d.wh += int64(w.rng.IntN(500))
	r := lamppost.Report{Seq: lamppost.Seq{N: d.last}, TimeQuality: lamppost.TimeSynchronised,
		Readings: []lamppost.Reading{ledgertest.Power(w.now, int64(w.rng.IntN(100)))}}
	if d.cold {
		r.Flags = lamppost.FlagCold
	} else if d.edge <= w.now || w.chance(4) {
		r.Flags, r.Readings = lamppost.FlagBilling, []lamppost.Reading{ledgertest.Energy(w.now, d.wh)}
		for ; d.edge <= w.now; d.edge += lamppost.EdgeMS {
			if _, known := d.atEdge[d.edge]; !known {
				d.atEdge[d.edge] = d.wh
			}
			r.Readings = append(r.Readings, ledgertest.Energy(d.edge, d.atEdge[d.edge]))
		}
	}
	raw := d.Sign(r)
	w.promise.signed[reportID(w, raw)] = &signed{device: d.ID, number: d.last}
	d.outbox = append(d.outbox, &parcel{number: d.last, raw: raw})
	w.result.Reports++
}

func reportID(w *world, raw []byte) lamppost.ReportID {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		panic(err)
	}
	return r.ID(w.net.ID)
}

// send puts one of the kept reports on the network, or what an enemy on the device's connection sends.
func (d *device) send(w *world) {
	if !w.quiet && w.chance(12) {
		w.air = append(w.air, message{device: d, report: d.forge(w)})
	}
	if len(d.outbox) == 0 {
		return
	}
	p := d.outbox[w.rng.IntN(min(len(d.outbox), 6))]
	if p.sent++; p.sent > 1 {
		w.result.Resent++
	}
	w.air = append(w.air, message{device: d, number: p.number, report: p.raw})
}

// forge makes a report that must not be taken: another's key, another network, bytes that are nothing.
func (d *device) forge(w *world) []byte {
	f := *d.Device
	switch w.rng.IntN(3) {
	case 0:
		f.Key = ledgertest.Key("enemy", sig.EdDSA)
	case 1:
		f.Network = "elsewhere"
	default:
		return []byte("\xd2\x84 nothing")
	}
	return f.Report(d.last+1+uint64(w.rng.IntN(50)), ledgertest.Power(w.now, -1))
}

// deliver takes any message from the network: it arrives, or is lost, or arrives and comes again.
func (w *world) deliver() {
	if len(w.air) == 0 {
		return
	}
	i := w.rng.IntN(len(w.air))
	m := w.air[i]
	again := !w.quiet && w.chance(10)
	if !again {
		w.air = slices.Delete(w.air, i, i+1)
	}
	switch {
	case !w.quiet && w.chance(6):
		w.note("lost: %s of report %d, %s", m, m.number, m.device.ID)
	case m.reply != nil:
		m.device.hear(w, m.number, m.reply)
	default:
		w.node.receive(w, m.device, m.number, bytes.Clone(m.report))
	}
}

// String says which kind of message it is.
func (m message) String() string {
	if m.reply != nil {
		return "reply"
	}
	return "bytes"
}

// hear forgets a report whose fate is known.
func (d *device) hear(w *world, number uint64, r *ingest.Reply) {
	i := slices.IndexFunc(d.outbox, func(p *parcel) bool { return p.number == number })
	if i < 0 {
		return
	}
	if !r.Code.Final() {
		w.result.PutOff++
		return
	}
	if !r.Code.Accepted() {
		if r.Code != lamppost.CodeBadSignature || !d.ended(w, d.outbox[i].raw) {
			w.violate("honest report %d of %s was refused: %v %s", number, d.ID, r.Code, r.Text)
		}
		w.result.Refused++
		d.refused = true
		d.edge = ledgertest.Start // its quarter hours are perhaps lost: report them all again
		w.promise.signed[reportID(w, d.outbox[i].raw)].refused = true
	}
	w.note("%s knows: report %d is %v", d.ID, number, r.Code)
	d.outbox = slices.Delete(d.outbox, i, i+1)
}

// ended says whether the ledger has a reason to refuse a report for its key: that was revoked, or two others followed it.
func (d *device) ended(w *world, raw []byte) bool {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		panic(err)
	}
	v := ledger.View{Reader: w.disk}
	keys, err := v.Keys(d.ID)
	if err != nil {
		w.violate("the keys of %s: %v", d.ID, err)
	}
	revoked, err := v.Revoked(d.ID)
	if err != nil {
		w.violate("the revocations of %s: %v", d.ID, err)
	}
	later := 0
	for i := range keys {
		if keys[i].Body.KeyEpoch > r.KeyEpoch {
			later++
		}
	}
	return later > 1 || slices.ContainsFunc(revoked, func(x ledger.Revocation) bool { return x.KeyEpoch >= r.KeyEpoch })
}

// A door is the device's connection at the node. What goes out of it is a promise, whether it arrives or not.
type door struct {
	w *world
	d *device
}

// Done implements ingest.Sink.
func (d door) Done(number uint64, r ingest.Reply) {
	if r.Code.Accepted() {
		d.w.promise.acknowledge(d.w, r)
	}
	if number != 0 { // the enemy's reports have no number
		d.w.air = append(d.w.air, message{device: d.d, number: number, reply: &r})
	}
}

// An office orders: payments, invoices, new keys and the end of old ones. It repeats what it got no answer to.
type office struct {
	open   []*order
	made   int
	billed [3]lamppost.TimeMS // by buyer: until when
}

// An order is one intention of the office.
type order struct {
	typ      lamppost.TxType
	body     any
	id       lamppost.TxID
	raw      []byte
	proposal *solo.Proposal
	after    func() // once it is accepted
}

// found founds the network with its devices, before anything can fail.
func (w *world) found() {
	const hour = ledgertest.Hour
	b := &lamppost.Block{Height: 1, Time: w.now, Cursor: 1, Proposer: w.net.Member}
	add := func(tx *lamppost.Transaction) { b.Txs = append(b.Txs, tx.Append(nil)) }
	add(w.net.Genesis())
	for i := range 3 {
		add(w.net.Order(w.now+hour, lamppost.TxParty, lamppost.PartyBody{ID: party(i), CreditLimit: 20 * lamppost.MicroUnit}))
	}
	add(w.net.Order(w.now+hour, lamppost.TxTariff, ledgertest.Tariff("t", 1, "p0", w.now, 300_000)))
	for i := range 6 {
		suite := sig.EdDSA
		if i == 3 {
			suite = sig.ES256
		}
		d := &device{Device: w.net.NewDevice(lamppost.DeviceID(fmt.Sprint("d", i)), suite), edge: w.now, atEdge: map[lamppost.TimeMS]int64{}, cold: i > 3}
		w.devices = append(w.devices, d)
		point := fmt.Sprint("o", i)
		add(w.net.Order(w.now+hour, lamppost.TxDevice, d.Body("p0")))
		if d.cold {
			continue
		}
		add(w.net.Order(w.now+hour, lamppost.TxPoint, lamppost.PointBody{ID: point, Device: d.ID, Register: "energy", Unit: "Wh"}))
		add(w.net.Order(w.now+hour, lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: "p0", Buyer: party(1 + i%2),
			Point: point, Tariff: "t", From: w.now}))
	}
	n := openNode(w)
	res, err := n.rep.Apply(b)
	if err != nil {
		w.violate("founding: %v", err)
	}
	for i := range res.Outcomes {
		if o := res.Outcomes[i][0]; o.Code != lamppost.CodeOK {
			w.violate("founding: transaction %d: %+v", i, o)
		}
	}
	if _, err := n.rep.Commit(); err != nil {
		w.violate("founding: %v", err)
	}
	w.node = openNode(w)
}

func party(i int) lamppost.PartyID { return lamppost.PartyID(fmt.Sprint("p", i)) }

// order makes a new order, or repeats an open one.
func (f *office) order(w *world) {
	if len(f.open) > 0 && (len(f.open) >= 6 || w.chance(3)) {
		f.retry(w)
		return
	}
	f.made++
	o := &order{}
	switch w.rng.IntN(32) {
	case 0, 1, 2:
		d := w.devices[w.rng.IntN(len(w.devices))]
		next := *d.Device
		consent := next.Rotate()
		body := next.Body("p0")
		if w.chance(2) {
			body.Consent = consent
		}
		o.typ, o.body, o.after = lamppost.TxDevice, body, func() {
			w.result.Rotated++
			if next.Epoch > d.Epoch {
				*d.Device = next
			}
		}
	case 3:
		d := w.devices[w.rng.IntN(len(w.devices))]
		o.typ, o.after = lamppost.TxRevoke, func() { w.result.Revoked++ }
		o.body = lamppost.RevokeBody{Device: d.ID, KeyEpoch: d.Epoch - min(d.Epoch, uint32(w.rng.IntN(4))), Reason: "drawn"}
	case 4, 5, 6, 7, 8, 9, 10, 11:
		buyer := 1 + w.rng.IntN(2)
		from, to := max(ledgertest.Start, f.billed[buyer]), (w.now-ledgertest.Hour/2)/lamppost.EdgeMS*lamppost.EdgeMS
		o.typ, o.body = lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "p0", Buyer: party(buyer), Currency: "EUR", From: from, To: to}
		o.after = func() { f.billed[buyer] = to; w.result.Invoices++ }
	default:
		o.typ, o.body = lamppost.TxTransfer, lamppost.TransferBody{From: party(w.rng.IntN(3)), To: party(w.rng.IntN(3)), Currency: "EUR",
			Amount: lamppost.Micro(1+w.rng.IntN(9)) * lamppost.MicroUnit, Memo: fmt.Sprint("intention ", f.made)}
	}
	f.sign(w, o)
	f.open = append(f.open, o)
	w.result.Orders++
	f.submit(w, o)
}

func (f *office) sign(w *world, o *order) {
	tx := w.net.Order(w.now+20*ledgertest.Hour, o.typ, o.body)
	o.id, o.raw = tx.ID(w.net.ID), tx.Append(nil)
}

func (f *office) submit(w *world, o *order) {
	p, err := w.node.eng.Submit(o.id, bytes.Clone(o.raw))
	if err != nil {
		w.violate("proposing a %v: %v", o.typ, err)
	}
	o.proposal = p
	w.note("%v %x proposed", o.typ, o.id[:3])
}

// retry proposes again what is open, though the first proposal may still be under way: that must not matter.
func (f *office) retry(w *world) {
	for _, o := range f.open {
		if w.o.Broken == OneDecision {
			f.sign(w, o)
		}
		f.submit(w, o)
	}
	f.answered(w)
}

// answered hears what was decided.
func (f *office) answered(w *world) {
	f.open = slices.DeleteFunc(f.open, func(o *order) bool {
		select {
		case <-o.proposal.Done():
		default:
			return false
		}
		if !w.quiet && w.chance(4) {
			return false // the answer got lost: the office asks again
		}
		d, err := o.proposal.Answer()
		if err != nil {
			w.violate("a %v was not decided: %v", o.typ, err)
		}
		w.promise.decided(w, o, d)
		if o.after != nil && d.Outcomes[0].Code == lamppost.CodeOK {
			o.after()
		}
		return true
	})
}
