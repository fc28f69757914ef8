package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
)

// An event is something that happens at a charger at a time.
type event struct {
	at   lamppost.TimeMS
	what happening
	stay int // index into the car park's stays; of a tick -1
}

// A happening is what an event is of. Of events at one time the smaller happens first.
type happening uint8

const (
	tick    happening = iota // a quarter hour
	begins                   // a car is plugged in
	dark                     // the power of the charger is cut
	light                    // it is back
	lineOff                  // its connection is lost
	lineOn                   // and is back
	forget                   // it starts anew and has forgotten its session
	filled                   // no more power flows
	ends                     // the car is plugged out
)

// events returns what happens at a charger, in order.
func (p *carPark) events(charger int) []event {
	var all []event
	for at := p.from; at <= p.to; at += quarterMS {
		all = append(all, event{at, tick, -1})
	}
	for i := range p.stays {
		s := &p.stays[i]
		if s.charger != charger {
			continue
		}
		all = append(all, event{s.in, begins, i}, event{s.out, ends, i})
		switch s.mishap {
		case powerCut:
			all = append(all, event{s.at, dark, i}, event{s.back, light, i})
		case offline:
			all = append(all, event{s.at, lineOff, i}, event{s.back, lineOn, i})
		case forgets, onlyStart:
			all = append(all, event{s.at, forget, i})
		}
		if end := s.ended(); end > s.in && end < s.out {
			all = append(all, event{end, filled, i})
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.what, b.what)) })
	return all
}

// A charger is a device of the car park at work. One goroutine lives it; the register outlives power cuts, as a meter's does.
type charger struct {
	*fitted
	fitting
	park   *carPark
	desk   *desk
	line   *line
	events []event

	base   int64 // register, without the car that is there
	before int64 // and without the one before that
	now    int   // the stay that is metered; -1: none
	off    bool
	ended  chan error // of the stay before: what came of it
}

// A line is a charger's connection, which can be down.
type line struct {
	sender
	down atomic.Bool
}

var errLineDown = errors.New("the line is down")

// Send implements [device.Sender].
func (l *line) Send(ctx context.Context, report []byte) (device.Ack, error) {
	if l.down.Load() {
		return device.Ack{}, errLineDown
	}
	return l.sender.Send(ctx, report)
}

// openCharger fits a charger.
func (d *desk) openCharger(ctx context.Context, i int) (*charger, error) {
	spec := &d.park.machines[i]
	f, err := d.fit(ctx, spec)
	if err != nil {
		return nil, err
	}
	f.device.MinBackoff, f.device.MaxBackoff = pollEvery, 5*pollEvery // by the wall, on which an hour is short
	c := &charger{fitted: &fitted{machineSpec: spec, clock: d.clock, tally: d.tally}, fitting: f, park: d.park, desk: d,
		events: d.park.events(i), base: int64(12_000_000 + 371_300*i), now: -1}
	return c, c.powerUp()
}

// powerUp starts the charger's program, from what is in its folder.
func (c *charger) powerUp() error {
	mqtt, err := devicemqtt.Open(c.mqtt)
	if err != nil {
		return err
	}
	c.line = &line{sender: mqtt}
	if err := c.start(c.line, c.device); err != nil {
		return errors.Join(err, mqtt.Close())
	}
	return nil
}

// power is what flows, in W.
func (c *charger) power(t lamppost.TimeMS) int64 {
	if c.now < 0 {
		return 0
	}
	return c.park.stays[c.now].power(t)
}

// register is what the meter shows.
func (c *charger) register(t lamppost.TimeMS) int64 {
	if c.now < 0 {
		return c.base
	}
	return c.base + c.park.stays[c.now].used(t)
}

// live lets everything happen in its time, until the end or until ctx is done: then a car that is there leaves.
func (c *charger) live(ctx, life context.Context) error {
	for _, e := range c.events {
		if c.clock.Until(ctx, stamp(e.at)) != nil {
			break // told to stop
		}
		if err := c.happens(ctx, life, e); err != nil {
			return fmt.Errorf("%s at %s: %w", c.id, stamp(e.at).Format("2006-01-02T15:04:05Z"), err)
		}
	}
	return c.leave(ctx, life)
}

