package lamppost

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/lamppost/lamppost/sig"
)

// A Charter says what a device's guard must never let a contract, a bill or an outage do to each of its functions. The
// device's owner signs it, at enrolment the first and later others. What they weaken needs the signature of a second party
// too, whom the first charter names: the tenant, say, or the authority. docs/guard.md tells what the guard does with it.
type Charter struct {
	Version   uint8       `cbor:"1,keyasint" json:"version"` // of the format: CharterVersion
	Device    DeviceID    `cbor:"2,keyasint" json:"device"`
	Number    uint32      `cbor:"3,keyasint" json:"number"`                     // 1 of the first, and counting up
	Owner     CharterKey  `cbor:"4,keyasint" json:"owner"`                      // signs it; of a later one, the owner before
	Second    *CharterKey `cbor:"5,keyasint,omitempty" json:"second,omitempty"` // who must agree when anything falls; nil: nothing ever does
	Functions []Function  `cbor:"6,keyasint" json:"functions"`                  // by name
}

// CharterVersion is the version of the format of charters.
const CharterVersion = 1

// A CharterKey is the public key of who signs charters. It never signs reports or orders.
type CharterKey struct {
	Suite sig.Suite `cbor:"1,keyasint" json:"suite"` // Ed25519 or ES256
	Key   []byte    `cbor:"2,keyasint" json:"key"`   // as package sig writes it
}

// A Function is something a device does for people, with what its guard keeps to: a lock's way out, its way in. How much of it is
// done is its level, 0 to 100 percent.
type Function struct {
	Name  string      `cbor:"1,keyasint" json:"name"` // an id
	Class SafetyClass `cbor:"2,keyasint" json:"class"`
	Min   uint8       `cbor:"3,keyasint,omitempty" json:"min,omitempty"` // percent; of a public or an essential one
	// Of an essential one: how long a restriction is known at the device before it counts, and how long service goes on after
	// that. Only time that the device itself saw pass, in contact with its network, counts.
	Notice TimeMS `cbor:"4,keyasint,omitempty" json:"notice_ms,omitempty"`
	Grace  TimeMS `cbor:"5,keyasint,omitempty" json:"grace_ms,omitempty"`
}

// CharterBody registers a charter.
type CharterBody struct {
	Device  DeviceID `cbor:"1,keyasint" json:"device"`
	Charter []byte   `cbor:"2,keyasint" json:"charter"`                    // a [Charter] signed by the owner, [PurposeCharter]
	Second  []byte   `cbor:"3,keyasint,omitempty" json:"second,omitempty"` // the same signed by the second party, [PurposeAgreed]
}

// RestrictBody asks the guard of a device to restrict a function, or takes that back. The guard decides.
type RestrictBody struct {
	ID       string   `cbor:"1,keyasint" json:"id"`
	Device   DeviceID `cbor:"2,keyasint" json:"device"`
	Function string   `cbor:"3,keyasint" json:"function"`
	Level    uint8    `cbor:"4,keyasint" json:"level"`                      // percent, below 100
	By       PartyID  `cbor:"5,keyasint" json:"by"`                         // who asks
	Reason   string   `cbor:"6,keyasint" json:"reason"`                     // for people
	Notice   TimeMS   `cbor:"7,keyasint,omitempty" json:"notice_ms"`        // when people were told; the guard counts its own notice all the same
	Until    TimeMS   `cbor:"8,keyasint" json:"until_ms"`                   // it ends then by itself
	Lifted   bool     `cbor:"9,keyasint,omitempty" json:"lifted,omitempty"` // ends the one with this id, whose other fields stay
}

// FullService is the level of a function that nothing restricts, in percent.
const FullService = 100

// Rank orders the classes by how much they protect: ordinary, essential, public, life.
func (c SafetyClass) Rank() int {
	switch c {
	case Ordinary:
		return 0
	case Public:
		return 2
	case Life:
		return 3
	}
	return 1
}

// ParseSafetyClass reads the form that String writes.
func ParseSafetyClass(s string) (SafetyClass, error) {
	for i, name := range safetyNames {
		if s == name {
			return SafetyClass(i), nil
		}
	}
	return Essential, fmt.Errorf("%q is not a safety class: life, public, essential or ordinary", clip(s))
}

// DefaultFunction is a function of a class of which nothing else is known. So of a public one the least level is all of it.
func DefaultFunction(name string, class SafetyClass) Function {
	f := Function{Name: name, Class: class}
	switch class {
	case Public:
		f.Min = FullService
	case Life, Ordinary:
	default:
		f.Class, f.Notice, f.Grace = Essential, MinNoticeMS, MinGraceMS
	}
	return f
}

