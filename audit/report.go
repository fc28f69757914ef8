package audit

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/ocmf"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A Report is a report that stands in the log.
type Report struct {
	Tx       *Tx // its segment
	Index    uint32
	Received lamppost.TimeMS // as the gateway signed it
	Outcome  lamppost.Outcome
	// The rest is only there for a report that was accepted; others may have been refused for any of it.
	ID     lamppost.ReportID
	Signed lamppost.Report
	Device *lamppost.DeviceBody // its enrolment, which says how the report is vouched for

	given   []bool // by reading: a record that the meter signed gives it too; nil: none
	kept    *lamppost.KeptReport
	claim   sig.Item // a signature that is still to be checked, or none
	vouched bool     // a MAC: that its gateway signed the segment is all there is
}

// A reportFault is a report that does not hold. The statement that uses it adds the line.
type reportFault struct {
	report int // in the evidence
	device lamppost.DeviceID
	what   string // continues "reading … " and "report … "

	fraud *lamppost.FraudBody // nil: it is no gateway's lie
}

func (f *reportFault) Error() string {
	if f.device == "" {
		return fmt.Sprintf("report %d of the proof %s", f.report, f.what)
	}
	return fmt.Sprintf("report %d of the proof, of device %s, %s", f.report, f.device, f.what)
}

// readReports reads the reports of all segments, and finds the keys that their signatures are checked with.
func (e *Evidence) readReports() error {
	n := 0
	for i := range e.Txs {
		if seg := e.Txs[i].proof.Segment; seg != nil {
			n += len(seg.Kept)
		}
	}
	e.readKeys()
	e.Reports = make([]Report, 0, n)
	e.places = make(map[tariff.Source]int, n)
	var first error // told once all are read, so that the line it is about can be found
	for i := range e.Txs {
		seg := e.Txs[i].proof.Segment
		if seg == nil {
			continue
		}
		for j := range seg.Kept {
			at := len(e.Reports)
			e.Reports = append(e.Reports, Report{Tx: &e.Txs[i], Index: seg.Kept[j].Index, Received: seg.Kept[j].Received, kept: &seg.Kept[j]})
			e.places[e.Reports[at].place()] = at
			if err := e.readReport(&e.Reports[at]); err != nil && first == nil {
				first = e.fault(at, err.Error())
			}
		}
	}
	e.keepEdges()
	return first
}

// place is where a report stands.
func (r *Report) place() tariff.Source {
	return tariff.Source{Height: r.Tx.Height, Tx: r.Tx.Index, Report: r.Index}
}

func (e *Evidence) fault(i int, what string) error {
	return &reportFault{i, e.Reports[i].Signed.Device, what, nil}
}

func (e *Evidence) readReport(r *Report) error {
	h := r.Tx.header()
	if r.Received < h.First || r.Received > h.Last {
		return errors.New("was received outside the times of its segment")
	}
	var err error
	if r.Outcome, err = lamppost.DecodeOutcome(r.kept.Outcome); err != nil {
		return fmt.Errorf("has an outcome that cannot be read: %v", err)
	}
	if !r.Outcome.Code.Accepted() {
		return nil
	}
	if err := r.Signed.Decode(r.kept.Report); err != nil {
		return fmt.Errorf("cannot be read: %v", err)
	}
	if r.Signed.Halved() {
		return errors.New("has half a signature: its whole segment proves it together with others, and nothing proves it alone")
	}
	key, err := e.reportKey(r)
	if err != nil {
		return err
	}
	message := r.Signed.AppendToBeSigned(nil, e.Network)
	r.ID = sha256.Sum256(message)
	if err := r.checkMeter(); err != nil {
		return err
	}
	if !r.vouched && key.Suite() == r.Signed.Suite() { // else there is nothing to check, or it is by another algorithm than the enrolled one
		r.claim = sig.Item{Key: key, Msg: message, Sig: r.Signed.Signature()}
	}
	return nil
}

