package cluster

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/abci/example/kvstore"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtlog "github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"
)

// Comet is CometBFT with its own example application, four validators, each a process. Transactions are put into the pool of
// each validator by a goroutine in it, so that no client and no RPC costs anything.
func Comet() Peer {
	return Peer{Name: "CometBFT kvstore", Run: runComet, Settings: []Setting{
		{Name: "2,000 transactions on their way, no pause between blocks", Window: 2000},
		{Name: "8,000 transactions on their way, no pause between blocks", Window: 8000},
		{Name: "8,000 transactions on their way, 200 ms between blocks", Window: 8000, Commit: 200 * time.Millisecond},
		{Name: "20,000 transactions on their way, no pause between blocks", Window: 20000},
	}}
}

// CometCommand is the command under which this program is a member.
const CometCommand = "comet-member"

type cometMember struct {
	Number     int
	Dir        string
	Listen     string // host:port
	Peers      string // comet's form
	Commit     time.Duration
	Window     int
	ValueBytes int
	For        time.Duration
}

func runComet(ctx context.Context, dir string, s Setting, valueBytes int, d time.Duration) (float64, error) {
	members, err := foundComet(dir, s, valueBytes, d)
	if err != nil {
		return 0, err
	}
	var children []*child
	defer func() {
		for _, c := range children {
			c.end()
		}
	}()
	for _, m := range members {
		c, err := startChild(ctx, CometCommand, m)
		if err != nil {
			return 0, err
		}
		children = append(children, c)
	}
	for _, c := range children {
		var ready string
		if err := c.hear(&ready); err != nil {
			return 0, err
		}
	}
	for _, c := range children {
		if err := c.tell("send"); err != nil {
			return 0, err
		}
	}
	sum := 0.0
	for _, c := range children {
		var per float64
		if err := c.hear(&per); err != nil {
			return 0, err
		}
		sum += per
	}
	return sum, nil
}

// foundComet writes what four validators need.
func foundComet(dir string, s Setting, valueBytes int, d time.Duration) ([]cometMember, error) {
	const validators = 4
	doc := types.GenesisDoc{GenesisTime: time.Now().UTC(), ChainID: "bench", InitialHeight: 1, ConsensusParams: types.DefaultConsensusParams()}
	doc.ConsensusParams.Block.MaxBytes = 16 << 20
	var members []cometMember
	var peers []string
	for i := range validators {
		m := cometMember{Number: i, Dir: filepath.Join(dir, fmt.Sprint("v", i)), Commit: s.Commit, Window: s.Window / validators, ValueBytes: valueBytes, For: d}
		config.EnsureRoot(m.Dir)
		cfg := config.DefaultConfig().SetRoot(m.Dir)
		signer := privval.GenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile())
		signer.Save()
		key := p2p.NodeKey{PrivKey: ed25519.GenPrivKey()}
		if err := key.SaveAs(cfg.NodeKeyFile()); err != nil {
			return nil, err
		}
		var err error
		if m.Listen, err = freeAddress(); err != nil {
			return nil, err
		}
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: signer.GetAddress(), PubKey: signer.Key.PubKey, Power: 1000})
		peers = append(peers, fmt.Sprintf("%s@%s", key.ID(), m.Listen))
		members = append(members, m)
	}
	for i := range members {
		members[i].Peers = strings.Join(peers, ",")
		if err := doc.SaveAs(config.DefaultConfig().SetRoot(members[i].Dir).GenesisFile()); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// tuned is comet with the settings that Lamppost found best (docs/decisions/0010-comet.md), and without what a client or an
// explorer would need: indexes, RPC, the results of transactions. Recheck is off, since no transaction of the kvstore spoils another.
func (m *cometMember) tuned() *config.Config {
	c := config.DefaultConfig().SetRoot(m.Dir)
	c.Consensus.TimeoutCommit = m.Commit
	c.Consensus.SkipTimeoutCommit = m.Commit == 0
	c.Consensus.PeerGossipSleepDuration = 10 * time.Millisecond
	c.P2P.ListenAddress = "tcp://" + m.Listen
	c.P2P.PersistentPeers = m.Peers
	c.P2P.FlushThrottleTimeout = 10 * time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = 100<<20, 100<<20
	c.P2P.AllowDuplicateIP, c.P2P.AddrBookStrict, c.P2P.PexReactor = true, false, false
	c.Mempool.Recheck = false
	c.Mempool.Size, c.Mempool.CacheSize = 50_000, 100_000
	c.Mempool.MaxTxBytes, c.Mempool.MaxTxsBytes = 5<<20, 256<<20
	c.RPC.ListenAddress = ""
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	return c
}

// CometMember runs a member until the input ends.
func CometMember(text string) error {
	var m cometMember
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	cfg := m.tuned()
	db, err := dbm.NewGoLevelDB("kvstore", filepath.Join(m.Dir, "data"))
	if err != nil {
		return err
	}
	app := &counted{Application: kvstore.NewApplication(db), own: fmt.Appendf(nil, "%d-", m.Number), changed: make(chan struct{}, 1)}
	key, err := p2p.LoadNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return err
	}
	n, err := node.NewNode(cfg, privval.LoadFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()), key, proxy.NewConnSyncLocalClientCreator(app),
		node.DefaultGenesisDocProviderFunc(cfg), config.DefaultDBProvider, node.DefaultMetricsProvider(cfg.Instrumentation), cmtlog.NewNopLogger())
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	defer n.Stop()
	for app.blocks() < 2 || n.Switch().Peers().Size() < 3 {
		<-app.changed
	}
	say("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	per, err := m.send(n.Mempool(), app)
	if err != nil {
		return err
	}
	say(per)
	_, err = io.Copy(io.Discard, in)
	return err
}

