package sim

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// Limits of the simulated engine.
const (
	maxInFlight = 3  // blocks of a leader that are not applied yet, where members do not look at a block before they vote
	maxWire     = 96 // messages between members under way; then the oldest is lost
	patience    = 5  // ticks without a word from a leader until a member would lead, and up to as many more
	lease       = 12 // ticks without a word from enough members until a leader ends
)

// An engine is one member's part in a model of what raft and comet promise, and do to the App. It is Raft (Ongaro and
// Ousterhout 2014, figure 2 and section 7): terms, votes, a log of entries that is the same up to what is committed,
// snapshots for who is too far behind. quorum says how many must hold an entry, or vote for a leader: more than half under
// raft, more than two thirds under comet. Under comet there is one block at a time, and a member has applied all before it and
// asked its App (Accept) when it votes for it; a block that was not decided is proposed again by the next leader.
//
// It assumes what they assume: members do not lie, and what was written is there after a crash. Who lost something of its
// log comes back under another id, with an empty log, and counts and votes from when the others have committed that: the
// voters of before and after then share a member who remembers. Comet's evidence and empty blocks are not modelled, nor are
// members who join or leave.
type engine struct {
	w    *world
	m    *member
	app  watched
	log  log
	last consensus.Last // applied
	past map[lamppost.Height]lamppost.Hash

	commit, applied uint64
	forget          lamppost.Cursor
	seats           []uint32 // ids of all members, as applied

	leader int // -1: not known
	wait   int // ticks until it would lead
	votes  uint

	// Of a leader.
	begins      uint64 // its first entry: blocks are made once this is applied
	next, match []uint64
	heard       uint
	lease       int
	forwarded   []*ask // by others

	asks []*ask // made here, not answered
}

// An ask is a proposal.
type ask struct {
	id     lamppost.TxID
	tx     []byte
	flies  bool // it is in an entry of this leader
	done   chan struct{}
	answer consensus.Decision
}

// Done implements proposal.
func (a *ask) Done() <-chan struct{} { return a.done }

// Answer implements proposal.
func (a *ask) Answer() (consensus.Decision, error) { return a.answer, nil }

// openEngine continues where log and App stand. An error may be of either disk.
func openEngine(w *world, m *member, app watched) (e *engine, err error) {
	e = &engine{w: w, m: m, app: app, leader: -1, seats: make([]uint32, len(w.members))}
	if e.log, err = openLog(m.wal); err != nil {
		return nil, err
	}
	copy(e.seats, e.log.Snap.Seats)
	if at := uint64(app.Last().Cursor); at < e.log.Snap.Index {
		if err := e.restore(&e.log.Snap); err != nil {
			return nil, err
		}
	}
	e.last = app.Last()
	at := uint64(e.last.Cursor)
	if at > e.log.last() && !m.lost {
		w.violate("%s has applied entry %d, and its log ends at %d", m.id, at, e.log.last())
	}
	e.past = map[lamppost.Height]lamppost.Hash{e.last.Height: e.last.Root}
	e.applied = max(min(at, e.log.last()), e.log.base.Index)
	e.commit = max(e.applied, e.decidedBefore())
	for i := e.log.base.Index + 1; i <= e.applied; i++ {
		e.take(e.log.at(i).Seat)
	}
	e.rest()
	return e, nil
}

// decidedBefore is the block before the last in the log. Under comet that one was decided, or the last would not have been proposed.
func (e *engine) decidedBefore() (before uint64) {
	if !e.w.accepts() {
		return 0
	}
	last := uint64(0)
	for i := e.log.base.Index + 1; i <= e.log.last(); i++ {
		if len(e.log.at(i).Txs) > 0 {
			before, last = last, i
		}
	}
	return before
}

func (e *engine) take(s *seat) {
	if s == nil {
		return
	}
	e.seats[s.Member] = max(e.seats[s.Member], s.ID)
	if s.Member == e.m.i && s.ID == e.m.seat && e.m.lost {
		e.m.lost = false
		e.w.note("%s counts again, under id %d", e.m.id, s.ID)
	}
}

