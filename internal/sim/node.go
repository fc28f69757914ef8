package sim

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// Limits of the simulated node, small so that they are reached.
const (
	workers  = 3  // segments in the making at once
	maxBatch = 8  // reports in a segment
	maxQueue = 24 // reports waiting; more are turned away
)

// An orderer is an engine that is driven by hand: the solo engine, or a member's part in the model of the others.
type orderer interface {
	// Submit takes a proposal on its way. A *consensus.NotLeaderError says that it did not.
	Submit(id lamppost.TxID, tx []byte) (proposal, error)
	// Step does some of what there is to do, and reports whether it made a block durable. An error ends the process.
	Step() (bool, error)
}

// A proposal waits for its block.
type proposal interface {
	Done() <-chan struct{}
	Answer() (consensus.Decision, error) // once it is done
}

// alone is the solo engine.
type alone struct{ *solo.Engine }

// Submit implements orderer.
func (a alone) Submit(id lamppost.TxID, tx []byte) (proposal, error) { return a.Engine.Submit(id, tx) }

// A node is one running process: all of it but the member's disks and files is gone after a crash.
type node struct {
	m       *member
	rep     *replica.Replica
	eng     orderer
	queue   []ingest.Item
	cores   []*ingest.Core // idle
	flying  []flight
	checked map[lamppost.TxID]bool
	number  uint64
}

// A flight is a segment between proposal and reply.
type flight struct {
	core     *ingest.Core
	id       lamppost.TxID
	proposal proposal
	batch    []ingest.Item
	reports  int
}

// openNode starts a member's process. An error is one of its disks.
func openNode(w *world, m *member) (*node, error) {
	n := &node{m: m, checked: map[lamppost.TxID]bool{}}
	var err error
	n.rep, err = replica.Open(replica.Config{Store: m.disk, Files: m.files, Checked: func(id lamppost.TxID, _ []byte) bool {
		was := n.checked[id]
		delete(n.checked, id)
		return was
	}, Committed: func(ev *replica.Event) { w.committed(m, ev.Block.Height) }})
	if err != nil {
		return nil, err
	}
	app := watched{n.rep, w, m}
	if len(w.members) == 1 {
		n.eng = alone{solo.New(solo.Config{App: app, View: n.rep, Member: m.id, Now: m.now})}
	} else if n.eng, err = openEngine(w, m, app); err != nil {
		return nil, err
	}
	for range workers {
		n.cores = append(n.cores, ingest.NewCore(ingest.Config{Network: w.net.ID, Gateway: m.id, Key: func() *sig.PrivateKey { return m.key },
			Epoch: uint32(w.result.Crashes), KeyOf: n.keyOf(w), Salts: w.net.Salts, Metrics: w.metrics}))
	}
	return n, nil
}

// keyOf asks the replica for the keys of devices, all of which sign by themselves.
func (n *node) keyOf(w *world) func(lamppost.DeviceID, uint32) (*sig.PublicKey, *lamppost.Refusal) {
	return func(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
		v, ok := n.rep.Vouch(id)
		if !ok {
			return nil, ingest.Unknown
		}
		if epoch > v.Epoch && len(w.members) > 1 {
			return nil, ingest.KeyAhead // the others may know it
		}
		if v = v.Under(epoch, n.m.now()); v == nil {
			return nil, ingest.KeyOver
		}
		return v.Key, nil
	}
}

// receive takes a report in, or turns it away.
func (n *node) receive(w *world, from *device, number uint64, raw []byte) {
	if n.rep.Last().Height == 0 {
		w.note("%s knows no device: report %d of %s turned away", n.m.id, number, from.ID)
		return
	}
	if len(n.queue) == maxQueue {
		w.note("busy: report %d of %s turned away", number, from.ID)
		return
	}
	n.queue = append(n.queue, ingest.Item{Raw: raw, At: n.m.now(), From: &ingest.Origin{Device: from.ID}, Token: number, Sink: door{w, from}})
}

// pack has an idle worker make a segment of some of the queue.
func (n *node) pack(w *world) {
	if len(n.queue) == 0 || len(n.cores) == 0 {
		return
	}
	core := n.cores[0]
	batch := append([]ingest.Item(nil), n.queue[:min(len(n.queue), 1+w.rng.IntN(maxBatch))]...)
	n.queue = n.queue[len(batch):]
	n.number++
	id, raw, err := core.Pack(batch, n.number)
	if err != nil {
		w.violate("packing: %v", err)
	}
	if w.o.Broken == VerifiedFirst {
		id, raw = n.believe(w, batch)
	}
	if len(raw) == 0 {
		return
	}
	n.checked[id] = true
	p, err := n.eng.Submit(id, raw)
	if elsewhere(err) {
		w.note("%s knows no leader: %d reports are not answered", n.m.id, len(batch))
		delete(n.checked, id)
		return
	}
	if err != nil {
		w.violate("proposing a segment: %v", err)
	}
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		w.violate("ingest packed what is no transaction: %v", err)
	}
	if tx.Header.Aggregate != nil {
		w.result.Halved++
	}
	w.note("%s proposes segment %d of %d reports", n.m.id, n.number, len(tx.Items))
	n.cores = n.cores[1:]
	n.flying = append(n.flying, flight{core, id, p, batch, len(tx.Items)})
	if w.o.Broken == AckAfterCommit {
		core.Reply(consensus.Decision{Height: n.rep.Last().Height + 1, Outcomes: make([]lamppost.Outcome, len(tx.Items))})
	}
}

// believe is Pack without looking, for a broken VerifiedFirst.
func (n *node) believe(w *world, batch []ingest.Item) (lamppost.TxID, []byte) {
	var reports [][]byte
	for _, it := range batch {
		reports = append(reports, it.Raw)
	}
	tx := w.net.Segment(w.now, reports...)
	return tx.ID(w.net.ID), tx.Append(nil)
}

// block lets the engine make a block, and answers who waited for it, unless the node dies in between.
func (n *node) block(w *world) {
	did, err := n.eng.Step()
	if err != nil {
		w.crash(n.m, "the engine says: "+err.Error())
		return
	}
	if !did {
		return
	}
	w.result.Blocks++
	w.note("%s: block %d", n.m.id, n.rep.Last().Height)
	if !w.quiet && w.chance(15) {
		w.crash(n.m, "killed between commit and answer")
		return
	}
	n.answer(w)
	w.office.answered(w)
}

// answer tells the devices whose segments are decided.
func (n *node) answer(w *world) {
	flying := n.flying
	n.flying = nil
	for _, f := range flying {
		select {
		case <-f.proposal.Done():
			n.land(w, f)
		default:
			n.flying = append(n.flying, f)
		}
	}
}

func (n *node) land(w *world, f flight) {
	n.cores = append(n.cores, f.core)
	delete(n.checked, f.id)
	d, err := f.proposal.Answer()
	if err != nil {
		w.violate("a segment was not decided: %v", err)
	}
	if len(d.Outcomes) != f.reports {
		w.violate("%d outcomes for %d reports", len(d.Outcomes), f.reports)
	}
	switch w.o.Broken {
	case AckAfterCommit: // done long ago
	case VerifiedFirst:
		for i, it := range f.batch {
			if d.Outcomes[i].Code == lamppost.CodeOK {
				it.Sink.Done(it.Token, ingest.Reply{ID: reportID(w, it.Raw), Height: d.Height})
			}
		}
	default:
		f.core.Reply(d)
	}
}
