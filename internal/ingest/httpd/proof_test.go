package httpd_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
)

// A device is given proofs of its own reports only, is told when there are none yet, and who asks for nonsense is told so.
func TestProof(t *testing.T) {
	t.Parallel()
	var of lamppost.DeviceID
	var asked []lamppost.Seq
	var answer error
	h := httpd.Handler(httpd.Config{Auth: auth, Submit: accepting(), Prove: func(id lamppost.DeviceID, seqs []lamppost.Seq) ([]byte, error) {
		of, asked = id, seqs
		return []byte("proof"), answer
	}})
	get := func(token, query string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/v1/proof"+query, nil)
		r.SetBasicAuth("meter", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := get("token", "?report=1/5&report=2/18446744073709551615"); w.Code != http.StatusOK || w.Body.String() != "proof" || of != "meter" ||
		!slices.Equal(asked, []lamppost.Seq{{Epoch: 1, N: 5}, {Epoch: 2, N: 1<<64 - 1}}) {
		t.Errorf("%d %s: asked for %v of %q", w.Code, w.Body, asked, of)
	}
	for _, c := range []struct {
		token, query string
		err          error
		status       int
		code         string
	}{
		{"wrong", "?report=1/5", nil, http.StatusUnauthorized, "unauthorized"},
		{"token", "", nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?report=5", nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?report=1/5x", nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?report=4294967296/5", nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?report=1/-5", nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?" + strings.Repeat("report=1/5&", lamppost.RecentIDs+1), nil, http.StatusBadRequest, "bad_transaction"},
		{"token", "?report=1/5", lamppost.Refuse(lamppost.CodeNotReady, "not yet"), http.StatusServiceUnavailable, "not_ready"},
		{"token", "?report=1/5", errors.New("the disk"), http.StatusInternalServerError, "internal"},
	} {
		answer = c.err
		if w := get(c.token, c.query); w.Code != c.status || !strings.Contains(w.Body.String(), `"`+c.code+`"`) {
			t.Errorf("%q %v: %d %s, want %d %s", c.query, c.err, w.Code, w.Body, c.status, c.code)
		}
	}
}
