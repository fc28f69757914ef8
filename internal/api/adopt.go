package api

import (
	"context"
	"errors"
	"net/http"
	"sort"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Adopt enrols a device that has no key and speaks by a mapping; this node wraps what it says. A channel-authenticated
// device logs in by its own token, so it was announced, or at a broker that checks who it is; an announcement's owner,
// name, site and safety class count. An unsigned one is brought by a bridge or a broker.
func (d *Devices) Adopt(ctx context.Context, id lamppost.DeviceID, a Adoption) error {
	if d.gateway == "" {
		return lamppost.Refuse(lamppost.CodeForbidden, "this node vouches for nobody")
	}
	if a.Assurance == "" {
		return lamppost.Refuse(lamppost.CodeBadTx, "device %q has not spoken since the node started: say assurance %s or %s", clip(string(id)),
			lamppost.ChannelAuthenticated, lamppost.Unsigned)
	}
	assurance, err := lamppost.ParseAssurance(a.Assurance)
	if err != nil || !assurance.Wrapped() {
		return lamppost.Refuse(lamppost.CodeBadTx, "assurance %q: use %s or %s", clip(a.Assurance), lamppost.ChannelAuthenticated, lamppost.Unsigned)
	}
	safety, err := parseSafety(a.Safety)
	if err != nil {
		return err
	}
	t := issued{KeyEpoch: 1, Owner: a.Owner, Name: a.Name, Site: a.Site, Safety: safety}
	announced := d.known(id)
	if assurance == lamppost.ChannelAuthenticated && announced == nil && !d.brokered {
		return lamppost.Refuse(lamppost.CodeUnknown, "device %q was not announced and cannot log in: POST /api/devices first", clip(string(id)))
	}
	if announced != nil {
		t = *announced
	}
	switch _, err := (ledger.View{Reader: d.store}).Device(id); {
	case err == nil && announced == nil:
		return lamppost.Refuse(lamppost.CodeExists, "device %q is enrolled", clip(string(id)))
	case err != nil && !errors.Is(err, kv.ErrNotFound):
		return err
	}
	b := t.body(id)
	b.Assurance, b.Gateway = assurance, d.gateway
	_, err = d.order.do(ctx, lamppost.TxDevice, b)
	return err
}

func (s *Server) postAdoption(w http.ResponseWriter, r *http.Request) error {
	var a Adoption
	if err := readJSON(r, &a); err != nil {
		return err
	}
	id := lamppost.DeviceID(r.PathValue("id"))
	if a.Assurance == "" {
		a.Assurance = s.came(id)
	}
	ctx, cancel := context.WithTimeout(r.Context(), orderTimeout)
	defer cancel()
	if err := s.cfg.Devices.Adopt(ctx, id, a); err != nil {
		return err
	}
	var d DeviceDetail
	err := s.snapshot(func(r archive.View) (err error) {
		d, err = s.detail(ledger.View{Reader: r}, id)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, d)
}

// came says what a device can be adopted as by the way it came, nothing where it did not.
func (s *Server) came(id lamppost.DeviceID) string {
	if s.cfg.Seen == nil {
		return ""
	}
	for _, x := range s.cfg.Seen() {
		if x.ID == id {
			return x.Assurance
		}
	}
	return ""
}

// addSeen puts devices that speak without a key among those that wait.
func addSeen(pending []PendingDevice, seen []PendingDevice) []PendingDevice {
	at := make(map[lamppost.DeviceID]int, len(pending))
	for i := range pending {
		at[pending[i].ID] = i
	}
	for _, x := range seen {
		if i, announced := at[x.ID]; announced {
			pending[i].Seen, pending[i].Topic, pending[i].Mapping, pending[i].Assurance = x.Seen, x.Topic, x.Mapping, x.Assurance
		} else {
			pending = append(pending, x)
		}
	}
	sort.Slice(pending, func(i, j int) bool { return pending[i].ID < pending[j].ID })
	return pending
}
