package witness_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/witness"
)

const token = "0123456789abcdef0123456789abcdef"

func ask(t testing.TB, method, url, token string, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res, string(text)
}

// The status codes are those of C2SP tlog-witness, in its order: whoever was written by its text knows what to do.
func TestStatusCodes(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 20, "entry")
	other := newHistory(t, origin).grow(t, 20, "other")
	stranger := newHistory(t, "net/other").grow(t, 20, "entry")
	forger := newHistory(t, "forger")
	forged := *h
	forged.signer = forger.signer
	w := open(t, kv.NewMem(), h)
	server := httptest.NewServer(w.Handler(token))
	t.Cleanup(server.Close)
	takes(t, w, h, 0, 7)
	note := h.checkpoint(t, 9)
	empty := h.signed(t, origin+"\n0\n"+h.root(t, 1).String()+"\n")
	broken := strings.Replace(note, "\n9\n", "\n8\n", 1)
	for _, c := range []struct {
		name string
		body string
		want int
		text string // of the body
	}{
		{"no request", "hello", 400, "no empty line"},
		{"old size with a sign", "old +7\n\n" + note, 400, "plain decimal"},
		{"old size with a zero before", "old 07\n\n" + note, 400, "plain decimal"},
		{"no old size", "7\n\n" + note, 400, "plain decimal"},
		{"carriage returns", "old 7\r\n\n" + note, 400, "plain decimal"},
		{"proof of short hashes", "old 7\nAAAA\n\n" + note, 400, "line 1 of the proof"},
		{"proof of 64 hashes", "old 7\n" + strings.Repeat(strings.Repeat("A", 43)+"=\n", 64) + "\n" + note, 400, "64 hashes"},
		{"too long", "old 7\n\n" + note + strings.Repeat("— a AAAAAAAA\n", 10_000), 400, "too long"},
		{"unknown log", string(stranger.request(t, 0, 9)), 404, "does not follow"},
		{"unknown log, of no form", "old 0\n\nx", 404, "does not follow"},
		{"signed by another key", string(forged.request(t, 7, 9)), 403, "none of the keys"},
		{"a known key's wrong signature", "old 7\n\n" + broken, 403, "none of the keys"},
		{"not signed", "old 7\n\n" + note[:strings.Index(note, "—")-1], 400, "the checkpoint"},
		{"size with a zero before", "old 7\n\n" + h.signed(t, origin+"\n09\n"+h.root(t, 9).String()+"\n"), 400, "plain decimal"},
		{"size beyond the arithmetic", "old 7\n\n" + h.signed(t, origin+"\n9000000000000000000\n"+h.root(t, 9).String()+"\n"), 400, "2^56"},
		{"two lines", "old 7\n\n" + h.signed(t, origin+"\n9\n"), 400, "three lines"},
		{"smaller than the old size", string(h.request(t, 9, 8)), 400, "larger than that of the checkpoint"},
		{"another old size", string(h.request(t, 5, 9)), 409, "7\n"},
		{"no old size for a known log", string(h.request(t, 0, 9)), 409, "7\n"},
		{"a smaller one than cosigned", string(h.request(t, 5, 6)), 409, "7\n"},
		{"the empty log", "old 0\n\n" + h.checkpoint(t, 0), 409, "7\n"},
		{"another root at the size", string(other.request(t, 7, 7)), 422, "another root"},
		{"a proof for nothing", "old 7\n" + strings.Repeat("A", 43) + "=\n\n" + h.checkpoint(t, 7), 422, "has no hashes"},
		{"no proof", "old 7\n\n" + note, 422, "does not lead"},
		{"another history", string(other.request(t, 7, 9)), 422, "does not lead"},
		{"good", string(h.request(t, 7, 9)), 200, "— w.example "},
		{"good again", string(h.request(t, 9, 9)), 200, "— w.example "},
	} {
		res, text := ask(t, "POST", server.URL+"/add-checkpoint", "", c.body)
		if res.StatusCode != c.want || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, res.StatusCode, text, c.want, c.text)
		}
		if sized := res.Header.Get("Content-Type") == "text/x.tlog.size"; sized != (c.want == 409) {
			t.Errorf("%s: content type %q", c.name, res.Header.Get("Content-Type"))
		}
	}
	fresh := open(t, kv.NewMem(), h)
	server2 := httptest.NewServer(fresh.Handler(token))
	t.Cleanup(server2.Close)
	for body, want := range map[string]int{
		"old 0\n" + strings.Repeat("A", 43) + "=\n\n" + note: 422, "old 0\n\n" + empty: 422, "old 5\n\n" + note: 409,
	} {
		if res, text := ask(t, "POST", server2.URL+"/add-checkpoint", "", body); res.StatusCode != want || want == 409 && text != "0\n" {
			t.Errorf("to a fresh witness: %d %q, want %d for\n%s", res.StatusCode, text, want, body)
		}
	}
	if res, _ := ask(t, "GET", server.URL+"/add-checkpoint", "", ""); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /add-checkpoint: %d", res.StatusCode)
	}
	refused := status(t, w, origin).Refused
	if refused[witness.Stale] != 4 || refused[witness.Inconsistent] != 4 || refused[witness.BadSignature] != 2 {
		t.Errorf("counted are %v", refused)
	}
}

