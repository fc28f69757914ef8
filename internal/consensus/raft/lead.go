package raft

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// leadWhenElected makes blocks whenever this member leads.
func (e *Engine) leadWhenElected(ctx context.Context) {
	for ctx.Err() == nil {
		if e.raft.State() == raft.Leader {
			e.lead(ctx)
			pause(ctx, retryPause)
			continue
		}
		select {
		case <-e.raft.LeaderCh():
		case <-ctx.Done():
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// lead makes blocks until leadership ends, or may have. It begins when everything that earlier leaders ordered is applied
// here: from then on, what is on the desk is in no entry but those made here.
func (e *Engine) lead(ctx context.Context) {
	for len(e.raft.LeaderCh()) > 0 {
		<-e.raft.LeaderCh()
	}
	if !e.caughtUp(ctx) {
		return
	}
	e.desk.setLeading(true)
	defer e.desk.setLeading(false)
	poke(e.seatsMoved)
	for {
		for e.makeBlock() {
		}
		if e.desk.takeNudge() {
			e.raft.Apply(make([]byte, markBytes), 0) // the library tells what is committed with the next entry, or much later
		}
		select {
		case <-e.desk.lead:
		case <-e.raft.LeaderCh(): // lost, or lost and won again
			return
		case <-e.anew:
			return
		case <-ctx.Done():
			return
		}
	}
}

// caughtUp waits until all that is in the log is applied here, by way of an entry that is no block. It is not the library's
// barrier, which may be left unanswered when the library ends.
func (e *Engine) caughtUp(ctx context.Context) bool {
	raw := make([]byte, markBytes)
	rand.Read(raw[1:]) // never fails
	reached := make(chan struct{})
	e.mark.Store(&mark{raw, reached})
	e.raft.Apply(raw, 0)
	select {
	case <-reached:
		return true
	case <-e.raft.LeaderCh():
	case <-e.anew:
	case <-ctx.Done():
	}
	return false
}

// A mark is an entry that is no block: its leader waits for it. One of zeros is waited for by nobody.
type mark struct {
	raw     []byte
	reached chan struct{}
}

const markBytes = 1 + 16 // version 0, random

// makeBlock puts what waits into an entry of the log, without waiting for what becomes of it: that shows in the block,
// or in the loss of leadership. It reports whether there was something to do.
func (e *Engine) makeBlock() bool {
	ready := e.desk.offer()
	if len(ready) == 0 {
		return false
	}
	offered := e.undecided(ready)
	if len(offered) == 0 {
		return true
	}
	b := &lamppost.Block{Proposer: e.cfg.Member}
	for _, p := range offered {
		b.Txs = append(b.Txs, p.tx)
	}
	last, places, ok := e.prepare(b)
	if !ok {
		return false
	}
	var chosen []*proposal
	for _, i := range places {
		chosen, offered[i] = append(chosen, offered[i]), nil
	}
	for _, p := range offered { // all would have fitted: what is left is not wanted
		if p != nil {
			e.desk.refuse(p.id, consensus.Unwanted(e.view, p.tx))
		}
	}
	if len(chosen) == 0 {
		return true
	}
	in := entry{clock: e.cfg.Now(), height: last.Height, root: last.Root, proposer: e.cfg.Member, txs: b.Txs}
	e.desk.launch(chosen)
	e.raft.Apply(in.append(nil), 0)
	return true
}

// prepare lets the App choose, unless it has failed. The block's height is what it will be if all blocks on their way are committed.
func (e *Engine) prepare(b *lamppost.Block) (last consensus.Last, places []int, ok bool) {
	e.appMu.Lock()
	defer e.appMu.Unlock()
	if e.failure() != nil {
		return last, nil, false
	}
	last = e.position()
	b.Height = last.Height + 1 + lamppost.Height(e.desk.flying())
	b.Time = max(last.Time+1, e.cfg.Now())
	places, err := consensus.Pick(e.app, b, max(maxEntryBytes, len(b.Txs[0])))
	if err != nil {
		e.fail(err)
	}
	return last, places, err == nil
}

// undecided answers what was decided since it was forwarded, and returns the rest.
func (e *Engine) undecided(offered []*proposal) (rest []*proposal) {
	for _, p := range offered {
		if d, ok := e.view.Decided(p.id); ok {
			e.desk.decided([]lamppost.TxID{p.id}, func(int) consensus.Decision { return d })
		} else {
			rest = append(rest, p)
		}
	}
	return rest
}
