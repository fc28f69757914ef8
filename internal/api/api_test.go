package api_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"golang.org/x/mod/sumdb/tlog"
)

// The whole way through the API: register, enrol, report, invoice; and the statement that comes out holds against the
// pin, offline, with the amounts a person would compute: 10 kWh × 0.30 EUR, 19 % tax.
func TestStatementHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	if inv.Number != "landlord-000001" || inv.Net.String() != "3.00" || inv.Total.String() != "3.57" {
		t.Fatalf("invoice %s net %s total %s, want landlord-000001, 3.00, 3.57", inv.Number, inv.Net, inv.Total)
	}
	var file []byte
	if status := h.do("GET", "/api/statements/tenant", nil, &file); status != 200 {
		t.Fatalf("status %d: %s", status, file)
	}
	found, err := audit.Verify(file, h.pin())
	must(t, err)
	if !found.Pinned || found.Invoices != 1 || found.Readings != 2 {
		t.Errorf("finding %+v", found)
	}
	forged := bytes.Replace(file, []byte("3.57"), []byte("3.58"), 1)
	if _, err := audit.Verify(forged, h.pin()); err == nil || bytes.Equal(forged, file) {
		t.Error("a statement with another total is accepted")
	}
}

// A receipt of a report holds, and names the report.
func TestReceiptHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	var file []byte
	if status := h.do("GET", "/api/receipts/meter/1/1", nil, &file); status != 200 {
		t.Fatalf("status %d: %s", status, file)
	}
	if _, err := audit.Verify(file, h.pin()); err != nil {
		t.Error(err)
	}
	h.refused(404, "not_found", "GET", "/api/receipts/meter/1/2", nil)
	h.refused(404, "not_found", "GET", "/api/receipts/other/1/1", nil)
	h.refused(400, "bad_request", "GET", "/api/receipts/meter/1/x", nil)
}

// Until a checkpoint covers them, proofs are asked to be fetched a second later.
func TestUnpublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	h.held.Store(true)
	for _, path := range []string{"/api/statements/tenant", "/api/receipts/meter/1/1", "/api/log/proof?height=1", "/readyz"} {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		var e api.Error
		must(t, json.Unmarshal(w.Body.Bytes(), &e))
		if w.Code != 503 || e.Code != "not_ready" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %d %+v, Retry-After %q", path, w.Code, e, w.Header().Get("Retry-After"))
		}
	}
	h.refused(404, "not_found", "GET", "/api/statements/landlord", nil)
	h.refused(404, "not_found", "GET", "/api/statements/nobody", nil)
}

// A leaf's path leads to the root of the checkpoint, by the reference implementation's check.
func TestLogProof(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	for _, path := range []string{"/api/log/proof?height=1&index=0", "/api/log/proof?height=3&index=0", "/api/log/proof?height=3&index=1"} {
		var p api.LogProof
		h.ok(200, "GET", path, nil, &p)
		leaf, err := hex.DecodeString(p.Leaf)
		must(t, err)
		root, err := lamppost.ParseHash(p.Root)
		must(t, err)
		var proof tlog.RecordProof
		for _, text := range p.Path {
			step, err := lamppost.ParseHash(text)
			must(t, err)
			proof = append(proof, tlog.Hash(step))
		}
		if err := tlog.CheckRecord(proof, p.Size, tlog.Hash(root), p.LeafIndex, tlog.RecordHash(leaf)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if p.LeafHash != lamppost.Hash(tlog.RecordHash(leaf)).String() || !strings.HasPrefix(p.Checkpoint, "street/north\n") {
			t.Errorf("%s: leaf hash %s, checkpoint %q", path, p.LeafHash, p.Checkpoint)
		}
	}
	h.refused(404, "not_found", "GET", "/api/log/proof?height=99", nil)
	h.refused(404, "not_found", "GET", "/api/log/proof?height=3&index=2", nil)
	h.refused(400, "bad_request", "GET", "/api/log/proof", nil)
}

// Nothing but what is meant to be public answers without the token: not with none, a wrong one, one in the wrong place,
// nor the token as the cookie or the cookie as the token. It walks the table, so a new route cannot be forgotten.
func TestDeniedByDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	patterns, who := h.server.Routes()
	patterns = append(patterns, "GET /metrics", "GET /api/", "GET /api/nothing", "PUT /api/status", "POST /api/log/proof")
	cookie := login(t, h)
	attempts := map[string]func(*http.Request){
		"nothing":             func(*http.Request) {},
		"a wrong token":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken[:31]+"0") },
		"an empty token":      func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") },
		"basic auth":          func(r *http.Request) { r.SetBasicAuth("admin", adminToken) },
		"a query":             func(r *http.Request) { r.URL.RawQuery = "token=" + adminToken },
		"the token as cookie": func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "lamppost", Value: adminToken}) },
		"the cookie as token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+cookie.Value) },
		"an empty cookie":     func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "lamppost"}) },
		"a wrong token beside the cookie": func(r *http.Request) {
			r.AddCookie(cookie)
			r.Header.Set("Authorization", "Bearer x")
		},
	}
	closed := 0
	for _, pattern := range patterns {
		if who[pattern] == "public" {
			continue
		}
		closed++
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "meter", "{number}", "a-000001", "{party}", "tenant", "{device}", "meter", "{epoch}", "1", "{n}", "1").Replace(path)
		for name, dress := range attempts {
			req := httptest.NewRequest(method, path, strings.NewReader("{}"))
			dress(req)
			w := httptest.NewRecorder()
			h.handler.ServeHTTP(w, req)
			var e api.Error
			if json.Unmarshal(w.Body.Bytes(), &e) != nil || w.Code != 401 || e.Code != "unauthorized" {
				t.Errorf("%s with %s: %d %q, want 401", pattern, name, w.Code, w.Body)
			}
		}
	}
	if closed < 25 {
		t.Errorf("only %d closed routes were tried", closed)
	}
}

