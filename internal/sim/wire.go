package sim

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// A packet is a message from one member's engine to another's.
type packet struct {
	kind     kind
	from, to int
	term     uint64

	index, indexTerm uint64 // of the entry before those appended, of the last of who wants a vote; up to where it was appended
	entries          []entry
	commit           uint64
	ok               bool // voted, appended
	counts           bool // who appended votes and counts
	snap             *snapshot
	ask              *ask
}

type kind int

const (
	wantVote kind = iota
	voted
	appendTo
	appended
	install
	forward
	join
)

// String names the kind for the story.
func (k kind) String() string {
	return [...]string{"request for a vote", "vote", "entries", "answer", "snapshot", "proposal", "request for a seat"}[k]
}

func (e *engine) send(to int, p packet) {
	p.from, p.to, p.term = e.m.i, to, e.log.vote.Term
	w := e.w
	if w.wire = append(w.wire, p); len(w.wire) > maxWire {
		w.wire = slices.Delete(w.wire, 0, 1)
	}
}

func (e *engine) toAll(p packet) {
	for to := range e.seats {
		if to != e.m.i {
			e.send(to, p)
		}
	}
}

// carry takes any packet from the wire: it arrives, or is lost, or arrives and comes again.
func (w *world) carry() {
	if len(w.wire) == 0 {
		return
	}
	i := w.rng.IntN(min(len(w.wire), 12))
	p := w.wire[i]
	if w.quiet || !w.chance(25) {
		w.wire = slices.Delete(w.wire, i, i+1)
	}
	to := w.members[p.to]
	if w.cut[p.from][p.to] || to.node == nil || !w.quiet && w.chance(25) {
		return
	}
	w.result.Packets++
	if err := to.engine().hear(&p); err != nil {
		w.crash(to, "the engine says: "+err.Error())
	}
}

// hear takes a packet in.
func (e *engine) hear(p *packet) error {
	if p.term > e.log.vote.Term {
		if err := e.log.promise(vote{Term: p.term}); err != nil {
			return err
		}
		e.follow(-1)
	}
	old := p.term < e.log.vote.Term
	switch p.kind {
	case wantVote:
		return e.judge(p)
	case voted:
		if p.ok && !old && e.leader < 0 && e.log.vote.For == e.m.i+1 {
			return e.count(1 << p.from)
		}
	case appendTo, install:
		if old {
			e.send(p.from, packet{kind: appended})
			return nil
		}
		if e.leads() {
			e.w.violate("%s and %s both lead in term %d", e.m.id, e.w.members[p.from].id, p.term)
		}
		if e.leader != p.from {
			e.follow(p.from)
		}
		e.rest()
		if p.kind == install {
			return e.install(p)
		}
		return e.append(p)
	case appended:
		if e.leads() && !old {
			return e.hold(p)
		}
	case forward:
		if e.leads() && !slices.ContainsFunc(e.forwarded, func(a *ask) bool { return a.id == p.ask.id }) && !slices.ContainsFunc(e.asks, func(a *ask) bool { return a.id == p.ask.id }) {
			e.forwarded = append(e.forwarded, &ask{id: p.ask.id, tx: p.ask.tx})
		}
	case join:
		return e.admit(p)
	}
	return nil
}

// judge votes for who would lead and lacks nothing that may be committed (section 5.4.1).
func (e *engine) judge(p *packet) error {
	last, _ := e.log.termAt(e.log.last())
	behind := p.indexTerm < last || p.indexTerm == last && p.index < e.log.last()
	chosen := e.log.vote.For
	if p.term < e.log.vote.Term || behind || chosen != 0 && chosen != p.from+1 || !e.seated() {
		return nil
	}
	e.rest()
	if err := e.log.promise(vote{p.term, p.from + 1}); err != nil {
		return err
	}
	e.send(p.from, packet{kind: voted, ok: true})
	return nil
}

