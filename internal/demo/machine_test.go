package demo

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

// aNetwork accepts every report and keeps what it was given.
type aNetwork struct {
	mu      sync.Mutex
	reports map[lamppost.Seq]lamppost.Report
}

func (n *aNetwork) Send(_ context.Context, raw []byte) (device.Ack, error) {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return device.Ack{Code: lamppost.CodeBadReport, Text: err.Error()}, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reports[r.Seq] = r
	return device.Ack{}, nil
}

func (n *aNetwork) Close() error { return nil }

// liveThrough runs one machine of the district with the real SDK through the week, or until stop is over.
func liveThrough(t *testing.T, index int, stop context.Context) (*aNetwork, *tally, *machine) {
	t.Helper()
	d := newDistrict(loadWeek(t))
	wall := time.Unix(0, 0)
	c := NewClock(stamp(d.week.From()), stamp(d.week.To()), time.Second, func() time.Time { return wall })
	c.Begin()
	wall = wall.Add(time.Second) // the whole week has passed: nobody waits
	key, err := sig.GenerateKey(sig.EdDSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	net, counted, spec := &aNetwork{reports: make(map[lamppost.Seq]lamppost.Report)}, newTally(), &d.machines[index]
	m, err := newMachine(spec, d.week, c, counted, net, device.Config{Network: "test", ID: spec.id, Key: key, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m.sending = begin(t.Context(), m.dev.Run)
	if err := m.live(stop); err != nil {
		t.Fatal(err)
	}
	if err := m.dev.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	return net, counted, m
}

// What a machine says it took is what arrives: reports and readings, telemetry and billing, to the last one; and every
// edge that a bill may need arrives in a billing report, one for each register and UTC day.
func TestMachineWeek(t *testing.T) {
	t.Parallel()
	for _, index := range []int{3, lamps + 5, lamps + flats + 2} {
		net, counted, m := liveThrough(t, index, t.Context())
		var arrived amount
		edges := make(map[string]map[lamppost.TimeMS]bool)
		for i := range m.registers {
			edges[m.registers[i].name] = make(map[lamppost.TimeMS]bool)
		}
		for _, r := range net.reports {
			arrived = arrived.plus(amount{1, int64(len(r.Readings))})
			for i := range r.Readings {
				if r.Billing() {
					edges[r.Readings[i].Name][r.Readings[i].Time] = true
				}
			}
		}
		c := counted.counts()
		if c.taken != arrived || c.acked != arrived || c.refused != 0 {
			t.Errorf("%s: taken %+v, acknowledged %+v, arrived %+v, refused %d", m.id, c.taken, c.acked, arrived, c.refused)
		}
		first, last := m.registerAt(t, m.week.From()), m.registerAt(t, m.week.To())
		if want := lamppost.Dec(last-first, -3); index < lamps+flats && (c.kWh != want || c.meters != 1) {
			t.Errorf("%s: %s kWh of %d devices, want %s of one", m.id, c.kWh, c.meters, want)
		}
		ticks, days := int64(677), int64(8)
		if m.to != 0 {
			ticks, days = int64((m.to-m.week.From())/quarterMS+1), 5
		}
		if want := ticks + days*int64(len(m.registers)); arrived.reports != want {
			t.Errorf("%s: %d reports, want %d", m.id, arrived.reports, want)
		}
		for _, reg := range m.registers {
			for _, at := range reg.edges {
				if !edges[reg.name][at] {
					t.Errorf("%s %s: the edge %s is in no billing report", m.id, reg.name, stamp(at))
				}
			}
		}
		if got := counted.lastTick(); got != m.week.To() && got != m.to {
			t.Errorf("%s: the last tick is %s", m.id, stamp(got))
		}
	}
}

// registerAt lives the machine's week again, without a network, and returns the energy register at a time.
func (m *machine) registerAt(t *testing.T, at lamppost.TimeMS) (wh int64) {
	t.Helper()
	w := loadWeek(t)
	for _, again := range newDistrict(w).machines {
		if again.id != m.id {
			continue
		}
		for tick := w.From(); tick <= at; tick += quarterMS {
			wh = again.model.read(tick)[0].Value.Mantissa
		}
	}
	return wh
}

// A machine that is stopped before it began has taken nothing, and so nothing arrives.
func TestMachineStopped(t *testing.T) {
	t.Parallel()
	stop, cancel := context.WithCancel(context.Background())
	cancel()
	net, counted, _ := liveThrough(t, 0, stop)
	if c := counted.counts(); len(net.reports) != 0 || c.taken != (amount{}) || c.acked != (amount{}) {
		t.Errorf("%d reports, counted %+v", len(net.reports), c)
	}
}

// Time does not go on past a meter that was taken down before the one in its place measures, and goes on without it then.
func TestTallyHandsOver(t *testing.T) {
	t.Parallel()
	counted := newTally()
	counted.took("a", 10, amount{})
	counted.took("old", 5, amount{})
	counted.gone("old", "new")
	if got := counted.lastTick(); got != 5 {
		t.Errorf("the last tick is %d before the new meter measures", got)
	}
	counted.took("new", 5, amount{})
	counted.took("new", 7, amount{})
	if got := counted.lastTick(); got != 7 {
		t.Errorf("the last tick is %d after it did", got)
	}
}

// The tally lets a day be billed only when so many billing reports of it are in.
func TestTallyUntilBilled(t *testing.T) {
	t.Parallel()
	_, counted, m := liveThrough(t, 1, t.Context())
	if err := counted.untilBilled(t.Context(), m.week.To(), len(m.registers)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := counted.untilBilled(ctx, m.week.To(), len(m.registers)+1); err == nil {
		t.Error("more reports than there are were found")
	}
}

// A refusal is counted with its reason and never as acknowledged.
func TestTallyRefusal(t *testing.T) {
	t.Parallel()
	counted := newTally()
	counted.settled("x", nil, device.Ack{Code: lamppost.CodeBadSignature, Text: "wrong key"})
	counted.settled("x", nil, device.Ack{Code: lamppost.CodeTooOld})
	if c := counted.counts(); c.refused != 2 || c.acked != (amount{}) || c.whyRefused != "bad_signature: wrong key" {
		t.Errorf("%+v", c)
	}
}
