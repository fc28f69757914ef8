package api

import (
	"errors"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"

	"github.com/lamppost/lamppost/internal/tilelog"
)

// logFile is what C2SP tlog-tiles serves: tiles and bundles of entries, whole and partial. The storage may hold more, such as a
// file half written.
var logFile = regexp.MustCompile(`^tile/([0-9]{1,2}|entries)/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$`)

// getLogFile serves the published log as any web server could from the folder. Tiles never change, so whoever has one may
// keep it; a checkpoint is replaced within the second. Nothing in it is anybody's secret: pages of all origins may read it.
func (s *Server) getLogFile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("path")
	keep, kind := "public, max-age=31536000, immutable", "application/octet-stream"
	switch {
	case name == tilelog.CheckpointPath || name == tilelog.CosignedPath:
		keep, kind = "public, max-age=1", "text/plain; charset=utf-8"
	case !logFile.MatchString(name):
		return notFound("the log has /log/checkpoint, /log/checkpoint.cosigned and /log/tile/…, laid out as C2SP tlog-tiles says")
	}
	data, err := s.cfg.Files.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("the log has no file %q: of what is not complete only the latest parts are kept", path.Base(name))
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", keep)
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Access-Control-Allow-Origin", "*")
	_, err = w.Write(data)
	return err
}
