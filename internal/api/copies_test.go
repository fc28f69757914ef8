package api_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/render"
)

// A statement can be had in every format and language, as a file with a name; what there is not is the caller's mistake, and
// strangers get none.
func TestCopies(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	for _, c := range []struct{ query, kind, name, holds string }{
		{"format=html&lang=de", "text/html; charset=utf-8", "invoice-landlord-000001.html", "Rechnung landlord-000001"},
		{"format=pdf&lang=fr-CH", "application/pdf", "invoice-landlord-000001.pdf", "%PDF-"},
		{"format=csv&invoice=landlord-000001", "text/csv; charset=utf-8; header=present", "invoice-landlord-000001.csv", "3.57"},
		{"format=xml", "application/xml", "invoice-landlord-000001.xml", "urn:cen.eu:en16931:2017"},
		{"format=json", "application/json", "statement.json", "statement/1"},
	} {
		w := h.fetch("/api/statements/tenant?"+c.query, adminToken)
		if w.Code != 200 || w.Header().Get("Content-Type") != c.kind || w.Header().Get("Content-Disposition") != `attachment; filename="`+c.name+`"` ||
			!bytes.Contains(w.Body.Bytes(), []byte(c.holds)) {
			t.Errorf("%s: %d %v %.300s", c.query, w.Code, w.Header(), w.Body)
		}
	}
	for query, hint := range map[string]string{"format=docx": "html, pdf, csv, xml", "format=html&lang=tlh": "en, de, es, fr, nl", "format=pdf&invoice=landlord-9": "no invoice",
		"lang=de": "?format="} {
		if e := h.refused(400, "bad_request", "GET", "/api/statements/tenant?"+query, nil); !strings.Contains(e.Text, hint) {
			t.Errorf("%s: %q does not say %q", query, e.Text, hint)
		}
	}
	h.refused(404, "not_found", "GET", "/api/statements/nobody?format=pdf", nil)
	if w := h.fetch("/api/statements/tenant?format=pdf", "wrong"); w.Code != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d", w.Code)
	}
}

// What the operator knows of the parties stands on the copies.
func TestCopiesShowDetails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.details = render.Details{"tenant": {Lang: "nl", City: "Utrecht", Country: "NL"}}
	h.serve(h.live)
	h.settle()
	h.bill()
	if w := h.fetch("/api/statements/tenant?format=html", adminToken); !strings.Contains(w.Body.String(), "Factuur landlord-000001") || !strings.Contains(w.Body.String(), "Utrecht") {
		t.Errorf("%d %.2000s", w.Code, w.Body)
	}
}

func (h *house) fetch(path, token string) *httptest.ResponseRecorder {
	req := httptest.NewRequest("GET", path, nil)
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	return w
}
