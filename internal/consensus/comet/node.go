//go:build !small

package comet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/blocksync"
	"github.com/cometbft/cometbft/config"
	cs "github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/evidence"
	mempl "github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/pex"
	"github.com/cometbft/cometbft/proxy"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A node is comet's parts joined. Comet's own package node does the same, brings RPC, indexers and a database driver, and
// leaves files open and goroutines running when it cannot start.
type node struct {
	cfg *Config
	log logger

	settings  *config.Config
	key       *signer
	disk      stores
	roster    *roster
	hand      *hand
	databases []dbm.DB
	apps      proxy.AppConns
	bus       *types.EventBus
	pool      *mempl.CListMempool
	machine   *cs.State
	consensus *cs.Reactor
	transport *p2p.MultiplexTransport
	peers     *p2p.Switch
	listens   bool
}

// stores are comet's files.
type stores struct {
	blocks   *store.BlockStore
	states   sm.Store
	evidence dbm.DB
}

// build brings the App to where the files end, and joins the parts.
func (n *node) build(ctx context.Context, m *machine) error {
	n.settings = settings(n.cfg)
	if err := n.connect(m); err != nil {
		return err
	}
	state, err := n.replay(ctx, n.disk)
	if err != nil {
		return err
	}
	m.prunes, m.done = true, state.LastBlockHeight
	m.pool.seated(m.roster.seat(n.cfg.Member))
	return n.join(m, state)
}

// open opens the member's key and comet's files.
func (n *node) open(last consensus.Last) error {
	key, err := openSigner(n.cfg.Dir, n.cfg.Key)
	if err != nil {
		return err
	}
	n.key = key
	if err := n.openStores(); err != nil {
		return err
	}
	if n.roster, err = openRoster(n.databases[1], n.cfg.Founders, last.Members); err != nil {
		return err
	}
	for _, m := range n.roster.everybody() {
		if mine := bytes.Equal(m.Key, key.Key.PubKey.Bytes()); mine != (m.ID == n.cfg.Member) {
			return fmt.Errorf("comet: the key in %q is not that of member %q", n.cfg.Dir, n.cfg.Member)
		}
	}
	return nil
}

func (n *node) openStores() error {
	dir := filepath.Join(n.cfg.Dir, dataDir)
	if err := errors.Join(makeDir(n.cfg.Dir, dir), makeDir(n.cfg.Dir, filepath.Join(n.cfg.Dir, walDir))); err != nil {
		return err
	}
	for _, name := range []string{"blockstore", "state", "evidence"} {
		db, err := dbm.NewGoLevelDB(name, dir)
		if err != nil {
			return fmt.Errorf("comet: opening %q: %w", filepath.Join(dir, name+".db"), err)
		}
		n.databases = append(n.databases, db)
	}
	n.disk = stores{store.NewBlockStore(n.databases[0]), sm.NewStore(n.databases[1], sm.StoreOptions{DiscardABCIResponses: true}), n.databases[2]}
	return nil
}

// close closes the files, when no goroutine of comet's is left: each panics on a file that is closed.
func (n *node) close() {
	for _, db := range n.databases {
		n.stopped("database", db.Close())
	}
}

// connect gives every kind of call its own lock, so that CheckTx does not wait for blocks.
func (n *node) connect(m *machine) error {
	n.apps = proxy.NewAppConns(proxy.NewConnSyncLocalClientCreator(m), proxy.NopMetrics())
	n.apps.SetLogger(n.log.With("module", "proxy"))
	if err := n.apps.Start(); err != nil {
		return err
	}
	n.bus = types.NewEventBus()
	n.bus.SetLogger(n.log.With("module", "events"))
	return n.bus.Start()
}

// replay gives the App the blocks that it has not committed.
func (n *node) replay(ctx context.Context, d stores) (state sm.State, err error) {
	doc, err := genesis(n.cfg)
	if err != nil {
		return state, err
	}
	if state, err = d.states.LoadFromDBOrGenesisDoc(doc); err != nil {
		return state, err
	}
	if state.ChainID != n.cfg.Network {
		return state, fmt.Errorf("comet: %q holds network %q, not %q", n.cfg.Dir, state.ChainID, n.cfg.Network)
	}
	h := cs.NewHandshaker(d.states, state, d.blocks, doc)
	h.SetLogger(n.log.With("module", "consensus"))
	h.SetEventBus(n.bus)
	if err := h.HandshakeWithContext(ctx, n.apps); err != nil {
		if ctx.Err() != nil { // which comet does not wrap
			return state, ctx.Err()
		}
		return state, fmt.Errorf("comet: bringing the ledger to the last block: %w", err)
	}
	return d.states.Load()
}

