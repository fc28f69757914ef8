package render_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/render"
)

// The page is never wider than the screen, in any language; it keeps WCAG 2.2 AA as far as axe-core can tell, in both schemes;
// and it asks nobody for anything.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	p := newHouse(t).page()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveBill(t, p, w, r) }))
	t.Cleanup(server.Close)
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for i, lang := range append(render.Languages(), "de-CH") {
			tab := browsertest.Open(t, ctx, server.URL, size)
			tab.Prefer([]string{"light", "dark"}[i%2])
			for _, path := range []string{"one", "all"} {
				tab.Visit(path+"?lang="+lang, "#proof")
				if over := browsertest.Value[[]string](tab, browsertest.Overflow); len(over) > 0 {
					t.Errorf("%s, %s at %d: wider than the screen: %q", path, lang, size[0], over)
				}
				if i < 2 && path == []string{"one", "all"}[i] { // light, dark
					for _, v := range tab.Violations() {
						t.Errorf("%s, %s at %d: %s", path, lang, size[0], v)
					}
				}
				if *screens != "" {
					tab.Shoot(filepath.Join(*screens, fmt.Sprintf("%s-%s-%d.png", path, lang, size[0])))
				}
			}
			for _, asked := range tab.Asked() {
				if !strings.Contains(asked, "?lang=") && !strings.HasSuffix(asked, "/favicon.ico") {
					t.Errorf("%s: the page asks for %q", lang, asked)
				}
			}
		}
	}
}

func serveBill(t *testing.T, p *render.Page, w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/one" {
		p = must(p.Only("ST-000042"))(t)
	}
	if d, err := p.Render("html", r.URL.Query().Get("lang")); err == nil {
		w.Header().Set("Content-Type", d.Type)
		_, _ = w.Write(d.Data)
	}
}

// The check of accessibility itself can fail.
func TestViolations(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>x</title><body><p id=p style="color:#aaa">pale<img src="data:,">`)
	}))
	t.Cleanup(server.Close)
	tab := browsertest.Open(t, ctx, server.URL, browsertest.Phone)
	tab.Visit("", "#p")
	found := strings.Join(tab.Violations(), "\n")
	for _, rule := range []string{"color-contrast", "image-alt", "html-has-lang"} {
		if !strings.Contains(found, rule) {
			t.Errorf("%s is not found in %s", rule, found)
		}
	}
}
