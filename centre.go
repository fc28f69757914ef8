package lamppost

import (
	"bytes"

	"github.com/lamppost/lamppost/sig"
)

// Bodies of the orders around devices that earn and spend for themselves: what makes one a profit centre, what of its profit is paid
// out, and what two of them agree on without a person.

// CentreBody makes a device a profit centre, or changes its terms from From on.
type CentreBody struct {
	Device   DeviceID `cbor:"1,keyasint" json:"device"`
	Version  uint32   `cbor:"2,keyasint" json:"version"` // 1 of the first, and counting up
	From     TimeMS   `cbor:"3,keyasint" json:"from_ms"` // a UTC quarter hour, not in the past
	Currency string   `cbor:"4,keyasint" json:"currency"`
	Shares   []Share  `cbor:"5,keyasint" json:"shares"` // whose the profit is: the owner's, and investors'
	// Point and Tariff say what its own energy costs: what is used at a metering point, at the prices of a tariff. Empty: it has none,
	// or an agreement bills it, and then it is bought.
	Point  string `cbor:"6,keyasint,omitempty" json:"point,omitempty"`
	Tariff string `cbor:"7,keyasint,omitempty" json:"tariff,omitempty"`
	Costs  []Cost `cbor:"8,keyasint,omitempty" json:"costs,omitempty"`
	// Limit is the most that the device may agree to spend in LimitDays, before tax; 0: nothing. Such periods follow one another from
	// From on.
	Limit     Micro  `cbor:"9,keyasint,omitempty" json:"limit"`
	LimitDays uint32 `cbor:"10,keyasint,omitempty" json:"limit_days"`
}

// A Share is a party's part of a profit. The parts of all make the whole.
type Share struct {
	Party PartyID `cbor:"1,keyasint" json:"party"`
	Parts uint32  `cbor:"2,keyasint" json:"parts"`
}

// A Cost is declared: nobody bills it on this ledger. It falls evenly on the time from From to To.
type Cost struct {
	Kind   CostKind `cbor:"1,keyasint" json:"kind"`
	Amount Micro    `cbor:"2,keyasint" json:"amount"` // of depreciation: what it was bought for, less what it will be sold for
	From   TimeMS   `cbor:"3,keyasint" json:"from_ms"`
	To     TimeMS   `cbor:"4,keyasint" json:"to_ms"`
	Text   string   `cbor:"5,keyasint,omitempty" json:"text,omitempty"`
}

// A CostKind says what a cost is for. The numbers are part of the format.
type CostKind uint8

// Kinds of costs.
const (
	CostService      CostKind = 1 // cleaning, repair, insurance, rent
	CostDepreciation CostKind = 2 // the device itself, over its life
)

var costNames = [...]string{"", "service", "depreciation"}

// String returns the kind's name.
func (k CostKind) String() string {
	if int(k) < len(costNames) {
		return costNames[k]
	}
	return "unknown"
}

// PayoutBody closes a period of a device's books, and pays out what it has earned. Periods follow one another without a gap.
type PayoutBody struct {
	Device DeviceID `cbor:"1,keyasint" json:"device"`
	From   TimeMS   `cbor:"2,keyasint" json:"from_ms"`
	To     TimeMS   `cbor:"3,keyasint" json:"to_ms"`
}

// OfferBody offers sessions on a device to other devices, on terms that bind whoever offers until Until. One accepted session after
// another can come of it.
type OfferBody struct {
	ID      string   `cbor:"1,keyasint" json:"id"`
	Device  DeviceID `cbor:"2,keyasint" json:"device"` // that is used; the point's
	Point   string   `cbor:"3,keyasint" json:"point"`
	Tariff  string   `cbor:"4,keyasint" json:"tariff"`
	Version uint32   `cbor:"5,keyasint" json:"version"`
	Most    Micro    `cbor:"6,keyasint" json:"most"`                   // that a session may come to, before tax
	Longest TimeMS   `cbor:"7,keyasint" json:"longest_ms"`             // that a session may last
	Until   TimeMS   `cbor:"8,keyasint" json:"until_ms"`               // nothing can be accepted from then on
	To      DeviceID `cbor:"9,keyasint,omitempty" json:"to,omitempty"` // who alone may accept it; empty: anyone
	// Word is the device's own signature under key epoch KeyEpoch, see [OfferBody.Sign]; empty: a member offers it for the owner.
	KeyEpoch uint32 `cbor:"10,keyasint,omitempty" json:"key_epoch,omitempty"`
	Word     []byte `cbor:"11,keyasint,omitempty" json:"word,omitempty"`
}

// AcceptBody begins a session that a device accepts for itself. Its word is what counts: whoever brings it can change nothing of it.
type AcceptBody struct {
	Offer    string      `cbor:"1,keyasint" json:"offer"`
	Device   DeviceID    `cbor:"2,keyasint" json:"device"`  // that uses, and whose books pay
	Session  SessionBody `cbor:"3,keyasint" json:"session"` // its buyer is the device's owner, who answers for it
	KeyEpoch uint32      `cbor:"4,keyasint" json:"key_epoch"`
	Word     []byte      `cbor:"5,keyasint,omitempty" json:"word"` // see [AcceptBody.Sign]
}

// Sign gives an offer its device's word: a COSE_Sign1 whose key id is the device's id and whose payload is the body without the word.
func (b *OfferBody) Sign(network string, key *sig.PrivateKey) (err error) {
	b.Word = nil
	b.Word, err = SignBody(network, PurposeOffer, MemberID(b.Device), key, Marshal(b))
	return err
}

// Verify reports whether the word is that of the device with a public key, for this very offer.
func (b OfferBody) Verify(network string, key *sig.PublicKey) bool {
	word := b.Word
	b.Word = nil
	return isWord(word, network, PurposeOffer, b.Device, Marshal(b), key)
}

// Sign gives an acceptance its device's word, as [OfferBody.Sign] does.
func (b *AcceptBody) Sign(network string, key *sig.PrivateKey) (err error) {
	b.Word = nil
	b.Word, err = SignBody(network, PurposeAccept, MemberID(b.Device), key, Marshal(b))
	return err
}

// Verify reports whether the word is that of the device with a public key, for this very acceptance.
func (b AcceptBody) Verify(network string, key *sig.PublicKey) bool {
	word := b.Word
	b.Word = nil
	return isWord(word, network, PurposeAccept, b.Device, Marshal(b), key)
}

func isWord(word []byte, network string, p Purpose, id DeviceID, payload []byte, key *sig.PublicKey) bool {
	s, err := ParseSigned(word)
	return err == nil && string(s.Key) == string(id) && bytes.Equal(s.Payload, payload) && s.Verify(network, p, key)
}
