// Package voucher is what payer and payee keep of a channel while both are offline: a [Wallet] signs vouchers, a [Till] takes them. It
// knows files by three methods and no network, clock or ledger; docs/vouchers.md has the whole way of a payment.
//
// It promises, through crashes and power losses at any moment:
//
//   - a wallet never signs two vouchers that contradict each other, or more than the channel's most: what it signs is durable before
//     anybody sees it;
//   - a till keeps the highest voucher it was given: what it says it took is durable before it says so;
//   - so neither side loses more than the one step under way.
//
// It trusts its file: who copies a wallet's and uses both copies contradicts himself. A wallet whose file is lost goes on with the last
// voucher that the payee has ([Wallet.Adopt]). Neither may be used by several goroutines at once.
//
// Start reading at [Wallet.Pay] and [Till.Take].
package voucher

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// Terms are what both sides know of a channel. A payee has them from its own node, or from a member it trusts, never from the payer: a
// voucher is worth what the ledger holds.
type Terms struct {
	Network string               `cbor:"1,keyasint" json:"network"`
	Channel lamppost.ChannelBody `cbor:"2,keyasint" json:"channel"`
}

// check verifies a voucher of the channel.
func (t *Terms) check(key *sig.PublicKey, raw []byte) (v lamppost.Voucher, err error) {
	if err := v.Decode(raw); err != nil {
		return v, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if why := t.Channel.Breach(&v); why != "" {
		return v, lamppost.Refuse(lamppost.CodeBadTx, "voucher %d of channel %q: %s", v.N, v.Channel, why)
	}
	if !v.Verify(t.Network, key) {
		return v, lamppost.Refuse(lamppost.CodeBadSignature, "voucher %d is not signed with the key of channel %q on network %q", v.N, v.Channel, t.Network)
	}
	return v, nil
}

// A Wallet signs the vouchers of one channel.
type Wallet struct {
	key  *sig.PrivateKey
	file slots
	is   walletState
	last lamppost.Voucher // zero: none yet
}

type walletState struct {
	Terms Terms  `cbor:"1,keyasint"`
	Last  []byte `cbor:"2,keyasint,omitempty"`
}

const (
	walletMagic = "lpwallt1"
	tillMagic   = "lpvtill1"
)

// NewWallet begins the wallet of a channel in an empty file.
func NewWallet(f File, t Terms, key *sig.PrivateKey) (*Wallet, error) {
	w := &Wallet{key: key, file: slots{f: f, magic: walletMagic}, is: walletState{Terms: t}}
	if err := w.mine(); err != nil {
		return nil, err
	}
	return w, w.file.begin(w.is)
}

// OpenWallet goes on with a wallet.
func OpenWallet(f File, key *sig.PrivateKey) (*Wallet, error) {
	w := &Wallet{key: key, file: slots{f: f, magic: walletMagic}}
	if err := w.file.load(&w.is); err != nil {
		return nil, fmt.Errorf("opening a wallet: %w", err)
	}
	if w.is.Last != nil {
		if err := w.last.Decode(w.is.Last); err != nil {
			return nil, fmt.Errorf("opening a wallet: %w", err)
		}
	}
	return w, w.mine()
}

func (w *Wallet) mine() error {
	if c := &w.is.Terms.Channel; string(w.key.Public().Bytes()) != string(c.Key) {
		return fmt.Errorf("the key is not that of channel %q", c.ID)
	}
	return nil
}

// Terms returns the channel's terms.
func (w *Wallet) Terms() Terms { return w.is.Terms }

// Last returns the last voucher, nil before the first. Giving it again costs nothing: that is what to do where nobody knows whether it arrived.
func (w *Wallet) Last() []byte { return w.is.Last }

// Paid is what was promised in all.
func (w *Wallet) Paid() lamppost.Micro { return w.last.Amount }

// Pay promises more and returns the voucher, which is durable by then. What is refused is a [*lamppost.Refusal], and nothing was signed;
// after any other error the wallet must be opened anew.
func (w *Wallet) Pay(now lamppost.TimeMS, more lamppost.Micro) ([]byte, error) {
	c := &w.is.Terms.Channel
	total, ok := w.last.Amount.Add(more)
	switch {
	case more <= 0:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a voucher promises more than the one before, not %s", more)
	case !ok || total > c.Most:
		return nil, lamppost.Refuse(lamppost.CodeNoFunds, "%s more on channel %q come to more than its %s, of which %s are left", more, c.ID, c.Most, c.Most-w.last.Amount)
	case now >= c.Until:
		return nil, lamppost.Refuse(lamppost.CodeExpired, "channel %q has ended: open another", c.ID)
	}
	next := lamppost.Voucher{Channel: c.ID, Payee: c.Payee, N: w.last.N + 1, Amount: total, Until: c.Until}
	raw, err := next.Sign(w.is.Terms.Network, w.key)
	if err != nil {
		return nil, err
	}
	return raw, w.keep(raw, next)
}

// Adopt takes over a voucher that this wallet's key signed and its file does not know, because it is an older copy.
func (w *Wallet) Adopt(raw []byte) error {
	v, err := w.is.Terms.check(w.key.Public(), raw)
	if err != nil || v.N <= w.last.N {
		return err
	}
	return w.keep(raw, v)
}

func (w *Wallet) keep(raw []byte, v lamppost.Voucher) error {
	w.is.Last, w.last = raw, v
	return w.file.save(w.is)
}

// A Till takes the vouchers of one channel.
type Till struct {
	key  *sig.PublicKey
	file slots
	is   tillState
	last lamppost.Voucher
}

type tillState struct {
	Terms Terms          `cbor:"1,keyasint"`
	Last  []byte         `cbor:"2,keyasint,omitempty"`
	Used  lamppost.Micro `cbor:"3,keyasint,omitempty"`
}

// NewTill begins the till of a channel in an empty file.
func NewTill(f File, t Terms) (*Till, error) {
	x := &Till{file: slots{f: f, magic: tillMagic}, is: tillState{Terms: t}}
	if err := x.open(); err != nil {
		return nil, err
	}
	return x, x.file.begin(x.is)
}

// OpenTill goes on with a till.
func OpenTill(f File) (*Till, error) {
	x := &Till{file: slots{f: f, magic: tillMagic}}
	if err := x.file.load(&x.is); err != nil {
		return nil, fmt.Errorf("opening a till: %w", err)
	}
	return x, x.open()
}

func (x *Till) open() (err error) {
	if x.key, err = sig.ParsePublicKey(sig.EdDSA, x.is.Terms.Channel.Key); err != nil || x.is.Last == nil {
		return err
	}
	return x.last.Decode(x.is.Last)
}

// Terms returns the channel's terms.
func (x *Till) Terms() Terms { return x.is.Terms }

// Last returns the highest voucher, nil before the first: the one to cash, and to show a payer who knows of less.
func (x *Till) Last() []byte { return x.is.Last }

// Paid is what was promised in all, Credit what of it is not used.
func (x *Till) Paid() lamppost.Micro { return x.last.Amount }

// Credit is what was promised and not used.
func (x *Till) Credit() lamppost.Micro { return x.last.Amount - x.is.Used }

// Take keeps a voucher, unless it is no higher than the one it has, and uses some of the credit for what is about to be delivered. Both
// are durable when it returns. Where the credit is less, the voucher is kept all the same and the answer a [*lamppost.Refusal] with
// CodeNoFunds. So the same voucher may come any number of times, and is used once. A voucher that contradicts the one kept is
// refused, and both are evidence. After an error that is no Refusal the till must be opened anew.
func (x *Till) Take(now lamppost.TimeMS, raw []byte, use lamppost.Micro) error {
	c := &x.is.Terms.Channel
	v, err := x.is.Terms.check(x.key, raw)
	switch {
	case err != nil:
		return err
	case now >= c.Until:
		return lamppost.Refuse(lamppost.CodeExpired, "channel %q has ended: open another", c.ID)
	case use < 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "%s cannot be used", use)
	}
	if x.is.Last != nil {
		if why := x.last.Contradicts(&v); why != "" {
			return lamppost.Refuse(lamppost.CodeForbidden, "voucher %d of channel %q contradicts one before: %s", v.N, c.ID, why)
		}
	}
	changed := v.N > x.last.N
	if changed {
		x.is.Last, x.last = raw, v
	}
	short := x.Credit() < use
	if !short && use > 0 {
		x.is.Used, changed = x.is.Used+use, true
	}
	if changed {
		if err := x.file.save(x.is); err != nil {
			return err
		}
	}
	if short {
		return lamppost.Refuse(lamppost.CodeNoFunds, "%s of channel %q are not used, and this costs %s: promise %s in all", x.Credit(), c.ID, use, x.is.Used+use)
	}
	return nil
}

// GiveBack returns what was used and then not delivered.
func (x *Till) GiveBack(used lamppost.Micro) error {
	if used < 0 || used > x.is.Used {
		return fmt.Errorf("giving back %s of %s on channel %q", used, x.is.Used, x.is.Terms.Channel.ID)
	}
	x.is.Used -= used
	return x.file.save(x.is)
}
