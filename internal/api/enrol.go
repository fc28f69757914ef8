package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/ocmf"
	"github.com/lamppost/lamppost/sig"
)

// A Registrar is an Order function: it signs an order as the node's member, proposes it and waits for the decision.
// A refusal by the ledger may be its error or stand in the decision.
type Registrar func(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error)

// do has an order decided; a refusal is a *lamppost.Refusal in the error's chain.
func (order Registrar) do(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error) {
	d, err := order(ctx, t, body)
	if err == nil {
		err = d.Outcomes[0].Err()
	}
	return d, err
}

// Devices lets devices in. The operator announces a device and hands its token to whoever installs it; the device
// connects with it and enrols its key. Only the SHA-256 of a token is kept: it is 128 random bits, so that nothing slower
// is needed, and no one can read it from a stolen disk.
//
// A token lets its device enrol one key: that of the key epoch it was issued for. The same key again is answered like
// the first time, since an answer may get lost; another one takes another token, or the consent of the key that is
// enrolled. As a password a token stays good until the next one is issued.
//
// All methods may be called concurrently. The store's Apply is called by one of them at a time.
type Devices struct {
	store kv.Store
	order Registrar

	sharing sync.Mutex // held while an HMAC key is enrolled; before mu
	writing sync.Mutex // held while a token is issued; before mu
	mu      sync.RWMutex
	tokens  map[lamppost.DeviceID]*issued
	shared  map[lamppost.DeviceID]*sharedKey

	gateway  lamppost.MemberID // as whom this node vouches; empty: for nobody
	brokered bool              // see BrokerChecks

	network string                                                 // of logins
	keyOf   func(lamppost.DeviceID, uint32) (*sig.PublicKey, bool) // see LogInByKey
}

// LogInByKey lets devices in by their own key ([lamppost.Login]), also those that were announced at another member. key returns the key
// of a device and epoch, if it counts. It is called before anybody can connect.
func (d *Devices) LogInByKey(network string, key func(lamppost.DeviceID, uint32) (*sig.PublicKey, bool)) {
	d.network, d.keyOf = network, key
}

// byKey reports whether a password is a device's login.
func (d *Devices) byKey(id lamppost.DeviceID, password string) bool {
	epoch, ok := lamppost.LoginEpoch(password)
	if !ok || d.keyOf == nil {
		return false
	}
	key, ok := d.keyOf(id, epoch)
	return ok && lamppost.CheckLogin(password, d.network, id, epoch, key)
}

// issued is what is kept of a token and of what was announced with it.
type issued struct {
	Hash     []byte               `cbor:"1,keyasint"`
	KeyEpoch uint32               `cbor:"2,keyasint"` // that the token may enrol
	Owner    lamppost.PartyID     `cbor:"3,keyasint"`
	Name     string               `cbor:"4,keyasint,omitempty"`
	Site     string               `cbor:"5,keyasint,omitempty"`
	Safety   lamppost.SafetyClass `cbor:"6,keyasint"`
	MeterKey []byte               `cbor:"7,keyasint,omitempty"`
}

// Keys of the node's own records begin with 'n'; those of tokens with "nT", of shared keys with "nK", followed by the
// device's id.
var (
	tokenPrefix = []byte("nT")
	tokenEnd    = []byte("nU")
)

