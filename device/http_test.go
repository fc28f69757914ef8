package device_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

// TestHTTPReplies: what each answer of a node means to a report: taken, refused for good, or to be sent again.
func TestHTTPReplies(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 32)
	for _, c := range []struct {
		status int
		header string
		body   string
		want   lamppost.Code
		height lamppost.Height
		wait   time.Duration // of a WaitError; -1: another error
	}{
		{200, "", `{"code":"ok","report":"` + id + `","height":12}`, lamppost.CodeOK, 12, 0},
		{200, "", `{"code":"duplicate","report":"` + id + `","height":3,"text":""}`, lamppost.CodeDuplicate, 3, 0},
		{400, "", `{"code":"bad_report","text":"cut short"}`, lamppost.CodeBadReport, 0, 0},
		{403, "", `{"code":"forbidden"}`, lamppost.CodeForbidden, 0, 0},
		{409, "", `{"code":"number_reused"}`, lamppost.CodeReused, 0, 0},
		{429, "7", `{"code":"busy"}`, 0, 0, 7 * time.Second},
		{503, "", ``, 0, 0, 0},
		{503, "Wed, 21 Oct 2026 07:28:00 GMT", ``, 0, 0, 0},
		{401, "", `{"code":"forbidden"}`, 0, 0, -1},  // the token, not the report
		{404, "", `404 page not found`, 0, 0, -1},    // not our node
		{404, "", `{"code":"made_up"}`, 0, 0, -1},    // nothing we know
		{400, "", `{"code":"ok"}`, 0, 0, -1},         // contradicts itself
		{409, "", `{"code":"not_ready"}`, 0, 0, -1},  // not final
		{200, "", `{"code":"bad_report"}`, 0, 0, -1}, // contradicts itself
		{200, "", `<html>Welcome to the hotel!</html>`, 0, 0, -1},
		{200, "", `{"code":"ok","report":"12"}`, 0, 0, -1},
		{500, "", `{"code":"bad_report"}`, 0, 0, -1},
		{302, "", ``, 0, 0, -1},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.body), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, token, _ := r.BasicAuth()
				body, _ := io.ReadAll(r.Body)
				if r.URL.Path != "/v1/report" || r.Method != "POST" || user != "meter-1" || token != "secret" ||
					r.Header.Get("Content-Type") != "application/cose" || string(body) != "the report" {
					t.Errorf("got %s %s of %q:%q with %q, %v", r.Method, r.URL, user, token, body, r.Header)
				}
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			defer server.Close()
			ack, err := device.NewHTTP(server.URL+"/", "meter-1", "secret", server.Client()).Send(t.Context(), []byte("the report"))
			var wait *device.WaitError
			busy := c.status == 429 || c.status == 503
			switch {
			case busy && (!errors.As(err, &wait) || wait.After != c.wait):
				t.Errorf("got %v, want a request to wait %v", err, c.wait)
			case c.wait < 0 && (err == nil || errors.As(err, &wait)):
				t.Errorf("got %+v, %v, want an error", ack, err)
			case !busy && c.wait == 0 && (err != nil || ack.Code != c.want || ack.Height != c.height):
				t.Errorf("got %+v, %v, want %v at height %d", ack, err, c.want, c.height)
			}
		})
	}
}

// TestHTTPNode: a device delivers over HTTP to a node that is down at first, is busy once, and loses one reply: each
// report is committed once, and the lost reply shows as a duplicate.
func TestHTTPNode(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.MinBackoff, cfg.MaxBackoff, cfg.Window = time.Millisecond, 4*time.Millisecond, 3
	l := newLedger()
	requests := make(chan int, 1)
	requests <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := <-requests
		requests <- n + 1
		raw, _ := io.ReadAll(r.Body)
		var report lamppost.Report
		if err := report.Decode(raw); err != nil || !report.Verify(network, cfg.Key.Public()) {
			t.Errorf("a report that does not verify: %v", err)
		}
		l.mu.Lock()
		code := lamppost.CodeOK
		if l.reports[report.Seq] != nil {
			code = lamppost.CodeDuplicate
		}
		l.mu.Unlock()
		switch {
		case n < 3:
			w.WriteHeader(http.StatusBadGateway)
			return
		case n == 4:
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		l.Send(r.Context(), raw)
		if n == 6 {
			panic(http.ErrAbortHandler) // committed, but the device never hears of it
		}
		json.NewEncoder(w).Encode(map[string]any{"code": code.String(), "report": report.ID(network).String(), "height": n})
	}))
	defer server.Close()
	cfg.Sender = device.NewHTTP(server.URL, cfg.ID, "secret", server.Client())
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, 20)
	if !deliver(t, d) {
		t.Fatal("the device failed")
	}
	if s := d.Stats(); len(l.reports) != 20 || len(l.reused) > 0 || s.Delivered != 20 || s.Duplicates != 1 || s.Failures != 5 {
		t.Errorf("the node has %d reports, the device says %+v; want 20, one of them a duplicate, after 5 failures", len(l.reports), s)
	}
}

