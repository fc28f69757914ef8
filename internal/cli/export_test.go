package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/export"
)

// left lists what is in a folder, with the length of each file.
func left(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && path != dir {
			info, _ := e.Info()
			all = append(all, fmt.Sprintf("%s %d", strings.TrimPrefix(path, dir+"/"), info.Size()*int64(map[bool]int{true: 0, false: 1}[e.IsDir()])))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The verb asks the node for just what its flags say, and writes the pieces to their files.
func TestExportAsks(t *testing.T) {
	var asked url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		m := multipart.NewWriter(w)
		w.Header().Set("Content-Type", "multipart/mixed; boundary="+m.Boundary())
		for _, p := range [][2]string{{"readings.parquet", "one "}, {"devices.parquet", "devices"}, {"progress", `{"done":1,"all":2}`}, {"readings.parquet", "two"},
			{"later.invention", "?"}, {"result", `{"network":"house","readings":7,"last_block":5,"gone_reports":3}`}} {
			out, _ := m.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("attachment; filename=%q", p[0])}})
			fmt.Fprint(out, p[1])
		}
		m.Close()
	}))
	defer srv.Close()
	t.Setenv("LAMPPOST_URL", srv.URL)
	t.Setenv("LAMPPOST_TOKEN", "0123456789abcdef")
	dir := t.TempDir()
	out := says(t, []string{"export", "--parquet", filepath.Join(dir, "new"), "--json", "--from", "2026-11-01", "--to", "2026-11-01T12:00:00+01:00", "--device", "a", "--device", "b",
		"--name", "energy,x", "--all", "--names"})
	if want := "all=true&device=a&device=b&file=readings.parquet&file=devices.parquet&file=summaries.parquet&file=values.parquet&from_ms=1793491200000&name=energy%2Cx&names=true&to_ms=1793530800000"; asked.Encode() != want {
		t.Errorf("asked was\n%s, want\n%s", asked.Encode(), want)
	}
	var res struct {
		export.Result
		Files []outFile
	}
	if err := json.Unmarshal([]byte(out), &res); err != nil || res.Readings != 7 || len(res.Files) != 4 || res.Files[0].Bytes != 7 {
		t.Errorf("%+v, %v", res, err)
	}
	if got, want := left(t, dir), []string{"new 0", "new/devices.parquet 7", "new/readings.parquet 7", "new/summaries.parquet 0", "new/values.parquet 0"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	says(t, []string{"export", "--parquet", filepath.Join(dir, "a.parquet")}, "7 readings", "a.parquet: 7 bytes", "3 reports of these blocks are not kept any more. A folder in place of a file")
	says(t, []string{"export", "--parquet", filepath.Join(dir, "b"), "--after", "4"}, "Later ones: --after 5")
	if asked.Encode() != "after=4&file=readings.parquet&file=devices.parquet" {
		t.Errorf("asked was %s", asked.Encode())
	}
}

// Goal: an answer that ends early, says that it failed, or is no export leaves what was there before and nothing else.
func TestExportLeavesNothing(t *testing.T) {
	answer := func(http.ResponseWriter) {}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	defer srv.Close()
	t.Setenv("LAMPPOST_URL", srv.URL)
	t.Setenv("LAMPPOST_TOKEN", "0123456789abcdef")
	dir := t.TempDir()
	old := filepath.Join(dir, "old.parquet")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	pieces := func(w http.ResponseWriter, names ...string) *multipart.Writer {
		m := multipart.NewWriter(w)
		w.Header().Set("Content-Type", "multipart/mixed; boundary="+m.Boundary())
		for _, name := range names {
			p, _ := m.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("attachment; filename=%q", name)}})
			fmt.Fprint(p, `{"code":"busy","text":"the node is \u001bstopping"}`)
		}
		return m
	}
	for words, a := range map[string]func(http.ResponseWriter){
		"ended early":                          func(w http.ResponseWriter) { pieces(w, "readings.parquet", "progress", "readings.parquet") },
		"ended early: ":                        func(w http.ResponseWriter) { pieces(w, "readings.parquet").Close() },
		"stopping":                             func(w http.ResponseWriter) { pieces(w, "../../evil", "readings.parquet", "error").Close() },
		"does not answer like a Lamppost node": func(w http.ResponseWriter) { fmt.Fprint(w, "hello") },
		"try later (busy)": func(w http.ResponseWriter) {
			w.WriteHeader(503)
			fmt.Fprint(w, `{"code":"busy","text":"try later"}`)
		},
	} {
		answer = a
		fails(t, []string{"export", "--parquet", filepath.Join(dir, "new")}, words, "nothing was written")
		fails(t, []string{"export", "--parquet", old, "--force"}, words)
		if got := left(t, dir); len(got) != 1 || got[0] != "old.parquet 3" {
			t.Errorf("%s: left are %q", words, got)
		}
	}
	fails(t, []string{"export", "--parquet", old}, "is there already", "--force")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	answer = func(w http.ResponseWriter) {
		pieces(w, "readings.parquet")
		_ = http.NewResponseController(w).Flush()
		cancel()
		<-gone
	}
	root := rootCmd()
	root.SetOut(new(bytes.Buffer))
	root.SetArgs([]string{"export", "--parquet", filepath.Join(dir, "new")})
	if err := root.ExecuteContext(ctx); err == nil || err.Error() != "interrupted: nothing was written" {
		t.Errorf("interrupted: %v", err)
	}
	close(gone)
	if got := left(t, dir); len(got) != 1 {
		t.Errorf("interrupted: left are %q", got)
	}
}
