package lamppost

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/lamppost/lamppost/sig"
)

// The bodies of transactions: what an operator tells the ledger. Each is deterministic CBOR, a map with small integer
// keys so that fields can be added; docs/formats.md has the tables. Names, addresses and other free text live only in
// bodies, which can be erased; the log holds salted digests.

// A TxType says what a transaction does; the numbers are part of the format.
type TxType uint8

// Transaction types. 0 is the block leaf's type in the log and never a transaction.
const (
	TxBlock     TxType = 0
	TxGenesis   TxType = 1 // GenesisBody: the first transaction of a network
	TxSegment   TxType = 2 // a gateway's segment of reports
	TxParty     TxType = 3 // PartyBody
	TxDevice    TxType = 4 // DeviceBody: enrols a device
	TxPoint     TxType = 5 // PointBody: a metering point
	TxTariff    TxType = 6 // tariff.Tariff
	TxAgreement TxType = 7 // AgreementBody
	TxInvoice   TxType = 8 // InvoiceBody; its outcome holds the tariff.Invoice
	TxTransfer  TxType = 9 // TransferBody

	TxGateway TxType = 10 // GatewayBody: who may sign segments beside the members
	TxRevoke  TxType = 11 // RevokeBody: a key that counts no longer
	TxFraud   TxType = 12 // FraudBody; its outcome holds the Correction

	TxRetention TxType = 13 // RetentionBody: how long reports are kept
	TxHold      TxType = 14 // HoldBody: what must be kept all the same
	TxErase     TxType = 15 // EraseBody: what must be forgotten
	TxErased    TxType = 16 // ErasedBody: a member has forgotten it
	TxSnapshot  TxType = 17 // SnapshotBody: what a member's state was at a height

	TxNetwork TxType = 18 // NetworkBody: who the members are and by which rules they go

	TxReading TxType = 19 // ReadingBody: a register's value that somebody entered by hand
	TxCorrect TxType = 20 // CorrectBody; its outcome holds the tariff.Invoice that replaces another
	TxDispute TxType = 21 // DisputeBody
	TxSession TxType = 22 // SessionBody: one use of a device begins, with money held for it
	TxSettle  TxType = 23 // SettleBody: it has ended; its outcome holds the tariff.Session
	TxConvert TxType = 24 // ConvertBody

	TxContract   TxType = 25 // ContractBody: a program, or a version of it
	TxCall       TxType = 26 // CallBody: tells a program of an event; its outcome holds what came of it
	TxChannel    TxType = 28 // ChannelBody: a payer may sign vouchers to a payee, with money held for them
	TxCash       TxType = 29 // CashBody; its outcome holds what each channel came to
	TxContradict TxType = 30 // ContradictBody
	TxCentre     TxType = 31 // CentreBody: a device as a profit centre
	TxPayout     TxType = 32 // PayoutBody; its outcome holds the tariff.Profit
	TxOffer      TxType = 33 // OfferBody: what a device can be used for, to other devices
	TxAccept     TxType = 34 // AcceptBody: a device takes an offer, and a session begins
	TxCredit     TxType = 36 // CreditBody
	TxVerdicts   TxType = 27 // VerdictsBody: what triage found
	TxReview     TxType = 35 // ReviewBody: what a person says of it
	TxWatch      TxType = 37 // WatchBody: what triage should know
	TxCharter    TxType = 38 // CharterBody: what a device's guard keeps to
	TxRestrict   TxType = 39 // RestrictBody: what is asked of it
	TxDecisions  TxType = 40 // DecisionsBody: what agents decided, and what came of it
	TxAgent      TxType = 41 // AgentBody: how an owner wants a device's agent
	TxLearn      TxType = 42 // LearnBody: an update of a model that several learn together

	TxUnreadable TxType = 255 // in the leaf of what is no transaction
)

var txTypeNames = [...]string{"block", "genesis", "segment", "party", "device", "point", "tariff", "agreement", "invoice", "transfer",
	"gateway", "revoke", "fraud", "retention", "hold", "erase", "erased",
	"snapshot", "network",
	"reading", "correct", "dispute", "session", "settle", "convert",
	TxContract: "contract", TxCall: "call",
	TxChannel: "channel", TxCash: "cash", TxContradict: "contradict",
	TxCentre: "centre", TxPayout: "payout", TxOffer: "offer", TxAccept: "accept",
	TxCredit:   "credit",
	TxVerdicts: "verdicts", TxReview: "review", TxWatch: "watch",
	TxCharter: "charter", TxRestrict: "restrict",
	TxDecisions: "decisions", TxAgent: "agent", TxLearn: "learn",
}

