package tilelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/tlog"
)

// A RightEdge is all that is needed of a log to append to it and to publish what is appended: its size, the tiles that are
// not complete, and their entries. Of what is left of them it needs nothing. It does not change.
type RightEdge struct{ tree *frontier }

// ReadRightEdge returns the right edge of all leaves of the log in r, from where the store remembers that it was published
// into files, or from where the log in the store begins.
func ReadRightEdge(r kv.Reader, files Source, begin RightEdge) (RightEdge, error) {
	stored, err := storedEdge(r)
	if err != nil {
		return RightEdge{}, err
	}
	from, err := ownSize(r)
	if err != nil {
		return RightEdge{}, err
	}
	tree := begin.begin()
	if from > tree.size {
		if tree, err = readFrontier(files, from); err != nil {
			return RightEdge{}, fmt.Errorf("reading what is published at size %d: %w", from, err)
		}
	}
	tree.put = func(tlog.Tile, []byte) error { return nil }
	if err := eachLeaf(r, tree.size, stored.size, tree.add); err != nil {
		return RightEdge{}, err
	}
	if e := tree.edge(); e.root() != stored.root() {
		return RightEdge{}, fmt.Errorf("the log's leaves and tiles do not lead to its root at size %d: lamppost fsck says where", stored.size)
	}
	return RightEdge{tree}, nil
}

// ownSize returns the size that the store remembers to have published, 0 if it does not.
func ownSize(r kv.Reader) (int64, error) {
	val, err := r.Get([]byte(ownKey))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(val) < 8 {
		err = fmt.Errorf("%d bytes are no size", len(val))
	}
	if err != nil {
		return 0, fmt.Errorf("reading what was published: %w", err)
	}
	return int64(binary.BigEndian.Uint64(val)), nil
}

// Size returns the number of leaves; the zero value has none.
func (e RightEdge) Size() int64 {
	if e.tree == nil {
		return 0
	}
	return e.tree.size
}

// begin is a tree to append to.
func (e RightEdge) begin() *frontier {
	if e.tree == nil {
		return new(frontier)
	}
	return e.tree.clone()
}

// Root returns the root over them.
func (e RightEdge) Root() tlog.Hash {
	edge := e.tree.edge()
	return edge.root()
}

// Append writes the size in 8 bytes big-endian, then the bundle of the last entries, then the hashes of each level, the lowest
// first. The size says how many of each there are.
func (e RightEdge) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.tree.size))
	b = append(b, e.tree.bundle...)
	for _, level := range e.tree.levels {
		for i := range level {
			b = append(b, level[i][:]...)
		}
	}
	return b
}

var errRightEdge = errors.New("the right edge of a log is cut short, or longer than its size says")

// ParseRightEdge reads what Append writes.
func ParseRightEdge(raw []byte) (RightEdge, error) {
	if len(raw) < 8 {
		return RightEdge{}, errRightEdge
	}
	tree := &frontier{size: int64(binary.BigEndian.Uint64(raw))}
	if tree.size < 0 || tree.size > MaxSize {
		return RightEdge{}, errRightEdge
	}
	rest := raw[8:]
	for range tree.size % tileWidth {
		leaf, err := entry(rest, 0)
		if err != nil {
			return RightEdge{}, errRightEdge
		}
		rest = rest[2+len(leaf):]
	}
	tree.bundle = bytes.Clone(raw[8 : len(raw)-len(rest)])
	for l := range tree.levels {
		for range tree.size >> (tileHeight * l) % tileWidth {
			if len(rest) < tlog.HashSize {
				return RightEdge{}, errRightEdge
			}
			tree.levels[l] = append(tree.levels[l], tlog.Hash(rest[:tlog.HashSize]))
			rest = rest[tlog.HashSize:]
		}
	}
	if len(rest) > 0 {
		return RightEdge{}, errRightEdge
	}
	return RightEdge{tree}, tree.checkEntries()
}

// checkEntries compares the last entries with their hashes.
func (f *frontier) checkEntries() error {
	rest := f.bundle
	for i, want := range f.levels[0] {
		leaf, err := entry(rest, 0)
		if err != nil {
			return err
		}
		if tlog.RecordHash(leaf) != want {
			return fmt.Errorf("entry %d of the right edge is not what its tile has", i)
		}
		rest = rest[2+len(leaf):]
	}
	return nil
}

