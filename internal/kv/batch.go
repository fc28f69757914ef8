package kv

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// A Batch collects changes that become durable together. Of several changes to one key the last wins. The zero Batch is
// empty and ready; a batch that is reset and filled again allocates nothing once it has reached its usual size. It
// belongs to one goroutine.
type Batch struct {
	// Every change is encoded one after the other:
	//
	//	| 0 delete, 1 set, 2 delete range | uvarint len(key) | key | uvarint len(val) | val |
	//
	// A delete ends after the key; the value of a range is the key it ends before.
	arena []byte
	ops   int
	err   error
}

// An Op is one change of a batch: Key is set to Val, or deleted, or all keys from Key up to Val are. The slices are valid
// until the batch is changed.
type Op struct {
	Key, Val []byte
	Do       Change
}

// A Change is what an Op does.
type Change byte

// The changes; their numbers are those of the batch's encoding.
const (
	Delete      Change = 0
	Set         Change = 1
	DeleteRange Change = 2
)

// Set makes val the value of key. Both are copied. A change beyond the limits is not recorded; see Err.
func (b *Batch) Set(key, val []byte) {
	if b.fits(key, val) {
		b.key(Set, key)
		b.val(val)
	}
}

// Delete removes key; it need not be there. The key is copied.
func (b *Batch) Delete(key []byte) {
	if b.fits(key, nil) {
		b.key(Delete, key)
	}
}

// DeleteRange removes all keys with from ≤ key < to, which may be none; later changes of the batch put keys there again. Both
// bounds are copied.
func (b *Batch) DeleteRange(from, to []byte) {
	if b.fits(from, to) && b.fits(to, nil) {
		b.key(DeleteRange, from)
		b.val(to)
	}
}

// Err returns why a change could not be recorded, or nil. A batch with an error is refused by Apply as a whole; Reset
// clears it.
func (b *Batch) Err() error { return b.err }

// Reset empties the batch and keeps its memory for the next use.
func (b *Batch) Reset() {
	b.arena, b.ops, b.err = b.arena[:0], 0, nil
}

// Len returns the number of recorded changes, counting a key as often as it was changed.
func (b *Batch) Len() int { return b.ops }

// Bytes returns the size of the batch: keys, values and their lengths.
func (b *Batch) Bytes() int { return len(b.arena) }

// All yields the changes in the order they were made.
func (b *Batch) All() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for rest := b.arena; len(rest) > 0; {
			op := Op{Do: Change(rest[0])}
			op.Key, rest = cutField(rest[1:])
			if op.Do != Delete {
				op.Val, rest = cutField(rest)
			}
			if !yield(op) {
				return
			}
		}
	}
}

func (b *Batch) key(do Change, key []byte) {
	b.arena = append(b.arena, byte(do))
	b.arena = binary.AppendUvarint(b.arena, uint64(len(key)))
	b.arena = append(b.arena, key...)
	b.ops++
}

func (b *Batch) val(val []byte) {
	b.arena = binary.AppendUvarint(b.arena, uint64(len(val)))
	b.arena = append(b.arena, val...)
}

// fits keeps the first reason why a change was left out, so that callers can fill a batch without checking each step.
func (b *Batch) fits(key, val []byte) bool {
	if b.err != nil {
		return false
	}
	const overhead = 1 + 2*binary.MaxVarintLen32
	switch {
	case len(key) == 0 || len(key) > MaxKeyBytes:
		b.err = fmt.Errorf("batch: a key of %d bytes, want 1 to %d", len(key), MaxKeyBytes)
	case len(val) > MaxValueBytes:
		b.err = fmt.Errorf("batch: key %q has a value of %d bytes, more than %d", key, len(val), MaxValueBytes)
	case len(b.arena)+overhead+len(key)+len(val) > MaxBatchBytes:
		b.err = fmt.Errorf("batch: with key %q it is larger than %d bytes", key, MaxBatchBytes)
	}
	return b.err == nil
}

// cutField takes a length and that many bytes off the front. The arena was written by us: it is never malformed.
func cutField(p []byte) (field, rest []byte) {
	n, w := binary.Uvarint(p)
	p = p[w:]
	return p[:n:n], p[n:]
}
