// Package node wires a running Lamppost together: it opens the data folder, founds the network if there is none, and
// starts and stops the parts in order. It has no logic of its own.
//
// Start reading at [Open] and [Node.Run].
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/challenge"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/cosign"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
	"github.com/lamppost/lamppost/internal/ingest/mapping"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/pilot"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/scrub"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// A Node is one running process of a network. Run drives it; the other methods may be called from any goroutine while
// it runs.
type Node struct {
	cfg    Config
	store  *orderedStore
	rep    *replica.Replica
	engine consensus.Engine
	in     *ingest.Ingest
	mqtt   *mqttd.Server
	web    *http.Server
	server *api.Server
	live   *api.Live
	packs  *archive.Packs
	keeper *archive.Keeper
	purge  func() error
	erase  chan struct{} // has an entry when an erasure was committed
	snaps  snapshots
	db     *pebble.Store
	host   string // this machine

	desires atomic.Pointer[api.Desires] // nil while the doors are not open

	keeping   sync.Mutex          // held while something is taken out of the archive
	forgetter consensus.Forgetter // nil: the engine has no files
	erasing   erasing
	erased    atomic.Uint64   // all that was erased up to this block is out of every file of this folder
	overdue   atomic.Int64    // erasures that should be out of every file and backup, and are not
	backed    atomic.Int64    // when the latest whole backup was made
	backing   sync.Mutex      // held while a backup is made
	printing  sync.Mutex      // held while the log is published and leaves that are in tiles go out of the store
	scrub     *scrub.Scrubber // nil: it is off

	file      *network.File   // the founding of several members; nil: this node is alone
	card      *network.Member // which of them it is; nil: its key says so
	links     *network.TLS    // between members
	outside   atomic.Bool     // this node is no member yet, or not any more
	liars     bool            // members may lie: a checkpoint counts when a quorum has signed it
	agreed    atomic.Pointer[api.Cosigned]
	asks      *http.Client // of other members' HTTP doors
	others    atomic.Pointer[[]api.MemberState]
	accused   evidence
	behaviour behaviour
	learning  learning
	pilot     *pilot.Pilot
	taking    sync.RWMutex // read while decisions are taken
	taken     bool         // all that will be taken
	clocks    clocks

	judging  *judging         // nil: triage is off
	notifier *notify.Notifier // nil: there is neither a webhook nor an MQTT door
	broker   *brokerd.Client  // nil: none is configured
	policy   lamppost.Policy
	sampler  *challenge.Sampler // nil where nobody is trusted
	devices  *api.Devices
	gateways *api.Gateways
	foreign  *mapping.Door // nil: no mapping is configured
	mapped   []string      // filters of the topics that it maps

	key       *sig.PrivateKey
	signer    note.Signer
	verifier  note.Verifier
	publisher *tilelog.Publisher
	files     tilelog.Storage
	published atomic.Pointer[published]
	trimmed   int64                        // complete tiles whose leaves are out of the store; of the goroutine that publishes
	conflict  atomic.Pointer[api.Conflict] // why nothing is signed or taken any more
	halt      *gate

	asker        *cosign.Asker // nil: no witness is configured
	cosigned     atomic.Pointer[api.Cosigned]
	cosignatures chan api.Cosigned // from the part that asks to the one that publishes
	grown        chan struct{}     // a checkpoint was published
	introduced   chan struct{}     // closed when the witnesses were asked once
	registry     *prometheus.Registry
	token        string
	founded      bool

	httpL, mqttL net.Listener
	tls          *tlsFiles // of both doors; nil: they are open on this machine only
}

// published is the latest checkpoint.
type published struct {
	note string
	lamppost.Checkpoint
	at lamppost.TimeMS
}

// orderedStore lets the replica and the node's own records share a store that takes one batch at a time.
type orderedStore struct {
	kv.Store
	mu sync.Mutex
}

// Apply implements kv.Store.
func (s *orderedStore) Apply(b *kv.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Store.Apply(b)
}

