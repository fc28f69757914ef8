package api

import (
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strconv"

	"github.com/lamppost/lamppost/internal/tilelog"
)

// getLogFile serves the published log as any web server could from the folder, but checks each file against the checkpoint first: a
// damaged one is an error and never an answer. Tiles never change, so whoever has one may keep it; a checkpoint is replaced within
// the second. Nothing in it is anybody's secret: pages of all origins may read it.
func (s *Server) getLogFile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("path")
	keep, kind := "public, max-age=31536000, immutable", "application/octet-stream"
	var data []byte
	_, c, _, err := s.cfg.Checkpoint()
	switch {
	case err != nil:
		return notFound("nothing is published yet")
	case name == tilelog.CheckpointPath || name == tilelog.CosignedPath || name == tilelog.AgreedPath: // its signature says whether it is damaged
		keep, kind = "public, max-age=1", "text/plain; charset=utf-8"
		data, err = s.cfg.Files.Get(name)
	default:
		data, err = s.tree(c).File(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("the log has no %q: there are /log/checkpoint, /log/checkpoint.cosigned, /log/checkpoint.agreed and /log/tile/…, laid out as C2SP tlog-tiles says", path.Base(name))
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
