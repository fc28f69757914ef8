package sim

import (
	"bytes"
	"context"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// promises is what the node has said to the world, as the world remembers it.
type promises struct {
	signed       map[lamppost.ReportID]*signed
	acknowledged map[lamppost.ReportID]lamppost.Height
	orders       []decided
	checkpoints  []lamppost.Checkpoint
}

// signed is a report that an honest device signed.
type signed struct {
	device  lamppost.DeviceID
	number  uint64
	refused bool // and its device knows
}

type decided struct {
	raw []byte
	consensus.Decision
}

func newPromises() promises {
	return promises{signed: map[lamppost.ReportID]*signed{}, acknowledged: map[lamppost.ReportID]lamppost.Height{}}
}

// acknowledge notes a report that the node says is committed: always in the same block, and an honest device's.
func (p *promises) acknowledge(w *world, r ingest.Reply) {
	if first, again := p.acknowledged[r.ID]; again && first != r.Height {
		w.violate("report %x was acknowledged in block %d and in block %d", r.ID[:4], first, r.Height)
	}
	if p.signed[r.ID] == nil {
		w.violate("report %x was acknowledged and no honest device signed it", r.ID[:4])
	}
	p.acknowledged[r.ID] = r.Height
}

func (p *promises) decided(w *world, o *order, d consensus.Decision) {
	w.note("%v %x decided in block %d: %v", o.typ, o.id[:3], d.Height, d.Outcomes[0].Code)
	p.orders = append(p.orders, decided{bytes.Clone(o.raw), d})
}

// A chain is what the archive says happened.
type chain struct {
	taken map[lamppost.ReportID]lamppost.Height // reports by block
	memos map[string]int                        // payments by intention
}

// readChain reads the archive. No report stands in it twice as taken, and none that no honest device signed.
func (w *world) readChain() chain {
	c := chain{taken: map[lamppost.ReportID]lamppost.Height{}, memos: map[string]int{}}
	for h := lamppost.Height(1); h <= w.node.rep.Last().Height; h++ {
		blk, err := archive.View{Reader: w.disk}.Block(h)
		if err != nil {
			w.violate("the archive: %v", err)
		}
		for i := range blk.Count {
			rec, err := archive.View{Reader: w.disk}.Tx(h, i)
			if err != nil {
				w.violate("the archive: %v", err)
			}
			tx, err := lamppost.ParseTransaction(rec.Raw)
			if err != nil {
				w.violate("the archive: transaction %d of block %d: %v", i, h, err)
			}
			w.readTx(&c, h, tx, rec.Outcomes)
		}
	}
	return c
}

func (w *world) readTx(c *chain, h lamppost.Height, tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	var body lamppost.TransferBody
	if tx.Type == lamppost.TxTransfer && outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(tx.Order.Body, &body) == nil {
		if c.memos[body.Memo]++; c.memos[body.Memo] > 1 {
			w.violate("%s was paid twice", body.Memo)
		}
	}
	for j := range tx.Items {
		if outcomes[j].Code != lamppost.CodeOK {
			continue
		}
		id := reportID(w, tx.Items[j].Report)
		if first, twice := c.taken[id]; twice {
			w.violate("report %x was taken in block %d and in block %d", id[:4], first, h)
		}
		if w.promise.signed[id] == nil {
			w.violate("report %x was taken and no honest device signed it", id[:4])
		}
		c.taken[id] = h
	}
}

// checkStore holds what is on disk against what was promised. It is called when the node has just been opened.
func (w *world) checkStore() chain {
	c := w.readChain()
	for id, height := range w.promise.acknowledged {
		if at, ok := c.taken[id]; !ok || at != height {
			s := w.promise.signed[id]
			w.violate("report %d of %s was acknowledged in block %d and is not there (%v, block %d)", s.number, s.device, height, ok, at)
		}
	}
	for _, o := range w.promise.orders {
		rec, err := archive.View{Reader: w.disk}.Tx(o.Height, o.Index)
		if err != nil || !sameOrder(rec.Raw, o.raw) || rec.Outcomes[0].Code != o.Outcomes[0].Code || !bytes.Equal(rec.Outcomes[0].Data, o.Outcomes[0].Data) {
			w.violate("an order was decided as transaction %d of block %d and is not there (%v)", o.Index, o.Height, err)
		}
	}
	for _, p := range w.promise.checkpoints {
		root, err := w.tree(w.promise.checkpoints[len(w.promise.checkpoints)-1]).RootAt(p.Size)
		if err != nil || lamppost.Hash(root) != p.Root {
			w.violate("the log at size %d has root %v (%v), published was %v", p.Size, root, err, p.Root)
		}
	}
	w.checkMoney()
	return c
}

// sameOrder says whether two transactions are one order: what is signed is the same.
func sameOrder(a, b []byte) bool {
	x, err1 := lamppost.ParseTransaction(a)
	y, err2 := lamppost.ParseTransaction(b)
	return err1 == nil && err2 == nil && bytes.Equal(x.SignedRaw, y.SignedRaw)
}

func (w *world) checkMoney() {
	accounts, err := ledger.View{Reader: w.disk}.Accounts()
	if err != nil {
		w.violate("accounts: %v", err)
	}
	var sum lamppost.Micro
	for _, a := range accounts {
		sum += a.Balance
	}
	if sum != 0 {
		w.violate("balances sum to %s", sum)
	}
}

// checkAll is checkStore and, now that all is quiet, that nothing is missing and that a replay gives the same.
func (w *world) checkAll() {
	c := w.checkStore()
	missing := 0
	for id, s := range w.promise.signed {
		if _, ok := c.taken[id]; !ok && !s.refused {
			missing++
		}
	}
	if missing > 0 {
		w.violate("%d reports that were neither refused nor lost are not in the ledger", missing)
	}
	for _, d := range w.devices {
		high, open, lost, err := ledger.View{Reader: w.disk}.Sequence(d.ID)
		if err != nil || lost != 0 || !d.refused && (open != 0 || high.N != d.last) {
			w.violate("%s made %d reports; the ledger knows up to %d, %d missing, %d lost (%v)", d.ID, d.last, high.N, open, lost, err)
		}
	}
	checkup, err := replica.Fsck(context.Background(), archive.View{Reader: w.disk}, w.files, func(_, _ lamppost.Height) {})
	if err != nil || len(checkup.Faults) > 0 || checkup.Root != w.node.rep.Last().Root {
		w.violate("replay: %+v, %v; the root is %v", checkup, err, w.node.rep.Last().Root)
	}
}
