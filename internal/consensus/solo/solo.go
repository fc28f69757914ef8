// Package solo is the engine of one node: it puts the transactions that are waiting into a block, applies and commits
// it, and answers. It has no log of its own, because Commit's one durable write holds the whole block: what was not
// committed was not answered and is proposed again.
//
// Start reading at [Engine.Run] and [Engine.Step]. At most maxQueued transactions wait beside those of the block at hand.
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
	queue chan *Proposal
	ended chan struct{} // closed when Run returns

	// Of the goroutine that calls Step.
	waiting []*Proposal                 // taken from the queue and not in a block yet, one for every id
	byID    map[lamppost.TxID]*Proposal // the same

	mu      sync.Mutex
	last    consensus.Last
	held    int             // length of waiting
	oldest  lamppost.TimeMS // when the first of waiting came
	stopped bool
	inside  sync.WaitGroup // calls of Propose; none is added once stopped
}

// A Proposal waits for its block.
type Proposal struct {
	id   lamppost.TxID
	tx   []byte
	came lamppost.TimeMS
	also []*Proposal // others with the same id: they share the decision

	done     chan struct{} // closed once what follows is set
	decision consensus.Decision
	err      error
}

// Done is closed when the proposal is answered.
func (p *Proposal) Done() <-chan struct{} { return p.done }

// Answer says what was decided, or why nothing will be. It is called after Done is closed.
func (p *Proposal) Answer() (consensus.Decision, error) { return p.decision, p.err }

func (p *Proposal) answer(d consensus.Decision, err error) {
	for _, q := range append([]*Proposal{p}, p.also...) {
		q.decision, q.err = d, err
		close(q.done)
	}
}

// New returns an engine that continues where its App stands. Run drives it.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, queue: make(chan *Proposal, maxQueued), ended: make(chan struct{}), last: cfg.App.Last(),
		byID: map[lamppost.TxID]*Proposal{}}
}

// Propose implements consensus.Engine.
func (e *Engine) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	if !e.enter() {
		return consensus.Decision{}, consensus.ErrStopped
	}
	defer e.inside.Done()
	p, err := e.Submit(id, tx)
	if err != nil {
		return consensus.Decision{}, err
	}
	select {
	case <-p.done:
		return p.Answer()
	case <-ctx.Done():
		return consensus.Decision{}, ctx.Err()
	case <-e.ended:
	}
	select { // the answer may have come with the end
	case <-p.done:
		return p.Answer()
	default:
		return consensus.Decision{}, consensus.ErrStopped
	}
}

// enter counts a call of Propose, so that Run can wait for it.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped {
		e.inside.Add(1)
	}
	return !e.stopped
}

// Submit is Propose without the waiting, for whoever calls Step himself.
func (e *Engine) Submit(id lamppost.TxID, tx []byte) (*Proposal, error) {
	if len(tx) > lamppost.MaxTxBytes {
		return nil, consensus.ErrTooLarge
	}
	if len(tx) == 0 {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a transaction of no bytes")
	}
	p := &Proposal{id: id, tx: tx, came: e.cfg.Now(), done: make(chan struct{})}
	if d, ok := e.cfg.View.Decided(id); ok {
		p.answer(d, nil)
		return p, nil
	}
	if err := e.cfg.View.CheckTx(tx); err != nil {
		return nil, err
	}
	select {
	case e.queue <- p:
		return p, nil
	default:
		return nil, consensus.ErrBusy
	}
}

// Run implements consensus.Engine. When ctx is done it finishes the block at hand. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.stop()
	for {
		if len(e.waiting) == 0 {
			select {
			case p := <-e.queue:
				e.take(p)
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := e.Step(); err != nil {
			return fmt.Errorf("solo: block %d: %w", e.last.Height+1, err)
		}
	}
}

// stop turns everybody away and waits until they have gone.
func (e *Engine) stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	close(e.ended)
	e.inside.Wait()
}

