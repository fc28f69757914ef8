package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/mod/sumdb/note"
)

const (
	adminToken = "0123456789abcdef0123456789abcdef"
	network    = "street"
)

// A house is a real chain in memory behind a real API: replica, solo engine and log, on a clock that the test sets.
type house struct {
	t        testing.TB
	store    *turns
	packs    *archive.Packs
	live     *api.Live
	rep      *replica.Replica
	engine   *solo.Engine
	devices  *api.Devices
	gates    *api.Gateways
	server   *api.Server
	handler  http.Handler
	key      *sig.PrivateKey
	signer   note.Signer
	verifier note.Verifier
	files    tilelog.MemStorage

	publishing sync.Mutex
	clock      atomic.Int64
	held       atomic.Bool // no checkpoint is published
	nonce      atomic.Uint64
	details    render.Details
	states     map[lamppost.Hash][]byte // of verdicts
	providers  map[string]api.Provider
	selling    *api.Pay
	advise     func([]byte) (any, error)
	readFleet  func([]byte) (any, error)
	examples   func() (any, error)
	number     map[lamppost.DeviceID]uint64
	segment    uint64
	offsetMin  int16 // of the tariff's clock
	stand      int64 // of the meter's register, where a test lets it run
}

// turns lets the replica and the devices' tokens share a store.
type turns struct {
	kv.Store
	mu sync.Mutex
}

func (s *turns) Apply(b *kv.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Store.Apply(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ms(t testing.TB, s string) lamppost.TimeMS {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	must(t, err)
	return lamppost.TimeMS(at.UnixMilli())
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, store: &turns{Store: kv.NewMem()}, live: api.NewLive(1), number: map[lamppost.DeviceID]uint64{}}
	h.clock.Store(int64(ms(t, "2026-11-01T00:00:00Z")))
	seed := sha256.Sum256([]byte("member"))
	var err error
	h.key, err = sig.NewPrivateKey(sig.EdDSA, seed[:])
	must(t, err)
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), lamppost.Origin(network, "north"))
	must(t, err)
	h.signer, err = note.NewSigner(skey)
	must(t, err)
	h.verifier, err = note.NewVerifier(vkey)
	must(t, err)
	h.packs, err = archive.NewPacks(h.store, new(archive.MemObjects))
	must(t, err)
	h.rep, err = replica.Open(replica.Config{Store: h.store, Packs: h.packs, Committed: h.live.Observe})
	must(t, err)
	h.found()
	h.engine = solo.New(solo.Config{App: h.rep, View: h.rep, Member: "north", Now: h.now})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	h.providers = map[string]api.Provider{}
	h.serve(h.live)
	return h
}

// serve makes an API over the chain with some Live.
func (h *house) serve(live *api.Live) {
	var err error
	h.devices, err = api.OpenDevices(h.store, h.order)
	must(h.t, err)
	h.gates, err = api.OpenGateways(h.store, h.order, network, "north", h.devices)
	must(h.t, err)
	h.server, err = api.New(api.Config{Store: h.store, Packs: h.packs, Order: h.order, Checkpoint: h.checkpoint, Status: h.engine.Status, Files: &h.files, Network: network,
		Member: "north", Now: h.now, Version: "test", AdminToken: adminToken, Pay: h.selling, Advise: h.advise, ReadFleet: h.readFleet, FleetExamples: h.examples, Live: live, Devices: h.devices, Gateways: h.gates,
		Log:     slog.New(slog.NewTextHandler(testWriter{h.t}, nil)),
		Details: func() (render.Details, error) { return h.details, nil }, Providers: h.providers,
		VerdictState: func(v *lamppost.Verdict) ([]byte, error) {
			if state, ok := h.states[v.State]; ok {
				return state, nil
			}
			return nil, kv.ErrNotFound
		},
		MQTT: "127.0.0.1:1883", HTTP: "http://127.0.0.1:8080",
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "metrics\n") }),
		Check:   func(w http.ResponseWriter, _ *http.Request, pin string) { io.WriteString(w, "check with "+pin) },
		Front:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "front\n") })})
	must(h.t, err)
	h.handler = h.server.Handler()
}

