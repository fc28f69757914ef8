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
		return errNoAdvice
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
	return aboutFleet(w, answer, err)
}

var errNoAdvice = notFound("this program was built without advice (tag small): lamppost advise of the full one gives it")

// aboutFleet answers with what came of a fleet, or says what is wrong with it.
func aboutFleet(w http.ResponseWriter, answer any, err error) error {
	var wrong *FleetError
	switch {
	case errors.As(err, &wrong):
		return badRequest("%v", wrong)
	case err != nil:
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// postFleet reads a fleet's file as `lamppost advise --fleet` does. Nothing is kept.
func (s *Server) postFleet(w http.ResponseWriter, req *http.Request) error {
	if s.cfg.ReadFleet == nil {
		return errNoAdvice
	}
	file, err := io.ReadAll(req.Body)
	if err != nil {
		return badBody(err)
	}
	fleet, err := s.cfg.ReadFleet(file)
	return aboutFleet(w, fleet, err)
}

// getFleets lists the fleets that the program brings along to begin with.
func (s *Server) getFleets(w http.ResponseWriter, _ *http.Request) error {
	if s.cfg.FleetExamples == nil {
		return errNoAdvice
	}
	list, err := s.cfg.FleetExamples()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}
