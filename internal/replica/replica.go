// Package replica is one copy of the chain: it checks a block, lets the ledger decide it, appends its leaves to the log,
// makes everything durable in one write, and tells the node what was committed.
//
// Start reading at [Replica.Apply] and [Replica.Commit]. prove.go answers with proofs. It promises that after a crash
// at any moment the store holds a whole number of blocks, and that the same blocks give the same roots.
package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// Config says where the chain lives and who listens.
type Config struct {
	Store kv.Store
	Packs *archive.Packs // nil: all bodies are in the store

	// Files is where the log is published, from which Snapshot takes its right edge; nil: nowhere yet.
	Files tilelog.Source
	// Scratch is the folder for what Restore reads, while it does; empty: the system's.
	Scratch string

	// Checked says that this process verified the signatures of a segment of these bytes itself, so that they need no second look.
	// Nil: never.
	Checked func(id lamppost.TxID, raw []byte) bool

	// Committed is called after every durable block, from the goroutine that called Commit. The event's slices must not
	// be kept. Nil: nobody listens.
	Committed func(*Event)
}

// An Event is a committed block with its transactions and result.
type Event struct {
	Block  *lamppost.Block
	Txs    []*lamppost.Transaction
	Result *lamppost.Result
}

// A Replica implements consensus.App, consensus.Snapshotter and consensus.View. The App's methods are called by one goroutine at a time;
// Vouch, Gateway, the View's methods and the proofs by any.
type Replica struct {
	cfg   Config
	state *ledger.State
	log   *tilelog.Log
	keys  keyring
	ahead foresight

	// Since the last commit.
	batch   kv.Batch
	pending []*Event

	last lastBox
}

// A Vouch is what a device's reports are shown by: those signed with the key it has, and with Former, those signed with
// the one before. It does not change.
type Vouch struct {
	Key        *sig.PublicKey // of the device; nil where Gateway vouches
	Epoch      uint32         // of the key
	Assurance  lamppost.Assurance
	Gateway    lamppost.MemberID
	Commitment []byte // of an HMAC key, with Salt: see lamppost.KeyCommitment
	Salt       []byte
	Revoked    bool            // nothing signed with it is taken
	Until      lamppost.TimeMS // of a former key: reports are taken before; 0: until further notice
	Former     *Vouch          // nil: there was none
}

// Under returns the key with an epoch if it counts at a time, and nil otherwise.
func (v *Vouch) Under(epoch uint32, now lamppost.TimeMS) *Vouch {
	for ; v != nil; v = v.Former {
		if v.Epoch == epoch && !v.Revoked && (v.Until == 0 || now < v.Until) {
			return v
		}
	}
	return nil
}

func vouch(k *ledger.Known[lamppost.DeviceBody]) *Vouch {
	if k == nil {
		return nil
	}
	v := &Vouch{Key: k.Public, Epoch: k.Body.KeyEpoch, Assurance: k.Body.Assurance, Gateway: k.Body.Gateway, Revoked: k.Revoked, Until: k.Until}
	if v.Assurance == lamppost.GatewayVouched {
		v.Commitment, v.Salt = k.Body.Key, k.Body.Salt
	}
	return v
}

// keyring holds the keys of all devices and gateways as of the last commit, and what for.
type keyring struct {
	mu       sync.RWMutex
	network  string // empty before its founding
	policy   lamppost.Policy
	byID     map[lamppost.DeviceID]*Vouch
	gateways map[lamppost.MemberID]*Vouch
}

func gatewayVouch(k *ledger.Known[lamppost.GatewayBody]) *Vouch {
	if k == nil {
		return nil
	}
	return &Vouch{Key: k.Public, Epoch: k.Body.KeyEpoch, Revoked: k.Revoked, Until: k.Until}
}

func (k *keyring) setGateway(id lamppost.MemberID, v *Vouch) {
	k.mu.Lock()
	k.gateways[id] = v
	k.mu.Unlock()
}

// lastBox is the durable position, read by many.
type lastBox struct {
	mu sync.Mutex
	consensus.Last
}

