package tilelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/tlog"
)

// A Check reads a published log from the first leaf to the last and compares every file with what the leaves give, byte for
// byte. Where a bundle of entries and its tile of hashes differ, the level above says which of them is right.
type Check struct {
	Files Source
	Size  int64         // what the checkpoint says
	Root  lamppost.Hash // likewise
	// Begin is the right edge of the leaves before which nothing is looked at, for a copy that has nothing before. Its zero
	// value is that of no leaves.
	Begin RightEdge

	// Leaf is told every leaf, in order, nil where the bundle does not have it. Then it may return the leaf, if it knows it from
	// elsewhere.
	Leaf func(i int64, leaf []byte) ([]byte, error)
	// Roots is filled with the roots of the first leaves at the sizes that are its keys.
	Roots map[int64]lamppost.Hash
	// Fault is told what does not fit, and what the file must be where that follows from the others; nil: it does not.
	Fault func(path, what string, again []byte)

	tree    *frontier
	pending []mismatch
}

// A mismatch is a file that is not what the leaves give, if these lead to the root.
type mismatch struct {
	path, what string
	want       []byte
}

// maxMismatches bounds what is kept of a log that is damaged all over.
const maxMismatches = 100

// Run does it. An error is the context's, or one of Leaf.
func (c *Check) Run(ctx context.Context) error {
	c.tree = new(frontier)
	if c.Begin.tree != nil {
		c.tree = c.Begin.tree.clone()
	}
	from := c.tree.size
	c.tree.put = c.compare
	for n := from >> tileHeight; n<<tileHeight < c.Size; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.bundle(n); err != nil {
			return err
		}
	}
	if c.Size > from {
		_ = c.tree.flush(0) // compare returns no errors
	}
	edge := c.tree.edge()
	right := c.Size <= from || lamppost.Hash(edge.root()) == c.Root
	for _, m := range c.pending {
		if !right {
			m.want = nil
		}
		c.Fault(m.path, m.what, m.want)
	}
	if !right {
		c.Fault(CheckpointPath, fmt.Sprintf("it says size %d and root %v; the leaves lead to root %v", c.Size, tlog.Hash(c.Root), edge.root()), nil)
	}
	return nil
}

// FromStart says whether the files begin with the first leaf.
func (c *Check) FromStart() bool {
	_, err := readTile(c.Files, tlog.Tile{H: tileHeight, L: -1, W: int(min(tileWidth, c.Size))})
	return err == nil && c.Size > 0
}

// bundle reads bundle n and its tile, decides which of them counts, and adds what it says.
func (c *Check) bundle(n int64) error {
	t := tlog.Tile{H: tileHeight, L: 0, N: n, W: int(min(tileWidth, c.Size-n<<tileHeight))}
	b := t
	b.L = -1
	entries, why := c.entries(b)
	told := c.hashes(t)
	if why == "" {
		own := recordHashes(entries)
		if told == nil || slices.Equal(own, told) || c.counts(t, own) || !c.counts(t, told) {
			return c.add(n, entries, own) // a tile that says something else is found by compare
		}
		at := 0
		for own[at] == told[at] {
			at++
		}
		why = fmt.Sprintf("entry %d, leaf %d of the log, is not what the tree has", at, n<<tileHeight+int64(at))
	}
	return c.mend(b, entries, told, why)
}

// entries reads a bundle; why says what is wrong with it.
func (c *Check) entries(b tlog.Tile) (entries [][]byte, why string) {
	raw, err := readTile(c.Files, b)
	if err != nil {
		return nil, err.Error()
	}
	rest := raw
	for len(entries) < b.W {
		e, err := entry(rest, 0)
		if err != nil {
			return entries, fmt.Sprintf("its %d bytes hold %d entries, not %d", len(raw), len(entries), b.W)
		}
		entries, rest = append(entries, e), rest[2+len(e):]
	}
	if len(rest) > 0 && (b.W == tileWidth || !fullBundle(rest, tileWidth-b.W)) {
		return entries, fmt.Sprintf("%d bytes too many stand after its %d entries", len(rest), b.W)
	}
	return entries, ""
}

// fullBundle says whether a partial bundle was replaced by the complete one, which goes on with so many entries.
func fullBundle(rest []byte, n int) bool {
	for range n {
		e, err := entry(rest, 0)
		if err != nil {
			return false
		}
		rest = rest[2+len(e):]
	}
	return len(rest) == 0
}

// hashes reads a tile, nil if that cannot be.
func (c *Check) hashes(t tlog.Tile) (list []tlog.Hash) {
	raw, err := readTile(c.Files, t)
	if err != nil || len(raw) < t.W*tlog.HashSize {
		return nil
	}
	for i := range t.W {
		list = append(list, tlog.Hash(raw[i*tlog.HashSize:][:tlog.HashSize]))
	}
	return list
}

func recordHashes(entries [][]byte) []tlog.Hash {
	list := make([]tlog.Hash, len(entries))
	for i, e := range entries {
		list[i] = tlog.RecordHash(e)
	}
	return list
}

