package checkpage_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/checkpage"
)

func full(t testing.TB) checkpage.Content {
	return checkpage.Content{File: example(t, "statement.json"), Pin: string(example(t, "network.pin")), Version: `v1 "<&>`}
}

// What was put into a page comes out of it, and the page is known as this program's own.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, want := range []checkpage.Content{full(t), {}, {Version: "v1"}} {
		page := want.Page()
		got, own, err := checkpage.Read(page)
		if err != nil || !own || !bytes.Equal(got.File, want.File) || got.Pin != want.Pin || got.Version != want.Version {
			t.Errorf("Read = %.60q, pin %q, version %q, own %t, %v; want what was put in", got.File, got.Pin, got.Version, own, err)
		}
		if !checkpage.IsPage(page) || checkpage.IsPage(want.File) {
			t.Error("a page is not told from a file")
		}
	}
}

// A page whose checker, script or markup was changed is not this program's, and the bill in it can be had all the same.
func TestReadOfAnother(t *testing.T) {
	t.Parallel()
	want := full(t)
	page := string(want.Page())
	for _, change := range [][2]string{
		{`'wasm-unsafe-eval'`, `'wasm-unsafe-eval' 'unsafe-inline'`}, {`answer.holds &&`, `true &&`}, {`<title>Check`, `<title>check`},
		{`id="wasm">H4sI`, `id="wasm">H4sJ`}, {checkpage.Checker(), strings.Repeat("0", 64)}, {"</html>", "</html><p>all is well"},
		{`v1 &#34;`, `v1 "`}, {"async function run", "async  function run"},
	} {
		changed := strings.Replace(page, change[0], change[1], 1)
		if changed == page {
			t.Fatalf("%q is not in the page", change[0])
		}
		got, own, err := checkpage.Read([]byte(changed))
		if own || err != nil || !bytes.Equal(got.File, want.File) {
			t.Errorf("with %q: own %t, %v, %.40q", change[1], own, err, got.File)
		}
		if got.Pin != "" {
			t.Errorf("with %q: a pin is taken from a page that is not ours", change[1])
		}
	}
	for _, bad := range []string{"<!doctype html>", `<!doctype html><script type="text/plain" id="file">!</script>`,
		`<!doctype html><script type="text/plain" id="file">AAAA</script>`, `<!doctype html><script type="text/plain" id="file">H4sIAAAA</script>`} {
		if _, own, err := checkpage.Read([]byte(bad)); err == nil || own {
			t.Errorf("%q is read: own %t", bad, own)
		}
	}
}

// FuzzRead: whatever a page holds, reading it does not panic, and of a page that is called this program's own this program
// makes one with the same content.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`<!doctype html><script type="text/plain" id="file">H4sIAAAAAAAA/6uuBQBDv6ajAgAAAA==</script>`))
	f.Add(checkpage.Content{}.Page())
	f.Fuzz(func(t *testing.T, page []byte) {
		c, own, err := checkpage.Read(page)
		if !own {
			return
		}
		again, own, err2 := checkpage.Read(c.Page())
		if !own || err != nil || err2 != nil || !bytes.Equal(again.File, c.File) || again.Pin != c.Pin || again.Version != c.Version {
			t.Errorf("a page is called our own that is not: %v, %v", err, err2)
		}
	})
}

// A page is served to everybody, with what only a header can say, and again only where it changed.
func TestServe(t *testing.T) {
	t.Parallel()
	ask := func(c checkpage.Content, method, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/check/", nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		c.Serve(w, r)
		return w
	}
	c := full(t)
	w := ask(c, http.MethodGet, "")
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), c.Page()) || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("GET: %d, %d bytes, Content-Length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	etag := w.Header().Get("ETag")
	if w := ask(c, http.MethodGet, etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("with the same ETag: %d with %d bytes, want 304", w.Code, w.Body.Len())
	}
	if w := ask(c, http.MethodHead, ""); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes, want 200 without", w.Code, w.Body.Len())
	}
	c.Pin += "# new"
	if w := ask(c, http.MethodGet, etag); w.Code != http.StatusOK {
		t.Errorf("with another pin: %d, want 200", w.Code)
	}
}

// The page's policy allows nothing but what is in the page: a request, a form or a frame has no way out.
func TestPolicy(t *testing.T) {
	t.Parallel()
	page := string(checkpage.Content{}.Page())
	m := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page has no policy")
	}
	if before, _, _ := strings.Cut(page, m[0]); strings.Contains(before, "<script") || strings.Contains(before, "<style") {
		t.Error("something runs before the policy holds")
	}
	for _, directive := range strings.Split(m[1], "; ") {
		name, value, _ := strings.Cut(directive, " ")
		allowed := map[string]string{"default-src": `^'none'$`, "script-src": `^('sha256-[A-Za-z0-9+/=]+' ){2}'wasm-unsafe-eval'$`, "style-src": `^'sha256-[A-Za-z0-9+/=]+'$`,
			"img-src": `^data:$`, "worker-src": `^blob:$`, "base-uri": `^'none'$`, "form-action": `^'none'$`, "require-trusted-types-for": `^'script'$`, "trusted-types": `^lamppost$`}
		if pattern := allowed[name]; pattern == "" || !regexp.MustCompile(pattern).MatchString(value) {
			t.Errorf("the policy says %q", directive)
		}
	}
	for what, pattern := range map[string]string{"another host": `(src|href)="(https?:)?//`, "text parsed as markup": `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser`,
		"a script or style in the markup": `\son[a-z]+="|\sstyle="`, "money as a float": `parseFloat`, "a request": `\bfetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource|import\(`} {
		for _, name := range []string{"page.html", "check.css", "js/check.js", "js/bill.js", "js/pin.js", "js/worker.js", "js/engine.js"} {
			text, err := os.ReadFile("static/" + name)
			must(t, err)
			if found := regexp.MustCompile(pattern).FindString(string(text)); found != "" {
				t.Errorf("%s: %s: %q", name, what, found)
			}
		}
	}
}

// The page refuses early what the checker would refuse: both know the same limits.
func TestLimitsOfThePage(t *testing.T) {
	t.Parallel()
	page := string(checkpage.Content{}.Page())
	for name, want := range map[string]int{"fileLimit": audit.MaxFileBytes, "pinLimit": audit.MaxPinBytes} {
		if text := "const " + name + " = " + strconv.Itoa(want) + ";"; !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
}
