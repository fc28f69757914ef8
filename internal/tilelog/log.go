// Package tilelog is an append-only Merkle log in the shape of RFC 6962. It has two places: what was appended last stands
// in the kv store with everything else, so that a block and its leaves become durable in one write; what is published
// stands in static files that anyone can check without asking us, C2SP tlog-tiles under a signed checkpoint. A leaf is in
// the store until it is in a complete published tile, and after that only there.
//
// It promises that what is published is never ahead of what is durable, that a checkpoint is never ahead of its tiles,
// that no checkpoint is signed that contradicts the one published before, and that what is read from tiles leads to the
// root that was asked for. It does not know what a leaf means, does not order anything, and does not collect the
// signatures of other members or witnesses, though it publishes what others did. The hash arithmetic is that of
// golang.org/x/mod/sumdb/tlog, which is also what checks it in the tests.
//
// Start reading at [Log] (appending), then [Publisher] (files) and [Tree] (reading and proving what is published).
// Checkpoints as such are lamppost.Checkpoint, because auditors read them. Limits are in limits.go.
package tilelog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/tlog"
)

// Keys of the log in the store. Everything it keeps begins with keyPrefix, which no other user of the store may take.
//
//	t l <index, 8 bytes big-endian>   a leaf that is in no complete published tile, as it was appended
//	t e                               format version (2), size of the log in 8 bytes big-endian, the hashes of its edge
//	t p                               size in 8 bytes big-endian and root of a checkpoint that was published from this store
const (
	keyPrefix = 't'
	leafKind  = 'l'
	edgeKey   = "te"
	ownKey    = "tp"

	formatVersion = 2
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
	l := new(Log)
	var err error
	if l.durable, err = storedEdge(r); err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	l.staged.copyFrom(&l.durable)
	return l, nil
}

// Append stages leaves at the end of the log: the leaves and the new edge go into b. A leaf may be empty and has at most
// MaxLeafBytes; if one is too long, nothing is staged.
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
		key := leafKey(l.staged.size)
		b.Set(key[:], leaf)
		l.staged.add(recordHash(leaf))
	}
	b.Set([]byte(edgeKey), l.staged.append(nil))
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

// Leaf returns a leaf that is still in the store, or an error that wraps kv.ErrNotFound.
func Leaf(r kv.Reader, index int64) ([]byte, error) {
	key := leafKey(index)
	leaf, err := r.Get(key[:])
	if err != nil {
		return nil, fmt.Errorf("reading leaf %d of the log: %w", index, err)
	}
	return leaf, nil
}

// Trim stages what may follow when a checkpoint of this log is published: leaves in complete tiles need not be in the store
// any more, and the store remembers that this checkpoint is of its own log.
func Trim(b *kv.Batch, c lamppost.Checkpoint) {
	from, to := leafKey(0), leafKey(c.Size&^(tileWidth-1))
	b.DeleteRange(from[:], to[:])
	b.Set([]byte(ownKey), append(binary.BigEndian.AppendUint64(nil, uint64(c.Size)), c.Root[:]...))
}

// Clear stages a store without a log.
func Clear(b *kv.Batch) { b.DeleteRange([]byte{keyPrefix}, []byte{keyPrefix + 1}) }

// own says whether the published tree is known to be the beginning of the log in r.
func own(r kv.Reader, published *edge) (bool, error) {
	val, err := r.Get([]byte(ownKey))
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading what was published: %w", err)
	}
	root := published.root()
	return string(val) == string(append(binary.BigEndian.AppendUint64(nil, uint64(published.size)), root[:]...)), nil
}

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

// add appends a leaf's hash: it is joined with every subtree that it makes complete.
func (e *edge) add(h tlog.Hash) {
	last := len(e.hashes) - 1
	for n := e.size; n&1 == 1; n >>= 1 {
		h = tlog.NodeHash(e.hashes[last], h)
		last--
	}
	e.hashes = append(e.hashes[:last+1], h)
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

func (e *edge) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, formatVersion), uint64(e.size))
	for i := range e.hashes {
		b = append(b, e.hashes[i][:]...)
	}
	return b
}

// storedEdge reads the edge in r; a store without one holds an empty log.
func storedEdge(r kv.Reader) (e edge, err error) {
	val, err := r.Get([]byte(edgeKey))
	if errors.Is(err, kv.ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("reading the edge of the log: %w", err)
	}
	if len(val) < 9 || val[0] != formatVersion {
		return e, fmt.Errorf("reading the edge of the log: %x is not of format %d", val[:min(len(val), 9)], formatVersion)
	}
	e.size = int64(binary.BigEndian.Uint64(val[1:]))
	val = val[9:]
	if e.size < 0 || e.size > MaxSize || len(val) != tlog.HashSize*bits.OnesCount64(uint64(e.size)) {
		return e, fmt.Errorf("reading the edge of the log: %d bytes of hashes do not fit size %d", len(val), e.size)
	}
	for ; len(val) > 0; val = val[tlog.HashSize:] {
		e.hashes = append(e.hashes, tlog.Hash(val[:tlog.HashSize]))
	}
	return e, nil
}

func leafKey(index int64) (key [10]byte) {
	key[0], key[1] = keyPrefix, leafKind
	binary.BigEndian.PutUint64(key[2:], uint64(index))
	return key
}

// LeafIndex says whether a key of the store is that of a leaf, and of which.
func LeafIndex(key []byte) (index int64, ok bool) {
	if len(key) != len(leafKey(0)) || key[0] != keyPrefix || key[1] != leafKind {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(key[2:])), true
}
