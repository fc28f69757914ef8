package sim

import (
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// Limits of the simulated node, small so that they are reached.
const (
	workers  = 3  // segments in the making at once
	maxBatch = 8  // reports in a segment
	maxQueue = 24 // reports waiting; more are turned away
)

// A node is one running process: all of it but disk and files is gone after a crash.
type node struct {
	rep     *replica.Replica
	eng     *solo.Engine
	queue   []ingest.Item
	cores   []*ingest.Core // idle
	flying  []flight
	checked map[lamppost.TxID]bool
	number  uint64
	skew    lamppost.TimeMS
}

// A flight is a segment between proposal and reply.
type flight struct {
	core     *ingest.Core
	id       lamppost.TxID
	proposal *solo.Proposal
	batch    []ingest.Item
	reports  int
}

func openNode(w *world) *node {
	n := &node{checked: map[lamppost.TxID]bool{}}
	var err error
	n.rep, err = replica.Open(replica.Config{Store: w.disk, Checked: func(id lamppost.TxID, _ []byte) bool {
		was := n.checked[id]
		delete(n.checked, id)
		return was
	}})
	if err != nil {
		w.violate("the store cannot be opened: %v", err)
	}
	n.eng = solo.New(solo.Config{App: n.rep, View: n.rep, Member: w.net.Member, Now: func() lamppost.TimeMS { return w.now + n.skew }})
	for range workers {
		n.cores = append(n.cores, ingest.NewCore(ingest.Config{Network: w.net.ID, Gateway: w.net.Member, Key: func() *sig.PrivateKey { return w.net.Key },
			Epoch: uint32(w.result.Crashes), KeyOf: n.keyOf(w), Salts: w.net.Salts, Metrics: w.metrics}))
	}
	return n
}

// keyOf asks the replica for the keys of devices, all of which sign by themselves.
func (n *node) keyOf(w *world) func(lamppost.DeviceID, uint32) (*sig.PublicKey, *lamppost.Refusal) {
	return func(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
		v, ok := n.rep.Vouch(id)
		if !ok {
			return nil, ingest.Unknown
		}
		if v = v.Under(epoch, w.now+n.skew); v == nil {
			return nil, ingest.KeyOver
		}
		return v.Key, nil
	}
}

// receive takes a report in, or turns it away.
func (n *node) receive(w *world, from *device, number uint64, raw []byte) {
	if len(n.queue) == maxQueue {
		w.note("busy: report %d of %s turned away", number, from.ID)
		return
	}
	n.queue = append(n.queue, ingest.Item{Raw: raw, At: w.now + n.skew, From: &ingest.Origin{Device: from.ID}, Token: number, Sink: door{w, from}})
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
	w.note("segment %d of %d reports proposed", n.number, len(tx.Items))
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
		w.crash("the engine says: " + err.Error())
		return
	}
	if !did {
		return
	}
	w.result.Blocks++
	w.note("block %d", n.rep.Last().Height)
	if !w.quiet && w.chance(15) {
		w.crash("killed between commit and answer")
		return
	}
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
	w.office.answered(w)
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

// publish writes tiles and checkpoint and holds the new checkpoint against those before.
func (n *node) publish(w *world) {
	signer, verifier := noteKey(w)
	p := &tilelog.Publisher{Origin: lamppost.Origin(w.net.ID, w.net.Member), Signer: signer, Verifier: verifier, Storage: w.files}
	signed, err := p.Publish(w.disk)
	if errors.Is(err, errFile) {
		w.note("publishing failed")
		w.seePublished(verifier) // it may be there all the same
		return
	}
	if err != nil {
		w.violate("publishing: %v", err)
	}
	if string(signed) != string(w.files.data[tilelog.CheckpointPath]) {
		w.violate("Publish returned another checkpoint than it wrote")
	}
	w.seePublished(verifier)
	n.trim(w)
}

// trim takes out of the store what stands in complete tiles.
func (n *node) trim(w *world) {
	var b kv.Batch
	tilelog.Trim(&b, w.promise.checkpoints[len(w.promise.checkpoints)-1])
	if err := w.disk.Apply(&b); err != nil {
		w.note("trimming failed")
		w.crash("a failed write")
	}
}

// seePublished is a witness: every checkpoint that anybody could have seen must be the beginning of the next.
func (w *world) seePublished(verifier note.Verifier) {
	raw, ok := w.files.data[tilelog.CheckpointPath]
	if !ok {
		return
	}
	c, _, err := lamppost.OpenCheckpoint(raw, note.VerifierList(verifier))
	if err != nil {
		w.violate("the published checkpoint: %v", err)
	}
	if k := len(w.promise.checkpoints); k > 0 {
		old := w.promise.checkpoints[k-1]
		if c == old {
			return
		}
		if c.Size < old.Size {
			w.violate("the published log shrank from %d to %d leaves", old.Size, c.Size)
		}
		proof, err := w.tree(c).ProveConsistency(old.Size)
		if err == nil {
			err = tlog.CheckTree(proof, c.Size, tlog.Hash(c.Root), old.Size, tlog.Hash(old.Root))
		}
		if err != nil {
			w.violate("checkpoint of size %d does not continue that of size %d: %v", c.Size, old.Size, err)
		}
	}
	w.result.Checkpoints++
	w.note("published at size %d", c.Size)
	w.promise.checkpoints = append(w.promise.checkpoints, c)
}

// tree reads what is published under a checkpoint.
func (w *world) tree(c lamppost.Checkpoint) *tilelog.Tree {
	return tilelog.NewTree(w.files, c.Size, tlog.Hash(c.Root))
}

// noteKey writes the member's key as a signed note's.
func noteKey(w *world) (note.Signer, note.Verifier) {
	verifier, err := note.NewVerifier(audit.VerifierKey(w.net.ID, w.net.GenesisBody().Members[0]))
	if err != nil {
		panic(err)
	}
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, w.net.Key.Seed()...))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", verifier.Name(), verifier.KeyHash(), secret))
	if err != nil {
		panic(err)
	}
	return signer, verifier
}
