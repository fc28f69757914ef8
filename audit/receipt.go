package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Kinds of files besides statements.
const (
	KindReceipt = "receipt/1" // one report or transaction in the log, and its outcome
	KindReport  = "report/1"  // one report, in the log or not, under the key that is enrolled in the log
)

// A Receipt says where a report or a transaction stands in the log and what became of it. Times are in UTC.
type Receipt struct {
	Lamppost    string               `json:"lamppost"`
	Network     string               `json:"network"`
	Report      *ReceivedReport      `json:"report,omitempty"`
	Transaction *ReceivedTransaction `json:"transaction,omitempty"`
	Outcome     string               `json:"outcome"`          // a code's name
	Reason      string               `json:"reason,omitempty"` // of a refusal
	Height      lamppost.Height      `json:"height"`           // block
	Time        string               `json:"time,omitempty"`   // of the block
	Notes       []string             `json:"notes,omitempty"`  // who put in the device's keys, where not the device itself
	Checkpoint  SignedCheckpoint     `json:"checkpoint"`
	Proof       string               `json:"proof"`

	evidence *Evidence
}

// A ReceivedReport is a report for people.
type ReceivedReport struct {
	ID        string            `json:"id"`
	Device    Named             `json:"device"`
	Epoch     uint32            `json:"epoch"`
	Number    uint64            `json:"number"`
	Received  string            `json:"received,omitempty"`
	Gateway   lamppost.MemberID `json:"gateway,omitempty"`
	Assurance string            `json:"assurance,omitempty"`
	Readings  []ReceivedReading `json:"readings"`
}

// A ReceivedReading is a reading for people.
type ReceivedReading struct {
	Name    string `json:"name"`
	Time    string `json:"time"`
	Value   string `json:"value"`
	Unit    string `json:"unit"`
	Kind    string `json:"kind"`
	Quality string `json:"quality"`
}

// A ReceivedTransaction is a transaction for people.
type ReceivedTransaction struct {
	Type   string            `json:"type"`
	ID     string            `json:"id"`
	Signer lamppost.MemberID `json:"signer"`
	Index  uint32            `json:"index"`          // in the block
	Body   any               `json:"body,omitempty"` // of the types that have lookups
}

// NewReceipt checks a proof and writes the receipt of its report or, if there is none, of its last transaction. The pin
// may be nil, see [CheckProof].
func NewReceipt(p *lamppost.Proof, pin *Pin) (*Receipt, error) {
	r, err := newReceipt(p, pin)
	if err == nil {
		r.Proof = writeProof(p)
	}
	return r, err
}

// newReceipt leaves the proof's text to the caller.
func newReceipt(p *lamppost.Proof, pin *Pin) (*Receipt, error) {
	e, err := CheckProof(p, pin)
	if err != nil {
		return nil, err
	}
	r := &Receipt{Lamppost: KindReceipt, Network: e.Network, Checkpoint: e.signed(), evidence: e}
	switch {
	case len(e.Reports) == 1:
		r.ofReport(&e.Reports[0])
	case len(e.Reports) > 1:
		return nil, fmt.Errorf("receipt: the proof has %d reports, a receipt is for one", len(e.Reports))
	case len(e.Txs) == 0 || e.Txs[len(e.Txs)-1].proof.Result != nil:
		return nil, errors.New("receipt: the proof has no transaction")
	default:
		r.ofTransaction(&e.Txs[len(e.Txs)-1])
	}
	r.Notes = e.notes()
	if at, ok := e.Time(r.Height); ok {
		r.Time = stamp(tariff.Zone{}, at)
	}
	return r, nil
}

func (r *Receipt) ofReport(report *Report) {
	r.Height = report.Tx.Height
	r.became(report.Outcome)
	signed := report.Signed
	if report.Device == nil && signed.Decode(report.kept.Report) != nil {
		signed = lamppost.Report{} // refused because it could not be read
	}
	r.Report = showReport(&signed, r.Network, report.Device)
	r.Report.Received, r.Report.Gateway = stamp(tariff.Zone{}, report.Received), report.Tx.Signer
}

func (r *Receipt) ofTransaction(t *Tx) {
	r.Height = t.Height
	r.Transaction = &ReceivedTransaction{t.Type.String(), t.ID.String(), t.Signer, t.Index, t.body}
	if t.Type == lamppost.TxSegment {
		r.Outcome = "see its reports"
		return
	}
	r.became(t.Outcome)
}

func (r *Receipt) became(o lamppost.Outcome) {
	r.Outcome = o.Code.String()
	if !o.Code.Accepted() {
		r.Reason = string(o.Data)
	}
}

var kindNames = [...]string{lamppost.Gauge: "gauge", lamppost.Interval: "interval", lamppost.Register: "register"}

func showReport(r *lamppost.Report, network string, device *lamppost.DeviceBody) *ReceivedReport {
	s := &ReceivedReport{Device: Named{ID: string(r.Device)}, Epoch: r.Seq.Epoch, Number: r.Seq.N, Readings: []ReceivedReading{}}
	if r.Device != "" {
		s.ID = r.ID(network).String()
	}
	if device != nil {
		s.Device.Name, s.Assurance = device.Name, device.Assurance.String()
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		value := x.Value.String()
		if x.IsFloat {
			value = fmt.Sprint(x.Float)
		}
		s.Readings = append(s.Readings, ReceivedReading{x.Name, stamp(tariff.Zone{}, x.Time), value, x.Unit, kindNames[x.Kind], x.Quality.String()})
	}
	return s
}

