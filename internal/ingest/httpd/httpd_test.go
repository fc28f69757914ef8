package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/sig"
)

// A fake keeps the contract of ingest: submit says what becomes of a report, from another goroutine.
type fake struct {
	busy    bool
	flood   error
	judge   func(raw []byte) ingest.Reply
	release chan struct{} // nil: answers at once

	mu      sync.Mutex
	origins []*ingest.Origin
	pending sync.WaitGroup
}

func (f *fake) TrySubmit(from *ingest.Origin, raw []byte, token uint64, to ingest.Sink) error {
	if f.busy {
		return ingest.ErrBusy
	}
	if f.flood != nil {
		return f.flood
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.origins = append(f.origins, from)
	f.pending.Go(func() {
		if f.release != nil {
			<-f.release
		}
		to.Done(token, f.judge(raw))
	})
	return nil
}

func accepting() *fake {
	return &fake{judge: func(raw []byte) ingest.Reply { return ingest.Reply{ID: lamppost.ReportID{7}, Height: 42} }}
}

func auth(user, password string, cert *x509.Certificate) (lamppost.DeviceID, error) {
	if cert != nil {
		return lamppost.DeviceID(cert.Subject.CommonName), nil
	}
	if password != "token" {
		return "", errors.New("no such token")
	}
	return lamppost.DeviceID(user), nil
}

// post sends a body as device m1, unless change says otherwise.
func post(h http.Handler, path string, body io.Reader, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, body)
	r.SetBasicAuth("m1", "token")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type reply struct {
	Code, Report, Text string
	Height             lamppost.Height
}

func decode(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("status %d has content type %q", w.Code, got)
	}
	return r
}

// counted says whether a code was counted once; if not, it was never.
func counted(t *testing.T, m *httpd.Metrics, code string) bool {
	t.Helper()
	var out dto.Metric
	if err := m.Refused.WithLabelValues(code).Write(&out); err != nil {
		t.Fatal(err)
	}
	switch n := out.GetCounter().GetValue(); n {
	case 0, 1:
		return n == 1
	default:
		t.Fatalf("%s: counted %v times", code, n)
		return false
	}
}

// Each code comes with its documented status, its name, and the report's id; only busy ones ask to come again. Refusals are
// counted.
func TestReportCodes(t *testing.T) {
	t.Parallel()
	f := &fake{judge: func(raw []byte) ingest.Reply {
		return ingest.Reply{Code: lamppost.Code(raw[0]), ID: lamppost.ReportID{7}, Text: "said why"}
	}}
	m := httpd.NewMetrics(nil)
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: f, Metrics: m})
	for i, name := range lamppost.CodeNames() {
		code := lamppost.Code(i)
		w := post(h, "/v1/report", bytes.NewReader([]byte{byte(i)}), nil)
		got := decode(t, w)
		if counted(t, m, name) != !code.Accepted() {
			t.Errorf("%s: counted as refused: %v", name, code.Accepted())
		}
		if w.Code != httpd.Status(code) || got.Code != name || got.Text != "said why" || got.Report != (lamppost.ReportID{7}).String() {
			t.Errorf("%s: status %d, %+v", name, w.Code, got)
		}
		if (w.Code == 200) != code.Accepted() || (w.Code == 503) != !code.Final() || (w.Header().Get("Retry-After") == "1") != !code.Final() {
			t.Errorf("%s: status %d, Retry-After %q", name, w.Code, w.Header().Get("Retry-After"))
		}
	}
}

// The codes and the statuses in docs/devices.md are those of the code.
func TestDocumentedStatuses(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if cells := strings.Split(s.Text(), "|"); len(cells) == 6 {
			found[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[3])
		}
	}
	for i, name := range lamppost.CodeNames() {
		if want := fmt.Sprint(httpd.Status(lamppost.Code(i))); found[name] != want {
			t.Errorf("docs/devices.md has status %q for %s, want %s", found[name], name, want)
		}
	}
}

// A report is answered with where it was committed, and ingest is told which device it came from, by one Origin each.
func TestReport(t *testing.T) {
	t.Parallel()
	f := accepting()
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: f})
	for range 2 {
		w := post(h, "/v1/report", strings.NewReader("x"), nil)
		if want := fmt.Sprintf(`{"code":"ok","report":"%v","height":42}`+"\n", lamppost.ReportID{7}); w.Code != 200 || w.Body.String() != want {
			t.Errorf("status %d, body %s, want %s", w.Code, w.Body, want)
		}
	}
	post(h, "/v1/report", strings.NewReader("x"), func(r *http.Request) { r.SetBasicAuth("m2", "token") })
	if o := f.origins; len(o) != 3 || o[0] != o[1] || o[0] == o[2] || o[0].Device != "m1" || o[2].Device != "m2" {
		t.Errorf("origins %+v", o)
	}
}

