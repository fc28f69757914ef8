package witness

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost/internal/dashboard"
)

// statusOf is the HTTP status of each refusal (C2SP tlog-witness).
var statusOf = map[Reason]int{
	Malformed: http.StatusBadRequest, UnknownLog: http.StatusNotFound, BadSignature: http.StatusForbidden, Stale: http.StatusConflict,
	Inconsistent: http.StatusUnprocessableEntity, Unavailable: http.StatusInternalServerError,
}

// sizeType is the content type of the size that a stale client is told.
const sizeType = "text/x.tlog.size"

// A web is the witness over HTTP.
type web struct {
	w     *Witness
	token [sha256.Size]byte // digest of the administrator's
	busy  chan struct{}     // has room for the checkpoints that may be decided at once
}

// Handler serves the witness: add-checkpoint and the monitoring addresses of C2SP tlog-witness, a page for people, and,
// for who has the administrator's token, the list of logs. docs/witness.md has the table.
func (w *Witness) Handler(adminToken string) http.Handler {
	h := &web{w: w, token: sha256.Sum256([]byte(adminToken)), busy: make(chan struct{}, maxInFlight)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", h.addCheckpoint)
	mux.HandleFunc("GET /{hash}/checkpoint", h.latest)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /api/status", h.status)
	mux.HandleFunc("POST /api/logs", h.admin(h.add))
	mux.HandleFunc("POST /api/logs/remove", h.admin(h.remove))
	mux.HandleFunc("GET /{$}", h.page)
	for _, file := range []string{"/static/app.css", "/static/favicon.svg"} {
		mux.Handle("GET "+file, dashboard.Handler())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

func (h *web) addCheckpoint(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBytes))
	if err != nil {
		http.Error(w, "the request is too long or did not come whole", http.StatusBadRequest)
		return
	}
	select { // only now: who sends slowly takes nobody's place
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many checkpoints at once: try again", http.StatusServiceUnavailable)
		return
	}
	line, err := h.w.AddCheckpoint(body)
	var refusal *Refusal
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, line) // an error here is the client's going away; it can ask again
	case errors.As(err, &refusal) && refusal.Reason == Stale:
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, strconv.FormatInt(refusal.Size, 10)+"\n")
	case errors.As(err, &refusal):
		http.Error(w, refusal.Text, statusOf[refusal.Reason])
	}
}

// latest answers monitors.
func (h *web) latest(w http.ResponseWriter, r *http.Request) {
	note := h.w.Latest(r.PathValue("hash"))
	if note == "" {
		http.Error(w, "this witness has cosigned no log whose origin has this SHA-256", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	io.WriteString(w, note)
}

func (h *web) status(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, h.w.Status()) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error here is the client's going away
}

// fail answers in the shape of a node's errors, which the verbs know.
func fail(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, map[string]string{"code": code, "text": text})
}

// admin lets through who has the token.
func (h *web) admin(next func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(token))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], h.token[:]) != 1 {
			fail(w, http.StatusUnauthorized, "unauthorized", "this needs the witness's token, from admin.token in its folder")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBytes)
		next(w, r)
	}
}

// An Addition is the body of POST /api/logs, a Removal that of POST /api/logs/remove.
type (
	Addition struct {
		Logs []Log `json:"logs"`
	}
	Removal struct {
		Origin string `json:"origin"`
	}
)

func (h *web) add(w http.ResponseWriter, r *http.Request) {
	var a Addition
	if !read(w, r, &a) {
		return
	}
	for _, l := range a.Logs {
		if err := h.w.Add(l); err != nil {
			fail(w, http.StatusBadRequest, "bad_request", err.Error())
			return
		}
	}
	h.status(w, r)
}

func (h *web) remove(w http.ResponseWriter, r *http.Request) {
	var out Removal
	if !read(w, r, &out) {
		return
	}
	if err := h.w.Remove(out.Origin); err != nil {
		fail(w, http.StatusNotFound, "not_found", err.Error())
		return
	}
	h.status(w, r)
}

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		fail(w, http.StatusBadRequest, "bad_request", "body: "+err.Error())
		return false
	}
	return true
}
