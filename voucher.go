package lamppost

import (
	"fmt"
	"math"

	"github.com/lamppost/lamppost/sig"
)

// A Voucher is a payer's promise to a payee, made while both are offline: what it owes on one channel in all, before tax. Who
// has a later one needs none before it. The channel is on the ledger, see [ChannelBody]: its key signs, and its hold covers what is promised.
type Voucher struct {
	Channel string  // its id
	Payee   PartyID // a device, or the seller
	N       uint64  // from 1, and one more with each voucher of the channel
	Amount  Micro   // in all, above that of every voucher before
	Until   TimeMS  // the channel's end

	signed Signed
}

const voucherVersion = 1

// Sign writes the voucher as a COSE_Sign1 whose key id is the channel. Only exported fields are read.
func (v *Voucher) Sign(network string, key *sig.PrivateKey) ([]byte, error) {
	if key.Suite() != sig.EdDSA {
		return nil, fmt.Errorf("signing a voucher of channel %q: its key is ed25519, not %s", v.Channel, key.Suite())
	}
	b := appendText([]byte{majArray | 5, voucherVersion}, string(v.Payee))
	for _, n := range [...]uint64{v.N, uint64(v.Amount), uint64(v.Until)} {
		b = appendHead(b, majUint, n)
	}
	raw, err := SignBody(network, PurposeVoucher, MemberID(v.Channel), key, b)
	if err != nil {
		return nil, err
	}
	return raw, new(Voucher).Decode(raw) // what nobody can read would be found out too late
}

// Decode reads what Sign writes. It checks form and limits, not the signature.
func (v *Voucher) Decode(raw []byte) (err error) {
	*v = Voucher{}
	if len(raw) > MaxVoucherBytes {
		return fmt.Errorf("voucher: %d bytes are over the limit of %d", len(raw), MaxVoucherBytes)
	}
	if v.signed, err = ParseSigned(raw); err != nil {
		return fmt.Errorf("voucher: %w", err)
	}
	v.Channel = string(v.signed.Key)
	w := wire{b: v.signed.Payload}
	w.array(5)
	w.constInt(voucherVersion)
	v.Payee = PartyID(w.text(MaxNameBytes))
	v.N = w.max(w.uint(), math.MaxInt64)
	v.Amount = Micro(w.max(w.uint(), math.MaxInt64))
	v.Until = TimeMS(w.max(w.uint(), math.MaxInt64))
	if err := w.end("voucher"); err != nil {
		return err
	}
	switch {
	case v.signed.raw.suite != sig.EdDSA:
		return fmt.Errorf("voucher: signed with %s, not ed25519", v.signed.raw.suite)
	case v.N == 0 || v.Amount == 0:
		return fmt.Errorf("voucher: number and amount begin above 0")
	}
	return CheckName("payee", string(v.Payee))
}

// Verify checks the signature by the one validity rule of package sig.
func (v *Voucher) Verify(network string, key *sig.PublicKey) bool {
	return v.signed.Verify(network, PurposeVoucher, key)
}

// Item is the signature as [sig.Verifier] takes it, to be checked among others.
func (v *Voucher) Item(network string, key *sig.PublicKey) sig.Item {
	return v.signed.Item(network, PurposeVoucher, key)
}

// ID is the SHA-256 of the Sig_structure: it names what was promised.
func (v *Voucher) ID(network string) Hash { return v.signed.ID(network, PurposeVoucher) }

// Contradicts says why two vouchers of one channel, both signed with its key, cannot both be an honest payer's; "" where they can.
func (v *Voucher) Contradicts(w *Voucher) string {
	if v.N > w.N {
		v, w = w, v
	}
	switch {
	case v.Channel != w.Channel:
		return ""
	case v.Payee != w.Payee:
		return fmt.Sprintf("it promises to %q and to %q", v.Payee, w.Payee)
	case v.Until != w.Until:
		return fmt.Sprintf("it ends at %d and at %d ms", v.Until, w.Until)
	case v.N == w.N && v.Amount != w.Amount:
		return fmt.Sprintf("number %d promises %s and %s", v.N, v.Amount, w.Amount)
	case v.N < w.N && v.Amount >= w.Amount:
		return fmt.Sprintf("number %d promises %s and number %d only %s", v.N, v.Amount, w.N, w.Amount)
	}
	return ""
}