// What cannot be taken now is answered as such at once, and what is not decided in time after MaxWait.
func TestBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := accepting()
		h := httpd.Handler(httpd.Config{Auth: auth, Submit: f})
		f.busy = true
		if w := post(h, "/v1/report", strings.NewReader("x"), nil); w.Code != 503 || decode(t, w).Code != "busy" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("full queue: status %d, %s", w.Code, w.Body)
		}
		f.busy, f.flood = false, &ingest.FloodError{Wait: 2500 * time.Millisecond}
		if w := post(h, "/v1/report", strings.NewReader("x"), nil); w.Code != 429 || decode(t, w).Code != "too_many_bad_reports" || w.Header().Get("Retry-After") != "3" {
			t.Errorf("too many bad reports: status %d, %s", w.Code, w.Body)
		}
		f.flood, f.release = nil, make(chan struct{})
		start := time.Now()
		if w := post(h, "/v1/report", strings.NewReader("x"), nil); w.Code != 503 || decode(t, w).Code != "busy" || time.Since(start) != httpd.DefaultMaxWait {
			t.Errorf("undecided: status %d, %s after %v", w.Code, w.Body, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		post(h, "/v1/report", strings.NewReader("x"), func(r *http.Request) { *r = *r.WithContext(ctx) })
		if got := time.Since(start); got != time.Second {
			t.Errorf("waited %v for a client that left after 1 s", got)
		}
		close(f.release)
		f.pending.Wait() // answers that come too late block nobody
	})
}

// Bodies up to the limit of a report reach ingest, larger ones and broken ones do not.
func TestBody(t *testing.T) {
	t.Parallel()
	f, m := accepting(), httpd.NewMetrics(nil)
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: f, Metrics: m})
	if w := post(h, "/v1/report", bytes.NewReader(make([]byte, lamppost.MaxReportBytes)), nil); w.Code != 200 {
		t.Errorf("the largest report: status %d", w.Code)
	}
	if w := post(h, "/v1/report", bytes.NewReader(make([]byte, lamppost.MaxReportBytes+1)), nil); w.Code != 413 || decode(t, w).Code != "too_large" {
		t.Errorf("one byte more: status %d, %s", w.Code, w.Body)
	}
	if w := post(h, "/v1/report", io.MultiReader(strings.NewReader("x"), broken{}), nil); w.Code != 408 || decode(t, w).Code != "incomplete" {
		t.Errorf("a broken body: status %d, %s", w.Code, w.Body)
	}
	if !counted(t, m, "too_large") || !counted(t, m, "incomplete") {
		t.Error("bodies that were not taken are not counted")
	}
	for _, path := range []string{"/v1/report", "/v1/enrol"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code < 404 || w.Code > 405 {
			t.Errorf("GET %s: status %d", path, w.Code)
		}
	}
	if len(f.origins) != 1 {
		t.Errorf("ingest was given %d reports, want 1", len(f.origins))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// Without a good log-in nothing is taken; who guesses is soon not listened to, for a while, and others are.
func TestLogIn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	f := accepting()
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: f, Now: func() time.Time { return now }})
	status := func(user, token, remote string) int {
		t.Helper()
		w := post(h, "/v1/report", strings.NewReader("x"), func(r *http.Request) { r.SetBasicAuth(user, token); r.RemoteAddr = remote })
		if (w.Header().Get("WWW-Authenticate") != "") != (w.Code == 401) {
			t.Errorf("status %d with WWW-Authenticate %q", w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if w.Code == 429 && w.Header().Get("Retry-After") != "61" {
			t.Errorf("Retry-After %q, want 61", w.Header().Get("Retry-After"))
		}
		return w.Code
	}
	if w := post(h, "/v1/report", strings.NewReader("x"), func(r *http.Request) { r.Header.Del("Authorization") }); w.Code != 401 || decode(t, w).Code != "unauthorized" {
		t.Errorf("no log-in: status %d, %s", w.Code, w.Body)
	}
	for i := range 10 {
		if got := status("m1", "guess", fmt.Sprintf("192.0.2.1:%d", 1000+i)); got != 401 {
			t.Errorf("guess %d: status %d, want 401", i, got)
		}
	}
	for _, test := range []struct {
		user, token, remote string
		want                int
	}{
		{"m1", "guess", "192.0.2.1:1", 429}, {"m1", "token", "192.0.2.1:1", 429}, // the right one comes too late
		{"m2", "token", "192.0.2.1:1", 200}, {"m1", "token", "192.0.2.2:1", 200},
	} {
		if got := status(test.user, test.token, test.remote); got != test.want {
			t.Errorf("%+v: status %d", test, got)
		}
	}
	now = now.Add(time.Minute)
	if got := status("m1", "token", "192.0.2.1:1"); got != 200 {
		t.Errorf("a minute later: status %d, want 200", got)
	}
	if len(f.origins) != 3 {
		t.Errorf("ingest was given %d reports, want 3", len(f.origins))
	}
}

// A client certificate counts only where TLS has verified it.
func TestCertificate(t *testing.T) {
	t.Parallel()
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "m1"}}
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: accepting()})
	for want, state := range map[int]tls.ConnectionState{
		200: {PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}},
		401: {PeerCertificates: []*x509.Certificate{cert}},
	} {
		w := post(h, "/v1/report", strings.NewReader("x"), func(r *http.Request) { r.Header.Del("Authorization"); r.TLS = &state })
		if w.Code != want {
			t.Errorf("verified chains %d: status %d, want %d", len(state.VerifiedChains), w.Code, want)
		}
	}
}

