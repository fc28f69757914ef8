package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// An fsm is what the library hands committed entries to, from one goroutine.
type fsm struct{ *Engine }

var _ raft.BatchingFSM = fsm{}

// Apply implements raft.FSM; the library prefers ApplyBatch.
func (f fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: each entry is a block, and one Commit covers them all. The library takes no error;
// after one the App is not called any more, and Run ends.
func (f fsm) ApplyBatch(logs []*raft.Log) []any {
	f.appMu.Lock()
	defer f.appMu.Unlock()
	if f.failure() == nil {
		if err := f.deliver(logs); err != nil {
			f.fail(err)
		}
	}
	return make([]any, len(logs))
}

// A block and what came of it.
type decidedBlock struct {
	height lamppost.Height
	mine   bool // this member proposed it
	res    *lamppost.Result
}

func (f fsm) deliver(logs []*raft.Log) error {
	last := f.position()
	var done []decidedBlock
	for _, l := range logs {
		if l.Type != raft.LogCommand || lamppost.Cursor(l.Index) <= last.Cursor {
			continue // a change of the configuration, or in the state already
		}
		if len(l.Data) == markBytes && l.Data[0] == 0 {
			if m := f.mark.Load(); m != nil && bytes.Equal(m.raw, l.Data) {
				defer close(m.reached) // when what comes before is committed
			}
			continue
		}
		f.bytes += len(l.Data)
		b, res, err := f.apply(l, last)
		if err != nil {
			return fmt.Errorf("block %d, entry %d of the log: %w", last.Height+1, l.Index, err)
		}
		last.Height, last.Time, last.Root, last.Cursor = b.Height, b.Time, res.Root, b.Cursor
		f.past.add(b.Height, res.Root)
		done = append(done, decidedBlock{b.Height, b.Proposer == f.cfg.Member, res})
	}
	if len(done) == 0 {
		return nil
	}
	forget, err := f.app.Commit()
	if err != nil {
		return fmt.Errorf("committing block %d: %w", last.Height, err)
	}
	f.settle(last, done)
	if forget > f.forget {
		f.forget = forget
		poke(f.mayForget)
	}
	return nil
}

// apply makes a block of an entry and takes it through the App.
func (f fsm) apply(l *raft.Log, last consensus.Last) (*lamppost.Block, *lamppost.Result, error) {
	in, err := parseEntry(l.Data)
	if err != nil {
		return nil, nil, err
	}
	if root, known := f.past.at(in.height); known && root != in.root {
		return nil, nil, fmt.Errorf("after block %d this replica has root %v and member %q, who led, had %v: one of them decided wrongly. Keep "+
			"both folders, check them with lamppost fsck, and begin the wrong one anew under a new member id", in.height, root, in.proposer, in.root)
	}
	b := &lamppost.Block{Height: last.Height + 1, Time: max(last.Time+1, in.clock), Txs: in.txs, Proposer: in.proposer, Cursor: lamppost.Cursor(l.Index)}
	if err := f.app.Accept(b); err != nil {
		return nil, nil, err
	}
	res, err := f.app.Apply(b)
	return b, res, err
}

// settle tells of blocks that are committed.
func (f fsm) settle(last consensus.Last, done []decidedBlock) {
	f.setPosition(last)
	for _, b := range done {
		f.desk.decided(b.res.IDs, func(i int) consensus.Decision {
			if d, ok := f.view.Decided(b.res.IDs[i]); ok {
				return d // the first decision, if this is not it
			}
			return consensus.Decision{Height: b.height, Index: uint32(i), Outcomes: b.res.Outcomes[i]}
		})
		if b.mine {
			f.desk.landed()
		}
	}
	poke(f.seatsMoved)
}

func (e *Engine) position() consensus.Last {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

func (e *Engine) setPosition(last consensus.Last) {
	e.mu.Lock()
	e.last = last
	e.mu.Unlock()
}

// Snapshot implements raft.FSM. It is called between a Commit and the next Apply.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.appMu.Lock()
	defer f.appMu.Unlock()
	source, ok := f.app.(consensus.Snapshotter)
	if !ok || f.failure() != nil {
		return nil, errors.New("this replica gives no snapshots")
	}
	last, r, err := source.Snapshot()
	if err != nil {
		return nil, err
	}
	f.bytes = 0
	return &snapshot{last, r}, nil
}

// Restore implements raft.FSM: the leader sent a snapshot, since the log no longer has what comes next.
func (f fsm) Restore(r io.ReadCloser) error {
	return f.restore(r)
}

// restore replaces the App's state if the snapshot is ahead of it. An error is the App's, and final.
func (e *Engine) restore(r io.Reader) (err error) {
	e.appMu.Lock()
	defer e.appMu.Unlock()
	if err := e.failure(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.fail(err)
		}
	}()
	head, err := readHeader(r)
	if err != nil {
		return err
	}
	if head.Cursor <= e.app.Last().Cursor {
		return nil
	}
	into, ok := e.app.(consensus.Snapshotter)
	if !ok {
		return fmt.Errorf("this replica stands at block %d, the others have forgotten what comes before block %d, and it takes no snapshot",
			e.app.Last().Height, head.Height)
	}
	if err := into.Restore(r, head.Root); err != nil {
		return fmt.Errorf("restoring the state at block %d: %w", head.Height, err)
	}
	last := e.app.Last()
	if last.Height != head.Height || last.Root != head.Root || last.Cursor != head.Cursor {
		return fmt.Errorf("after restoring the state at block %d, root %v, the ledger stands at block %d, root %v", head.Height, head.Root, last.Height, last.Root)
	}
	e.setPosition(last)
	e.past = roots{}
	e.past.add(last.Height, last.Root)
	for _, p := range e.desk.each() { // its block may have been skipped
		if d, ok := e.view.Decided(p.id); ok {
			e.desk.decided([]lamppost.TxID{p.id}, func(int) consensus.Decision { return d })
		}
	}
	e.desk.renew()
	poke(e.seatsMoved)
	return nil
}

// A snapshot is on its way into a file.
type snapshot struct {
	last consensus.Last
	r    io.ReadCloser
}

// Persist implements raft.FSMSnapshot, while later blocks are applied.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	err := writeHeader(sink, s.last)
	if err == nil {
		_, err = io.Copy(sink, s.r)
	}
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() { s.r.Close() }

// roots are those after the last blocks.
type roots struct {
	ring [maxRoots]struct {
		height lamppost.Height
		root   lamppost.Hash
		known  bool
	}
}

func (r *roots) add(h lamppost.Height, root lamppost.Hash) {
	slot := &r.ring[h%maxRoots]
	slot.height, slot.root, slot.known = h, root, true
}

func (r *roots) at(h lamppost.Height) (lamppost.Hash, bool) {
	slot := r.ring[h%maxRoots]
	return slot.root, slot.known && slot.height == h
}
