package lamppost

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/lamppost/lamppost/sig"
)

// A Seq numbers a device's reports: N counts from 1 within an epoch; a device that lost its counter begins a new epoch.
type Seq struct {
	Epoch uint32
	N     uint64
}

// Report flags.
const (
	// FlagBilling marks a billing report: register values at UTC quarter hours, kept as edges for bills.
	FlagBilling = 1 << 0
	// FlagWrapped marks a report of a device without a key: a gateway made it of what the device said and signed it.
	FlagWrapped = 1 << 1
	// FlagCold is the device's word that its readings are neither billed nor personal: its signature may be half-aggregated,
	// and then proves nothing without those of the others. It stands with no other flag.
	FlagCold = 1 << 2
	// flagsKnown are the flags this version gives a meaning; reports with others are refused.
	flagsKnown = FlagBilling | FlagWrapped | FlagCold
)

// A Report is what a device signs: a numbered pack of readings. Its strings and slices alias the bytes it was decoded
// from, which must not change while it is in use.
type Report struct {
	Device      DeviceID
	KeyEpoch    uint32
	Seq         Seq
	Flags       uint32
	TimeQuality TimeQuality
	BootID      uint32 // changes with every start of the device
	MonoMS      uint64 // milliseconds since that start
	Readings    []Reading
	Meter       []MeterRecord // in billing reports

	env envelope
}

// Suite is the algorithm the report is signed with.
func (r *Report) Suite() sig.Suite { return r.env.suite }

// Signature returns the signature or MAC tag, aliasing the decoded bytes.
func (r *Report) Signature() []byte { return r.env.signature }

// Halved reports whether only the R of an Ed25519 signature is there, as in a segment with a half-aggregate.
func (r *Report) Halved() bool {
	return r.env.suite == sig.EdDSA && len(r.env.signature) == AggregateBytes
}

// Halve appends the report with only the R of its Ed25519 signature, as it stands in a segment with a half-aggregate.
func (r *Report) Halve(b []byte) []byte {
	return appendEnvelope(b, r.env.suite, r.env.protected, r.env.payload, r.env.signature[:AggregateBytes])
}

// Billing reports whether this is a billing report.
func (r *Report) Billing() bool { return r.Flags&FlagBilling != 0 }

// Wrapped reports whether a gateway signed this in place of the device.
func (r *Report) Wrapped() bool { return r.Flags&FlagWrapped != 0 }

// Cold reports whether the device lets its signature be half-aggregated.
func (r *Report) Cold() bool { return r.Flags&FlagCold != 0 }

// Decode reads one report, reusing r.Readings and r.Meter. It checks form and limits, not the signature.
func (r *Report) Decode(raw []byte) error {
	if len(raw) > MaxReportBytes {
		return &Refusal{CodeTooLarge, fmt.Sprintf("a report of %d bytes is over the limit of %d", len(raw), MaxReportBytes)}
	}
	*r = Report{Readings: r.Readings[:0], Meter: r.Meter[:0]}
	w := wire{b: raw}
	r.env.decode(&w)
	if err := w.end("report"); err != nil {
		return &Refusal{CodeBadReport, err.Error()}
	}
	if err := r.decodeHeader(); err != nil {
		return &Refusal{CodeBadReport, err.Error()}
	}
	var err error
	if r.Readings, r.Meter, err = decodePack(r.Readings, r.Meter, r.env.payload); err != nil {
		return packRefusal(err, r.env.payload)
	}
	return r.checkMeter()
}

// checkMeter refuses a meter's records where nothing is billed that they could be evidence of.
func (r *Report) checkMeter() error {
	if len(r.Meter) > 0 && !r.Billing() {
		return &Refusal{CodeBadReport, "records of a meter stand in billing reports"}
	}
	return nil
}

func packRefusal(err error, payload []byte) error {
	w := wire{b: payload}
	switch n := w.arrayLen(); {
	case errors.Is(err, ErrFloatRegister):
		return &Refusal{CodeFloatBilled, err.Error()}
	case w.err == nil && n > MaxReadings:
		return &Refusal{CodeTooLarge, err.Error()}
	default:
		return &Refusal{CodeBadReport, err.Error()}
	}
}

