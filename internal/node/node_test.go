package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Tests of this package run whole nodes on loopback: what they protect is that the parts are wired as docs/devices.md and
// docs/api.md promise.

// A lamp is a node that runs, with what its administrator needs.
type lamp struct {
	*node.Node
	t      testing.TB
	dir    string
	client *http.Client
	stop   func() // returns when Run has; Run's error fails the test
}

// begin is when the clock of these nodes starts.
var begin = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func config(dir string) node.Config {
	started := time.Now()
	return node.Config{Data: dir, Network: "house", HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0", NoFsync: true, Publish: 10 * time.Millisecond,
		Linger: time.Millisecond, Now: func() time.Time { return begin.Add(time.Since(started)) }}
}

// light starts a node on a new folder.
func light(t testing.TB) *lamp {
	t.Helper()
	return run(t, config(t.TempDir()))
}

func run(t testing.TB, cfg node.Config) *lamp {
	t.Helper()
	n, err := node.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	l := &lamp{Node: n, t: t, dir: cfg.Data, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		transport.CloseIdleConnections()
	})
	t.Cleanup(l.stop)
	return l
}

// ask asks the API as the administrator; a body that is not nil is sent as JSON.
func (l *lamp) ask(method, path string, body any) (status int, answer []byte) {
	l.t.Helper()
	return l.askAs(l.AdminToken(), method, path, body)
}

func (l *lamp) askAs(token, method, path string, body any) (status int, answer []byte) {
	l.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		must(l.t, err)
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, l.URL()+path, in)
	must(l.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := l.client.Do(req)
	must(l.t, err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	must(l.t, err)
	return resp.StatusCode, answer
}

// order asks for something that must succeed.
func (l *lamp) order(path string, body, out any) {
	l.t.Helper()
	status, answer := l.ask("POST", path, body)
	if status != http.StatusCreated {
		l.t.Fatalf("POST %s %+v: status %d, %s", path, body, status, answer)
	}
	if out != nil {
		must(l.t, json.Unmarshal(answer, out))
	}
}

// metric is the value of a counter or gauge as /metrics shows it, 0 if it is not there.
func (l *lamp) metric(series string) float64 {
	l.t.Helper()
	status, text := l.ask("GET", "/metrics", nil)
	if status != http.StatusOK {
		l.t.Fatalf("GET /metrics: status %d, %s", status, text)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(l.t, err)
			return v
		}
	}
	return 0
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A machine is an announced device with its token and key.
type machine struct {
	id    lamppost.DeviceID
	token string
	key   *sig.PrivateKey
	epoch uint32
	n     uint64 // of the last report
}

func newKey(t testing.TB, seed string) *sig.PrivateKey {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	key, err := sig.NewPrivateKey(sig.EdDSA, sum[:])
	must(t, err)
	return key
}

// announce makes room for a device of owner "ada", who must be registered.
func (l *lamp) announce(id lamppost.DeviceID) *machine {
	l.t.Helper()
	var dev api.DeviceToken
	l.order("/api/devices", api.NewDevice{ID: id, Owner: "ada", Name: string(id), Safety: "ordinary"}, &dev)
	return &machine{id: id, token: dev.Token, key: newKey(l.t, string(id))}
}

func (l *lamp) enrol(m *machine) {
	l.t.Helper()
	got, err := device.Enrol(l.t.Context(), device.Enrolment{URL: l.URL(), Device: m.id, Token: m.token, Key: m.key, Client: l.client})
	must(l.t, err)
	if got.Network != "house" {
		l.t.Fatalf("enrolled in network %q", got.Network)
	}
	m.epoch = got.KeyEpoch
}

// report signs the machine's next report, of one register, changed as the caller likes.
func (m *machine) report(t testing.TB, change func(*lamppost.Report)) []byte {
	t.Helper()
	m.n++
	r := lamppost.Report{Device: m.id, KeyEpoch: m.epoch, Seq: lamppost.Seq{Epoch: 1, N: m.n}, TimeQuality: lamppost.TimeSynchronised, BootID: 1,
		Readings: []lamppost.Reading{{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: lamppost.TimeMS(begin.UnixMilli()),
			Value: lamppost.Dec(int64(m.n), 0)}}}
	if change != nil {
		change(&r)
	}
	raw, err := lamppost.SignReport(&r, "house", m.key)
	must(t, err)
	return raw
}

// post sends a report over HTTP and returns what is answered.
func (l *lamp) post(m *machine, raw []byte) said {
	l.t.Helper()
	req, err := http.NewRequest("POST", l.URL()+"/v1/report", bytes.NewReader(raw))
	must(l.t, err)
	req.SetBasicAuth(string(m.id), m.token)
	resp, err := l.client.Do(req)
	must(l.t, err)
	defer resp.Body.Close()
	var s said
	must(l.t, json.NewDecoder(resp.Body).Decode(&s))
	return s
}

// said is what a sender is told of a report.
type said struct {
	Code   string
	Text   string
	Height lamppost.Height
}

// Clients that are connected do not keep a node from ending in time, and what it acknowledged is there when it starts
// again: the same network, token, chain and devices.
func TestStopAndStart(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("m1")
	l.enrol(m)
	sender := openMQTT5(t, l, m)
	first := m.report(t, nil)
	taken := sender.send(first, false)
	if taken.Code != "ok" || taken.Height == 0 {
		t.Fatalf("the first report: %+v", taken)
	}
	stream := l.follow()
	idle, err := net.Dial("tcp", l.MQTTAddr()) // never says CONNECT
	must(t, err)
	defer idle.Close()
	start := time.Now()
	l.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if _, err := io.Copy(io.Discard, stream); err != nil && !strings.Contains(err.Error(), "EOF") {
		t.Errorf("the event stream ended with %v", err)
	}
	again := run(t, cfg)
	if !l.Founded() || again.Founded() || again.AdminToken() != l.AdminToken() || again.Network() != "house" {
		t.Errorf("founded %v then %v, token kept: %v, network %q", l.Founded(), again.Founded(), again.AdminToken() == l.AdminToken(), again.Network())
	}
	if got := again.post(m, first); got.Code != "duplicate" || got.Height != taken.Height {
		t.Errorf("the report of before the restart: %+v, want a duplicate of height %d", got, taken.Height)
	}
	if got := again.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Errorf("a report after the restart: %+v", got)
	}
}

