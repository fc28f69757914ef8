package tilelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// TileHeight is the height of a tile in C2SP tlog-tiles: 2⁸ hashes or entries wide.
	TileHeight = 8

	// CheckpointPath is where a log's latest signed checkpoint is published, CosignedPath where the latest that
	// witnesses have cosigned.
	CheckpointPath = "checkpoint"
	CosignedPath   = "checkpoint.cosigned"
)

// A Storage is where a log is published: a folder that a web server serves, or an object store. Paths are relative, with
// forward slashes. One Publisher uses it.
type Storage interface {
	// Get returns what is at path, or an error that wraps fs.ErrNotExist.
	Get(path string) ([]byte, error)

	// Put writes data at path, durably when it returns. Writing the same bytes again is fine; other bytes are an error,
	// because what is published under a path never changes. After an error, anything from nothing to everything was done.
	Put(path string, data []byte) error

	// PutCheckpoint replaces the checkpoint old, nil if there is none yet, at CheckpointPath or CosignedPath by new,
	// durably when it returns. If something else than old is there, it is an error and nothing changes. After any
	// other error either may be there. Replacing it by itself makes sure that it is durable.
	PutCheckpoint(path string, old, new []byte) error
}

// A Trimmer is a Storage that can remove what a complete file has made superfluous.
type Trimmer interface {
	// Trim removes the partial versions path + ".p/<width>" of the complete tile or bundle at path, if there are any.
	Trim(path string) error
}

// A ConflictError says that the log in the store is not a continuation of what was published before: one of them was
// replaced, or restored from an older copy. Nothing more may be signed under this origin until somebody finds out; the
// published checkpoint is evidence.
type ConflictError struct {
	Published []byte    // the signed checkpoint that is published
	Size      int64     // its size
	Stored    int64     // size of the log in the store
	Root      tlog.Hash // root in the store at the published size, if the store has as many leaves
}

// Error says which of the two cases it is.
func (e *ConflictError) Error() string {
	if e.Stored < e.Size {
		return fmt.Sprintf("published checkpoint has size %d, but the log in the store has only %d leaves: "+
			"the store is older than what was signed; nothing is published", e.Size, e.Stored)
	}
	return fmt.Sprintf("published checkpoint of size %d has another root than the log in the store (%v): "+
		"they have different histories; nothing is published", e.Size, e.Root)
}

// A Publisher writes one member's log to a Storage and signs its checkpoints. It keeps nothing between calls: what is
// published is read back each time, so going on after a crash is the same code as going on after a block. One goroutine
// uses it.
type Publisher struct {
	Origin   string        // of the checkpoints, see lamppost.Origin; also the name of the key
	Signer   note.Signer   // the member's own key
	Verifier note.Verifier // its public half
	Storage  Storage
}

// Publish brings the Storage to the first size leaves of the log in r and returns the signed checkpoint. It does nothing
// but return the published checkpoint if that has this size already; it may carry cosignatures then.
//
// The order is: bundles and tiles that are new since the published checkpoint, each durable; then the checkpoint. A crash
// between any two steps leaves the old checkpoint with all its files, and files that the next call writes again with the
// same bytes. A *ConflictError (errors.As) means that publishing must stop; any other error is one of r or the Storage,
// and calling again is right.
func (p *Publisher) Publish(r kv.Reader, size int64) ([]byte, error) {
	root, err := RootAt(r, size)
	if err != nil {
		return nil, fmt.Errorf("publishing log at size %d: %w", size, err)
	}
	old, from, err := p.published(r, CheckpointPath)
	if err != nil {
		return nil, err
	}
	if size < from {
		return nil, fmt.Errorf("publishing log at size %d: already published at size %d", size, from)
	}
	if old != nil && size == from {
		// The call that wrote it may have failed right after: it is there, but is it durable?
		if err := p.Storage.PutCheckpoint(CheckpointPath, old, old); err != nil {
			return nil, fmt.Errorf("publishing checkpoint of size %d again: %w", size, err)
		}
		return old, nil
	}
	if err := p.writeTiles(r, from, size); err != nil {
		return nil, fmt.Errorf("publishing log from size %d to %d: %w", from, size, err)
	}
	signed, err := p.sign(lamppost.Checkpoint{Origin: p.Origin, Size: size, Root: lamppost.Hash(root)})
	if err != nil {
		return nil, err
	}
	if err := p.Storage.PutCheckpoint(CheckpointPath, old, signed); err != nil {
		return nil, fmt.Errorf("publishing checkpoint of size %d: %w", size, err)
	}
	return signed, nil
}