// Step is one round of Run: it commits a block of what is waiting now, and reports false if nothing is. A simulator calls
// it in place of Run. An error is final.
func (e *Engine) Step() (bool, error) {
	e.gather()
	defer e.mark()
	e.mark()
	if len(e.waiting) == 0 {
		return false, nil
	}
	b := &lamppost.Block{
		Height:   e.last.Height + 1,
		Time:     max(e.last.Time+1, e.cfg.Now()),
		Cursor:   lamppost.Cursor(e.last.Height + 1),
		Proposer: e.cfg.Member,
	}
	picked, err := e.pick(b)
	if err != nil || len(picked) == 0 {
		return true, err
	}
	return true, e.commit(b, picked)
}

// gather takes what is in the queue, up to a block's worth, without waiting.
func (e *Engine) gather() {
	size := 0
	for _, p := range e.waiting {
		size += len(p.tx)
	}
	for len(e.waiting) < lamppost.MaxBlockTxs && size <= lamppost.MaxBlockBytes {
		select {
		case p := <-e.queue:
			e.take(p)
			size += len(p.tx)
		default:
			return
		}
	}
}

// take adds a proposal to those waiting. An id is ordered once: one that was decided since it was proposed is answered
// now, and one that is waiting already is answered with that.
func (e *Engine) take(p *Proposal) {
	if d, ok := e.cfg.View.Decided(p.id); ok {
		p.answer(d, nil)
		return
	}
	if first := e.byID[p.id]; first != nil {
		first.also = append(first.also, p)
		return
	}
	e.waiting = append(e.waiting, p)
	e.byID[p.id] = p
}

// pick lets the App choose what the block carries, and takes that out of waiting. What it passed over though there was
// room is answered with a refusal; what no longer fitted stays.
func (e *Engine) pick(b *lamppost.Block) (picked []*Proposal, err error) {
	for _, p := range e.waiting {
		b.Txs = append(b.Txs, p.tx)
	}
	places, err := consensus.Pick(e.cfg.App, b, lamppost.MaxBlockBytes)
	if err != nil {
		return nil, err
	}
	last, chosen := -1, make([]bool, len(e.waiting))
	for _, i := range places {
		chosen[i], last = true, max(last, i)
		picked = append(picked, e.waiting[i])
	}
	stay := e.waiting[:0]
	for i, p := range e.waiting {
		switch {
		case chosen[i]:
			delete(e.byID, p.id)
		case i < last || last < 0:
			delete(e.byID, p.id)
			p.answer(consensus.Decision{}, consensus.Unwanted(e.cfg.View, p.tx))
		default:
			stay = append(stay, p)
		}
	}
	clear(e.waiting[len(stay):])
	e.waiting = stay
	return picked, nil
}

// commit takes the block through the App and answers its proposals.
func (e *Engine) commit(b *lamppost.Block, picked []*Proposal) error {
	if err := e.cfg.App.Accept(b); err != nil {
		return err
	}
	res, err := e.cfg.App.Apply(b)
	if err != nil {
		return err
	}
	if _, err := e.cfg.App.Commit(); err != nil {
		return err
	}
	e.mu.Lock()
	e.last = consensus.Last{Height: b.Height, Time: b.Time, Root: res.Root, Cursor: b.Cursor}
	e.mu.Unlock()
	for i, p := range picked {
		p.answer(consensus.Decision{Height: b.Height, Index: uint32(i), Outcomes: res.Outcomes[i]}, nil)
	}
	return nil
}

// mark notes for Status what is waiting.
func (e *Engine) mark() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held = len(e.waiting); e.held > 0 {
		e.oldest = e.waiting[0].came
	}
}

// Status implements consensus.Engine.
func (e *Engine) Status() consensus.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := consensus.Status{Engine: "solo", Role: "leader", Leader: e.cfg.Member, Height: e.last.Height, Time: e.last.Time,
		Queued: len(e.queue) + e.held}
	if e.held > 0 {
		s.WaitedMS = max(0, e.cfg.Now()-e.oldest)
	}
	return s
}