var metaKey = []byte("mR") // height, time and cursor of the last block

// Open continues where the store stands. A store in which a Restore was cut short it empties.
func Open(cfg Config) (*Replica, error) {
	r := &Replica{cfg: cfg}
	if err := r.clearHalf(); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// load reads what is held in memory.
func (r *Replica) load() (err error) {
	if r.state, err = ledger.Open(r.cfg.Store); err != nil {
		return err
	}
	if r.log, err = tilelog.Open(r.cfg.Store); err != nil {
		return err
	}
	last, err := readLast(r.cfg.Store)
	if err != nil {
		return err
	}
	last.Root, last.Members = lamppost.Hash(r.log.Root()), r.state.Members()
	r.keys.mu.Lock()
	r.keys.byID, r.keys.gateways = map[lamppost.DeviceID]*Vouch{}, map[lamppost.MemberID]*Vouch{}
	r.keys.network, r.keys.policy = r.state.Network(), r.state.Policy()
	r.keys.mu.Unlock()
	r.state.EachDevice(r.refreshDevice)
	r.refreshMembers()
	r.state.EachGateway(r.refreshGateway)
	r.last.mu.Lock()
	r.last.Last = last
	r.last.mu.Unlock()
	return nil
}

// readLast reads height, time and cursor of the last block.
func readLast(store kv.Reader) (last consensus.Last, err error) {
	raw, err := store.Get(metaKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return last, nil
	case err != nil:
		return last, err
	case len(raw) != 24:
		return last, fmt.Errorf("the store's position has %d bytes, not 24: run lamppost fsck", len(raw))
	}
	last.Height = lamppost.Height(binary.BigEndian.Uint64(raw))
	last.Time = lamppost.TimeMS(binary.BigEndian.Uint64(raw[8:]))
	last.Cursor = lamppost.Cursor(binary.BigEndian.Uint64(raw[16:]))
	return last, nil
}

// Last implements consensus.App.
func (r *Replica) Last() consensus.Last {
	r.last.mu.Lock()
	defer r.last.mu.Unlock()
	return r.last.Last
}

// position is what the next block builds on: the last applied one, committed or not.
func (r *Replica) position() (lamppost.Height, lamppost.TimeMS) {
	if n := len(r.pending); n > 0 {
		return r.pending[n-1].Block.Height, r.pending[n-1].Block.Time
	}
	last := r.Last()
	return last.Height, last.Time
}

// Network is the network's id, empty before its genesis. It is called when no block is being applied.
func (r *Replica) Network() string { return r.state.Network() }

// Policy says who checks the devices' signatures. It is called when no block is being applied.
func (r *Replica) Policy() lamppost.Policy { return r.state.Policy() }

// Vouch returns what shows that reports are an enrolled device's.
func (r *Replica) Vouch(id lamppost.DeviceID) (v *Vouch, ok bool) {
	r.keys.mu.RLock()
	defer r.keys.mu.RUnlock()
	v, ok = r.keys.byID[id]
	return v, ok
}

// Gateway returns the keys that segments of a member or a registered gateway are signed with, or nil.
func (r *Replica) Gateway(id lamppost.MemberID) *Vouch {
	r.keys.mu.RLock()
	defer r.keys.mu.RUnlock()
	return r.keys.gateways[id]
}

// Signed reports whether a segment for a network is signed with one of a gateway's keys that counts at a time.
func (v *Vouch) Signed(tx *lamppost.Transaction, network string, now lamppost.TimeMS) bool {
	for ; v != nil; v = v.Former {
		if v.Under(v.Epoch, now) == v && tx.Signed.Verify(network, lamppost.PurposeSegment, v.Key) {
			return true
		}
	}
	return false
}

func (r *Replica) archive() archive.View {
	return archive.View{Reader: r.cfg.Store, Packs: r.cfg.Packs}
}

// CheckTx implements consensus.View.
func (r *Replica) CheckTx(tx []byte) error {
	if len(tx) > lamppost.MaxTxBytes {
		return lamppost.Refuse(lamppost.CodeTooLarge, "a transaction of %d bytes is over the limit of %d", len(tx), lamppost.MaxTxBytes)
	}
	return nil
}

// Decided implements consensus.View.
func (r *Replica) Decided(id lamppost.TxID) (consensus.Decision, bool) {
	p, err := ledger.View{Reader: r.cfg.Store}.Decided(id)
	if err != nil {
		return consensus.Decision{}, false
	}
	rec, err := r.archive().Tx(p.Height, p.Index)
	if err != nil {
		return consensus.Decision{}, false
	}
	return consensus.Decision{Height: p.Height, Index: p.Index, Outcomes: rec.Outcomes}, true
}

// Prepare implements consensus.App: first come, first served, as many as fit.
func (r *Replica) Prepare(b *lamppost.Block, maxBytes int) [][]byte {
	size := 0
	for i, tx := range b.Txs {
		if size += len(tx); size > maxBytes || i == lamppost.MaxBlockTxs {
			return b.Txs[:i]
		}
	}
	return b.Txs
}

// Accept implements consensus.App.
func (r *Replica) Accept(b *lamppost.Block) error {
	size := 0
	for _, tx := range b.Txs {
		size += len(tx)
	}
	if len(b.Txs) > lamppost.MaxBlockTxs || size > lamppost.MaxBlockBytes+lamppost.MaxTxBytes {
		return fmt.Errorf("block %d: %d transactions of %d bytes are over the limits", b.Height, len(b.Txs), size)
	}
	return r.follows(b)
}

func (r *Replica) follows(b *lamppost.Block) error {
	height, time := r.position()
	if b.Height != height+1 {
		return fmt.Errorf("block %d does not follow height %d", b.Height, height)
	}
	if b.Time <= time && !b.Empty() {
		return fmt.Errorf("block %d: its time %d ms is not after %d ms", b.Height, b.Time, time)
	}
	return nil
}

// Apply implements consensus.App. What it changes is only in memory until Commit.
func (r *Replica) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	if err := r.follows(b); err != nil {
		return nil, err
	}
	n, members := len(b.Txs), r.state.Members()
	ev := &Event{Block: b, Result: &lamppost.Result{Height: b.Height, IDs: make([]lamppost.TxID, n), Outcomes: make([][]lamppost.Outcome, n)}}
	if !b.Empty() {
		if err := r.applyBlock(ev); err != nil {
			return nil, err
		}
	}
	ev.Result.Size, ev.Result.Root = r.log.Size(), lamppost.Hash(r.log.Root())
	if now := r.state.Members(); !sameMembers(members, now) {
		ev.Result.Members = now
	}
	r.pending = append(r.pending, ev)
	return ev.Result, nil
}

