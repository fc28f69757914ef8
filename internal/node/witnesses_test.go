package node_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/witness"
)

// witnessed founds a network, ends it, and has witnesses follow its log, as their operators would: by its pin.
func witnessed(t testing.TB, names ...string) (node.Config, []*witness.Witness) {
	t.Helper()
	cfg := config(t.TempDir())
	run(t, cfg).stop()
	cfg.WitnessEvery = 20 * time.Millisecond
	var all []*witness.Witness
	for _, name := range names {
		w, err := witness.New(witness.Config{Store: kv.NewMem(), Name: name})
		must(t, err)
		pin := readPin(t, cfg.Data)
		for _, m := range pin.Members {
			l, err := witness.ParseKey(audit.VerifierKey(pin.Network, m))
			must(t, err)
			must(t, w.Add(l))
		}
		server := httptest.NewServer(w.Handler("0123456789abcdef0123456789abcdef"))
		t.Cleanup(server.Close)
		cfg.Witnesses = append(cfg.Witnesses, node.Witness{VKey: w.Key().String(), URL: server.URL})
		all = append(all, w)
	}
	return cfg, all
}

func readPin(t testing.TB, dir string) *audit.Pin {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "network.pin"))
	must(t, err)
	pin, err := audit.ParsePin(string(text))
	must(t, err)
	return pin
}

func (l *lamp) status() (s api.Status) {
	l.t.Helper()
	_, raw := l.ask("GET", "/api/status", nil)
	must(l.t, json.Unmarshal(raw, &s))
	return s
}

// until waits for a status.
func (l *lamp) until(what string, ok func(*api.Status) bool) api.Status {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		s := l.status()
		if ok(&s) {
			return s
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: the status stays %+v", what, s)
		}
	}
}

// allCosigned holds when every block, of two leaves each, is published and cosigned.
func allCosigned(s *api.Status) bool {
	return s.Log.Cosigned == s.Log.Size && s.Log.Size == 2*int64(s.Engine.Height)
}

// What a node hands out rests on checkpoints that enough witnesses have cosigned, one that is down notwithstanding: its pin
// demands that, and says so to every reader. The log's files are there for everybody.
func TestWitnessed(t *testing.T) {
	t.Parallel()
	cfg, _ := witnessed(t, "a.example", "b.example")
	down, err := lamppost.NewCosigner("down.example", make([]byte, 32))
	must(t, err)
	cfg.Witnesses = append(cfg.Witnesses, node.Witness{VKey: down.Key().String(), URL: "http://127.0.0.1:1"})
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("m1")
	l.enrol(m)
	if got := l.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Fatalf("a report: %+v", got)
	}
	pin := readPin(t, cfg.Data)
	if len(pin.Witnesses) != 3 || pin.WitnessQuorum != 2 {
		t.Fatalf("the pin is\n%s", pin)
	}
	s := l.until("cosigned", allCosigned)
	if len(s.Witnesses) != 3 || s.Witnesses[0].Size == 0 || s.Witnesses[2].Size != 0 || !strings.Contains(s.Witnesses[2].Error, "cannot be reached") ||
		s.Quorum != 2 || s.Conflict != nil {
		t.Errorf("status %+v", s)
	}
	receipt := l.receiptOf("m1/1/1")
	f, err := audit.Verify(receipt, pin)
	must(t, err)
	if len(f.Cosigned) != 2 || !f.Cosigned[0].Pinned || f.Cosigned[0].Witness == f.Cosigned[1].Witness {
		t.Errorf("cosigned by %+v", f.Cosigned)
	}
	three := *pin
	three.WitnessQuorum = 3
	if _, err := audit.Verify(receipt, &three); err == nil || !strings.Contains(err.Error(), "the pin asks for 3") {
		t.Errorf("a pin that asks for three: %v", err)
	}
	for path, kind := range map[string]string{"checkpoint": "text/plain; charset=utf-8", "checkpoint.cosigned": "text/plain; charset=utf-8"} {
		res, body := l.fetch("/log/" + path)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != kind || strings.Count(string(body), "\n— ") != 3 {
			t.Errorf("/log/%s: %d %q\n%s", path, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
	}
	for path, want := range map[string]int{"tile/0/000": 404, fmt.Sprintf("tile/0/000.p/%d", s.Log.Size): 200, "../admin.token": 404, "tile/../../admin.token": 404,
		"%2e%2e/admin.token": 404, "checkpoint.tmp": 404, "": 404,
		"tile": 404, "tile/0": 404, "tile/0/000.p": 404, fmt.Sprintf("tile/0/000.p/%d/x", s.Log.Size): 404} {
		if res, body := l.fetch("/log/" + path); res.StatusCode != want || bytes.Contains(body, []byte(l.AdminToken())) {
			t.Errorf("/log/%s: %d, want %d\n%.99q", path, res.StatusCode, want, body)
		}
	}
	if got := l.metric("lamppost_cosigned_leaves"); got != float64(s.Log.Cosigned) {
		t.Errorf("lamppost_cosigned_leaves is %v", got)
	}
	l.stop()
	for i := range cfg.Witnesses {
		cfg.Witnesses[i].URL = "http://127.0.0.1:1" // what was cosigned is still there when all are gone
	}
	again := run(t, cfg)
	if _, err := audit.Verify(again.receiptOf("m1/1/1"), pin); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	again.order("/api/parties", lamppost.PartyBody{ID: "tom"}, nil)
	if status, text := again.ask("GET", "/readyz", nil); status != 200 {
		t.Errorf("with all witnesses gone /readyz answers %d %s", status, text)
	}
}

// receiptOf fetches one, coming again as it is told to.
func (l *lamp) receiptOf(of string) []byte {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		status, text := l.ask("GET", "/api/receipts/"+of, nil)
		if status == http.StatusOK {
			return text
		}
		if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			l.t.Fatalf("receipt %s: %d %s", of, status, text)
		}
	}
}

