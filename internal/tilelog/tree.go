package tilelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/tlog"
)

// A Source reads the files of a published log: a Storage, or what a web server shows of one. Nothing it returns is taken
// for true before it leads to a root.
type Source interface {
	// Get returns what is at path, or an error that wraps fs.ErrNotExist.
	Get(path string) ([]byte, error)
}

// FS is a Source in a file system.
type FS struct{ fs.FS }

// Get implements Source.
func (f FS) Get(path string) ([]byte, error) { return fs.ReadFile(f.FS, path) }

// A Tree reads and proves what is published, at one size. Every hash and leaf it returns was checked against the root: a
// damaged or forged file is an error and never an answer. It keeps the files it has read; one goroutine uses it, for a
// few proofs.
type Tree struct {
	tiles tileReader
	tree  tlog.Tree
}

// NewTree returns the tree of the first size leaves, whose root is known to be root: by a checkpoint that the caller trusts.
func NewTree(files Source, size int64, root tlog.Hash) *Tree {
	return &Tree{tiles: tileReader{files: files, have: map[string][]byte{}}, tree: tlog.Tree{N: size, Hash: root}}
}

// TreeOf returns the tree that a checkpoint states, which the caller trusts.
func TreeOf(files Source, c lamppost.Checkpoint) *Tree {
	return NewTree(files, c.Size, tlog.Hash(c.Root))
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.tree.N }

// Root returns the root.
func (t *Tree) Root() tlog.Hash { return t.tree.Hash }

// RootAt returns the root of the first size leaves.
func (t *Tree) RootAt(size int64) (root tlog.Hash, err error) {
	if size < 0 || size > t.tree.N {
		return root, fmt.Errorf("no tree of size %d: the log is published up to %d leaves", size, t.tree.N)
	}
	err = t.with(func(r tlog.HashReader) error {
		root, err = tlog.TreeHash(size, r)
		return err
	})
	return root, err
}

