package node

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/lamppost/lamppost/internal/archive"
)

// keepEvery is how often the archive looks for something to do. Bodies that come faster are worked off at once.
const keepEvery = 5 * time.Second

// keep moves bodies into packs and takes out of packs what the rules let go.
func (n *Node) keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		did, err := n.keeper.Step(n.now())
		var damaged *archive.DamagedError
		switch {
		case errors.As(err, &damaged) || errors.Is(err, fs.ErrNotExist):
			n.cfg.Log.Error("keeping the archive; lamppost fsck says more", "error", err)
		case err != nil:
			return err
		case did.Some():
			n.cfg.Log.Info("archive", "blocks_sealed", did.Sealed, "reports_taken_out", did.Thinned, "bytes_freed", did.Freed, "erased_up_to", did.Erased)
			if ctx.Err() == nil {
				continue
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