// follow opens an event stream and returns its body after the first event.
func (l *lamp) follow() io.Reader {
	l.t.Helper()
	req, err := http.NewRequest("GET", l.URL()+"/api/events", nil)
	must(l.t, err)
	req.Header.Set("Authorization", "Bearer "+l.AdminToken())
	resp, err := l.client.Do(req)
	must(l.t, err)
	l.t.Cleanup(func() { resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil || resp.StatusCode != http.StatusOK {
		l.t.Fatalf("following the events: status %d, %v", resp.StatusCode, err)
	}
	return resp.Body
}

// Whoever starts a second node by mistake is told so, in words that help.
func TestSecondNode(t *testing.T) {
	t.Parallel()
	l := light(t)
	refuses := func(what string, change func(*node.Config), words ...string) {
		t.Helper()
		cfg := config(t.TempDir())
		change(&cfg)
		n, err := node.Open(cfg)
		if err == nil {
			n.Run(cancelled(t))
			t.Fatalf("%s: a second node opened", what)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
	}
	refuses("the folder", func(c *node.Config) { c.Data = l.dir }, l.dir, "in use by another node")
	refuses("the HTTP address", func(c *node.Config) { c.HTTP = strings.TrimPrefix(l.URL(), "http://") }, "HTTP", "in use", "--http")
	refuses("the MQTT address", func(c *node.Config) { c.MQTT = l.MQTTAddr() }, "MQTT", "in use", "--mqtt")
}

func cancelled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A folder knows its network, its seat and its key, and a start that says otherwise is refused.
func TestOtherFolder(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	run(t, cfg).stop()
	for _, c := range []struct {
		change func(*node.Config)
		word   string
	}{
		{func(c *node.Config) { c.Network = "street" }, `holds network "house", not "street"`},
		{func(c *node.Config) { c.Member = "node2" }, `is member "node1", not "node2"`},
		{func(*node.Config) { must(t, os.Remove(filepath.Join(cfg.Data, "member.key"))) }, "put the member's key back"},
		{func(*node.Config) {
			must(t, os.WriteFile(filepath.Join(cfg.Data, "member.key"), []byte(strings.Repeat("7", 64)), 0o600))
		}, "member.key replaced"},
	} {
		changed := cfg
		c.change(&changed)
		n, err := node.Open(changed)
		if err == nil {
			n.Run(cancelled(t))
			t.Fatalf("want an error that says %q", c.word)
		}
		if !strings.Contains(err.Error(), c.word) {
			t.Errorf("%q does not say %q", err, c.word)
		}
	}
}

// What watches a node needs: alive, ready and the pin for everybody, numbers for the administrator alone. With the MQTT
// door off the rest is as always.
func TestWatching(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.MQTT = "off"
	l := run(t, cfg)
	if l.MQTTAddr() != "" {
		t.Errorf("MQTT is off and listens on %q", l.MQTTAddr())
	}
	if status, text := l.askAs("", "GET", "/healthz", nil); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, text)
	}
	l.ready()
	if status, text := l.askAs("", "GET", "/network.pin", nil); status != http.StatusOK || !strings.Contains(string(text), "house/node1") {
		t.Errorf("/network.pin: %d %s", status, text)
	}
	_, page := l.askAs("", "GET", "/check/", nil)
	if c, own, err := checkpage.Read(page); err != nil || !own || !strings.Contains(c.Pin, "house/node1") || len(c.File) > 0 {
		t.Errorf("/check/: own %t, pin %q, %v; want the page with this network's pin and no file", own, c.Pin, err)
	}
	for _, token := range []string{"", "0123456789abcdef0123456789abcdef"} {
		if status, text := l.askAs(token, "GET", "/metrics", nil); status != http.StatusUnauthorized || strings.Contains(string(text), "lamppost_height") {
			t.Errorf("/metrics with token %q: %d %.100s", token, status, text)
		}
	}
	_, text := l.ask("GET", "/metrics", nil)
	for _, name := range []string{"lamppost_height 1\n", "lamppost_queued_transactions", "lamppost_waiting_seconds", "lamppost_published_leaves",
		`lamppost_reports_total{code="ok"} 0`, "lamppost_mqtt_connections", "go_goroutines", "process_open_fds"} {
		if !strings.Contains(string(text), name) {
			t.Errorf("/metrics has no %q", name)
		}
	}
}

// ready waits until the node says it is, which it does once the first checkpoint is published.
func (l *lamp) ready() {
	l.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		status, text := l.askAs("", "GET", "/readyz", nil)
		if status == http.StatusOK {
			return
		}
		if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			l.t.Fatalf("/readyz: %d %s", status, text)
		}
	}
}

