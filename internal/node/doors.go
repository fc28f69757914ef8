package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/dashboard"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
	"github.com/lamppost/lamppost/internal/provider"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/sig"
)

// openFrontDoors listens, and builds what answers there.
func (n *Node) openFrontDoors() (err error) {
	if n.devices, err = api.OpenDevices(n.store, n.Order); err != nil {
		return err
	}
	if n.gateways, err = api.OpenGateways(n.store, n.Order, n.cfg.Network, n.cfg.Member, n.devices); err != nil {
		return err
	}
	n.devices.VouchAs(n.cfg.Member)
	n.devices.LogInByKey(n.cfg.Network, n.ownKey)
	if n.cfg.Broker.ACL {
		n.devices.BrokerChecks()
	}
	n.in = ingest.New(ingest.Config{
		Network: n.cfg.Network, Gateway: n.cfg.Member, Key: func() *sig.PrivateKey { return n.key }, Epoch: uint32(n.now() / 1000),
		Propose: n.engine, KeyOf: n.keyOf, Now: n.now, Salts: func(b []byte) { rand.Read(b) }, // never fails
		Linger: n.cfg.Linger, MaxBatch: n.cfg.Segment, Metrics: ingest.NewMetrics(n.registry),
	})
	var cert *tls.Config
	if n.cfg.TLSCert != "" {
		if cert, err = n.openTLS(); err != nil {
			return err
		}
	}
	if n.httpL, err = listen("HTTP", "--http", n.cfg.HTTP, n.forMembers(cert)); err != nil {
		return err
	}
	if n.cfg.MQTT != "off" {
		if n.mqttL, err = listen("MQTT", "--mqtt", n.cfg.MQTT, cert); err != nil {
			return err
		}
	}
	if _, err := n.details(); err != nil {
		return err
	}
	if err := n.openMapping(); err != nil {
		return err
	}
	door := mqttd.Config{Auth: n.devices.Authenticate, Admin: n.isAdmin, Submit: n.in, Origins: &n.behaviour.origins, Log: n.cfg.Log, Metrics: mqttd.NewMetrics(n.registry)}
	if n.foreign != nil {
		door.Foreign = n.foreign
	}
	if n.mqtt, err = mqttd.New(door); err != nil {
		return err
	}
	if n.broker, err = n.openBroker(); err != nil {
		return err
	}
	// The small verbs look here when they are given the data folder.
	if err := folder.WriteDurably(filepath.Join(n.cfg.Data, "node.url"), n.URL()+"\n", 0o600); err != nil {
		return err
	}
	return n.openWeb()
}

