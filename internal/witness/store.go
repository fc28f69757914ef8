package witness

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What a witness keeps, each value as deterministic CBOR. <log> is the SHA-256 of the log's origin.
//
//	i                        who it is: name and key
//	l <log>                  a log it follows or followed
//	s <log>                  the checkpoint it cosigned last
//	f <log> <number, 4 b.>   a proven fork; n <log> <number> one that is not proven
//
// Key and state lie in one store on purpose: a key without its state would cosign another history.
const (
	identityKey   = "i"
	logKind       = 'l'
	stateKind     = 's'
	forkKind      = 'f'
	unprovenKind  = 'n'
	recordVersion = 1
)

var errForeign = errors.New("this folder is not a witness's: it holds something else")

type identity struct {
	Version uint8  `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Seed    []byte `cbor:"3,keyasint"`
}

// A record is what is kept of a log besides its state.
type record struct {
	Version uint8  `cbor:"1,keyasint"`
	Log     Log    `cbor:"2,keyasint"`
	Removed bool   `cbor:"3,keyasint"` // it is not followed any more; its state stays, or it could begin another history
	Dropped uint32 `cbor:"4,keyasint"` // forks, proven or not, that there was no room for
	Next    uint32 `cbor:"5,keyasint"` // number of the next fork
}

// A state is the largest tree that was cosigned. The zero state stands for the empty tree of a log never seen.
type state struct {
	Version uint8           `cbor:"1,keyasint"`
	Note    string          `cbor:"2,keyasint"` // with the log's signatures that were verified and ours
	At      lamppost.TimeMS `cbor:"3,keyasint"` // when it was cosigned

	head
}

// OriginHash names a log in keys and in the addresses of C2SP tlog-witness: SHA-256 of its origin.
func OriginHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

func key(kind byte, origin string) []byte {
	sum := sha256.Sum256([]byte(origin))
	return append([]byte{kind}, sum[:]...)
}

func forkKey(kind byte, origin string, number uint32) []byte {
	return binary.BigEndian.AppendUint32(key(kind, origin), number)
}

// after is the end of all keys that begin with a prefix, which does not end in 0xff.
func after(prefix ...byte) []byte {
	prefix[len(prefix)-1]++
	return prefix
}

// loadIdentity reads who this witness is, or draws its key at the first start.
func loadIdentity(store kv.Store, name string) (*lamppost.Cosigner, error) {
	var id identity
	raw, err := store.Get([]byte(identityKey))
	if errors.Is(err, kv.ErrNotFound) {
		return newIdentity(store, name)
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &id)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the witness's key: %w", err)
	}
	if id.Version != recordVersion {
		return nil, fmt.Errorf("reading the witness's key: it has version %d, this program reads %d", id.Version, recordVersion)
	}
	if name != "" && name != id.Name {
		return nil, fmt.Errorf("this folder holds witness %q, not %q: another name needs another key, so another folder", id.Name, name)
	}
	return lamppost.NewCosigner(id.Name, id.Seed)
}

// newIdentity refuses a store that holds something else: it is a node's.
func newIdentity(store kv.Store, name string) (*lamppost.Cosigner, error) {
	err := store.Scan([]byte{0}, nil, func(_, _ []byte) error { return errForeign })
	if err != nil {
		return nil, err
	}
	seed := make([]byte, 32)
	rand.Read(seed) // never fails
	if name == "" {
		sum := sha256.Sum256(seed)
		name = "witness-" + hex.EncodeToString(sum[:4])
	}
	c, err := lamppost.NewCosigner(name, seed)
	if err != nil {
		return nil, err
	}
	var b kv.Batch
	b.Set([]byte(identityKey), lamppost.Marshal(identity{recordVersion, name, seed}))
	return c, store.Apply(&b)
}

// load reads all logs with their states and forks.
func (w *Witness) load() error {
	return w.cfg.Store.Scan([]byte{logKind}, after(logKind), func(_, val []byte) error {
		var rec record
		if err := lamppost.Unmarshal(val, &rec); err != nil {
			return fmt.Errorf("reading a log: %w", err)
		}
		f := newFollowed(rec.Log.Origin)
		f.record = rec
		w.put(f)
		if err := errors.Join(f.setKeys(), f.load(w.cfg.Store)); err != nil {
			return fmt.Errorf("reading log %q: %w", f.origin, err)
		}
		return nil
	})
}

func (f *followed) load(r kv.Reader) error {
	if f.record.Version != recordVersion {
		return fmt.Errorf("it has version %d, this program reads %d", f.record.Version, recordVersion)
	}
	raw, err := r.Get(key(stateKind, f.origin))
	if errors.Is(err, kv.ErrNotFound) {
		return nil // never cosigned, so no forks either
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &f.state)
	}
	if err == nil {
		f.state.head, err = textHead(f.state.Note)
	}
	if err != nil {
		return err
	}
	if f.state.origin != f.origin || f.state.Version != recordVersion {
		return fmt.Errorf("what was cosigned is of %q, version %d", f.state.origin, f.state.Version)
	}
	return errors.Join(f.loadForks(r, forkKind), f.loadForks(r, unprovenKind))
}

func (f *followed) loadForks(r kv.Reader, kind byte) error {
	from, to := forkKey(kind, f.origin, 0), forkKey(kind, f.origin, math.MaxUint32)
	return r.Scan(from, to, func(k, val []byte) error {
		kept := &keptFork{number: binary.BigEndian.Uint32(k[len(k)-4:]), proven: kind == forkKind}
		if err := lamppost.Unmarshal(val, &kept.Fork); err != nil {
			return err
		}
		f.forks = append(f.forks, kept)
		return nil
	})
}
