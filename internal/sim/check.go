package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// promises is what the members have said to the world, as the world remembers it.
type promises struct {
	signed       map[lamppost.ReportID]*signed
	acknowledged map[lamppost.ReportID]lamppost.Height
	orders       []decided
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

// acknowledge notes a report that a member says is committed: always in the same block, and an honest device's.
func (p *promises) acknowledge(w *world, r ingest.Reply) {
	if first, again := p.acknowledged[r.ID]; again && first != r.Height {
		w.violate("report %x was acknowledged in block %d and in block %d", r.ID[:4], first, r.Height)
	}
	s := p.signed[r.ID]
	if s == nil {
		w.violate("report %x was acknowledged and no honest device signed it", r.ID[:4])
	}
	if at, ok := w.chain.taken[r.ID]; !ok || at != r.Height {
		w.violate("report %d of %s was acknowledged in block %d and is not there (%v, block %d)", s.number, s.device, r.Height, ok, at)
	}
	p.acknowledged[r.ID] = r.Height
}

func (p *promises) decided(w *world, o *order, d consensus.Decision) {
	w.note("%v %x decided in block %d: %v", o.typ, o.id[:3], d.Height, d.Outcomes[0].Code)
	p.orders = append(p.orders, decided{bytes.Clone(o.raw), d})
}

// A chain is what all members have committed, as the first of them did: there is one, whoever commits.
type chain struct {
	facts []fact
	taken map[lamppost.ReportID]lamppost.Height // reports by block
	memos map[string]int                        // payments by intention
	made  map[lamppost.TxID]bool                // orders that were accepted
}

func newChain() chain {
	return chain{taken: map[lamppost.ReportID]lamppost.Height{}, memos: map[string]int{}, made: map[lamppost.TxID]bool{}}
}

// A fact is a block: what every member must have at its height.
type fact struct {
	time lamppost.TimeMS
	root lamppost.Hash
	body lamppost.Hash // of transactions and outcomes
}

// String is for the error.
func (f fact) String() string {
	return fmt.Sprintf("at %d with root %v and body %v", f.time, f.root, f.body)
}

// A watched App remembers what was applied, which shows in the store even if the process dies before it is told so.
type watched struct {
	*replica.Replica
	w *world
	m *member
}

// An applied block may be committed.
type applied struct {
	fact
	txs [][]byte
	res *lamppost.Result
}

// Apply implements consensus.App.
func (a watched) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	res, err := a.Replica.Apply(b)
	if err != nil {
		return res, err
	}
	was := applied{fact: fact{time: b.Time, root: res.Root}, res: res}
	var body []byte
	for i, tx := range b.Txs {
		was.txs = append(was.txs, bytes.Clone(tx))
		body = appendBody(body, tx, res.Outcomes[i])
	}
	was.body = sha256.Sum256(body)
	a.m.applied[b.Height] = was
	return res, nil
}

// committed hears of every block that is durable at a member.
func (w *world) committed(m *member, h lamppost.Height) {
	b := m.applied[h]
	delete(m.applied, h)
	switch {
	case int(h) <= len(w.chain.facts):
		if had := w.chain.facts[h-1]; had != b.fact {
			w.violate("block %d of %s is %v; elsewhere it is %v", h, m.id, b.fact, had)
		}
	case int(h) > len(w.chain.facts)+1 || b.res == nil:
		w.violate("%s committed block %d, and nobody block %d", m.id, h, len(w.chain.facts)+1)
	default:
		w.chain.facts = append(w.chain.facts, b.fact)
		w.roots[b.res.Size] = b.res.Root
		for i, raw := range b.txs {
			w.readTx(h, lamppost.ReadTransaction(raw), b.res.IDs[i], b.res.Outcomes[i])
		}
	}
	m.durable = h
	m.reached = max(m.reached, h)
}

func appendBody(body, tx []byte, outcomes []lamppost.Outcome) []byte {
	body = append(body, tx...)
	for _, o := range outcomes {
		body = o.Append(body)
	}
	return body
}