func (n *Node) openWeb() error {
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.registerMetrics()
	var server *api.Server
	var doors http.Handler
	prove := func(id lamppost.DeviceID, reports []lamppost.Seq) ([]byte, error) {
		return server.ProveReports(id, reports)
	}
	desires := api.NewDesires(n.store, n.now, n.mqtt, n.cfg.Log)
	n.desires.Store(desires) // before Load, so that no command falls between
	if err := desires.Load(); err != nil {
		return err
	}
	guards := api.NewGuards(n.store, n.cfg.Network, n.now, desires)
	cfg := api.Config{
		Store: n.store, Order: n.orderJudged, Triage: n.judging.state, VerdictState: n.verdictState, DecisionInputs: n.decisionInputs, Notify: n.tryNotify, Checkpoint: n.Checkpoint, Status: n.engine.Status, Verify: n.verification, Files: n.publisher.Storage,
		LogArchive: n.cfg.LogArchive, Packs: n.packs, Witnesses: n.witnesses(), Conflict: n.conflict.Load,
		Network: n.cfg.Network, Member: n.cfg.Member, Now: n.now, Speed: n.cfg.Speed, Version: Version(),
		AdminToken: n.token, Live: n.live, Devices: n.devices, Gateways: n.gateways, Guards: guards, Desires: desires, Seen: n.seen, Learned: n.SharedModels, Broker: n.brokerStatus,
		Snapshots: &api.Snapshots{Dir: n.snaps.dir, State: n.SnapshotState, Take: n.TakeSnapshot},
		Details:   n.details,
		Advise:    adviseOn, ReadFleet: readFleet, FleetExamples: fleetExamples,
		Scrub: n.scrubState, Certificate: n.certificateEnds,
		Backups: &api.Backups{Make: n.Backup, List: n.Backups, Forget: n.ForgetBackup, State: n.backupState}, MQTT: n.MQTTAddr(), HTTP: n.URL(),
		Doors: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { doors.ServeHTTP(w, r) }),
		Front: dashboard.Handler(),
		Check: func(w http.ResponseWriter, r *http.Request, pin string) {
			checkpage.Content{Pin: pin, Version: Version()}.Serve(w, r)
		},
		Metrics: promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}), Log: n.cfg.Log, Sign: n.Sign,
	}
	if n.liars {
		cfg.Agreed = n.Agreed
	}
	if n.file != nil {
		cfg.Members, cfg.FromMember, cfg.Evidence = n.otherMembers, n.fromMember, n.Evidence
	}
	var err error
	if cfg.Providers, err = n.providers(); err != nil {
		return err
	}
	cfg.Noticed = n.notices()
	if cfg.Pay, err = n.cfg.Pay.offer(); err != nil {
		return err
	}
	server, err = api.New(cfg)
	if err != nil {
		return err
	}
	n.server = server
	doors = httpd.Handler(httpd.Config{Auth: n.devices.Authenticate, Submit: n.in, Origins: &n.behaviour.origins, Enrol: n.enrol, Prove: prove, Log: n.cfg.Log,
		Guard: guards.AskDevice, Desired: desires.Told, Gateways: gatewayDoor{n.gateways, n, guards}, Deals: server.Deals(), Metrics: httpd.NewMetrics(n.registry)})
	n.web = &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	n.web.RegisterOnShutdown(server.Close)
	return nil
}

// providers are the payment providers of the configuration. Secrets that cannot be read are told of now, and not when money comes.
func (n *Node) providers() (map[string]api.Provider, error) {
	all := map[string]api.Provider{}
	for _, p := range n.cfg.Providers {
		w := provider.Webhook(p)
		if err := w.Ready(); err != nil {
			return nil, err
		}
		all[p.Name] = &w
	}
	return all, nil
}

// details reads what is known of the parties beyond the log.
func (n *Node) details() (render.Details, error) {
	if n.cfg.Parties == "" {
		return nil, nil
	}
	return render.ReadDetails(n.cfg.Parties)
}

// enrol makes a device's key known to the ledger; the HTTP door calls it for a device that showed its token.
func (n *Node) enrol(ctx context.Context, id lamppost.DeviceID, k httpd.NewKey) (network string, epoch uint32, err error) {
	s, err := sig.ParseSuite(k.Suite)
	if err != nil {
		return "", 0, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if s == sig.HMAC256 && !n.private(ctx) {
		return "", 0, lamppost.Refuse(lamppost.CodeForbidden, "a shared key goes only over TLS or from this machine")
	}
	epoch, err = n.devices.Enrol(ctx, id, api.NewKey{Suite: s, Key: k.Key, Consent: k.Consent})
	return n.cfg.Network, epoch, err
}

// Devices lets devices in.
func (n *Node) Devices() *api.Devices { return n.devices }

// Status is the engine's.
func (n *Node) Status() consensus.Status { return n.engine.Status() }

// listen opens an address, with TLS where there is a certificate.
func listen(what, flag, addr string, cert *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the %s address %s is in use: is a node running already? %s names another", what, addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the %s door: %w", what, err)
	}
	if cert != nil {
		return tls.NewListener(l, cert), nil
	}
	return l, nil
}

// Version is what the build knows of itself.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}