func (r *Replica) applyBlock(ev *Event) error {
	b := ev.Block
	r.state.Begin(b.Height, b.Time)
	first := r.log.Size()
	leaves := make([][]byte, 0, len(b.Txs)+1)
	known, end := r.readAll(b.Txs)
	defer end()
	for i, raw := range b.Txs {
		if i == len(known) { // the network's founding is among them: ids depend on it
			known = append(known, r.readAlone(raw))
		}
		leaf, err := r.applyTx(ev, uint32(i), known[i])
		if err != nil {
			return err
		}
		leaves = append(leaves, leaf)
	}
	bl := lamppost.BlockLeaf{Height: b.Height, Index: uint32(len(b.Txs)), Time: b.Time,
		Block: lamppost.HashBlock(b.Height, b.Time, ev.Result.IDs, b.Evidence), Members: lamppost.HashMembers(r.state.Members())}
	archive.PutBlock(&r.batch, archive.Block{Height: b.Height, Time: b.Time, Count: bl.Index, First: first, Proposer: b.Proposer, Evidence: b.Evidence})
	return r.log.Append(&r.batch, append(leaves, bl.Append(nil))...)
}

// Moves says whether an order of a type moves claims, or says whose they are: the blocks that have one are indexed.
func Moves(t lamppost.TxType) bool {
	switch t {
	case lamppost.TxDevice, lamppost.TxInvoice, lamppost.TxCorrect, lamppost.TxTransfer, lamppost.TxConvert, lamppost.TxSettle, lamppost.TxCall, lamppost.TxPayout, lamppost.TxAccept:
		return true
	}
	return false
}