// Encode writes the receipt's file.
func (r *Receipt) Encode() []byte { return encode(r, 3) }

func (r *Receipt) finding() *Finding {
	f := r.evidence.finding(KindReceipt)
	if r.Report != nil {
		f.Readings = len(r.Report.Readings)
		f.add("report %d of device %s with %s stands in block %d: %s", r.Report.Number, r.Report.Device.ID,
			plural(f.Readings, "reading"), r.Height, r.Outcome)
		r.evidence.addAssurances(f)
		f.Summary = append(f.Summary, r.Notes...)
	} else {
		f.add("%s transaction of %s stands in block %d: %s", r.Transaction.Type, r.Transaction.Signer, r.Height, r.Outcome)
	}
	f.DoesNotProve = append(f.DoesNotProve,
		"that a measured value is right: only who signed it and what became of it",
		"that nothing happened afterwards",
	)
	return f
}

// A BareReport is a report as its device signed it, with the enrolment of the device's key. It need not be in the log.
type BareReport struct {
	Lamppost   string           `json:"lamppost"`
	Network    string           `json:"network"`
	Report     *ReceivedReport  `json:"report"`
	Notes      []string         `json:"notes,omitempty"` // who put in the device's keys, where not the device itself
	Checkpoint SignedCheckpoint `json:"checkpoint"`
	Raw        string           `json:"raw"`   // the report in base64
	Proof      string           `json:"proof"` // of the enrolment

	evidence *Evidence
}

// NewBareReport checks a report against the device key that the proof shows to be enrolled. The pin may be nil, see
// [CheckProof].
func NewBareReport(raw []byte, p *lamppost.Proof, pin *Pin) (*BareReport, error) {
	r, err := newBareReport(raw, p, pin)
	if err == nil {
		r.Proof = writeProof(p)
	}
	return r, err
}

// newBareReport leaves the proof's text to the caller.
func newBareReport(raw []byte, p *lamppost.Proof, pin *Pin) (*BareReport, error) {
	e, err := CheckProof(p, pin)
	if err != nil {
		return nil, err
	}
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return nil, err
	}
	made := e.enrolled(r.Device, r.KeyEpoch, maxLogSize)
	if made == nil {
		return nil, fmt.Errorf("report: the enrolment of key %d of device %s is not in the proof", r.KeyEpoch, r.Device)
	}
	device := made.body.(*lamppost.DeviceBody)
	if device.Assurance == lamppost.GatewayVouched {
		return nil, fmt.Errorf("report %d of device %s is vouched for by gateway %s: outside of the log it proves nothing, a receipt does",
			r.Seq.N, r.Device, device.Gateway)
	}
	keys, err := e.bareKeys(device)
	if err != nil {
		return nil, fmt.Errorf("report %d %w", r.Seq.N, err)
	}
	signed := func(key *sig.PublicKey) bool { return r.Verify(e.Network, key) }
	if r.Wrapped() != device.Assurance.Wrapped() || !slices.ContainsFunc(keys, signed) {
		return nil, fmt.Errorf("report %d does not match the signature of device %s", r.Seq.N, r.Device)
	}
	notes := e.notesOf(device.ID, device.KeyEpoch)
	return &BareReport{Lamppost: KindReport, Network: e.Network, Report: showReport(&r, e.Network, device), Notes: notes,
		Checkpoint: e.signed(), Raw: base64.StdEncoding.EncodeToString(raw), evidence: e}, nil
}

// bareKeys returns the keys that a device's report may be signed with, seen by itself: the device's own, or any of its
// gateway's.
func (e *Evidence) bareKeys(d *lamppost.DeviceBody) (keys []*sig.PublicKey, err error) {
	if !d.Assurance.Wrapped() {
		key, err := ownKey(d)
		return []*sig.PublicKey{key}, err
	}
	if key := e.memberKey(d.Gateway); key != nil {
		return []*sig.PublicKey{key}, nil
	}
	for _, t := range e.registered(d.Gateway, maxLogSize) {
		if key, err := sig.ParsePublicKey(sig.EdDSA, t.body.(*lamppost.GatewayBody).Key); err == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		err = fmt.Errorf("is of device %s, whose gateway %s is not in the proof", d.ID, d.Gateway)
	}
	return keys, err
}

// Encode writes the report's file.
func (r *BareReport) Encode() []byte { return encode(r, 3) }

func (r *BareReport) finding() *Finding {
	f := r.evidence.finding(KindReport)
	f.Readings = len(r.Report.Readings)
	f.add("report %d with %s of device %s (%s)", r.Report.Number, plural(f.Readings, "reading"), r.Report.Device.ID, r.Report.Assurance)
	f.Summary = append(f.Summary, r.Notes...)
	f.DoesNotProve = append(f.DoesNotProve,
		"that the ledger took the report: a receipt does",
		"that a measured value is right: only who signed it",
	)
	return f
}