// fetch asks as a stranger, with the path as it is.
func (l *lamp) fetch(path string) (*http.Response, []byte) {
	l.t.Helper()
	req, err := http.NewRequest("GET", l.URL(), nil)
	must(l.t, err)
	req.URL.Opaque = path
	res, err := l.client.Do(req)
	must(l.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(l.t, err)
	return res, body
}

// A node that was restored from a backup is told by its witness before it signs anything new: it stops signing and taking,
// keeps both checkpoints, and stays stopped until somebody has looked. With the newer folder everything goes on.
func TestRestoredFromBackup(t *testing.T) {
	t.Parallel()
	cfg, _ := witnessed(t, "w.example")
	cfg.Log = nil
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("m1")
	l.enrol(m)
	l.until("cosigned", allCosigned)
	l.stop()
	backup := t.TempDir()
	must(t, os.CopyFS(backup, os.DirFS(cfg.Data)))
	l = run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "after"}, nil)
	s := l.until("cosigned", allCosigned)
	l.stop()

	restored := cfg
	restored.Data = backup
	r := run(t, restored)
	got := r.until("stopped", func(s *api.Status) bool { return s.Conflict != nil })
	if got.Conflict.Theirs == "" || !strings.Contains(got.Conflict.Theirs, fmt.Sprintf("\n%d\n", s.Log.Size)) || !strings.Contains(got.Conflict.Ours, "house/node1\n") ||
		!strings.Contains(got.Conflict.Text, "w.example") || got.Conflict.Found == 0 {
		t.Errorf("the conflict is %+v", got.Conflict)
	}
	r.stopped(got.Log.Size)
	r.client.Timeout = 200 * time.Millisecond
	req, err := http.NewRequest("POST", r.URL()+"/v1/report", bytes.NewReader(m.report(t, nil)))
	must(t, err)
	req.SetBasicAuth(string(m.id), m.token)
	if res, err := r.client.Do(req); err == nil {
		t.Errorf("a report was answered with status %d", res.StatusCode)
	}
	r.stop() // also with a report inside that is never decided
	kept, err := os.ReadFile(filepath.Join(backup, "conflict", "theirs.note"))
	must(t, err)
	if string(kept) != got.Conflict.Theirs {
		t.Errorf("kept is %q", kept)
	}
	restored.Witnesses, restored.WitnessQuorum = nil, 0
	r = run(t, restored)
	if c := r.status().Conflict; c == nil || c.Theirs != string(kept) {
		t.Errorf("started again without witnesses: conflict %+v", c)
	}
	r.stopped(got.Log.Size)
	r.stop()
	must(t, os.Rename(filepath.Join(backup, "conflict"), filepath.Join(t.TempDir(), "looked-at")))
	r = run(t, restored)
	r.order("/api/parties", lamppost.PartyBody{ID: "decided"}, nil)

	l = run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "goes-on"}, nil)
	l.until("cosigned", allCosigned)
}

