package tilelog

import (
	"bytes"
	"fmt"

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
	signed, size, err := p.published(r, CheckpointPath)
	if err != nil {
		return err
	}
	if c.Size > size {
		return fmt.Errorf("publishing cosigned checkpoint of size %d: only %d is published", c.Size, size)
	}
	if root, err := RootAt(r, c.Size); err != nil {
		return err
	} else if lamppost.Hash(root) != c.Root {
		return fmt.Errorf("publishing cosigned checkpoint of size %d: it has another root than this log", c.Size)
	}
	old, from, err := p.Cosigned(r)
	if err != nil || from > c.Size {
		return err
	}
	if err := p.Storage.PutCheckpoint(CosignedPath, old, cosigned); err != nil {
		return fmt.Errorf("publishing cosigned checkpoint of size %d: %w", c.Size, err)
	}
	if c.Size < size || bytes.Equal(signed, cosigned) {
		return nil
	}
	if err := p.Storage.PutCheckpoint(CheckpointPath, signed, cosigned); err != nil {
		return fmt.Errorf("publishing checkpoint of size %d with its cosignatures: %w", size, err)
	}
	return nil
}

// Latest returns the checkpoint that is published, nil if there is none, and its size. Like Publish it checks that it is
// ours and that the log in r continues it.
func (p *Publisher) Latest(r kv.Reader) (signed []byte, size int64, err error) {
	return p.published(r, CheckpointPath)
}

// Cosigned returns the cosigned checkpoint that is published, likewise.
func (p *Publisher) Cosigned(r kv.Reader) (signed []byte, size int64, err error) {
	return p.published(r, CosignedPath)
}
