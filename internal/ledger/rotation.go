package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// Keys that follow each other. A key that another one replaced counts for [lamppost.KeyGraceMS] more of ledger time,
// because what it signed may still wait in the device or at a gateway; of several only the last one replaced does. All of
// them stay in the state with their epochs, so that what they signed can be judged at any time.

// A Key is one of the keys of a device or gateway: the order that made it known, and until when it counts.
type Key[B any] struct {
	Body B `cbor:"1,keyasint"`
	// Until is the time from which on what the key signed is refused, since another one replaced it; 0: none did. A
	// revocation, which stands elsewhere, may end it before.
	Until lamppost.TimeMS `cbor:"2,keyasint,omitempty"`
	Place Place           `cbor:"-"` // of the order
}

// held is a key with what is needed to check signatures by it.
type held[B any] struct {
	Key[B]
	epoch  uint32
	public *sig.PublicKey // nil where the ledger has none
}

// keys are those of a device or gateway that can count.
type keys[B any] struct {
	held[B]          // the one it has
	former  *held[B] // the one it had before; nil: none
	revoked uint64   // epochs below are revoked
}

// under returns the key with an epoch, or nil where it does not count at a time.
func (k *keys[B]) under(epoch uint32, now lamppost.TimeMS) *held[B] {
	switch {
	case k.isRevoked(epoch):
		return nil
	case epoch == k.epoch:
		return &k.held
	case k.former != nil && epoch == k.former.epoch && now < k.former.Until:
		return k.former
	}
	return nil
}

func (k *keys[B]) isRevoked(epoch uint32) bool { return uint64(epoch) < k.revoked }

func (k *keys[B]) revoke(epoch uint32) { k.revoked = max(k.revoked, uint64(epoch)+1) }

// follow puts a key in the place of the one there is, which counts until a time, and writes what changed.
func follow[B any](s *State, kind byte, id string, k *keys[B], next held[B], until lamppost.TimeMS) {
	if f := k.former; f != nil && f.Until > s.time {
		f.Until = s.time
		s.putAt(epochKey(kind, id, f.epoch), f.Place, f.Key)
	}
	old := k.held
	old.Until = until
	s.putAt(epochKey(kind, id, old.epoch), old.Place, old.Key)
	k.former = &old
	k.begin(s, kind, id, next)
}

// begin makes a key the one in use.
func (k *keys[B]) begin(s *State, kind byte, id string, next held[B]) {
	next.Place = Place{s.height, s.index}
	k.held = next
	s.putAt(epochKey(kind, id, next.epoch), next.Place, next.Key)
}

// consents refuses a change of keys that the key in use did not sign. No consent at all is the member's own word, which
// is enough: keys get lost.
func consents[B any](s *State, k *keys[B], consent []byte, change lamppost.KeyChange, p lamppost.Purpose) error {
	if len(consent) == 0 {
		return nil
	}
	if k.isRevoked(k.epoch) {
		return lamppost.Refuse(lamppost.CodeBadSignature, "key epoch %d of %q is revoked and consents to nothing", k.epoch, change.ID)
	}
	change.Epoch = k.epoch
	if err := change.Check(consent, s.net.Network, p, k.public); err != nil {
		return lamppost.Refuse(lamppost.CodeBadSignature, "%v", err)
	}
	return nil
}

func firstFollowsNone(c *lamppost.KeyChange) error {
	return lamppost.Refuse(lamppost.CodeBadTx, "the first key of %q follows none that could consent", c.ID)
}

// unused refuses a key that was in use before: a key that was replaced or revoked does not come back under another epoch, nor
// in another spelling. of returns the key of a body.
func unused[B any](s *State, kind byte, id string, of func(*B) (sig.Suite, []byte), b *B) error {
	again, public := false, canonical(of(b))
	from := append(key(kind, id), 0)
	err := s.scan(from, end(from), func(_, val []byte) error {
		k, err := decodeBody[Key[B]](slices.Clone(val))
		again = again || len(public) > 0 && bytes.Equal(canonical(of(&k.Body)), public)
		return err
	})
	if err == nil && again {
		err = lamppost.Refuse(lamppost.CodeBadTx, "%q had this key before: a key does not come back", id)
	}
	return err
}