// Function returns what holds for a function. One that the charter does not name is essential.
func (c *Charter) Function(name string) Function {
	for i := range c.Functions {
		if c.Functions[i].Name == name {
			return c.Functions[i]
		}
	}
	return DefaultFunction(name, Essential)
}

// Falls returns why a charter protects less than the one before it, or nothing. It compares all that either names.
func (c *Charter) Falls(before *Charter) (why string) {
	if !c.Owner.same(&before.Owner) || (c.Second == nil) != (before.Second == nil) || c.Second != nil && !c.Second.same(before.Second) {
		return "another owner or second party"
	}
	for _, list := range [...][]Function{before.Functions, c.Functions} {
		for i := range list {
			name := list[i].Name
			if now, then := c.Function(name), before.Function(name); now.falls(&then) {
				return fmt.Sprintf("%s is less protected", name)
			}
		}
	}
	return ""
}

// falls reports whether anything that then forbids is allowed now: a lower class, or where it can be restricted at all, a lower
// level or an earlier one.
func (now *Function) falls(then *Function) bool {
	switch {
	case now.Class.Rank() < then.Class.Rank():
		return true
	case now.Class == Life || now.Min == FullService:
		return false
	}
	return now.Min < then.Min || now.Notice < then.Notice || now.Grace < then.Grace || then.Class == Essential && now.Class != Essential
}

func (k *CharterKey) same(other *CharterKey) bool {
	return k.Suite == other.Suite && bytes.Equal(k.Key, other.Key)
}

// Public returns the key in the form to check signatures with.
func (k *CharterKey) Public() (*sig.PublicKey, error) {
	if k.Suite == sig.HMAC256 {
		return nil, fmt.Errorf("charters are signed, a MAC is not enough")
	}
	return sig.ParsePublicKey(k.Suite, k.Key)
}

// Check refuses charters that contradict themselves.
func (c *Charter) Check() error {
	if c.Version != CharterVersion {
		return fmt.Errorf("charter: version %d is not known, only %d", c.Version, CharterVersion)
	}
	if err := CheckName("device", string(c.Device)); err != nil {
		return fmt.Errorf("charter: %w", err)
	}
	if c.Number == 0 || len(c.Functions) == 0 || len(c.Functions) > MaxFunctions {
		return fmt.Errorf("charter of %q: it has a number from 1 and 1 to %d functions", c.Device, MaxFunctions)
	}
	for _, k := range [...]*CharterKey{&c.Owner, c.Second} {
		if k == nil {
			continue
		}
		if _, err := k.Public(); err != nil {
			return fmt.Errorf("charter of %q: a key of its owner or second party: %w", c.Device, err)
		}
	}
	if c.Second != nil && c.Second.same(&c.Owner) {
		return fmt.Errorf("charter of %q: the second party is somebody else than the owner", c.Device)
	}
	for i := range c.Functions {
		if i > 0 && c.Functions[i].Name <= c.Functions[i-1].Name {
			return fmt.Errorf("charter of %q: functions are in the order of their names, each once", c.Device)
		}
		if err := c.Functions[i].check(); err != nil {
			return fmt.Errorf("charter of %q: %w", c.Device, err)
		}
	}
	return nil
}

func (f *Function) check() error {
	if err := CheckName("function", f.Name); err != nil {
		return err
	}
	timed := f.Class == Essential
	switch {
	case f.Class > Ordinary:
		return fmt.Errorf("function %q: there is no safety class %d", f.Name, f.Class)
	case f.Min > FullService || f.Min > 0 && f.Class != Public && !timed:
		return fmt.Errorf("function %q: a least level is 0 to 100 percent of a public or essential function", f.Name)
	case timed && (f.Notice < MinNoticeMS || f.Grace < MinGraceMS || f.Notice > MaxNoticeMS || f.Grace > MaxNoticeMS):
		return fmt.Errorf("function %q: an essential one has a notice of at least 7 days and a grace of at least 72 h, each at most a year", f.Name)
	case !timed && (f.Notice != 0 || f.Grace != 0):
		return fmt.Errorf("function %q: only an essential one has notice and grace", f.Name)
	}
	return nil
}