// seated says whether this member votes and counts.
func (e *engine) seated() bool { return !e.m.lost || e.w.o.Broken == LossNoticed }

func (e *engine) rest() { e.wait = patience + e.w.rng.IntN(patience) }

func (e *engine) leads() bool { return e.leader == e.m.i }

func (e *engine) quorum() int {
	if e.w.o.Broken == Majority {
		return 1
	}
	return e.w.o.Engine.Consent(len(e.w.members))
}

// Submit takes a proposal on its way, here or to the leader.
func (e *engine) Submit(id lamppost.TxID, tx []byte) (proposal, error) {
	a := &ask{id: id, tx: bytes.Clone(tx), done: make(chan struct{})}
	if d, ok := e.app.Decided(id); ok {
		a.answer = d
		close(a.done)
		return a, nil
	}
	if err := e.app.CheckTx(tx); err != nil {
		return nil, err
	}
	if e.leader < 0 {
		return nil, &consensus.NotLeaderError{}
	}
	e.asks = append(e.asks, a)
	return a, nil
}

// tick is a moment of the engine's clock.
func (e *engine) tick() error {
	if e.leads() {
		if e.lease--; e.lease <= 0 {
			if bits.OnesCount(e.heard|1<<e.m.i) < e.quorum() {
				e.w.note("%s hears too few and leads no more", e.m.id)
				e.follow(-1)
				return nil
			}
			e.heard, e.lease = 0, lease
		}
		e.spread()
		return nil
	}
	for _, a := range e.asks {
		if e.leader >= 0 {
			e.send(e.leader, packet{kind: forward, ask: a})
		}
	}
	if !e.seated() {
		e.toAll(packet{kind: join, index: uint64(e.m.seat)})
	}
	if e.wait--; e.wait > 0 || !e.seated() {
		return nil
	}
	e.rest()
	e.leader, e.votes = -1, 1<<e.m.i
	if err := e.log.promise(vote{e.log.vote.Term + 1, e.m.i + 1}); err != nil {
		return err
	}
	e.w.note("%s would lead in term %d", e.m.id, e.log.vote.Term)
	term, _ := e.log.termAt(e.log.last())
	e.toAll(packet{kind: wantVote, index: e.log.last(), indexTerm: term})
	return e.count(0)
}

// count adds votes.
func (e *engine) count(votes uint) error {
	if e.votes |= votes; e.leader >= 0 || bits.OnesCount(e.votes) < e.quorum() {
		return nil
	}
	e.w.note("%s leads in term %d", e.m.id, e.log.vote.Term)
	e.w.result.Leaders++
	e.leader, e.votes, e.heard, e.lease = e.m.i, 0, 0, lease
	e.next, e.match = make([]uint64, len(e.seats)), make([]uint64, len(e.seats))
	for i := range e.next {
		e.next[i] = e.log.last() + 1
	}
	e.begins = e.log.last() + 1
	return e.add(entry{})
}

// follow ends leading, and what was in this leader's entries goes on its way again.
func (e *engine) follow(leader int) {
	e.leader, e.votes, e.forwarded = leader, 0, nil
	for _, a := range e.asks {
		a.flies = false
	}
}

// add appends an entry to a leader's log and sends it.
func (e *engine) add(in entry) error {
	in.Term, in.Proposer = e.log.vote.Term, e.m.id
	if err := e.log.put(e.log.last()+1, in); err != nil {
		return err
	}
	e.spread()
	return e.advance()
}

// spread sends everybody what it lacks, or a sign of life.
func (e *engine) spread() {
	for to := range e.seats {
		if to != e.m.i {
			e.sendTo(to)
		}
	}
}

