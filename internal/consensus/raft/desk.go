package raft

import (
	"slices"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A desk holds the proposals that wait for their block: what was proposed here and, while this member leads, what others
// forward. One id is one proposal, whoever asks for it and how often.
//
// A proposal leaves by its block, or by a refusal. Callers leave by their context; a proposal without callers stays only
// at the leader, where it may be in a block already.
type desk struct {
	lead, carry chan struct{} // 1 each: there may be something new for who leads, for who forwards

	mu      sync.Mutex
	room    *sync.Cond // something left, leading ended, or the desk was closed
	closed  bool
	leading bool
	list    []*proposal // ready ones, in the order they came
	byID    map[lamppost.TxID]*proposal
	bytes   int
	callers int
	number  uint64
	flights int  // entries of this leader that are not applied yet
	nudge   bool // what was last applied has callers at other members, who do not know yet that it is committed
	recent  recent
}

// A proposal waits for its block.
type proposal struct {
	id     lamppost.TxID
	tx     []byte
	came   lamppost.TimeMS
	number uint64 // when it got ready; 0: not yet

	callers  []*caller
	from     []*session // members that forwarded it
	sent     bool       // it was forwarded or in an entry before: it may have been ordered
	inFlight bool       // it is in an entry of this leader
}

// A caller is a call of Propose that waits.
type caller struct {
	p      *proposal
	answer chan answer // 1
}

type answer struct {
	d   consensus.Decision
	err error
}

func newDesk() *desk {
	d := &desk{lead: make(chan struct{}, 1), carry: make(chan struct{}, 1), byID: map[lamppost.TxID]*proposal{},
		recent: recent{at: map[lamppost.TxID]int{}}}
	d.room = sync.NewCond(&d.mu)
	return d
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// join registers a caller. From now on he hears of the id's block; the transaction goes on its way with pass.
func (d *desk) join(id lamppost.TxID, tx []byte, now lamppost.TimeMS) (*caller, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, consensus.ErrStopped
	case d.callers >= maxCallers || d.bytes+len(tx) > maxOpenBytes && d.byID[id] == nil:
		return nil, consensus.ErrBusy
	}
	p := d.byID[id]
	if p == nil {
		p = d.open(id, tx, now)
	}
	c := &caller{p: p, answer: make(chan answer, 1)}
	p.callers = append(p.callers, c)
	d.callers++
	return c, nil
}

func (d *desk) open(id lamppost.TxID, tx []byte, now lamppost.TimeMS) *proposal {
	p := &proposal{id: id, tx: tx, came: now}
	d.byID[id] = p
	d.bytes += len(tx)
	return p
}

// pass lets a caller's transaction go on its way, unless it is already.
func (d *desk) pass(c *caller) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byID[c.p.id] == c.p {
		d.ready(c.p)
	}
}

func (d *desk) ready(p *proposal) {
	if p.number != 0 {
		return
	}
	d.number++
	p.number = d.number
	d.list = append(d.list, p)
	poke(d.lead)
	poke(d.carry)
}

// leave ends a caller's waiting.
func (d *desk) leave(c *caller) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(c.p.callers, c)
	if i < 0 {
		return
	}
	c.p.callers = slices.Delete(c.p.callers, i, i+1)
	d.callers--
	if len(c.p.callers) == 0 && (c.p.number == 0 || !d.leading) {
		d.remove(c.p)
	}
}

// remove is called with mu held. A proposal that left already is left alone.
func (d *desk) remove(gone ...*proposal) {
	for _, p := range gone {
		if d.byID[p.id] == p {
			delete(d.byID, p.id)
			d.bytes -= len(p.tx)
		}
	}
	d.list = slices.DeleteFunc(d.list, func(p *proposal) bool { return d.byID[p.id] != p })
	d.room.Broadcast()
}

// tell answers all callers of proposals that leave. It is called with mu held.
func (d *desk) tell(p *proposal, a answer) {
	for _, c := range p.callers {
		c.answer <- a
	}
	d.callers -= len(p.callers)
	p.callers = nil
}

// decided is called with what a block decided, when it is committed and published.
func (d *desk) decided(ids []lamppost.TxID, decision func(i int) consensus.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var gone []*proposal
	for i, id := range ids {
		d.recent.add(id)
		if p := d.byID[id]; p != nil && len(p.callers) > 0 {
			d.tell(p, answer{d: decision(i)})
		}
		if p := d.byID[id]; p != nil {
			d.nudge = d.nudge || len(p.from) > 0
			gone = append(gone, p)
		}
	}
	if len(gone) > 0 {
		d.remove(gone...)
	}
}

// refuse ends a proposal that becomes no block, wherever it came from.
func (d *desk) refuse(id lamppost.TxID, err error) {
	d.mu.Lock()
	p := d.byID[id]
	var from []*session
	if p != nil {
		from = p.from
		d.tell(p, answer{err: err})
		d.remove(p)
	}
	d.mu.Unlock()
	for _, s := range from {
		s.refuse(id, err)
	}
}