func login(t *testing.T, h *house) *http.Cookie {
	t.Helper()
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest("GET", "/login?token="+adminToken, nil))
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("login: %d %v", w.Code, w.Header())
	}
	if c := cookies[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Name != "lamppost" || strings.Contains(c.String(), adminToken) {
		t.Fatalf("cookie %q", c)
	}
	return cookies[0]
}

// The cookie opens the API, but not for what another site's page sends.
func TestCookie(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cookie := login(t, h)
	ask := func(method, site string) int {
		req := httptest.NewRequest(method, "/api/parties", strings.NewReader(`{"id":"p-`+site+`"}`))
		req.AddCookie(cookie)
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		return w.Code
	}
	for _, c := range []struct {
		method, site string
		want         int
	}{{"GET", "", 200}, {"GET", "cross-site", 200}, {"POST", "same-origin", 201}, {"POST", "cross-site", 403}, {"POST", "same-site", 403}} {
		if got := ask(c.method, c.site); got != c.want {
			t.Errorf("%s from %q: %d, want %d", c.method, c.site, got, c.want)
		}
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest("GET", "/login?token=wrong", nil))
	if w.Code != 401 || len(w.Result().Cookies()) != 0 {
		t.Errorf("login with a wrong token: %d", w.Code)
	}
	for _, path := range []string{"/", "/static/app.js", "/healthz", "/readyz", "/network.pin"} {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 {
			t.Errorf("%s without a token: %d", path, w.Code)
		}
	}
	if _, err := api.New(api.Config{AdminToken: ""}); err == nil {
		t.Error("a server without a token is made")
	}
	for path, want := range map[string]string{"/check/": "check with network " + network + "\nquorum 1\nmember ", "/check": "/check/", "/check/x": `no page \"/check/x\"`} {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s without a token: %d %q, want %q in it", path, w.Code, got, want)
		}
	}
}

// Bodies are read strictly, and a refusal names what is wrong.
func TestStrictBodies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct {
		path, body string
		status     int
		code, text string
	}{
		{"/api/parties", `{"id":"a","nmae":"A"}`, 400, "bad_request", `"nmae"`},
		{"/api/parties", `{"id":"a","credit_limit":12}`, 400, "bad_request", `"credit_limit" is a JSON number; expected a decimal number as a string`},
		{"/api/parties", `{"id":"a","credit_limit":"12,3"}`, 400, "bad_request", "12,3"},
		{"/api/parties", `{"id":"a"} {"id":"b"}`, 400, "bad_request", "after the JSON value"},
		{"/api/parties", ``, 400, "bad_request", "empty"},
		{"/api/parties", `[]`, 400, "bad_request", "expected an object"},
		{"/api/parties", `{"id":`, 400, "bad_request", "cut short"},
		{"/api/parties", `{"id":"` + strings.Repeat("a", api.MaxBody) + `"}`, 413, "too_large", "1048576"},
		{"/api/parties", `{"id":"a b"}`, 400, "bad_transaction", `"a b"`},
		{"/api/points", `{"id":"p","device":"none","register":"energy","unit":"Wh"}`, 422, "unknown", `"none"`},
		{"/api/invoices", `{"seller":"a","buyer":"b","currency":"EUR","from_ms":0,"to_ms":900000}`, 409, "not_ready", "supplied nothing"},
		{"/api/invoices", `{"from_ms":"yesterday"}`, 400, "bad_request", "milliseconds since 1970"},
		{"/api/devices", `{"id":"d","owner":"nobody"}`, 422, "unknown", `"nobody"`},
		{"/api/devices", `{"id":"d","owner":"nobody","safety":"reckless"}`, 400, "bad_transaction", `"reckless"`},
		{"/api/devices/none/token", ``, 404, "not_found", `"none"`},
	} {
		if e := h.refused(c.status, c.code, "POST", c.path, c.body); !strings.Contains(e.Text, c.text) {
			t.Errorf("%s %.60s: %q does not say %q", c.path, c.body, e.Text, c.text)
		}
	}
	h.ok(201, "POST", "/api/parties", `{"id":"a"}`, nil)
	h.refused(409, "exists", "POST", "/api/parties", `{"id":"a"}`)
	h.refused(404, "not_found", "GET", "/api/nothing", nil)
}

