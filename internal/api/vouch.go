package api

import (
	"bytes"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// Keys that this node shares with devices it vouches for. They are secrets: they stand in the node's own records, beside
// its member key in the same folder, and never in an order, a log or an answer.

// A sharedKey is an HMAC key and the key epoch it was enrolled for.
type sharedKey struct {
	Epoch uint32 `cbor:"1,keyasint"`
	Key   []byte `cbor:"2,keyasint"`

	parsed *sig.PublicKey
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
		if err == nil {
			k.parsed, err = sig.ParsePublicKey(sig.HMAC256, k.Key)
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
	k := &sharedKey{Epoch: b.KeyEpoch, Key: key.Bytes(), parsed: key}
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

// SharedKey returns the HMAC key that a device enrolled with a key epoch and that a commitment on the ledger is of, or nil.
func (d *Devices) SharedKey(id lamppost.DeviceID, epoch uint32, salt, commitment []byte) *sig.PublicKey {
	d.mu.RLock()
	k := d.shared[id]
	d.mu.RUnlock()
	if k == nil || k.Epoch != epoch {
		return nil
	}
	if sum := lamppost.KeyCommitment(salt, k.Key); !bytes.Equal(sum[:], commitment) {
		return nil
	}
	return k.parsed
}
