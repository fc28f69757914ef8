// Package httpd is the HTTP front door for devices: one report per request, answered when it is committed or refused, and
// the enrolment of a device's key. It is for devices that speak rarely, and for trying things with curl; many reports
// from one device are cheaper over MQTT.
//
// It promises that status 200 means committed, that a 4xx other than 401 and 429 means never to send this report again,
// and that everything else may be sent again, which the ledger's sequence rule makes harmless. It does not do TLS or
// time-outs of headers: that is the http.Server's.
//
// Start reading at [Handler]. The table of codes is [Status] and docs/devices.md; limits are in limits.go.
package httpd

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A Submitter takes reports; *ingest.Ingest is one. After nil, and only then, sink.Done is called once, from any
// goroutine; ingest.ErrBusy and *ingest.FloodError mean that nothing was taken, and any other error that nothing is taken
// any more.
type Submitter interface {
	TrySubmit(from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error
}

// Config is what the handler needs. Auth and Submit are required.
type Config struct {
	// Auth says which device a client is, or refuses it. cert is the client's certificate where TLS verified one, else
	// nil. It is called for every request, by many goroutines at once.
	Auth   func(user, password string, cert *x509.Certificate) (lamppost.DeviceID, error)
	Submit Submitter

	// Enrol registers a device's public key and returns what the device must know to sign. An error that is a
	// *lamppost.Refusal is told to the device; others are logged. Nil: there is no enrolment here.
	Enrol func(ctx context.Context, device lamppost.DeviceID, k NewKey) (network string, keyEpoch uint32, err error)

	// Prove returns a lamppost.Proof of those of a device's reports that can be proven yet; a *lamppost.Refusal says that none can. It
	// is called by several goroutines. Nil: there are no proofs here.
	Prove func(device lamppost.DeviceID, reports []lamppost.Seq) (proof []byte, err error)

	// Guard takes what a device's guard decides, and returns what is asked of it. Nil: nothing is asked here.
	Guard func(ctx context.Context, device lamppost.DeviceID, w guard.Word) (guard.Asked, error)

	// Desired returns what a device should be like now, as it is told, and what is closed when that changes. Nil: nothing is desired here.
	Desired func(device lamppost.DeviceID) (message []byte, changed <-chan struct{}, err error)

	// Gateways serves gateways on site. Nil: there are none here.
	Gateways Gateways

	// Deals serves devices that deal with each other. Nil: there are none here.
	Deals Deals

	// Custody returns the signed receipt for a report that is in a gateway's custody, nil where it is not. Nil: no receipts.
	Custody func(ingest.Reply) []byte

	// Origins are those of the devices that logged in. Nil: the door's own.
	Origins *ingest.Origins

	MaxWait time.Duration    // for a report to be committed; 0: DefaultMaxWait
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
	Metrics *Metrics         // nil: counted, but nowhere to be seen
}

// A NewKey is what a device enrols; its JSON is the body of POST /v1/enrol, bytes in standard base64 (RFC 4648 §4).
type NewKey struct {
	Suite   string `json:"suite"`
	Key     []byte `json:"key"`
	Consent []byte `json:"consent"` // a lamppost.KeyChange by the key it has; none: its token has to do
}

// Handler answers POST /v1/report, POST /v1/enrol, GET /v1/proof, POST /v1/guard, GET /v1/desired, and where there are Gateways, POST /v1/gateway,
// GET /v1/gateway/devices, POST /v1/gateway/guards and POST /v1/segments; where there are Deals, /v1/offers and /v1/sessions.
func Handler(cfg Config) http.Handler {
	if cfg.MaxWait == 0 {
		cfg.MaxWait = DefaultMaxWait
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Origins == nil {
		cfg.Origins = new(ingest.Origins)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	d := &door{cfg: cfg, failed: failures{most: maxFailures}, deals: failures{most: maxDeals}, segments: make(chan struct{}, maxSegments), proofs: make(chan struct{}, maxProofs)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/report", d.report)
	if cfg.Enrol != nil {
		mux.HandleFunc("POST /v1/enrol", d.enrol)
	}
	if cfg.Prove != nil {
		mux.HandleFunc("GET /v1/proof", d.proof)
	}
	if cfg.Guard != nil {
		mux.HandleFunc("POST /v1/guard", d.guardWord)
	}
	if cfg.Desired != nil {
		mux.HandleFunc("GET /v1/desired", d.desired)
	}
	if cfg.Gateways != nil {
		d.gatewayRoutes(mux)
	}
	if cfg.Deals != nil {
		d.dealRoutes(mux)
	}
	return mux
}

type door struct {
	cfg      Config
	failed   failures
	deals    failures      // counts what devices say to each other, whatever comes of it
	segments chan struct{} // holds one entry for each segment in the making
	proofs   chan struct{} // likewise for each proof
}

// A reply is the body of every answer but that of a successful enrolment. Its field names are part of the API
// (docs/devices.md).
type reply struct {
	Code   string          `json:"code"`
	Report string          `json:"report,omitempty"` // absent where the bytes could not be read
	Height lamppost.Height `json:"height,omitempty"` // of the first commit
	Text   string          `json:"text,omitempty"`
	// Custody is a gateway's signed receipt, of a report that it holds and the ledger does not have yet.
	Custody []byte `json:"custody,omitempty"`
}

// report takes one report and answers when it is judged.
func (d *door) report(w http.ResponseWriter, r *http.Request) {
	device, ok := d.logIn(w, r)
	if !ok {
		return
	}
	raw, ok := d.body(w, r, lamppost.MaxReportBytes)
	if !ok {
		return
	}
	judged := make(sink, 1)
	var flood *ingest.FloodError
	switch err := d.cfg.Submit.TrySubmit(d.cfg.Origins.Of(device), raw, 0, judged); {
	case errors.As(err, &flood):
		d.tooMany(w, flood.Wait, codeFlood, flood.Error())
		return
	case errors.Is(err, ingest.ErrBusy):
		d.busy(w, "the node is busy: nothing was taken, send the report again")
		return
	case err != nil:
		d.busy(w, "the node is shutting down: nothing was taken, send the report again")
		return
	}
	late := time.NewTimer(d.cfg.MaxWait)
	defer late.Stop()
	select {
	case got := <-judged:
		d.answerReport(w, got)
	case <-late.C:
		d.busy(w, "the report was taken and is not committed yet: send it again to hear what became of it")
	case <-r.Context().Done(): // the client has gone and will send it again
	}
}

// A sink receives one reply; it has room for it, so that Done never blocks.
type sink chan ingest.Reply

// Done implements ingest.Sink.
func (s sink) Done(_ uint64, r ingest.Reply) { s <- r }

func (d *door) answerReport(w http.ResponseWriter, got ingest.Reply) {
	m := reply{Code: got.Code.String(), Height: got.Height, Text: got.Text}
	if !got.ID.IsZero() {
		m.Report = got.ID.String()
	}
	if d.cfg.Custody != nil {
		m.Custody = d.cfg.Custody(got)
	}
	d.answer(w, Status(got.Code), m)
}

// enrol registers the key of the device that logged in.
func (d *door) enrol(w http.ResponseWriter, r *http.Request) {
	device, ok := d.logIn(w, r)
	if !ok {
		return
	}
	raw, ok := d.body(w, r, maxEnrolBytes)
	if !ok {
		return
	}
	var in NewKey
	if err := json.Unmarshal(raw, &in); err != nil || in.Suite == "" || len(in.Key) == 0 {
		d.refuse(w, lamppost.CodeBadTx, `the body is not {"suite":"ed25519","key":"<base64>"}`)
		return
	}
	network, epoch, err := d.cfg.Enrol(r.Context(), device, in)
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		d.answer(w, http.StatusOK, struct {
			Network  string `json:"network"`
			KeyEpoch uint32 `json:"key_epoch"`
		}{network, epoch})
	case errors.As(err, &refusal):
		d.refuse(w, refusal.Code, refusal.Text)
	case r.Context().Err() != nil: // the client has gone
	default:
		d.cfg.Log.Error("http: enrolling a device", "device", device, "err", err)
		d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not enrol the device; its log says why"})
	}
}

// logIn finds out which device asks, or answers the request itself.
func (d *door) logIn(w http.ResponseWriter, r *http.Request) (device lamppost.DeviceID, ok bool) {
	user, password, given := r.BasicAuth()
	var cert *x509.Certificate
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		cert = r.TLS.VerifiedChains[0][0]
	}
	if !given && cert == nil {
		d.unauthorized(w, "log in with the device id and its token (HTTP basic authentication)")
		return "", false
	}
	who := attempt{addressOf(r.RemoteAddr), user[:min(len(user), lamppost.MaxNameBytes)]}
	if wait := d.failed.wait(who, d.cfg.Now()); wait > 0 {
		d.tooMany(w, wait, codeTooMany, "too many wrong tokens for this device from this address")
		return "", false
	}
	device, err := d.cfg.Auth(user, password, cert)
	if err != nil {
		d.failed.count(who, d.cfg.Now())
		d.cfg.Log.Warn("http: log-in refused", "user", user, "remote", r.RemoteAddr, "err", err)
		d.unauthorized(w, "the device id or its token is wrong")
		return "", false
	}
	return device, true
}

// body reads at most limit bytes, or answers the request itself.
func (d *door) body(w http.ResponseWriter, r *http.Request, limit int64) (raw []byte, ok bool) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(readTimeout)) // not every writer has deadlines: then the server's hold
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	rc.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		d.refuse(w, lamppost.CodeTooLarge, fmt.Sprintf("the body is over the limit of %d bytes", limit))
	case err != nil: // not a judgement of the report, so none of its codes
		d.answer(w, http.StatusRequestTimeout, reply{Code: codeIncomplete, Text: "the body did not come whole"})
	}
	return raw, err == nil
}
