package api

import (
	"encoding/binary"
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
)

// getBlocks streams blocks with all that is left of their transactions, each behind its length in four bytes big-endian. It ends
// where the chain does, or after limit blocks: who wants more asks again.
func (s *Server) getBlocks(w http.ResponseWriter, r *http.Request) error {
	from, err := queryNumber(r, "from", 1, 1<<62)
	if err != nil {
		return err
	}
	limit, err := queryNumber(r, "limit", defaultBlocks, maxBlocks)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := unhurried(w)
	first := lamppost.Height(max(1, from))
	for h := first; limit > 0 && h < first+maxLogBlocks && h <= s.cfg.Status().Height && r.Context().Err() == nil; h++ {
		raw, err := s.encoded(h)
		switch {
		case errors.Is(err, archive.ErrAbsent):
			continue // empty, or from before this copy
		case err != nil && h == first:
			return err
		case err != nil:
			s.log.Error("sending blocks", "height", h, "err", err)
			panic(http.ErrAbortHandler) // the reader must not take it for the end
		}
		limit--
		if _, err := out.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(raw)), uint32(len(raw))), raw...)); err != nil {
			return nil // nobody reads any more
		}
	}
	return nil
}

// encoded reads a block from a snapshot of its own: an erasure waits for those that are open.
func (s *Server) encoded(h lamppost.Height) (raw []byte, err error) {
	err = s.snapshot(func(r archive.View) error {
		raw, err = r.Encoded(h)
		return err
	})
	return raw, err
}