// stopped demands that a node takes and signs nothing, and shows what it has.
func (l *lamp) stopped(size int64) {
	l.t.Helper()
	if status, text := l.ask("POST", "/api/parties", lamppost.PartyBody{ID: "late"}); status != http.StatusConflict || !strings.Contains(string(text), "nothing is taken") {
		l.t.Errorf("an order: %d %s", status, text)
	}
	if status, text := l.ask("GET", "/readyz", nil); status != http.StatusServiceUnavailable || !strings.Contains(string(text), "nothing is signed") {
		l.t.Errorf("/readyz: %d %s", status, text)
	}
	if got := l.metric("lamppost_conflict"); got != 1 {
		l.t.Errorf("lamppost_conflict is %v", got)
	}
	s := l.status()
	if s.Log.Size != size {
		l.t.Errorf("published size %d, want %d", s.Log.Size, size)
	}
	raw, err := os.ReadFile(filepath.Join(l.dir, "log", "checkpoint"))
	must(l.t, err)
	if !strings.Contains(string(raw), fmt.Sprintf("\n%d\n", size)) {
		l.t.Errorf("the published file is %q", raw)
	}
}

// A store that is older than what was published beside it stops the node in the same way, without any witness.
func TestOlderStore(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.ready()
	l.stop()
	old := t.TempDir()
	must(t, os.CopyFS(old, os.DirFS(cfg.Data)))
	l = run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "after"}, nil)
	l.until("published", func(s *api.Status) bool { return s.Engine.Height >= 2 && s.Log.Size > 2 })
	l.stop()
	must(t, os.RemoveAll(filepath.Join(old, "log")))
	must(t, os.CopyFS(filepath.Join(old, "log"), os.DirFS(filepath.Join(cfg.Data, "log"))))
	cfg.Data = old
	l = run(t, cfg)
	if c := l.status().Conflict; c == nil || !strings.Contains(c.Text, "older than what was signed") || c.Theirs == "" {
		t.Errorf("the conflict is %+v", c)
	}
	if status, _ := l.ask("POST", "/api/parties", lamppost.PartyBody{ID: "late"}); status != http.StatusConflict {
		t.Errorf("an order: %d", status)
	}
}

// A witness that only says something cannot stop a node alone, if the quorum can do without it; if it cannot, its word is
// heeded, and forgotten when it is taken out.
func TestOnlyAWord(t *testing.T) {
	t.Parallel()
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintln(w, 1<<40)
	}))
	t.Cleanup(liar.Close)
	key, err := lamppost.NewCosigner("liar.example", make([]byte, 32))
	must(t, err)
	cfg, _ := witnessed(t, "a.example", "b.example")
	cfg.Witnesses = append(cfg.Witnesses, node.Witness{VKey: key.Key().String(), URL: liar.URL})
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	s := l.until("cosigned", allCosigned)
	if s.Conflict != nil || !strings.Contains(s.Witnesses[2].Error, "shows no checkpoint") {
		t.Errorf("status %+v", s)
	}
	l.stop()

	cfg.WitnessQuorum = 3
	l = run(t, cfg)
	s = l.until("stopped", func(s *api.Status) bool { return s.Conflict != nil })
	if s.Conflict.Theirs != "" || !strings.Contains(s.Conflict.Text, "their word only") {
		t.Errorf("the conflict is %+v", s.Conflict)
	}
	l.stop()
	if _, err := os.Stat(filepath.Join(cfg.Data, "conflict")); !os.IsNotExist(err) {
		t.Errorf("a mere word was kept: %v", err)
	}
	cfg.Witnesses, cfg.WitnessQuorum = cfg.Witnesses[:2], 2
	l = run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "tom"}, nil)
}