// Open opens the data folder, founds the network in it if it is new, and listens on both doors, so that a second node
// on the same folder or address is told at once. Nothing is served before Run.
func Open(cfg Config) (*Node, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, registry: prometheus.NewRegistry(), erase: make(chan struct{}, 1), cosignatures: make(chan api.Cosigned, 2),
		grown: make(chan struct{}, 1), introduced: make(chan struct{})}
	for _, step := range []func() error{n.openStore, n.openKeys, n.openNetwork, n.openArchive, n.openFiles, n.openBehaviour, n.openReplica, n.openLearning, n.openAgents, n.openJudging, n.openEvidence, n.openLog, n.openSnapshots, n.openBackups, n.openScrub, n.openNotifier, n.openFrontDoors} {
		if err := step(); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) openStore() error {
	if err := os.MkdirAll(n.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	db, err := pebble.Open(filepath.Join(n.cfg.Data, "db"), pebble.Options{Logger: n.cfg.Log, NoFsync: n.cfg.NoFsync})
	if err != nil {
		return err
	}
	n.store, n.db, n.purge = &orderedStore{Store: db}, db, db.Purge
	n.host, _ = os.Hostname() // unknown: no backup's path is of it
	return os.RemoveAll(filepath.Join(n.cfg.Data, folder.Staging))
}

// openKeys reads the member's key and the administrator's token, and makes those that are not there. A key that is made anew is of
// no use where there is a chain: it would be no member's.
func (n *Node) openKeys() error {
	path := filepath.Join(n.cfg.Data, folder.MemberKey)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := (ledger.View{Reader: n.store}).Network(); err == nil {
			return fmt.Errorf("%q is not there: put the member's key back; without it this folder is a copy that signs nothing", path)
		}
	}
	seed, err := folder.Secret(n.cfg.Data, folder.MemberKey, sig.SeedSize)
	if err != nil {
		return err
	}
	if n.key, err = sig.NewPrivateKey(sig.EdDSA, seed); err != nil {
		return fmt.Errorf("member.key: %w", err)
	}
	token, err := folder.Secret(n.cfg.Data, folder.Token, 16)
	if err != nil {
		return err
	}
	n.token = fmt.Sprintf("%x", token)
	known, err := folder.KnowsToken(n.store, n.token)
	if err == nil && !known {
		n.cfg.Log.Warn("admin.token is not that of the last start: whoever has the former one is refused")
	}
	return errors.Join(err, folder.RememberToken(n.store, n.token))
}

// openArchive opens the packs of older bodies and removes what a crash left of one.
func (n *Node) openArchive() error {
	objects, err := dir.Open(filepath.Join(n.cfg.Data, "archive"))
	if err != nil {
		return err
	}
	if n.packs, err = archive.NewPacks(n.store, objects); err != nil {
		return err
	}
	n.keeper = &archive.Keeper{Store: n.store, Packs: n.packs, Rules: replica.Rules, Purge: n.purge, Detect: Detect}
	return n.keeper.Sweep()
}

// archive reads all bodies that are there.
func (n *Node) archive() archive.View { return archive.View{Reader: n.store, Packs: n.packs} }

