package httpd_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
)

// deals answers what it is told to, and remembers who asked for what.
type deals struct {
	err   error
	asked []string
}

func (d *deals) said(what string) (any, error) {
	d.asked = append(d.asked, what)
	return map[string]string{"outcome": "ok"}, d.err
}

func (d *deals) Offers(id lamppost.DeviceID) (any, error) { return d.said("offers to " + string(id)) }
func (d *deals) Offer(_ context.Context, id lamppost.DeviceID, b lamppost.OfferBody) (any, error) {
	return d.said(string(id) + " offers " + b.ID)
}
func (d *deals) Accept(_ context.Context, id lamppost.DeviceID, b lamppost.AcceptBody) (any, error) {
	return d.said(string(id) + " accepts " + b.Offer)
}
func (d *deals) Session(_ context.Context, id lamppost.DeviceID, session string, settle bool) (any, error) {
	if settle {
		return d.said(string(id) + " settles " + session)
	}
	return d.said(string(id) + " asks for " + session)
}

// What a device says to others reaches the ledger in the name under which it logged in; a refusal is told, the node's own fault is not; and
// no device fills the log: 60 orders in a minute, and no more until that is over.
func TestDeals(t *testing.T) {
	t.Parallel()
	d, now := &deals{}, time.Unix(1_800_000_000, 0)
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: accepting(), Deals: d, Now: func() time.Time { return now }})
	ask := func(token, method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.SetBasicAuth("meter", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, path, body string
		err                error
		status             int
		said, asked        string
	}{
		{"GET", "/v1/offers", "", nil, http.StatusOK, `"ok"`, "offers to meter"},
		{"POST", "/v1/offers", `{"id":"o"}`, nil, http.StatusOK, `"ok"`, "meter offers o"},
		{"POST", "/v1/sessions", `{"offer":"o"}`, nil, http.StatusOK, `"ok"`, "meter accepts o"},
		{"GET", "/v1/sessions/s", "", nil, http.StatusOK, `"ok"`, "meter asks for s"},
		{"POST", "/v1/sessions/s/settle", "{}", nil, http.StatusOK, `"ok"`, "meter settles s"},
		{"POST", "/v1/sessions", `{"offer":`, nil, http.StatusBadRequest, "bad_transaction", ""},
		{"POST", "/v1/offers", `[]`, nil, http.StatusBadRequest, "bad_transaction", ""},
		{"POST", "/v1/sessions", strings.Repeat("x", 9000), nil, http.StatusRequestEntityTooLarge, "too_large", ""},
		{"POST", "/v1/sessions", `{}`, lamppost.Refuse(lamppost.CodeNoFunds, "beyond the limit"), http.StatusConflict, "beyond the limit", "meter accepts "},
		{"POST", "/v1/sessions", `{}`, lamppost.Refuse(lamppost.CodeExpired, "over"), http.StatusConflict, "expired", "meter accepts "},
		{"POST", "/v1/sessions/s/settle", `{}`, lamppost.Refuse(lamppost.CodeNotReady, "no reading"), http.StatusServiceUnavailable, "not_ready", "meter settles s"},
		{"POST", "/v1/sessions", `{}`, context.DeadlineExceeded, http.StatusServiceUnavailable, "busy", "meter accepts "},
		{"POST", "/v1/sessions", `{}`, errors.New("the disk"), http.StatusInternalServerError, "internal", "meter accepts "},
	} {
		d.err, d.asked = c.err, nil
		w := ask("token", c.method, c.path, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.said) || strings.Contains(w.Body.String(), "the disk") || strings.Join(d.asked, ",") != c.asked {
			t.Errorf("%s %s %.20s: %d %s, asked %q", c.method, c.path, c.body, w.Code, w.Body, d.asked)
		}
	}
	if w := ask("wrong", "POST", "/v1/sessions", `{}`); w.Code != http.StatusUnauthorized {
		t.Errorf("a wrong token is answered %d", w.Code)
	}
	d.err = nil
	more := 0
	for ask("token", "POST", "/v1/sessions", `{}`).Code == http.StatusOK {
		more++
	}
	if w := ask("token", "POST", "/v1/offers", `{}`); more != 60-11 || w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("after %d more it is answered %d", more, w.Code)
	}
	if w := ask("token", "GET", "/v1/offers", ""); w.Code != http.StatusOK {
		t.Errorf("reading is answered %d", w.Code)
	}
	now = now.Add(time.Minute)
	if w := ask("token", "POST", "/v1/sessions", `{}`); w.Code != http.StatusOK {
		t.Errorf("a minute later it is answered %d", w.Code)
	}
}
