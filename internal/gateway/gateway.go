// Package gateway is Lamppost on site: it serves the same doors as a node, checks and signs reports into segments with
// a key of its own, holds them on disk, and hands them to its upstream node in order, however long the uplink is down.
//
// It promises that a report it acknowledged is durable here until the upstream has committed it, that nothing is handed
// on in another order than it came, and that it takes no more disk than [Disk] says: devices are told to try again
// while it is full. It keeps no ledger: what it took in custody the ledger may still refuse, for instance a report of a
// device in quarantine; such outcomes are counted and logged, as docs/gateway.md says.
//
// Start reading at [Open] and [Gateway.Run], then custodian (what ingest hands over), keep (what is on disk) and
// forwarder (the way up). Limits are in limits.go.
package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
)

// Config is all that can be set about a gateway.
type Config struct {
	Data     string // folder for its key, its token and what it holds; required
	Upstream string // the node's address, such as https://node.example:8443; required
	ID       string // as the operator announced it; needed at the first start
	Token    string // likewise

	// HTTP and MQTT are the addresses to listen on, default 127.0.0.1:8080 and 127.0.0.1:1883. An address that others
	// can reach needs TLS. "off" closes the MQTT door.
	HTTP, MQTT      string
	TLSCert, TLSKey string // PEM files for both doors

	// Committed makes an acknowledgement mean that the upstream has committed a report, not that it is held here.
	Committed bool

	Hold   int64         // bytes of segments to hold; default DefaultHold, at least MinHold
	Linger time.Duration // longest wait of a report for others; default 200ms

	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default: nothing is logged
	NoFsync bool             // for tests that do not cut the power
	Client  *http.Client     // to the upstream; default one of its own
}

// Disk is how much disk a gateway that holds up to so many bytes takes at most: what it holds, what is deleted and not yet
// given back (an eighth is tolerated, and as much again may be rewritten meanwhile), and the store's own files.
func Disk(hold int64) int64 { return hold + hold/4 + storeBytes }

// storeBytes is for write ahead logs, the memory table's copies, the list of devices and segments set aside.
const storeBytes = 8*memTableBytes + 2*maxFleetBytes + maxRejected*(segmentBytes+64<<10)

const memTableBytes = 8 << 20

// A Gateway is one running process on site.
type Gateway struct {
	cfg    Config
	store  *pebble.Store
	keys   *keyring
	admin  [sha256.Size]byte // of the operator's token
	fleet  *fleet
	guards *guards
	keep   *keep
	up     *upstream
	way    *forwarder
	in     *ingest.Ingest
	web    *http.Server
	mqtt   *mqttd.Server
	ended  chan struct{}
	httpL  net.Listener
	mqttL  net.Listener
}

// Open opens the data folder and the doors. At the first start it registers the gateway with the upstream, which must
// be there then; later it need not be.
func Open(ctx context.Context, cfg Config) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, ended: make(chan struct{})}
	for _, step := range []func(context.Context) error{g.openStore, g.register, g.openInside, g.openDoors} {
		if err := step(ctx); err != nil {
			g.close()
			return nil, err
		}
	}
	return g, nil
}