func (c *charger) happens(ctx, life context.Context, e event) error {
	if e.stay >= 0 && e.what != begins && e.stay != c.now && e.what != lineOn {
		return nil // of a car that was not let charge, or a session that is forgotten
	}
	switch e.what {
	case tick:
		return c.measure(e.at)
	case begins:
		return c.arrive(ctx, life, e.stay)
	case dark:
		c.desk.tell(e.at, c, "power cut in the middle of session %s at %s kWh", c.desk.uses[e.stay].id, kWh(c.register(e.at)))
		c.off = true
		err := c.close()
		c.sending = nil
		return err
	case light:
		return c.lightAgain(life, e)
	case lineOff:
		c.line.down.Store(true)
		c.desk.tell(e.at, c, "offline in the middle of session %s: reports wait in the charger", c.desk.uses[e.stay].id)
	case lineOn:
		c.lineAgain(e.at)
	case forget:
		c.desk.tell(e.at, c, "its program starts anew and has forgotten session %s: no stop will come", c.desk.uses[e.stay].id)
		c.part(ctx, life, e.at)
	case filled:
		return c.meter(e.at, c.register(e.at))
	case ends:
		if err := c.stop(e.at); err != nil {
			return err
		}
		c.part(ctx, life, e.at)
	}
	return nil
}

// measure reports how things are, and what bills are made from while a session lasts.
func (c *charger) measure(at lamppost.TimeMS) error {
	if c.off {
		return nil
	}
	c.tally.took(c.id, at, amount{1, 2})
	_, err := c.dev.Report(
		lamppost.Reading{Name: registerEnergy, Unit: "Wh", Kind: lamppost.Register, Time: at, Value: lamppost.Dec(c.register(at), 0)},
		lamppost.Reading{Name: "power", Unit: "W", Kind: lamppost.Gauge, Time: at, Value: lamppost.Dec(c.power(at), 0)})
	if err != nil || c.now < 0 {
		return err
	}
	return c.meter(at, c.register(at))
}

// meter signs a register's value of a session at its very time.
func (c *charger) meter(at lamppost.TimeMS, wh int64) error {
	if c.off {
		return nil
	}
	c.tally.took(c.id, at, amount{1, 1})
	_, err := c.dev.ReportMoment(
		lamppost.Reading{Name: registerEnergy, Unit: "Wh", Kind: lamppost.Register, Time: at, Value: lamppost.Dec(wh, 0)})
	return err
}

// arrive asks for a session, when the one before is settled, and starts metering it.
func (c *charger) arrive(ctx, life context.Context, stay int) error {
	if err := c.settled(); err != nil {
		return err
	}
	may, err := c.desk.open(life, c, stay)
	if err != nil || !may {
		return err
	}
	c.now = stay
	s := &c.park.stays[stay]
	return c.meter(s.in, c.register(s.in))
}

// stop signs what the meter shows at the end of a session, or what the charger makes of it.
func (c *charger) stop(at lamppost.TimeMS) error {
	shown := c.register(at)
	switch c.park.stays[c.now].mishap {
	case staleStop:
		shown = c.before
	case highStop:
		shown += misreadWh
	}
	c.desk.uses[c.now].shown = c.register(at)
	return c.meter(at, shown)
}

// part ends a stay; the desk does the rest while the charger goes on.
func (c *charger) part(ctx, life context.Context, at lamppost.TimeMS) {
	stay := c.now
	c.before, c.base = c.base, c.register(at)
	if c.park.stays[stay].mishap == highStop {
		c.base += misreadWh
	}
	c.now = -1
	c.ended = make(chan error, 1)
	go func() { c.ended <- c.desk.finish(ctx, life, c, stay, at) }()
}

// settled waits for what came of the stay before.
func (c *charger) settled() error {
	if c.ended == nil {
		return nil
	}
	err := <-c.ended
	c.ended = nil
	return err
}

func (c *charger) lightAgain(life context.Context, e event) error {
	if err := c.powerUp(); err != nil {
		return err
	}
	c.off = false
	c.sending = begin(life, c.dev.Run)
	c.desk.tell(e.at, c, "power is back: session %s goes on at %s kWh with its key and its numbers", c.desk.uses[e.stay].id,
		kWh(c.register(e.at)))
	return nil
}

func (c *charger) lineAgain(at lamppost.TimeMS) {
	if !c.line.down.Load() {
		return
	}
	c.desk.tell(at, c, "online again: %s waited and are sent now", plural(c.dev.Stats().Queued, "report"))
	c.line.down.Store(false)
}

// leave brings a charger that was told to stop, or is at its end, into good order.
func (c *charger) leave(ctx, life context.Context) error {
	at := lamppost.TimeMS(c.clock.Now().Truncate(time.Second).UnixMilli())
	if c.off {
		if err := c.lightAgain(life, event{at, light, c.now}); err != nil {
			return err
		}
	}
	c.lineAgain(at)
	if c.now >= 0 {
		s := &c.park.stays[c.now]
		at = max(s.in+1000, min(s.out, at))
		if err := c.stop(at); err != nil {
			return err
		}
		c.part(ctx, life, at)
	}
	return c.settled()
}

// kWh writes a register of Wh.
func kWh(wh int64) string { return lamppost.Dec(wh, -3).String() }
