// Package solo is the engine of one node: it puts the transactions that are waiting into a block, applies and commits
// it, and answers. It has no log of its own, because Commit's one durable write holds the whole block: what was not
// committed was not answered and is proposed again.
package solo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// maxQueued is how many transactions may wait; more are ErrBusy.
const maxQueued = 1024

// Config says which App to drive and as whom.
type Config struct {
	App    consensus.App
	Member lamppost.MemberID
	Now    func() lamppost.TimeMS // the proposer's clock
}

// An Engine orders transactions in the order they are proposed.
type Engine struct {
	cfg     Config
	queue   chan *proposal
	stopped chan struct{} // closed when Run returns
	once    sync.Once
	height  atomic.Uint64
	time    atomic.Int64
}

type proposal struct {
	id   lamppost.TxID
	tx   []byte
	done chan consensus.Committed // buffered: the engine never waits for a proposer
}

// New returns an engine that continues where its App stands. Run drives it.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, queue: make(chan *proposal, maxQueued), stopped: make(chan struct{})}
	h, t := cfg.App.Last()
	e.height.Store(uint64(h))
	e.time.Store(int64(t))
	return e
}

// Propose implements consensus.Engine.
func (e *Engine) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Committed, error) {
	if err := e.cfg.App.CheckTx(tx); err != nil {
		return consensus.Committed{}, err
	}
	p := &proposal{id: id, tx: tx, done: make(chan consensus.Committed, 1)}
	select {
	case <-e.stopped:
		return consensus.Committed{}, consensus.ErrStopped
	default:
	}
	select {
	case e.queue <- p:
	default:
		return consensus.Committed{}, consensus.ErrBusy
	}
	select {
	case c := <-p.done:
		return c, nil
	case <-ctx.Done():
		return consensus.Committed{}, ctx.Err()
	case <-e.stopped:
		select { // the answer may have come with the stop
		case c := <-p.done:
			return c, nil
		default:
			return consensus.Committed{}, consensus.ErrStopped
		}
	}
}

// Run implements consensus.Engine. On a done context it finishes the block at hand.
func (e *Engine) Run(ctx context.Context) error {
	defer e.once.Do(func() { close(e.stopped) })
	var waiting []*proposal
	for {
		if len(waiting) == 0 {
			select {
			case p := <-e.queue:
				waiting = append(waiting, p)
			case <-ctx.Done():
				return nil
			}
		}
		waiting = e.drain(waiting)
		n, err := e.block(waiting)
		if err != nil {
			return fmt.Errorf("solo: block %d: %w", e.height.Load()+1, err)
		}
		waiting = append(waiting[:0], waiting[n:]...)
	}
}

func (e *Engine) drain(waiting []*proposal) []*proposal {
	for len(waiting) < lamppost.MaxBlockTxs {
		select {
		case p := <-e.queue:
			waiting = append(waiting, p)
		default:
			return waiting
		}
	}
	return waiting
}

// block commits as many of the waiting proposals as fit and answers them. The proposals of one id share one outcome:
// the ledger's, which counts a transaction once.
func (e *Engine) block(waiting []*proposal) (n int, err error) {
	b := &lamppost.Block{
		Height:   lamppost.Height(e.height.Load() + 1),
		Time:     max(lamppost.TimeMS(e.time.Load())+1, e.cfg.Now()),
		Proposer: e.cfg.Member,
	}
	for size := 0; n < len(waiting); n++ {
		if size += len(waiting[n].tx); n > 0 && size > lamppost.MaxBlockBytes {
			break
		}
		b.Txs = append(b.Txs, waiting[n].tx)
	}
	if err := e.cfg.App.Accept(b); err != nil {
		return 0, err
	}
	res, err := e.cfg.App.Apply(b)
	if err != nil {
		return 0, err
	}
	if _, err := e.cfg.App.Commit(); err != nil {
		return 0, err
	}
	e.height.Store(uint64(b.Height))
	e.time.Store(int64(b.Time))
	for i, p := range waiting[:n] {
		p.done <- consensus.Committed{Height: b.Height, Time: b.Time, Index: uint32(i), Outcomes: res.Outcomes[i]}
	}
	return n, nil
}

// Status implements consensus.Engine.
func (e *Engine) Status() consensus.Status {
	return consensus.Status{Engine: "solo", Role: "leader", Leader: e.cfg.Member, Height: lamppost.Height(e.height.Load()),
		Time: lamppost.TimeMS(e.time.Load()), Queued: len(e.queue)}
}
