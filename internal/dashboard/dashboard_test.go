package dashboard_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/dashboard"
)

func answer(t *testing.T, method, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header = header
	w := httptest.NewRecorder()
	dashboard.Handler().ServeHTTP(w, r)
	return w
}

// Every embedded file is served under its name with its kind and the headers that keep a page to its own node; nothing
// else is.
func TestHandlerServesTheFiles(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{"/": "text/html", "/static/app.css": "text/css", "/static/js/app.js": "text/javascript",
		"/static/favicon.svg": "image/svg+xml", "/static/vendor/uplot/LICENSE": "text/plain", "/static/vendor/uplot/uPlot.iife.min.js": "text/javascript"}
	for path, kind := range kinds {
		w := answer(t, http.MethodGet, path, nil)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Body.Len() == 0 {
			t.Errorf("%s: %d, %q, %d bytes; want 200, %s", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len(), kind)
		}
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: policy %q, sniffing %q", path, csp, w.Header().Get("X-Content-Type-Options"))
		}
	}
	for _, path := range []string{"/static/", "/static", "/static/index.html", "/static/../dashboard.go", "/nothing", "/static/js/", "/api/status"} {
		if w := answer(t, http.MethodGet, path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
	if w := answer(t, http.MethodPost, "/", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q, want 405", w.Code, w.Header().Get("Allow"))
	}
	if w := answer(t, http.MethodHead, "/", nil); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes, want 200 without", w.Code, w.Body.Len())
	}
}

// A browser keeps its copy as long as the file is the same, and asks each time.
func TestHandlerAnswersForKeptCopies(t *testing.T) {
	t.Parallel()
	first := answer(t, http.MethodGet, "/static/app.css", nil)
	etag := first.Header().Get("ETag")
	if etag == "" || etag == answer(t, http.MethodGet, "/static/js/app.js", nil).Header().Get("ETag") {
		t.Fatalf("ETag %q says nothing of the content", etag)
	}
	if got := first.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control %q, want no-cache", got)
	}
	if w := answer(t, http.MethodGet, "/static/app.css", http.Header{"If-None-Match": {etag}}); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("with the same ETag: %d with %d bytes, want 304", w.Code, w.Body.Len())
	}
	if w := answer(t, http.MethodGet, "/static/app.css", http.Header{"If-None-Match": {`"old"`}}); w.Code != http.StatusOK {
		t.Errorf("with an old ETag: %d, want 200", w.Code)
	}
}

// What we wrote names no other host, has no script or style in the markup, and never parses text as markup.
func TestOurFilesStayAtHome(t *testing.T) {
	t.Parallel()
	forbidden := map[string]*regexp.Regexp{
		"another host":          regexp.MustCompile(`(https?:)?//[a-zA-Z0-9-]+\.[a-z]`),
		"text parsed as markup": regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser`),
		"a script in a page":    regexp.MustCompile(`<script(?:[^>]*)>[^<]|\son[a-z]+="|<style|\sstyle="`),
		"money as a float":      regexp.MustCompile(`parseFloat`),
		"the browser's storage": regexp.MustCompile(`localStorage|sessionStorage|indexedDB`),
	}
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		content, err := fs.ReadFile(os.DirFS("static"), name)
		text := strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", "") // the name of a language, never fetched
		for what, pattern := range forbidden {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s: %s: %q", name, what, found)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