// counts says whether these are the hashes of a tile: the level above has their root, or, of the last tile, which is not
// complete, they lead to the log's root.
func (c *Check) counts(t tlog.Tile, hashes []tlog.Hash) bool {
	if t.W < tileWidth {
		e := c.tree.edge()
		for i := int(e.size - t.N<<tileHeight); i < len(hashes); i++ {
			e.add(hashes[i])
		}
		return lamppost.Hash(e.root()) == c.Root
	}
	up := tlog.Tile{H: tileHeight, L: t.L + 1, N: t.N >> tileHeight}
	up.W = int(min(tileWidth, c.Size>>(tileHeight*up.L)-up.N<<tileHeight))
	list := c.hashes(up)
	return list != nil && list[t.N%tileWidth] == subtree(hashes)
}

// add adds the leaves of a bundle from where the tree stands, and compares those before with what it began with.
func (c *Check) add(n int64, entries [][]byte, hashes []tlog.Hash) error {
	from := int(c.tree.size - n<<tileHeight)
	if from > 0 && !slices.Equal(hashes[:from], c.tree.levels[0]) {
		c.note(tilePath(tlog.Tile{H: tileHeight, L: -1, N: n, W: len(entries)}), "its first entries are not those that this copy began with", nil)
	}
	for i := from; i < len(entries); i++ {
		if _, err := c.Leaf(c.tree.size, entries[i]); err != nil {
			return err
		}
		c.push(hashes[i])
	}
	return nil
}

func (c *Check) push(h tlog.Hash) {
	c.tree.size++
	_ = c.tree.push(0, h) // compare returns no errors
	if _, ok := c.Roots[c.tree.size]; ok {
		e := c.tree.edge()
		c.Roots[c.tree.size] = lamppost.Hash(e.root())
	}
}

// Rest goes on, after Run, with the leaves of the store that are not published, and compares its edge. A leaf that is missing
// counts as Leaf knows it.
func (c *Check) Rest(r kv.Reader) error {
	stored, err := storedEdge(r)
	if err != nil {
		c.Fault(edgePlace, err.Error(), nil)
		return nil
	}
	c.tree.put = func(tlog.Tile, []byte) error { return nil }
	missing := map[int64][]byte{}
	for i := c.tree.size; i < stored.size; i++ {
		leaf, err := Leaf(r, i)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		known, told := c.Leaf(i, leaf)
		if told != nil {
			return told
		}
		if leaf == nil && err != nil && len(missing) < maxMismatches {
			leaf, missing[i] = known, known
		}
		c.push(tlog.RecordHash(leaf))
	}
	e := c.tree.edge()
	right := e.size == stored.size && slices.Equal(e.hashes, stored.hashes)
	for _, i := range slices.Sorted(maps.Keys(missing)) {
		if !right {
			missing[i] = nil
		}
		c.Fault(StoredLeaf(i), "it is missing", missing[i])
	}
	if !right {
		c.Fault(edgePlace, fmt.Sprintf("it has %d leaves with root %v; the leaves are %d with root %v", stored.size, stored.root(), e.size, e.root()), nil)
	}
	return nil
}

const edgePlace = "store: the log's edge"

// StoredLeaf is what Fault calls a leaf in the store.
func StoredLeaf(i int64) string { return fmt.Sprintf("store: leaf %d", i) }

// StoredSize returns how many leaves the log in r has, and how many of them the store remembers to have published.
func StoredSize(r kv.Reader) (size, own int64, err error) {
	e, err := storedEdge(r)
	if err == nil {
		own, err = ownSize(r)
	}
	return e.size, own, err
}

// Keep stages a leaf that the store should have.
func Keep(b *kv.Batch, i int64, leaf []byte) {
	key := leafKey(i)
	b.Set(key[:], leaf)
}

// mend adds the leaves of a bundle that is damaged: by the hashes of its tile, if it has any, and the entries that fit them.
// What is missing may be known elsewhere; if all of it is, the bundle can be written again.
func (c *Check) mend(b tlog.Tile, entries [][]byte, told []tlog.Hash, why string) error {
	var again []byte
	whole := c.tree.size == b.N<<tileHeight
	for i := int(c.tree.size - b.N<<tileHeight); i < b.W; i++ {
		var leaf []byte
		if i < len(entries) && (told == nil || tlog.RecordHash(entries[i]) == told[i]) {
			leaf = entries[i]
		}
		known, err := c.Leaf(c.tree.size, leaf)
		if err != nil {
			return err
		}
		if leaf == nil && known != nil && (told == nil || tlog.RecordHash(known) == told[i]) {
			leaf = known
		}
		var h tlog.Hash
		if leaf != nil {
			h = tlog.RecordHash(leaf)
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(leaf))), leaf...)
		} else if whole = false; told != nil {
			h = told[i]
		}
		c.push(h)
	}
	if !whole {
		again = nil
	}
	c.note(tilePath(b), why, again)
	return nil
}

// compare is told what each tile of hashes must be.
func (c *Check) compare(t tlog.Tile, want []byte) error {
	if t.L < 0 {
		return nil
	}
	have, err := readTile(c.Files, t)
	switch {
	case err != nil:
		c.note(tilePath(t), err.Error(), want)
	case !bytes.HasPrefix(have, want), len(have) != len(want) && len(have) != tileWidth*tlog.HashSize: // the complete one
		c.note(tilePath(t), fmt.Sprintf("its %d bytes are not the %d that the leaves give", len(have), len(want)), want)
	}
	return nil
}

func (c *Check) note(path, what string, want []byte) {
	if len(c.pending) < maxMismatches {
		c.pending = append(c.pending, mismatch{path, what, want})
	}
}