// Begin stages the log of an empty store: as if all leaves up to the right edge had been appended, and those in complete
// tiles published.
func (e RightEdge) Begin(b *kv.Batch) {
	rest := e.tree.bundle
	for i := e.tree.size &^ (tileWidth - 1); i < e.tree.size; i++ {
		leaf, _ := entry(rest, 0) // they were checked
		key := leafKey(i)
		b.Set(key[:], leaf)
		rest = rest[2+len(leaf):]
	}
	edge := e.tree.edge()
	b.Set([]byte(edgeKey), edge.append(nil))
}

// Adopt publishes a log that was begun from a right edge, in a Storage where nothing is published: the tiles from there on,
// and a signed checkpoint of leaves in r, whose signature the caller has checked.
func (e RightEdge) Adopt(s Storage, r kv.Reader, signed []byte, c lamppost.Checkpoint) error {
	if _, err := s.Get(CheckpointPath); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("a log is published there already (%v)", err)
	}
	tree := e.tree.clone()
	p := Publisher{Storage: s}
	if err := p.write(r, tree, c.Size, 0); err != nil {
		return err
	}
	if edge := tree.edge(); edge.root() != tlog.Hash(c.Root) {
		return fmt.Errorf("the blocks lead to root %v at size %d, the checkpoint says %v", edge.root(), c.Size, tlog.Hash(c.Root))
	}
	return s.PutCheckpoint(CheckpointPath, nil, signed)
}

func (f *frontier) clone() *frontier {
	c := &frontier{size: f.size, bundle: bytes.Clone(f.bundle)}
	for l := range f.levels {
		c.levels[l] = append(c.levels[l], f.levels[l]...)
	}
	return c
}

// Continue publishes what the log in r has after what is published in a Storage, up to a checkpoint that the member signed
// elsewhere, whose signature the caller has checked.
func Continue(s Storage, r kv.Reader, signed []byte, c lamppost.Checkpoint) error {
	old, tree, err := lastPublished(s)
	if err != nil {
		return err
	}
	if c.Size <= tree.size {
		return nil // it is published
	}
	p := Publisher{Storage: s}
	if err := p.write(r, tree, c.Size, tree.size); err != nil {
		return err
	}
	if edge := tree.edge(); edge.root() != tlog.Hash(c.Root) {
		return fmt.Errorf("the blocks lead to root %v at size %d, the checkpoint says %v", edge.root(), c.Size, tlog.Hash(c.Root))
	}
	return s.PutCheckpoint(CheckpointPath, old, signed)
}

// lastPublished reads what a Storage says is published, whoever signed it, and the right edge that leads to it.
func lastPublished(s Source) (note []byte, tree *frontier, err error) {
	note, err = s.Get(CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, new(frontier), nil
	}
	if err != nil {
		return nil, nil, err
	}
	text, _, _ := bytes.Cut(note, []byte("\n\n"))
	c, err := lamppost.ParseCheckpoint(string(text) + "\n")
	if err != nil {
		return nil, nil, err
	}
	if tree, err = readFrontier(s, c.Size); err != nil {
		return nil, nil, err
	}
	if e := tree.edge(); e.root() != tlog.Hash(c.Root) {
		return nil, nil, fmt.Errorf("the published tiles do not lead to the checkpoint of size %d", c.Size)
	}
	return note, tree, nil
}

// Continues says whether the log in r, with what is published of it, begins with the tree of a checkpoint.
func Continues(r kv.Reader, files Source, c lamppost.Checkpoint) (bool, error) {
	_, tree, err := lastPublished(files)
	if err != nil {
		return false, err
	}
	e := tree.edge()
	if c.Size < tree.size {
		root, err := NewTree(files, e.size, e.root()).RootAt(c.Size)
		return root == tlog.Hash(c.Root), err
	}
	err = eachLeaf(r, e.size, c.Size, func(leaf []byte) error {
		e.add(tlog.RecordHash(leaf))
		return nil
	})
	return e.root() == tlog.Hash(c.Root), err
}