// published returns the signed checkpoint at a path of the Storage, nil if there is none, and its size, after checking
// that it is ours, whoever signed it besides, and that the log in r continues it.
func (p *Publisher) published(r kv.Reader, path string) (signed []byte, size int64, err error) {
	signed, err = p.Storage.Get(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading published checkpoint: %w", err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier))
	if err != nil {
		return nil, 0, fmt.Errorf("reading published checkpoint, which should be by %q: %w", p.Origin, err)
	}
	stored, err := storedSize(r)
	if err != nil {
		return nil, 0, err
	}
	if stored < c.Size {
		return nil, 0, &ConflictError{Published: signed, Size: c.Size, Stored: stored}
	}
	root, err := RootAt(r, c.Size)
	if err != nil {
		return nil, 0, err
	}
	if root != tlog.Hash(c.Root) {
		return nil, 0, &ConflictError{Published: signed, Size: c.Size, Stored: stored, Root: root}
	}
	return signed, c.Size, nil
}

// writeTiles writes what a tree of size to has and one of size from had not: entry bundles beside the tiles of level 0.
func (p *Publisher) writeTiles(r kv.Reader, from, to int64) error {
	for _, t := range tlog.NewTiles(TileHeight, from, to) {
		if t.L == 0 {
			bundle, err := readBundle(r, t)
			if err != nil {
				return err
			}
			entries := t
			entries.L = -1
			if err := p.put(entries, bundle); err != nil {
				return err
			}
		}
		data, err := tlog.ReadTileData(t, hashes(r))
		if err != nil {
			return err
		}
		if err := p.put(t, data); err != nil {
			return err
		}
	}
	return nil
}

// put writes a tile. With one block a second, partial versions would fill the disk with 1.6 GB a day, so they go as
// soon as the complete tile is durable, which C2SP tlog-tiles allows ("Partial Tiles"). It is done before the checkpoint
// that needs the complete tile: so a crash in between leaves nothing behind, because the next call does both again.
func (p *Publisher) put(t tlog.Tile, data []byte) error {
	path := TilePath(t)
	if err := p.Storage.Put(path, data); err != nil {
		return err
	}
	if trimmer, ok := p.Storage.(Trimmer); ok && t.W == 1<<TileHeight {
		return trimmer.Trim(path)
	}
	return nil
}

// sign also reads the checkpoint back as an auditor would: one that nobody accepts must not be published, because
// publishing goes on from what is published.
func (p *Publisher) sign(c lamppost.Checkpoint) ([]byte, error) {
	signed, err := lamppost.SignCheckpoint(c, p.Signer)
	if err != nil {
		return nil, err
	}
	if got, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier)); err != nil {
		return nil, fmt.Errorf("reading back the checkpoint just signed at size %d: %w", c.Size, err)
	} else if got != c {
		return nil, fmt.Errorf("reading back the checkpoint just signed: %+v, want %+v", got, c)
	}
	return signed, nil
}

// readBundle returns the entries of a tile of level 0, each as two bytes of length, big-endian, and the leaf (C2SP
// tlog-tiles, "Log entries").
func readBundle(r kv.Reader, t tlog.Tile) ([]byte, error) {
	first := t.N << TileHeight
	from, to := logKey(leafKind, first), logKey(leafKind, first+int64(t.W))
	var bundle bytes.Buffer
	n := 0
	err := r.Scan(from[:], to[:], func(key, leaf []byte) error {
		if want := logKey(leafKind, first+int64(n)); !bytes.Equal(key, want[:]) {
			return fmt.Errorf("leaf %d is missing", first+int64(n))
		}
		var length [2]byte
		binary.BigEndian.PutUint16(length[:], uint16(len(leaf))) // at most MaxLeafBytes: Append saw to it
		bundle.Write(length[:])
		bundle.Write(leaf)
		n++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading leaves from %d: %w", first, err)
	}
	if n != t.W {
		return nil, fmt.Errorf("reading leaves from %d: %d found, want %d", first, n, t.W)
	}
	return bundle.Bytes(), nil
}

// TilePath returns where a tile is published, relative to the log's address. C2SP tlog-tiles has tlog's paths without the height, and calls the data
// of a log its entries.
func TilePath(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", TileHeight))
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return "tile/" + path
}