// OpenDevices reads the tokens' hashes. The store is the node's; order makes TxDevice transactions.
func OpenDevices(store kv.Store, order Registrar) (*Devices, error) {
	d := &Devices{store: store, order: order, tokens: map[lamppost.DeviceID]*issued{}, shared: map[lamppost.DeviceID]*sharedKey{}}
	err := store.Scan(tokenPrefix, tokenEnd, func(key, val []byte) error {
		t := new(issued)
		if err := lamppost.Unmarshal(bytes.Clone(val), t); err != nil || len(t.Hash) != sha256.Size {
			return fmt.Errorf("the record %q is damaged: issue a new token for this device", key)
		}
		d.tokens[lamppost.DeviceID(key[len(tokenPrefix):])] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the devices' tokens: %w", err)
	}
	if err := d.loadShared(); err != nil {
		return nil, fmt.Errorf("reading the keys shared with devices: %w", err)
	}
	return d, nil
}

// nobody is what unknown devices' passwords are compared with, so that they take as long as known ones.
var nobody [sha256.Size]byte

// Authenticate says which device a connection is: by the certificate that TLS verified, whose common name is the
// device's id, or by id and token. It is the Auth of the front doors.
func (d *Devices) Authenticate(user, password string, cert *x509.Certificate) (lamppost.DeviceID, error) {
	if cert != nil && password == "" {
		return d.authenticateCert(user, cert)
	}
	id := lamppost.DeviceID(user)
	d.mu.RLock()
	t := d.tokens[id]
	d.mu.RUnlock()
	want := nobody[:]
	if t != nil {
		want = t.Hash
	}
	sum := sha256.Sum256([]byte(password))
	if d.byKey(id, password) {
		return id, nil
	}
	if subtle.ConstantTimeCompare(sum[:], want) != 1 || t == nil {
		return "", lamppost.Refuse(lamppost.CodeForbidden, "no device %q with this token: the user is the device's id, the password its token, or its login by its key", clip(user))
	}
	return id, nil
}

func (d *Devices) authenticateCert(user string, cert *x509.Certificate) (lamppost.DeviceID, error) {
	id := lamppost.DeviceID(cert.Subject.CommonName)
	if user != "" && user != string(id) {
		return "", lamppost.Refuse(lamppost.CodeForbidden, "the certificate is of device %q, the user is %q", clip(string(id)), clip(user))
	}
	d.mu.RLock()
	t := d.tokens[id]
	d.mu.RUnlock()
	if t == nil {
		return "", lamppost.Refuse(lamppost.CodeForbidden, "no device %q was announced", clip(string(id)))
	}
	return id, nil
}

func clip(s string) string {
	if len(s) > lamppost.MaxNameBytes {
		return strings.ToValidUTF8(s[:lamppost.MaxNameBytes], "") + "…"
	}
	return s
}

// Announce makes room for a new device and returns its token.
func (d *Devices) Announce(n NewDevice) (token string, err error) {
	safety, err := parseSafety(n.Safety)
	if err != nil {
		return "", err
	}
	if err := lamppost.CheckName("device", string(n.ID)); err != nil {
		return "", lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	meter, err := meterKey(n.MeterKey)
	if err != nil {
		return "", err
	}
	if len(n.Name) > maxText || len(n.Site) > maxText {
		return "", lamppost.Refuse(lamppost.CodeBadTx, "a name or site has at most %d bytes", maxText)
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	view := ledger.View{Reader: d.store}
	if _, err := view.Party(n.Owner); errors.Is(err, kv.ErrNotFound) {
		return "", lamppost.Refuse(lamppost.CodeUnknown, "no party %q to own the device: add it first", clip(string(n.Owner)))
	} else if err != nil {
		return "", err
	}
	_, errDevice := view.Device(n.ID)
	_, errParty := view.Party(lamppost.PartyID(n.ID))
	if d.known(n.ID) != nil || !errors.Is(errDevice, kv.ErrNotFound) || !errors.Is(errParty, kv.ErrNotFound) {
		return "", lamppost.Refuse(lamppost.CodeExists, "%q is taken; for a new token of a device, POST /api/devices/%s/token", n.ID, n.ID)
	}
	return d.issue(n.ID, issued{KeyEpoch: 1, Owner: n.Owner, Name: n.Name, Site: n.Site, Safety: safety, MeterKey: meter})
}

// meterKey reads the key of a meter that signs by itself, as its manufacturer prints it; there need be none.
func meterKey(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key, err := ocmf.ParsePublicKeyText(text)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "the meter's key: %v; it is a DER SubjectPublicKeyInfo in hex or base64, or <curve>:<point>", err)
	}
	return key.DER(), nil
}

// Reissue gives a device another token, which also lets it enrol another key. The old one is void at once. Where the device got
// another meter, the new enrolment has that one's key.
func (d *Devices) Reissue(id lamppost.DeviceID, n NewToken) (token string, err error) {
	meter, err := meterKey(n.MeterKey)
	if err != nil {
		return "", err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	body, err := ledger.View{Reader: d.store}.Device(id)
	switch t := d.known(id); {
	case err == nil:
		if meter == nil {
			meter = body.MeterKey
		}
		return d.issue(id, issued{KeyEpoch: body.KeyEpoch + 1, Owner: body.Owner, Name: body.Name, Site: body.Site, Safety: body.Safety, MeterKey: meter})
	case !errors.Is(err, kv.ErrNotFound):
		return "", err
	case t == nil:
		return "", notFound("no device %q", clip(string(id)))
	default:
		again := *t
		if meter != nil {
			again.MeterKey = meter
		}
		return d.issue(id, again)
	}
}

func (d *Devices) known(id lamppost.DeviceID) *issued {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tokens[id]
}

// issue draws a token and keeps its hash, first on disk and then in memory. The caller holds writing.
func (d *Devices) issue(id lamppost.DeviceID, t issued) (string, error) {
	var secret [tokenBytes]byte
	rand.Read(secret[:])
	token := hex.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(token))
	t.Hash = sum[:]
	var b kv.Batch
	b.Set(append(bytes.Clone(tokenPrefix), id...), lamppost.Marshal(t))
	if err := d.store.Apply(&b); err != nil {
		return "", fmt.Errorf("keeping the token of device %q: %w", id, err)
	}
	d.mu.Lock()
	d.tokens[lamppost.DeviceID(strings.Clone(string(id)))] = &t
	d.mu.Unlock()
	return token, nil
}

// A NewKey is a key that a device asks to enrol.
type NewKey struct {
	Suite   sig.Suite
	Key     []byte // public, or an HMAC key itself
	Consent []byte // a lamppost.KeyChange by the key the device has; may be empty
}

// Enrol registers an authenticated device's public key on the ledger and returns the key's epoch. What lets it do so is a
// token that was issued for its next key, or the consent of the key that it has. Of an HMAC key the ledger gets only a
// digest; the key stays on this node, which vouches for the device, and the caller has made sure that nobody could read it
// on the way. A refusal is a *lamppost.Refusal in the error's chain.
func (d *Devices) Enrol(ctx context.Context, id lamppost.DeviceID, k NewKey) (epoch uint32, err error) {
	t := d.known(id)
	if t == nil {
		return 0, lamppost.Refuse(lamppost.CodeUnknown, "device %q was not announced: POST /api/devices", clip(string(id)))
	}
	parsed, err := sig.ParsePublicKey(k.Suite, k.Key)
	if err != nil {
		return 0, lamppost.Refuse(lamppost.CodeBadTx, "the key of device %q: %v", id, err)
	}
	if k.Suite == sig.HMAC256 {
		d.sharing.Lock() // so that the key on disk is the one that is enrolled
		defer d.sharing.Unlock()
	}
	body, epoch, err := d.next(id, t, parsed, k.Consent)
	if epoch != 0 || err != nil {
		return epoch, err
	}
	if k.Suite == sig.HMAC256 {
		if err := d.share(&body, parsed); err != nil {
			return 0, err
		}
	} else {
		body.Suite, body.Key = k.Suite, parsed.Bytes()
	}
	if _, err := d.order.do(ctx, lamppost.TxDevice, body); err != nil {
		// The same device may have asked twice at once: then the other request has enrolled this very key.
		if _, epoch, again := d.next(id, t, parsed, k.Consent); epoch != 0 && again == nil {
			return epoch, nil
		}
		return 0, fmt.Errorf("enrolling device %q: %w", id, err)
	}
	return body.KeyEpoch, nil
}

// body is the enrolment that was announced, without its key.
func (t *issued) body(id lamppost.DeviceID) lamppost.DeviceBody {
	b := lamppost.DeviceBody{ID: id, Owner: t.Owner, KeyEpoch: t.KeyEpoch, Name: t.Name, Site: t.Site, Safety: t.Safety,
		Salt: newSalt(), MeterKey: t.MeterKey}
	return b
}

func newSalt() []byte {
	salt := make([]byte, lamppost.SaltBytes)
	rand.Read(salt) // never fails
	return salt
}

// next is the enrolment that a key is to be put into, or the epoch of the key that is the device's already, or why it may
// not have this one.
func (d *Devices) next(id lamppost.DeviceID, t *issued, key *sig.PublicKey, consent []byte) (body lamppost.DeviceBody, epoch uint32, err error) {
	view := ledger.View{Reader: d.store}
	now, err := view.Device(id)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return t.body(id), 0, nil
	case err != nil:
		return body, 0, err
	case now.Suite == key.Suite() && bytes.Equal(now.Key, onLedger(&now, key)):
		return body, now.KeyEpoch, nil
	}
	mute, err := d.mute(view, &now)
	if err != nil {
		return body, 0, err
	}
	switch allowed := now.KeyEpoch < t.KeyEpoch; {
	case allowed && (len(consent) == 0 || mute != ""):
		return t.body(id), 0, nil // the operator's word, which a revoked or copied key adds nothing to
	case len(consent) > 0 && mute != "":
		return body, 0, lamppost.Refuse(lamppost.CodeForbidden, "%s and cannot choose its next one: ask the operator for a new token (lamppost device token %s)", mute, id)
	case len(consent) > 0:
		body = now
		body.KeyEpoch, body.Consent, body.Salt = now.KeyEpoch+1, consent, newSalt()
		return body, 0, nil
	}
	return body, 0, lamppost.Refuse(lamppost.CodeExists,
		"device %q has enrolled another key with this token: ask the operator for a new token (lamppost device token %s)", id, id)
}

