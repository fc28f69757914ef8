package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/export"
)

// ExportFiles are the files of an export, and ExportProgress, ExportResult and ExportError the names of the pieces of
// GET /api/export that are none.
var ExportFiles = [...]string{"readings.parquet", "devices.parquet", "summaries.parquet", "values.parquet"}

const (
	ExportProgress = "progress" // an ExportStep
	ExportResult   = "result"   // an export.Result: all is there
	ExportError    = "error"    // an Error: what came is no file
)

// An ExportStep says how far an export is.
type ExportStep struct {
	Done     int64 `json:"done"`
	All      int64 `json:"all"`
	Readings int64 `json:"readings"`
}

// getReadings streams readings.parquet. If it cannot be finished the connection breaks, so that nobody takes what came for it.
func (s *Server) getReadings(w http.ResponseWriter, r *http.Request) error {
	out := newDownload(w, "application/vnd.apache.parquet")
	if _, err := s.export(r, export.Files{Readings: out}, func(_, _, _ int64) {}); err != nil && out.begun {
		panic(http.ErrAbortHandler)
	} else if err != nil {
		return err
	}
	return nil
}

// getExport streams several files side by side, because they belong together only if they are read from the archive in one go.
func (s *Server) getExport(w http.ResponseWriter, r *http.Request) error {
	wanted := r.URL.Query()["file"]
	p := newPieces(w)
	var files export.Files
	var ends []*bufio.Writer
	for i, f := range [...]*io.Writer{&files.Readings, &files.Devices, &files.Summaries, &files.Values} {
		if len(wanted) == 0 || slices.Contains(wanted, ExportFiles[i]) {
			b := bufio.NewWriterSize(&piece{p, ExportFiles[i]}, exportPiece)
			*f, ends = b, append(ends, b)
		}
	}
	res, err := s.export(r, files, p.progress)
	for _, b := range ends {
		if err == nil {
			err = b.Flush()
		}
	}
	switch {
	case err != nil && !p.out.begun:
		return err
	case err != nil:
		a := answerOf(err)
		_ = p.json(ExportError, Error{a.code, a.text})
	default:
		_ = p.json(ExportResult, res)
	}
	_ = p.w.Close() // if any of this fails, nobody reads any more
	return nil
}

// export runs an export, one of few at a time, until it is done or the request or the server ends.
func (s *Server) export(r *http.Request, files export.Files, progress export.Progress) (*export.Result, error) {
	o, err := exportOptions(r)
	if err != nil {
		return nil, err
	}
	note, _, _, err := s.cfg.Checkpoint()
	if err != nil {
		return nil, notReady("no checkpoint is published yet")
	}
	busy := &statusError{http.StatusServiceUnavailable, lamppost.CodeBusy.String(), fmt.Sprintf("%d exports are running: try again when one has ended", maxExports)}
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		return nil, busy
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	res, err := export.Write(ctx, export.Source{See: s.snapshot, Note: note, Version: s.cfg.Version}, o, files, func(done, all, readings int64) {
		progress(done, all, readings)
		select {
		case <-s.closed:
			cancel(&statusError{http.StatusServiceUnavailable, lamppost.CodeBusy.String(), "the node is stopping: try again later"})
		default:
		}
	})
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var refusal *lamppost.Refusal
	if err != nil && !errors.As(err, &refusal) {
		s.log.Error("exporting", "err", err)
	}
	return res, err
}

// exportOptions reads the query of an export.
func exportOptions(r *http.Request) (o export.Options, err error) {
	q := r.URL.Query()
	for name, to := range map[string]*lamppost.TimeMS{"from_ms": &o.From, "to_ms": &o.To} {
		n, err := queryNumber(r, name, 0, 1<<62)
		if err != nil {
			return o, err
		}
		*to = lamppost.TimeMS(n)
	}
	after, err := queryNumber(r, "after", 0, 1<<62)
	if err != nil {
		return o, err
	}
	for name, to := range map[string]*bool{"all": &o.All, "names": &o.People} {
		if *to, err = strconv.ParseBool(q.Get(name)); err != nil && q.Has(name) {
			return o, badRequest("%s=%q: expected true or false", name, clip(q.Get(name)))
		}
	}
	for _, name := range q["file"] {
		if !slices.Contains(ExportFiles[:], name) {
			return o, badRequest("file=%q: expected one of %q", clip(name), ExportFiles)
		}
	}
	if len(q["device"])+len(q["name"]) > maxListed {
		return o, badRequest("more than %d devices or names", maxListed)
	}
	for _, d := range q["device"] {
		o.Devices = append(o.Devices, lamppost.DeviceID(d))
	}
	o.After, o.Names = lamppost.Height(after), q["name"]
	if o.To != 0 && o.To <= o.From {
		return o, badRequest("to_ms is not after from_ms")
	}
	return o, nil
}

// A download is an answer that takes as long as its reader reads at all. Its header goes out with the first byte.
type download struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	kind  string
	begun bool
}

func newDownload(w http.ResponseWriter, kind string) *download {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // or the request would end with it
	return &download{w: w, c: c, kind: kind}
}

// Write implements io.Writer.
func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		d.w.Header().Set("Content-Type", d.kind)
	}
	_ = d.c.SetWriteDeadline(time.Now().Add(streamTimeout))
	return d.w.Write(b)
}

// pieces are the answer of GET /api/export: multipart/mixed, as one goroutine writes it.
type pieces struct {
	out  *download
	w    *multipart.Writer
	told time.Time
}

func newPieces(w http.ResponseWriter) *pieces {
	out := newDownload(w, "")
	p := &pieces{out: out, w: multipart.NewWriter(out)}
	out.kind = "multipart/mixed; boundary=" + p.w.Boundary()
	return p
}

func (p *pieces) part(name, kind string, b []byte) error {
	w, err := p.w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("attachment; filename=%q", name)}, "Content-Type": {kind}})
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

func (p *pieces) json(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.part(name, "application/json", text)
}

// progress tells how far it is, now and then. An error shows with the next piece of a file.
func (p *pieces) progress(done, all, readings int64) {
	if time.Since(p.told) < statusEvery {
		return
	}
	p.told = time.Now()
	if p.json(ExportProgress, ExportStep{done, all, readings}) == nil {
		_ = p.out.c.Flush()
	}
}

// A piece writes pieces of one file.
type piece struct {
	*pieces
	name string
}

// Write implements io.Writer.
func (p *piece) Write(b []byte) (int, error) {
	if err := p.part(p.name, "application/octet-stream", b); err != nil {
		return 0, err
	}
	return len(b), nil
}
