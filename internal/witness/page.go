package witness

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"time": func(at lamppost.TimeMS) string {
		return time.UnixMilli(int64(at)).UTC().Format("2006-01-02 15:04:05 UTC")
	},
	"ago": ago,
	"total": func(m map[Reason]uint64) (n uint64) {
		for _, count := range m {
			n += count
		}
		return n
	},
	"hash":     OriginHash,
	"sentence": func(words string) string { return strings.ToUpper(words[:1]) + words[1:] },
}).Parse(pageText))

// pagePolicy lets the page load its own style and nothing else: what logs call themselves could not do anything.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ago says how long ago something was, roughly.
func ago(at, now lamppost.TimeMS) string {
	switch d := max(0, now-at) / 1000; {
	case at == 0:
		return "never"
	case d < 90:
		return fmt.Sprintf("%d s ago", d)
	case d < 5400:
		return fmt.Sprintf("%d min ago", d/60)
	case d < 36*3600:
		return fmt.Sprintf("%d h ago", d/3600)
	default:
		return fmt.Sprintf("%d days ago", d/86400)
	}
}

// page shows everybody what this witness has seen.
func (h *web) page(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, h.w.Status()); err != nil {
		h.w.cfg.Log.Error("the page cannot be shown", "err", err)
		http.Error(w, "the page cannot be shown; the witness's log says why", http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", pagePolicy)
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "no-referrer")
	b.WriteTo(w) // an error here is the reader's going away
}