// Sign writes the charter as a COSE_Sign1: as the owner with [PurposeCharter], as the second party with [PurposeAgreed].
func (c *Charter) Sign(network string, p Purpose, key *sig.PrivateKey) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	suite := key.Suite()
	if suite == sig.HMAC256 {
		return nil, fmt.Errorf("signing the charter of %q: a %s tag convinces nobody but who could have made it", c.Device, suite)
	}
	protected := appendInt([]byte{majMap | 2, headerAlg}, int64(suite))
	protected = appendBytes(append(protected, headerKid), appendKid(nil, string(c.Device), c.Number))
	payload := Marshal(c)
	signature, err := key.Sign(appendToBeSigned(nil, suite, protected, network, p, payload))
	if err != nil {
		return nil, fmt.Errorf("signing the charter of %q: %w", c.Device, err)
	}
	raw := appendEnvelope(nil, suite, protected, payload, signature)
	_, err = ParseCharter(raw) // what nobody can read would be found out too late
	return raw, err
}

// A SignedCharter is a charter with a signature over it.
type SignedCharter struct {
	Charter
	env envelope
}

// ParseCharter reads what Sign writes. It checks form, limits and sense, not the signature.
func ParseCharter(raw []byte) (*SignedCharter, error) {
	s := &SignedCharter{}
	w := wire{b: raw}
	w.max(uint64(len(raw)), MaxCharterBytes)
	s.env.decode(&w)
	if w.err == nil && s.env.suite == sig.HMAC256 {
		w.fail(fmt.Errorf("a charter is signed, a MAC is not enough"))
	}
	if err := w.end("charter"); err != nil {
		return nil, err
	}
	h := wire{b: s.env.protected}
	h.exactly(h.mapLen(), 2, "fields of the protected header")
	h.constInt(headerAlg)
	h.int()
	h.constInt(headerKid)
	kid := h.bytes()
	if err := h.end("charter: protected header"); err != nil {
		return nil, err
	}
	if err := Unmarshal(s.env.payload, &s.Charter); err != nil {
		return nil, fmt.Errorf("charter: %w", err)
	}
	if want := appendKid(nil, string(s.Device), s.Number); !bytes.Equal(kid, want) {
		return nil, fmt.Errorf("charter: it is signed as %q and says %q", clip(string(kid)), want)
	}
	return s, s.Check()
}

// Verify checks the signature by the one validity rule of package sig.
func (s *SignedCharter) Verify(network string, p Purpose, by *CharterKey) bool {
	key, err := by.Public()
	return err == nil && key.Suite() == s.env.suite &&
		key.Verify(appendToBeSigned(nil, s.env.suite, s.env.protected, network, p, s.env.payload), s.env.signature)
}

// An Offer is a charter that somebody wants a device to keep to from now on, with who signed it.
type Offer struct {
	Charter Charter
	Signed  bool // by the owner that the charter before it names; of a first one, by its own
	Agreed  bool // by the second party that the charter before it names
}

// ReadOffer reads a charter and checks the signatures on it against the charter before it, nil where there is none. second may be
// empty. It is how ledger, device and gateway read one; who takes it decides what the signatures are good for.
func ReadOffer(network string, before *Charter, raw, second []byte) (Offer, error) {
	c, err := ParseCharter(raw)
	if err != nil {
		return Offer{}, err
	}
	if before == nil {
		return Offer{c.Charter, c.Verify(network, PurposeCharter, &c.Owner), false}, nil
	}
	o := Offer{Charter: c.Charter, Signed: c.Verify(network, PurposeCharter, &before.Owner)}
	if len(second) == 0 || before.Second == nil {
		return o, nil
	}
	agreed, err := ParseCharter(second)
	if err != nil {
		return Offer{}, fmt.Errorf("the second party's signature: %w", err)
	}
	o.Agreed = bytes.Equal(agreed.env.payload, c.env.payload) && agreed.Verify(network, PurposeAgreed, before.Second)
	return o, nil
}

// Check refuses restrictions that nobody could mean.
func (b *RestrictBody) Check() error {
	for _, id := range [...][2]string{{"restriction", b.ID}, {"device", string(b.Device)}, {"function", b.Function}, {"party", string(b.By)}} {
		if err := CheckName(id[0], id[1]); err != nil {
			return err
		}
	}
	switch {
	case b.Level >= FullService:
		return fmt.Errorf("restriction %q: its level is below 100 percent", b.ID)
	case b.Reason == "" || len(b.Reason) > MaxTextBytes || !utf8.ValidString(b.Reason):
		return fmt.Errorf("restriction %q: it has a reason of at most %d bytes", b.ID, MaxTextBytes)
	case b.Notice < 0 || b.Until <= 0 || b.Until > math.MaxInt64/2:
		return fmt.Errorf("restriction %q: its times are not of this world", b.ID)
	}
	return nil
}