// Monitors find the latest cosigned checkpoint by the origin's hash, people find a page, and only who has the token
// changes the list of logs.
func TestHTTP(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 20, "entry")
	w := open(t, kv.NewMem())
	server := httptest.NewServer(w.Handler(token))
	t.Cleanup(server.Close)
	add, err := json.Marshal(witness.Addition{Logs: []witness.Log{{Origin: origin, Keys: []string{h.vkey}}}})
	must(t, err)
	for _, wrong := range []string{"", "x", token + "0"} {
		for _, path := range []string{"/api/logs", "/api/logs/remove"} {
			if res, _ := ask(t, "POST", server.URL+path, wrong, string(add)); res.StatusCode != 401 {
				t.Errorf("%s with token %q: %d", path, wrong, res.StatusCode)
			}
		}
	}
	if len(w.Status().Logs) != 0 {
		t.Fatal("a log was added without the token")
	}
	if res, text := ask(t, "POST", server.URL+"/api/logs", token, string(add)); res.StatusCode != 200 || !strings.Contains(text, origin) {
		t.Fatalf("adding: %d %s", res.StatusCode, text)
	}
	for _, body := range []string{"", "{", `{"logs":[{"origin":"a"}]}`, `{"lags":[]}`} {
		if res, text := ask(t, "POST", server.URL+"/api/logs", token, body); res.StatusCode != 400 || !strings.Contains(text, "bad_request") {
			t.Errorf("adding %q: %d %s", body, res.StatusCode, text)
		}
	}
	monitor := server.URL + "/" + witness.OriginHash(origin) + "/checkpoint"
	if res, _ := ask(t, "GET", monitor, "", ""); res.StatusCode != 404 {
		t.Errorf("before the first checkpoint: %d", res.StatusCode)
	}
	takes(t, w, h, 0, 7)
	if _, text := ask(t, "GET", monitor, "", ""); text != status(t, w, origin).Checkpoint || !strings.Contains(text, "— w.example ") {
		t.Errorf("monitors get %q", text)
	}
	if _, text := ask(t, "GET", server.URL+"/api/status", "", ""); !strings.Contains(text, `"size":7`) {
		t.Errorf("status %s", text)
	}
	for _, path := range []string{"/healthz", "/", "/static/app.css", "/static/favicon.svg"} {
		if res, _ := ask(t, "GET", server.URL+path, "", ""); res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, text := ask(t, "POST", server.URL+"/api/logs/remove", token, `{"origin":"lantern/node1"}`); res.StatusCode != 200 {
		t.Errorf("removing: %d %s", res.StatusCode, text)
	}
	if res, _ := ask(t, "POST", server.URL+"/api/logs/remove", token, `{"origin":"lantern/node1"}`); res.StatusCode != 404 {
		t.Errorf("removing again: %d", res.StatusCode)
	}
}

// Whatever a log calls itself or signs, the page shows it as text.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	w := open(t, kv.NewMem())
	const hostile = `<script>alert(1)</script>"><img src=x onerror=alert(2)>`
	h := newHistory(t, "key").grow(t, 3, "entry")
	h.origin = hostile
	must(t, w.Add(witness.Log{Origin: hostile, Keys: []string{h.vkey}, URL: "https://example.com/<b>"}))
	must(t, func() error { _, err := w.AddCheckpoint(h.requestRaw(t, 3)); return err }())
	forked := newHistory(t, "key").grow(t, 3, "other")
	forked.origin = hostile
	refuses(t, w, forked.requestRaw(t, 3), witness.Stale)
	rec := httptest.NewRecorder()
	w.Handler(token).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	page := rec.Body.String()
	if strings.Contains(page, "<script") || strings.Contains(page, "<img src=x") || strings.Contains(page, "<b>") {
		t.Errorf("markup of a log stands in the page:\n%s", page)
	}
	for _, want := range []string{"&lt;script&gt;", "signed two histories", "w.example", "two histories"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
}

// requestRaw asks for the first checkpoint of a log with any origin.
func (h *history) requestRaw(t testing.TB, size int64) []byte {
	text := h.origin + "\n" + "3" + "\n" + h.root(t, size).String() + "\n"
	return (&witness.Request{Checkpoint: []byte(h.signed(t, text))}).Append(nil)
}

// A server on a folder leaves what verbs and people need, and another start goes on where it ended.
func TestServer(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 20, "entry")
	cfg := witness.ServerConfig{Data: filepath.Join(t.TempDir(), "w"), Name: "w.example", HTTP: "127.0.0.1:0", NoFsync: true}
	var key string
	for start := range 2 {
		s, err := witness.Open(cfg)
		must(t, err)
		if start == 0 {
			key = s.Key().String()
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		if _, err := witness.OpenFolder(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("a second one on the folder: %v", err)
		}
		read := func(name string) string {
			raw, err := os.ReadFile(filepath.Join(cfg.Data, name))
			must(t, err)
			return strings.TrimSpace(string(raw))
		}
		if read(witness.URLFile) != s.URL() || read(witness.KeyFile) != key || s.Key().String() != key {
			t.Errorf("files say %s %s", read(witness.URLFile), read(witness.KeyFile))
		}
		add, err := json.Marshal(witness.Addition{Logs: []witness.Log{{Origin: origin, Keys: []string{h.vkey}}}})
		must(t, err)
		if res, text := ask(t, "POST", s.URL()+"/api/logs", read(witness.TokenFile), string(add)); res.StatusCode != 200 {
			t.Errorf("adding: %d %s", res.StatusCode, text)
		}
		old := int64(start * 7)
		if res, text := ask(t, "POST", s.URL()+"/add-checkpoint", "", string(h.request(t, old, old+7))); res.StatusCode != 200 {
			t.Errorf("start %d: %d %s", start, res.StatusCode, text)
		}
		stop()
		must(t, <-ended)
	}
	for _, bad := range []witness.ServerConfig{{}, {Data: cfg.Data, HTTP: "0.0.0.0:0"}, {Data: cfg.Data, HTTP: "nowhere"}, {Data: cfg.Data, TLSCert: "x"}} {
		if s, err := witness.Open(bad); err == nil {
			s.Close()
			t.Errorf("%+v: opened", bad)
		}
	}
}
