package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// A fleet is the devices that may report here, as the upstream last listed them. It is kept on disk, so that a gateway
// that starts while the uplink is down knows its devices.
type fleet struct {
	store kv.Store
	now   func() lamppost.TimeMS

	mu   sync.RWMutex
	list httpd.Fleet
	tag  string // the upstream's name for this very list
	byID map[lamppost.DeviceID]*member
}

// A member is a device of the fleet.
type member struct {
	token  [sha256.Size]byte
	safety lamppost.SafetyClass
	latest uint32      // key epoch
	keys   []memberKey // at most two that count
}

// A memberKey is a key that a device's reports may be signed with.
type memberKey struct {
	*sig.PublicKey
	epoch uint32
	until lamppost.TimeMS // 0: until further notice
}

// cached is what the store holds under fleetKey.
type cached struct {
	Tag  string
	List json.RawMessage
}

var fleetKey = []byte{'D'}

func openFleet(store kv.Store, now func() lamppost.TimeMS) (*fleet, error) {
	f := &fleet{store: store, now: now, byID: map[lamppost.DeviceID]*member{}}
	raw, err := store.Get(fleetKey)
	if errors.Is(err, kv.ErrNotFound) {
		return f, nil
	}
	var c cached
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err == nil {
		err = f.read(c.Tag, c.List)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of devices: %w", err)
	}
	return f, nil
}

// set replaces the list, on disk first.
func (f *fleet) set(tag string, raw []byte, write func(*kv.Batch) error) error {
	var probe fleet
	if err := probe.read(tag, raw); err != nil {
		return err
	}
	text, err := json.Marshal(cached{tag, raw})
	if err != nil {
		return err
	}
	var b kv.Batch
	b.Set(fleetKey, text)
	if err := write(&b); err != nil {
		return fmt.Errorf("keeping the list of devices: %w", err)
	}
	return f.read(tag, raw)
}

// read makes a list the current one. A device whose key cannot be read is as good as one without.
func (f *fleet) read(tag string, raw []byte) error {
	var list httpd.Fleet
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("the upstream's list of devices cannot be read: %w", err)
	}
	byID := make(map[lamppost.DeviceID]*member, len(list.Devices))
	for i := range list.Devices {
		d := &list.Devices[i]
		if len(d.Token) != sha256.Size {
			continue
		}
		m := &member{token: [sha256.Size]byte(d.Token), safety: d.Safety, latest: d.KeyEpoch}
		for _, k := range d.Keys {
			if key, err := sig.ParsePublicKey(k.Suite, k.Key); err == nil {
				m.keys = append(m.keys, memberKey{key, k.Epoch, k.Until})
			}
		}
		byID[d.ID] = m
	}
	list.Devices = nil // byID has them
	f.mu.Lock()
	f.list, f.tag, f.byID = list, tag, byID
	f.mu.Unlock()
	return nil
}

// nobody is what unknown devices' passwords are compared with, so that they take as long as known ones.
var nobody member

// authenticate says which device a client is, by id and token. Certificates are for nodes.
func (f *fleet) authenticate(user, password string, _ *x509.Certificate) (lamppost.DeviceID, error) {
	f.mu.RLock()
	m, known := f.byID[lamppost.DeviceID(user)]
	f.mu.RUnlock()
	if !known {
		m = &nobody
	}
	sum := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(sum[:], m.token[:]) != 1 || !known {
		return "", lamppost.Refuse(lamppost.CodeForbidden, "no device of this gateway has this id and token")
	}
	return lamppost.DeviceID(user), nil
}

// keyOf is ingest's. A key that the upstream knows and this list does not have yet is one to wait for: a refusal would be
// final.
func (f *fleet) keyOf(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
	f.mu.RLock()
	m := f.byID[id]
	f.mu.RUnlock()
	switch {
	case m == nil:
		return nil, ingest.Unknown
	case epoch > m.latest:
		return nil, ingest.KeyAhead
	}
	for i := range m.keys {
		if k := &m.keys[i]; k.epoch == epoch && (k.until == 0 || f.now() < k.until) {
			return k.PublicKey, nil
		}
	}
	return nil, ingest.KeyOver
}

// safety returns a device's safety class.
func (f *fleet) safety(id lamppost.DeviceID) (class lamppost.SafetyClass, known bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if m := f.byID[id]; m != nil {
		return m.safety, true
	}
	return lamppost.Essential, false
}

// tagged returns the upstream's name for the list that is here, and how many devices it has.
func (f *fleet) tagged() (tag string, devices int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.tag, len(f.byID)
}