// send keeps the pool filled for a while, and returns how many of the transactions a second were committed.
func (m *cometMember) send(pool mempool.Mempool, app *counted) (float64, error) {
	rng := rand.NewChaCha8([32]byte{byte(m.Number)})
	raw := make([]byte, m.ValueBytes/2)
	start, sent := time.Now(), 0
	for time.Since(start) < m.For {
		if sent-app.committed() >= m.Window {
			select {
			case <-app.changed:
			case <-time.After(m.For - time.Since(start)):
			}
			continue
		}
		rng.Read(raw) // never fails
		tx := fmt.Appendf(nil, "%s%d=", app.own, sent)
		tx = hex.AppendEncode(tx, raw)[:m.ValueBytes] // kvstore takes text without = and :
		err := pool.CheckTx(tx, nil, mempool.TxInfo{})
		if full := (mempool.ErrMempoolIsFull{}); errors.As(err, &full) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return 0, err
		}
		sent++
	}
	return float64(app.committed()) / time.Since(start).Seconds(), nil
}

// A counted kvstore counts the committed transactions that begin like this member's. Its events, which nobody reads, are left out.
type counted struct {
	*kvstore.Application
	own     []byte
	changed chan struct{} // 1: there was a commit

	mu           sync.Mutex
	staged, done int
	height       int64
}

func (c *counted) FinalizeBlock(ctx context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	res, err := c.Application.FinalizeBlock(ctx, req)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, tx := range req.Txs {
		res.TxResults[i].Events = nil
		if strings.HasPrefix(string(tx[:min(len(tx), 8)]), string(c.own)) {
			c.staged++
		}
	}
	return res, nil
}

func (c *counted) Commit(ctx context.Context, req *abci.RequestCommit) (*abci.ResponseCommit, error) {
	res, err := c.Application.Commit(ctx, req)
	c.mu.Lock()
	c.done, c.staged = c.done+c.staged, 0
	c.height++
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return res, err
}

func (c *counted) committed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

func (c *counted) blocks() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.height
}
