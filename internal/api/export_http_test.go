package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/export"
)

// assemble puts the pieces of GET /api/export together, by name; those that are no files one after the other.
func assemble(t *testing.T, h http.Header, body io.Reader) (files map[string][]byte, err error) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("the answer is %q, %v", kind, err)
	}
	files = map[string][]byte{}
	for r := multipart.NewReader(body, params["boundary"]); ; {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return files, err
		}
		piece, err := io.ReadAll(p)
		if err != nil {
			return files, err
		}
		files[p.FileName()] = append(files[p.FileName()], piece...)
	}
}

func (h *house) ask(path string, w http.ResponseWriter) {
	req := httptest.NewRequest("GET", path, nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	h.handler.ServeHTTP(w, req)
}

// Goal: an export over HTTP is what the archive holds, as one file or all in pieces, and the query says what is wanted.
func TestExport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	for i := range 5 {
		h.clock.Add(60_000)
		h.submit(h.report("meter", 0, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: h.now(), Value: lamppost.Dec(int64(i), 0)},
			lamppost.Reading{Name: "power", Unit: "W", Time: h.now(), Value: lamppost.Dec(5, -1)}))
	}
	w := httptest.NewRecorder()
	h.ask("/api/export", w)
	files, err := assemble(t, w.Header(), w.Body)
	must(t, err)
	var res export.Result
	must(t, json.Unmarshal(files[api.ExportResult], &res))
	if res.Readings != 10 || res.Reports != 5 || res.Devices != 1 || res.Network != network || files[api.ExportProgress] == nil {
		t.Errorf("the result is %+v, progress %q", res, files[api.ExportProgress])
	}
	if rows := rows[export.Device](t, files["devices.parquet"]); len(rows) != 1 || rows[0].Device != "meter" || rows[0].OwnerName != "" {
		t.Errorf("devices are %+v", rows)
	}
	if rows := rows[export.Summary](t, files["summaries.parquet"]); len(rows) != 0 {
		t.Errorf("summaries are %+v", rows)
	}
	var one []byte
	h.ok(200, "GET", "/api/export/readings.parquet", nil, nil)
	if h.do("GET", "/api/export/readings.parquet", nil, &one); !bytes.Equal(one, files["readings.parquet"]) || len(rows[export.Reading](t, one)) != 10 {
		t.Errorf("alone it is %d bytes, among others %d", len(one), len(files["readings.parquet"]))
	}
	h.do("GET", "/api/export/readings.parquet?device=meter&name=energy&from_ms="+msText(h.now()-120_000)+"&to_ms="+msText(h.now()), nil, &one)
	if got := rows[export.Reading](t, one); len(got) != 2 || got[0].Value != 2 || got[1].Value != 3 || got[0].Point != "flat-3" {
		t.Errorf("two minutes of energy are %+v", got)
	}
	w = httptest.NewRecorder()
	h.ask("/api/export?file=devices.parquet&names=true", w)
	files, err = assemble(t, w.Header(), w.Body)
	must(t, err)
	if rows := rows[export.Device](t, files["devices.parquet"]); len(files) != 2 || len(rows) != 1 || rows[0].OwnerName != "Lena Landlord" || rows[0].Name != "Flat 3" {
		t.Errorf("devices with names, alone: %+v among %d", rows, len(files))
	}
	for query, code := range map[string]string{"device=nobody": "unknown", "from_ms=x": "bad_request", "from_ms=5&to_ms=5": "bad_request", "all=perhaps": "bad_request",
		"file=../etc/passwd": "bad_request"} {
		status := map[string]int{"unknown": 422, "bad_request": 400}[code]
		h.refused(status, code, "GET", "/api/export?"+query, nil)
		if query[:4] != "file" {
			h.refused(status, code, "GET", "/api/export/readings.parquet?"+query, nil)
		}
	}
	h.held.Store(true)
	h.refused(503, "not_ready", "GET", "/api/export", nil)
}

func msText(at lamppost.TimeMS) string {
	text, _ := json.Marshal(at)
	return string(text)
}

func rows[T any](t *testing.T, raw []byte) []T {
	t.Helper()
	all, err := parquet.Read[T](bytes.NewReader(raw), int64(len(raw)))
	must(t, err)
	return all
}

// stuck is a reader that has stopped to read.
type stuck struct {
	*httptest.ResponseRecorder
	reached, release chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	s.reached <- struct{}{}
	<-s.release
	return s.ResponseRecorder.Write(b)
}

// Few exports run at a time, and a node that stops ends them, with words, and with no answer that looks whole.
func TestExportsAreFewAndEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	var running []*stuck
	ended := make(chan bool, 2)
	for range 2 {
		w := &stuck{httptest.NewRecorder(), make(chan struct{}, 1000), make(chan struct{})}
		go func() {
			h.ask("/api/export?file=readings.parquet", w)
			ended <- true
		}()
		<-w.reached // it tells how far it is before it has written anything
		running = append(running, w)
	}
	if e := h.refused(503, "busy", "GET", "/api/export", nil); e.Text != "2 exports are running: try again when one has ended" {
		t.Errorf("a third one is told %q", e.Text)
	}
	h.server.Close()
	for _, w := range running {
		close(w.release)
		<-ended
	}
	for _, w := range running {
		files, err := assemble(t, w.Header(), w.Body)
		must(t, err)
		var e api.Error
		if json.Unmarshal(files[api.ExportError], &e) != nil || e.Code != "busy" || files[api.ExportResult] != nil {
			t.Errorf("an export that was ended: %+v of %v", e, slices.Sorted(maps.Keys(files)))
		}
	}
}

// deaf is a reader that is gone.
type deaf struct{ *httptest.ResponseRecorder }

func (deaf) Write([]byte) (int, error) { return 0, errors.New("gone") }

// A file that cannot be finished breaks the connection, which is how a client of one file learns of it.
func TestReadingsBreakOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("the handler ends with %v", got)
		}
	}()
	h.ask("/api/export/readings.parquet", deaf{httptest.NewRecorder()})
}