// testWriter lets a failed test show what the server logged.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("log: %s", b)
	return len(b), nil
}

func (h *house) found() {
	tx := h.sign(lamppost.TxGenesis, lamppost.GenesisBody{Network: network, Rules: 1, Members: []lamppost.Member{{ID: "north", Key: h.key.Public().Bytes()}}})
	res, err := h.rep.Apply(&lamppost.Block{Height: 1, Time: h.now(), Cursor: 1, Proposer: "north", Txs: [][]byte{tx.Append(nil)}})
	must(h.t, err)
	must(h.t, res.Outcomes[0][0].Err())
	_, err = h.rep.Commit()
	must(h.t, err)
}

func (h *house) now() lamppost.TimeMS { return lamppost.TimeMS(h.clock.Load()) }

func (h *house) seed() (s lamppost.Seed) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("seed"), h.nonce.Add(1)))
	copy(s[:], sum[:])
	return s
}

func (h *house) sign(t lamppost.TxType, body any) *lamppost.Transaction {
	o := lamppost.Order{Type: t, ExpiryTime: h.now() + 3600_000, Nonce: h.seed(), Body: lamppost.Marshal(body)}
	tx, err := lamppost.NewTx(network, o, "north", h.key, h.seed())
	must(h.t, err)
	return tx
}

func (h *house) order(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error) {
	tx := h.sign(t, body)
	d, err := h.engine.Propose(ctx, tx.ID(network), tx.Append(nil))
	if err == nil && h.nonce.Load()/2%2 == 0 { // both ways of telling a refusal are allowed
		err = d.Outcomes[0].Err()
	}
	return d, err
}

// checkpoint publishes what is durable now.
func (h *house) checkpoint() (string, lamppost.Checkpoint, lamppost.TimeMS, error) {
	if h.held.Load() {
		return "", lamppost.Checkpoint{}, 0, errors.New("held")
	}
	h.publishing.Lock()
	defer h.publishing.Unlock()
	p := tilelog.Publisher{Origin: lamppost.Origin(network, "north"), Signer: h.signer, Verifier: h.verifier, Storage: &h.files}
	signed, err := p.Publish(h.store)
	must(h.t, err)
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(h.verifier))
	must(h.t, err)
	return string(signed), c, h.now(), nil
}

// do asks the API as the administrator and decodes the answer into out, where it is not nil.
func (h *house) do(method, path string, body, out any) int {
	h.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = bytes.NewReader([]byte(b))
	default:
		text, err := json.Marshal(b)
		must(h.t, err)
		in = bytes.NewReader(text)
	}
	req := httptest.NewRequest(method, path, in)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	if raw, ok := out.(*[]byte); ok {
		*raw = w.Body.Bytes()
	} else if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			h.t.Fatalf("%s %s answered %d %q: %v", method, path, w.Code, w.Body, err)
		}
	}
	return w.Code
}

// ok asks and fails the test unless the answer has the status.
func (h *house) ok(status int, method, path string, body, out any) {
	h.t.Helper()
	var raw []byte
	if got := h.do(method, path, body, &raw); got != status {
		h.t.Fatalf("%s %s: status %d %s, want %d", method, path, got, raw, status)
	}
	if out != nil {
		must(h.t, json.Unmarshal(raw, out))
	}
}

// refused asks and checks the code of the refusal.
func (h *house) refused(status int, code, method, path string, body any) api.Error {
	h.t.Helper()
	var e api.Error
	if got := h.do(method, path, body, &e); got != status || e.Code != code || e.Text == "" {
		h.t.Fatalf("%s %s: status %d %+v, want %d %s and a text", method, path, got, e, status, code)
	}
	return e
}

func deviceKey(t testing.TB, id lamppost.DeviceID) *sig.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("device " + id))
	k, err := sig.NewPrivateKey(sig.EdDSA, seed[:])
	must(t, err)
	return k
}