func (e *engine) sendTo(to int) {
	prev := e.next[to] - 1
	term, known := e.log.termAt(prev)
	if !known {
		snap := e.log.Snap
		e.send(to, packet{kind: install, snap: &snap})
		return
	}
	most := min(e.log.last(), prev+8)
	e.send(to, packet{kind: appendTo, index: prev, indexTerm: term, commit: e.commit, entries: slices.Clone(e.log.entries[prev-e.log.base.Index : most-e.log.base.Index])})
}

// advance commits what enough members hold. An entry of an earlier term is committed by one of this term (section 5.4.2).
func (e *engine) advance() error {
	for i := e.log.last(); i > e.commit && e.log.at(i).Term == e.log.vote.Term; i-- {
		have := 1
		for to, at := range e.match {
			if to != e.m.i && at >= i {
				have++
			}
		}
		if have >= e.quorum() {
			e.commit = i
			break
		}
	}
	return nil
}

// propose makes a block of what waits, if this member leads.
func (e *engine) propose() error {
	flying := 0
	for i := e.applied + 1; i <= e.log.last(); i++ {
		if len(e.log.at(i).Txs) > 0 {
			flying++
		}
	}
	if !e.leads() || e.applied < e.begins || flying >= maxInFlight || flying > 0 && e.w.accepts() {
		return nil
	}
	b := &lamppost.Block{Height: e.last.Height + 1 + lamppost.Height(flying), Time: max(e.last.Time+1, e.m.now()), Proposer: e.m.id}
	var offered []*ask
	offered = append(e.offer(offered, b, e.asks), e.offer(nil, b, e.forwarded)...)
	if len(offered) == 0 {
		return nil
	}
	places, err := consensus.Pick(e.app, b, lamppost.MaxBlockBytes)
	if err != nil {
		return err
	}
	if len(places) != len(offered) {
		e.w.violate("%s passed over %d of %d transactions", e.m.id, len(offered)-len(places), len(offered))
	}
	if e.w.accepts() {
		if err := e.accept(b); err != nil {
			return err
		}
	}
	for _, a := range offered {
		a.flies = true
	}
	return e.add(entry{Clock: b.Time, Height: e.last.Height, Root: bytes.Clone(e.last.Root[:]), Txs: b.Txs})
}

// offer adds to a block what is in none and not decided, each id once.
func (e *engine) offer(offered []*ask, b *lamppost.Block, from []*ask) []*ask {
	for _, a := range from {
		_, decided := e.app.Decided(a.id)
		switch {
		case a.flies || decided:
		case slices.ContainsFunc(b.Txs, func(tx []byte) bool { return bytes.Equal(tx, a.tx) }):
			a.flies = true
		default:
			b.Txs, offered = append(b.Txs, bytes.Clone(a.tx)), append(offered, a)
		}
	}
	return offered
}

// accept asks the App about a block that nobody lies about.
func (e *engine) accept(b *lamppost.Block) error {
	err := e.app.Accept(b)
	if err != nil && !e.m.disk.found {
		e.w.violate("%s refused an honest block: %v", e.m.id, err)
	}
	return err
}

// block makes an entry the App's next block, in memory of its own.
func (e *engine) block(i uint64) *lamppost.Block {
	in := e.log.at(i)
	b := &lamppost.Block{Height: e.last.Height + 1, Time: max(e.last.Time+1, in.Clock), Proposer: in.Proposer, Cursor: lamppost.Cursor(i)}
	for _, tx := range in.Txs {
		b.Txs = append(b.Txs, bytes.Clone(tx))
	}
	return b
}