// String returns the type's name in messages and the API.
func (t TxType) String() string {
	if int(t) < len(txTypeNames) && txTypeNames[t] != "" {
		return txTypeNames[t]
	}
	return "unknown"
}

// PartyBody registers a person or an organisation.
type PartyBody struct {
	ID   PartyID `cbor:"1,keyasint" json:"id"`
	Name string  `cbor:"2,keyasint" json:"name"`
	// CreditLimit is how far below zero each account of the party may go by transfers, until a CreditBody changes it. Invoices are claims
	// and always post.
	CreditLimit Micro `cbor:"3,keyasint,omitempty" json:"credit_limit"`
	// Erased says that the name was erased: the ledger's state has that, an order never.
	Erased bool `cbor:"4,keyasint,omitempty" json:"erased,omitempty"`
}

// DeviceBody enrols a device: whose it is, with which key it signs, how much harm stopping it could do.
type DeviceBody struct {
	ID       DeviceID    `cbor:"1,keyasint" json:"id"`
	Owner    PartyID     `cbor:"2,keyasint" json:"owner"`
	Suite    sig.Suite   `cbor:"3,keyasint" json:"suite"` // COSE algorithm number, see package sig
	Key      []byte      `cbor:"4,keyasint" json:"key"`   // as package sig writes it
	KeyEpoch uint32      `cbor:"5,keyasint" json:"key_epoch"`
	Name     string      `cbor:"6,keyasint,omitempty" json:"name,omitempty"`
	Site     string      `cbor:"7,keyasint,omitempty" json:"site,omitempty"`
	Safety   SafetyClass `cbor:"8,keyasint" json:"safety"`
	// Salt hides the ids kept for the sequence rule, and a vouched key: 16 random bytes.
	Salt []byte `cbor:"9,keyasint" json:"-"`
	// Assurance says how the device's reports are vouched for; where it is not the device itself, Gateway says who does.
	// Then Suite and Key are: of GatewayVouched HMAC256 and the [KeyCommitment] of the shared key; of ChannelAuthenticated
	// and Unsigned 0 and empty.
	Assurance Assurance `cbor:"10,keyasint,omitempty" json:"assurance,omitempty"`
	Gateway   MemberID  `cbor:"11,keyasint,omitempty" json:"gateway,omitempty"` // a member's id or a gateway's
	// Consent is a [KeyChange] by the device's former key. Without it a key that replaces another is the member's word alone.
	Consent []byte `cbor:"12,keyasint,omitempty" json:"consent,omitempty"`
	// MeterKey is the public key of the meter in or beside the device, where that signs by itself: a DER
	// SubjectPublicKeyInfo (RFC 5480), see package ocmf. That it is the meter's is the word of who orders the enrolment.
	MeterKey []byte `cbor:"13,keyasint,omitempty" json:"meter_key,omitempty"`
}

// An Assurance says how a device's reports are vouched for, from its enrolment to the last line of a bill. The numbers
// are part of the format and in no order of trust.
type Assurance uint8

// Assurances; the zero value is what the device's own key gives.
const (
	DeviceSigned         Assurance = iota // the device signs with a key that nobody else has
	MeterSigned                           // of a register value, never of an enrolment: a record that the meter signed gives it too
	GatewayVouched                        // an HMAC key shared with a gateway, which says that it checked
	ChannelAuthenticated                  // no key; a gateway knew the device by its connection, and signed what it brought
	Unsigned                              // no key, known by nothing but the name it gave; a gateway signed what came
)

var assuranceNames = [...]string{"device-signed", "meter-signed", "gateway-vouched", "channel-authenticated", "unsigned"}

// String returns the assurance's name, as interfaces and documents show it.
func (a Assurance) String() string {
	if int(a) < len(assuranceNames) {
		return assuranceNames[a]
	}
	return "unknown"
}

