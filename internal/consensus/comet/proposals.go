//go:build !small

package comet

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	mempl "github.com/cometbft/cometbft/mempool"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// resubmitAfter is how long a proposal waits before it is looked for in comet's pool.
const resubmitAfter = time.Second

// tellAgainAfter is how long a proposal that is in the pool waits before the others are told again: their pools may have been full.
const tellAgainAfter = 5 * time.Second

// proposals are those who wait here, by id, until a commit answers them. One goroutine, run, puts their transactions
// into comet's pool and again where that lost them, so that nobody who proposes waits for comet's locks.
type proposals struct {
	view consensus.View
	now  func() lamppost.TimeMS
	self lamppost.MemberID
	wake chan struct{} // there is something to submit

	mu      sync.Mutex
	byID    map[lamppost.TxID]*proposal
	fresh   []*proposal   // not submitted yet
	number  uint64        // of what the others were told last
	more    chan struct{} // closed when there is something to tell
	old     [][]byte      // answered by one of the last blocks, which had others of their ids
	waiting int           // calls of Propose
	status  consensus.Status
	role    string
	gone    bool // this member has left
	stopped bool
	inside  sync.WaitGroup // calls of Propose; none is added once stopped
}

// A proposal waits for its block. Several callers may share it.
type proposal struct {
	id      lamppost.TxID
	raw     []byte // as comet has it
	came    lamppost.TimeMS
	sent    time.Time // when it was last submitted; run's
	callers int

	number uint64    // in the order in which the others are told; 0: not yet
	told   time.Time // since when

	done     chan struct{} // closed once what follows is set
	decision consensus.Decision
	err      error
}

func (p *proposal) answered() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func newProposals(cfg *Config, view consensus.View, last consensus.Last) *proposals {
	return &proposals{view: view, now: cfg.Now, self: cfg.Member, wake: make(chan struct{}, 1), more: make(chan struct{}), byID: map[lamppost.TxID]*proposal{},
		status: consensus.Status{Engine: "comet", Height: last.Height, Time: last.Time}}
}

// propose is Engine.Propose.
func (s *proposals) propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	p, first, err := s.enter(id, tx)
	if err != nil {
		return consensus.Decision{}, err
	}
	defer s.inside.Done()
	defer s.leave(p)
	if first { // asked after it was registered: a commit in between is not missed
		if d, ok := s.view.Decided(id); ok {
			s.answer(p, d, nil)
		} else {
			s.submit(p)
		}
	}
	select {
	case <-p.done:
		return p.decision, p.err
	case <-ctx.Done():
		return consensus.Decision{}, ctx.Err()
	}
}

// enter registers a caller, with those who wait for the same id if there are any.
func (s *proposals) enter(id lamppost.TxID, tx []byte) (p *proposal, first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped || s.gone:
		return nil, false, consensus.ErrStopped
	case s.waiting >= MaxQueued:
		return nil, false, consensus.ErrBusy
	}
	p = s.byID[id]
	if first = p == nil; first {
		p = &proposal{id: id, raw: wrap(tx, 0), came: s.now(), done: make(chan struct{})}
		s.byID[id] = p
	}
	p.callers++
	s.waiting++
	s.inside.Add(1)
	return p, first, nil
}

// leave takes a caller out; what nobody waits for is not submitted again.
func (s *proposals) leave(p *proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	if p.callers--; p.callers == 0 && s.byID[p.id] == p {
		delete(s.byID, p.id)
	}
}

func (s *proposals) answer(p *proposal, d consensus.Decision, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerLocked(p, d, err)
}

func (s *proposals) answerLocked(p *proposal, d consensus.Decision, err error) {
	if p.answered() {
		return
	}
	p.decision, p.err = d, err
	close(p.done)
	if s.byID[p.id] == p {
		delete(s.byID, p.id)
	}
}

func (s *proposals) submit(p *proposal) {
	s.mu.Lock()
	s.fresh = append(s.fresh, p)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// committed answers those whose ids are in the blocks.
func (s *proposals) committed(blocks []decided, height lamppost.Height, now lamppost.TimeMS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Height, s.status.Time = height, now
	s.old = s.old[max(0, len(s.old)-maxOld):]
	for _, b := range blocks {
		for i, id := range b.ids {
			p := s.byID[id]
			if p == nil {
				continue
			}
			d, ok := s.view.Decided(id)
			switch {
			case ok:
			case !sameTx(p.raw, b.raw[i]):
				continue // somebody put other bytes behind this id, and what became of them is no answer: ours are still to come
			default:
				d = consensus.Decision{Height: b.height, Index: uint32(i), Outcomes: b.outcomes[i]}
			}
			if !bytes.Equal(p.raw, b.raw[i]) {
				s.old = append(s.old, p.raw)
			}
			s.answerLocked(p, d, nil)
		}
	}
}

// sameTx reports whether two attempts are of one transaction.
func sameTx(a, b []byte) bool {
	x, _ := strip(a)
	y, _ := strip(b)
	return bytes.Equal(x, y)
}

// jumped answers those whose ids came with another member's state.
func (s *proposals) jumped(last consensus.Last) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Height, s.status.Time = last.Height, last.Time
	for id, p := range s.byID {
		if d, ok := s.view.Decided(id); ok {
			s.answerLocked(p, d, nil)
		}
	}
}

