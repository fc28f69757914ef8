package lamppost

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// VerdictsBody is what a member's triage found in committed blocks. Triage runs outside of the ledger; what it says stands on it, with
// the model that said so, and a member with the same blocks finds the same. One without verdicts says that nothing was found.
type VerdictsBody struct {
	Model    Model     `cbor:"1,keyasint" json:"model"`
	Through  Height    `cbor:"2,keyasint" json:"through"` // all blocks up to it are judged, by this member and as far as it answers for their segments
	Verdicts []Verdict `cbor:"3,keyasint,omitempty" json:"verdicts,omitempty"`
}

// A Model is what judged. Another hash means that verdicts may differ.
type Model struct {
	ID      string `cbor:"1,keyasint" json:"id"`
	Version uint32 `cbor:"2,keyasint" json:"version"`
	Hash    Hash   `cbor:"3,keyasint" json:"hash"` // of all its settings
}

// A Verdict says that something is wrong, or strange, with what a device says or does, and why in numbers. Text is made of it in the
// reader's language.
type Verdict struct {
	Kind   VerdictKind `cbor:"1,keyasint" json:"kind"`
	Device DeviceID    `cbor:"2,keyasint" json:"device"`
	Name   string      `cbor:"3,keyasint,omitempty" json:"name,omitempty"` // of the reading; empty: the device itself
	Unit   string      `cbor:"4,keyasint,omitempty" json:"unit,omitempty"`
	Since  TimeMS      `cbor:"5,keyasint" json:"since_ms"` // when what is wrong began, by the device's clock
	At     TimeMS      `cbor:"6,keyasint" json:"at_ms"`    // when it was seen, likewise

	// The reading that was judged: the block, its transaction, the report in that, the record in that. Height is 0 of behaviour.
	Height Height `cbor:"7,keyasint,omitempty" json:"height,omitempty"`
	Tx     uint32 `cbor:"8,keyasint,omitempty" json:"tx,omitempty"`
	Report uint32 `cbor:"9,keyasint,omitempty" json:"report,omitempty"`
	Record uint32 `cbor:"10,keyasint,omitempty" json:"record,omitempty"`

	Score   uint32          `cbor:"11,keyasint,omitempty" json:"score,omitempty"` // thousandths; of an anomaly or behaviour
	Level   uint32          `cbor:"12,keyasint,omitempty" json:"level,omitempty"` // that it reached
	Reasons []VerdictReason `cbor:"13,keyasint" json:"reasons"`                   // 1 to MaxReasons, the weightiest first
	// State is the SHA-256 of the model's state before the reading, as it is saved: whoever has that can replay the verdict.
	State Hash `cbor:"14,keyasint" json:"state"`
	// Reports of the device that were received in [KeepFrom, KeepTo) stay raw; both 0: no more than others.
	KeepFrom TimeMS `cbor:"15,keyasint,omitempty" json:"keep_from_ms,omitempty"`
	KeepTo   TimeMS `cbor:"16,keyasint,omitempty" json:"keep_to_ms,omitempty"`
	// Suspends: of an implausible register, what it showed from Since on is not billed; of behaviour, the device is quarantined. Until a
	// review says otherwise.
	Suspends bool `cbor:"17,keyasint,omitempty" json:"suspends,omitempty"`
}

// A VerdictKind says who judged. The numbers are part of the format.
type VerdictKind uint8

// Kinds.
const (
	Anomaly     VerdictKind = 1 // unlike what the series was before
	Implausible VerdictKind = 2 // it cannot be true, or is hard to believe
	Behaviour   VerdictKind = 3 // the device does not do what it, or its kin, did before
)

var verdictKindNames = [...]string{"", "anomaly", "implausible", "behaviour"}

// String returns the kind's name.
func (k VerdictKind) String() string {
	if int(k) < len(verdictKindNames) {
		return verdictKindNames[k]
	}
	return "unknown"
}

