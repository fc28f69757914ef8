package api

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// Keys that this node shares with devices it vouches for. They are secrets: they stand in the node's own records, beside
// its member key in the same folder, and never in an order, a log or an answer.

// A sharedKey is an HMAC key, the key epoch it was enrolled for, and the key that it follows, which may still count.
type sharedKey struct {
	Epoch  uint32     `cbor:"1,keyasint"`
	Key    []byte     `cbor:"2,keyasint"`
	Former *sharedKey `cbor:"3,keyasint,omitempty"`

	parsed *sig.PublicKey
}

// is reports whether a key is the one that an enrolment commits to.
func (k *sharedKey) is(epoch uint32, salt, commitment []byte) bool {
	sum := lamppost.KeyCommitment(salt, k.Key)
	return k.Epoch == epoch && bytes.Equal(sum[:], commitment)
}

var (
	sharedPrefix = []byte("nK")
	sharedEnd    = []byte("nL")
)

// VouchAs lets devices enrol HMAC keys, for whose reports this gateway answers. It is called before anything else.
func (d *Devices) VouchAs(gateway lamppost.MemberID) { d.gateway = gateway }

// BrokerChecks says that this node has joined a broker which lets a device publish only as itself: channel-authenticated
// devices need no token of this node then. It is called before anything else.
func (d *Devices) BrokerChecks() { d.brokered = true }

func (d *Devices) loadShared() error {
	return d.store.Scan(sharedPrefix, sharedEnd, func(key, val []byte) error {
		k := new(sharedKey)
		err := lamppost.Unmarshal(bytes.Clone(val), k)
		for at := k; at != nil && err == nil; at = at.Former {
			at.parsed, err = sig.ParsePublicKey(sig.HMAC256, at.Key)
		}
		if err != nil {
			return fmt.Errorf("the record %q is damaged: issue a new token for this device: %w", key, err)
		}
		d.shared[lamppost.DeviceID(key[len(sharedPrefix):])] = k
		return nil
	})
}

// share keeps an HMAC key on disk and puts its digest into the enrolment. sharing is held.
func (d *Devices) share(b *lamppost.DeviceBody, key *sig.PublicKey) error {
	if d.gateway == "" {
		return lamppost.Refuse(lamppost.CodeForbidden, "this node vouches for nobody: enrol an ed25519 or es256 key")
	}
	b.Suite, b.Assurance, b.Gateway = sig.HMAC256, lamppost.GatewayVouched, d.gateway
	b.Key = onLedger(b, key)
	former, err := d.sharedNow(b.ID)
	if err != nil {
		return err
	}
	k := &sharedKey{Epoch: b.KeyEpoch, Key: key.Bytes(), Former: former, parsed: key}
	var batch kv.Batch
	batch.Set(append(bytes.Clone(sharedPrefix), b.ID...), lamppost.Marshal(k))
	if err := d.store.Apply(&batch); err != nil {
		return fmt.Errorf("keeping the key shared with device %q: %w", b.ID, err)
	}
	d.mu.Lock()
	d.shared[b.ID] = k
	d.mu.Unlock()
	return nil
}

// onLedger is what the ledger keeps of a key.
func onLedger(b *lamppost.DeviceBody, key *sig.PublicKey) []byte {
	if key.Suite() != sig.HMAC256 {
		return key.Bytes()
	}
	sum := lamppost.KeyCommitment(b.Salt, key.Bytes())
	return sum[:]
}

// sharedNow returns the key that is enrolled, without those before it, or nil. What was kept and never enrolled is not it.
func (d *Devices) sharedNow(id lamppost.DeviceID) (*sharedKey, error) {
	b, err := ledger.View{Reader: d.store}.Device(id)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for k := d.shared[id]; k != nil && err == nil; k = k.Former {
		if k.is(b.KeyEpoch, b.Salt, b.Key) {
			return &sharedKey{Epoch: k.Epoch, Key: k.Key, parsed: k.parsed}, nil
		}
	}
	return nil, nil
}

// SharedKey returns the HMAC key that a device enrolled with a key epoch and that a commitment on the ledger is of, or nil.
func (d *Devices) SharedKey(id lamppost.DeviceID, epoch uint32, salt, commitment []byte) *sig.PublicKey {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for k := d.shared[id]; k != nil; k = k.Former {
		if k.is(epoch, salt, commitment) {
			return k.parsed
		}
	}
	return nil
}
