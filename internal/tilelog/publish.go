package tilelog

import (
	"bytes"
	"cmp"
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
	// CheckpointPath is where a log's latest signed checkpoint is published, CosignedPath where the latest that
	// witnesses have cosigned, AgreedPath where the latest that a quorum of members has signed, with the notes of all of them.
	CheckpointPath = "checkpoint"
	CosignedPath   = "checkpoint.cosigned"
	AgreedPath     = "checkpoint.agreed"
)

// A Storage is where a log is published: a folder that a web server serves, or an object store. Paths are relative, with
// forward slashes. One Publisher uses it.
type Storage interface {
	Source

	// Put writes files, all of them durable when it returns. Writing the same bytes again is fine; other bytes are an
	// error, because what is published under a path never changes. After an error, anything from nothing to everything was
	// done.
	Put(files ...File) error

	// PutCheckpoint replaces the checkpoint old, nil if there is none yet, at one of the paths of checkpoints by new,
	// durably when it returns. If something else than old is there, it is an error and nothing changes. After any
	// other error either may be there. Replacing it by itself makes sure that it is durable.
	PutCheckpoint(path string, old, new []byte) error
}

// A File is what is published at a path.
type File struct {
	Path string
	Data []byte
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
	Root      tlog.Hash // root in the store at that size, if it has as many leaves as are published
}

// Error says which of the two cases it is.
func (e *ConflictError) Error() string {
	if e.Stored < e.Size {
		return fmt.Sprintf("published checkpoint has size %d, but the log in the store has only %d leaves: "+
			"the store is older than what was signed; nothing is published", e.Size, e.Stored)
	}
	return fmt.Sprintf("the log in the store (size %d, root %v) does not continue the published checkpoint of size %d: "+
		"they have different histories; nothing is published", e.Stored, e.Root, e.Size)
}

// A Publisher writes one member's log to a Storage and signs its checkpoints. It keeps nothing between calls: what is
// published is read back each time, so going on after a crash is the same code as going on after a block. One goroutine
// uses it.
type Publisher struct {
	Origin   string        // of the checkpoints, see lamppost.Origin; also the name of the key
	Signer   note.Signer   // the member's own key
	Verifier note.Verifier // its public half
	Storage  Storage
	// Begin is where the log in the store begins, if it had leaves before that this copy never had: what is published starts with
	// its tiles. That a smaller tree published before was the beginning of it is for the caller to know.
	Begin RightEdge
}

// Publish brings the Storage to all leaves of the log in r and returns the signed checkpoint. It does nothing but return
// the published checkpoint if that has this size already; it may carry cosignatures
// then.
//
// The order is: bundles and tiles that are new since the published checkpoint, each durable; then the checkpoint. A crash
// between any two steps leaves the old checkpoint with all its files, and files that the next call writes again with the
// same bytes. A *ConflictError (errors.As) means that publishing must stop; any other error is one of r or the Storage,
// and calling again is right.
func (p *Publisher) Publish(r kv.Reader) ([]byte, error) {
	stored, err := storedEdge(r)
	if err != nil {
		return nil, err
	}
	old, tree, from, err := p.published(stored.size)
	if err != nil {
		return nil, err
	}
	if err := continues(r, old, tree, &stored); err != nil {
		return nil, err
	}
	if old != nil && stored.size == from {
		// The call that wrote it may have failed right after: it is there, but is it durable?
		if err := p.Storage.PutCheckpoint(CheckpointPath, old, old); err != nil {
			return nil, fmt.Errorf("publishing checkpoint of size %d again: %w", from, err)
		}
		return old, nil
	}
	if err := p.write(r, tree, stored.size, from); err != nil {
		return nil, fmt.Errorf("publishing log from size %d to %d: %w", from, stored.size, err)
	}
	if e := tree.edge(); e.root() != stored.root() {
		return nil, fmt.Errorf("publishing log at size %d: its leaves do not lead to its root: the store is damaged, lamppost fsck says where", stored.size)
	}
	signed, err := p.sign(lamppost.Checkpoint{Origin: p.Origin, Size: stored.size, Root: lamppost.Hash(stored.root())})
	if err != nil {
		return nil, err
	}
	if err := p.Storage.PutCheckpoint(CheckpointPath, old, signed); err != nil {
		return nil, fmt.Errorf("publishing checkpoint of size %d: %w", stored.size, err)
	}
	return signed, nil
}