// Leaf returns a leaf as it was appended.
func (t *Tree) Leaf(index int64) ([]byte, error) {
	if err := t.checkIndex(index); err != nil {
		return nil, err
	}
	want, err := t.read([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return nil, err
	}
	bundle, err := t.tiles.read(tlog.Tile{H: tileHeight, L: -1, N: index >> tileHeight, W: t.width(index >> tileHeight)})
	if err != nil {
		return nil, err
	}
	leaf, err := entry(bundle, int(index&(tileWidth-1)))
	if err == nil && tlog.RecordHash(leaf) != want[0] {
		err = errors.New("its entry is not what the tree has")
	}
	if err != nil {
		return nil, fmt.Errorf("reading leaf %d of the log: %w", index, err)
	}
	return leaf, nil
}

// Bundle returns all leaves of bundle n, up to 256, as they were appended.
func (t *Tree) Bundle(n int64) ([][]byte, error) {
	if n < 0 || n<<tileHeight >= t.tree.N {
		return nil, fmt.Errorf("bundle %d is not of the first %d leaves of the log: %w", n, t.tree.N, fs.ErrNotExist)
	}
	b := tlog.Tile{H: tileHeight, L: -1, N: n, W: t.width(n)}
	at := make([]int64, b.W)
	for i := range at {
		at[i] = tlog.StoredHashIndex(0, n<<tileHeight+int64(i))
	}
	want, err := t.read(at)
	if err != nil {
		return nil, err
	}
	raw, err := t.tiles.read(b)
	if err != nil {
		return nil, err
	}
	leaves := make([][]byte, b.W)
	for i := range leaves {
		if leaves[i], err = entry(raw, 0); err != nil || tlog.RecordHash(leaves[i]) != want[i] {
			return nil, fmt.Errorf("%s, entry %d: it is not what the tree has", tilePath(b), i)
		}
		raw = raw[2+len(leaves[i]):]
	}
	return leaves, nil
}

// File returns what is published at the path of a tile or bundle, complete or not, as C2SP tlog-tiles names them, or an error
// that wraps fs.ErrNotExist. It follows from the tree and is never what a damaged file says.
func (t *Tree) File(path string) ([]byte, error) {
	tile, err := parsePath(path)
	if err != nil || tile.N<<tileHeight+int64(tile.W) > t.tree.N>>(tileHeight*max(0, tile.L)) {
		return nil, &fs.PathError{Op: "get", Path: path, Err: fs.ErrNotExist}
	}
	if tile.L < 0 {
		leaves, err := t.Bundle(tile.N)
		if err != nil {
			return nil, err
		}
		var raw []byte
		for _, leaf := range leaves[:tile.W] {
			raw = append(binary.BigEndian.AppendUint16(raw, uint16(len(leaf))), leaf...)
		}
		return raw, nil
	}
	at := make([]int64, tile.W)
	for i := range at {
		at[i] = tlog.StoredHashIndex(tileHeight*tile.L, tile.N<<tileHeight+int64(i))
	}
	hashes, err := t.read(at)
	raw := make([]byte, 0, tileWidth*tlog.HashSize)
	for i := range hashes {
		raw = append(raw, hashes[i][:]...)
	}
	return raw, err
}

// Paths yields where the files of a log of a size stand, bundles and tiles, and with each where it stands once it is complete.
func Paths(size int64) iter.Seq2[string, string] {
	return func(yield func(path, full string) bool) {
		for l := 0; size>>(tileHeight*l) > 0; l++ {
			hashes := size >> (tileHeight * l)
			for n := int64(0); n<<tileHeight < hashes; n++ {
				t := tlog.Tile{H: tileHeight, L: l, N: n, W: int(min(tileWidth, hashes-n<<tileHeight))}
				full := t
				full.W = tileWidth
				if !yield(tilePath(t), tilePath(full)) {
					return
				}
				if t.L, full.L = -1, -1; l == 0 && !yield(tilePath(t), tilePath(full)) {
					return
				}
			}
		}
	}
}

// parsePath is the inverse of tilePath.
func parsePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if entries, data := strings.CutPrefix(rest, "entries/"); data {
		rest = "data/" + entries
	}
	tile, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", tileHeight, rest))
	if !ok || err == nil && (tile.L > maxLevels || tilePath(tile) != path) {
		err = fmt.Errorf("%q is no path of a tile", path)
	}
	return tile, err
}

// width is how many entries bundle n has.
func (t *Tree) width(n int64) int { return int(min(tileWidth, t.tree.N-n<<tileHeight)) }

// ProveRecord returns the proof that leaf index is in the tree (RFC 6962 §2.1.1), to be checked by tlog.CheckRecord.
func (t *Tree) ProveRecord(index int64) (p tlog.RecordProof, err error) {
	if err := t.checkIndex(index); err != nil {
		return nil, err
	}
	err = t.with(func(r tlog.HashReader) error {
		p, err = tlog.ProveRecord(t.tree.N, index, r)
		return err
	})
	return p, err
}

// ProveConsistency returns the proof that the tree of the first old leaves is the beginning of this one (RFC 6962
// §2.1.2), to be checked by tlog.CheckTree; 1 ≤ old ≤ size. Nothing needs a proof to be the beginning of everything, so
// there is none for old = 0.
func (t *Tree) ProveConsistency(old int64) (p tlog.TreeProof, err error) {
	if old < 1 || old > t.tree.N {
		return nil, fmt.Errorf("proving that %d leaves are the beginning of %d: not possible", old, t.tree.N)
	}
	err = t.with(func(r tlog.HashReader) error {
		p, err = tlog.ProveTree(t.tree.N, old, r)
		return err
	})
	return p, err
}