// TestEnrol: the device's public key goes to the node once, the answer is remembered for this key and device only, and
// a refusal has its code.
func TestEnrol(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, token, _ := r.BasicAuth()
		if token != "secret" {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"code":"forbidden","text":"no such token"}`)
			return
		}
		var body struct {
			Suite string
			Key   []byte
		}
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		err := dec.Decode(&body)
		suite, errSuite := sig.ParseSuite(body.Suite)
		_, errKey := sig.ParsePublicKey(suite, body.Key)
		if err := errors.Join(err, errSuite, errKey); err != nil || r.URL.Path != "/v1/enrol" || r.Method != "POST" || user != "meter-1" {
			t.Errorf("got %s %s of %q: %v", r.Method, r.URL, user, err)
		}
		io.WriteString(w, `{"network":"testnet","key_epoch":4}`)
	}))
	defer server.Close()
	key, err := device.LoadOrCreateKey(dir, sig.ES256)
	if err != nil {
		t.Fatal(err)
	}
	e := device.Enrolment{URL: server.URL, Device: "meter-1", Token: "secret", Key: key, Dir: dir, Client: server.Client()}
	want := device.Enrolled{Network: "testnet", KeyEpoch: 4}
	for range 3 {
		if got, err := device.Enrol(t.Context(), e); err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if asked != 1 {
		t.Errorf("the node was asked %d times, want once", asked)
	}
	if e.Key, err = sig.GenerateKey(sig.HMAC256, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := device.Enrol(t.Context(), e); err != nil || got != want || asked != 2 {
		t.Errorf("another key: got %+v, %v after %d questions, want a second one", got, err, asked)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "enrolment.json"))
	if secret := fmt.Sprintf("%x", e.Key.Seed()); strings.Contains(string(text), secret) {
		t.Error("the shared key stands in enrolment.json")
	}
	e.Dir, e.Token = "", "wrong"
	var refusal *lamppost.Refusal
	if _, err := device.Enrol(t.Context(), e); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeForbidden {
		t.Errorf("wrong token: got %v, want a refusal as forbidden", err)
	}
	e.URL = "http://meters.example.com"
	if _, err := device.Enrol(context.Background(), e); err == nil || !strings.Contains(err.Error(), "only over https") {
		t.Errorf("shared key over http: got %v, want an error", err)
	}
}

// TestKey: a key is made once, is private, and is not silently replaced by one of another suite or after damage.
func TestKey(t *testing.T) {
	t.Parallel()
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256, sig.HMAC256} {
		dir := filepath.Join(t.TempDir(), "new")
		first, err := device.LoadOrCreateKey(dir, suite)
		if err != nil {
			t.Fatal(err)
		}
		again, err := device.LoadOrCreateKey(dir, suite)
		if err != nil || !bytes.Equal(again.Seed(), first.Seed()) || again.Suite() != suite {
			t.Errorf("%v: got another key the second time, %v", suite, err)
		}
		path := filepath.Join(dir, "key")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: got mode %v, %v, want 0600", suite, info.Mode(), err)
		}
		if _, err := device.LoadOrCreateKey(dir, sig.MLDSA44); err == nil {
			t.Errorf("%v: a key was given out as one of another suite", suite)
		}
		for _, bad := range []string{"", "ed25519", suite.String() + " 12\n", suite.String() + " zz\n"} {
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := device.LoadOrCreateKey(dir, suite); err == nil {
				t.Errorf("%v: key file %q was taken", suite, bad)
			}
		}
	}
}
