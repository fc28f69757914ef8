package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/gateway"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// Tests here run a whole node and a whole gateway on loopback, with a wire between them that can be cut.

// A site is a node, a gateway, and the wire.
type site struct {
	t     *testing.T
	node  *node.Node
	cfg   gateway.Config
	g     *gateway.Gateway
	stop  func()
	cut   atomic.Bool // the wire
	swall atomic.Bool // answers get lost
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// RoundTrip implements http.RoundTripper.
func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.cut.Load() {
		return nil, errors.New("the wire is cut")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && s.swall.Load() {
		resp.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return resp, err
}

func newSite(t *testing.T) *site {
	n, err := node.Open(node.Config{Data: t.TempDir(), Network: "house", HTTP: "127.0.0.1:0", MQTT: "off", NoFsync: true, Publish: 20 * time.Millisecond, Linger: time.Millisecond})
	must(t, err)
	running(t, n.Run)
	s := &site{t: t, node: n}
	s.order("/api/parties", map[string]string{"id": "ann", "name": "Ann"}, nil)
	var added struct{ Token string }
	s.order("/api/gateways", map[string]string{"id": "cellar"}, &added)
	s.cfg = gateway.Config{Data: t.TempDir(), Upstream: n.URL(), ID: "cellar", Token: added.Token, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Linger: time.Millisecond, NoFsync: true, Client: &http.Client{Transport: s}}
	return s
}

// running runs something until stop is called or the test ends; what it returns must be nil.
func running(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s *site) start() {
	s.t.Helper()
	g, err := gateway.Open(s.t.Context(), s.cfg)
	must(s.t, err)
	s.g, s.stop = g, running(s.t, g.Run)
}

func (s *site) order(path string, body, out any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	must(s.t, err)
	req, err := http.NewRequest("POST", s.node.URL()+path, bytes.NewReader(text))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.node.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode != http.StatusCreated {
		s.t.Fatalf("POST %s: %d %s", path, resp.StatusCode, raw)
	}
	if out != nil {
		must(s.t, json.Unmarshal(raw, out))
	}
}

func report(t *testing.T, id lamppost.DeviceID, n uint64, key *sig.PrivateKey) []byte {
	t.Helper()
	raw, err := lamppost.SignReport(&lamppost.Report{Device: id, KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: n}, Readings: []lamppost.Reading{
		{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(int64(n), 0)}}}, "house", key)
	must(t, err)
	return raw
}

type answer struct {
	Status  int `json:"-"`
	Code    string
	Report  string
	Height  lamppost.Height
	Custody []byte
}

func (s *site) send(id lamppost.DeviceID, token string, raw []byte) (a answer) {
	s.t.Helper()
	req, err := http.NewRequest("POST", s.g.URL()+"/v1/report", bytes.NewReader(raw))
	must(s.t, err)
	req.SetBasicAuth(string(id), token)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	must(s.t, json.NewDecoder(resp.Body).Decode(&a))
	a.Status = resp.StatusCode
	return a
}

// until waits for the gateway to be in some state.
func (s *site) until(what string, ok func(gateway.Status) bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok(s.g.Status()) {
			return
		}
	}
	s.t.Fatalf("waiting until %s: %+v", what, s.g.Status())
}

func drained(st gateway.Status) bool { return st.Held.Segments == 0 }

// A report sent while the uplink is down is acknowledged with a receipt that names it, survives a restart in the dark,
// and is committed once the uplink is back, where a lost answer makes nothing count twice. What is no device's report
// never gets that far.
func TestCustody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	s.meterless()
	key, token := s.enrolled("meter-1")
	s.cut.Store(true)
	raw := report(t, "meter-1", 1, key)
	a := s.send("meter-1", token, raw)
	if a.Status != 200 || a.Code != "ok" || a.Height != 0 {
		t.Fatalf("while the uplink is down: %+v", a)
	}
	s.checkReceipt(a)
	forged := bytes.Clone(raw)
	forged[len(forged)-1] ^= 1
	if a := s.send("meter-1", token, forged); a.Status != 422 || a.Code != "bad_signature" || a.Custody != nil {
		t.Errorf("a forged report: %+v", a)
	}
	s.stop()
	s.start() // in the dark, from what is on disk
	if a := s.send("meter-1", token, report(t, "meter-1", 2, key)); a.Code != "ok" || a.Custody == nil {
		t.Errorf("after a start while the uplink is down: %+v", a)
	}
	s.swall.Store(true)
	s.cut.Store(false)
	s.until("an answer is lost", func(st gateway.Status) bool {
		return s.committed("meter-1") >= 1 && strings.Contains(st.Uplink.Error, "lost")
	})
	s.swall.Store(false)
	s.until("everything is delivered", drained)
	st := s.g.Status()
	if n := s.committed("meter-1"); n != 2 || st.Counts.Reports != 2 || st.Counts.Outcomes["duplicate"] == 0 || st.Counts.Rejected != 0 {
		t.Errorf("%d reports are committed; the gateway counts %+v", n, st.Counts)
	}
}

