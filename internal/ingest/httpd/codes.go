package httpd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
)

// Codes of answers that judge the request and not the report.
const (
	codeUnauthorized = "unauthorized"
	codeTooMany      = "too_many_attempts"
	codeFlood        = "too_many_bad_reports"
	codeIncomplete   = "incomplete"
	codeInternal     = "internal"
)

// Status is the HTTP status of an answer with code c. It is part of the API: the table stands in docs/devices.md. 401, 408
// and 429 are not in it, because they never judge a report.
func Status(c lamppost.Code) int {
	switch c {
	case lamppost.CodeOK, lamppost.CodeDuplicate:
		return http.StatusOK
	case lamppost.CodeBadReport, lamppost.CodeBadTx:
		return http.StatusBadRequest
	case lamppost.CodeQuarantined, lamppost.CodeForbidden:
		return http.StatusForbidden
	case lamppost.CodeReused, lamppost.CodeTooOld, lamppost.CodeExpired, lamppost.CodeExists, lamppost.CodeNoFunds:
		return http.StatusConflict
	case lamppost.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case lamppost.CodeBusy, lamppost.CodeNotReady:
		return http.StatusServiceUnavailable
	default: // it can be read, and cannot be accepted
		return http.StatusUnprocessableEntity
	}
}

func (d *door) answer(w http.ResponseWriter, status int, body any) {
	if r, ok := body.(reply); ok && status != http.StatusOK {
		d.cfg.Metrics.Refused.WithLabelValues(r.Code).Inc()
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // an error here is the client's going away
}

func (d *door) refuse(w http.ResponseWriter, code lamppost.Code, text string) {
	d.answer(w, Status(code), reply{Code: code.String(), Text: text})
}

// tooMany tells a client to come again after a while.
func (d *door) tooMany(w http.ResponseWriter, wait time.Duration, code, text string) {
	w.Header().Set("Retry-After", fmt.Sprint(int(wait/time.Second)+1))
	d.answer(w, http.StatusTooManyRequests, reply{Code: code, Text: text})
}

func (d *door) busy(w http.ResponseWriter, text string) { d.refuse(w, lamppost.CodeBusy, text) }

func (d *door) unauthorized(w http.ResponseWriter, text string) {
	w.Header().Set("WWW-Authenticate", `Basic realm="lamppost", charset="UTF-8"`)
	d.answer(w, http.StatusUnauthorized, reply{Code: codeUnauthorized, Text: text})
}