// openReplica continues the chain, or founds the network.
func (n *Node) openReplica() (err error) {
	n.live = api.NewLive(n.cfg.Speed)
	n.rep, err = replica.Open(replica.Config{Store: n.store, Packs: n.packs, Committed: n.committed, Files: n.files,
		Checked: func(id lamppost.TxID, raw []byte) bool { return n.in != nil && n.in.Checked(id, raw) }})
	if err != nil {
		return fmt.Errorf("opening the chain in %q: %w", n.cfg.Data, err)
	}
	if err := n.takeOver(); err != nil {
		return fmt.Errorf("taking over the state of another member: %w", err)
	}
	if n.rep.Network() == "" {
		if err := n.found(); err != nil {
			return fmt.Errorf("founding network %q: %w", n.cfg.Network, err)
		}
	}
	if err := n.recognise(); err != nil {
		return err
	}
	if err := n.forgetAgain(); err != nil {
		return fmt.Errorf("erasing again what was erased after the backup: %w", err)
	}
	if err := n.live.Rebuild(n.archive(), n.rep.Last().Height, recentBlocks); err != nil {
		return fmt.Errorf("reading recent blocks: %w", err)
	}
	if n.policy = n.rep.Policy(); n.policy == lamppost.VerifyGateway {
		n.sampler = challenge.New(challenge.Config{Archive: n.archive(), Rate: n.cfg.Sample, Random: func(b []byte) { rand.Read(b) }, // never fails
			Now: n.now, Accuse: n.accuse, Log: n.cfg.Log}, n.rep.Last().Members)
	}
	engine, err := n.openEngine()
	if err != nil {
		return err
	}
	n.forgetter, _ = engine.(consensus.Forgetter)
	n.erasing.start = n.rep.Last().Cursor
	n.halt = &gate{Engine: engine, shut: func() bool { return n.conflict.Load() != nil || n.outside.Load() }, end: make(chan struct{})}
	n.engine = n.halt
	return nil
}

// verification says who checks devices' signatures, and what came of the samples.
func (n *Node) verification() api.Verification {
	v := api.Verification{Policy: n.policy.String()}
	if n.sampler != nil {
		c := n.sampler.Counts()
		v.Sampled, v.Skipped, v.Hits = c.Sampled, c.Skipped, c.Hits
	}
	return v
}

// accuse orders what proves that a gateway lied.
func (n *Node) accuse(ctx context.Context, b lamppost.FraudBody) error {
	_, err := n.Order(ctx, lamppost.TxFraud, b)
	return err
}

// recentBlocks is how far back what people see at once is rebuilt at the start.
const recentBlocks = 2000

func (n *Node) now() lamppost.TimeMS { return lamppost.TimeMS(n.cfg.Now().UnixMilli()) }

// expiry is how long an order may wait to be committed: an hour, also on a clock that runs fast, as far as the rules let it.
func (n *Node) expiry() lamppost.TimeMS {
	const hour = 3600 * 1000
	return min(lamppost.TimeMS(hour*n.cfg.Speed), ledger.MaxExpiryMS-hour)
}

// sign makes a transaction of this member.
func (n *Node) sign(t lamppost.TxType, body any) (*lamppost.Transaction, error) {
	o := lamppost.Order{Type: t, ExpiryTime: n.clock() + n.expiry(), Body: lamppost.Marshal(body)}
	var seed lamppost.Seed
	rand.Read(o.Nonce[:]) // never fails
	rand.Read(seed[:])
	return lamppost.NewTx(n.cfg.Network, o, n.cfg.Member, n.key, seed)
}

// Order signs an order as this member, proposes it and waits until it is committed. A refused order is a
// *lamppost.Refusal. While the engine is busy it tries again.
func (n *Node) Order(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error) {
	tx, err := n.sign(t, body)
	if err != nil {
		return consensus.Decision{}, err
	}
	id, raw := tx.ID(n.cfg.Network), tx.Append(nil)
	for {
		if c := n.conflict.Load(); c != nil {
			return consensus.Decision{}, lamppost.Refuse(lamppost.CodeNotReady, "nothing is taken any more: %s", c.Text)
		}
		if n.outside.Load() {
			return consensus.Decision{}, lamppost.Refuse(lamppost.CodeNotReady, "%q is no member of the network: nothing can be ordered here", n.cfg.Member)
		}
		d, err := n.engine.Propose(ctx, id, raw)
		if errors.Is(err, consensus.ErrBusy) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return d, err
		}
		return d, d.Outcomes[0].Err()
	}
}

// Desire commands a device as PUT /api/devices/{id}/desired does: for agents in this process, who give their Mode. It waits until the command
// is durable on the ledger. A refusal is a *lamppost.Refusal.
func (n *Node) Desire(ctx context.Context, id lamppost.DeviceID, c api.Command) (api.DesiredState, error) {
	return n.server.Desire(ctx, id, c)
}

