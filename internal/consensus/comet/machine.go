//go:build !small

package comet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A machine is the App as comet drives it: ABCI 2 in front, consensus.App behind. Comet's empty blocks end here: heights
// of the App are dense, and its cursor is comet's height plus Config.Start.
//
// CheckTx comes from comet's network goroutines; everything else from one goroutine at a time.
type machine struct {
	abci.BaseApplication
	cfg    *Config
	app    consensus.App
	view   consensus.View
	pool   *proposals
	fail   func(error)
	roster *roster
	disk   stores
	hand   *hand
	prunes bool // comet has replayed

	mu      sync.Mutex // held during calls of the App
	dead    error      // the App is not called again
	stuck   bool       // it failed outside of comet's main loop
	height  lamppost.Height
	time    lamppost.TimeMS
	root    lamppost.Hash
	applied []decided       // since the last Commit
	asked   bool            // Prepare was called since the last Commit
	heard   bool            // the App has said what may be forgotten
	forget  lamppost.Cursor // that
	done    int64           // comet's height of the last block that was finalized
	at      time.Time       // of it
}

// A decided block waits for its commit.
type decided struct {
	height   lamppost.Height
	raw      [][]byte // as comet has them
	ids      []lamppost.TxID
	outcomes [][]lamppost.Outcome
}

var errEnded = errors.New("comet: the engine has ended")

func newMachine(e *Engine, n *node) (*machine, error) {
	last := e.app.Last()
	m := &machine{cfg: &e.cfg, app: e.app, view: e.view, pool: e.pool, fail: e.fail, roster: n.roster, disk: n.disk,
		height: last.Height, time: last.Time, root: last.Root}
	if last.Cursor < e.cfg.Start {
		return nil, fmt.Errorf("comet: the ledger stands at cursor %d, before this engine's start at %d: is this the right folder?",
			last.Cursor, e.cfg.Start)
	}
	if last.Cursor > e.cfg.Start {
		return m, nil
	}
	if last.Time >= e.cfg.Founded {
		return nil, fmt.Errorf("comet: the ledger's last block, at %d ms, is not before the founding at %d ms", last.Time, e.cfg.Founded)
	}
	if is, founders := ids(n.roster.members()), ids(e.cfg.Founders); !slices.Equal(is, founders) {
		return nil, fmt.Errorf("comet: the ledger's members are %v, the founders were %v", is, founders)
	}
	return m, nil
}

func ids(members []lamppost.Member) (ids []lamppost.MemberID) {
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	return ids
}

// guard runs one call of the App, unless there was an error. The first error is final: see end.
func (m *machine) guard(call func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead == nil {
		if m.dead = call(); m.dead != nil {
			m.fail(m.dead)
		}
	}
	return m.end()
}

// end returns the error that ended the App's part, if there was one. The state machine stops cleanly on it. A replay in
// Run hands it on. But block sync would panic, outside of anybody's reach: there the goroutine ends instead.
func (m *machine) end() error {
	if m.dead == nil || m.dead == errEnded || calledBy(".receiveRoutine") {
		return m.dead
	}
	m.stuck = true
	if calledBy(".poolRoutine") {
		runtime.Goexit()
	}
	return m.dead
}

// calledBy reports whether a function or method with this ending is on the stack.
func calledBy(name string) bool {
	var pcs [96]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// failedOutside reports whether the App failed outside of comet's main loop. It waits for a call that is on its way.
func (m *machine) failedOutside() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stuck
}

// close makes sure that the App is not called again.
func (m *machine) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead == nil {
		m.dead = errEnded
	}
}

// Info implements abci.Application: comet replays from here. Blocks that are not there any more, or never were where this member
// began with the others' state, were empty if the first that is there builds on the same root.
func (m *machine) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	last := m.app.Last()
	at := int64(last.Cursor - m.cfg.Start)
	before, root, err := m.disk.before()
	if err == nil && before > at && bytes.Equal(root, last.Root[:]) {
		at = before
	}
	return &abci.ResponseInfo{LastBlockHeight: at, LastBlockAppHash: last.Root[:]}, err
}