// Every code has an HTTP status that is a refusal, and errors of consensus say whether anything was done.
func TestErrorStatuses(t *testing.T) {
	t.Parallel()
	for i, name := range lamppost.CodeNames() {
		code := lamppost.Code(i)
		if code.Accepted() {
			continue
		}
		if status := api.StatusOf[code]; status < 400 || status > 599 {
			t.Errorf("code %s has status %d", name, status)
		}
	}
	for err, want := range map[error]int{
		consensus.ErrBusy: 503, consensus.ErrTooLarge: 413, consensus.ErrStopped: 504, context.DeadlineExceeded: 504,
		&consensus.NotLeaderError{Leader: "m"}: 503, errors.New("disk on fire"): 500,
		lamppost.Refuse(lamppost.CodeNoFunds, "x"): 409,
	} {
		if got := api.AnswerStatus(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// Tokens: only the right pair gets in, a new token voids the old one, and what is kept is enough after a restart.
func TestTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	var first, second api.DeviceToken
	h.ok(201, "POST", "/api/devices", `{"id":"lamp","owner":"owner"}`, &first)
	h.refused(409, "exists", "POST", "/api/devices", `{"id":"lamp","owner":"owner"}`)
	h.refused(409, "exists", "POST", "/api/devices", `{"id":"owner","owner":"owner"}`)
	if len(first.Token) != 32 || first.MQTT != "127.0.0.1:1883" {
		t.Errorf("%+v", first)
	}
	admits := func(token string) bool {
		id, err := h.devices.Authenticate("lamp", token, nil)
		if (err == nil) != (id == "lamp") {
			t.Fatalf("id %q with error %v", id, err)
		}
		return err == nil
	}
	if !admits(first.Token) || admits("") || admits(first.Token[:31]) || admits(first.Token+"0") {
		t.Error("tokens are not told apart")
	}
	if _, err := h.devices.Authenticate("other", first.Token, nil); err == nil {
		t.Error("another device comes in with this token")
	}
	h.ok(201, "POST", "/api/devices/lamp/token", nil, &second)
	if admits(first.Token) || !admits(second.Token) {
		t.Error("a new token does not replace the old one")
	}
	h.serve(h.live) // opens the devices again
	if admits(first.Token) || !admits(second.Token) {
		t.Error("after a restart")
	}
	var list api.DeviceList
	h.ok(200, "GET", "/api/devices", nil, &list)
	if len(list.Devices) != 0 || len(list.Pending) != 1 || list.Pending[0].ID != "lamp" || list.Pending[0].Safety != "essential" {
		t.Errorf("%+v", list)
	}
}

// A token enrols one key, as often as asked; another key takes another token and gets the next key epoch.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := context.Background()
	one, two := deviceKey(t, "one").Public().Bytes(), deviceKey(t, "two").Public().Bytes()
	enrol := func(key []byte) (uint32, error) {
		return h.devices.Enrol(ctx, "lamp", api.NewKey{Suite: sig.EdDSA, Key: key})
	}
	want := func(key []byte, epoch uint32, code lamppost.Code) {
		t.Helper()
		got, err := enrol(key)
		var refusal *lamppost.Refusal
		if errors.As(err, &refusal) {
			if refusal.Code != code {
				t.Errorf("refused with %v, want %v", err, code)
			}
		} else if err != nil || got != epoch || code != lamppost.CodeOK {
			t.Errorf("epoch %d, %v, want %d and %v", got, err, epoch, code)
		}
	}
	want(one, 0, lamppost.CodeUnknown)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	h.ok(201, "POST", "/api/devices", `{"id":"lamp","owner":"owner","safety":"public"}`, nil)
	want([]byte("short"), 0, lamppost.CodeBadTx)
	if _, err := h.devices.Enrol(ctx, "lamp", api.NewKey{Suite: sig.HMAC256, Key: make([]byte, 32)}); err == nil {
		t.Error("a shared secret is put on the ledger")
	}
	want(one, 1, lamppost.CodeOK)
	height := h.engine.Status().Height
	want(one, 1, lamppost.CodeOK)
	if h.engine.Status().Height != height {
		t.Error("the same enrolment again makes another block")
	}
	want(two, 0, lamppost.CodeExists)
	h.ok(201, "POST", "/api/devices/lamp/token", nil, nil)
	h.serve(h.live)
	want(two, 2, lamppost.CodeOK)
	want(one, 0, lamppost.CodeExists)
	var d api.DeviceDetail
	h.ok(200, "GET", "/api/devices/lamp", nil, &d)
	if d.KeyEpoch != 2 || d.Safety != "public" || d.Suite != "ed25519" || d.Assurance != "device-signed" {
		t.Errorf("%+v", d)
	}
}

// An HMAC key is shared with this node and enrolled by a digest: the ledger, the log and the API never show it, after a
// restart it is still known, and a new token takes a new key.
func TestEnrolShared(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.devices.VouchAs("north")
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	h.ok(201, "POST", "/api/devices", `{"id":"fan","owner":"owner"}`, nil)
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	enrol := func(key []byte) (uint32, error) {
		return h.devices.Enrol(context.Background(), "fan", api.NewKey{Suite: sig.HMAC256, Key: key})
	}
	check := func(key []byte, epoch uint32, known bool) {
		t.Helper()
		v, ok := h.rep.Vouch("fan")
		if !ok || v.Epoch != epoch || v.Assurance != lamppost.GatewayVouched || v.Gateway != "north" || v.Key != nil {
			t.Fatalf("on the ledger: %+v, %t", v, ok)
		}
		k := h.devices.SharedKey("fan", v.Epoch, v.Salt, v.Commitment)
		if got := k != nil && bytes.Equal(k.Bytes(), key); got != known {
			t.Errorf("the key is known: %t, want %t", got, known)
		}
	}
	for range 2 { // again is the same
		if epoch, err := enrol(one); epoch != 1 || err != nil {
			t.Fatalf("enrolled with epoch %d, %v", epoch, err)
		}
	}
	check(one, 1, true)
	check(two, 1, false)
	if _, err := enrol(two); err == nil {
		t.Error("a token enrols two keys")
	}
	check(one, 1, true)
	h.serve(h.live)
	h.devices.VouchAs("north")
	check(one, 1, true)
	must(t, h.store.Scan([]byte{0}, nil, func(k, v []byte) error {
		if bytes.Contains(v, one) && string(k) != "nKfan" {
			t.Errorf("the key stands under %q", k)
		}
		return nil
	}))
	var d api.DeviceDetail
	h.ok(200, "GET", "/api/devices/fan", nil, &d)
	if d.Assurance != "gateway-vouched" || d.Suite != "hmac-sha256" {
		t.Errorf("shown as %s, %s", d.Assurance, d.Suite)
	}
	h.ok(201, "POST", "/api/devices/fan/token", nil, nil)
	if epoch, err := enrol(two); epoch != 2 || err != nil {
		t.Errorf("enrolled with epoch %d, %v", epoch, err)
	}
	check(two, 2, true)
	v, _ := h.rep.Vouch("fan")
	former := v.Former
	if k := h.devices.SharedKey("fan", 1, former.Salt, former.Commitment); k == nil || !bytes.Equal(k.Bytes(), one) {
		t.Error("the key before, which still counts, is not known any more")
	}
}

// The published log is served to everybody as C2SP tlog-tiles asks: tiles to be kept for ever, the checkpoint for a moment,
// pages of any origin, and nothing else of the folder.
func TestLogFiles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	note, _, _, err := h.checkpoint()
	must(t, err)
	must(t, h.files.Put(tilelog.File{Path: "tile/0/000.p/2.tmp", Data: []byte("half")}))
	get := func(path string) *http.Response {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Result()
	}
	for path, want := range map[string]string{
		"/log/checkpoint":           "200 public, max-age=1 text/plain; charset=utf-8 *",
		"/log/tile/0/000.p/2":       "200 public, max-age=31536000, immutable application/octet-stream *",
		"/log/tile/entries/000.p/2": "200 public, max-age=31536000, immutable application/octet-stream *",
		"/log/tile/0/001":           "404 no-store application/json ",
		"/log/tile/0/000.p/2.tmp":   "404 no-store application/json ",
		"/log/":                     "404 no-store application/json ",
	} {
		r := get(path)
		h := r.Header
		got := fmt.Sprintf("%d %s %s %s", r.StatusCode, h.Get("Cache-Control"), h.Get("Content-Type"), h.Get("Access-Control-Allow-Origin"))
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	body, err := io.ReadAll(get("/log/checkpoint").Body)
	if err != nil || string(body) != note {
		t.Errorf("checkpoint %q, %v; want %q", body, err, note)
	}
}