func (c *Config) check() error {
	if c.Data == "" || c.Upstream == "" {
		return errors.New("a gateway needs a folder and an upstream: say --data DIR --upstream URL")
	}
	if u, err := url.Parse(c.Upstream); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the upstream %q is not an address such as https://node.example:8443", c.Upstream)
	} else if u.Scheme == "http" && !loopback(u.Host) {
		return fmt.Errorf("the upstream %q would get the gateway's token in the clear: use https", c.Upstream)
	}
	c.Upstream = strings.TrimRight(c.Upstream, "/")
	if c.HTTP == "" {
		c.HTTP = "127.0.0.1:8080"
	}
	if c.MQTT == "" {
		c.MQTT = "127.0.0.1:1883"
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("a TLS certificate and its key belong together: give both or neither")
	}
	for _, addr := range []string{c.HTTP, c.MQTT} {
		if addr != "off" && !loopback(addr) && c.TLSCert == "" {
			return fmt.Errorf("address %q can be reached from other machines: give a TLS certificate and its key, or listen on 127.0.0.1", addr)
		}
	}
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	if c.Hold < MinHold {
		return fmt.Errorf("a gateway holds at least %d MiB", MinHold>>20)
	}
	if c.Linger == 0 {
		c.Linger = 200 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Client == nil {
		c.Client = &http.Client{}
	}
	return nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (g *Gateway) openStore(context.Context) (err error) {
	g.store, err = pebble.Open(filepath.Join(g.cfg.Data, "db"), pebble.Options{Logger: g.cfg.Log, NoFsync: g.cfg.NoFsync,
		CacheBytes: 8 << 20, MemTableBytes: memTableBytes})
	if err != nil {
		return err
	}
	g.keys, err = openKeyring(g.cfg.Data, g.store)
	return err
}

// register tells the upstream this gateway's key, if that was not done before.
func (g *Gateway) register(ctx context.Context) error {
	if err := g.keys.begin(&g.cfg); err != nil {
		return err
	}
	g.up = &upstream{url: g.cfg.Upstream, id: string(g.keys.id.ID), token: g.keys.token, client: g.cfg.Client}
	return g.keys.register(ctx, g.up)
}

func (g *Gateway) openInside(ctx context.Context) (err error) {
	if g.fleet, err = openFleet(g.store, g.now); err != nil {
		return err
	}
	if g.keep, err = openKeep(g.store, g.cfg.Hold, g.store.Compact); err != nil {
		return err
	}
	g.keys.write = g.apply
	if g.guards, err = openGuards(g); err != nil {
		return err
	}
	g.way = &forwarder{keep: g.keep, to: g.up, fresh: g.keys.fresh, random: mathrand.Float64, log: g.cfg.Log}
	if err := g.refresh(ctx); err != nil {
		g.cfg.Log.Warn("starting with the list of devices as it was", "err", err)
	}
	workers := 1 // keeps the order
	if g.cfg.Committed {
		workers = 4 // each waits for the upstream
	}
	id := g.keys.who()
	g.in = ingest.New(ingest.Config{
		Network: id.Network, Gateway: id.ID, Key: g.keys.signs, Epoch: id.Epoch,
		Propose: &custodian{keep: g.keep, waits: g.cfg.Committed, stopped: g.ended},
		KeyOf:   g.fleet.keyOf, Now: g.now, Salts: func(b []byte) { rand.Read(b) }, // never fails
		Linger: g.cfg.Linger, Workers: workers, MaxBytes: segmentBytes, MaxQueue: maxQueue, Whole: true,
	})
	return nil
}

func (g *Gateway) openDoors(context.Context) (err error) {
	if err := g.openAdmin(); err != nil {
		return err
	}
	if g.httpL, err = g.listen("HTTP", g.cfg.HTTP); err != nil {
		return err
	}
	if g.cfg.MQTT != "off" {
		if g.mqttL, err = g.listen("MQTT", g.cfg.MQTT); err != nil {
			return err
		}
	}
	submit := &door{g.in, g.keep}
	if g.mqtt, err = mqttd.New(mqttd.Config{Auth: g.fleet.authenticate, Submit: submit, Log: g.cfg.Log}); err != nil {
		return err
	}
	doors := httpd.Handler(httpd.Config{Auth: g.fleet.authenticate, Submit: submit, Custody: g.receipt, Guard: g.relay, Desired: g.desired, Log: g.cfg.Log})
	mux := http.NewServeMux()
	mux.Handle("/v1/", doors)
	mux.HandleFunc("POST /v1/enrol", g.enrol)
	mux.HandleFunc("GET /healthz", g.health)
	mux.HandleFunc("POST /v1/rotate", g.operator(g.rotate))
	mux.HandleFunc("PUT /v1/devices/{id}/desired", g.operator(g.setDesired))
	g.web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	return folder.WriteDurably(filepath.Join(g.cfg.Data, "gateway.url"), g.URL()+"\n", 0o600)
}

func (g *Gateway) listen(what, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("opening the %s door: %w", what, err)
	}
	if g.cfg.TLSCert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(g.cfg.TLSCert, g.cfg.TLSKey)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("reading the TLS certificate %q and its key %q: %w", g.cfg.TLSCert, g.cfg.TLSKey, err)
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}), nil
}

