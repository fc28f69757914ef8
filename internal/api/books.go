package api

import (
	"net/http"
	"strconv"

	"github.com/lamppost/lamppost/internal/books"
)

// getJournal streams all postings. If it cannot be finished the connection breaks, so that nobody takes what came for the books.
func (s *Server) getJournal(w http.ResponseWriter, r *http.Request) error {
	names := r.URL.Query().Get("names")
	people, err := strconv.ParseBool(names)
	if err != nil && names != "" {
		return badRequest("names=%q: expected true or false", clip(names))
	}
	out := newDownload(w, "text/plain; charset=utf-8")
	if _, err := books.WriteJournal(r.Context(), out, s.snapshot, people); err != nil {
		if out.begun {
			s.log.Error("sending the journal", "err", err)
			panic(http.ErrAbortHandler)
		}
		return err
	}
	return nil
}