// apply takes committed entries through the App, at most so many blocks in one Commit.
func (e *engine) apply(most int) error {
	var done []*lamppost.Block
	var results []*lamppost.Result
	for e.applied < e.commit && len(done) < most {
		e.applied++
		in := e.log.at(e.applied)
		e.take(in.Seat)
		if len(in.Txs) == 0 || lamppost.Cursor(e.applied) <= e.last.Cursor {
			continue // no block, or in the state already
		}
		if root, known := e.past[in.Height]; known && !bytes.Equal(root[:], in.Root) {
			e.w.violate("after block %d %s has root %v and %s, who led, had %x", in.Height, e.m.id, root, in.Proposer, in.Root)
		}
		b := e.block(e.applied)
		if err := e.accept(b); err != nil {
			return err
		}
		res, err := e.app.Apply(b)
		if err != nil {
			return err
		}
		e.last = consensus.Last{Height: b.Height, Time: b.Time, Root: res.Root, Cursor: b.Cursor}
		e.past[b.Height] = res.Root
		done, results = append(done, b), append(results, res)
	}
	if len(done) == 0 {
		return nil
	}
	var err error
	if e.forget, err = e.app.Commit(); err != nil {
		return err
	}
	for i, b := range done {
		e.decided(b, results[i])
		for _, tx := range b.Txs {
			clear(tx) // it was the App's during the calls only
		}
	}
	return nil
}

// decided answers who waited for a block's transactions.
func (e *engine) decided(b *lamppost.Block, res *lamppost.Result) {
	for i, id := range res.IDs {
		e.asks = e.answer(e.asks, id, consensus.Decision{Height: b.Height, Index: uint32(i), Outcomes: res.Outcomes[i]})
		e.forwarded = slices.DeleteFunc(e.forwarded, func(a *ask) bool { return a.id == id })
	}
}

func (e *engine) answer(asks []*ask, id lamppost.TxID, d consensus.Decision) []*ask {
	return slices.DeleteFunc(asks, func(a *ask) bool {
		if a.id != id {
			return false
		}
		if first, ok := e.app.Decided(id); ok {
			d = first
		}
		a.answer = d
		close(a.done)
		return true
	})
}

// Step implements orderer: some of what the engine could do now.
func (e *engine) Step() (bool, error) {
	before := e.last.Height
	most := 1
	if !e.w.accepts() {
		most += e.w.rng.IntN(4)
	}
	if err := e.apply(most); err != nil {
		return false, err
	}
	return e.last.Height > before, e.propose()
}

// compact takes a snapshot and lets go of the log what the App does, all of it or all but a little.
func (e *engine) compact() error {
	index := uint64(e.last.Cursor)
	upTo := min(uint64(e.forget), index)
	upTo -= min(upTo, uint64(e.w.rng.IntN(3)))
	if e.w.accepts() || upTo <= e.log.base.Index {
		return nil // comet hands out no snapshots
	}
	last, r, err := e.app.Snapshot()
	if err != nil {
		return err
	}
	state, err := io.ReadAll(r)
	if cerr := r.Close(); err != nil || cerr != nil {
		return fmt.Errorf("taking a snapshot: %v, %v", err, cerr)
	}
	term, _ := e.log.termAt(index)
	e.w.note("%s takes a snapshot at block %d", e.m.id, last.Height)
	e.w.result.Snapshots++
	return e.log.forget(upTo, snapshot{Index: index, Term: term, Seats: slices.Clone(e.seats), Root: last.Root[:], State: state})
}

// restore replaces the App's state.
func (e *engine) restore(s *snapshot) error {
	if err := e.app.Restore(bytes.NewReader(s.State), lamppost.Hash(s.Root)); err != nil {
		return err
	}
	last := e.app.Last()
	e.w.note("%s restored the state at block %d", e.m.id, last.Height)
	e.w.result.Restored++
	if uint64(last.Cursor) != s.Index || !bytes.Equal(last.Root[:], s.Root) {
		e.w.violate("%s restored cursor %d, root %v from a snapshot of cursor %d, root %x", e.m.id, last.Cursor, last.Root, s.Index, s.Root)
	}
	e.w.restored(e.m, last)
	e.last, e.past = last, map[lamppost.Height]lamppost.Hash{last.Height: last.Root}
	for _, a := range slices.Clone(e.asks) {
		if d, ok := e.app.Decided(a.id); ok {
			e.asks = e.answer(e.asks, a.id, d)
		}
	}
	return nil
}
