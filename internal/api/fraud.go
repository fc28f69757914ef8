package api

import (
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
)

// postFraud takes an accusation of a gateway from anybody: the evidence speaks for itself. What does not hold is refused
// before it is ordered, so that a stranger cannot fill the log.
func (s *Server) postFraud(w http.ResponseWriter, r *http.Request) error {
	var b lamppost.FraudBody
	if err := readJSON(r, &b); err != nil {
		return err
	}
	err := s.snapshot(func(r archive.View) error { return ledger.View{Reader: r}.Challenge(s.cfg.Now(), &b) })
	if err != nil {
		return err
	}
	return s.order(w, r, lamppost.TxFraud, b)
}
