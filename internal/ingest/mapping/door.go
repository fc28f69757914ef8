package mapping

import (
	"context"
	"errors"
	"sort"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// Enrolled is what counts of a device's enrolment here.
type Enrolled struct {
	Assurance lamppost.Assurance
	Gateway   lamppost.MemberID
	KeyEpoch  uint32
}

// A Wrapper numbers, signs and submits readings; *ingest.Wrapper is one.
type Wrapper interface {
	Wrap(ctx context.Context, device lamppost.DeviceID, epoch uint32, readings []lamppost.Reading, flags uint32, token uint64, sink ingest.Sink) error
}

// Config is what a Door needs; all of it.
type Config struct {
	Set      *Set
	Gateway  lamppost.MemberID // this node
	Enrolled func(lamppost.DeviceID) (Enrolled, bool)
	Wrap     Wrapper
	Now      func() lamppost.TimeMS
}

// A Door admits messages of devices without a key, by two rules. A channel-authenticated device speaks for itself, on a
// connection that logged in as this device. For an unsigned device a bridge may speak too, a connection that the mapping
// file names, and a broker that relays. Devices that speak and are not enrolled are remembered, to be adopted. Safe for
// concurrent use.
type Door struct {
	cfg Config

	mu   sync.Mutex
	seen map[lamppost.DeviceID]*Seen
}

// Seen is a device that spoke and is not enrolled.
type Seen struct {
	ID      lamppost.DeviceID
	Topic   string
	Mapping string
	Bridge  bool // somebody else's connection brought it
	Last    lamppost.TimeMS
}

// Assurance is what the device can be adopted as, by the way it came.
func (s *Seen) Assurance() lamppost.Assurance {
	if s.Bridge {
		return lamppost.Unsigned
	}
	return lamppost.ChannelAuthenticated
}

// NewDoor returns a Door.
func NewDoor(cfg Config) *Door { return &Door{cfg: cfg, seen: map[lamppost.DeviceID]*Seen{}} }

// Device says whom a topic names, by the mappings.
func (d *Door) Device(topic string) (lamppost.DeviceID, bool) {
	name, _, ok := d.cfg.Set.Match(topic)
	return lamppost.DeviceID(name), ok
}

// Publish takes a message that came over a connection. It returns false, and has done nothing, where no mapping is for the
// topic. Otherwise sink.Done is called once with what became of it, unless there is an error: then it is not called, and
// nothing is taken any more, or after an *ingest.FloodError for a while. A message with nothing in it to keep is accepted.
func (d *Door) Publish(ctx context.Context, from *ingest.Origin, topic string, message []byte, token uint64, sink ingest.Sink) (bool, error) {
	name, m, ok := d.cfg.Set.Match(topic)
	if !ok {
		return false, nil
	}
	id := lamppost.DeviceID(strings.Clone(name))
	err := d.publish(ctx, from, id, topic, m, message, token, sink)
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		sink.Done(token, ingest.Reply{Code: refusal.Code, Text: refusal.Text})
		return true, nil
	}
	return true, err
}

func (d *Door) publish(ctx context.Context, from *ingest.Origin, id lamppost.DeviceID, topic string, m *Mapping, message []byte, token uint64, sink ingest.Sink) error {
	if err := lamppost.CheckName("device", string(id)); err != nil {
		return lamppost.Refuse(lamppost.CodeForbidden, "%v: rename it where it publishes", err)
	}
	if err := from.Allowance.Check(); err != nil {
		return err
	}
	e, err := d.judge(from, id, topic, m)
	if err != nil {
		return err
	}
	now := d.cfg.Now()
	readings, err := m.Read(message, now)
	if err != nil {
		from.Allowance.Spend()
		return err
	}
	if len(readings) == 0 {
		sink.Done(token, ingest.Reply{Code: lamppost.CodeOK})
		return nil
	}
	return d.cfg.Wrap.Wrap(ctx, id, e.KeyEpoch, readings, flags(from, readings, now), token, sink)
}

// judge says whether this connection may speak for the device.
func (d *Door) judge(from *ingest.Origin, id lamppost.DeviceID, topic string, m *Mapping) (Enrolled, error) {
	own := from.Device == id && !from.Relayed
	if !own && !from.Relayed && !d.cfg.Set.Bridge(from.Device) {
		return Enrolled{}, lamppost.Refuse(lamppost.CodeForbidden, "this connection is %q's and no bridge", from.Device)
	}
	e, ok := d.cfg.Enrolled(id)
	switch {
	case !ok:
		d.remember(Seen{ID: id, Topic: strings.Clone(topic), Mapping: m.Name, Bridge: !own, Last: d.cfg.Now()})
		return e, lamppost.Refuse(lamppost.CodeUnknown, "no device of this name is enrolled: lamppost device adopt %s", id)
	case !e.Assurance.Wrapped():
		return e, lamppost.Refuse(lamppost.CodeForbidden, "this device is enrolled as %s: unsigned messages do not count for it", e.Assurance)
	case e.Gateway != d.cfg.Gateway:
		return e, lamppost.Refuse(lamppost.CodeForbidden, "this device is enrolled with gateway %q", e.Gateway)
	case e.Assurance == lamppost.ChannelAuthenticated && from.Relayed:
		return e, lamppost.Refuse(lamppost.CodeForbidden, "this device is enrolled as %s, and a broker does not say who published: "+
			"mqtt_broker_acl says that it checks", e.Assurance)
	case e.Assurance == lamppost.ChannelAuthenticated && !own:
		return e, lamppost.Refuse(lamppost.CodeForbidden, "this device is enrolled as %s: nobody else's connection speaks for it", e.Assurance)
	}
	return e, nil
}

// flags marks registers that were read at a quarter hour, so that bills can rest on them. What waited on its way was read
// at another time, nobody knows when.
func flags(from *ingest.Origin, readings []lamppost.Reading, now lamppost.TimeMS) uint32 {
	if _, near := lamppost.SnapToEdge(now); !near || from.Late {
		return 0
	}
	for i := range readings {
		if readings[i].Kind == lamppost.Register {
			return lamppost.FlagBilling
		}
	}
	return 0
}

func (d *Door) remember(s Seen) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[s.ID] == nil && len(d.seen) >= maxSeen {
		oldest := s
		for _, x := range d.seen {
			if x.Last < oldest.Last || x.Last == oldest.Last && x.ID < oldest.ID {
				oldest = *x
			}
		}
		delete(d.seen, oldest.ID)
	}
	d.seen[s.ID] = &s
}

// Seen lists the devices that spoke since the start and are not enrolled, by id.
func (d *Door) Seen() []Seen {
	d.mu.Lock()
	list := make([]Seen, 0, len(d.seen))
	for _, s := range d.seen {
		list = append(list, *s)
	}
	d.mu.Unlock()
	waiting := list[:0]
	for _, s := range list {
		if _, enrolled := d.cfg.Enrolled(s.ID); !enrolled {
			waiting = append(waiting, s)
		}
	}
	sort.Slice(waiting, func(i, j int) bool { return waiting[i].ID < waiting[j].ID })
	return waiting
}
