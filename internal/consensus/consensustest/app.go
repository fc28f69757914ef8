package consensustest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
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
	seats   = 'm' // accepted; the members are from now on those named in its bytes, by spaces
	erases  = 'e' // accepted; the bytes of the transaction with that name are forgotten
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
	at       func(step string) error
	calls    atomic.Int64
	restored atomic.Int64 // snapshots
	taken    atomic.Int64 // snapshots
	forgets  bool         // Commit lets the engine forget everything
	spoilt   atomic.Bool  // roots become wrong: this replica decides otherwise than the others

	// Applied and not committed.
	last    consensus.Last
	pending []*lamppost.Block
	fresh   map[lamppost.TxID]consensus.Decision
	skipped []lamppost.TxID
	erased  []lamppost.TxID
}

func openChain(t testing.TB, d *disk) *chain {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &chain{t: t, disk: d, at: func(string) error { return nil }, last: d.last, fresh: map[lamppost.TxID]consensus.Decision{}}
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
	if b.Height != c.last.Height+1 {
		c.t.Errorf("block %d was applied after block %d", b.Height, c.last.Height)
	}
	if !b.Empty() && b.Time <= c.last.Time {
		c.t.Errorf("block %d has time %d, the one before %d", b.Height, b.Time, c.last.Time)
	}
	if !b.Empty() && b.Cursor <= c.last.Cursor {
		c.t.Errorf("block %d has cursor %d, the one before %d", b.Height, b.Cursor, c.last.Cursor)
	}
	c.last.Height, c.last.Time, c.last.Cursor = b.Height, max(c.last.Time, b.Time), max(c.last.Cursor, b.Cursor)
	res := &lamppost.Result{Height: b.Height}
	kept := *b
	kept.Txs = nil
	for i, raw := range b.Txs {
		id := lamppost.TxID(raw[:32])
		res.IDs = append(res.IDs, id)
		res.Outcomes = append(res.Outcomes, []lamppost.Outcome{c.decide(res, uint32(i), id, raw)})
		kept.Txs = append(kept.Txs, append([]byte(nil), raw...)) // the engine's slices are valid during the call only
	}
	if !b.Empty() {
		c.last.Root = nextRoot(c.last.Root, b.Txs)
		if c.spoilt.Load() {
			c.last.Root[0] ^= 1
		}
	}
	res.Root = c.last.Root
	c.pending = append(c.pending, &kept)
	return res, nil
}

// nextRoot chains what was ordered, but neither height nor time: engines that count differently give the same.
func nextRoot(root lamppost.Hash, txs [][]byte) lamppost.Hash {
	h := sha256.New()
	h.Write(root[:])
	for _, raw := range txs {
		h.Write(raw)
	}
	return lamppost.Hash(h.Sum(nil))
}

func (c *chain) decide(res *lamppost.Result, index uint32, id lamppost.TxID, raw []byte) lamppost.Outcome {
	_, again := c.fresh[id]
	if _, before := c.Decided(id); again || before {
		return lamppost.Outcome{Code: lamppost.CodeDuplicate}
	}
	o := lamppost.Outcome{Data: append([]byte(nil), raw[33:]...)}
	switch raw[32] {
	case refuses:
		o.Code = lamppost.CodeForbidden
	case seats:
		c.last.Members = membersOf(strings.Fields(string(o.Data))...)
		res.Members = c.last.Members
	case erases:
		c.erased = append(c.erased, sha256.Sum256(o.Data))
	}
	c.fresh[id] = consensus.Decision{Height: res.Height, Index: index, Outcomes: []lamppost.Outcome{o}}
	return o
}

