package replica

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// WantVerdict lists what proves that a verdict stands in the log, and with report, what the device said that it is about.
func WantVerdict(r archive.View, v *ledger.Verdict, report bool) (w Want, err error) {
	if report {
		w, err = WantReport(r, tariff.Source{Height: v.Body.Height, Tx: v.Body.Tx, Report: v.Body.Report})
	} else {
		err = w.addMembers(r)
	}
	w.Txs, w.Blocks = append(w.Txs, ledger.Place{Height: v.ID.Height, Index: v.ID.Tx}), append(w.Blocks, lamppost.Height(v.ID.Height))
	return w, err
}
