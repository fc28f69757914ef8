package sim

import (
	"bytes"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// window is how far a device's numbers may run ahead of its oldest unacknowledged report: so many below a report and as many above it
// may be committed after it, together fewer than lamppost.RecentIDs, so that the ledger can always tell a resend.
const window = 15

// patient is how often a device sends a report to one member before it turns to the next.
const patient = 4

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
	at      int  // the member it sends to
}

// A parcel is a report on its way.
type parcel struct {
	number uint64
	raw    []byte
	sent   int
}

// A message is under way on the network, a report to a member or a reply to a device.
type message struct {
	device *device
	to     int // the member
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
		w.air = append(w.air, message{device: d, to: d.at, report: d.forge(w)})
	}
	if len(d.outbox) == 0 {
		return
	}
	p := d.outbox[w.rng.IntN(min(len(d.outbox), 6))]
	if p.sent++; p.sent > 1 {
		w.result.Resent++
	}
	if p.sent%patient == 0 { // no answer: perhaps another member gives one
		d.at = (d.at + 1) % len(w.members)
	}
	w.air = append(w.air, message{device: d, to: d.at, number: p.number, report: p.raw})
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
	case w.members[m.to].node == nil:
		w.note("lost: %s of report %d, %s: %s is down", m, m.number, m.device.ID, w.members[m.to].id)
	default:
		w.members[m.to].node.receive(w, m.device, m.number, bytes.Clone(m.report))
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
	v := ledger.View{Reader: w.best().disk.mem}
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
