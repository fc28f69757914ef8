// Package api is the node's HTTP interface for programs: the dashboard, the small verbs of the command line, and whoever
// else has the administrator's token. docs/api.md is its contract; tests compare the two.
//
// It promises that nothing is answered without the token unless the table of routes says so, that requests are bounded
// and read strictly, that an order is answered only when it is committed, and that a statement or receipt that leaves
// here was checked like a customer would check it. It decides nothing itself: orders go to consensus, reads come from
// snapshots of the store.
//
// Start reading at [Server.routes], then [Live] (what is shown at once) and [Devices] (who may connect). Requests of
// devices (/v1), the dashboard's files and the metrics are other packages' handlers that [Config] names. Limits are in
// limits.go.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Config is what the node gives to its API. Store, Order, Checkpoint, Status, Files, Now, AdminToken, Live and Devices are required.
type Config struct {
	Store kv.Store // read through snapshots

	// Order signs a body as the node's member, proposes it and waits until it is decided.
	Order Registrar
	// Agreed returns the latest checkpoint that a quorum of members has signed. Nil: one member's signature is enough.
	Agreed func() (Cosigned, error)
	// Certificate is when the certificate of the doors ends; 0: there is none. Nil: likewise.
	Certificate func() lamppost.TimeMS
	// Members tells how the other members do. Nil: there are none.
	Members func() []MemberState
	// FromMember reports whether a request is another member's. Nil: none is.
	FromMember func(*http.Request) bool
	// Evidence is what proves that members lied, oldest first. Nil: there are no other members.
	Evidence func() []Evidence
	// Sign returns the checkpoint of a size of the published log, signed by this member.
	Sign func(size int64) (string, error)

	// Checkpoint returns the latest published checkpoint: as a signed note, read, and when it was published. Before the
	// first it returns an error.
	Checkpoint func() (note string, c lamppost.Checkpoint, published lamppost.TimeMS, err error)
	Status     func() consensus.Status
	// Files is where the log is published.
	Files tilelog.Source
	// LogArchive is where Files reads older tiles, for people.
	LogArchive string
	// Packs holds the bodies that the store has no longer. Nil: it has all.
	Packs     *archive.Packs
	Witnesses *Witnesses       // nil: this node asks none
	Conflict  func() *Conflict // why nothing is signed any more; it, or what it returns, may be nil
	// Verify says how devices' signatures are checked here. Nil: every replica checks all.
	Verify func() Verification

	Network    string
	Member     lamppost.MemberID
	Now        func() lamppost.TimeMS
	Speed      float64 // of Now against the wall clock; 0: 1
	Version    string
	AdminToken string

	Live     *Live
	Devices  *Devices
	Gateways *Gateways // nil: this node takes none
	Guards   *Guards   // nil: nothing is asked of guards here
	Desires  *Desires  // nil: devices are told nothing here
	// Snapshots are the files with the ledger's state. Nil: there are none.
	Snapshots *Snapshots
	// Triage says how far readings are judged. Nil, and its nil: they are not.
	Triage func() *TriageState
	// Details are what is known of the parties beyond the log, for bills that people read. Nil: nothing is.
	Details func() (render.Details, error)
	// Providers are payment providers that report by webhook, by name.
	Providers map[string]Provider
	// Noticed is told what became of each of their notices. Nil: nobody is.
	Noticed func(provider, outcome string)
	// Backups makes backups. Nil: there are none.
	Backups *Backups
	// Scrub says what reading everything again has found. Nil: nothing is read.
	Scrub func() ScrubState
	// VerdictState returns what a verdict can be replayed from, or kv.ErrNotFound. Nil: none is kept.
	VerdictState func(*lamppost.Verdict) ([]byte, error)
	// Learned is what members learn together. Nil: nothing.
	Learned func() ([]SharedModel, error)
	// DecisionInputs returns what a decision was made from, and what its outcome was computed from, or kv.ErrNotFound. Nil: none is kept.
	DecisionInputs func(*lamppost.Decision) (inputs, data []byte, err error)
	// Notify sends a test message to each webhook of this node. Nil: there are none.
	Notify func(context.Context) []notify.Result
	// Seen lists devices that spoke without a key and are not enrolled. Nil: nobody can.
	Seen func() []PendingDevice
	// Broker says how the node stands with a broker that it has joined. Nil, and its nil: it has joined none.
	Broker func() *Broker
	MQTT   string // where devices connect, as told to the operator; empty: not offered
	HTTP   string

	// Advise says how a fleet, in JSON, should be kept; a [*FleetError] says what is wrong with it. Nil: this program cannot.
	Advise func(fleet []byte) (answer any, err error)
	// ReadFleet reads a fleet's file, with the same errors. FleetExamples are files to begin with. Nil where Advise is.
	ReadFleet     func(file []byte) (fleet any, err error)
	FleetExamples func() (list any, err error)
	// Pay opens routes to whoever pays. Nil: none.
	Pay *Pay

	Doors http.Handler // /v1/: checks its devices itself; nil: absent
	Front http.Handler // the dashboard's files, without any data: public; nil: absent
	// Check serves the page that checks files in a browser, which brings the network's pin along: public. Nil: absent.
	Check   func(w http.ResponseWriter, r *http.Request, pin string)
	Metrics http.Handler // /metrics, behind the token; nil: absent

	Log *slog.Logger // nil: nothing is logged
}