// append takes entries of the leader in, and says up to where its log is now the same.
func (e *engine) append(p *packet) error {
	entries, prev := p.entries, p.index
	for len(entries) > 0 && prev < e.log.base.Index { // forgotten here: it was committed
		prev, p.indexTerm, entries = prev+1, entries[0].Term, entries[1:]
	}
	if prev < e.log.base.Index {
		e.send(p.from, packet{kind: appended, ok: true, index: e.log.base.Index, counts: e.seated()})
		return nil
	}
	if term, known := e.log.termAt(prev); !known || term != p.indexTerm {
		e.send(p.from, packet{kind: appended, index: min(e.log.last(), max(prev, 1)-1)})
		return nil
	}
	for _, in := range entries {
		if term, known := e.log.termAt(prev + 1); known && (term == in.Term || e.w.o.Broken == ConflictsCut) {
			prev++
			continue
		}
		if prev < e.commit {
			e.w.violate("%s is to replace entry %d, and has committed %d", e.m.id, prev+1, e.commit)
		}
		if ok, err := e.votesFor(p, prev+1, &in); err != nil || !ok {
			if err != nil {
				return err
			}
			break
		}
		if err := e.log.put(prev+1, in); err != nil {
			return err
		}
		prev++
	}
	e.commit = max(e.commit, min(p.commit, prev))
	e.send(p.from, packet{kind: appended, ok: true, index: prev, counts: e.seated()})
	return nil
}

// votesFor says whether this member votes for a block: always under raft, under comet once all before it is applied and the App
// takes it.
func (e *engine) votesFor(p *packet, i uint64, in *entry) (bool, error) {
	if !e.w.accepts() || len(in.Txs) == 0 || i <= max(p.commit, uint64(e.last.Cursor)) {
		return true, nil
	}
	e.commit = max(e.commit, min(p.commit, i-1))
	for e.applied < e.commit {
		if err := e.apply(1); err != nil {
			return false, err
		}
	}
	for j := e.applied + 1; j < i; j++ {
		if len(e.log.at(j).Txs) > 0 {
			return false, nil
		}
	}
	b := &lamppost.Block{Height: e.last.Height + 1, Time: in.Clock, Proposer: in.Proposer, Cursor: lamppost.Cursor(i), Txs: in.Txs}
	return true, e.accept(b)
}

// install takes a snapshot of the leader in, if it is ahead. It is durable before the App is changed: who dies in between
// begins with it.
func (e *engine) install(p *packet) error {
	s := p.snap
	if s.Index > e.commit {
		if err := e.log.install(*s); err != nil {
			return err
		}
		for i, id := range s.Seats {
			e.take(&seat{i, id})
		}
		if uint64(e.last.Cursor) < s.Index {
			if err := e.restore(s); err != nil {
				return err
			}
		}
		e.commit, e.applied = s.Index, s.Index
	}
	e.send(p.from, packet{kind: appended, ok: true, index: s.Index, counts: e.seated()})
	return nil
}

// hold notes up to where a member has the leader's log.
func (e *engine) hold(p *packet) error {
	e.heard |= 1 << p.from
	if !p.ok {
		e.next[p.from] = max(1, min(e.next[p.from]-1, p.index+1))
		e.sendTo(p.from)
		return nil
	}
	e.next[p.from] = max(e.next[p.from], p.index+1)
	if p.counts {
		e.match[p.from] = max(e.match[p.from], p.index)
	}
	return e.advance()
}

// admit gives a member who lost its log a seat under its new id, once the others have committed that.
func (e *engine) admit(p *packet) error {
	id := uint32(p.index)
	if !e.leads() || e.applied < e.begins || e.seats[p.from] >= id {
		return nil
	}
	for i := e.applied + 1; i <= e.log.last(); i++ {
		if s := e.log.at(i).Seat; s != nil && s.Member == p.from {
			return nil
		}
	}
	e.match[p.from] = 0
	return e.add(entry{Seat: &seat{p.from, id}})
}
