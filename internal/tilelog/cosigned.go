package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/note"
)

// PublishCosigned publishes a checkpoint that Publish has published before, with more signatures under it, which the
// caller has verified: at CosignedPath, and in place of the checkpoint itself as long as no larger one is out. It does
// nothing if a larger one was cosigned meanwhile.
//
// A busy log has signed another checkpoint before a witness has answered, so the latest and the latest cosigned are two
// files (docs/decisions/0005-witnesses.md). A crash between the two leaves the checkpoint with fewer signatures, which it
// may always have. Errors are those of Publish.
func (p *Publisher) PublishCosigned(r kv.Reader, cosigned []byte) error {
	c, _, err := lamppost.OpenCheckpoint(cosigned, note.VerifierList(p.Verifier))
	if err != nil {
		return fmt.Errorf("publishing a cosigned checkpoint, which should be by %q: %w", p.Origin, err)
	}
	signed, tree, stored, err := p.latest(r)
	if err != nil {
		return err
	}
	old, from, err := p.cosigned(tree, stored)
	if err != nil || from > c.Size {
		return err
	}
	if on, err := p.onTree(tree, c); err != nil {
		return err
	} else if !on {
		return fmt.Errorf("publishing cosigned checkpoint of size %d: it is not of what is published, which has size %d", c.Size, tree.size)
	}
	if err := p.Storage.PutCheckpoint(CosignedPath, old, cosigned); err != nil {
		return fmt.Errorf("publishing cosigned checkpoint of size %d: %w", c.Size, err)
	}
	if c.Size < tree.size || bytes.Equal(signed, cosigned) {
		return nil
	}
	if err := p.Storage.PutCheckpoint(CheckpointPath, signed, cosigned); err != nil {
		return fmt.Errorf("publishing checkpoint of size %d with its cosignatures: %w", c.Size, err)
	}
	return nil
}

// Latest returns the checkpoint that is published, nil if there is none or its tiles are before Begin, and its size. Like
// Publish it checks that it is ours and that the log in r continues it.
func (p *Publisher) Latest(r kv.Reader) (signed []byte, size int64, err error) {
	signed, tree, _, err := p.latest(r)
	if err != nil || signed == nil {
		return nil, 0, err
	}
	return signed, tree.size, nil
}

func (p *Publisher) latest(r kv.Reader) (signed []byte, tree *frontier, stored edge, err error) {
	if stored, err = storedEdge(r); err != nil {
		return nil, nil, stored, err
	}
	signed, tree, size, err := p.published(stored.size)
	if err != nil {
		return nil, nil, stored, err
	}
	if size < tree.size {
		signed = nil // it ends before the log in the store begins
	}
	return signed, tree, stored, continues(r, signed, tree, &stored)
}

// Cosigned returns the cosigned checkpoint that is published, likewise.
func (p *Publisher) Cosigned(r kv.Reader) (signed []byte, size int64, err error) {
	_, tree, stored, err := p.latest(r)
	if err != nil {
		return nil, 0, err
	}
	return p.cosigned(tree, stored)
}

func (p *Publisher) cosigned(tree *frontier, stored edge) (signed []byte, size int64, err error) {
	signed, err = p.Storage.Get(CosignedPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading cosigned checkpoint: %w", err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier))
	if err != nil {
		return nil, 0, fmt.Errorf("reading cosigned checkpoint, which should be by %q: %w", p.Origin, err)
	}
	on, err := p.onTree(tree, c)
	if err != nil {
		return nil, 0, err
	}
	if !on {
		return nil, 0, &ConflictError{Published: signed, Size: c.Size, Stored: stored.size, Root: stored.root()}
	}
	return signed, c.Size, nil
}

// onTree reports whether a checkpoint is one of the published tree, at its size or before.
func (p *Publisher) onTree(tree *frontier, c lamppost.Checkpoint) (bool, error) {
	if c.Size > tree.size {
		return false, nil
	}
	e := tree.edge()
	root, err := NewTree(p.Storage, tree.size, e.root()).RootAt(c.Size)
	return lamppost.Hash(root) == c.Root, err
}