// MarshalText writes the form of String.
func (k VerdictKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads it.
func (k *VerdictKind) UnmarshalText(b []byte) (err error) {
	*k, err = ParseVerdictKind(string(b))
	return err
}

// ParseVerdictKind reads the form that String writes.
func ParseVerdictKind(s string) (VerdictKind, error) {
	if i := slices.Index(verdictKindNames[:], s); i > 0 {
		return VerdictKind(i), nil
	}
	return 0, fmt.Errorf("%q is not a kind of verdict: anomaly, implausible or behaviour", clip(s))
}

// A VerdictReason is one reason in numbers. docs/intelligence.md lists the codes and what the numbers mean for each.
type VerdictReason struct {
	Code     string   `cbor:"1,keyasint" json:"code"`
	Share    uint16   `cbor:"2,keyasint,omitempty" json:"share,omitempty"` // of the score, in thousandths
	Readings uint32   `cbor:"3,keyasint,omitempty" json:"readings,omitempty"`
	Value    *Decimal `cbor:"4,keyasint,omitempty" json:"value,omitempty"`
	Low      *Decimal `cbor:"5,keyasint,omitempty" json:"low,omitempty"`
	High     *Decimal `cbor:"6,keyasint,omitempty" json:"high,omitempty"`
	Gap      *Decimal `cbor:"7,keyasint,omitempty" json:"gap,omitempty"`
	At       TimeMS   `cbor:"8,keyasint,omitempty" json:"at_ms,omitempty"`
	Nearest  TimeMS   `cbor:"9,keyasint,omitempty" json:"nearest_ms,omitempty"`
	Other    string   `cbor:"10,keyasint,omitempty" json:"other,omitempty"` // another device, a reading's name, a topic
}

// ReviewBody is what a person says of a verdict. The last one counts.
type ReviewBody struct {
	Verdict VerdictID    `cbor:"1,keyasint" json:"verdict"`
	Answer  ReviewAnswer `cbor:"2,keyasint" json:"answer"`
	Reason  string       `cbor:"3,keyasint,omitempty" json:"reason,omitempty"` // needed where something was suspended
}

// A ReviewAnswer is what a person says. The numbers are part of the format.
type ReviewAnswer uint8

// Answers.
const (
	ReviewSeen   ReviewAnswer = 1 // somebody looks after it; changes nothing else
	ReviewNormal ReviewAnswer = 2 // not an anomaly: this series needs more to alarm from now on
	ReviewValid  ReviewAnswer = 3 // it is true all the same: what was suspended is billed, a quarantine ends
	ReviewWrong  ReviewAnswer = 4 // it was wrong and is put right: values were entered in its place, or the device was mended
)

var reviewNames = [...]string{"", "seen", "normal", "valid", "wrong"}

// Final reports whether the answer ends what a verdict suspends. A later one that is final counts in its place.
func (a ReviewAnswer) Final() bool { return a == ReviewValid || a == ReviewWrong }

// String returns the answer's name, as the API has it.
func (a ReviewAnswer) String() string {
	if int(a) < len(reviewNames) {
		return reviewNames[a]
	}
	return "unknown"
}

// ParseReviewAnswer reads the form that String writes.
func ParseReviewAnswer(s string) (ReviewAnswer, error) {
	if i := slices.Index(reviewNames[:], s); i > 0 {
		return ReviewAnswer(i), nil
	}
	return 0, fmt.Errorf("%q is not an answer: seen, normal, valid or wrong", clip(s))
}

// MarshalText writes the form of String.
func (a ReviewAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads it.
func (a *ReviewAnswer) UnmarshalText(b []byte) (err error) {
	*a, err = ParseReviewAnswer(string(b))
	return err
}

// A VerdictID names a verdict by where it stands.
type VerdictID struct {
	Height Height `cbor:"1,keyasint" json:"height"`
	Tx     uint32 `cbor:"2,keyasint" json:"tx"`
	Index  uint32 `cbor:"3,keyasint" json:"index"` // in the order's list
}

// String writes the id for people: v1204.3.0.
func (id VerdictID) String() string { return fmt.Sprintf("v%d.%d.%d", id.Height, id.Tx, id.Index) }

// MarshalText writes the form of String.
func (id VerdictID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads it.
func (id *VerdictID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseVerdictID(string(b))
	return err
}

// ParseVerdictID reads the form that String writes.
func ParseVerdictID(s string) (VerdictID, error) {
	id, ok := parsePlaced(s, "v")
	if !ok {
		return VerdictID{}, fmt.Errorf("%q is not the id of a verdict: they look like v1204.3.0", clip(s))
	}
	return id, nil
}

// parsePlaced reads the id of something that an order lists: a letter, and where it stands.
func parsePlaced(s, letter string) (id VerdictID, ok bool) {
	rest, ok := strings.CutPrefix(s, letter)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return id, false
	}
	var n [3]uint64
	for i, bits := range [...]int{63, 32, 32} {
		x, err := strconv.ParseUint(parts[i], 10, bits)
		if err != nil || strconv.FormatUint(x, 10) != parts[i] {
			return id, false
		}
		n[i] = x
	}
	return VerdictID{Height(n[0]), uint32(n[1]), uint32(n[2])}, true
}

// WatchBody says what triage should know and cannot see: of a metering point, of a device, or, with neither, how much it may say.
type WatchBody struct {
	Point string `cbor:"1,keyasint,omitempty" json:"point,omitempty"`
	// Size is the most that the point's connection lets through in an hour, in the register's unit.
	Size *Decimal `cbor:"2,keyasint,omitempty" json:"size,omitempty"`
	// Nothing is used at the point from Off until On: vacant, or switched off. Off 0: nothing is known; On 0: until further notice.
	Off TimeMS `cbor:"3,keyasint,omitempty" json:"off_ms,omitempty"`
	On  TimeMS `cbor:"4,keyasint,omitempty" json:"on_ms,omitempty"`

	Device DeviceID `cbor:"5,keyasint,omitempty" json:"device,omitempty"`
	// Firmware is what may run on the device: SHA-256 of each image.
	Firmware []Hash `cbor:"6,keyasint,omitempty" json:"firmware,omitempty"`

	// Budget is how many alarms of anomalies and behaviour for each 1,000 meters and week people want; nil: as it is.
	Budget *uint32 `cbor:"7,keyasint,omitempty" json:"budget,omitempty"`
}

// Limits of triage's orders.
const (
	MaxVerdicts    = 1024 // in an order
	MaxReasons     = 3    // of a verdict
	MaxCodeBytes   = 32   // of a reason's code
	MaxFirmware    = 16   // images that may run on a device
	MaxAlarmBudget = 1_000_000
)

// Check refuses verdicts that say nothing, or nothing that could be.
func (b *VerdictsBody) Check() error {
	if b.Model.ID == "" || len(b.Model.ID) > MaxNameBytes || !utf8.ValidString(b.Model.ID) || len(b.Verdicts) > MaxVerdicts {
		return fmt.Errorf("verdicts: they name their model and are at most %d", MaxVerdicts)
	}
	for i := range b.Verdicts {
		if err := b.Verdicts[i].check(); err != nil {
			return fmt.Errorf("verdict %d: %w", i, err)
		}
		if first := &b.Verdicts[0]; b.Verdicts[i].Evidence() != first.Evidence() || first.Evidence() && b.Verdicts[i].Device != first.Device {
			return fmt.Errorf("verdict %d: what suspends a device's registers is evidence of bills, shown to who is billed and kept when the device is erased: it comes in an order of its own", i)
		}
	}
	return nil
}

// Evidence reports whether bills rest on the verdict: it says that a register shows what must not be billed as it is.
func (v *Verdict) Evidence() bool { return v.Kind == Implausible && v.Suspends }

// OrderVerdicts makes the orders for what was found up to a height, where all before was said: evidence first, of one device in each
// order, at most MaxVerdicts. Only the last says that all up to the height is judged.
func OrderVerdicts(m Model, before, through Height, found []Verdict) (orders []VerdictsBody) {
	evidence := slices.DeleteFunc(slices.Clone(found), func(v Verdict) bool { return !v.Evidence() })
	others := slices.DeleteFunc(slices.Clone(found), func(v Verdict) bool { return v.Evidence() })
	add := func(all []Verdict) {
		for part := range slices.Chunk(all, MaxVerdicts) {
			orders = append(orders, VerdictsBody{Model: m, Through: before, Verdicts: part})
		}
	}
	slices.SortStableFunc(evidence, func(a, b Verdict) int { return strings.Compare(string(a.Device), string(b.Device)) })
	for from, to := 0, 0; from < len(evidence); from = to {
		for to = from; to < len(evidence) && evidence[to].Device == evidence[from].Device; to++ {
		}
		add(evidence[from:to])
	}
	if add(others); len(orders) == 0 {
		return []VerdictsBody{{Model: m, Through: through}}
	}
	orders[len(orders)-1].Through = through
	return orders
}

func (v *Verdict) check() error {
	if err := CheckName("device", string(v.Device)); err != nil {
		return err
	}
	switch {
	case v.Kind < Anomaly || v.Kind > Behaviour:
		return fmt.Errorf("kind %d is not known", v.Kind)
	case len(v.Name) > MaxReadingNameBytes || len(v.Unit) > MaxUnitBytes || !utf8.ValidString(v.Name) || !utf8.ValidString(v.Unit):
		return fmt.Errorf("a name has at most %d bytes and a unit %d", MaxReadingNameBytes, MaxUnitBytes)
	case strings.IndexByte(v.Name, 0) >= 0 || (v.Kind == Behaviour) == (v.Name != ""):
		return fmt.Errorf("behaviour is a device's, everything else a reading's")
	case v.Since < 0 || v.At < v.Since || v.At > math.MaxInt64/2 || v.KeepFrom < 0 || v.KeepTo < v.KeepFrom:
		return fmt.Errorf("its times are in no order")
	case v.Kind == Behaviour && (v.Height != 0 || v.Tx != 0 || v.Report != 0 || v.Record != 0), v.Kind != Behaviour && v.Height == 0:
		return fmt.Errorf("it names the block of the reading that it is about, and behaviour names none")
	case v.Suspends && v.Kind == Anomaly:
		return fmt.Errorf("an anomaly suspends nothing")
	}
	return checkReasons(v.Reasons)
}

func checkReasons(all []VerdictReason) error {
	if len(all) == 0 || len(all) > MaxReasons {
		return fmt.Errorf("it has 1 to %d reasons", MaxReasons)
	}
	for i := range all {
		r := &all[i]
		if r.Code == "" || len(r.Code) > MaxCodeBytes || len(r.Other) > MaxTextBytes || !utf8.ValidString(r.Code) || !utf8.ValidString(r.Other) {
			return fmt.Errorf("a reason has a code of at most %d bytes", MaxCodeBytes)
		}
		for _, d := range [...]*Decimal{r.Value, r.Low, r.High, r.Gap} {
			if d != nil && !d.valid() {
				return fmt.Errorf("a reason's number has an exponent from %d to 0", MinExponent)
			}
		}
	}
	return nil
}

func (d *Decimal) valid() bool { return MinExponent <= d.Exponent && d.Exponent <= 0 }

// Check refuses reviews without an answer.
func (b *ReviewBody) Check() error {
	if b.Answer < ReviewSeen || b.Answer > ReviewWrong {
		return fmt.Errorf("review of %s: answer %d is not known", b.Verdict, b.Answer)
	}
	if len(b.Reason) > MaxTextBytes || !utf8.ValidString(b.Reason) {
		return fmt.Errorf("review of %s: a reason has at most %d bytes", b.Verdict, MaxTextBytes)
	}
	return nil
}

// Check refuses what is about several things, or about none.
func (b *WatchBody) Check() error {
	switch {
	case b.Point != "" && b.Device != "", b.Point == "" && (b.Size != nil || b.Off != 0 || b.On != 0), b.Device == "" && len(b.Firmware) > 0,
		(b.Point == "" && b.Device == "") != (b.Budget != nil):
		return fmt.Errorf("watch: it is about a point (size, off), a device (firmware) or the budget")
	case b.Off < 0 || b.On != 0 && b.On <= b.Off:
		return fmt.Errorf("watch of %q: what is off is on later", b.Point)
	case b.Size != nil && (b.Size.Mantissa <= 0 || !b.Size.valid()):
		return fmt.Errorf("watch of %q: a size is above 0", b.Point)
	case len(b.Firmware) > MaxFirmware:
		return fmt.Errorf("watch of %q: at most %d images", b.Device, MaxFirmware)
	case b.Budget != nil && *b.Budget > MaxAlarmBudget:
		return fmt.Errorf("watch: a budget is at most %d", MaxAlarmBudget)
	}
	return nil
}