// mute says why a device's key has no say in what follows it; empty: it has.
func (d *Devices) mute(view ledger.View, b *lamppost.DeviceBody) (string, error) {
	revoked, err := view.Revoked(b.ID)
	if err != nil {
		return "", err
	}
	quarantined, err := view.Quarantine(b.ID)
	switch {
	case err != nil:
		return "", err
	case b.Assurance != lamppost.DeviceSigned:
		return fmt.Sprintf("device %q has no key of its own on the ledger", b.ID), nil
	case len(revoked) > 0 && revoked[len(revoked)-1].KeyEpoch >= b.KeyEpoch:
		return fmt.Sprintf("the key of device %q was revoked", b.ID), nil
	case quarantined != "":
		return fmt.Sprintf("device %q is in quarantine", b.ID), nil
	}
	return "", nil
}

// pending lists what was announced and is not on the ledger yet, by id.
func (d *Devices) pending(enrolled func(lamppost.DeviceID) bool) []PendingDevice {
	list := []PendingDevice{}
	d.mu.RLock()
	for id, t := range d.tokens {
		if !enrolled(id) {
			list = append(list, PendingDevice{ID: id, Name: t.Name, Site: t.Site, Owner: t.Owner, Safety: t.Safety.String()})
		}
	}
	d.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list
}

func parseSafety(name string) (lamppost.SafetyClass, error) {
	if name == "" {
		return lamppost.Essential, nil
	}
	for c := lamppost.Essential; c <= lamppost.Ordinary; c++ {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, lamppost.Refuse(lamppost.CodeBadTx, "safety class %q: use life, public, essential or ordinary", clip(name))
}
