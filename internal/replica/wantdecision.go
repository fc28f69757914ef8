package replica

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
)

// WantDecision lists what proves that an agent's decision stands in the log.
func WantDecision(r archive.View, id lamppost.DecisionID) (w Want, err error) {
	err = w.addMembers(r)
	w.Txs, w.Blocks = []ledger.Place{{Height: id.Height, Index: id.Tx}}, []lamppost.Height{id.Height}
	return w, err
}