// Enrolment gives the handler's answer to the device, and refusals by the same table as reports.
func TestEnrol(t *testing.T) {
	t.Parallel()
	var err error
	consent := ""
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: accepting(),
		Enrol: func(_ context.Context, device lamppost.DeviceID, k httpd.NewKey) (string, uint32, error) {
			if device != "m1" || k.Suite != "ed25519" || string(k.Key) != "\xfb\xff the key" || string(k.Consent) != consent {
				t.Errorf("asked to enrol %+v for %q", k, device)
			}
			return "testnet", 3, err
		}})
	const good = `{"suite":"ed25519","key":"+/8gdGhlIGtleQ=="}`
	if w := post(h, "/v1/enrol", strings.NewReader(good), nil); w.Code != 200 || w.Body.String() != `{"network":"testnet","key_epoch":3}`+"\n" {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	consent = "I agree"
	if w := post(h, "/v1/enrol", strings.NewReader(good[:len(good)-1]+`,"consent":"SSBhZ3JlZQ=="}`), nil); w.Code != 200 {
		t.Errorf("with consent: status %d, %s", w.Code, w.Body)
	}
	consent = ""
	err = fmt.Errorf("enrolling: %w", lamppost.Refuse(lamppost.CodeExists, "another key is enrolled"))
	if w := post(h, "/v1/enrol", strings.NewReader(good), nil); w.Code != 409 || decode(t, w) != (reply{Code: "exists", Text: "another key is enrolled"}) {
		t.Errorf("a refusal: status %d, %s", w.Code, w.Body)
	}
	err = errors.New("open /secret/path: disk on fire")
	if w := post(h, "/v1/enrol", strings.NewReader(good), nil); w.Code != 500 || decode(t, w).Code != "internal" || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("an error of ours: status %d, %s", w.Code, w.Body)
	}
	for _, bad := range []string{"", "{}", `{"suite":"ed25519"}`, `{"suite":"ed25519","key":"-_8"}`, `{"suite":7,"key":"AAAA"}`} {
		if w := post(h, "/v1/enrol", strings.NewReader(bad), nil); w.Code != 400 || decode(t, w).Code != "bad_transaction" {
			t.Errorf("%s: status %d, %s", bad, w.Code, w.Body)
		}
	}
	if w := post(h, "/v1/enrol", strings.NewReader(good+strings.Repeat(" ", 5000)), nil); w.Code != 413 {
		t.Errorf("a long body: status %d", w.Code)
	}
	if w := post(h, "/v1/enrol", strings.NewReader(good), func(r *http.Request) { r.SetBasicAuth("m1", "x") }); w.Code != 401 {
		t.Errorf("a wrong token: status %d", w.Code)
	}
}

// The SDK's enrolment and sender work against the handler over a real socket, and agree on what is final.
func TestSDK(t *testing.T) {
	t.Parallel()
	code := lamppost.CodeOK
	f := &fake{judge: func([]byte) ingest.Reply {
		return ingest.Reply{Code: code, ID: lamppost.ReportID{7}, Height: 42, Text: "why"}
	}}
	server := httptest.NewServer(httpd.Handler(httpd.Config{Auth: auth, Submit: f,
		Enrol: func(context.Context, lamppost.DeviceID, httpd.NewKey) (string, uint32, error) {
			return "testnet", 3, nil
		}}))
	defer server.Close()
	key, err := sig.GenerateKey(sig.EdDSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := device.Enrol(t.Context(), device.Enrolment{URL: server.URL, Device: "m1", Token: "token", Key: key})
	if err != nil || got != (device.Enrolled{Network: "testnet", KeyEpoch: 3}) {
		t.Errorf("enrolling: %+v, %v", got, err)
	}
	s := device.NewHTTP(server.URL, "m1", "token", server.Client())
	for i := range lamppost.CodeNames() {
		code = lamppost.Code(i)
		ack, err := s.Send(t.Context(), []byte("x"))
		if final := err == nil && ack.Code == code; final != code.Final() {
			t.Errorf("%v: the SDK got %+v, %v", code, ack, err)
		}
	}
	if ack, err := device.NewHTTP(server.URL, "m1", "wrong", server.Client()).Send(t.Context(), []byte("x")); err == nil {
		t.Errorf("a wrong token: the SDK took it for a judgement: %+v", ack)
	}
}