// ChannelBody opens a channel: vouchers of a payer to one payee, on a version of a tariff, whose seller, currency and tax they are
// billed with. The most they may come to is held of the payer's money, with tax.
type ChannelBody struct {
	ID      string  `cbor:"1,keyasint" json:"id"`
	Payer   PartyID `cbor:"2,keyasint" json:"payer"`
	Payee   PartyID `cbor:"3,keyasint" json:"payee"` // a device of the tariff's seller, or the seller
	Tariff  string  `cbor:"4,keyasint" json:"tariff"`
	Version uint32  `cbor:"5,keyasint" json:"version"`
	Most    Micro   `cbor:"6,keyasint" json:"most"` // before tax
	From    TimeMS  `cbor:"7,keyasint" json:"from_ms"`
	Until   TimeMS  `cbor:"8,keyasint" json:"until_ms"` // no voucher is given or taken from then on
	Key     []byte  `cbor:"9,keyasint" json:"key"`      // the payer's for this channel: Ed25519, 32 bytes
}

// Breach says why a voucher is none that an honest payer signs on the channel; "" where it is one.
func (b *ChannelBody) Breach(v *Voucher) string {
	switch {
	case v.Channel != b.ID:
		return fmt.Sprintf("it is of channel %q", v.Channel)
	case v.Payee != b.Payee:
		return fmt.Sprintf("it promises to %q, and the channel is to %q", v.Payee, b.Payee)
	case v.Until != b.Until:
		return fmt.Sprintf("it ends at %d ms, and the channel at %d", v.Until, b.Until)
	case v.Amount > b.Most:
		return fmt.Sprintf("it promises %s, and at most %s are held", v.Amount, b.Most)
	}
	return ""
}

// CashBody cashes the latest vouchers of any number of channels, and closes channels: what was cashed is billed by the next invoice,
// and the rest of the hold is free again.
type CashBody struct {
	Vouchers [][]byte `cbor:"1,keyasint,omitempty" json:"vouchers,omitempty"`
	Close    []string `cbor:"2,keyasint,omitempty" json:"close,omitempty"`
	// Reason says why channels are closed before the payee's time to cash is over: [ClaimMS] after the end.
	Reason string `cbor:"3,keyasint,omitempty" json:"reason,omitempty"`
}

// ContradictBody shows that a payer signed what no honest one signs: a voucher that breaks its channel's terms, or two that contradict
// each other. Nobody opens a channel for this payer from then on, until a second order lifts that.
type ContradictBody struct {
	Vouchers [][]byte `cbor:"1,keyasint,omitempty" json:"vouchers,omitempty"` // one or two, of one channel
	Lift     PartyID  `cbor:"2,keyasint,omitempty" json:"lift,omitempty"`     // or the payer who may open channels again
	Reason   string   `cbor:"3,keyasint,omitempty" json:"reason,omitempty"`   // of lifting
}

// Cashed is what a channel came to in an order that cashed or closed it: the outcome holds one for each.
type Cashed struct {
	Channel string `cbor:"1,keyasint" json:"channel"`
	N       uint64 `cbor:"2,keyasint" json:"n"`      // of the latest voucher; 0: none came
	Amount  Micro  `cbor:"3,keyasint" json:"amount"` // cashed in all, before tax
	More    Micro  `cbor:"4,keyasint" json:"more"`   // of it by this order
	Closed  bool   `cbor:"5,keyasint,omitempty" json:"closed,omitempty"`
	Freed   Micro  `cbor:"6,keyasint,omitempty" json:"freed,omitempty"` // of the payer's money
}
