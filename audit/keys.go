package audit

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Keys that follow each other. A report or segment is checked with the key that counted when it was ordered: that it names
// or was signed with, not the latest. What the proof shows of keys that follow is held against the ledger's rule, and who
// put a key in is said in words.

// enrolled returns the transaction that enrolled a device's key with an epoch, before a leaf, or nil.
func (e *Evidence) enrolled(id lamppost.DeviceID, epoch uint32, before int64) *Tx {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxDevice, id: string(id)}] {
		if t := &e.Txs[i]; t.Leaf < before && t.body.(*lamppost.DeviceBody).KeyEpoch == epoch {
			return t
		}
	}
	return nil
}

// registered returns the transactions that registered keys of a gateway before a leaf, in log order.
func (e *Evidence) registered(id lamppost.MemberID, before int64) (all []*Tx) {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxGateway, id: string(id)}] {
		if t := &e.Txs[i]; t.Leaf < before {
			all = append(all, t)
		}
	}
	return all
}

// counted refuses a key of a device or gateway that was replaced before it was used, unless the proof shows that its grace
// was not over. made is the transaction that made the key known, used the one in which something is signed with it.
func (e *Evidence) counted(k bodyKey, made, used *Tx) error {
	var next *Tx
	for _, i := range e.bodies[k] {
		switch t := &e.Txs[i]; {
		case t.Leaf <= made.Leaf || t.Leaf >= used.Leaf:
		case next != nil:
			return errors.New("which was replaced twice before")
		default:
			next = t
		}
	}
	if next == nil {
		return nil
	}
	if wraps(made) || wraps(next) {
		return errors.New("which was replaced before, and a gateway that signs for a device has no key to go on with")
	}
	from, ok := e.Time(next.Height)
	at, known := e.Time(used.Height)
	if !ok || !known {
		return fmt.Errorf("which was replaced in block %d; the times that show whether it still counted are not in the proof", next.Height)
	}
	if over := from + lamppost.KeyGraceMS; at >= over {
		return fmt.Errorf("which was replaced before and counted until %s", stamp(tariff.Zone{}, over))
	}
	return nil
}

// wraps reports whether a transaction enrols a device without a key of its own.
func wraps(t *Tx) bool {
	b, device := t.body.(*lamppost.DeviceBody)
	return device && b.Assurance.Wrapped()
}

// checkGateways refuses segments that were signed with a key of their gateway which did not count any more.
func (e *Evidence) checkGateways() error {
	for i := range e.Txs {
		t := &e.Txs[i]
		if t.gateway == nil {
			continue
		}
		b := t.gateway.body.(*lamppost.GatewayBody)
		if at := e.termAt(t.Leaf); at != nil && at.keys[b.Member] == nil {
			return fmt.Errorf("%s: nobody answered for gateway %s: %s was no member any more", t, b.ID, b.Member)
		}
		if e.revoked(func(r *lamppost.RevokeBody) bool { return r.Gateway == b.ID && r.KeyEpoch >= b.KeyEpoch }, string(b.ID), t.Leaf) {
			return fmt.Errorf("%s: it is signed with key %d of gateway %s, which was revoked before", t, b.KeyEpoch, b.ID)
		}
		if err := e.counted(bodyKey{kind: lamppost.TxGateway, id: string(b.ID)}, t.gateway, t); err != nil {
			return fmt.Errorf("%s: it is signed with key %d of gateway %s, %w", t, b.KeyEpoch, b.ID, err)
		}
	}
	return nil
}

// revoked reports whether the proof shows a revocation of somebody's keys before a leaf that fits.
func (e *Evidence) revoked(fits func(*lamppost.RevokeBody) bool, id string, before int64) bool {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxRevoke, id: id}] {
		if t := &e.Txs[i]; t.Leaf < before && fits(t.body.(*lamppost.RevokeBody)) {
			return true
		}
	}
	return false
}

