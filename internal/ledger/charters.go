package ledger

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// Charters and what is asked of guards. The ledger keeps both and decides nothing about a device: its guard does (package guard).

// maxCharters bounds what is kept of one device.
const maxCharters = 256

func restrictionKey(id lamppost.DeviceID, restriction string) []byte {
	return key('y', string(id), restriction)
}

// charter registers what a device's guard keeps to.
func (s *State) charter(b lamppost.CharterBody) error {
	d := s.devices[b.Device]
	if d == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q whose guard could keep to a charter", b.Device)
	}
	before, err := s.lastCharter(b.Device)
	if err != nil {
		return err
	}
	o, err := lamppost.ReadOffer(s.net.Network, before, b.Charter, b.Second)
	if err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := mayFollow(before, &o, d.Body.Safety); err != nil {
		return err
	}
	if o.Charter.Device != b.Device {
		return lamppost.Refuse(lamppost.CodeBadTx, "the charter is of device %q, not of %q", o.Charter.Device, b.Device)
	}
	if before == nil && len(b.Second) > 0 {
		return lamppost.Refuse(lamppost.CodeBadTx, "the first charter of %q follows none whose second party could agree", b.Device)
	}
	s.putBody(epochKey('u', string(b.Device), o.Charter.Number), b)
	return nil
}

// mayFollow refuses a charter that its signatures do not carry. before is nil for the first.
func mayFollow(before *lamppost.Charter, o *lamppost.Offer, enrolled lamppost.SafetyClass) error {
	c := &o.Charter
	next, less := uint32(1), ""
	if before != nil {
		next, less = before.Number+1, c.Falls(before)
	}
	switch {
	case c.Number != next || next > maxCharters:
		return lamppost.Refuse(lamppost.CodeExists, "the next charter of %q has number %d, of at most %d", c.Device, next, maxCharters)
	case !o.Signed:
		return lamppost.Refuse(lamppost.CodeBadSignature, "charter %d of %q is not signed by its owner", c.Number, c.Device)
	case less != "" && !o.Agreed:
		return lamppost.Refuse(lamppost.CodeForbidden, "charter %d of %q protects less (%s): the second party of the one before must sign it too", c.Number, c.Device, less)
	case before == nil && !slices.ContainsFunc(c.Functions, func(f lamppost.Function) bool { return f.Class.Rank() >= enrolled.Rank() }):
		return lamppost.Refuse(lamppost.CodeBadTx, "%q is enrolled as %s: one function of its first charter is at least that", c.Device, enrolled)
	}
	return nil
}

func (s *State) lastCharter(id lamppost.DeviceID) (*lamppost.Charter, error) {
	all, err := s.view().Charters(id)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	c, err := lamppost.ParseCharter(all[len(all)-1].Charter)
	if err != nil {
		return nil, err
	}
	return &c.Charter, nil
}

// restrict keeps what is asked of a guard, or forgets it.
func (s *State) restrict(b lamppost.RestrictBody) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q to restrict", b.Device)
	}
	asked, err := s.view().Restrictions(b.Device)
	if err != nil {
		return err
	}
	ended := func(r Restriction) bool { return r.Until <= s.time }
	open := slices.DeleteFunc(slices.Clone(asked), ended)
	there := slices.ContainsFunc(open, func(r Restriction) bool { return r.ID == b.ID })
	_, party := s.parties[b.By]
	switch {
	case b.Lifted && !there:
		return lamppost.Refuse(lamppost.CodeUnknown, "no restriction %q of %q to lift", b.ID, b.Device)
	case b.Lifted:
	case there:
		return lamppost.Refuse(lamppost.CodeExists, "restriction %q of %q exists: lift it first", b.ID, b.Device)
	case !party:
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q that could ask for restriction %q", b.By, b.ID)
	case b.Notice > s.time || b.Until <= s.time || b.Until > s.time+lamppost.MaxNoticeMS:
		return lamppost.Refuse(lamppost.CodeBadTx, "restriction %q: notice was given before now, and it ends after now and within 366 days", b.ID)
	case len(open) == lamppost.MaxRestrictions:
		return lamppost.Refuse(lamppost.CodeBadTx, "%d restrictions are asked of %q, which is the most", len(open), b.Device)
	}
	for _, r := range asked {
		if ended(r) || b.Lifted && r.ID == b.ID {
			s.del(restrictionKey(b.Device, r.ID))
		}
	}
	if !b.Lifted {
		s.putBody(restrictionKey(b.Device, b.ID), b)
	}
	return nil
}

// Charters returns the charters of a device, by number.
func (v View) Charters(id lamppost.DeviceID) ([]lamppost.CharterBody, error) {
	return readRange[lamppost.CharterBody](v, append(key('u', string(id)), 0))
}

// A Restriction is asked of a guard.
type Restriction struct {
	lamppost.RestrictBody
	Place Place `json:"-"` // of the order, which tells it from a later one with the same id
}

// Restrictions returns what is asked of a device's guard, by id, with what has ended and was not taken back.
func (v View) Restrictions(id lamppost.DeviceID) (all []Restriction, err error) {
	from := append(key('y', string(id)), 0)
	err = v.Scan(from, end(from), func(_, val []byte) error {
		at, err := decodePlace(val)
		if err != nil {
			return err
		}
		b, err := decodeBody[lamppost.RestrictBody](slices.Clone(val))
		all = append(all, Restriction{b, at})
		return err
	})
	return all, err
}