// Nothing waits for a witness that does not answer, but the first checkpoint after a start: not the commits, ever, and not
// the log's own checkpoints.
func TestSlowWitness(t *testing.T) {
	t.Parallel()
	cfg, all := witnessed(t, "w.example")
	var asked atomic.Int64
	answer := make(chan chan bool, 1) // a channel that the next request waits for
	handler := all[0].Handler("0123456789abcdef0123456789abcdef")
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case wait := <-answer:
			select {
			case <-wait:
			case <-r.Context().Done():
			}
		default:
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	cfg.Witnesses[0].URL = slow.URL
	first := make(chan bool)
	answer <- first
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	if s := l.status(); s.Log.Size >= 4 || s.Log.Size == 0 {
		t.Errorf("published size %d before the witness was heard, want that of the start", s.Log.Size)
	}
	close(first)
	s := l.until("cosigned", allCosigned)

	second := make(chan bool)
	answer <- second
	l.order("/api/parties", lamppost.PartyBody{ID: "tom"}, nil)
	l.order("/api/parties", lamppost.PartyBody{ID: "eve"}, nil)
	waits := l.until("published", func(n *api.Status) bool { return n.Log.Size == s.Log.Size+4 })
	if waits.Log.Cosigned > s.Log.Size+2 {
		t.Errorf("cosigned %d of %d while the witness waits", waits.Log.Cosigned, waits.Log.Size)
	}
	if status, text := l.ask("GET", "/api/receipts/nobody/1/1", nil); status != 404 {
		t.Errorf("what is not there: %d %s", status, text)
	}
	close(second)
	l.until("cosigned", allCosigned)
	if asked.Load() == 0 {
		t.Error("nobody asked")
	}
}

// A configuration that would count a witness twice, or ask for more than there are, is refused.
func TestWitnessConfig(t *testing.T) {
	t.Parallel()
	vkey := func(name string, seed byte) string {
		c, err := lamppost.NewCosigner(name, bytes.Repeat([]byte{seed}, 32))
		must(t, err)
		return c.Key().String()
	}
	const url = "https://w.example"
	_, plain, err := note.GenerateKey(rand.Reader, "w.example")
	must(t, err)
	many := make([]node.Witness, 33)
	for name, c := range map[string]struct {
		witnesses []node.Witness
		quorum    int
		want      string
	}{
		"one":              {[]node.Witness{{vkey("a", 1), url}}, 0, ""},
		"two of three":     {[]node.Witness{{vkey("a", 1), url}, {vkey("b", 2), url}, {vkey("c", 3), url}}, 2, ""},
		"the key twice":    {[]node.Witness{{vkey("a", 1), url}, {vkey("b", 1), url}}, 1, "share a key"},
		"quorum too large": {[]node.Witness{{vkey("a", 1), url}}, 2, "cannot come from 1 witnesses"},
		"quorum of nobody": {nil, 1, "cannot come from 0 witnesses"},
		"quorum negative":  {[]node.Witness{{vkey("a", 1), url}}, -1, "cannot come"},
		"a member's key":   {[]node.Witness{{plain, url}}, 0, "type 4"},
		"no address":       {[]node.Witness{{vkey("a", 1), "w.example"}}, 0, "is not an address"},
		"no key":           {[]node.Witness{{"", url}}, 0, "witness key"},
		"too many":         {many, 0, "over the limit"},
	} {
		cfg := node.Config{Data: "x", Witnesses: c.witnesses, WitnessQuorum: c.quorum}
		if err := cfg.Check(); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: Check = %v, want %q", name, err, c.want)
		}
	}
	for n, want := range []int{0, 1, 2, 2, 3, 3} {
		cfg := node.Config{Data: "x"}
		for i := range n {
			cfg.Witnesses = append(cfg.Witnesses, node.Witness{VKey: vkey("w", byte(i+1)), URL: url})
		}
		must(t, cfg.Check())
		if cfg.WitnessQuorum != want || cfg.WitnessEvery != 5*time.Second {
			t.Errorf("of %d witnesses %d are enough, want %d; asked every %v", n, cfg.WitnessQuorum, want, cfg.WitnessEvery)
		}
	}
	for _, every := range []time.Duration{-1, time.Hour + 1} {
		if err := (&node.Config{Data: "x", WitnessEvery: every}).Check(); err == nil {
			t.Errorf("witness_every %v is taken", every)
		}
	}
}