// before returns the height before the first block that is there, and the App's root after it.
func (d *stores) before() (int64, []byte, error) {
	if base := d.blocks.Base(); base > 0 {
		meta := d.blocks.LoadBlockMeta(base)
		if meta == nil {
			return 0, nil, fmt.Errorf("comet: block %d has no header", base)
		}
		return base - 1, meta.Header.AppHash, nil
	}
	state, err := d.states.Load()
	return state.LastBlockHeight, state.AppHash, err
}

// InitChain implements abci.Application. Comet calls it again after a crash before the first commit; the genesis is the App's.
func (m *machine) InitChain(context.Context, *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	root := m.app.Last().Root
	return &abci.ResponseInitChain{AppHash: root[:]}, nil
}

// CheckTx implements abci.Application.
func (m *machine) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	refused := &abci.ResponseCheckTx{Code: 1}
	tx, ok := strip(req.Tx)
	if !ok || m.pool.spent(req.Tx) {
		return refused, nil
	}
	if err := m.view.CheckTx(tx); err != nil {
		if req.Type == abci.CheckTxType_Recheck {
			m.pool.refuse(req.Tx, err)
		}
		return refused, nil
	}
	return &abci.ResponseCheckTx{}, nil
}

// PrepareProposal implements abci.Application.
func (m *machine) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	res := &abci.ResponsePrepareProposal{}
	err := m.guard(func() error {
		b, err := m.block(req.Height, req.Time, req.Misbehavior, req.ProposerAddress)
		if err != nil || len(req.Txs) == 0 {
			return err
		}
		at := make(map[*byte]int, len(req.Txs)) // a transaction is recognised by where it lies
		for i, raw := range req.Txs {
			if tx, ok := strip(raw); ok {
				b.Txs = append(b.Txs, tx)
				at[&tx[0]] = i
			}
		}
		m.asked = true
		for _, tx := range m.app.Prepare(b, lamppost.MaxBlockBytes) {
			if len(tx) == 0 {
				return errForeign
			}
			i, ok := at[&tx[0]]
			if !ok {
				return errForeign
			}
			delete(at, &tx[0])
			res.Txs = append(res.Txs, req.Txs[i])
		}
		return nil
	})
	return res, err
}

var errForeign = errors.New("comet: choosing transactions: the app named one that it was not given, or one twice")

// ProcessProposal implements abci.Application. What this node's own App prepared and now refuses is an error of the App.
func (m *machine) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	status := abci.ResponseProcessProposal_ACCEPT
	err := m.guard(func() error {
		b, err := m.block(req.Height, req.Time, req.Misbehavior, req.ProposerAddress)
		if err != nil {
			return err
		}
		for _, raw := range req.Txs {
			tx, ok := strip(raw)
			if !ok {
				status = abci.ResponseProcessProposal_REJECT
				return nil
			}
			b.Txs = append(b.Txs, tx)
		}
		if b.Empty() {
			return nil
		}
		err = m.app.Accept(b)
		if err != nil && b.Proposer != m.cfg.Member {
			m.cfg.Log.Warn("refused a proposed block", "proposer", b.Proposer, "height", b.Height, "err", err)
			status, err = abci.ResponseProcessProposal_REJECT, nil
			return nil
		}
		if f, ok := m.app.(consensus.Foreseer); ok && err == nil {
			f.Foresee(b.Txs)
		}
		return err
	})
	return &abci.ResponseProcessProposal{Status: status}, err
}

// FinalizeBlock implements abci.Application. The result of every transaction is 0 for comet, which forgets what has
// another and takes it again from whoever still has it; outcomes are in the root.
func (m *machine) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	res := &abci.ResponseFinalizeBlock{TxResults: make([]*abci.ExecTxResult, len(req.Txs))}
	for i := range res.TxResults {
		res.TxResults[i] = &abci.ExecTxResult{}
	}
	err := m.guard(func() error {
		m.takeState(req.Height - 1)
		b, err := m.block(req.Height, req.Time, req.Misbehavior, req.ProposerAddress)
		if err != nil {
			return err
		}
		m.done, m.at = req.Height, req.Time
		for _, raw := range req.Txs {
			tx, _ := strip(raw) // nothing, if two thirds accepted that: a transaction that the App refuses
			b.Txs = append(b.Txs, tx)
		}
		if !b.Empty() {
			res.ValidatorUpdates, err = m.apply(b, req)
		}
		res.AppHash = slices.Clone(m.root[:])
		return err
	})
	return res, err
}