// canonical returns a key in its one encoding, and what is no key as it is.
func canonical(suite sig.Suite, raw []byte) []byte {
	if public, err := sig.ParsePublicKey(suite, raw); err == nil {
		return public.Bytes()
	}
	return raw
}

// mayRevoke refuses to revoke a key that is not there yet or not there any more.
func (k *keys[B]) mayRevoke(id string, b lamppost.RevokeBody) error {
	switch {
	case b.KeyEpoch > k.epoch:
		return lamppost.Refuse(lamppost.CodeUnknown, "%q has key epoch %d, not %d yet", id, k.epoch, b.KeyEpoch)
	case k.isRevoked(b.KeyEpoch):
		return lamppost.Refuse(lamppost.CodeExists, "key epoch %d of %q is revoked", b.KeyEpoch, id)
	}
	return checkText(b.Reason)
}

// load takes in the keys from the store, which come in the order of their epochs.
func (k *keys[B]) load(next held[B]) {
	if old := k.held; old.Place != (Place{}) {
		k.former = &old
	}
	k.held = next
}

// eachKey calls fn for every stored key whose key in the state begins with from, in order.
func eachKey[B any](r kv.Reader, from []byte, fn func(Key[B]) error) error {
	return r.Scan(from, end(from), func(_, val []byte) error {
		k, err := decodeBody[Key[B]](slices.Clone(val))
		if err == nil {
			k.Place, err = decodePlace(val)
		}
		if err != nil {
			return err
		}
		return fn(k)
	})
}

// device enrols a device, or with a higher key epoch gives an enrolled one a new key; that also ends a quarantine, since
// its owner vouches for the device anew.
func (s *State) device(b lamppost.DeviceBody) error {
	d := s.devices[b.ID]
	if err := s.mayEnrol(d, &b); err != nil {
		return err
	}
	public, err := s.deviceKey(b)
	if err != nil {
		return err
	}
	if err := s.deviceConsents(d, &b); err != nil {
		return err
	}
	next := held[lamppost.DeviceBody]{Key: Key[lamppost.DeviceBody]{Body: b}, epoch: b.KeyEpoch, public: public}
	if d == nil {
		d = &device{}
		s.devices[b.ID] = d
		d.begin(s, 'D', string(b.ID), next)
		return nil
	}
	if err := unused(s, 'D', string(b.ID), func(b *lamppost.DeviceBody) (sig.Suite, []byte) { return b.Suite, b.Key }, &b); err != nil {
		return err
	}
	if d.quarantined == "" {
		follow(s, 'D', string(b.ID), &d.keys, next, s.graceOf(d, &b))
		return nil
	}
	asks, err := s.asking(b.ID)
	if err != nil {
		return err
	}
	follow(s, 'D', string(b.ID), &d.keys, next, s.graceOf(d, &b))
	s.vouched(asks)
	d.quarantined = ""
	s.del(key('F', string(b.ID)))
	return nil
}

// mayEnrol refuses an enrolment for all but its key. d is nil for a new device.
func (s *State) mayEnrol(d *device, b *lamppost.DeviceBody) error {
	switch {
	case d == nil && b.KeyEpoch != firstDeviceEpoch:
		return lamppost.Refuse(lamppost.CodeBadTx, "the first key of %q has epoch %d, not %d", b.ID, firstDeviceEpoch, b.KeyEpoch)
	case d == nil:
		if err := s.freeName(string(b.ID)); err != nil {
			return err
		}
	case b.KeyEpoch <= d.epoch || b.Owner != d.Body.Owner:
		return lamppost.Refuse(lamppost.CodeExists, "%q is enrolled with key epoch %d; a new key takes a higher one and the same owner", b.ID, d.epoch)
	}
	if d != nil && b.Safety.Rank() < d.Body.Safety.Rank() {
		return lamppost.Refuse(lamppost.CodeForbidden, "%q is enrolled as %s, and a new key does not make it %s: what may be restricted is said by its charter", b.ID, d.Body.Safety, b.Safety)
	}
	if _, ok := s.parties[b.Owner]; !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to own %q", b.Owner, b.ID)
	}
	if err := checkText(b.Name, b.Site); err != nil {
		return err
	}
	if b.Safety > lamppost.Ordinary || len(b.Salt) != lamppost.SaltBytes {
		return lamppost.Refuse(lamppost.CodeBadTx, "a device has a known safety class and a salt of %d bytes", lamppost.SaltBytes)
	}
	return checkMeterKey(*b)
}

