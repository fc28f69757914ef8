package checkpage

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
)

// Serve answers a GET or HEAD with the page of a content.
func (c Content) Serve(w http.ResponseWriter, r *http.Request) {
	sum := sha256.Sum256([]byte(Checker() + "\x00" + c.Version + "\x00" + c.Pin + "\x00" + string(c.File)))
	etag := `"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("ETag", etag)
	h.Set("Cache-Control", "no-cache")
	// The page's own policy says the rest; this is what only a header can.
	h.Set("Content-Security-Policy", "frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	parts := c.parts()
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	h.Set("Content-Length", strconv.Itoa(n))
	if r.Method == http.MethodHead {
		return
	}
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			return // whoever asked is gone
		}
	}
}