// each returns the proposals with callers.
func (d *desk) each() []*proposal {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*proposal, 0, len(d.byID))
	for _, p := range d.byID {
		if len(p.callers) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// renew sends everything on its way once more, as if it never was: a snapshot may have brought its blocks, which nobody
// here will see.
func (d *desk) renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	for _, p := range list {
		p.number, p.sent = 0, false
		d.ready(p)
	}
}

// offer returns ready proposals that are in no entry yet, a block's worth: together at most maxEntryBytes, or a larger
// one alone. It returns none while that block had better wait: for others to land, or to be full.
func (d *desk) offer() (offered []*proposal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flights >= maxInFlight {
		return nil
	}
	size, full := 0, false
	for _, p := range d.list {
		if p.inFlight {
			continue
		}
		if size += len(p.tx); len(offered) > 0 && size > maxEntryBytes || len(offered) == lamppost.MaxBlockTxs {
			full = true
			break
		}
		offered = append(offered, p)
	}
	if d.flights >= fillBeyond && !full && size < maxEntryBytes {
		return nil
	}
	return offered
}

// flying returns how many blocks are on their way.
func (d *desk) flying() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flights
}

// takeNudge reports whether others wait to hear what is committed, while no block follows that would tell them.
func (d *desk) takeNudge() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	nudge := d.nudge && d.flights == 0
	if nudge {
		d.nudge = false
	}
	return nudge
}

// launch says that proposals are in an entry now.
func (d *desk) launch(p []*proposal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flights++
	d.nudge = false
	for _, p := range p {
		p.inFlight, p.sent = true, true
	}
}

// landed says that one of this leader's entries is applied.
func (d *desk) landed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flights = max(0, d.flights-1)
	poke(d.lead)
}

// take takes what a member forwards, when there is room. It reports false when this member does not lead.
func (d *desk) take(s *session, f forwarded, now lamppost.TimeMS) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.leading && !d.closed && (len(d.list) >= maxOpen || d.bytes >= maxOpenBytes) {
		d.room.Wait()
	}
	if !d.leading || d.closed {
		return false
	}
	if f.again && d.recent.has(f.id) {
		return true // its block is on the way to the caller
	}
	p := d.byID[f.id]
	if p == nil {
		p = d.open(f.id, f.tx, now)
	}
	if !slices.Contains(p.from, s) {
		p.from = append(p.from, s)
	}
	d.ready(p)
	return true
}

// setLeading begins or ends taking what others forward. At the end only what has callers here stays, to be forwarded.
func (d *desk) setLeading(leading bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leading, d.flights, d.nudge = leading, 0, false
	if !leading {
		var gone []*proposal
		for _, p := range d.list {
			if p.inFlight, p.from = false, nil; len(p.callers) == 0 {
				gone = append(gone, p)
			}
		}
		d.remove(gone...)
	}
	poke(d.lead)
	poke(d.carry)
}

// next returns the first ready proposal of a caller here after a number, to be forwarded, or false.
func (d *desk) next(after uint64) (f forwarded, number uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, _ := slices.BinarySearchFunc(d.list, after+1, func(p *proposal, n uint64) int { return int(int64(p.number) - int64(n)) })
	if i == len(d.list) || d.leading {
		return f, 0, false
	}
	p := d.list[i]
	f = forwarded{again: p.sent, id: p.id, tx: p.tx}
	p.sent = true
	return f, p.number, true
}

// first returns the number of the proposal that waits longest, 0 if none does.
func (d *desk) first() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return 0
	}
	return d.list[0].number
}

// close turns everybody away.
func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, p := range d.byID {
		d.tell(p, answer{err: consensus.ErrStopped})
	}
	clear(d.byID)
	d.list, d.bytes = nil, 0
	d.room.Broadcast()
}

// waiting returns how many callers wait, and since when the first.
func (d *desk) waiting() (callers int, since lamppost.TimeMS) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := true
	for _, p := range d.byID {
		if len(p.callers) > 0 && (first || p.came < since) {
			first, since = false, p.came
		}
	}
	return d.callers, since
}

// recent remembers the last ids that were ordered.
type recent struct {
	ids [maxRecent]lamppost.TxID
	n   int
	at  map[lamppost.TxID]int // the last place of an id, counted from the first ever
}

func (r *recent) add(id lamppost.TxID) {
	slot := &r.ids[r.n%maxRecent]
	if r.n >= maxRecent && r.at[*slot] == r.n-maxRecent {
		delete(r.at, *slot)
	}
	*slot = id
	r.at[id] = r.n
	r.n++
}

func (r *recent) has(id lamppost.TxID) bool {
	_, ok := r.at[id]
	return ok
}