// Checkpoint returns the latest published checkpoint as a signed note, what it says, and when it was published.
func (n *Node) Checkpoint() (string, lamppost.Checkpoint, lamppost.TimeMS, error) {
	p := n.published.Load()
	if p == nil {
		return "", lamppost.Checkpoint{}, 0, lamppost.Refuse(lamppost.CodeNotReady, "nothing is published yet: ask again in a second")
	}
	return p.note, p.Checkpoint, p.at, nil
}

// URL is where the HTTP door listens.
func (n *Node) URL() string {
	if n.cfg.TLSCert != "" {
		return "https://" + n.httpL.Addr().String()
	}
	return "http://" + n.httpL.Addr().String()
}

// MQTTAddr is where the MQTT door listens, "" if it is closed.
func (n *Node) MQTTAddr() string {
	if n.mqttL == nil {
		return ""
	}
	return n.mqttL.Addr().String()
}

// AdminToken is the administrator's token.
func (n *Node) AdminToken() string { return n.token }

// Founded reports whether Open founded the network.
func (n *Node) Founded() bool { return n.founded }

// Network is the network's id.
func (n *Node) Network() string { return n.cfg.Network }

// Run serves until ctx is done or a part fails. Parts stop in the order in which work flows: first the doors, so that
// what is inside can be finished and answered, then ingest, then the engine; at last the log is published and the store
// closed. It is called once.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	var s stages
	s.add("publishing", n.publish)
	s.add("keeping the archive", n.keep)
	s.add("asking witnesses", n.askWitnesses)
	s.add("taking snapshots", n.takeSnapshots)
	if n.scrub != nil {
		s.add("scrubbing", n.scrub.Run)
	}
	if n.judging != nil {
		s.add("judging", n.judging.run)
	}
	s.add("the engine", n.engine.Run)
	if n.judging != nil {
		s.add("ordering verdicts", n.judging.say)
	}
	if n.watchesDoors() {
		s.add("judging how devices behave", n.judgeBehaviour)
	}
	if n.sampler != nil {
		s.add("looking at gateways' reports", n.sampler.Run)
	}
	if len(n.cfg.Learn) > 0 {
		s.add("learning together", n.learn)
	}
	if !n.cfg.Played {
		s.add("running agents", n.runAgents)
	}
	s.add("taking decisions", n.endTaking)
	s.add("ingest", func(ctx context.Context) error {
		defer context.AfterFunc(ctx, n.halt.open)()
		return n.in.Run(ctx)
	})
	s.add("settling what devices agreed on", n.settleDeals)
	if n.liars {
		s.add("agreeing on checkpoints", n.agree)
	}
	if n.file != nil {
		s.add("watching members", n.watchMembers)
	}
	if n.notifier != nil {
		s.add("notifying of alarms", n.notifier.Run)
	}
	if n.mqttL != nil && n.file != nil {
		s.add("sending devices elsewhere", n.sendElsewhere)
	}
	if n.mqttL != nil {
		s.add("the MQTT door", func(ctx context.Context) error { return n.mqtt.Serve(ctx, n.mqttL) })
	}
	if n.broker != nil {
		s.add("the MQTT broker's client", n.broker.Run)
	}
	s.add("cashing vouchers", n.cashEnded)
	s.add("the HTTP door", n.serveHTTP)
	return s.run(ctx)
}

func (n *Node) serveHTTP(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if n.web.Shutdown(grace) != nil {
			n.web.Close() // somebody follows the events: they will reconnect elsewhere
		}
		stopped <- nil
	})
	err := n.web.Serve(n.httpL)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-stopped
	return nil
}

// close releases what Open took; it may be called twice.
func (n *Node) close() {
	for _, l := range []net.Listener{n.httpL, n.mqttL} {
		if l != nil {
			l.Close()
		}
	}
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.cfg.Log.Error("closing the store", "error", err)
		}
		n.store = nil
	}
}
