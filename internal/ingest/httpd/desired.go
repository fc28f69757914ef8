package httpd

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
)

// desired tells a device what it should be like. With If-None-Match it waits for something else than the device knows, as long as wait says
// in seconds.
func (d *door) desired(w http.ResponseWriter, r *http.Request) {
	device, ok := d.logIn(w, r)
	if !ok {
		return
	}
	seconds, err := strconv.ParseUint("0"+r.URL.Query().Get("wait"), 10, 16)
	if err != nil {
		d.refuse(w, lamppost.CodeBadTx, "wait is a number of seconds")
		return
	}
	over := time.NewTimer(min(time.Duration(seconds)*time.Second, maxDesiredWait))
	defer over.Stop()
	for known := r.Header.Get("If-None-Match"); ; {
		message, changed, err := d.cfg.Desired(device)
		if err != nil {
			d.cfg.Log.Error("http: telling a device what it should be like", "device", device, "err", err)
			d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not do it; its log says why"})
			return
		}
		tag := desiredTag(message)
		w.Header().Set("ETag", tag)
		if tag != known {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(message) // or the client has gone
			return
		}
		select {
		case <-changed:
		case <-over.C:
			w.WriteHeader(http.StatusNotModified)
			return
		case <-r.Context().Done():
			return
		}
	}
}

// desiredTag is the same for what differs only in the time that is left.
func desiredTag(message []byte) string {
	if m, err := lamppost.ParseDesired(message); err == nil {
		m.Left = 0
		if text, err := json.Marshal(m); err == nil {
			message = text
		}
	}
	sum := sha256.Sum256(message)
	return fmt.Sprintf("\"%x\"", sum[:8])
}
