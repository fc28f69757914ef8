package node_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/challenge"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// A liar is a registered gateway in the hands of a test.
type liar struct {
	*lamp
	token string
	key   *sig.PrivateKey
	n     uint64 // of the last segment
}

// trusting starts a node that trusts gateways and checks a share of their reports, with a meter and a gateway.
func trusting(t *testing.T, sample float64) (*liar, *machine) {
	cfg := config(t.TempDir())
	cfg.Verify, cfg.Sample = "gateway", sample
	cfg.Triage = "off" // its orders make blocks, which the tests count
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("meter")
	l.enrol(m)
	var gw api.GatewayToken
	l.order("/api/gateways", api.NewGateway{ID: "gw"}, &gw)
	g := &liar{lamp: l, token: gw.Token, key: newKey(t, "gw")}
	body, err := json.Marshal(map[string][]byte{"key": g.key.Public().Bytes()})
	must(t, err)
	if status, answer := g.asGateway("/v1/gateway", body); status != http.StatusOK {
		t.Fatalf("registering the gateway: %d %s", status, answer)
	}
	return g, m
}

func (g *liar) asGateway(path string, body []byte) (status int, answer string) {
	g.t.Helper()
	req, err := http.NewRequest("POST", g.URL()+path, bytes.NewReader(body))
	must(g.t, err)
	req.SetBasicAuth("gw", g.token)
	resp, err := g.client.Do(req)
	must(g.t, err)
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	must(g.t, err)
	return resp.StatusCode, b.String()
}

// deliver packs reports and returns the segment and what the node says of it.
func (g *liar) deliver(raws ...[]byte) (*lamppost.Transaction, int, string) {
	g.t.Helper()
	items := make([]lamppost.SegmentItem, len(raws))
	for i := range raws {
		items[i] = lamppost.SegmentItem{Received: lamppost.TimeMS(begin.UnixMilli()), Report: raws[i]}
	}
	g.n++
	tx, err := lamppost.NewSegment("house", lamppost.Seq{N: g.n}, len(raws), items, "gw", g.key, lamppost.Seed{})
	must(g.t, err)
	status, answer := g.asGateway("/v1/segments", tx.Append(nil))
	return tx, status, answer
}

func (g *liar) status() (s api.Status) {
	g.t.Helper()
	_, text := g.ask("GET", "/api/status", nil)
	must(g.t, json.Unmarshal(text, &s))
	return s
}

// forge signs the machine's next report with a key that is not its own.
func (m *machine) forge(t *testing.T) []byte {
	thief := *m
	thief.key = newKey(t, "thief")
	defer func() { m.n = thief.n }()
	return thief.report(t, nil)
}

// A node that finds a lie by lot proves it to the network: the lie is undone, the gateway suspended until it has another
// key, and the true report is taken.
func TestLiarIsCaught(t *testing.T) {
	t.Parallel()
	g, m := trusting(t, 1)
	honest, forged := m.report(t, nil), m.forge(t)
	_, status, answer := g.deliver(honest, forged)
	if status != http.StatusOK || !strings.Contains(answer, `{"n":2,"code":"ok"}`) {
		t.Fatalf("a trusted gateway's segment: %d %s", status, answer)
	}
	deadline := time.Now().Add(30 * time.Second)
	for g.status().Verify.Hits == 0 && time.Now().Before(deadline) {
	}
	if v := g.status().Verify; v.Policy != "gateway" || v.Hits != 1 || v.Sampled < 2 {
		t.Fatalf("after the lie: %+v", v)
	}
	if _, status, answer := g.deliver(m.report(t, nil)); status != http.StatusForbidden || !strings.Contains(answer, "lamppost gateway rotate") {
		t.Errorf("a suspended gateway's segment: %d %s", status, answer)
	}
	m.n = 1
	if got := g.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Errorf("the true report under the number of the forged one: %+v", got)
	}
	if _, text := g.ask("GET", "/api/log", nil); !strings.Contains(string(text), "report 1/2 of meter was not signed by meter: 0 edges taken back, gateway gw suspended") {
		t.Errorf("the log does not tell of it: %s", text)
	}
}

// Anybody may accuse a gateway, because the evidence speaks for itself; what does not hold is not even ordered.
func TestAccusation(t *testing.T) {
	t.Parallel()
	g, m := trusting(t, 1e-9)
	honest, forged := m.report(t, nil), m.forge(t)
	tx, status, answer := g.deliver(honest, forged)
	var at httpd.Delivery
	if status != http.StatusOK {
		t.Fatalf("a trusted gateway's segment: %d %s", status, answer)
	}
	must(t, json.Unmarshal([]byte(answer), &at))
	accuse := func(report uint32) (int, string) {
		status, text := g.askAs("", "POST", "/api/fraud", challenge.Evidence(tx, ledger.Place{Height: at.Height}, report))
		return status, string(text)
	}
	height := g.Status().Height
	if status, text := accuse(0); status != http.StatusBadRequest || !strings.Contains(text, "did not lie") {
		t.Errorf("a false accusation: %d %s", status, text)
	}
	if got := g.Status().Height; got != height {
		t.Errorf("a false accusation made block %d", got)
	}
	if status, text := accuse(1); status != http.StatusCreated || !strings.Contains(text, `"correction":{"gateway":"gw","device":"meter","epoch":1,"n":2,"taken":true,"edges":0,"suspended":true}`) {
		t.Errorf("an accusation that holds: %d %s", status, text)
	}
	if status, text := accuse(1); status != http.StatusConflict {
		t.Errorf("the same again: %d %s", status, text)
	}
	full := light(t)
	if status, text := full.askAs("", "POST", "/api/fraud", challenge.Evidence(tx, ledger.Place{Height: at.Height}, 1)); status != http.StatusForbidden {
		t.Errorf("in a network that checks everything: %d %s", status, text)
	}
}

// Who checks signatures is decided at the founding and cannot be changed by a setting.
func TestPolicyIsFounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ setting, is, other string }{{"gateway", "gateway", "full"}, {"full", "full", "gateway"}, {"", "full", "gateway"}} {
		cfg := config(t.TempDir())
		cfg.Verify = c.setting
		run(t, cfg).stop()
		changed := cfg
		changed.Verify = c.other
		if n, err := node.Open(changed); err == nil {
			n.Run(cancelled(t))
			t.Errorf("founded with %q it opens with %q", c.setting, c.other)
		} else if !strings.Contains(err.Error(), "cannot be changed") {
			t.Error(err)
		}
		changed.Verify = ""
		l := &liar{lamp: run(t, changed)}
		if got := l.status().Verify.Policy; got != c.is {
			t.Errorf("founded with %q it is %q", c.setting, got)
		}
	}
}