func (r *Report) decodeHeader() error {
	h := wire{b: r.env.protected}
	h.exactly(h.mapLen(), 3, "fields of the protected header")
	h.constInt(headerAlg)
	h.int()
	h.constInt(headerKid)
	kid := h.bytes()
	h.constInt(headerReport)
	h.array(6)
	r.Seq.Epoch = h.uint32()
	r.Seq.N = h.max(h.uint(), math.MaxInt64)
	r.Flags = h.uint32()
	r.TimeQuality = TimeQuality(h.max(h.uint(), uint64(TimeSynchronised)))
	r.BootID = h.uint32()
	r.MonoMS = h.max(h.uint(), math.MaxInt64)
	if err := h.end("protected header"); err != nil {
		return err
	}
	if r.Seq.N == 0 || r.Flags&^flagsKnown != 0 {
		return fmt.Errorf("number %d or flags %#x are not valid: numbers count from 1, unknown flags are refused", r.Seq.N, r.Flags)
	}
	if r.Cold() && r.Flags != FlagCold {
		return fmt.Errorf("flags %#x contradict each other: what is cold is neither billed nor signed by a gateway", r.Flags)
	}
	id, keyEpoch, err := parseKid(kid)
	r.Device, r.KeyEpoch = DeviceID(id), keyEpoch
	return err
}

// parseKid splits "<device>/<key epoch>". The id aliases kid.
func parseKid(kid []byte) (id string, keyEpoch uint32, err error) {
	if len(kid) > MaxNameBytes+len("/4294967295") {
		return "", 0, fmt.Errorf("a key id of %d bytes is not <device>/<key epoch>", len(kid))
	}
	i := len(kid) - 1
	epoch := uint64(0)
	for scale := uint64(1); i >= 0 && kid[i] != '/'; i-- {
		if c := kid[i]; c < '0' || c > '9' || scale > 1e9 {
			return "", 0, fmt.Errorf("key id %q is not <device>/<key epoch>", kid)
		}
		epoch += uint64(kid[i]-'0') * scale
		scale *= 10
	}
	leadingZero := i >= 0 && i+2 < len(kid) && kid[i+1] == '0'
	if i <= 0 || i == len(kid)-1 || leadingZero || epoch > math.MaxUint32 {
		return "", 0, fmt.Errorf("key id %q is not <device>/<key epoch>", kid)
	}
	id = unsafe.String(&kid[0], i)
	return id, uint32(epoch), CheckName("device", id)
}

// AppendToBeSigned writes what the device signs: Sig_structure or MAC_structure with [network, "report"] as
// external_aad. The SHA-256 of it is the report's id.
func (r *Report) AppendToBeSigned(b []byte, network string) []byte {
	return appendToBeSigned(b, r.env.suite, r.env.protected, network, PurposeReport, r.env.payload)
}

// ID returns the report's id in a network.
func (r *Report) ID(network string) ReportID {
	return sha256.Sum256(r.AppendToBeSigned(make([]byte, 0, 512), network))
}

// Verify checks the signature by the one validity rule of package sig.
func (r *Report) Verify(network string, key *sig.PublicKey) bool {
	return key.Suite() == r.env.suite && key.Verify(r.AppendToBeSigned(make([]byte, 0, 512), network), r.env.signature)
}

// SignReport encodes and signs a report. Only its exported fields are read.
func SignReport(r *Report, network string, key *sig.PrivateKey) ([]byte, error) {
	if err := CheckName("device", string(r.Device)); err != nil {
		return nil, err
	}
	if n := len(r.Readings); n == 0 || n > MaxReadings {
		return nil, fmt.Errorf("a report has 1 to %d readings, not %d", MaxReadings, n)
	}
	for i := range r.Readings {
		if err := r.Readings[i].check(); err != nil {
			return nil, fmt.Errorf("encoding report %d of %q: reading %q: %w", r.Seq.N, r.Device, clip(r.Readings[i].Name), err)
		}
	}
	suite := key.Suite()
	protected := r.appendProtected(make([]byte, 0, 96), suite)
	payload := AppendPack(make([]byte, 0, 64*len(r.Readings)), r.Readings, r.Meter...)
	tbs := appendToBeSigned(make([]byte, 0, len(payload)+256), suite, protected, network, PurposeReport, payload)
	signature, err := key.Sign(tbs)
	if err != nil {
		return nil, fmt.Errorf("signing report %d of %q: %w", r.Seq.N, r.Device, err)
	}
	raw := appendEnvelope(make([]byte, 0, len(protected)+len(payload)+len(signature)+16), suite, protected, payload, signature)
	// Whoever signs what nobody can read would lose it for good, so read it back before it counts as signed.
	if err := new(Report).Decode(raw); err != nil {
		return nil, fmt.Errorf("encoding report %d of %q: %w", r.Seq.N, r.Device, err)
	}
	return raw, nil
}

func (r *Report) appendProtected(b []byte, suite sig.Suite) []byte {
	b = appendInt(append(b, majMap|3, headerAlg), int64(suite))
	b = appendBytes(append(b, headerKid), appendKid(nil, string(r.Device), r.KeyEpoch))
	b = append(appendInt(b, headerReport), majArray|6)
	for _, n := range [...]uint64{uint64(r.Seq.Epoch), r.Seq.N, uint64(r.Flags), uint64(r.TimeQuality), uint64(r.BootID), r.MonoMS} {
		b = appendHead(b, majUint, n)
	}
	return b
}