func (n *node) join(m *machine, state sm.State) error {
	key, d := n.key, n.disk
	log := func(module string) logger { return n.log.With("module", module).(logger) }
	n.pool = mempl.NewCListMempool(n.settings.Mempool, n.apps.Mempool(), state.LastBlockHeight,
		mempl.WithPreCheck(sm.TxPreCheck(state)), mempl.WithPostCheck(sm.TxPostCheck(state)))
	n.pool.EnableTxsAvailable()
	told := &gossip{mempl.NewReactor(n.settings.Mempool, n.pool), m.pool}
	told.SetLogger(log("mempool"))

	faults, err := evidence.NewPool(d.evidence, d.states, d.blocks)
	if err != nil {
		return err
	}
	accuse := evidence.NewReactor(faults)
	accuse.SetLogger(log("evidence"))

	exec := sm.NewBlockExecutor(d.states, log("state"), n.apps.Consensus(), n.pool, faults, d.blocks,
		sm.BlockExecutorWithBlockTimeTolerance(n.settings.Consensus.BlockTimeTolerance))
	alone := state.Validators.Size() == 1 && state.Validators.HasAddress(key.Key.Address)
	begun := int64(0) // where no block is here yet, because this member began with the others' state
	if d.blocks.Height() == 0 {
		begun = state.LastBlockHeight
	}
	behind := !alone && n.behind(state, begun)
	sync := blocksync.NewReactorWithAddr(state.Copy(), exec, d.blocks, behind, key.Key.Address, blocksync.NopMetrics(), begun)
	sync.SetLogger(log("blocksync"))

	n.machine = cs.NewState(n.settings.Consensus, state.Copy(), exec, d.blocks, n.pool, faults)
	n.machine.SetLogger(log("consensus"))
	n.machine.SetPrivValidator(key)
	n.consensus = cs.NewReactor(n.machine, behind)
	n.consensus.SetLogger(log("consensus"))
	n.consensus.SetEventBus(n.bus)

	return n.network(&p2p.NodeKey{PrivKey: key.Key.PrivKey}, state, map[string]p2p.Reactor{
		"MEMPOOL": told, "BLOCKSYNC": sync, "CONSENSUS": n.consensus, "EVIDENCE": accuse, "HANDOVER": n.hand})
}

// behind reports whether this member first asks the others for the blocks that it lacks, and votes only then, which takes seconds. Where
// it was away for a moment it takes part at once, and is told the blocks as any member is that missed some: so a member that starts anew
// is missed no longer than it must be, by others that may need its vote.
func (n *node) behind(state sm.State, begun int64) bool {
	away := time.Duration(n.cfg.Now()-lamppost.TimeMS(state.LastBlockTime.UnixMilli())) * time.Millisecond
	return begun != 0 || away > syncAfter
}

// network joins the reactors to the other members' and to nobody else's: there is no exchange of addresses, and who has
// no member's key is sent away.
func (n *node) network(key *p2p.NodeKey, state sm.State, reactors map[string]p2p.Reactor) error {
	info := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, state.Version.Consensus.Block, state.Version.Consensus.App),
		DefaultNodeID:   key.ID(), ListenAddr: n.settings.P2P.ListenAddress, Network: n.cfg.Network, Version: version.TMCoreSemVer,
		Channels: []byte{blocksync.BlocksyncChannel, cs.StateChannel, cs.DataChannel, cs.VoteChannel, cs.VoteSetBitsChannel,
			mempl.MempoolChannel, evidence.EvidenceChannel, handChannel},
		Moniker: n.settings.Moniker, Other: p2p.DefaultNodeInfoOther{TxIndex: "off"},
	}
	if err := info.Validate(); err != nil {
		return fmt.Errorf("comet: listen address %q: %w", n.cfg.Listen, err)
	}
	n.transport = p2p.NewMultiplexTransport(info, *key, p2p.MConnConfig(n.settings.P2P))
	p2p.MultiplexTransportMaxIncomingConnections(2 * maxMembers)(n.transport)
	n.peers = p2p.NewSwitch(n.settings.P2P, n.transport, p2p.SwitchPeerFilters(n.admit))
	log := n.log.With("module", "p2p")
	n.peers.SetLogger(log)
	for name, r := range reactors {
		n.peers.AddReactor(name, r)
	}
	n.peers.SetNodeInfo(info)
	n.peers.SetNodeKey(key)
	book := pex.NewAddrBook("", false) // never started, hence never written; the switch must have one
	book.SetLogger(log)
	n.peers.SetAddrBook(book)
	return nil
}

func (n *node) start() error {
	addr, err := p2p.NewNetAddressString(p2p.IDAddressString(nodeID(n.key.Key.PubKey.Bytes()), n.settings.P2P.ListenAddress))
	if err != nil {
		return fmt.Errorf("comet: listen address %q: %w", n.cfg.Listen, err)
	}
	if err := n.transport.Listen(*addr); err != nil {
		return fmt.Errorf("comet: listening: %w", err)
	}
	n.listens = true
	return n.peers.Start()
}

// stop ends whatever of the node was started. Stuck says that the App failed where comet's state machine was starting.
func (n *node) stop(stuck bool) {
	if stuck && n.consensus != nil && !n.consensus.WaitSync() {
		unstick(n.machine)
	}
	if n.peers != nil && n.peers.IsRunning() {
		n.stopped("switch", n.peers.Stop())
	}
	if n.listens {
		n.stopped("transport", n.transport.Close())
	}
	if n.machine != nil {
		n.stopped("log", closeLog(n.machine))
	}
	if n.bus != nil && n.bus.IsRunning() {
		n.stopped("events", n.bus.Stop())
	}
	if n.apps != nil && n.apps.IsRunning() {
		n.stopped("proxy", n.apps.Stop())
	}
}

func (n *node) stopped(part string, err error) {
	if err != nil {
		n.cfg.Log.Warn("stopping", "part", part, "err", err)
	}
}
