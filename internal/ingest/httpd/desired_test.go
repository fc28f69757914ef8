package httpd_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
)

// A device that asks is told at once, and with the tag of what it knows only when something else is desired: time that passes is nothing else.
func TestDesired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		message, changed := `{"level":60,"revision":1,"left_ms":60000}`, make(chan struct{})
		set := func(m string) {
			mu.Lock()
			defer mu.Unlock()
			message = m
			close(changed)
			changed = make(chan struct{})
		}
		h := httpd.Handler(httpd.Config{Auth: auth, Submit: accepting(), Desired: func(lamppost.DeviceID) ([]byte, <-chan struct{}, error) {
			mu.Lock()
			defer mu.Unlock()
			return []byte(message), changed, nil
		}})
		ask := func(password, query, tag string) *httptest.ResponseRecorder {
			req := httptest.NewRequest("GET", "/v1/desired"+query, nil)
			req.SetBasicAuth("m1", password)
			req.Header.Set("If-None-Match", tag)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			return w
		}
		first := ask("token", "", "")
		tag := first.Header().Get("ETag")
		if first.Code != http.StatusOK || first.Body.String() != message || tag == "" {
			t.Fatalf("told %d %s, tag %q", first.Code, first.Body, tag)
		}
		set(`{"level":60,"revision":1,"left_ms":30000}`)
		start := time.Now()
		if w := ask("token", "?wait=20", tag); w.Code != http.StatusNotModified || time.Since(start) != 20*time.Second {
			t.Errorf("the same, with less time left: %d after %v", w.Code, time.Since(start))
		}
		go func() {
			time.Sleep(5 * time.Second)
			set(`{"revision":2}`)
		}()
		start = time.Now()
		if w := ask("token", "?wait=20", tag); w.Code != http.StatusOK || w.Body.String() != `{"revision":2}` || time.Since(start) != 5*time.Second {
			t.Errorf("something else: %d %s after %v", w.Code, w.Body, time.Since(start))
		}
		if w := ask("token", "?wait=soon", ""); w.Code != http.StatusBadRequest {
			t.Errorf("a wait that is no number: %d", w.Code)
		}
		if w := ask("stranger", "", ""); w.Code != http.StatusUnauthorized {
			t.Errorf("a stranger: %d", w.Code)
		}
	})
}
