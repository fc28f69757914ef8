package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A worker carries batches from the queue to the reply, one at a time.
type worker struct {
	core   *Core
	alarm  *time.Timer // wakes next when the oldest report has waited long enough
	batch  []Item
	number uint64 // of the segment
}

func newWorker(in *Ingest) *worker {
	w := &worker{core: NewCore(in.cfg)}
	w.alarm = time.AfterFunc(time.Hour, func() { in.mu.Lock(); in.more.Broadcast(); in.mu.Unlock() })
	return w
}

// process takes a batch all the way: read, verify together, pack and sign, propose, reply.
func (in *Ingest) process(ctx context.Context, w *worker) error {
	id, raw, err := w.core.Pack(w.batch, w.number)
	in.blame(w.core.Bad())
	if err != nil || len(raw) == 0 {
		return err
	}
	in.checked.add(id, raw)
	defer in.checked.drop(id)
	start := time.Now()
	d, err := in.propose(ctx, id, raw)
	in.mu.Lock()
	in.linger.decided(time.Since(start))
	in.mu.Unlock()
	if err != nil {
		return err // nothing is acknowledged: the devices send again; raw may still be in use, so this worker is done
	}
	w.core.Reply(d)
	return nil
}

// propose retries while the engine is busy: what was taken from a device is not dropped.
func (in *Ingest) propose(ctx context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		d, err := in.cfg.Propose.Propose(ctx, id, raw)
		if !errors.Is(err, consensus.ErrBusy) {
			return d, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}
