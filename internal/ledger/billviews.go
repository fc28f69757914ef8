package ledger

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// A Session is one use of a device, as the state has it.
type Session struct {
	lamppost.SessionBody
	Seller  lamppost.PartyID  `json:"seller"`
	Device  lamppost.DeviceID `json:"device"`
	Held    lamppost.Micro    `json:"held"` // of the buyer's money, with tax
	Stop    lamppost.TimeMS   `json:"stop_ms,omitempty"`
	Void    string            `json:"void,omitempty"`
	Invoice string            `json:"invoice,omitempty"`
	Opened  Place             `json:"-"`
	Settled Place             `json:"-"`
	For     lamppost.DeviceID `json:"for,omitempty"` // the device that accepted it for itself
}

// State says in a word where a session stands.
func (s *Session) State() string {
	switch {
	case s.Stop == 0:
		return "open"
	case s.Void != "":
		return "void"
	case s.Invoice == "":
		return "settled"
	}
	return "billed"
}

// Sessions returns all sessions by id.
func (v View) Sessions() ([]Session, error) {
	var all []Session
	from := key('L')
	err := v.Scan(from, end(from), func(_, val []byte) error {
		s, err := v.asSession(val)
		all = append(all, s)
		return err
	})
	return all, err
}

// SessionsOf returns a buyer's sessions by id, in the way of [View.AgreementsOf].
func (v View) SessionsOf(buyer lamppost.PartyID) (all []Session, err error) {
	err = v.scanNaming('L', buyer, func(val []byte) error {
		s, err := v.asSession(val)
		if s.Buyer == buyer {
			all = append(all, s)
		}
		return err
	})
	return all, err
}

// Session returns a session, or kv.ErrNotFound.
func (v View) Session(id string) (Session, error) {
	raw, err := v.Get(useKey(id))
	if err != nil {
		return Session{}, err
	}
	return v.asSession(raw)
}

func (v View) asSession(val []byte) (Session, error) {
	u, err := decodeBody[use](val)
	if err != nil {
		return Session{}, err
	}
	s := Session{SessionBody: u.Body, Seller: u.Seller, Held: u.Held, Stop: u.Stop, Void: u.Void, Invoice: u.Invoice, Opened: u.Opened, Settled: u.Settled, For: u.For}
	mounts, err := v.Point(u.Body.Point)
	if err == nil {
		s.Device = mounts[u.Mount].Device
	}
	return s, err
}

// ServesSince returns where the first point stands that has sessions on a register: what came before is not kept for them.
func (v View) ServesSince(id lamppost.DeviceID, register string) (Place, error) {
	raw, err := v.Get(seatKey(&lamppost.PointBody{Device: id, Register: register}))
	if err != nil {
		return Place{}, err
	}
	var x seat
	return x.Since, lamppost.Unmarshal(raw, &x)
}

// Disputes returns all disputes by id.
func (v View) Disputes() ([]lamppost.DisputeBody, error) {
	return readAll[lamppost.DisputeBody](v, 'U')
}

// Dispute returns a dispute, or kv.ErrNotFound.
func (v View) Dispute(id string) (lamppost.DisputeBody, error) {
	return read[lamppost.DisputeBody](v, key('U', id))
}

// Replaced returns the number of what replaced an invoice, or "".
func (v View) Replaced(seller lamppost.PartyID, number string) (string, error) {
	b, err := read[billed](v, billedKey(seller, number))
	return b.Next, err
}

// Registers returns the values of a meter that are known on the quarter hours from a time to another, by time, with what was declared
// of it, as bills see them.
func (v View) Registers(point string, mount uint32, from, to lamppost.TimeMS) ([]tariff.Edge, error) {
	mounts, err := v.Point(point)
	if err != nil || int(mount) >= len(mounts) {
		return nil, errors.Join(err, kv.ErrNotFound)
	}
	return registers(v, &mounts[mount], after(mounts, int(mount)), from, to)
}
