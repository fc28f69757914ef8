package httpd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/sig"
)

// Gateways is what the node does for gateways on site. Its methods are called by many goroutines at once. An error that
// is a *lamppost.Refusal is told to the gateway; others are logged.
type Gateways interface {
	// Authenticate says which gateway a client is, by the id and token it was announced with.
	Authenticate(user, password string) (lamppost.MemberID, error)
	// Register makes a gateway's Ed25519 key known to the ledger. The same key again changes nothing; another one takes the
	// consent of the key before, a lamppost.KeyChange, or a new token.
	Register(ctx context.Context, id lamppost.MemberID, key, consent []byte) (network string, keyEpoch uint32, err error)
	// Fleet lists the devices whose reports the gateway takes.
	Fleet(id lamppost.MemberID) (Fleet, error)
	// Segment has a segment of the gateway ordered, and returns once that is durable. A refusal means that it was not
	// ordered and never will be.
	Segment(ctx context.Context, id lamppost.MemberID, raw []byte) (lamppost.Height, []lamppost.Outcome, error)
	// Guards takes what the guards decide that the gateway runs for its devices, and answers for each device of which something is
	// asked, or that has a charter which the word does not know.
	Guards(id lamppost.MemberID, words map[lamppost.DeviceID]guard.Word) (map[lamppost.DeviceID]guard.Asked, error)
}

// A Fleet is what a gateway must know to take reports while it cannot ask.
type Fleet struct {
	Network string            `json:"network"`
	Gateway lamppost.MemberID `json:"gateway"` // as whom it signs
	Devices []FleetDevice     `json:"devices"` // by id
}

// A FleetDevice is a device that may log in at a gateway. Without keys it has not enrolled yet, or its key was revoked, or
// it does not sign by itself.
type FleetDevice struct {
	ID       lamppost.DeviceID    `json:"id"`
	Token    []byte               `json:"token"`               // SHA-256 of its token
	Safety   lamppost.SafetyClass `json:"safety"`              // its number; one that is not known counts as essential
	KeyEpoch uint32               `json:"key_epoch,omitempty"` // of its latest key
	Keys     []FleetKey           `json:"keys,omitempty"`      // that count: the one it has, and perhaps the one before
}

// A FleetKey is a key that a device's reports may be signed with.
type FleetKey struct {
	Suite sig.Suite       `json:"suite"`
	Key   []byte          `json:"key"`
	Epoch uint32          `json:"epoch"`
	Until lamppost.TimeMS `json:"until_ms,omitempty"` // 0: until further notice
}

// A Delivery says where a segment was ordered and what became of its reports.
type Delivery struct {
	Height   lamppost.Height `json:"height"`
	Outcomes []Run           `json:"outcomes"` // in the order of the reports
}

// A Run is N reports in a row with the same outcome.
type Run struct {
	N    int    `json:"n"`
	Code string `json:"code"`
	Text string `json:"text,omitempty"` // of a refusal
}

// runs puts equal neighbours together: nearly always all are accepted, which is one entry.
func runs(outcomes []lamppost.Outcome) []Run {
	list := []Run{}
	for i := range outcomes {
		r := Run{N: 1, Code: outcomes[i].Code.String(), Text: outcomes[i].Text}
		if n := len(list); n > 0 && list[n-1].Code == r.Code && list[n-1].Text == r.Text {
			list[n-1].N++
			continue
		}
		list = append(list, r)
	}
	return list
}

// gatewayRoutes are those of gateways; each logs in like a device, with its own id and token.
func (d *door) gatewayRoutes(mux *http.ServeMux) {
	as := func(do func(w http.ResponseWriter, r *http.Request, id lamppost.MemberID)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if id, ok := d.logInGateway(w, r); ok {
				do(w, r, id)
			}
		}
	}
	mux.HandleFunc("POST /v1/gateway", as(d.register))
	mux.HandleFunc("GET /v1/gateway/devices", as(d.fleet))
	mux.HandleFunc("POST /v1/gateway/guards", as(d.guardWords))
	mux.HandleFunc("POST /v1/segments", as(d.segment))
}