func (g *Gateway) now() lamppost.TimeMS { return lamppost.TimeMS(g.cfg.Now().UnixMilli()) }

// receipt makes the custody receipt of an acknowledged report that has no height yet.
func (g *Gateway) receipt(r ingest.Reply) []byte {
	if r.Code != lamppost.CodeOK || r.Height != 0 {
		return nil
	}
	id := g.keys.who()
	raw, err := Receipt{Report: r.ID, Received: r.Received, Epoch: r.Segment.Epoch, N: r.Segment.N}.sign(id.Network, id.ID, g.keys.signs())
	if err != nil {
		g.cfg.Log.Error("signing a custody receipt", "err", err)
	}
	return raw
}

// refresh brings the list of devices up to date.
func (g *Gateway) refresh(ctx context.Context) error {
	tag, _ := g.fleet.tagged()
	raw, tag, err := g.up.devices(ctx, tag)
	g.way.note(err, g.now())
	if err != nil || raw == nil {
		return err
	}
	return g.fleet.set(tag, raw, g.apply)
}

// apply writes a batch beside what the keep writes.
func (g *Gateway) apply(b *kv.Batch) error {
	g.keep.writing.Lock()
	defer g.keep.writing.Unlock()
	return g.store.Apply(b)
}

// follow refreshes the list of devices, asks what is asked of their guards, and finishes a change of keys that is under way, until ctx is done.
func (g *Gateway) follow(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	if err := g.guards.ask(ctx); err != nil && ctx.Err() == nil {
		g.cfg.Log.Warn("the guards hear nothing", "err", err)
	}
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := g.refresh(ctx); err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("the list of devices stays as it was", "err", err)
		}
		if err := g.guards.ask(ctx); err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("the guards hear nothing", "err", err)
		}
		if err := g.keys.rotate(ctx, g.up, false); err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("the upstream has not confirmed the next key", "err", err)
		}
	}
}

// URL is where the HTTP door listens.
func (g *Gateway) URL() string {
	if g.cfg.TLSCert != "" {
		return "https://" + g.httpL.Addr().String()
	}
	return "http://" + g.httpL.Addr().String()
}

// MQTTAddr is where the MQTT door listens, "" if it is closed.
func (g *Gateway) MQTTAddr() string {
	if g.mqttL == nil {
		return ""
	}
	return g.mqttL.Addr().String()
}

// ID is the gateway's id.
func (g *Gateway) ID() lamppost.MemberID { return g.keys.who().ID }

// Network is the id of the gateway's network.
func (g *Gateway) Network() string { return g.keys.who().Network }

// Run serves until ctx is done or a part fails. The doors close first, then what was taken is held, then the way up
// ends; what is held stays on disk. It is called once.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.close()
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	outer, stopOuter := context.WithCancel(ctx)
	defer stopOuter()
	var doors, inside sync.WaitGroup
	errs := make(chan error, 5)
	part := func(wg *sync.WaitGroup, ctx context.Context, what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				errs <- fmt.Errorf("%s: %w", what, err)
			}
			stopOuter()
		})
	}
	part(&inside, inner, "the way up", func(ctx context.Context) error { return g.way.run(ctx, g.now) })
	part(&inside, inner, "the list of devices", g.follow)
	part(&inside, inner, "ingest", g.in.Run)
	if g.mqttL != nil {
		part(&doors, outer, "the MQTT door", func(ctx context.Context) error { return g.mqtt.Serve(ctx, g.mqttL) })
	}
	part(&doors, outer, "the HTTP door", g.serveHTTP)
	doors.Wait()
	close(g.ended)
	stopInner()
	inside.Wait()
	close(errs)
	return <-errs // nil if there is none
}

func (g *Gateway) serveHTTP(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if g.web.Shutdown(grace) != nil {
			g.web.Close()
		}
	})
	err := g.web.Serve(g.httpL)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-stopped
	return nil
}

// close releases what Open took; it may be called twice.
func (g *Gateway) close() {
	for _, l := range []net.Listener{g.httpL, g.mqttL} {
		if l != nil {
			l.Close()
		}
	}
	if g.store != nil {
		if err := g.store.Close(); err != nil {
			g.cfg.Log.Error("closing the store", "err", err)
		}
		g.store = nil
	}
}
