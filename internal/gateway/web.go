package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/lamppost/lamppost"
)

// Status is how a gateway is, as GET /healthz says.
type Status struct {
	Gateway lamppost.MemberID `json:"gateway"`
	Network string            `json:"network"`
	Now     lamppost.TimeMS   `json:"now_ms"`
	// KeyEpoch is of the key that signs; Rotating: the upstream has not confirmed the next one yet.
	KeyEpoch uint32          `json:"key_epoch"`
	Rotating bool            `json:"rotating"`
	Full     bool            `json:"full"` // devices are told to try again
	Devices  int             `json:"devices"`
	Uplink   Uplink          `json:"uplink"`
	Held     Held            `json:"held"`
	Lag      lamppost.TimeMS `json:"lag_ms"` // age of the oldest report that is held
	Counts   Counts          `json:"delivered"`
}

// Status may be called at any time.
func (g *Gateway) Status() Status {
	id := g.keys.who()
	s := Status{Gateway: id.ID, Network: id.Network, Now: g.now(), Uplink: g.way.status()}
	s.KeyEpoch, s.Rotating = g.keys.state()
	s.Held, s.Counts = g.keep.held()
	s.Full, _ = g.keep.full()
	_, s.Devices = g.fleet.tagged()
	if s.Held.Oldest != 0 {
		s.Lag = max(0, s.Now-s.Held.Oldest)
	}
	return s
}

func (g *Gateway) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(g.Status()) // an error here is the client's going away
}

// enrol carries a device's enrolment to the upstream and its answer back: only the upstream can order it. Then the
// device's key is fetched with the list.
func (g *Gateway) enrol(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		http.Error(w, "the body is too large or did not come whole", http.StatusRequestEntityTooLarge)
		return
	}
	user, password, ok := r.BasicAuth()
	if _, err := g.fleet.authenticate(user, password, nil); err != nil || !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="lamppost", charset="UTF-8"`)
		http.Error(w, "the device id or its token is wrong", http.StatusUnauthorized)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.cfg.Upstream+"/v1/enrol", bytes.NewReader(body))
	if err != nil {
		http.Error(w, "the upstream's address is wrong", http.StatusInternalServerError)
		return
	}
	req.SetBasicAuth(user, password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.cfg.Client.Do(req)
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the uplink is down: enrol again later", http.StatusServiceUnavailable)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := g.refresh(r.Context()); err != nil {
			g.cfg.Log.Warn("a device enrolled, and the list of devices stays as it was", "device", user, "err", err)
		}
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, io.LimitReader(resp.Body, maxReplyBytes)) // an error here is the client's going away
}
