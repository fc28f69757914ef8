package api

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// A FleetError says what is wrong with a fleet that advice is asked for.
type FleetError struct{ Err error }

// Error returns the words of the error inside.
func (e *FleetError) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *FleetError) Unwrap() error { return e.Err }

// postAdvice says how a fleet should be kept. Nothing is ordered and nothing is kept: the answer depends on the fleet alone.
func (s *Server) postAdvice(w http.ResponseWriter, req *http.Request) error {
	if s.cfg.Advise == nil {
		return notFound("this program was built without advice (tag small): lamppost advise of the full one gives it")
	}
	fleet, err := io.ReadAll(req.Body)
	if err != nil {
		return badBody(err)
	}
	select {
	case s.advising <- struct{}{}:
		defer func() { <-s.advising }()
	case <-req.Context().Done():
		return context.Cause(req.Context())
	}
	answer, err := s.cfg.Advise(fleet)
	var wrong *FleetError
	switch {
	case errors.As(err, &wrong):
		return badRequest("%v", wrong)
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}