// meterless: whoever is unknown is not let in.
func (s *site) meterless() {
	if a := s.send("nobody", "token", []byte("x")); a.Status != 401 {
		s.t.Errorf("a device nobody knows: %+v", a)
	}
}

// enrolled announces a device while the gateway is stopped, so that the next start fetches it.
func (s *site) enrolled(id lamppost.DeviceID) (*sig.PrivateKey, string) {
	s.t.Helper()
	var added struct{ Token string }
	s.order("/api/devices", map[string]string{"id": string(id), "owner": "ann"}, &added)
	s.stop()
	s.start()
	key, err := sig.GenerateKey(sig.EdDSA, nil)
	must(s.t, err)
	_, err = device.Enrol(s.t.Context(), device.Enrolment{URL: s.g.URL(), Device: id, Token: added.Token, Key: key, Dir: s.t.TempDir()})
	must(s.t, err)
	return key, added.Token
}

func (s *site) checkReceipt(a answer) {
	s.t.Helper()
	signed, err := lamppost.ParseSigned(a.Custody)
	must(s.t, err)
	var r gateway.Receipt
	must(s.t, lamppost.Unmarshal(signed.Payload, &r))
	if r.Report.String() != a.Report || r.N == 0 || signed.Key != "cellar" {
		s.t.Errorf("the receipt of report %s says %+v by %q", a.Report, r, signed.Key)
	}
}

// committed is how many reports of a device the node's ledger has.
func (s *site) committed(id lamppost.DeviceID) uint64 {
	req, err := http.NewRequest("GET", s.node.URL()+"/api/devices/"+string(id), nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.node.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	var d struct{ Seq struct{ N uint64 } }
	must(s.t, json.NewDecoder(resp.Body).Decode(&d))
	return d.Seq.N
}

// With Committed, an acknowledgement carries the height at which the node committed the report, and there is none while
// the uplink is down. The MQTT door is the node's own.
func TestCommittedOverMQTT(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.Committed = true
	s.start()
	key, token := s.enrolled("meter-1")
	if a := s.send("meter-1", token, report(t, "meter-1", 1, key)); a.Code != "ok" || a.Height == 0 || a.Custody != nil {
		t.Errorf("with the uplink up: %+v", a)
	}
	s.cut.Store(true)
	sender, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + s.g.MQTTAddr(), Device: "meter-1", Token: token})
	must(t, err)
	defer sender.Close()
	type result struct {
		ack device.Ack
		err error
	}
	answered := make(chan result, 1)
	go func() {
		ack, err := sender.Send(t.Context(), report(t, "meter-1", 2, key))
		answered <- result{ack, err}
	}()
	s.until("the report is held", func(st gateway.Status) bool { return st.Held.Reports == 1 })
	select {
	case r := <-answered:
		t.Errorf("acknowledged while the uplink is down: %+v", r)
	default:
	}
	s.cut.Store(false)
	if r := <-answered; r.err != nil || !r.ack.Code.Accepted() {
		t.Errorf("once the uplink is back: %+v", r)
	}
}