// A Server answers requests. Handler may be called once or often; Close ends what does not end by itself.
type Server struct {
	cfg      Config
	log      *slog.Logger
	gate     gate
	once     sync.Once
	closed   chan struct{}
	exports  chan struct{} // one for each that runs
	searches chan struct{} // likewise
	advising chan struct{} // likewise

	alarms openAlarms

	booking sync.Mutex  // held while payments are booked, so that one is booked once
	dues    *books.Dues // nil: nobody asked yet

	paying sync.Mutex // held while a till is open, so that two payments do not overwrite each other
}

// New returns a Server. An empty AdminToken is an error: it would let everybody in.
func New(cfg Config) (*Server, error) {
	if len(cfg.AdminToken) < minTokenBytes {
		return nil, errors.New("api: the administrator's token is shorter than 16 characters")
	}
	if cfg.Store == nil || cfg.Order == nil || cfg.Checkpoint == nil || cfg.Status == nil || cfg.Files == nil || cfg.Now == nil || cfg.Live == nil || cfg.Devices == nil {
		return nil, errors.New("api: Store, Order, Checkpoint, Status, Files, Now, Live and Devices are required")
	}
	if err := cfg.Pay.Check(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Conflict == nil {
		cfg.Conflict = func() *Conflict { return nil }
	}
	if cfg.Verify == nil {
		cfg.Verify = func() Verification { return Verification{Policy: lamppost.VerifyFull.String()} }
	}
	s := &Server{cfg: cfg, log: cfg.Log, gate: newGate(cfg.AdminToken), closed: make(chan struct{}), exports: make(chan struct{}, maxExports), searches: make(chan struct{}, maxSearches), advising: make(chan struct{}, maxAdvising)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Close ends event streams and exports, so that an http.Server can shut down. Register it with RegisterOnShutdown.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// An access says who may ask besides the administrator.
type access string

const (
	public  access = "public" // everybody
	members access = "member" // the other members, by their keys
	closed  access = "token"  // nobody
)

// A route is a line of the table: what is asked, who may ask, who answers.
type route struct {
	pattern string // as net/http.ServeMux takes it
	who     access
	handle  func(w http.ResponseWriter, r *http.Request) error
}

// routes is the whole interface. Whatever is not public is closed to all without the token.
func (s *Server) routes() []route {
	return []route{
		{"GET /healthz", public, s.getHealth},
		{"GET /readyz", public, s.getReady},
		{"GET /network.pin", public, s.getPin},
		{"GET /check/", public, s.getCheck},
		{"GET /log/{path...}", public, s.getLogFile},
		{"GET /login", public, s.getLogin},
		{"GET /api/status", closed, s.getStatus},
		{"GET /api/events", closed, s.getEvents},
		{"GET /api/devices", closed, s.getDevices},
		{"POST /api/devices", closed, s.postDevice},
		{"GET /api/devices/{id}", closed, s.getDevice},
		{"GET /api/devices/{id}/series", closed, s.getSeries},
		{"GET /api/devices/{id}/kept", closed, s.getKept},
		{"POST /api/devices/{id}/token", closed, s.postToken},
		{"POST /api/devices/{id}/adopt", closed, s.postAdoption},
		{"GET /api/devices/{id}/keys", closed, s.getKeys},
		{"POST /api/devices/{id}/revoke", closed, s.postRevoke},
		{"GET /api/devices/{id}/guard", closed, s.getGuard},
		{"GET /api/devices/{id}/desired", closed, s.getDesired},
		{"PUT /api/devices/{id}/desired", closed, s.putDesired},
		{"DELETE /api/devices/{id}/desired", closed, s.deleteDesired},
		{"POST /api/charters", closed, s.postCharter},
		{"POST /api/restrictions", closed, s.postRestriction},
		{"GET /api/gateways", closed, s.getGateways},
		{"POST /api/gateways", closed, s.postGateway},
		{"GET /api/gateways/{id}/keys", closed, s.getGatewayKeys},
		{"POST /api/gateways/{id}/revoke", closed, s.postGatewayRevoke},
		{"POST /api/fraud", public, s.postFraud},
		{"GET /api/member", members, s.getMember},
		{"GET /api/checkpoints/{size}", public, s.getCheckpoint},
		{"GET /api/network", closed, s.getNetwork},
		{"POST /api/network", closed, s.postNetwork},
		{"GET /api/keeping", closed, s.getKeeping},
		{"POST /api/retentions", closed, s.postRetention},
		{"POST /api/holds", closed, s.postHold},
		{"POST /api/erasures", closed, s.postErasure},
		{"GET /api/snapshots", closed, s.getSnapshots},
		{"POST /api/snapshots", closed, s.postSnapshot},
		{"GET /api/snapshots/{name}", closed, s.getSnapshot},
		{"GET /api/blocks", closed, s.getBlocks},
		{"GET /api/export", closed, s.getExport},
		{"GET /api/export/readings.parquet", closed, s.getReadings},
		{"GET /api/backups", closed, s.getBackups},
		{"POST /api/backups", closed, s.postBackup},
		{"POST /api/backups/{id}/gone", closed, s.postBackupGone},
		{"GET /api/journal", closed, s.getJournal},
		{"GET /api/log", closed, s.getLog},
		{"GET /api/log/proof", closed, s.getLogProof},
		{"GET /api/parties", closed, s.getParties},
		{"POST /api/parties", closed, s.postParty},
		{"POST /api/credits", closed, s.postCredit},
		{"GET /api/points", closed, s.getPoints},
		{"POST /api/points", closed, s.postPoint},
		{"GET /api/points/{id}", closed, s.getPoint},
		{"GET /api/tariffs", closed, s.getTariffs},
		{"POST /api/tariffs", closed, s.postTariff},
		{"POST /api/tariffs/try", closed, s.postTrial},
		{"GET /api/tariffs/{id}/quote", closed, s.getQuote},
		{"GET /api/agreements", closed, s.getAgreements},
		{"POST /api/agreements", closed, s.postAgreement},
		{"POST /api/orders", closed, s.postOrders},
		{"GET /api/accounts", closed, s.getAccounts},
		{"POST /api/transfers", closed, s.postTransfer},
		{"POST /api/conversions", closed, s.postConversion},
		{"POST /api/readings", closed, s.postReading},
		{"GET /api/verdicts", closed, s.getVerdicts},
		{"GET /api/verdicts/{id}", closed, s.getVerdict},
		{"POST /api/verdicts/{id}/review", closed, s.postReview},
		{"GET /api/agents", closed, s.getAgents},
		{"POST /api/agents", closed, s.postAgent},
		{"GET /api/agents/{device}", closed, s.getAgent},
		{"GET /api/decisions", closed, s.getDecisions},
		{"GET /api/decisions/{id}", closed, s.getDecision},
		{"GET /api/decisions/{id}/evidence", closed, s.getDecisionEvidence},
		{"GET /api/updates", closed, s.getUpdates},
		{"POST /api/updates", closed, s.postUpdate},
		{"GET /api/watch", closed, s.getWatch},
		{"POST /api/watch", closed, s.postWatch},
		{"GET /api/contracts", closed, s.getContracts},
		{"POST /api/contracts", closed, s.postContract},
		{"POST /api/contracts/try", closed, s.postContractTrial},
		{"GET /api/contracts/{id}", closed, s.getContract},
		{"POST /api/contracts/{id}/call", closed, s.postCall},
		{"GET /api/sessions", closed, s.getSessions},
		{"POST /api/sessions", closed, s.postSession},
		{"GET /api/sessions/{id}", closed, s.getSession},
		{"POST /api/sessions/{id}/settle", closed, s.postSettle},
		{"GET /api/channels", closed, s.getChannels},
		{"POST /api/channels", closed, s.postChannel},
		{"POST /api/channels/cash", closed, s.postCash},
		{"GET /api/channels/{id}", closed, s.getChannel},
		{"GET /api/contradictions", closed, s.getContradictions},
		{"POST /api/contradictions", closed, s.postContradiction},
		{"GET /api/centres", closed, s.getCentres},
		{"POST /api/centres", closed, s.postCentre},
		{"GET /api/centres/{device}", closed, s.getCentre},
		{"POST /api/centres/{device}/payout", closed, s.postPayout},
		{"GET /api/centres/{device}/books", closed, s.getBooks},
		{"GET /api/offers", closed, s.getOffers},
		{"POST /api/offers", closed, s.postOffer},
		{"POST /api/corrections", closed, s.postCorrection},
		{"GET /api/disputes", closed, s.getDisputes},
		{"POST /api/disputes", closed, s.postDispute},
		{"GET /api/disputes/{id}", closed, s.getDispute},
		{"GET /api/disputes/{id}/evidence", closed, s.getEvidence},
		{"GET /api/alarms", closed, s.getAlarms},
		{"GET /api/verdicts/{id}/evidence", closed, s.getVerdictEvidence},
		{"POST /api/notifications/test", closed, s.postNotifyTest},
		{"GET /api/dues", closed, s.getDues},
		{"POST /api/payments", closed, s.postPayments},
		{"POST /api/providers/{name}", public, s.postNotice}, // signed by the provider
		{"POST /api/sepa", closed, s.postSEPA},
		{"GET /api/invoices", closed, s.getInvoices},
		{"POST /api/invoices", closed, s.postInvoice},
		{"GET /api/invoices/summaries", closed, s.getSummaries},
		{"GET /api/invoices/{number}", closed, s.getInvoice},
		{"GET /api/statements/{party}", closed, s.getStatement},
		{"GET /api/outlook/{party}", closed, s.getOutlook},
		{"GET /api/budgets", closed, s.getBudgets},
		{"GET /api/learn", closed, s.getLearn},
		{"POST /api/advise", closed, s.postAdvice},
		{"GET /api/fleets", closed, s.getFleets},
		{"POST /api/fleets", closed, s.postFleet},
		{"GET /api/receipts/{device}/{epoch}/{n}", closed, s.getReceipt},
	}
}

// Handler returns the handler of everything on the node's one port.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.wrap(r))
	}
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.wrap(route{who: closed, handle: func(w http.ResponseWriter, r *http.Request) error {
			s.cfg.Metrics.ServeHTTP(w, r)
			return nil
		}}))
	}
	// What the table does not know: closed, and then not there. Without this, ServeMux would answer 405 to strangers.
	mux.Handle("/api/", s.wrap(route{who: closed, handle: func(_ http.ResponseWriter, r *http.Request) error {
		return notFound("no %s %s here: docs/api.md lists what there is", r.Method, r.URL.Path)
	}}))
	if s.cfg.Doors != nil {
		mux.Handle("/v1/", s.cfg.Doors)
	}
	if s.cfg.Front != nil {
		mux.Handle("/", s.cfg.Front)
	}
	return mux
}