// ParseAssurance reads the form that String writes.
func ParseAssurance(s string) (Assurance, error) {
	for i, name := range assuranceNames {
		if s == name {
			return Assurance(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not an assurance: %s", clip(s), strings.Join(assuranceNames[:], ", "))
}

// Wrapped reports whether reports of this assurance are signed by a gateway in place of the device ([FlagWrapped]).
func (a Assurance) Wrapped() bool { return a == ChannelAuthenticated || a == Unsigned }

// KeyCommitment is H(0x19 ‖ salt ‖ key): what the ledger keeps of an HMAC key, which must not stand there itself. The salt
// is the enrolment's.
func KeyCommitment(salt, key []byte) Hash {
	return sha256.Sum256(append(append([]byte{domainKey}, salt...), key...))
}

// GatewayBody registers a gateway, or gives it another key: it signs segments, and reports of devices that have no key. It
// is signed by the member who answers for the gateway.
type GatewayBody struct {
	ID       MemberID `cbor:"1,keyasint" json:"id"`
	Member   MemberID `cbor:"2,keyasint" json:"member"`
	Key      []byte   `cbor:"3,keyasint" json:"key"`                           // Ed25519, 32 bytes
	KeyEpoch uint32   `cbor:"4,keyasint,omitempty" json:"key_epoch,omitempty"` // 0 of its first key, higher of each that follows
	Consent  []byte   `cbor:"5,keyasint,omitempty" json:"consent,omitempty"`   // a [KeyChange] by the former key
}

// RevokeBody ends a key of a device or of a gateway, and all before it: what is signed with them is refused from then on.
// What was committed before stays as it is and can be proven. It names either a device or a gateway.
type RevokeBody struct {
	Device   DeviceID `cbor:"1,keyasint,omitempty" json:"device,omitempty"`
	KeyEpoch uint32   `cbor:"2,keyasint" json:"key_epoch"`
	Reason   string   `cbor:"3,keyasint" json:"reason"`
	Gateway  MemberID `cbor:"4,keyasint,omitempty" json:"gateway,omitempty"`
}

// A SafetyClass says what the guard must never let a contract or a bill do to a device (architecture.md §7).
type SafetyClass uint8

// Safety classes; the zero value is the careful one.
const (
	Essential SafetyClass = iota // degrades only after notice and grace, never offline
	Life                         // never refuses service
	Public                       // never falls under its minimum level
	Ordinary                     // may stop
)

var safetyNames = [...]string{"essential", "life", "public", "ordinary"}

// String returns the class's name.
func (c SafetyClass) String() string {
	if int(c) < len(safetyNames) {
		return safetyNames[c]
	}
	return "essential"
}

// PointBody opens a metering point: the place where use is measured, whichever meter hangs there; or hangs another meter there, or
// begins to count the same one anew, from From on. What the registers showed then is a signed reading's, or Closing and Opening.
type PointBody struct {
	ID       string   `cbor:"1,keyasint" json:"id"`
	Device   DeviceID `cbor:"2,keyasint" json:"device"`
	Register string   `cbor:"3,keyasint" json:"register"` // the reading's name
	Unit     string   `cbor:"4,keyasint" json:"unit"`     // SenML unit of the register, e.g. "Wh"
	Place    string   `cbor:"5,keyasint,omitempty" json:"place,omitempty"`

	Mount   uint32   `cbor:"6,keyasint,omitempty" json:"mount,omitempty"`     // 0 of the first meter, and counting up
	From    TimeMS   `cbor:"7,keyasint,omitempty" json:"from_ms,omitempty"`   // a UTC quarter hour; 0 of the first
	Closing *Decimal `cbor:"8,keyasint,omitempty" json:"closing,omitempty"`   // of the meter before
	Opening *Decimal `cbor:"9,keyasint,omitempty" json:"opening,omitempty"`   // of this one
	RollsAt *Decimal `cbor:"10,keyasint,omitempty" json:"rolls_at,omitempty"` // the register counts from 0 again instead of showing this
	Main    string   `cbor:"11,keyasint,omitempty" json:"main,omitempty"`     // the point whose meter counts this one's use, too
	// Sessions: billing reports are kept at their very times, as sessions need them.
	Sessions bool `cbor:"12,keyasint,omitempty" json:"sessions,omitempty"`
}

// Mounted returns when the meter was there: in [from, to), where a later one may hang from next on, or nil.
func (b *PointBody) Mounted(next *PointBody) (from, to TimeMS) {
	if next == nil {
		return b.From, math.MaxInt64
	}
	return b.From, next.From
}

// AgreementBody binds a buyer to a seller's tariff at a metering point for [From, To); To 0 means until further notice. The same
// with another To ends it, or lets it go on.
type AgreementBody struct {
	ID     string  `cbor:"1,keyasint" json:"id"`
	Seller PartyID `cbor:"2,keyasint" json:"seller"`
	Buyer  PartyID `cbor:"3,keyasint" json:"buyer"`
	Point  string  `cbor:"4,keyasint" json:"point"`
	Tariff string  `cbor:"5,keyasint" json:"tariff"`
	From   TimeMS  `cbor:"6,keyasint" json:"from_ms"`
	To     TimeMS  `cbor:"7,keyasint,omitempty" json:"to_ms,omitempty"`
	// TaxCategory stands in place of the tariff's where this buyer pays no tax: of EN 16931, such as "E" or "AE" (reverse
	// charge). TaxReason says why.
	TaxCategory string `cbor:"8,keyasint,omitempty" json:"tax_category,omitempty"`
	TaxReason   string `cbor:"9,keyasint,omitempty" json:"tax_reason,omitempty"`
}

// InvoiceBody asks for the invoice of everything one seller supplied to one buyer in [From, To), in one currency.
type InvoiceBody struct {
	Seller   PartyID `cbor:"1,keyasint" json:"seller"`
	Buyer    PartyID `cbor:"2,keyasint" json:"buyer"`
	Currency string  `cbor:"3,keyasint" json:"currency"`
	From     TimeMS  `cbor:"4,keyasint" json:"from_ms"`
	To       TimeMS  `cbor:"5,keyasint" json:"to_ms"`
}

// TransferBody moves a claim between two accounts: a payment that a bank or provider reported.
type TransferBody struct {
	From     PartyID `cbor:"1,keyasint" json:"from"`
	To       PartyID `cbor:"2,keyasint" json:"to"`
	Currency string  `cbor:"3,keyasint" json:"currency"`
	Amount   Micro   `cbor:"4,keyasint" json:"amount"`
	Memo     string  `cbor:"5,keyasint,omitempty" json:"memo,omitempty"`
}

// RetentionBody says how long reports are kept after they were received: raw, then in summaries within an error bound, then
// by nothing but their segment's header. Billing reports, evidence and what is around alarms are always kept.
type RetentionBody struct {
	Device      DeviceID `cbor:"1,keyasint,omitempty" json:"device,omitempty"` // empty: of all devices without a rule of their own
	RawDays     uint32   `cbor:"2,keyasint,omitempty" json:"raw_days"`         // 0: for ever
	SummaryDays uint32   `cbor:"3,keyasint,omitempty" json:"summary_days"`     // 0: for ever; counted from the same moment
	Error       uint32   `cbor:"4,keyasint,omitempty" json:"error,omitempty"`  // of a value in summaries, in thousandths of its series's range; 0: as the program has it
}

// HoldBody keeps reports raw, whatever else says that they may or must go, until it is lifted by a second order.
type HoldBody struct {
	ID     string   `cbor:"1,keyasint" json:"id"`
	Device DeviceID `cbor:"2,keyasint,omitempty" json:"device,omitempty"` // empty: of all devices
	From   TimeMS   `cbor:"3,keyasint,omitempty" json:"from_ms"`          // of their receive times
	To     TimeMS   `cbor:"4,keyasint,omitempty" json:"to_ms,omitempty"`  // not included; 0: without end
	Reason string   `cbor:"5,keyasint" json:"reason"`                     // such as "dispute of invoice acme-000042"
	Lifted bool     `cbor:"6,keyasint,omitempty" json:"lifted,omitempty"`
}

// EraseBody asks every member to forget: all reports of a device that were committed before, except billing reports and
// evidence; or the name of a party. It names either.
type EraseBody struct {
	Device DeviceID `cbor:"1,keyasint,omitempty" json:"device,omitempty"`
	Party  PartyID  `cbor:"2,keyasint,omitempty" json:"party,omitempty"`
	Basis  string   `cbor:"3,keyasint" json:"basis"` // in law, such as "GDPR Art. 17(1)(b)"
}

// ErasedBody is a member's word that what an order asked to forget is in none of its files and backups.
type ErasedBody struct {
	Height Height `cbor:"1,keyasint" json:"height"` // where the order stands
	Index  uint32 `cbor:"2,keyasint" json:"index"`
}

// SnapshotBody is a member's word on the whole state after a block, and on the log it belongs to. Who has a state with this
// digest needs no block up to that one.
type SnapshotBody struct {
	Height Height `cbor:"1,keyasint" json:"height"`
	Size   int64  `cbor:"2,keyasint" json:"size"` // of the log after the block
	Root   Hash   `cbor:"3,keyasint" json:"root"` // of that log
	Digest Hash   `cbor:"4,keyasint" json:"digest"`
}

// HashSnapshot is a snapshot's digest: over where it was taken and over its chunks, each hashed as it is uncompressed.
func HashSnapshot(h Height, t TimeMS, size int64, root Hash, chunks []Hash) Hash {
	b := make([]byte, 0, 25+32*(1+len(chunks)))
	b = binary.BigEndian.AppendUint64(append(b, domainSnapshot), uint64(h))
	b = binary.BigEndian.AppendUint64(b, uint64(t))
	b = append(binary.BigEndian.AppendUint64(b, uint64(size)), root[:]...)
	for i := range chunks {
		b = append(b, chunks[i][:]...)
	}
	return sha256.Sum256(b)
}