// networkOf is the id that a transaction is signed for: the genesis brings its own.
func (r *Replica) networkOf(tx *lamppost.Transaction) string {
	var g lamppost.GenesisBody
	if n := r.state.Network(); n != "" || tx.Type != lamppost.TxGenesis || lamppost.Unmarshal(tx.Order.Body, &g) != nil {
		return n
	}
	return g.Network
}

// incoming is a transaction of the block being applied.
type incoming struct {
	raw     []byte
	tx      *lamppost.Transaction
	id      lamppost.TxID
	checked bool // this process verified its signatures
}

// read reads a transaction that is signed for a network. It uses no state.
func (r *Replica) read(raw []byte, network string) incoming {
	in := incoming{raw: raw, tx: lamppost.ReadTransaction(raw)}
	in.id = in.tx.ID(network)
	in.checked = in.tx.Type == lamppost.TxSegment && r.cfg.Checked != nil && r.cfg.Checked(in.id, raw)
	return in
}

// readAlone reads a transaction of a block that founds the network.
func (r *Replica) readAlone(raw []byte) incoming {
	return r.read(raw, r.networkOf(lamppost.ReadTransaction(raw)))
}

// readAll reads a block's transactions and has the signatures of all its segments checked together, unless that was done ahead. Before
// the network is founded there are none. end is called when they are applied.
func (r *Replica) readAll(txs [][]byte) (all []incoming, end func()) {
	if r.state.Network() == "" {
		return nil, func() {}
	}
	if f := r.ahead.take(txs); f != nil {
		r.state.Verified(f.found)
		return f.known, func() { r.ahead.done(f) }
	}
	all = make([]incoming, len(txs), len(txs)+1)
	parsed := make([]*lamppost.Transaction, len(txs))
	for i, raw := range txs {
		all[i] = r.read(raw, r.state.Network())
		parsed[i] = all[i].tx
	}
	r.state.Verify(parsed, func(i int) bool { return all[i].checked })
	return all, func() {}
}

// applyTx lets the ledger decide a transaction, stages body and result, and returns the leaf.
func (r *Replica) applyTx(ev *Event, index uint32, in incoming) ([]byte, error) {
	tx, id, raw := in.tx, in.id, in.raw
	outcomes, writes, err := r.state.Apply(tx, id, in.checked)
	if err != nil {
		return nil, err
	}
	ev.Txs = append(ev.Txs, tx)
	ev.Result.IDs[index], ev.Result.Outcomes[index] = id, outcomes
	digest := lamppost.WritesDigest(tx.Seed.Salt(lamppost.SaltWrites), writes)
	if ev.Block.Height == 1 || Moves(tx.Type) && outcomes[0].Code == lamppost.CodeOK {
		archive.PutMoved(&r.batch, ev.Block.Height)
	}
	archive.Put(&r.batch, ev.Block.Height, index, archive.Record{Raw: raw, Outcomes: outcomes, Writes: digest})
	leaf := lamppost.Leaf{Type: tx.Type, Height: ev.Block.Height, Index: index, Body: tx.BodyDigest(),
		Result: lamppost.ResultDigest(lamppost.MerkleRoot(outcomeHashes(tx, outcomes)), digest)}
	return leaf.Append(nil), nil
}

func outcomeHashes(tx *lamppost.Transaction, outcomes []lamppost.Outcome) []lamppost.Hash {
	hashes := make([]lamppost.Hash, len(outcomes))
	var buf []byte
	for i, o := range outcomes {
		buf = o.Append(buf[:0])
		hashes[i] = lamppost.OutcomeHash(tx.OutcomeSalt(i), buf)
	}
	return hashes
}