// maxOld is how many of these are kept: one may still be on its way into the pool when later blocks come.
const maxOld = 64

// spent reports whether a transaction is of a proposal that one of the last blocks answered by another of its id.
func (s *proposals) spent(raw []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.old, func(old []byte) bool { return bytes.Equal(old, raw) })
}

// refuse answers the proposal whose transaction is thrown out of the pool.
func (s *proposals) refuse(raw []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.byID {
		if bytes.Equal(p.raw, raw) {
			s.answerLocked(p, consensus.Decision{}, err)
		}
	}
}

// stop turns everybody away and waits until they have gone.
func (s *proposals) stop() {
	s.mu.Lock()
	s.stopped = true
	s.sendAway()
	s.role = "stopped"
	s.mu.Unlock()
	s.inside.Wait()
}

// run submits until ctx is done.
func (s *proposals) run(ctx context.Context, pool *mempl.CListMempool) {
	look := time.NewTicker(resubmitAfter)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			s.mu.Lock()
			fresh := s.fresh
			s.fresh = nil
			s.mu.Unlock()
			for _, p := range fresh {
				s.put(p, pool)
			}
		case <-look.C:
			s.putLost(pool)
		}
	}
}

// put submits a proposal. Bytes that comet knows already are waiting in its pool; if they are not, they were in a block
// before, and are wrapped anew.
func (s *proposals) put(p *proposal, pool *mempl.CListMempool) {
	again := !p.sent.IsZero()
	p.sent = time.Now()
	for range 2 {
		if p.answered() {
			return
		}
		refused := false
		err := pool.CheckTx(p.raw, func(res *abci.ResponseCheckTx) { refused = !res.IsOK() }, mempl.TxInfo{})
		switch {
		case errors.Is(err, mempl.ErrTxInCache):
			if slices.ContainsFunc(pool.ReapMaxTxs(-1).ToSliceOfBytes(), func(raw []byte) bool { return bytes.Equal(raw, p.raw) }) {
				s.tellNow(p)
				return
			}
			s.rewrap(p)
			continue
		case err != nil && !again: // a full pool
			s.answer(p, consensus.Decision{}, consensus.ErrBusy)
		case refused:
			if tx, _ := strip(p.raw); s.view.CheckTx(tx) != nil {
				s.answer(p, consensus.Decision{}, s.view.CheckTx(tx))
			}
		case err == nil:
			s.tellNow(p)
		}
		return
	}
}

// rewrap makes other bytes of a proposal's transaction.
func (s *proposals) rewrap(p *proposal) {
	tx, _ := strip(p.raw)
	raw := wrap(tx, rand.Uint32())
	s.mu.Lock()
	p.raw = raw
	s.mu.Unlock()
}

// putLost submits again what waits and is no longer in comet's pool: it throws out what its App refuses for a while, and
// what came when it was full.
func (s *proposals) putLost(pool *mempl.CListMempool) {
	var late []*proposal
	s.mu.Lock()
	for _, p := range s.byID {
		if !p.sent.IsZero() && time.Since(p.sent) >= resubmitAfter {
			late = append(late, p)
		}
	}
	s.mu.Unlock()
	if len(late) == 0 {
		return
	}
	seed := maphash.MakeSeed()
	there := map[uint64]bool{}
	for _, raw := range pool.ReapMaxTxs(-1) {
		there[maphash.Bytes(seed, raw)] = true
	}
	for _, p := range late {
		switch {
		case !there[maphash.Bytes(seed, p.raw)]:
			s.put(p, pool)
		case s.toldBefore(p, time.Now().Add(-tellAgainAfter)):
			s.tellNow(p)
		}
	}
}

func (s *proposals) toldBefore(p *proposal, t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.told.Before(t)
}

// seated notes whether this is a member, or was. One that was and is no more takes nothing: nobody would order it.
func (s *proposals) seated(is, was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case is:
		s.role, s.gone = "validator", false
	case was:
		s.role, s.gone = "retired", true
		s.sendAway()
	default:
		s.role = "observer"
	}
}

// sendAway answers everybody with ErrStopped. It is called with mu held.
func (s *proposals) sendAway() {
	for _, p := range s.byID {
		s.answerLocked(p, consensus.Decision{}, consensus.ErrStopped)
	}
}

// report is what the proposals know of Status.
func (s *proposals) report() consensus.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Queued, st.Role = s.waiting, s.role
	for _, p := range s.byID {
		st.WaitedMS = max(st.WaitedMS, s.now()-p.came)
	}
	return st
}