// checkMeter checks what the device's meter signed by itself, as the ledger did when it took the report.
func (r *Report) checkMeter() (err error) {
	if len(r.Device.MeterKey) == 0 {
		return nil
	}
	if r.given, err = ocmf.Match(r.Device.MeterKey, r.Signed.Readings, r.Signed.Meter); err != nil {
		return fmt.Errorf("carries a record of its meter that does not hold: %v", err)
	}
	return nil
}

// signer names whose signature a report bears.
func (r *Report) signer() string {
	if r.Device != nil && r.Device.Assurance.Wrapped() {
		return fmt.Sprintf("gateway %s", r.Device.Gateway)
	}
	return fmt.Sprintf("device %s", r.Signed.Device)
}

// reportKey finds what a report is checked with: the device's key with the epoch that the report names, or the key of the
// gateway which signs in its place. Where the gateway's word is all there is, the report is marked as vouched.
func (e *Evidence) reportKey(r *Report) (*sig.PublicKey, error) {
	id, epoch := r.Signed.Device, r.Signed.KeyEpoch
	made := e.enrolled(id, epoch, r.Tx.Leaf)
	if made == nil {
		return nil, fmt.Errorf("has no enrolment of key %d of device %s in the proof before it", epoch, id)
	}
	d := made.body.(*lamppost.DeviceBody)
	r.Device = d
	if e.revoked(func(b *lamppost.RevokeBody) bool { return b.Device == id && b.KeyEpoch >= epoch }, string(id), r.Tx.Leaf) {
		return nil, fmt.Errorf("is signed under key %d of device %s, which was revoked before", epoch, id)
	}
	if err := e.counted(bodyKey{kind: lamppost.TxDevice, id: string(id)}, made, r.Tx); err != nil {
		return nil, fmt.Errorf("is signed under key %d of device %s, %w", epoch, id, err)
	}
	if r.Signed.Wrapped() != d.Assurance.Wrapped() {
		return nil, fmt.Errorf("is of device %s, which is enrolled as %s, and it says of itself that it is not", d.ID, d.Assurance)
	}
	if d.Assurance != lamppost.DeviceSigned && r.Tx.Signer != d.Gateway {
		return nil, fmt.Errorf("came by gateway %s, device %s is enrolled with gateway %s", r.Tx.Signer, d.ID, d.Gateway)
	}
	switch {
	case d.Assurance == lamppost.GatewayVouched:
		r.vouched = r.Signed.Suite() == sig.HMAC256
		return new(sig.PublicKey), nil // of no suite: nothing verifies
	case d.Assurance.Wrapped():
		return r.Tx.key, nil
	}
	return e.deviceKey(made)
}

// readKeys reads the keys of all enrolments on all cores: a third of what checking a long statement takes. One that cannot be read is
// told of where it is needed.
func (e *Evidence) readKeys() {
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(e.Txs) {
					return
				}
				if d, ok := e.Txs[i].body.(*lamppost.DeviceBody); ok && d.Assurance == lamppost.DeviceSigned {
					e.Txs[i].key, _ = ownKey(d)
				}
			}
		})
	}
	all.Wait()
}

// deviceKey returns the key that a device's enrolment names, read once.
func (e *Evidence) deviceKey(made *Tx) (key *sig.PublicKey, err error) {
	if made.key == nil {
		made.key, err = ownKey(made.body.(*lamppost.DeviceBody))
	}
	return made.key, err
}

// ownKey returns the key that a device signs with.
func ownKey(d *lamppost.DeviceBody) (*sig.PublicKey, error) {
	if d.Assurance != lamppost.DeviceSigned {
		return nil, fmt.Errorf("is of device %s, whose assurance %q is not known here", d.ID, d.Assurance)
	}
	key, err := sig.ParsePublicKey(d.Suite, d.Key)
	if err != nil {
		return nil, fmt.Errorf("is of device %s, whose enrolled key cannot be read: %v", d.ID, err)
	}
	return key, nil
}

// checkSegments checks that the reports are those that the gateways signed. That the outcomes are theirs shows in the log.
func (e *Evidence) checkSegments() error {
	for i := range e.Txs {
		t := &e.Txs[i]
		if t.proof.Segment == nil {
			continue
		}
		if err := t.proof.Segment.Check(); err != nil {
			return fmt.Errorf("%s, signed by gateway %s: %w", t, t.Signer, err)
		}
	}
	return nil
}