// readTx reads what is new. No report is taken twice, and none that no honest device signed; no order is accepted twice, and no
// intention paid twice.
func (w *world) readTx(h lamppost.Height, tx *lamppost.Transaction, id lamppost.TxID, outcomes []lamppost.Outcome) {
	c := &w.chain
	if tx.Type != lamppost.TxSegment && outcomes[0].Code == lamppost.CodeOK {
		if c.made[id] {
			w.violate("%v %x was accepted twice", tx.Type, id[:3])
		}
		c.made[id] = true
	}
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

// restored hears that a member's state was replaced.
func (w *world) restored(m *member, last consensus.Last) {
	w.checkPosition(m, last)
	m.durable = last.Height
	m.reached = max(m.reached, last.Height)
}

// checkStarted is called when a process has just been started: what was durable is there, and nothing else.
func (w *world) checkStarted(m *member, last consensus.Last) {
	if last.Height < m.durable {
		w.violate("%s had committed block %d and stands at block %d", m.id, m.durable, last.Height)
	}
	for h := m.durable + 1; h <= last.Height; h++ {
		if _, ok := m.applied[h]; ok {
			w.committed(m, h) // it died before it was told
		}
	}
	clear(m.applied)
	w.checkPosition(m, last)
	m.durable, m.reached = last.Height, max(m.reached, last.Height)
	if len(m.disk.rot) == 0 {
		w.checkStore(m)
	}
}

func (w *world) checkPosition(m *member, last consensus.Last) {
	if last.Height == 0 {
		return
	}
	if int(last.Height) > len(w.chain.facts) || w.chain.facts[last.Height-1].root != last.Root {
		w.violate("%s stands at block %d with root %v, which the chain has not", m.id, last.Height, last.Root)
	}
}

// checkStore holds what is on a member's disk against the chain and against what was promised.
func (w *world) checkStore(m *member) {
	began, _, err := replica.Began(m.disk)
	if err != nil {
		w.violate("where the chain of %s begins: %v", m.id, err)
	}
	view := archive.View{Reader: m.disk}
	for h := began + 1; h <= m.durable; h++ {
		records, err := view.Records(h)
		if err != nil {
			w.violate("the archive of %s: block %d: %v", m.id, h, err)
		}
		var body []byte
		for i := range records {
			body = appendBody(body, records[i].Raw, records[i].Outcomes)
		}
		if sha256.Sum256(body) != w.chain.facts[h-1].body {
			w.violate("the archive of %s has another block %d than was committed", m.id, h)
		}
	}
	for _, o := range w.promise.orders {
		if o.Height <= began || o.Height > m.durable {
			continue
		}
		rec, err := view.Tx(o.Height, o.Index)
		if err != nil || !sameOrder(rec.Raw, o.raw) || rec.Outcomes[0].Code != o.Outcomes[0].Code || !bytes.Equal(rec.Outcomes[0].Data, o.Outcomes[0].Data) {
			w.violate("an order was decided as transaction %d of block %d and is not there at %s (%v)", o.Index, o.Height, m.id, err)
		}
	}
	for _, p := range m.checkpoints {
		root, err := m.tree(m.checkpoints[len(m.checkpoints)-1]).RootAt(p.Size)
		if err != nil || lamppost.Hash(root) != p.Root {
			w.violate("the log of %s at size %d has root %v (%v), published was %v", m.id, p.Size, root, err, p.Root)
		}
	}
	w.checkMoney(m)
}

// sameOrder says whether two transactions are one order: what is signed is the same.
func sameOrder(a, b []byte) bool {
	x, err1 := lamppost.ParseTransaction(a)
	y, err2 := lamppost.ParseTransaction(b)
	return err1 == nil && err2 == nil && bytes.Equal(x.SignedRaw, y.SignedRaw)
}

func (w *world) checkMoney(m *member) {
	accounts, err := ledger.View{Reader: m.disk}.Accounts()
	if err != nil {
		w.violate("accounts of %s: %v", m.id, err)
	}
	var sum lamppost.Micro
	for _, a := range accounts {
		sum += a.Balance
	}
	if sum != 0 {
		w.violate("balances of %s sum to %s", m.id, sum)
	}
}

// checkAll is called when all is quiet: nothing is missing, all members have the same, and a replay gives it again.
func (w *world) checkAll() {
	missing := 0
	for id, s := range w.promise.signed {
		if _, ok := w.chain.taken[id]; !ok && !s.refused {
			missing++
		}
	}
	if missing > 0 {
		w.violate("%d reports that were neither refused nor lost are not in the ledger", missing)
	}
	for _, m := range w.members {
		w.checkStore(m)
	}
	for _, m := range w.members[1:] {
		w.checkSame(w.members[0], m)
	}
	w.checkDevices(w.members[0])
	if len(w.members) == 1 || w.o.Seed%replayed == 0 {
		w.checkReplay()
	}
}

// checkSame compares the states of two members, key by key.
func (w *world) checkSame(a, b *member) {
	if x, y := stateOf(a), stateOf(b); !slices.Equal(x, y) {
		w.violate("%s and %s have the same root and not the same state", a.id, b.id)
	}
}

func stateOf(m *member) (all []string) {
	if err := m.disk.Scan([]byte{'s'}, []byte{'s' + 1}, func(k, v []byte) error { all = append(all, string(k), string(v)); return nil }); err != nil {
		panic(err)
	}
	return all
}

func (w *world) checkDevices(m *member) {
	for _, d := range w.devices {
		high, open, lost, err := ledger.View{Reader: m.disk}.Sequence(d.ID)
		if err != nil || lost != 0 || !d.refused && (open != 0 || high.N != d.last) {
			w.violate("%s made %d reports; the ledger knows up to %d, %d missing, %d lost (%v)", d.ID, d.last, high.N, open, lost, err)
		}
	}
}

// replayed is of how many seeds with several members one derives the state again, which costs as much as a member does.
const replayed = 4

// checkReplay derives the state of one member again that has its history from block 1, if there is one; all have the same.
func (w *world) checkReplay() {
	var m *member
	for _, m = range w.members {
		if began, _, err := replica.Began(m.disk); began == 0 && err == nil {
			break
		}
	}
	checkup, err := replica.Fsck(context.Background(), archive.View{Reader: m.disk}, m.files, func(_, _ lamppost.Height) {})
	if err == nil && len(checkup.Faults) > 0 {
		err = errors.New(checkup.Faults[0].Where + ": " + checkup.Faults[0].What)
	}
	if err != nil || checkup.Root != m.node.rep.Last().Root {
		w.violate("replay of %s: %+v, %v; the root is %v", m.id, checkup, err, m.node.rep.Last().Root)
	}
}