// Nodes returns the hashes that together with the leaves at indexes make the root: those of lamppost.Spans, in order. Leaves
// near each other share most of it, so a statement with many lines is proved by little more than one of its lines.
// lamppost.RootOver checks it. There are none where no leaf is to be proved.
func (t *Tree) Nodes(indexes []int64) (nodes []lamppost.Hash, err error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	if len(indexes) > MaxProofLeaves {
		return nil, fmt.Errorf("proving %d leaves: more than %d", len(indexes), MaxProofLeaves)
	}
	at := slices.Compact(slices.Sorted(slices.Values(indexes)))
	for _, index := range at {
		if err := t.checkIndex(index); err != nil {
			return nil, err
		}
	}
	spans := lamppost.Spans(t.tree.N, at)
	err = t.with(func(r tlog.HashReader) error {
		nodes = make([]lamppost.Hash, len(spans))
		for i := range spans {
			root, err := spanRoot(spans[i], r)
			if err != nil {
				return err
			}
			nodes[i] = lamppost.Hash(root)
		}
		return nil
	})
	return nodes, err
}

// spanRoot returns the root of a part of the tree. One of a power of two leaves is stored; at the right edge there are others.
func spanRoot(s lamppost.Span, r tlog.HashReader) (root tlog.Hash, err error) {
	level := bits.Len64(uint64(s.N)) - 1
	k := int64(1) << level
	if s.N == k {
		hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, s.From>>level)})
		if err != nil {
			return root, err
		}
		return hashes[0], nil
	}
	left, err := spanRoot(lamppost.Span{From: s.From, N: k}, r)
	if err != nil {
		return root, err
	}
	right, err := spanRoot(lamppost.Span{From: s.From + k, N: s.N - k}, r)
	return tlog.NodeHash(left, right), err
}

func (t *Tree) checkIndex(index int64) error {
	if index < 0 || index >= t.tree.N {
		return fmt.Errorf("leaf %d is not among the first %d leaves of the log", index, t.tree.N)
	}
	return nil
}

// with runs work twice: first to learn which hashes it asks for, then with these hashes. So all of them are read and
// checked in one go, and each tile once.
func (t *Tree) with(work func(tlog.HashReader) error) error {
	need := map[int64]bool{}
	if err := work(collect(need)); err != nil {
		return err
	}
	var at []int64
	for index := range need {
		at = append(at, index)
	}
	slices.Sort(at)
	hashes, err := t.read(at)
	if err != nil {
		return err
	}
	return work(tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			j, _ := slices.BinarySearch(at, index)
			list[i] = hashes[j]
		}
		return list, nil
	}))
}

// collect answers with nothing and remembers what was asked.
func collect(need map[int64]bool) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		for _, index := range indexes {
			need[index] = true
		}
		return make([]tlog.Hash, len(indexes)), nil
	})
}

// read returns hashes that lead to the root.
func (t *Tree) read(indexes []int64) ([]tlog.Hash, error) {
	if len(indexes) == 0 {
		return nil, nil // x/mod's reader does not know the empty tree
	}
	hashes, err := tlog.TileHashReader(t.tree, &t.tiles).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("reading the published log of size %d: %w", t.tree.N, err)
	}
	return hashes, nil
}

// A tileReader reads tiles by the rules of C2SP tlog-tiles, for x/mod's reader, which checks them.
type tileReader struct {
	files Source
	have  map[string][]byte
}

// Height implements tlog.TileReader.
func (*tileReader) Height() int { return tileHeight }

// SaveTiles implements tlog.TileReader.
func (*tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	list := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, err := r.read(t)
		if err != nil {
			return nil, err
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes, not %d hashes", tilePath(t), len(data), t.W)
		}
		list[i] = data[:t.W*tlog.HashSize]
	}
	return list, nil
}

func (r *tileReader) read(t tlog.Tile) ([]byte, error) {
	path := tilePath(t)
	if data, ok := r.have[path]; ok {
		return data, nil
	}
	data, err := readTile(r.files, t)
	if len(r.have) >= maxTreeFiles {
		clear(r.have) // whoever reads so much reads on elsewhere
	}
	if err == nil {
		r.have[path] = data
	}
	return data, err
}

// readTile reads a tile, or a bundle of entries at level -1. A partial one may have been removed once the complete one was
// there, which begins with it.
func readTile(files Source, t tlog.Tile) ([]byte, error) {
	data, err := files.Get(tilePath(t))
	if errors.Is(err, fs.ErrNotExist) && t.W < tileWidth {
		t.W = tileWidth
		data, err = files.Get(tilePath(t))
	}
	return data, err
}