// A gateway whose token was replaced keeps what it holds until somebody gives it the new one.
func TestTokenReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	key, token := s.enrolled("meter-1")
	var fresh struct{ Token string }
	s.order("/api/gateways", map[string]string{"id": "cellar"}, &fresh)
	if a := s.send("meter-1", token, report(t, "meter-1", 1, key)); a.Code != "ok" {
		t.Errorf("%+v", a)
	}
	s.until("the gateway is refused", func(st gateway.Status) bool { return strings.Contains(st.Uplink.Error, "401") })
	if st := s.g.Status(); st.Held.Reports != 1 || st.Counts.Rejected != 0 {
		t.Errorf("a refused gateway holds %+v, counts %+v", st.Held, st.Counts)
	}
	s.stop()
	s.cfg.Token = fresh.Token
	s.start()
	s.until("everything is delivered", drained)
	if n := s.committed("meter-1"); n != 1 {
		t.Errorf("%d reports are committed", n)
	}
}

// ask is what the operator does at the gateway, with the token from its folder.
func (s *site) ask(method, path, body string) (status int, answer string) {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.cfg.Data, "admin.token"))
	must(s.t, err)
	req, err := http.NewRequest(method, s.g.URL()+path, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return resp.StatusCode, string(raw)
}

func (s *site) keys() (h api.KeyHistory) {
	s.t.Helper()
	req, err := http.NewRequest("GET", s.node.URL()+"/api/gateways/cellar/keys", nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.node.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	must(s.t, json.NewDecoder(resp.Body).Decode(&h))
	return h
}

// A gateway changes its key while it runs, by its own word; in the dark the change is under way, through a restart too, and
// what it holds is handed on whichever key signed it.
func TestRotate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	key, token := s.enrolled("meter-1")
	if status, said := s.ask("POST", "/v1/rotate", ""); status != 200 || s.g.Status().KeyEpoch != 1 {
		t.Fatalf("rotating: %d %s, %+v", status, said, s.g.Status())
	}
	if a := s.send("meter-1", token, report(t, "meter-1", 1, key)); a.Code != "ok" {
		t.Errorf("after the change: %+v", a)
	}
	s.until("it is delivered", drained)
	s.cut.Store(true)
	if a := s.send("meter-1", token, report(t, "meter-1", 2, key)); a.Code != "ok" || a.Custody == nil {
		t.Errorf("in the dark: %+v", a)
	}
	if status, said := s.ask("POST", "/v1/rotate", ""); status != 202 || !strings.Contains(said, "goes on") {
		t.Errorf("rotating in the dark: %d %s", status, said)
	}
	s.stop()
	s.start()
	if st := s.g.Status(); !st.Rotating || st.KeyEpoch != 1 {
		t.Errorf("after a restart: %+v", st)
	}
	s.swall.Store(true) // the upstream hears of the key, and the gateway does not hear that
	s.cut.Store(false)
	if status, said := s.ask("POST", "/v1/rotate", ""); status != 202 {
		t.Errorf("the answer is lost: %d %s", status, said)
	}
	s.swall.Store(false)
	if status, said := s.ask("POST", "/v1/rotate", ""); status != 200 || s.g.Status().KeyEpoch != 2 {
		t.Errorf("the answer is not lost: %d %s, %+v", status, said, s.g.Status())
	}
	s.until("all is delivered", drained)
	s.stop()
	s.start()
	if st := s.g.Status(); st.KeyEpoch != 2 || st.Rotating {
		t.Errorf("after another restart: %+v", st)
	}
	if a := s.send("meter-1", token, report(t, "meter-1", 3, key)); a.Code != "ok" {
		t.Errorf("after another restart: %+v", a)
	}
	s.until("all is delivered", drained)
	if n := s.committed("meter-1"); n != 3 {
		t.Errorf("%d reports are committed", n)
	}
	for i, k := range s.keys().Keys {
		if how := []string{"rotated", "rotated", "enrolled"}[i]; k.How != how {
			t.Errorf("key %d came %q, want %q", k.Epoch, k.How, how)
		}
	}
	if status, _ := s.askAs("wrong", "POST", "/v1/rotate"); status != 401 {
		t.Errorf("a wrong token: %d", status)
	}
}

