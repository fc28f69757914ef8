package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// identity is what a gateway is, since its registration.
type identity struct {
	Network  string            `cbor:"1,keyasint"`
	ID       lamppost.MemberID `cbor:"2,keyasint"`
	Token    string            `cbor:"3,keyasint"`
	Key      []byte            `cbor:"4,keyasint"`           // public, as it was registered
	Epoch    uint32            `cbor:"5,keyasint"`           // of segment numbers: one more at every start
	KeyEpoch uint32            `cbor:"6,keyasint,omitempty"` // of the key
}

var identityKey = []byte{'I'}

// Files of the data folder: the key in use and, while it is changed, the next one; the seed in hexadecimal.
const (
	keyFile  = "gateway.key"
	nextFile = "gateway.key.next"
)

// A keyring is who the gateway is and what it signs with. The next key is durable before it is announced. The change
// takes effect when the store names the next key; a crash after that leaves a file to be renamed at the start.
type keyring struct {
	dir   string
	write func(*kv.Batch) error // durable when it returns

	changing sync.Mutex // held while the key is changed; before mu
	mu       sync.Mutex
	id       identity
	key      *sig.PrivateKey
	next     *sig.PrivateKey // perhaps announced; nil: no change is under way
}

func openKeyring(dir string, store kv.Store) (*keyring, error) {
	k := &keyring{dir: dir, write: store.Apply}
	raw, err := store.Get(identityKey)
	if err == nil {
		err = lamppost.Unmarshal(raw, &k.id)
	} else if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading who this gateway is: %w", err)
	}
	if k.next, err = loadKey(filepath.Join(dir, nextFile)); err != nil {
		return nil, err
	}
	if k.next != nil && string(k.next.Public().Bytes()) == string(k.id.Key) { // it is in use already
		k.key, k.next = k.next, nil
		return k, rename(filepath.Join(dir, nextFile), filepath.Join(dir, keyFile))
	}
	if k.key, err = loadKey(filepath.Join(dir, keyFile)); k.key == nil && err == nil {
		k.key, err = drawKey(filepath.Join(dir, keyFile))
	}
	return k, err
}

// loadKey reads a key, nil where there is none.
func loadKey(path string) (*sig.PrivateKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(seed) != sig.SeedSize {
		return nil, fmt.Errorf("%q does not hold %d bytes in hexadecimal", path, sig.SeedSize)
	}
	return sig.NewPrivateKey(sig.EdDSA, seed)
}

// drawKey makes a key that is durable before it is used.
func drawKey(path string) (*sig.PrivateKey, error) {
	seed := make([]byte, sig.SeedSize)
	rand.Read(seed) // never fails
	if err := folder.WriteDurably(path, hex.EncodeToString(seed)+"\n", 0o600); err != nil {
		return nil, err
	}
	return sig.NewPrivateKey(sig.EdDSA, seed)
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// begin takes over what the operator says at a start, which must be the same gateway as before.
func (k *keyring) begin(cfg *Config) error {
	if id := cfg.ID; id != "" && k.id.ID != "" && id != string(k.id.ID) {
		return fmt.Errorf("%q holds gateway %q, not %q: choose another folder or leave the id out", cfg.Data, k.id.ID, id)
	}
	if cfg.ID != "" {
		k.id.ID = lamppost.MemberID(cfg.ID)
	}
	if cfg.Token != "" {
		k.id.Token = cfg.Token
	}
	if k.id.ID == "" || k.id.Token == "" {
		return errors.New("the first start needs the id and the token that lamppost gateway add printed: --id ID and LAMPPOST_GATEWAY_TOKEN")
	}
	return nil
}

// register tells the upstream this gateway's key, if that was not done before, and begins a new epoch of numbers.
func (k *keyring) register(ctx context.Context, up *upstream) (err error) {
	public := k.key.Public().Bytes()
	if string(k.id.Key) != string(public) {
		if k.id.Network, k.id.KeyEpoch, err = up.register(ctx, public, nil); err != nil {
			return err
		}
		k.id.Key = public
	}
	k.id.Epoch++
	return k.save(k.id)
}

func (k *keyring) save(id identity) error {
	var b kv.Batch
	b.Set(identityKey, lamppost.Marshal(id))
	if err := k.write(&b); err != nil {
		return fmt.Errorf("keeping who this gateway is: %w", err)
	}
	return nil
}

// who returns a copy.
func (k *keyring) who() identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id
}

// signs returns the key in use.
func (k *keyring) signs() *sig.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

// state says which key is in use and whether another one was announced and not confirmed.
func (k *keyring) state() (epoch uint32, rotating bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id.KeyEpoch, k.next != nil
}

// token returns what the upstream knows this gateway by.
func (k *keyring) token() string { return k.who().Token }

// setToken keeps a new one.
func (k *keyring) setToken(token string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := k.id
	id.Token = token
	if err := k.save(id); err != nil {
		return err
	}
	k.id = id
	return nil
}

// rotate goes on with a change of keys, and unless one is under way begins one if it shall. An error that is no judgement
// of the upstream leaves it under way, always with the same key.
func (k *keyring) rotate(ctx context.Context, up *upstream, begin bool) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	k.mu.Lock()
	id, key, next := k.id, k.key, k.next
	k.mu.Unlock()
	if next == nil && !begin {
		return nil
	}
	if next == nil {
		var err error
		if next, err = drawKey(filepath.Join(k.dir, nextFile)); err != nil {
			return fmt.Errorf("making the next key: %w", err)
		}
		k.setNext(next)
	}
	change := lamppost.KeyChange{ID: string(id.ID), Epoch: id.KeyEpoch, Next: id.KeyEpoch + 1, Suite: sig.EdDSA, Key: next.Public().Bytes()}
	consent, err := change.Sign(id.Network, lamppost.PurposeGatewayKey, key)
	if err != nil {
		return err
	}
	_, epoch, err := up.register(ctx, change.Key, consent)
	var refusal *answerError
	if errors.As(err, &refusal) && refusal.ofKey() {
		k.setNext(nil)
		return errors.Join(err, os.Remove(filepath.Join(k.dir, nextFile)))
	}
	if err != nil {
		return err
	}
	return k.confirm(next, epoch)
}

func (k *keyring) setNext(next *sig.PrivateKey) {
	k.mu.Lock()
	k.next = next
	k.mu.Unlock()
}

// confirm makes the next key the one in use, first on disk.
func (k *keyring) confirm(next *sig.PrivateKey, epoch uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := k.id
	id.Key, id.KeyEpoch = next.Public().Bytes(), epoch
	if err := k.save(id); err != nil {
		return err
	}
	k.id, k.key, k.next = id, next, nil
	return rename(filepath.Join(k.dir, nextFile), filepath.Join(k.dir, keyFile))
}

// fresh returns a held segment as the key in use signs it: what a key before signed counts only for a while, and not at all
// if that was revoked. Number, reports and salts stay, so that receipts and resends mean the same.
func (k *keyring) fresh(raw []byte) ([]byte, error) {
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return nil, fmt.Errorf("reading a held segment: %w", err)
	}
	k.mu.Lock()
	id, key := k.id, k.key
	k.mu.Unlock()
	if tx.Signed.Verify(id.Network, lamppost.PurposeSegment, key.Public()) {
		return raw, nil
	}
	again, err := lamppost.NewSegment(id.Network, tx.Header.Seq, int(tx.Header.Readings), tx.Items, id.ID, key, tx.Seed)
	if err != nil {
		return nil, fmt.Errorf("signing a held segment again: %w", err)
	}
	return again.Append(nil), nil
}
