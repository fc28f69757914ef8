package ledger

import (
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What devices should be like. The ledger numbers the commands to a device and keeps the latest; it neither judges one, which the device's
// guard does, nor ends it, which clocks do.

// recentCommands is how many commands to a device are remembered.
const recentCommands = 16

// A Desire is the latest command to a device.
type Desire struct {
	Body     lamppost.DesireBody `cbor:"1,keyasint"`
	Revision uint64              `cbor:"2,keyasint"`
	Time     lamppost.TimeMS     `cbor:"3,keyasint"` // of its block
	Recent   []Command           `cbor:"4,keyasint"` // up to this one, which is the last; each is one revision
	Place    Place               `cbor:"-"`
}

// A Command is remembered so that a retry is known again.
type Command struct {
	ID     string          `cbor:"1,keyasint"`
	Height lamppost.Height `cbor:"2,keyasint"` // of its block
}

// find returns where a command is remembered, or -1.
func (d *Desire) find(id string) int {
	return slices.IndexFunc(d.Recent, func(c Command) bool { return c.ID == id })
}

// Told is the message to the device at a time: without setpoints once the command is over.
func (d *Desire) Told(now lamppost.TimeMS) lamppost.Desired {
	m := lamppost.Desired{Revision: d.Revision}
	if left := d.Body.Until - now; left > 0 {
		m.Until, m.Left, m.Set = d.Body.Until, min(left, lamppost.MaxDesireMS), d.Body.Set
	}
	return m
}

func desireKey(id lamppost.DeviceID) []byte { return key('8', string(id)) }

// desire makes a command the latest of its device.
func (s *State) desire(b lamppost.DesireBody) (out lamppost.Outcome, err error) {
	if err := b.Check(); err != nil {
		return out, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := b.CheckMode(); err != nil {
		return out, lamppost.Refuse(lamppost.CodeForbidden, "%v", err)
	}
	if s.devices[b.Device] == nil {
		return out, lamppost.Refuse(lamppost.CodeUnknown, "no device %q that could be commanded", b.Device)
	}
	if err := s.mayAct(&b); err != nil {
		return out, err
	}
	d, err := s.view().Desire(b.Device)
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return out, err
	}
	switch same := d.find(b.ID); {
	case same >= 0 && same == len(d.Recent)-1 && !slices.Equal(d.Body.Set, b.Set):
		return out, lamppost.Refuse(lamppost.CodeExists, "command %q of %q is revision %d and sets something else: another command has another id", b.ID, b.Device, d.Revision)
	case same >= 0:
		return duplicateOf(Place{Height: d.Recent[same].Height}), nil
	case b.After != nil && *b.After != d.Revision:
		return out, lamppost.Refuse(lamppost.CodeExists, "%q is at revision %d by %s, not at %d: look at it and command again", b.Device, d.Revision, d.Body.By, *b.After)
	case len(b.Set) > 0 && (b.Until <= s.time || b.Until > s.time+lamppost.MaxDesireMS):
		return out, lamppost.Refuse(lamppost.CodeBadTx, "command %q: it ends after now and within 7 days", b.ID)
	}
	recent := append(d.Recent, Command{b.ID, s.height})
	s.putBody(desireKey(b.Device), Desire{Body: b, Revision: d.Revision + 1, Time: s.time, Recent: recent[max(0, len(recent)-recentCommands):]})
	return out, nil
}

// mayAct refuses a command of an agent that says it may act where the device's owner has said otherwise meanwhile. Letting go is always allowed, and an agent
// that nobody registered has its own word alone.
func (s *State) mayAct(b *lamppost.DesireBody) error {
	if b.Mode != lamppost.ModeBounded {
		return nil
	}
	a, err := s.view().Agent(b.Device)
	if errors.Is(err, kv.ErrNotFound) || err == nil && a.Mode == lamppost.AgentBounded {
		return nil
	}
	if err != nil {
		return err
	}
	return lamppost.Refuse(lamppost.CodeForbidden, "the agent of %q is in mode %q, and commands nothing: lamppost agent set says otherwise", b.Device, a.Mode)
}

// Desire returns the latest command to a device, also one that is over; kv.ErrNotFound if there was none.
func (v View) Desire(id lamppost.DeviceID) (Desire, error) {
	raw, err := v.Get(desireKey(id))
	if err != nil {
		return Desire{}, err
	}
	return asDesire(raw)
}

// Desires returns the latest command to each device that was ever commanded.
func (v View) Desires() (all []Desire, err error) {
	from := key('8')
	err = v.Scan(from, end(from), func(_, val []byte) error {
		d, err := asDesire(slices.Clone(val))
		all = append(all, d)
		return err
	})
	return all, err
}

func asDesire(val []byte) (Desire, error) {
	at, err := decodePlace(val)
	if err != nil {
		return Desire{}, err
	}
	d, err := decodeBody[Desire](val)
	d.Place = at
	return d, err
}