func (s *site) askAs(token, method, path string) (status int, answer string) {
	req, err := http.NewRequest(method, s.g.URL()+path, nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	resp.Body.Close()
	return resp.StatusCode, ""
}

// A gateway whose key was revoked holds what it took, says what to do, and hands it on under another key once the operator
// lets it have one.
func TestRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	key, token := s.enrolled("meter-1")
	s.order("/api/gateways/cellar/revoke", map[string]string{"reason": "copied"}, nil)
	if a := s.send("meter-1", token, report(t, "meter-1", 1, key)); a.Code != "ok" || a.Custody == nil {
		t.Errorf("a report at a revoked gateway: %+v", a)
	}
	s.until("the gateway hears of it", func(st gateway.Status) bool { return strings.Contains(st.Uplink.Error, "lamppost gateway rotate") })
	if st := s.g.Status(); st.Held.Reports != 1 || st.Counts.Rejected != 0 {
		t.Errorf("held: %+v, counts %+v", st.Held, st.Counts)
	}
	if status, said := s.ask("POST", "/v1/rotate", ""); status != 409 || !strings.Contains(said, "lamppost gateway add cellar") || s.g.Status().Rotating {
		t.Errorf("rotating without a new token: %d %s", status, said)
	}
	var fresh struct{ Token string }
	s.order("/api/gateways", map[string]string{"id": "cellar"}, &fresh)
	if status, said := s.ask("POST", "/v1/rotate", `{"token":"`+fresh.Token+`"}`); status != 200 {
		t.Errorf("rotating with a new token: %d %s", status, said)
	}
	s.until("all is delivered", drained)
	if n := s.committed("meter-1"); n != 1 || s.g.Status().Counts.Rejected != 0 {
		t.Errorf("%d reports are committed, counts %+v", n, s.g.Status().Counts)
	}
	if keys := s.keys().Keys; len(keys) != 2 || keys[0].How != "set" || keys[0].State != "current" || keys[1].State != "revoked" {
		t.Errorf("%+v", keys)
	}
	s.stop()
	s.cfg.Token = "" // the new one was kept
	s.start()
	if a := s.send("meter-1", token, report(t, "meter-1", 2, key)); a.Code != "ok" {
		t.Errorf("after a restart: %+v", a)
	}
	s.until("all is delivered", drained)
}

// A device changes its key by way of the gateway. What it signed before is taken, and after it was announced to the node
// alone, the gateway asks for patience instead of refusing for good.
func TestDeviceRotates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	key, token := s.enrolled("meter-1")
	d, err := device.Open(device.Config{Network: "house", ID: "meter-1", Key: key, KeyEpoch: 1, Dir: t.TempDir(),
		Sender: device.NewHTTP(s.g.URL(), "meter-1", token, nil)})
	must(t, err)
	defer d.Close()
	energy := lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(1, 0)}
	_, err = d.Report(energy)
	must(t, err)
	must(t, d.Rotate(t.Context()))
	_, err = d.Report(energy)
	must(t, err)
	running(t, d.Run)
	must(t, d.Drain(t.Context()))
	s.until("all is delivered", drained)
	if n, st := s.committed("meter-1"), d.Stats(); n != 2 || st.Refused != 0 || st.KeyEpoch != 2 {
		t.Errorf("%d reports are committed; %+v", n, st)
	}
	ahead := report(t, "meter-1", 9, key)
	var r lamppost.Report
	must(t, r.Decode(ahead))
	r.KeyEpoch = 3
	ahead, err = lamppost.SignReport(&r, "house", key)
	must(t, err)
	if a := s.send("meter-1", token, ahead); a.Status != 503 || a.Code != "not_ready" {
		t.Errorf("a key that the gateway does not know yet: %+v", a)
	}
}

// What contradicts itself is refused before anything is made.
func TestConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, cfg := range []gateway.Config{
		{}, {Data: dir}, {Data: dir, Upstream: "node.example"}, {Data: dir, Upstream: "http://node.example:8080"},
		{Data: dir, Upstream: "https://node.example", HTTP: "0.0.0.0:8080"}, {Data: dir, Upstream: "https://node.example", TLSCert: "cert.pem"},
		{Data: dir, Upstream: "https://node.example", Hold: 1},
	} {
		if _, err := gateway.Open(t.Context(), cfg); err == nil {
			t.Errorf("configuration %d is taken: %+v", i, cfg)
		}
	}
	if _, err := gateway.Open(t.Context(), gateway.Config{Data: dir, Upstream: "http://127.0.0.1:1", NoFsync: true}); err == nil || !strings.Contains(err.Error(), "gateway add") {
		t.Errorf("a first start without a token says %v", err)
	}
}