// Commit implements consensus.App: one durable write holds bodies, results, state, log and position of every block since
// the last Commit. If the process dies before it returns, the store holds either all of them or none.
func (r *Replica) Commit() (forget lamppost.Cursor, err error) {
	last := r.Last()
	if len(r.pending) == 0 {
		return last.Cursor, nil
	}
	end := r.pending[len(r.pending)-1]
	pos := binary.BigEndian.AppendUint64(nil, uint64(end.Block.Height))
	pos = binary.BigEndian.AppendUint64(pos, uint64(max(last.Time, end.Block.Time)))
	r.state.Stage(&r.batch)
	r.batch.Set(metaKey, binary.BigEndian.AppendUint64(pos, uint64(end.Block.Cursor)))
	if err := r.cfg.Store.Apply(&r.batch); err != nil {
		return 0, fmt.Errorf("committing block %d: %w", end.Block.Height, err)
	}
	r.batch.Reset()
	r.state.Committed()
	r.log.Committed()
	for _, ev := range r.pending {
		r.refreshKeys(ev)
	}
	r.last.mu.Lock()
	r.last.Last = consensus.Last{Height: end.Block.Height, Time: max(last.Time, end.Block.Time), Root: end.Result.Root,
		Cursor: end.Block.Cursor, Members: r.state.Members()}
	r.last.mu.Unlock()
	for _, ev := range r.pending {
		if r.cfg.Committed != nil && !ev.Block.Empty() {
			r.cfg.Committed(ev)
		}
	}
	r.pending = r.pending[:0]
	return end.Block.Cursor, nil
}

// refreshKeys makes newly enrolled keys known to ingest.
func (r *Replica) refreshKeys(ev *Event) {
	for i, tx := range ev.Txs {
		if tx.Type == lamppost.TxSegment || ev.Result.Outcomes[i][0].Code != lamppost.CodeOK {
			continue
		}
		switch tx.Type {
		case lamppost.TxGenesis, lamppost.TxNetwork:
			r.refreshMembers()
		case lamppost.TxGateway:
			var b lamppost.GatewayBody
			if lamppost.Unmarshal(tx.Order.Body, &b) == nil {
				r.refreshGateway(b.ID)
			}
		case lamppost.TxDevice:
			var b lamppost.DeviceBody
			if lamppost.Unmarshal(tx.Order.Body, &b) == nil {
				r.refreshDevice(b.ID)
			}
		case lamppost.TxFraud:
			var c lamppost.Correction
			if lamppost.Unmarshal(ev.Result.Outcomes[i][0].Data, &c) == nil {
				r.refreshGateway(c.Gateway)
			}
		case lamppost.TxRevoke:
			var b lamppost.RevokeBody
			switch {
			case lamppost.Unmarshal(tx.Order.Body, &b) != nil:
			case b.Gateway != "":
				r.refreshGateway(b.Gateway)
			default:
				r.refreshDevice(b.Device)
			}
		}
	}
}

// refreshDevice takes a device's keys from the ledger, in which nothing is applied and not committed.
func (r *Replica) refreshDevice(id lamppost.DeviceID) {
	now, former := r.state.DeviceKeys(id)
	v := vouch(now)
	v.Former = vouch(former)
	r.keys.mu.Lock()
	r.keys.byID[id] = v
	r.keys.mu.Unlock()
}

func sameMembers(a, b []lamppost.Member) bool {
	return slices.EqualFunc(a, b, func(a, b lamppost.Member) bool {
		return a.ID == b.ID && string(a.Key) == string(b.Key) && a.Org == b.Org && a.Address == b.Address && a.URL == b.URL
	})
}

func (r *Replica) refreshMembers() {
	r.keys.mu.Lock()
	r.keys.network, r.keys.policy = r.state.Network(), r.state.Policy()
	r.keys.mu.Unlock()
	for _, id := range r.state.FormerMembers() {
		r.keys.setGateway(id, &Vouch{})
	}
	for _, m := range r.state.Members() {
		r.keys.setGateway(m.ID, &Vouch{Key: r.state.Member(m.ID)})
	}
}

func (r *Replica) refreshGateway(id lamppost.MemberID) {
	now, former := r.state.GatewayKeys(id)
	v := gatewayVouch(now)
	v.Former = gatewayVouch(former)
	r.keys.setGateway(id, v)
}
