package api

import (
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

func (s *Server) getDevices(w http.ResponseWriter, _ *http.Request) error {
	list := DeviceList{Devices: []Device{}}
	err := s.snapshot(func(r archive.View) error {
		view := ledger.View{Reader: r}
		bodies, err := view.Devices()
		if err != nil {
			return err
		}
		balances, err := balancesOf(view)
		if err != nil {
			return err
		}
		enrolled := make(map[lamppost.DeviceID]bool, len(bodies))
		for i := range bodies {
			enrolled[bodies[i].ID] = true
			if i >= maxListed {
				continue
			}
			d, err := s.device(view, &bodies[i], balances)
			if err != nil {
				return err
			}
			list.Devices = append(list.Devices, d)
		}
		list.Pending = s.cfg.Devices.pending(func(id lamppost.DeviceID) bool { return enrolled[id] })
		if s.cfg.Seen != nil {
			list.Pending = addSeen(list.Pending, s.cfg.Seen())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}

// balancesOf returns the balances of all accounts, by party or device and currency.
func balancesOf(view ledger.View) (map[lamppost.PartyID]map[string]lamppost.Micro, error) {
	accounts, err := view.Accounts()
	if err != nil {
		return nil, err
	}
	all := map[lamppost.PartyID]map[string]lamppost.Micro{}
	for _, a := range accounts {
		if all[a.Party] == nil {
			all[a.Party] = map[string]lamppost.Micro{}
		}
		all[a.Party][a.Currency] = a.Balance
	}
	return all, nil
}

// device joins what the ledger and the twin know of a device.
func (s *Server) device(view ledger.View, b *lamppost.DeviceBody, balances map[lamppost.PartyID]map[string]lamppost.Micro) (Device, error) {
	d := Device{ID: b.ID, Name: b.Name, Site: b.Site, Owner: b.Owner, Safety: b.Safety.String(), Suite: b.Suite.String(),
		Assurance: b.Assurance.String(), MeterKey: b.MeterKey, Balance: balances[lamppost.PartyID(b.ID)]}
	if b.Assurance.Wrapped() {
		d.Suite = "" // it has no key
	}
	if d.Balance == nil {
		d.Balance = map[string]lamppost.Micro{}
	}
	d.Readings, d.Last, d.Online = s.cfg.Live.readings(b.ID, s.cfg.Now())
	var err error
	d.Quarantined, err = view.Quarantine(b.ID)
	return d, err
}

func (s *Server) getDevice(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.DeviceID(r.PathValue("id"))
	var d DeviceDetail
	err := s.snapshot(func(r archive.View) (err error) {
		d, err = s.detail(ledger.View{Reader: r}, id)
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, d)
}

func (s *Server) detail(view ledger.View, id lamppost.DeviceID) (DeviceDetail, error) {
	b, err := view.Device(id)
	if errors.Is(err, kv.ErrNotFound) {
		if s.cfg.Devices.known(id) != nil {
			return DeviceDetail{}, notFound("device %q was announced but has not enrolled its key yet", id)
		}
		return DeviceDetail{}, notFound("no device %q", clip(string(id)))
	}
	if err != nil {
		return DeviceDetail{}, err
	}
	balances, err := balancesOf(view)
	if err != nil {
		return DeviceDetail{}, err
	}
	d := DeviceDetail{KeyEpoch: b.KeyEpoch, Points: []lamppost.PointBody{}, Series: []string{}}
	if d.Device, err = s.device(view, &b, balances); err != nil {
		return d, err
	}
	high, missing, lost, err := view.Sequence(id)
	if err != nil {
		return d, err
	}
	d.Seq, d.Missing, d.Lost = Seq{high.Epoch, high.N}, missing, lost
	points, err := view.Points()
	for _, p := range points {
		if p.Device == id {
			d.Points = append(d.Points, p)
		}
	}
	if err != nil {
		return d, err
	}
	for _, x := range d.Readings {
		d.Series = append(d.Series, x.Name)
	}
	d.Desired, err = s.desired(view, id)
	return d, err
}

func (s *Server) postDevice(w http.ResponseWriter, r *http.Request) error {
	var n NewDevice
	if err := readJSON(r, &n); err != nil {
		return err
	}
	token, err := s.cfg.Devices.Announce(n)
	if err != nil {
		return err
	}
	return s.showToken(w, n.ID, token)
}

func (s *Server) postToken(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.DeviceID(r.PathValue("id"))
	var n NewToken
	if r.ContentLength != 0 {
		if err := readJSON(r, &n); err != nil {
			return err
		}
	}
	token, err := s.cfg.Devices.Reissue(id, n)
	if err != nil {
		return err
	}
	return s.showToken(w, id, token)
}

func (s *Server) showToken(w http.ResponseWriter, id lamppost.DeviceID, token string) error {
	return writeJSON(w, http.StatusCreated, DeviceToken{ID: id, Token: token, MQTT: s.cfg.MQTT, HTTP: s.cfg.HTTP})
}