func (d *door) logInGateway(w http.ResponseWriter, r *http.Request) (id lamppost.MemberID, ok bool) {
	user, password, _ := r.BasicAuth()
	who := attempt{addressOf(r.RemoteAddr), user[:min(len(user), lamppost.MaxNameBytes)]}
	if wait := d.failed.wait(who, d.cfg.Now()); wait > 0 {
		d.tooMany(w, wait, codeTooMany, "too many wrong tokens for this gateway from this address")
		return "", false
	}
	id, err := d.cfg.Gateways.Authenticate(user, password)
	if err != nil {
		d.failed.count(who, d.cfg.Now())
		d.cfg.Log.Warn("http: log-in of a gateway refused", "user", user, "remote", r.RemoteAddr, "err", err)
		d.unauthorized(w, "the gateway's id or its token is wrong")
		return "", false
	}
	return id, true
}

// register makes the key of the gateway that logged in known.
func (d *door) register(w http.ResponseWriter, r *http.Request, id lamppost.MemberID) {
	raw, ok := d.body(w, r, maxEnrolBytes)
	if !ok {
		return
	}
	var in struct { // in standard base64 (RFC 4648 §4)
		Key     []byte `json:"key"`
		Consent []byte `json:"consent"`
	}
	if err := json.Unmarshal(raw, &in); err != nil || len(in.Key) == 0 {
		d.refuse(w, lamppost.CodeBadTx, `the body is not {"key":"<base64>"}`)
		return
	}
	network, epoch, err := d.cfg.Gateways.Register(r.Context(), id, in.Key, in.Consent)
	if err != nil {
		d.failGateway(w, r, "registering a gateway", id, err)
		return
	}
	d.answer(w, http.StatusOK, struct {
		Network  string `json:"network"`
		KeyEpoch uint32 `json:"key_epoch"`
	}{network, epoch})
}

// fleet answers with the gateway's devices, or 304 where the gateway has that very list.
func (d *door) fleet(w http.ResponseWriter, r *http.Request, id lamppost.MemberID) {
	f, err := d.cfg.Gateways.Fleet(id)
	if err != nil {
		d.failGateway(w, r, "listing a gateway's devices", id, err)
		return
	}
	raw, err := json.Marshal(f)
	if err != nil {
		d.failGateway(w, r, "listing a gateway's devices", id, err)
		return
	}
	sum := sha256.Sum256(raw)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d.answer(w, http.StatusOK, json.RawMessage(raw))
}

// segment has one segment ordered. Few are in the making at once: each may be lamppost.MaxTxBytes long.
func (d *door) segment(w http.ResponseWriter, r *http.Request, id lamppost.MemberID) {
	select {
	case d.segments <- struct{}{}:
		defer func() { <-d.segments }()
	default:
		d.busy(w, "the node is busy with other gateways' segments: send it again")
		return
	}
	raw, ok := d.body(w, r, lamppost.MaxTxBytes)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxSegmentWait)
	defer cancel()
	height, outcomes, err := d.cfg.Gateways.Segment(ctx, id, raw)
	switch {
	case err == nil:
		d.answer(w, http.StatusOK, Delivery{Height: height, Outcomes: runs(outcomes)})
	case ctx.Err() != nil && r.Context().Err() == nil:
		d.busy(w, "the segment is not committed yet: send it again to hear what became of it")
	default:
		d.failGateway(w, r, "taking a gateway's segment", id, err)
	}
}

func (d *door) failGateway(w http.ResponseWriter, r *http.Request, doing string, id lamppost.MemberID, err error) {
	var refusal *lamppost.Refusal
	switch {
	case errors.As(err, &refusal):
		d.refuse(w, refusal.Code, refusal.Text)
	case r.Context().Err() != nil: // the client has gone
	default:
		d.cfg.Log.Error("http: "+doing, "gateway", id, "err", err)
		d.answer(w, http.StatusInternalServerError, reply{Code: codeInternal, Text: "the node could not do it; its log says why"})
	}
}