// settle registers a landlord, a tenant, a meter with its point, a tariff and the agreement between them.
func (h *house) settle() {
	h.t.Helper()
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "landlord", Name: "Lena Landlord"}, nil)
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "tenant", Name: "Tom Tenant", CreditLimit: 100 * lamppost.MicroUnit}, nil)
	var dev api.DeviceToken
	h.ok(201, "POST", "/api/devices", api.NewDevice{ID: "meter", Owner: "landlord", Name: "Flat 3", Site: "house", Safety: "ordinary"}, &dev)
	id, err := h.devices.Authenticate("meter", dev.Token, nil)
	must(h.t, err)
	_, err = h.devices.Enrol(context.Background(), id, api.NewKey{Suite: sig.EdDSA, Key: deviceKey(h.t, id).Public().Bytes()})
	must(h.t, err)
	h.ok(201, "POST", "/api/points", lamppost.PointBody{ID: "flat-3", Device: "meter", Register: "energy", Unit: "Wh", Place: "Flat 3"}, nil)
	power := flat(h.t)
	power.Zone.Transitions[0].OffsetMin = h.offsetMin
	h.ok(201, "POST", "/api/tariffs", power, nil)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-power", Seller: "landlord", Buyer: "tenant", Point: "flat-3",
		Tariff: "power", From: ms(h.t, "2026-11-01T00:00:00Z")}, nil)
}

func flat(t testing.TB) tariff.Tariff {
	from := ms(t, "2026-11-01T00:00:00Z")
	return tariff.Tariff{ID: "power", Version: 1, Seller: "landlord", Currency: "EUR", From: from, PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone:  tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{AtMS: from}}},
		Bands: []tariff.Band{{Name: "all day", FromMin: 0, ToMin: 1440, Price: 300_000}}, Rounding: tariff.RoundHalfUp,
		Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
}

// report signs a report of a device as of now.
func (h *house) report(id lamppost.DeviceID, flags uint32, readings ...lamppost.Reading) []byte {
	h.t.Helper()
	h.number[id]++
	r := lamppost.Report{Device: id, KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: h.number[id]}, Flags: flags,
		TimeQuality: lamppost.TimeSynchronised, Readings: readings}
	raw, err := lamppost.SignReport(&r, network, deviceKey(h.t, id))
	must(h.t, err)
	return raw
}

func energy(at lamppost.TimeMS, wh int64) lamppost.Reading {
	return lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(wh, 0)}
}

// submit has a segment of reports decided.
func (h *house) submit(reports ...[]byte) []lamppost.Outcome {
	h.t.Helper()
	items := make([]lamppost.SegmentItem, len(reports))
	readings := 0
	for i, raw := range reports {
		items[i] = lamppost.SegmentItem{Salt: h.seed(), Received: h.now(), Report: raw}
		var r lamppost.Report
		if r.Decode(raw) == nil {
			readings += len(r.Readings)
		}
	}
	h.segment++
	tx, err := lamppost.NewSegment(network, lamppost.Seq{Epoch: 1, N: h.segment}, readings, items, "north", h.key, h.seed())
	must(h.t, err)
	d, err := h.engine.Propose(context.Background(), tx.ID(network), tx.Append(nil))
	must(h.t, err)
	return d.Outcomes
}

// bill lets a day pass in which the meter counts 10 kWh, and makes the invoice.
func (h *house) bill() tariff.Invoice {
	h.t.Helper()
	from, to := ms(h.t, "2026-11-01T00:00:00Z"), ms(h.t, "2026-11-02T00:00:00Z")
	h.clock.Store(int64(to) + 1000)
	out := h.submit(h.report("meter", lamppost.FlagBilling, energy(from, 1000), energy(to, 11_000)))
	must(h.t, out[0].Err())
	var done api.Done
	h.ok(201, "POST", "/api/invoices", lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: from, To: to}, &done)
	if done.Invoice == nil {
		h.t.Fatal("no invoice in the answer")
	}
	return *done.Invoice
}

func (h *house) pin() *audit.Pin {
	h.t.Helper()
	var raw []byte
	h.do("GET", "/network.pin", nil, &raw)
	pin, err := audit.ParsePin(string(raw))
	must(h.t, err)
	return pin
}
