package httpd

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

// guardWord takes what a device's guard decides, and answers with what is asked of it.
func (d *door) guardWord(w http.ResponseWriter, r *http.Request) {
	device, ok := d.logIn(w, r)
	if !ok {
		return
	}
	raw, ok := d.body(w, r, maxGuardBytes)
	if !ok {
		return
	}
	var word guard.Word
	if err := json.Unmarshal(raw, &word); err != nil {
		d.refuse(w, lamppost.CodeBadTx, `the body is not {"charter":0,"online":true,"decisions":[]}`)
		return
	}
	asked, err := d.cfg.Guard(r.Context(), device, word)
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		d.answer(w, http.StatusOK, asked)
	case errors.As(err, &refusal) && !refusal.Code.Final():
		d.busy(w, refusal.Text)
	case errors.As(err, &refusal):
		d.refuse(w, refusal.Code, refusal.Text)
	case r.Context().Err() != nil: // the client has gone
	default:
		d.cfg.Log.Error("http: answering a guard", "device", device, "err", err)
		d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not do it; its log says why"})
	}
}

// guardWords does the same for all guards that a gateway runs, by device.
func (d *door) guardWords(w http.ResponseWriter, r *http.Request, id lamppost.MemberID) {
	raw, ok := d.body(w, r, maxGuardsBytes)
	if !ok {
		return
	}
	var words map[lamppost.DeviceID]guard.Word
	if err := json.Unmarshal(raw, &words); err != nil {
		d.refuse(w, lamppost.CodeBadTx, `the body is not {"<device>":{"charter":0,"online":true,"decisions":[]}}`)
		return
	}
	asked, err := d.cfg.Gateways.Guards(id, words)
	if err != nil {
		d.failGateway(w, r, "answering a gateway's guards", id, err)
		return
	}
	d.answer(w, http.StatusOK, asked)
}