// A register is where cumulative readings come from.
type register struct {
	device lamppost.DeviceID
	name   string
}

// An edge is a register's value at a quarter hour, or in a session at any moment: signed, or entered by hand.
type edge struct {
	tariff.Edge
	of   register
	unit string
	leaf int64 // of its transaction
}

// keepEdges gathers the register values that bills may rest on, as the ledger does: from billing reports committed as new, within
// [lamppost.EdgeToleranceMS] of a quarter hour or at their very times, and what was entered by hand.
func (e *Evidence) keepEdges() {
	units := map[register][]counting{}
	for i := range e.Txs {
		if p, ok := e.Txs[i].body.(*lamppost.PointBody); ok {
			k := register{p.Device, p.Register}
			units[k] = append(units[k], counting{e.Txs[i].Leaf, p.Unit})
		}
	}
	e.edges, e.moments, e.sources = make(map[register][]edge), make(map[register][]edge), make(map[tariff.Source]*edge)
	for i := range e.Reports {
		if r := &e.Reports[i]; r.Outcome.Code == lamppost.CodeOK && r.Signed.Billing() {
			e.keepEdgesOf(r, units)
		}
	}
	for i := range e.Txs {
		if b, ok := e.Txs[i].body.(*lamppost.ReadingBody); ok {
			e.keepReading(&e.Txs[i], b)
		}
	}
	for _, all := range [...]map[register][]edge{e.edges, e.moments} {
		for _, edges := range all {
			slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.Time, b.Time), a.Source.Compare(b.Source)) })
			for i := range edges {
				e.sources[edges[i].Source] = &edges[i]
			}
		}
	}
}

// A counting is a unit that a register counts in from a leaf on.
type counting struct {
	leaf int64
	unit string
}

// countsIn reports whether a register counts in a unit at a point that was there before a leaf, or at none then.
func countsIn(units []counting, unit string, before int64) bool {
	n := 0
	for _, u := range units {
		if u.leaf < before {
			if n++; u.unit == unit {
				return true
			}
		}
	}
	return n == 0
}

func (e *Evidence) keepEdgesOf(r *Report, units map[register][]counting) {
	for j := range r.Signed.Readings {
		x := &r.Signed.Readings[j]
		if x.Kind != lamppost.Register || x.IsFloat || x.Quality >= lamppost.Faulty {
			continue
		}
		k := register{r.Signed.Device, x.Name}
		if !countsIn(units[k], x.Unit, r.Tx.Leaf) {
			continue
		}
		source := tariff.Source{Height: r.Tx.Height, Tx: r.Tx.Index, Report: r.Index, Record: uint32(j)}
		v := edge{tariff.Edge{Time: x.Time, Value: x.Value, Quality: x.Quality, Source: source, MeterSigned: r.given != nil && r.given[j]}, k, x.Unit, r.Tx.Leaf}
		e.moments[k] = append(e.moments[k], v)
		if at, near := lamppost.SnapToEdge(x.Time); near {
			v.Time = at
			e.edges[k] = append(e.edges[k], v)
		}
	}
}

func (e *Evidence) keepReading(t *Tx, b *lamppost.ReadingBody) {
	k := register{b.Device, b.Register}
	v := edge{tariff.Edge{Time: b.Time, Value: b.Value, Quality: b.Quality, Manual: true,
		Source: tariff.Source{Height: t.Height, Tx: t.Index}}, k, b.Unit, t.Leaf}
	e.moments[k] = append(e.moments[k], v)
	if b.Time%lamppost.EdgeMS == 0 {
		e.edges[k] = append(e.edges[k], v)
	}
}

// known returns what counted of a register's values, ascending in time, when the ledger made a leaf, of those from a time to another.
func known(all []edge, before int64, from, to lamppost.TimeMS) []tariff.Edge {
	var have []tariff.Edge
	for _, x := range all {
		if x.leaf < before && from <= x.Time && x.Time <= to {
			have = append(have, x.Edge)
		}
	}
	return tariff.Moments(have)
}