// published returns the signed checkpoint in the Storage, nil if there is none, the right edge to go on from, and of how many
// leaves the tiles are there. It checks that the checkpoint is ours, that it is of no more leaves than are stored, and that its
// tiles lead to it, unless Begin is further on.
func (p *Publisher) published(stored int64) (signed []byte, tree *frontier, size int64, err error) {
	signed, err = p.Storage.Get(CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, p.Begin.begin(), 0, nil
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("reading published checkpoint: %w", err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier))
	if err != nil {
		return nil, nil, 0, fmt.Errorf("reading published checkpoint, which should be by %q: %w", p.Origin, err)
	}
	if c.Size > stored {
		return nil, nil, 0, &ConflictError{Published: signed, Size: c.Size, Stored: stored}
	}
	if c.Size < p.Begin.Size() {
		return signed, p.Begin.begin(), 0, nil
	}
	if tree, err = readFrontier(p.Storage, c.Size); err != nil {
		return nil, nil, 0, fmt.Errorf("reading what is published at size %d: %w", c.Size, err)
	}
	if e := tree.edge(); e.root() != tlog.Hash(c.Root) {
		return nil, nil, 0, fmt.Errorf("the published tiles do not lead to the checkpoint of size %d: they are damaged, lamppost fsck says where", c.Size)
	}
	return signed, tree, c.Size, nil
}

// continues checks that the log in the store goes on where the published one ends: that the store remembers having
// published it, or that its further leaves make the stored edge of the published one.
func continues(r kv.Reader, published []byte, tree *frontier, stored *edge) error {
	conflict := &ConflictError{Published: published, Size: tree.size, Stored: stored.size}
	conflict.Root = stored.root()
	e := tree.edge()
	if ours, err := own(r, &e); ours || err != nil {
		return err
	}
	err := eachLeaf(r, tree.size, stored.size, func(leaf []byte) error {
		e.add(recordHash(leaf))
		return nil
	})
	if err == nil && e.root() != conflict.Root {
		return conflict
	}
	return err
}

// eachLeaf calls fn for the leaves from ≤ index < to of the store, in order.
func eachLeaf(r kv.Reader, from, to int64, fn func(leaf []byte) error) error {
	first, end := leafKey(from), leafKey(to)
	next := from
	err := r.Scan(first[:], end[:], func(key, leaf []byte) error {
		if want := leafKey(next); !bytes.Equal(key, want[:]) {
			return fmt.Errorf("leaf %d is missing in the store", next)
		}
		next++
		return fn(leaf)
	})
	if err == nil && next != to {
		err = fmt.Errorf("leaf %d is missing in the store", next)
	}
	return err
}

// write publishes the tiles and bundles by which the tree grows to size, and which one of size published had not. While some are
// written, the next are read and hashed.
func (p *Publisher) write(r kv.Reader, tree *frontier, size, published int64) error {
	var files []File
	pending := 0
	written := make(chan error, 1)
	written <- nil
	put := func() error {
		if err := <-written; err != nil {
			written <- err
			return err
		}
		now := files
		files, pending = nil, 0
		go func() { written <- p.put(now) }()
		return nil
	}
	tree.put = func(t tlog.Tile, data []byte) error {
		files = append(files, File{tilePath(t), data})
		if pending += len(data); pending < maxPutBytes {
			return nil
		}
		return put()
	}
	err := eachLeaf(r, tree.size, size, tree.add)
	if err == nil {
		err = tree.flush(published)
	}
	if err == nil {
		err = put()
	}
	return cmp.Or(<-written, err)
}

// put writes files. With one block a second, partial versions would fill the disk with 1.6 GB a day, so they go as
// soon as the complete tile is durable, which C2SP tlog-tiles allows ("Partial Tiles"). It is done before the checkpoint
// that needs the complete tile: so a crash in between leaves nothing behind, because the next call does both again.
func (p *Publisher) put(files []File) error {
	if len(files) == 0 {
		return nil
	}
	if err := p.Storage.Put(files...); err != nil {
		return err
	}
	trimmer, ok := p.Storage.(Trimmer)
	for i := 0; ok && i < len(files); i++ {
		if strings.Contains(files[i].Path, ".p/") {
			continue
		}
		if err := trimmer.Trim(files[i].Path); err != nil {
			return err
		}
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

// tilePath returns where a tile is published. C2SP tlog-tiles has tlog's paths without the height, and calls the data
// of a log its entries.
func tilePath(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return "tile/" + path
}
