package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
)

// Blocks hands out the blocks after a height in their order, each as archive.View.Encoded wrote it, until there is no more
// or fn returns an error, which it returns.
type Blocks func(ctx context.Context, after lamppost.Height, fn func(raw []byte) error) error

// maxEmpty is the longest run of empty blocks between two that are sent.
const maxEmpty = 1 << 20

// commitBytes of blocks become durable in one write while a replica catches up.
const commitBytes = 8 << 20

// CatchUp applies the blocks of another copy up to a checkpoint of the log that the caller trusts. All is checked again:
// signatures, rules, and the root, which must be the checkpoint's. progress is called after each block with the leaves there
// are. After an error the store holds what was committed, which may be a history that is not the checkpoint's.
func (r *Replica) CatchUp(ctx context.Context, from Blocks, c lamppost.Checkpoint, progress func(size int64)) error {
	for r.log.Size() < c.Size {
		before := r.Last().Height
		waiting := 0
		err := from(ctx, before, func(raw []byte) error {
			if err := r.follow(raw, c); err != nil {
				return err
			}
			if waiting += len(raw); waiting >= commitBytes || r.log.Size() == c.Size {
				waiting = 0
				if _, err := r.Commit(); err != nil {
					return err
				}
			}
			progress(r.log.Size())
			if r.log.Size() == c.Size {
				return errCaughtUp
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, errCaughtUp) {
			return err
		}
		if _, err := r.Commit(); err != nil {
			return err
		}
		if r.Last().Height == before && r.log.Size() < c.Size {
			return fmt.Errorf("the other copy has no blocks after %d, but its checkpoint has %d leaves and this log %d", before, c.Size, r.log.Size())
		}
	}
	if root := lamppost.Hash(r.log.Root()); r.log.Size() != c.Size || root != c.Root {
		return fmt.Errorf("the blocks lead to a log of %d leaves with root %s; the checkpoint says %d leaves and root %s: what came is another history", r.log.Size(), root, c.Size, c.Root)
	}
	return nil
}

var errCaughtUp = errors.New("the checkpoint is reached")

// A ThinnedError says that a block cannot be applied any more: some of it was pruned or erased.
type ThinnedError struct{ Height lamppost.Height }

// Error says what to do.
func (e *ThinnedError) Error() string {
	return fmt.Sprintf("block %d is not whole any more: reports in it were pruned or erased; begin with a snapshot from after it", e.Height)
}

// follow applies one block that another copy sent.
func (r *Replica) follow(raw []byte, c lamppost.Checkpoint) error {
	blk, records, err := archive.DecodeBlock(raw)
	if err != nil {
		return err
	}
	b := &lamppost.Block{Height: blk.Height, Time: blk.Time, Proposer: blk.Proposer, Evidence: blk.Evidence, Cursor: lamppost.Cursor(blk.Height)}
	for i := range records {
		if !records[i].Whole() {
			return &ThinnedError{blk.Height}
		}
		b.Txs = append(b.Txs, records[i].Raw)
	}
	if err := r.skipTo(blk.Height); err != nil {
		return err
	}
	if err := r.Accept(b); err != nil {
		return err
	}
	res, err := r.Apply(b)
	if err != nil {
		return err
	}
	if res.Size > c.Size {
		return fmt.Errorf("block %d goes from below the checkpoint's %d leaves to %d: what came is another history", blk.Height, c.Size, res.Size)
	}
	return nil
}

// skipTo applies the empty blocks before a height.
func (r *Replica) skipTo(h lamppost.Height) error {
	at, time := r.position()
	if h > at+maxEmpty {
		return fmt.Errorf("block %d came after block %d: more than %d are missing", h, at, maxEmpty)
	}
	for ; at+1 < h; at++ {
		if _, err := r.Apply(&lamppost.Block{Height: at + 1, Time: time, Cursor: lamppost.Cursor(at + 1)}); err != nil {
			return err
		}
	}
	return nil
}