// Commit implements consensus.App.
func (c *chain) Commit() (lamppost.Cursor, error) {
	defer c.enter("Commit")()
	if len(c.pending) > 0 { // tests wait for, or break, the commit of a block; comet may ask for one of none before
		if err := c.step("Commit"); err != nil {
			return 0, err
		}
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
	for _, id := range c.erased {
		d.erase(id)
	}
	d.last = c.last
	d.mu.Unlock()
	clear(c.fresh)
	c.pending, c.skipped, c.erased = nil, nil, nil
	if err := c.step("Committed"); err != nil || !c.forgets {
		return 0, err
	}
	return c.last.Cursor, nil
}

// erase keeps of a transaction its id and kind. It is called with mu held.
func (d *disk) erase(id lamppost.TxID) {
	was, ok := d.decided[id]
	if !ok {
		return
	}
	for i := range was.Outcomes {
		was.Outcomes[i].Data = nil
	}
	for _, b := range d.blocks {
		for i, raw := range b.Txs {
			if lamppost.TxID(raw[:32]) == id {
				b.Txs[i] = append([]byte(nil), raw[:33]...)
			}
		}
	}
}

// An image is a snapshot's content: the same bytes at all replicas.
type image struct {
	Last    consensus.Last
	Decided []decided
	Dropped []lamppost.TxID
	Blocks  []*lamppost.Block
}

type decided struct {
	ID lamppost.TxID
	consensus.Decision
}

// Snapshot implements consensus.Snapshotter.
func (c *chain) Snapshot() (consensus.Last, io.ReadCloser, error) {
	defer c.enter("Snapshot")()
	if len(c.pending) > 0 {
		c.t.Errorf("Snapshot was called between Apply and Commit")
	}
	d := c.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	c.taken.Add(1)
	im := image{Last: d.last, Blocks: d.blocks}
	byID := func(a, b lamppost.TxID) int { return bytes.Compare(a[:], b[:]) }
	for _, id := range slices.SortedFunc(maps.Keys(d.decided), byID) {
		im.Decided = append(im.Decided, decided{id, d.decided[id]})
	}
	im.Dropped = slices.SortedFunc(maps.Keys(d.dropped), byID)
	var file bytes.Buffer
	err := gob.NewEncoder(&file).Encode(im)
	return d.last, io.NopCloser(&file), err
}

// Restore implements consensus.Snapshotter.
func (c *chain) Restore(r io.Reader, want lamppost.Hash) error {
	defer c.enter("Restore")()
	if err := c.step("Restore"); err != nil {
		return err
	}
	var got image
	if err := gob.NewDecoder(r).Decode(&got); err != nil {
		c.dead.Store(true)
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	if want != (lamppost.Hash{}) && got.Last.Root != want {
		c.dead.Store(true)
		return fmt.Errorf("the snapshot has root %v, want %v", got.Last.Root, want)
	}
	d := c.disk
	d.mu.Lock()
	d.last, d.blocks, d.decided, d.dropped = got.Last, got.Blocks, map[lamppost.TxID]consensus.Decision{}, map[lamppost.TxID]bool{}
	for _, e := range got.Decided {
		d.decided[e.ID] = e.Decision
	}
	for _, id := range got.Dropped {
		d.dropped[id] = true
	}
	d.writes++
	d.mu.Unlock()
	c.last = got.Last
	c.restored.Add(1)
	return nil
}

// CheckTx implements consensus.View.
func (c *chain) CheckTx(raw []byte) error {
	c.disk.mu.Lock()
	defer c.disk.mu.Unlock()
	id := lamppost.TxID(raw[:32])
	if _, ok := c.disk.decided[id]; ok {
		return lamppost.Refuse(lamppost.CodeDuplicate, "decided before")
	}
	if c.disk.dropped[id] {
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

// memberKey is the key of a member of the suite's networks.
func memberKey(id lamppost.MemberID) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("member " + id))
	return ed25519.NewKeyFromSeed(seed[:])
}

// PublicKey is the public half of a member's key, of those too who join later.
func PublicKey(id lamppost.MemberID) ed25519.PublicKey {
	return slices.Clone(memberKey(id).Public().(ed25519.PublicKey))
}

func membersOf(names ...string) (all []lamppost.Member) {
	for _, name := range names {
		id := lamppost.MemberID(name)
		all = append(all, lamppost.Member{ID: id, Key: PublicKey(id)})
	}
	return all
}

func fails(step string) func(string) error {
	return func(s string) error {
		if s == step {
			return fmt.Errorf("in %s: %w", step, errBroken)
		}
		return nil
	}
}
