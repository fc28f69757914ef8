package httpd

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// proof hands a device the proof that the ledger has its reports: GET /v1/proof?report=1/41&report=1/42, by epoch and number.
func (d *door) proof(w http.ResponseWriter, r *http.Request) {
	device, ok := d.logIn(w, r)
	if !ok {
		return
	}
	asked := r.URL.Query()["report"]
	if len(asked) == 0 || len(asked) > lamppost.RecentIDs {
		d.refuse(w, lamppost.CodeBadTx, fmt.Sprintf("ask for 1 to %d reports, each as report=<epoch>/<number>", lamppost.RecentIDs))
		return
	}
	seqs := make([]lamppost.Seq, len(asked))
	for i, text := range asked {
		epoch, n, _ := strings.Cut(text, "/")
		e, err1 := strconv.ParseUint(epoch, 10, 32)
		var err2 error
		seqs[i].Epoch = uint32(e)
		if seqs[i].N, err2 = strconv.ParseUint(n, 10, 64); err1 != nil || err2 != nil {
			d.refuse(w, lamppost.CodeBadTx, fmt.Sprintf("%.40q is not <epoch>/<number> of a report", text))
			return
		}
	}
	select {
	case d.proofs <- struct{}{}:
		defer func() { <-d.proofs }()
	default:
		d.busy(w, "too many proofs are being made: ask again")
		return
	}
	raw, err := d.cfg.Prove(device, seqs)
	var refusal *lamppost.Refusal
	switch {
	case errors.As(err, &refusal):
		d.refuse(w, refusal.Code, refusal.Text)
	case err != nil:
		d.cfg.Log.Error("http: proving reports", "device", device, "err", err)
		d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not make the proof; its log says why"})
	default:
		w.Header().Set("Content-Type", "application/cbor")
		w.Write(raw)
	}
}
