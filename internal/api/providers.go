package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/provider"
)

// A Provider reads what a payment provider reports by webhook. It is called concurrently. An error that is [provider.ErrUnsigned] means
// that the notice is not the provider's; a [*provider.Malformed] one, that it says nothing which can be booked.
type Provider interface {
	Read(header http.Header, body []byte, now lamppost.TimeMS) (provider.Notice, error)
}

// Noted is the outcome of a provider's notice about which there is nothing to book.
const Noted = "noted"

// postNotice books what a payment provider reports. Whatever is not booked is answered with an error, so that the provider sends it again:
// what came before its time is booked then, and what never fits is seen on both sides.
func (s *Server) postNotice(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	from := s.cfg.Providers[name]
	if from == nil {
		return notFound("no payment provider %q: the setting payment_providers names them", clip(name))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return badBody(err)
	}
	n, res, err := s.notice(r, from, body)
	outcome := res.Outcome
	if err != nil {
		outcome = answerOf(err).code
		s.log.Warn("a payment provider's notice is not booked", "provider", name, "notice", n.ID, "type", n.Type, "reason", err)
	}
	if s.cfg.Noticed != nil {
		s.cfg.Noticed(name, outcome)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, res)
}

func (s *Server) notice(r *http.Request, from Provider, body []byte) (n provider.Notice, res PaymentResult, err error) {
	n, err = from.Read(r.Header, body, s.cfg.Now())
	var bad *provider.Malformed
	switch {
	case errors.Is(err, provider.ErrUnsigned):
		return n, res, lamppost.Refuse(lamppost.CodeBadSignature, "%v", err)
	case errors.As(err, &bad):
		return n, res, badRequest("%s", bad.Reason)
	case err != nil:
		return n, res, err
	case n.Payment == nil:
		return n, PaymentResult{Reference: n.ID, Outcome: Noted, Text: n.Type}, nil
	}
	results, err := s.book(r.Context(), []books.Payment{*n.Payment}, false)
	if err != nil {
		return n, res, err
	}
	return n, results[0], results[0].refused
}
