package consensustest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A transaction of the suite is an id, one of these letters, and any bytes, which are its outcome.
const (
	takes   = 't' // accepted
	refuses = 'r' // a refused outcome
	drops   = 'd' // passed over by Prepare, and refused by CheckTx from then on
)

// tx names an order and says what it is; more makes other bytes of the same id.
func tx(name string, kind byte, more string) (lamppost.TxID, []byte) {
	id := lamppost.TxID(sha256.Sum256([]byte(name)))
	return id, append(append(id[:len(id):len(id)], kind), more...)
}

// A disk is what survives the App: every committed block with the decisions in it.
type disk struct {
	mu      sync.Mutex
	last    consensus.Last
	decided map[lamppost.TxID]consensus.Decision
	dropped map[lamppost.TxID]bool
	blocks  []*lamppost.Block
	writes  int
}

func newDisk() *disk {
	return &disk{decided: map[lamppost.TxID]consensus.Decision{}, dropped: map[lamppost.TxID]bool{}}
}

// times counts in how many places of the chain an id stands.
func (d *disk) times(id lamppost.TxID) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.blocks {
		for _, raw := range b.Txs {
			if lamppost.TxID(raw[:32]) == id {
				n++
			}
		}
	}
	return n
}

// A chain is an App and its View over a disk. It fails the test when the engine breaks the App's contract.
type chain struct {
	t    testing.TB
	disk *disk
	busy atomic.Bool
	dead atomic.Bool // an error was returned: no call may follow

	// at is called inside Accept, Apply, Commit and, once the block is durable, with "Committed". An error is what the
	// step then returns.
	at    func(step string) error
	calls atomic.Int64

	// Applied and not committed.
	height  lamppost.Height
	time    lamppost.TimeMS
	cursor  lamppost.Cursor
	root    lamppost.Hash
	pending []*lamppost.Block
	fresh   map[lamppost.TxID]consensus.Decision
	skipped []lamppost.TxID
}

func openChain(t testing.TB, d *disk) *chain {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &chain{t: t, disk: d, at: func(string) error { return nil }, height: d.last.Height, time: d.last.Time,
		cursor: d.last.Cursor, root: d.last.Root, fresh: map[lamppost.TxID]consensus.Decision{}}
}

// enter checks that calls neither overlap nor follow an error.
func (c *chain) enter(step string) func() {
	c.calls.Add(1)
	if c.dead.Load() {
		c.t.Errorf("%s was called after an error", step)
	}
	if !c.busy.CompareAndSwap(false, true) {
		c.t.Errorf("%s was called during another call", step)
	}
	return func() { c.busy.Store(false) }
}

func (c *chain) step(name string) error {
	err := c.at(name)
	if err != nil {
		c.dead.Store(true)
	}
	return err
}

// Last implements consensus.App.
func (c *chain) Last() consensus.Last {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	return c.disk.last
}

// Prepare implements consensus.App.
func (c *chain) Prepare(b *lamppost.Block, maxBytes int) [][]byte {
	defer c.enter("Prepare")()
	var keep [][]byte
	for _, raw := range b.Txs {
		if maxBytes -= len(raw); maxBytes < 0 || len(keep) == lamppost.MaxBlockTxs {
			break
		}
		if raw[32] == drops {
			c.skipped = append(c.skipped, lamppost.TxID(raw[:32]))
			continue
		}
		keep = append(keep, raw)
	}
	return keep
}

// Accept implements consensus.App.
func (c *chain) Accept(b *lamppost.Block) error {
	defer c.enter("Accept")()
	return c.step("Accept")
}

// Apply implements consensus.App.
func (c *chain) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	defer c.enter("Apply")()
	if err := c.step("Apply"); err != nil {
		return nil, err
	}
	if b.Height != c.height+1 {
		c.t.Errorf("block %d was applied after block %d", b.Height, c.height)
	}
	if !b.Empty() && b.Time <= c.time {
		c.t.Errorf("block %d has time %d, the one before %d", b.Height, b.Time, c.time)
	}
	if !b.Empty() && b.Cursor <= c.cursor {
		c.t.Errorf("block %d has cursor %d, the one before %d", b.Height, b.Cursor, c.cursor)
	}
	c.height, c.time, c.cursor = b.Height, max(c.time, b.Time), max(c.cursor, b.Cursor)
	res := &lamppost.Result{Height: b.Height}
	kept := *b
	kept.Txs = nil
	for i, raw := range b.Txs {
		id := lamppost.TxID(raw[:32])
		res.IDs = append(res.IDs, id)
		res.Outcomes = append(res.Outcomes, []lamppost.Outcome{c.decide(b.Height, uint32(i), id, raw)})
		kept.Txs = append(kept.Txs, append([]byte(nil), raw...)) // the engine's slices are valid during the call only
	}
	if !b.Empty() {
		h := sha256.New()
		h.Write(c.root[:])
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(b.Height)))
		for _, raw := range b.Txs {
			h.Write(raw)
		}
		c.root = lamppost.Hash(h.Sum(nil))
	}
	res.Root = c.root
	c.pending = append(c.pending, &kept)
	return res, nil
}

func (c *chain) decide(h lamppost.Height, index uint32, id lamppost.TxID, raw []byte) lamppost.Outcome {
	_, again := c.fresh[id]
	if _, before := c.Decided(id); again || before {
		return lamppost.Outcome{Code: lamppost.CodeDuplicate}
	}
	o := lamppost.Outcome{Data: append([]byte(nil), raw[33:]...)}
	if raw[32] == refuses {
		o.Code = lamppost.CodeForbidden
	}
	c.fresh[id] = consensus.Decision{Height: h, Index: index, Outcomes: []lamppost.Outcome{o}}
	return o
}

// Commit implements consensus.App.
func (c *chain) Commit() (lamppost.Cursor, error) {
	defer c.enter("Commit")()
	if err := c.step("Commit"); err != nil {
		return 0, err
	}
	d := c.disk
	d.mu.Lock()
	if len(c.pending) > 0 {
		d.writes++
	}
	for id, decision := range c.fresh {
		d.decided[id] = decision
	}
	for _, id := range c.skipped {
		d.dropped[id] = true
	}
	d.blocks = append(d.blocks, c.pending...)
	d.last = consensus.Last{Height: c.height, Time: c.time, Root: c.root, Cursor: c.cursor}
	d.mu.Unlock()
	clear(c.fresh)
	c.pending, c.skipped = nil, nil
	return 0, c.step("Committed")
}

// CheckTx implements consensus.View.
func (c *chain) CheckTx(raw []byte) error {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	if c.disk.dropped[lamppost.TxID(raw[:32])] {
		return lamppost.Refuse(lamppost.CodeBadTx, "dropped before")
	}
	return nil
}

// Decided implements consensus.View.
func (c *chain) Decided(id lamppost.TxID) (consensus.Decision, bool) {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	d, ok := c.disk.decided[id]
	return d, ok
}

var errBroken = errors.New("the disk is broken")

// A gate holds the engine inside a step of the App until it is opened.
type gate struct {
	reached chan struct{} // closed when the engine is inside
	open    chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

// at returns a chain.at that holds the first call of step and then goes on with after.
func (g *gate) at(step string, after func(string) error) func(string) error {
	return func(s string) error {
		if s == step {
			g.once.Do(func() {
				close(g.reached)
				<-g.open
			})
		}
		if after != nil {
			return after(s)
		}
		return nil
	}
}

func fails(step string) func(string) error {
	return func(s string) error {
		if s == step {
			return fmt.Errorf("in %s: %w", step, errBroken)
		}
		return nil
	}
}
