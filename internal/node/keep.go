package node

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/triage"
)

// committed is told of every durable block.
func (n *Node) committed(ev *replica.Event) {
	n.live.Observe(ev)
	if ds := n.desires.Load(); ds != nil {
		ds.Observe(ev)
	}
	if n.sampler != nil {
		n.sampler.Observe(ev)
	}
	for _, tx := range ev.Txs {
		if tx.Type == lamppost.TxErase {
			n.erasing.note(ev.Block)
			n.wake()
		}
	}
	if err := n.answered(ev); err != nil {
		n.cfg.Log.Error("what a block says of devices' behaviour cannot be heeded", "error", err)
	}
	if err := n.closeRounds(ev.Block.Time); err != nil {
		n.cfg.Log.Error("a round of learning cannot be merged", "error", err)
	}
	if n.pilot != nil {
		if err := n.agentsHear(ev); err != nil {
			n.cfg.Log.Error("what a block says of agents cannot be heeded", "error", err)
		}
	}
	n.judging.committed()
	if n.notifier != nil && slices.ContainsFunc(ev.Txs, func(tx *lamppost.Transaction) bool { return tx.Type == lamppost.TxErase }) {
		if err := n.notifier.Gather(); err != nil {
			n.cfg.Log.Error("messages of alarms on what is erased cannot be dropped yet", "error", err)
		}
	}
	if n.notifier != nil && slices.ContainsFunc(ev.Txs, func(tx *lamppost.Transaction) bool {
		return tx.Type == lamppost.TxVerdicts || tx.Type == lamppost.TxReview
	}) {
		n.notifier.Wake()
	}
	n.caught(ev.Block.Height, ev.Block.Time, ev.Block.Evidence)
	if ev.Result.Members != nil {
		n.moved(ev.Result.Members)
	}
}

// keep moves bodies into packs and takes out of packs what the rules let go, every Config.Keep, and at once what is erased.
func (n *Node) keep(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Keep)
	defer tick.Stop()
	done, err := n.keeper.Erased()
	if err != nil {
		return err
	}
	n.forgotten(ctx, done) // what was not said before the last stop
	unhurried := leisure{ctx: ctx}
	n.keeper.Pause = unhurried.pause
	for {
		unhurried.since = time.Now()
		did, err := n.keepStep(ctx)
		var damaged *archive.DamagedError
		switch {
		case errors.As(err, &damaged) || errors.Is(err, fs.ErrNotExist):
			n.cfg.Log.Error("keeping the archive; lamppost fsck says more", "error", err)
		case err != nil:
			return err
		case did.Some():
			n.cfg.Log.Info("archive", "blocks_sealed", did.Sealed, "reports_taken_out", did.Thinned, "bytes_freed", did.Freed, "erased_up_to", did.Erased)
			if ctx.Err() == nil {
				unhurried.steps++
				continue
			}
		}
		unhurried.steps = 0
		select {
		case <-tick.C:
		case <-n.erase:
		case <-ctx.Done():
			return nil
		}
		if err := n.tellBackups(); err != nil {
			n.cfg.Log.Error("writing beside backups what was erased since", "error", err)
		}
		n.attest(ctx, lamppost.Height(n.erased.Load()))
	}
}

// Detect makes the detector that has a say in how closely a series is kept, for archive.Keeper.
func Detect(unit string, kind lamppost.Kind, rows int) compact.Detector {
	if w := triage.NewWatcher(unit, kind, rows); w != nil {
		return w
	}
	return nil
}

// A leisure spreads work that is not urgent: after each bit of it, it rests three times as long. All members have the same chain and so
// pack at the same moments; without rests a device's report waits behind a whole pack. It rests no more when work has piled up.
type leisure struct {
	ctx   context.Context
	steps int       // in a row, each with something to do
	since time.Time // when the last rest ended, or the step began
}

const (
	workBit   = 2 * time.Millisecond
	maxRest   = 100 * time.Millisecond
	maxBehind = 16 // packs
)

func (l *leisure) pause() {
	worked := time.Since(l.since)
	if worked < workBit || l.steps > maxBehind {
		return
	}
	select {
	case <-time.After(min(3*worked, maxRest)):
	case <-l.ctx.Done():
	}
	l.since = time.Now()
}

// keepStep does one thing that is due. A backup waits for it.
func (n *Node) keepStep(ctx context.Context) (archive.Did, error) {
	n.keeping.Lock()
	defer n.keeping.Unlock()
	did, err := n.keeper.Step(n.now())
	if err == nil && did.Erased > 0 {
		n.forgotten(ctx, did.Erased)
	}
	return did, err
}

// forgotten carries an erasure on where the archive has ended, and says when all is done. If that cannot be now, the next start
// goes on.
func (n *Node) forgotten(ctx context.Context, upTo lamppost.Height) {
	if err := n.forgetSnapshots(ctx, upTo); err != nil {
		n.cfg.Log.Error("removing snapshots from before an erasure", "error", err)
		return
	}
	n.erased.Store(uint64(upTo))
	n.attest(ctx, upTo)
}

// erasing remembers where the engine has the erasures that this process saw committed. Those of before stand at start or before.
type erasing struct {
	start lamppost.Cursor

	mu sync.Mutex
	at map[lamppost.Height]lamppost.Cursor
}

func (e *erasing) note(b *lamppost.Block) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = map[lamppost.Height]lamppost.Cursor{}
	}
	e.at[b.Height] = b.Cursor
}

// cursor is where the engine has the erasure ordered in a block, or later.
func (e *erasing) cursor(h lamppost.Height) lamppost.Cursor {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.at[h]; ok {
		return c
	}
	return e.start
}

// attest says on the ledger that what was erased up to a block is in none of this node's files and backups, nor in the engine's.
// While one of these may hold it, it waits.
func (n *Node) attest(ctx context.Context, upTo lamppost.Height) {
	erasures, err := ledger.View{Reader: n.store}.Erasures()
	if err != nil {
		n.cfg.Log.Error("reading erasures", "error", err)
		return
	}
	late := int64(0)
	for i := range erasures {
		e := &erasures[i]
		if _, said := e.Attested[n.cfg.Member]; said {
			continue
		}
		if e.Height > upTo || !n.attestOne(ctx, e) {
			if n.now() > e.Due() {
				late++
			}
		}
	}
	n.overdue.Store(late)
}

func (n *Node) attestOne(ctx context.Context, e *ledger.Erasure) bool {
	if n.forgetter != nil && n.forgetter.Forgotten() < n.erasing.cursor(e.Height) {
		return false
	}
	if !n.judging.forgotten(e.Height) {
		return false
	}
	held, err := n.holding(e.Height)
	if err == nil && len(held) == 0 {
		_, err = n.Order(ctx, lamppost.TxErased, lamppost.ErasedBody{Height: e.Height, Index: e.Index})
	}
	if err != nil && ctx.Err() == nil {
		n.cfg.Log.Error("attesting an erasure", "height", e.Height, "error", err)
	}
	return err == nil && len(held) == 0
}