// deviceConsents checks the device's own word for its new key, where there is one. In quarantine it is not taken: whoever
// has the key could free himself.
func (s *State) deviceConsents(d *device, b *lamppost.DeviceBody) error {
	change := lamppost.KeyChange{ID: string(b.ID), Next: b.KeyEpoch, Suite: b.Suite, Key: b.Key}
	switch {
	case len(b.Consent) == 0:
		return nil
	case d == nil:
		return firstFollowsNone(&change)
	case d.public == nil:
		return lamppost.Refuse(lamppost.CodeBadTx, "%q has no key of its own that the ledger knows and that could consent", b.ID)
	case d.quarantined != "":
		return lamppost.Refuse(lamppost.CodeQuarantined, "%q is in quarantine: its key consents to nothing", b.ID)
	}
	return consents(s, &d.keys, b.Consent, change, lamppost.PurposeDeviceKey)
}

// firstDeviceEpoch lets an auditor tell a device's first key from one that replaced another.
const firstDeviceEpoch = 1

// graceOf says until when a device's key counts that b replaces. It is over at once where the new key ends a quarantine,
// for then the old one may be in other hands, and where a gateway signs in the device's place before or after, which
// numbers reports itself: two that count would use numbers twice.
func (s *State) graceOf(d *device, b *lamppost.DeviceBody) lamppost.TimeMS {
	if d.quarantined != "" || d.Body.Assurance.Wrapped() || b.Assurance.Wrapped() {
		return s.time
	}
	return s.time + lamppost.KeyGraceMS
}

// revoke ends a key epoch of a device or gateway and all before it.
func (s *State) revoke(b lamppost.RevokeBody, signer lamppost.MemberID) error {
	if (b.Device == "") == (b.Gateway == "") {
		return lamppost.Refuse(lamppost.CodeBadTx, "a revocation names a device or a gateway")
	}
	if b.Gateway != "" {
		return s.revokeGateway(b, signer)
	}
	d := s.devices[b.Device]
	if d == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q whose key could be revoked", b.Device)
	}
	if err := d.mayRevoke(string(b.Device), b); err != nil {
		return err
	}
	d.revoke(b.KeyEpoch)
	s.putBody(epochKey('R', string(b.Device), b.KeyEpoch), b)
	return nil
}

func (s *State) loadRevoked(b lamppost.RevokeBody) error {
	d := s.devices[b.Device]
	if d == nil {
		return fmt.Errorf("a key of %q is revoked, but the device is not there", b.Device)
	}
	d.revoke(b.KeyEpoch)
	return nil
}

// loadDevices reads the keys of all devices, and then what else is known of each.
func (s *State) loadDevices() error {
	err := eachKey(s.store, key('D'), func(k Key[lamppost.DeviceBody]) error {
		d := s.devices[k.Body.ID]
		if d == nil {
			d = &device{}
			s.devices[k.Body.ID] = d
		}
		next := held[lamppost.DeviceBody]{Key: k, epoch: k.Body.KeyEpoch}
		if k.Body.Assurance == lamppost.DeviceSigned {
			var err error
			if next.public, err = sig.ParsePublicKey(k.Body.Suite, k.Body.Key); err != nil {
				return err
			}
		}
		d.load(next)
		return nil
	})
	if err != nil {
		return err
	}
	for id, d := range s.devices {
		if err := s.loadDevice(id, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *State) loadDevice(id lamppost.DeviceID, d *device) error {
	switch raw, err := s.store.Get(key('Q', string(id))); {
	case err == nil:
		if d.seq, err = decodeSequence(raw); err != nil {
			return err
		}
	case !errors.Is(err, kv.ErrNotFound):
		return err
	}
	why, err := s.store.Get(key('F', string(id)))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	d.quarantined, d.reused = decodeQuarantine(why)
	return nil
}
