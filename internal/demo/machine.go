package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/sig"
)

// A fitted device is at its place: the SDK that a real one would run, and its connection.
type fitted struct {
	*machineSpec
	clock   *Clock
	tally   *tally
	dev     *device.Device
	sender  sender
	sending *task // the device's Run; nil before the time begins
}

// A machine is a device of the district at work: it measures what its model says.
type machine struct {
	*fitted
	week     *Week
	billings []*device.Billing // of the registers, in their order
	days     []lamppost.TimeMS // by register: the UTC day of the last value for a bill
	hang     func() error      // says that it hangs there now; nil: known from the begin
}

// announcement is POST /api/devices, permission its answer.
type announcement struct {
	ID     lamppost.DeviceID `json:"id"`
	Owner  lamppost.PartyID  `json:"owner"`
	Name   string            `json:"name"`
	Site   string            `json:"site"`
	Safety string            `json:"safety"`
}

type permission struct {
	Token string `json:"token"`
}

// A fitting is what a fitter leaves at a place: how its device connects, and how it starts.
type fitting struct {
	mqtt   devicemqtt.Config
	device device.Config
}

// fit does what a fitter does: announce the device, give it its token, and let it enrol its own key.
func (r *run) fit(ctx context.Context, spec *machineSpec) (f fitting, err error) {
	var may permission
	err = r.web.post(ctx, "/api/devices", announcement{spec.id, spec.owner, spec.name, spec.site, spec.safety.String()}, &may)
	if err != nil {
		return f, err
	}
	dir := r.path("devices/" + string(spec.id))
	key, err := device.LoadOrCreateKey(dir, sig.EdDSA)
	if err != nil {
		return f, err
	}
	known, err := device.Enrol(ctx, device.Enrolment{URL: r.node.URL(), Device: spec.id, Token: may.Token, Key: key, Dir: dir})
	if err != nil {
		return f, err
	}
	return fitting{devicemqtt.Config{URL: "mqtt://" + r.node.MQTTAddr(), Device: spec.id, Token: may.Token},
		device.Config{Network: known.Network, ID: spec.id, Key: key, KeyEpoch: known.KeyEpoch, Dir: dir}}, nil
}

// openMachine fits a machine of the district.
func (r *districtRun) openMachine(ctx context.Context, spec *machineSpec) (*machine, error) {
	f, err := r.fit(ctx, spec)
	if err != nil {
		return nil, err
	}
	mqtt, err := devicemqtt.Open(f.mqtt)
	if err != nil {
		return nil, err
	}
	m, err := newMachine(spec, r.d.week, r.clock, r.tally, mqtt, f.device)
	if err != nil {
		return nil, errors.Join(err, mqtt.Close())
	}
	return m, nil
}

// A sender is a connection to the network.
type sender interface {
	device.Sender
	Close() error
}

// newMachine opens the device of a machine. The machine closes the sender.
func newMachine(spec *machineSpec, w *Week, c *Clock, t *tally, s sender, cfg device.Config) (*machine, error) {
	f := &fitted{machineSpec: spec, clock: c, tally: t}
	if err := f.start(s, cfg); err != nil {
		return nil, err
	}
	m := &machine{fitted: f, week: w}
	if err := m.openBillings(); err != nil {
		return nil, errors.Join(err, m.dev.Close())
	}
	return m, nil
}

// start opens the device, which sends by s from then on.
func (f *fitted) start(s sender, cfg device.Config) (err error) {
	cfg.Sender, cfg.Now, cfg.Durability = countingSender{s, f.id, f.tally}, f.clock.Now, device.SyncNumbers
	cfg.TimeQuality = func() lamppost.TimeQuality { return lamppost.TimeSynchronised }
	f.sender = s
	f.dev, err = device.Open(cfg)
	return err
}

func (m *machine) openBillings() error {
	for i := range m.registers {
		reg := &m.registers[i]
		b, err := m.dev.Billing(reg.name, reg.unit, reg.of)
		if err != nil {
			return err
		}
		m.billings = append(m.billings, b)
	}
	m.days = make([]lamppost.TimeMS, len(m.registers))
	return nil
}

// live measures every quarter hour while it hangs there, or until ctx is done. What it has measured is signed and in the
// device's queue when it returns.
func (m *machine) live(ctx context.Context) error {
	from, to := max(m.from, m.week.From()), m.week.To()
	if m.to != 0 {
		to = m.to
	}
	for at := from; at <= to; at += quarterMS {
		if m.clock.Until(ctx, stamp(at)) != nil {
			break // told to stop
		}
		if at == from && m.hang != nil {
			if err := m.hang(); err != nil {
				return err
			}
		}
		if err := m.measure(at); err != nil {
			return fmt.Errorf("device %q at %s: %w", m.id, stamp(at).Format("2006-01-02T15:04Z"), err)
		}
	}
	for _, b := range m.billings {
		if err := b.Flush(); err != nil {
			return fmt.Errorf("device %q: %w", m.id, err)
		}
	}
	return nil
}

// measure reports what the model shows, and gives its registers to the billing reports.
func (m *machine) measure(at lamppost.TimeMS) error {
	readings := m.model.read(at)
	n := amount{1, int64(len(readings))}
	for i := range m.registers {
		n = n.plus(m.billingOf(i, at))
	}
	m.tally.took(m.id, at, n) // first, so that nothing is ever acknowledged before it was taken
	if at == m.to {
		m.tally.gone(m.id, m.next)
	}
	if _, err := m.dev.Report(readings...); err != nil {
		return err
	}
	for i, b := range m.billings {
		if err := b.Observe(at, readings[i].Value); err != nil {
			return err
		}
	}
	return nil
}

// billingOf counts what a register's value adds to billing reports: itself if it is an edge, and the report of its day if
// it is the first.
func (m *machine) billingOf(register int, at lamppost.TimeMS) amount {
	if !m.registers[register].billed(at) {
		return amount{}
	}
	day := at / utcDayMS
	if m.days[register] == day {
		return amount{0, 1}
	}
	m.days[register] = day
	return amount{1, 1}
}

func (a amount) plus(b amount) amount { return amount{a.reports + b.reports, a.readings + b.readings} }

// close ends sending; what is still in the queue stays on disk.
func (f *fitted) close() error {
	var errs []error
	if f.sending != nil {
		errs = append(errs, f.sending.end())
	}
	return errors.Join(append(errs, f.dev.Close(), f.sender.Close())...)
}

// closed tells of a device that could not be closed in good order.
func (r *run) closed(id lamppost.DeviceID, err error) {
	if err != nil {
		fmt.Fprintf(r.o.Out, "Closing %s: %v\n", id, err)
	}
}
