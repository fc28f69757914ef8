// Package dashboard is the pages people look at: the fleet, one device, the log, the bills. It promises that a browser
// needs nothing but this node: every file is embedded, no page asks another host for anything, and no figure is computed
// from money in the browser, only shown.
//
// It holds no data and decides nothing: the pages fetch what they show from package api and ask for the administrator's
// token where it answers 401. Everything served here is public and the same for everyone.
//
// Start reading at [Handler], then static/js/app.js (which page is shown and how it stays current). static/js/merkle.js
// is the check of a proof that runs in the browser. vendor/ holds the one library, uPlot, with its licence.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed static
var files embed.FS

// policy lets a page load from its own node only and run no script that stands in a page: free text of a device or a
// party that found its way into the markup still could not run.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// A file is one embedded file, ready to be served.
type file struct {
	content []byte
	kind    string // Content-Type
	etag    string
}

// Handler serves the shell at / and its parts at /static/; every other path is not found. The pages' routes are behind
// the #, so the node never sees them. It may be called from many goroutines.
func Handler() http.Handler {
	served, err := load(files)
	if err != nil {
		panic(fmt.Sprintf("dashboard: reading the embedded files: %v", err)) // they were embedded by the build
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the dashboard is only read: use GET", http.StatusMethodNotAllowed)
			return
		}
		f.serve(w, r)
	})
}

// load reads all files once: by the path they are served under.
func load(files fs.FS) (map[string]*file, error) {
	served := make(map[string]*file)
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		served["/"+name] = newFile(name, content)
		return err
	})
	served["/"] = served["/static/index.html"]
	delete(served, "/static/index.html")
	return served, err
}

func newFile(name string, content []byte) *file {
	sum := sha256.Sum256(content)
	return &file{content: content, kind: contentType(path.Ext(name)), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

// contentType knows our own kinds of file itself: what mime answers for them depends on the machine's tables.
func contentType(ext string) string {
	switch ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt", "":
		return "text/plain; charset=utf-8"
	default:
		return mime.TypeByExtension(ext)
	}
}

// serve answers with the file or 304. Names carry no version, so a browser asks each time whether its copy is current:
// after an upgrade nobody sees old pages with new data.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// Read returns a file below static, such as "app.css", for pages of other packages that look and speak like these. It
// panics for one that is not there.
func Read(name string) string {
	text, err := files.ReadFile("static/" + name)
	if err != nil {
		panic(fmt.Sprintf("dashboard: %v", err)) // it was embedded by the build
	}
	return string(text)
}
