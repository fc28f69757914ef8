// Package kv is an ordered key/value store with atomic durable batches: everything a node must remember – bodies,
// ledger state, log, height – lives in one such store, so that a block is one durable write and a crash leaves either
// the whole block or none of it.
//
// It promises order (keys compare as bytes), atomicity, durability when [Store.Apply] returns, and consistent
// snapshots. It does not promise transactions with reads inside, time to live, or more than one process per store.
//
// Start reading at [Store]. [Mem] is a store in memory, for tests and for the simulator, where it plays the disk that
// survives a crash; [Faulty] makes any store fail on demand; kv/pebble is the one on disk; kv/kvtest is the contract
// they all pass. Limits are in limits.go.
package kv

import "errors"

// ErrNotFound is what Get returns for a key that is not there. Test with errors.Is.
var ErrNotFound = errors.New("key not found")

// ErrStop ends a Scan early: returned by the scanning function, it makes Scan return nil.
var ErrStop = errors.New("stop scanning")

// A Reader reads one consistent state. It may be used by many goroutines at once.
type Reader interface {
	// Get returns the value of key, or ErrNotFound. The caller may keep and change the slice. A key that was set to
	// nothing has an empty value and no error.
	Get(key []byte) ([]byte, error)

	// Scan calls fn for every key with from ≤ key < to, in ascending order of bytes. A nil to means "to the end". The
	// slices are valid only during the call and must not be changed. An error of fn ends the scan and is returned as it
	// is, except ErrStop, which ends the scan without an error. One Scan sees one state, even while batches are applied.
	Scan(from, to []byte, fn func(key, val []byte) error) error
}

// A Snapshot reads the state at the moment it was taken, whatever is applied later. It must be closed, once, before its
// store is; keeping it open keeps replaced values on disk.
type Snapshot interface {
	Reader
	Close() error
}

// A Store is a Reader of the latest state that also takes batches. Reads may run beside Apply; two calls of Apply may
// not overlap. Nothing may be called after Close.
type Store interface {
	Reader

	// Apply writes a whole batch or none of it. When it returns nil, the batch is durable: no crash or power cut undoes
	// it. The batch is not kept and may be reset and filled again. A batch whose Err is not nil is refused and changes
	// nothing. After any other error it is unknown whether the batch was written: the store takes no further batch, and
	// only opening it again tells.
	Apply(b *Batch) error

	// Snapshot returns a reader of the state as of now.
	Snapshot() (Snapshot, error)

	// Close releases the store. Everything applied stays.
	Close() error
}