// checkConsents checks every change of keys whose former key is in the proof.
func (e *Evidence) checkConsents() error {
	for i := range e.Txs {
		t := &e.Txs[i]
		raw, change, purpose := consent(t)
		if len(raw) == 0 {
			continue
		}
		from, err := e.follows(t, raw, &change)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if from == nil {
			continue // the notes say so
		}
		if err := change.Check(raw, e.Network, purpose, from); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return nil
}

// consent returns the change of keys that a transaction carries, and what it must say but for the key that signs.
func consent(t *Tx) (raw []byte, c lamppost.KeyChange, p lamppost.Purpose) {
	switch b := t.body.(type) {
	case *lamppost.DeviceBody:
		return b.Consent, lamppost.KeyChange{ID: string(b.ID), Next: b.KeyEpoch, Suite: b.Suite, Key: b.Key}, lamppost.PurposeDeviceKey
	case *lamppost.GatewayBody:
		return b.Consent, lamppost.KeyChange{ID: string(b.ID), Next: b.KeyEpoch, Suite: sig.EdDSA, Key: b.Key}, lamppost.PurposeGatewayKey
	}
	return nil, c, ""
}

// follows finds the key that signed a change and puts its epoch into what the change must say. A key that the proof does
// not have is nil.
func (e *Evidence) follows(t *Tx, raw []byte, change *lamppost.KeyChange) (*sig.PublicKey, error) {
	var signed lamppost.KeyChange
	if err := signed.Decode(raw); err != nil {
		return nil, err
	}
	change.Epoch = signed.Epoch
	if t.Type == lamppost.TxGateway {
		for _, r := range e.registered(lamppost.MemberID(change.ID), t.Leaf) {
			if b := r.body.(*lamppost.GatewayBody); b.KeyEpoch == signed.Epoch {
				return sig.ParsePublicKey(sig.EdDSA, b.Key)
			}
		}
		return nil, nil
	}
	from := e.enrolled(lamppost.DeviceID(change.ID), signed.Epoch, t.Leaf)
	if from == nil {
		return nil, nil
	}
	b := from.body.(*lamppost.DeviceBody)
	return sig.ParsePublicKey(b.Suite, b.Key)
}

// notes says in words which keys of the devices whose reports are in the proof were put in by somebody else than the device.
func (e *Evidence) notes() []string {
	latest := map[lamppost.DeviceID]uint32{}
	var order []lamppost.DeviceID
	for i := range e.Reports {
		if d := e.Reports[i].Device; d != nil {
			if _, seen := latest[d.ID]; !seen {
				order = append(order, d.ID)
			}
			latest[d.ID] = max(latest[d.ID], d.KeyEpoch)
		}
	}
	var notes []string
	for _, id := range order {
		notes = append(notes, e.notesOf(id, latest[id])...)
	}
	return notes
}

// notesOf goes through a device's keys up to one that is used. The ledger gives a first key the epoch 1.
func (e *Evidence) notesOf(id lamppost.DeviceID, epoch uint32) (notes []string) {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxDevice, id: string(id)}] {
		t := &e.Txs[i]
		b := t.body.(*lamppost.DeviceBody)
		if b.KeyEpoch <= 1 || b.KeyEpoch > epoch {
			continue
		}
		if len(b.Consent) == 0 {
			notes = append(notes, printable(fmt.Sprintf("key %d of %s was set by member %s %s; the device's former key did not sign the change",
				b.KeyEpoch, id, t.Signer, e.when(t))))
			continue
		}
		_, change, _ := consent(t)
		if from, err := e.follows(t, b.Consent, &change); err == nil && from == nil {
			notes = append(notes, printable(fmt.Sprintf("key %d of %s names the consent of a former key that is not in the proof", b.KeyEpoch, id)))
		}
	}
	return notes
}

// when says when a transaction was ordered, as exactly as the proof does.
func (e *Evidence) when(t *Tx) string {
	if at, ok := e.Time(t.Height); ok {
		return "on " + stamp(tariff.Zone{}, at)
	}
	return fmt.Sprintf("in block %d", t.Height)
}