// The way of money through a whole node: from signed registers over HTTP to a statement that a stranger checks offline with
// the network's pin. 12 kWh at 0.30 and 19 % are 3.60 + 0.68 = 4.28.
func TestMoney(t *testing.T) {
	t.Parallel()
	l := light(t)
	m, from, to := l.supply()
	bill := map[string]any{"seller": "ada", "buyer": "tom", "currency": "EUR", "from_ms": from, "to_ms": to}
	if status, text := l.ask("POST", "/api/invoices", bill); status != http.StatusConflict || !strings.Contains(string(text), "not_ready") {
		t.Errorf("an invoice before there are registers: %d %s", status, text)
	}
	l.meter(m, from, to)
	var done struct {
		Invoice struct{ Number, Net, Total string }
	}
	l.order("/api/invoices", bill, &done)
	if got := fmt.Sprint(done.Invoice); got != "{ada-000001 3.60 4.28}" {
		t.Errorf("the invoice is %s, want 3.60 net and 4.28 in all", got)
	}
	l.checkStatement()
}

// supply sells power to Tom by a meter of Ada's, from yesterday on.
func (l *lamp) supply() (m *machine, from, to lamppost.TimeMS) {
	l.t.Helper()
	midnight := begin.Truncate(24 * time.Hour)
	from, to = lamppost.TimeMS(midnight.Add(-24*time.Hour).UnixMilli()), lamppost.TimeMS(midnight.UnixMilli())
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
	l.order("/api/parties", lamppost.PartyBody{ID: "tom", Name: "Tom"}, nil)
	m = l.announce("meter")
	l.enrol(m)
	l.order("/api/points", lamppost.PointBody{ID: "flat", Device: "meter", Register: "energy", Unit: "Wh", Place: "Flat 3"}, nil)
	l.order("/api/tariffs", tariff.Tariff{ID: "power", Version: 1, Seller: "ada", Currency: "EUR", From: from, PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone:  tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{AtMS: from}}},
		Bands: []tariff.Band{{Name: "all day", ToMin: 1440, Price: 300_000}}, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}, nil)
	l.order("/api/agreements", lamppost.AgreementBody{ID: "flat-power", Seller: "ada", Buyer: "tom", Point: "flat", Tariff: "power", From: from}, nil)
	return m, from, to
}

// meter reports 12 kWh over a period.
func (l *lamp) meter(m *machine, from, to lamppost.TimeMS) {
	l.t.Helper()
	for _, at := range []lamppost.TimeMS{from, (from + to) / 2, to} {
		raw := m.report(l.t, func(r *lamppost.Report) {
			r.Flags, r.Readings[0].Time, r.Readings[0].Value = lamppost.FlagBilling, at, lamppost.Dec(int64(at-from)*12_000/int64(to-from), 0)
		})
		if got := l.post(m, raw); got.Code != "ok" {
			l.t.Fatalf("a billing report: %+v", got)
		}
	}
}

// checkStatement fetches Tom's statement when it is published, and checks it as Tom would; one changed digit is noticed.
func (l *lamp) checkStatement() {
	l.t.Helper()
	status, file := 0, []byte(nil)
	for deadline := time.Now().Add(30 * time.Second); status != http.StatusOK; {
		if status, file = l.ask("GET", "/api/statements/tom", nil); time.Now().After(deadline) {
			l.t.Fatalf("the statement: %d %s", status, file)
		}
	}
	_, text := l.askAs("", "GET", "/network.pin", nil)
	pin, err := audit.ParsePin(string(text))
	must(l.t, err)
	found, err := audit.Verify(file, pin)
	if err != nil {
		l.t.Fatalf("the statement does not verify: %v", err)
	}
	if !found.Pinned || found.Invoices != 1 || found.Lines != 1 || found.Readings != 2 || found.Network != "house" {
		l.t.Errorf("found %+v, want one invoice of one line on two readings, pinned", found)
	}
	changed := bytes.Replace(file, []byte("4.28"), []byte("3.28"), 1)
	if _, err := audit.Verify(changed, pin); err == nil || bytes.Equal(changed, file) {
		l.t.Error("a statement with another total verifies")
	}
}