// wrap puts a route behind its checks: the token, then the origin of what changes something, then the size of the body.
// An error of the handler becomes the answer.
func (s *Server) wrap(r route) http.Handler {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		handle := r.handle
		if !s.admits(r.who, req) {
			price, ok := s.price(r.pattern)
			if !ok {
				writeError(w, errUnauthorized)
				return
			}
			handle = func(w http.ResponseWriter, req *http.Request) error { return s.sell(w, req, r, price) }
		}
		req.Body = http.MaxBytesReader(w, req.Body, maxBodyBytes)
		defer hurry(w)()
		if err := handle(w, req); err != nil && !errors.Is(err, context.Canceled) {
			s.fail(w, req, err)
		}
	})
	if r.who != public {
		h = sameOrigin(h)
	}
	return h
}

// price is what a route costs strangers, if they may have it at all.
func (s *Server) price(pattern string) (price lamppost.Micro, ok bool) {
	if s.cfg.Pay == nil {
		return 0, false
	}
	price, ok = s.cfg.Pay.Prices[pattern]
	return price, ok
}

func (s *Server) admits(who access, req *http.Request) bool {
	return who == public || s.gate.admits(req) || who == members && s.cfg.FromMember != nil && s.cfg.FromMember(req)
}

// hurry bounds how long a request may take to come in and its answer to go out, and returns what lifts that again. An event
// stream sets its own deadlines. Writers that know no deadlines are those of tests.
func hurry(w http.ResponseWriter) (done func()) {
	c := http.NewResponseController(w)
	now := time.Now()
	_ = c.SetReadDeadline(now.Add(readTimeout))
	_ = c.SetWriteDeadline(now.Add(writeTimeout))
	return func() {
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
	}
}

// fail answers with an error and logs what is the node's own fault.
func (s *Server) fail(w http.ResponseWriter, req *http.Request, err error) {
	if status := writeError(w, err); status == http.StatusInternalServerError {
		s.log.Error("answering a request", "method", req.Method, "path", req.URL.Path, "err", err)
	}
}

// snapshot calls f with one consistent state of the store.
func (s *Server) snapshot(f func(archive.View) error) error {
	snap, err := s.cfg.Store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	return f(archive.View{Reader: snap, Packs: s.cfg.Packs})
}
