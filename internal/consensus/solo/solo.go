// Package solo is the engine of one node: it puts the transactions that are waiting into a block, applies and commits
// it, and answers. It has no log of its own, because Commit's one durable write holds the whole block: what was not
// committed was not answered and is proposed again.
//
// Start reading at [Engine.Run]. At most maxQueued transactions wait.
package solo

import (
	"context"
	"fmt"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// maxQueued is how many transactions may wait; more are ErrBusy.
const maxQueued = 1024

// Config says which App to drive and as whom.
type Config struct {
	App    consensus.App
	View   consensus.View
	Member lamppost.MemberID
	Now    func() lamppost.TimeMS // the proposer's clock
}

// An Engine implements consensus.Engine: transactions are ordered as they are proposed.
type Engine struct {
	cfg   Config
	queue chan *proposal
	ended chan struct{} // closed when Run returns

	mu   sync.Mutex // guards last and oldest
	last consensus.Last
	busy lamppost.TimeMS // when the oldest proposal of the block at hand came; 0: idle
}

type proposal struct {
	id   lamppost.TxID
	tx   []byte
	came lamppost.TimeMS
	done chan consensus.Decision // buffered: the engine never waits for a proposer
}

// New returns an engine that continues where its App stands. Run drives it.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, queue: make(chan *proposal, maxQueued), ended: make(chan struct{}), last: cfg.App.Last()}
}

// Propose implements consensus.Engine.
func (e *Engine) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	if len(tx) > lamppost.MaxTxBytes {
		return consensus.Decision{}, consensus.ErrTooLarge
	}
	if d, ok := e.cfg.View.Decided(id); ok {
		return d, nil
	}
	if err := e.cfg.View.CheckTx(tx); err != nil {
		return consensus.Decision{}, err
	}
	p := &proposal{id: id, tx: tx, came: e.cfg.Now(), done: make(chan consensus.Decision, 1)}
	select {
	case <-e.ended:
		return consensus.Decision{}, consensus.ErrStopped
	default:
	}
	select {
	case e.queue <- p:
	default:
		return consensus.Decision{}, consensus.ErrBusy
	}
	select {
	case d := <-p.done:
		return d, nil
	case <-ctx.Done():
		return consensus.Decision{}, ctx.Err()
	case <-e.ended:
	}
	select { // the answer may have come with the end
	case d := <-p.done:
		return d, nil
	default:
		return consensus.Decision{}, consensus.ErrStopped
	}
}

// Run implements consensus.Engine. When ctx is done it finishes the block at hand. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
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
		if ctx.Err() != nil {
			return nil
		}
		waiting = e.gather(waiting)
		n, err := e.block(waiting)
		if err != nil {
			return fmt.Errorf("solo: block %d: %w", e.last.Height+1, err)
		}
		clear(waiting[copy(waiting, waiting[n:]):])
		waiting = waiting[:len(waiting)-n]
	}
}

// gather takes what else is in the queue, without waiting.
func (e *Engine) gather(waiting []*proposal) []*proposal {
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

// block commits the first of the waiting proposals, as many as fit, and answers them.
func (e *Engine) block(waiting []*proposal) (n int, err error) {
	e.mark(waiting[0].came)
	defer e.mark(0)
	b := &lamppost.Block{
		Height:   e.last.Height + 1,
		Time:     max(e.last.Time+1, e.cfg.Now()),
		Cursor:   lamppost.Cursor(e.last.Height + 1),
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
	e.mu.Lock()
	e.last = consensus.Last{Height: b.Height, Time: b.Time, Root: res.Root, Cursor: b.Cursor}
	e.mu.Unlock()
	for i, p := range waiting[:n] {
		p.done <- consensus.Decision{Height: b.Height, Index: uint32(i), Outcomes: res.Outcomes[i]}
	}
	return n, nil
}

func (e *Engine) mark(came lamppost.TimeMS) {
	e.mu.Lock()
	e.busy = came
	e.mu.Unlock()
}

// Status implements consensus.Engine.
func (e *Engine) Status() consensus.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := consensus.Status{Engine: "solo", Role: "leader", Leader: e.cfg.Member, Height: e.last.Height, Time: e.last.Time, Queued: len(e.queue)}
	if e.busy != 0 {
		s.WaitedMS = max(0, e.cfg.Now()-e.busy)
	}
	return s
}
