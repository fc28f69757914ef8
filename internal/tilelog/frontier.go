package tilelog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The shape of C2SP tlog-tiles: a tile has a row of 2⁸ hashes.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	maxLevels  = 7 // MaxSize is 2⁵⁶
)

// A frontier is the right edge of a tree in tiles: at each level the hashes of the last tile, which is not complete, and at
// level 0 also its entries. A hash at level l stands for 256^l leaves. It turns leaves into tiles and bundles.
type frontier struct {
	size   int64
	bundle []byte // two bytes of length, big-endian, and the leaf, one after the other (C2SP tlog-tiles, "Log entries")
	levels [maxLevels + 1][]tlog.Hash
	put    func(t tlog.Tile, data []byte) error // takes and may keep what is complete, or flushed; level -1 is a bundle
}

// readFrontier reads the right edge of a published tree. Its entries are checked against its hashes; whether these lead to
// a root is for the caller to check.
func readFrontier(files Source, size int64) (*frontier, error) {
	f := &frontier{size: size}
	for l := 0; size>>(tileHeight*l) > 0; l++ {
		t := tlog.Tile{H: tileHeight, L: l, N: size >> (tileHeight * (l + 1)), W: int(size>>(tileHeight*l)) % tileWidth}
		if t.W == 0 {
			continue
		}
		data, err := readTile(files, t)
		if err != nil {
			return nil, err
		}
		if len(data) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes, not %d hashes", tilePath(t), len(data), t.W)
		}
		for i := range t.W {
			f.levels[l] = append(f.levels[l], tlog.Hash(data[i*tlog.HashSize:][:tlog.HashSize]))
		}
	}
	return f, f.readEntries(files)
}

func (f *frontier) readEntries(files Source) error {
	t := tlog.Tile{H: tileHeight, L: -1, N: f.size >> tileHeight, W: len(f.levels[0])}
	if t.W == 0 {
		return nil
	}
	data, err := readTile(files, t)
	if err != nil {
		return err
	}
	for i, want := range f.levels[0] {
		leaf, err := entry(data, 0)
		if err == nil && recordHash(leaf) != want {
			err = errors.New("it is not what the tile of hashes has")
		}
		if err != nil {
			return fmt.Errorf("%s, entry %d: %w", tilePath(t), i, err)
		}
		f.bundle = append(f.bundle, data[:2+len(leaf)]...)
		data = data[2+len(leaf):]
	}
	return nil
}

// entry returns entry i of a bundle.
func entry(bundle []byte, i int) ([]byte, error) {
	for ; ; i-- {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, errors.New("the bundle ends before it")
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		if i == 0 {
			return bundle[2:end:end], nil
		}
		bundle = bundle[end:]
	}
}

// add appends a leaf of at most MaxLeafBytes.
func (f *frontier) add(leaf []byte) error {
	f.bundle = append(binary.BigEndian.AppendUint16(f.bundle, uint16(len(leaf))), leaf...)
	f.size++
	return f.push(0, recordHash(leaf))
}

// push appends a hash at a level. A tile that it completes is put and becomes one hash of the level above.
func (f *frontier) push(l int, h tlog.Hash) error {
	f.levels[l] = append(f.levels[l], h)
	if len(f.levels[l]) < tileWidth {
		return nil
	}
	if err := f.write(l, f.size>>(tileHeight*(l+1))-1); err != nil {
		return err
	}
	root := subtree(f.levels[l])
	f.levels[l] = f.levels[l][:0]
	if l == 0 {
		f.bundle = make([]byte, 0, cap(f.bundle))
	}
	return f.push(l+1, root)
}

// flush puts the incomplete tiles that a tree of size from had not, or had with fewer hashes. Nothing is added afterwards.
func (f *frontier) flush(from int64) error {
	for l := range f.levels {
		if len(f.levels[l]) == 0 || from>>(tileHeight*l) == f.size>>(tileHeight*l) {
			continue
		}
		if err := f.write(l, f.size>>(tileHeight*(l+1))); err != nil {
			return err
		}
	}
	return nil
}

// write puts the tile n of a level as it stands, at level 0 after its entries.
func (f *frontier) write(l int, n int64) error {
	t := tlog.Tile{H: tileHeight, L: l, N: n, W: len(f.levels[l])}
	if l == 0 {
		entries := t
		entries.L = -1
		if err := f.put(entries, f.bundle); err != nil {
			return err
		}
	}
	data := make([]byte, 0, tileWidth*tlog.HashSize)
	for i := range f.levels[l] {
		data = append(data, f.levels[l][i][:]...)
	}
	return f.put(t, data)
}

// edge returns the complete subtrees that the tree consists of.
func (f *frontier) edge() edge {
	e := edge{size: f.size}
	for l := len(f.levels) - 1; l >= 0; l-- {
		rest := f.levels[l]
		for bit := tileHeight - 1; bit >= 0; bit-- {
			if n := 1 << bit; len(f.levels[l])&n != 0 {
				e.hashes = append(e.hashes, subtree(rest[:n]))
				rest = rest[n:]
			}
		}
	}
	return e
}

// subtree returns the root over a power of two of hashes.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

// recordHash is tlog.RecordHash, in one piece for what is as short as the ledger's leaves: that takes half the time.
func recordHash(leaf []byte) tlog.Hash {
	var b [128]byte // 0x00 ‖ leaf, RFC 6962 §2.1
	if len(leaf) >= len(b) {
		return tlog.RecordHash(leaf)
	}
	return sha256.Sum256(b[:1+copy(b[1:], leaf)])
}