func (m *machine) apply(b *lamppost.Block, req *abci.RequestFinalizeBlock) ([]abci.ValidatorUpdate, error) {
	r, err := m.app.Apply(b)
	if err != nil {
		return nil, fmt.Errorf("comet: block %d: %w", b.Height, err)
	}
	m.height, m.time, m.root = b.Height, b.Time, r.Root
	m.applied = append(m.applied, decided{b.Height, req.Txs, r.IDs, r.Outcomes})
	return m.change(r.Members)
}

// Commit implements abci.Application. After an empty block the App hears of it only if Prepare passed something over, and once to hear
// what may be forgotten.
func (m *machine) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	res := &abci.ResponseCommit{}
	err := m.guard(func() error {
		if len(m.applied) > 0 || m.asked || !m.heard && m.old(m.disk.blocks.Base()) {
			forget, err := m.app.Commit()
			if err != nil {
				return fmt.Errorf("comet: block %d: %w", m.height, err)
			}
			m.pool.committed(m.applied, m.height, m.time)
			m.applied, m.asked, m.forget, m.heard = nil, false, forget, true
		}
		res.RetainHeight = m.retain()
		return nil
	})
	return res, err
}

// block makes the head of the App's next block.
func (m *machine) block(height int64, at time.Time, bad []abci.Misbehavior, proposer []byte) (*lamppost.Block, error) {
	b := &lamppost.Block{Height: m.height + 1, Time: lamppost.TimeMS(at.UnixMilli()), Cursor: m.cfg.Start + lamppost.Cursor(height)}
	b.Proposer, _ = m.roster.byAddress(proposer)
	for _, e := range bad {
		who, ok := m.roster.byAddress(e.Validator.Address)
		if !ok {
			return nil, fmt.Errorf("comet: block %d has evidence against validator %x, who never was a member here", b.Height, e.Validator.Address)
		}
		b.Evidence = append(b.Evidence, lamppost.Evidence{Member: who, Height: lamppost.Height(m.cfg.Start) + lamppost.Height(e.Height),
			Kind: uint8(e.Type)})
	}
	return b, nil
}

// change turns the ledger's members after a block into comet's differences; nil: no change. They take effect two of
// comet's heights later.
func (m *machine) change(to []lamppost.Member) (updates []abci.ValidatorUpdate, err error) {
	if to == nil {
		return nil, nil
	}
	came, went, err := m.roster.change(to)
	if err != nil {
		return nil, err
	}
	for _, who := range came {
		updates = append(updates, abci.Ed25519ValidatorUpdate(who.Key, power))
	}
	for _, who := range went {
		updates = append(updates, abci.Ed25519ValidatorUpdate(who.Key, 0))
	}
	m.pool.seated(m.roster.seat(m.cfg.Member))
	return updates, nil
}

// retain says from which of comet's heights on blocks are kept: those that the App still needs, and those of the time in
// which a member that was away can come back.
func (m *machine) retain() int64 {
	if !m.prunes || m.forget <= m.cfg.Start {
		return 0
	}
	base := m.disk.blocks.Base()
	from := base
	for n := 0; n < maxPrunedAtOnce && from <= int64(m.forget-m.cfg.Start) && from < m.disk.blocks.Height(); n++ {
		if !m.old(from) || m.hand.needs(from) {
			break
		}
		from++
	}
	if from == base {
		return 0
	}
	return from
}

// old says whether a block is there and was made longer before the last one than blocks are kept.
func (m *machine) old(height int64) bool {
	if !m.prunes {
		return false
	}
	meta := m.disk.blocks.LoadBlockMeta(height)
	return meta != nil && m.at.Sub(meta.Header.Time) > m.cfg.Keep
}

// What comet orders is a transaction and four bytes that say which attempt it is: comet takes no bytes twice, though an
// order that was refused may be tried again.

func wrap(tx []byte, nonce uint32) []byte {
	raw := make([]byte, 0, len(tx)+nonceBytes)
	return binary.BigEndian.AppendUint32(append(raw, tx...), nonce)
}

// strip returns the transaction, where it lies.
func strip(raw []byte) ([]byte, bool) {
	if len(raw) <= nonceBytes {
		return nil, false
	}
	n := len(raw) - nonceBytes
	return raw[:n:n], true
}
