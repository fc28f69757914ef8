// Package tilelog is an append-only Merkle log in the shape of RFC 6962, kept in the same kv store as everything else, so
// that a block and its leaves become durable in one write; and its publication as static files that anyone can check
// without asking us: C2SP tlog-tiles and one signed checkpoint.
//
// It promises that what is published is never ahead of what is durable, that a checkpoint is never ahead of its tiles,
// and that no checkpoint is signed that contradicts the one published before. It does not know what a leaf means, does
// not order anything, and does not collect the signatures of other members or witnesses; it publishes them. The hash arithmetic is that of
// golang.org/x/mod/sumdb/tlog, which is also what checks it in the tests.
//
// Start reading at [Log] (appending), then [Publisher] (files), [ProveRecord] and [Nodes] (proofs). Checkpoints as such
// are lamppost.Checkpoint, because auditors read them. Limits are in limits.go.
package tilelog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/tlog"
)

// Keys of the log in the store. Everything it keeps begins with keyPrefix, which no other user of the store may take.
//
//	t l <index, 8 bytes big-endian>          the leaf as it was appended
//	t h <stored hash index, 8 bytes b.-e.>   a hash of the tree, numbered as by tlog.StoredHashIndex
//	t m/size                                 format version (1), size of the log in 8 bytes big-endian
const (
	keyPrefix = 't'
	leafKind  = 'l'
	hashKind  = 'h'
	sizeKey   = "tm/size"

	formatVersion = 1
)

// A Log appends leaves. It belongs to one goroutine: that of the replica. Between blocks it is what the store holds;
// while a block is being built it is ahead of the store by the leaves staged in that block's batch, and Size and Root
// already count them. Either Committed or Discard ends the block.
type Log struct {
	durable edge // as in the store
	staged  edge // with the leaves of the block that is being built
}

// Open reads the size and the right edge of the log in r. An empty store holds an empty log.
func Open(r kv.Reader) (*Log, error) {
	size, err := storedSize(r)
	if err != nil {
		return nil, err
	}
	l := new(Log)
	if l.durable, err = readEdge(r, size); err != nil {
		return nil, fmt.Errorf("opening log of size %d: %w", size, err)
	}
	l.staged.copyFrom(&l.durable)
	return l, nil
}

// Append stages leaves at the end of the log: the leaves, the hashes that they complete and the new size go into b. A leaf
// may be empty and has at most MaxLeafBytes; if one is too long, nothing is staged.
func (l *Log) Append(b *kv.Batch, leaves ...[]byte) error {
	for i, leaf := range leaves {
		if len(leaf) > MaxLeafBytes {
			return fmt.Errorf("appending leaf %d: %d bytes, more than %d", l.staged.size+int64(i), len(leaf), MaxLeafBytes)
		}
	}
	if l.staged.size+int64(len(leaves)) > MaxSize {
		return fmt.Errorf("appending %d leaves: the log would have more than %d", len(leaves), int64(MaxSize))
	}
	for _, leaf := range leaves {
		key := logKey(leafKind, l.staged.size)
		b.Set(key[:], leaf)
		l.staged.add(b, tlog.RecordHash(leaf))
	}
	var val [9]byte
	val[0] = formatVersion
	binary.BigEndian.PutUint64(val[1:], uint64(l.staged.size))
	b.Set([]byte(sizeKey), val[:])
	return nil
}

// Committed says that the batch with all staged leaves is durable.
func (l *Log) Committed() { l.durable.copyFrom(&l.staged) }

// Discard forgets the staged leaves; their batch must not be applied.
func (l *Log) Discard() { l.staged.copyFrom(&l.durable) }

// Size returns the number of leaves, staged ones included.
func (l *Log) Size() int64 { return l.staged.size }

// Root returns the root over all leaves, staged ones included; of none it is the hash of nothing.
func (l *Log) Root() tlog.Hash { return l.staged.root() }

// An edge is what is needed of a tree to append to it: the roots of the complete subtrees it consists of, the largest
// first. There is one for every bit set in the size; for size 6:
//
//	      4 leaves        2 leaves
//	         ┌─┴─┐           │
//	        ┌┴┐ ┌┴┐         ┌┴┐
//	leaves  0 1 2 3         4 5      hashes = [root of 0…3, root of 4…5]
type edge struct {
	size   int64
	hashes []tlog.Hash
}

// add appends a leaf and stages the hashes it completes: its own, and one for every subtree that it fills. They are the
// next in tlog's numbering, because that numbers hashes in the order in which they can be known.
func (e *edge) add(b *kv.Batch, h tlog.Hash) {
	index := tlog.StoredHashCount(e.size)
	stageHash(b, index, h)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.hashes) - 1
		h = tlog.NodeHash(e.hashes[last], h)
		e.hashes = e.hashes[:last]
		index++
		stageHash(b, index, h)
	}
	e.hashes = append(e.hashes, h)
	e.size++
}

func (e *edge) root() tlog.Hash {
	last := len(e.hashes) - 1
	if last < 0 {
		return sha256.Sum256(nil)
	}
	root := e.hashes[last]
	for i := last - 1; i >= 0; i-- {
		root = tlog.NodeHash(e.hashes[i], root)
	}
	return root
}

func (e *edge) copyFrom(other *edge) {
	e.size = other.size
	e.hashes = append(e.hashes[:0], other.hashes...)
}

func readEdge(r kv.Reader, size int64) (edge, error) {
	e := edge{size: size}
	var start int64 // first leaf of the subtree
	for level := 62; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		h, err := readHash(r, tlog.StoredHashIndex(level, start>>level))
		if err != nil {
			return edge{}, err
		}
		e.hashes = append(e.hashes, h)
		start += 1 << level
	}
	return e, nil
}

func stageHash(b *kv.Batch, index int64, h tlog.Hash) {
	key := logKey(hashKind, index)
	b.Set(key[:], h[:])
}

func readHash(r kv.Reader, index int64) (tlog.Hash, error) {
	var h tlog.Hash
	key := logKey(hashKind, index)
	val, err := r.Get(key[:])
	if err != nil {
		return h, fmt.Errorf("reading hash %d of the log: %w", index, err)
	}
	if len(val) != len(h) {
		return h, fmt.Errorf("reading hash %d of the log: %d bytes", index, len(val))
	}
	copy(h[:], val)
	return h, nil
}

// storedSize returns the size that the store holds; 0 if it holds no log.
func storedSize(r kv.Reader) (int64, error) {
	val, err := r.Get([]byte(sizeKey))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading size of the log: %w", err)
	}
	if len(val) != 9 || val[0] != formatVersion {
		return 0, fmt.Errorf("reading size of the log: %x is not of format %d", val, formatVersion)
	}
	size := binary.BigEndian.Uint64(val[1:])
	if size > MaxSize {
		return 0, fmt.Errorf("reading size of the log: %d is more than %d", size, int64(MaxSize))
	}
	return int64(size), nil
}

func logKey(kind byte, index int64) (key [10]byte) {
	key[0], key[1] = keyPrefix, kind
	binary.BigEndian.PutUint64(key[2:], uint64(index))
	return key
}
