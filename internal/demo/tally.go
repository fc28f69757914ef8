package demo

import (
	"context"
	"fmt"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
)

// A tally counts what the devices took and what came back to them. It is what the ledger's own counts are held against at
// the end. All methods may be called concurrently.
type tally struct {
	mu     sync.Mutex
	count  counts
	ticks  map[lamppost.DeviceID]lamppost.TimeMS // of the last readings of each device
	next   map[lamppost.DeviceID]lamppost.DeviceID
	energy map[lamppost.DeviceID]span // acknowledged, Wh on the register
	billed map[lamppost.TimeMS]int    // acknowledged billing reports by UTC day
	more   chan struct{}              // closed, and made anew, when billed changes
}

// A span is the lowest and the highest value of a register.
type span struct{ low, high int64 }

// An amount is a number of reports and of the readings in them.
type amount struct{ reports, readings int64 }

type counts struct {
	taken      amount
	acked      amount
	refused    int64
	whyRefused string
	meters     int              // of energy, of which something is acknowledged
	kWh        lamppost.Decimal // through their registers, as far as acknowledged
}

func newTally() *tally {
	return &tally{ticks: make(map[lamppost.DeviceID]lamppost.TimeMS), next: make(map[lamppost.DeviceID]lamppost.DeviceID), energy: make(map[lamppost.DeviceID]span),
		billed: make(map[lamppost.TimeMS]int), more: make(chan struct{})}
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.count
	wh := int64(0)
	for _, s := range t.energy {
		wh += s.high - s.low
	}
	c.meters, c.kWh = len(t.energy), lamppost.Dec(wh, -3)
	return c
}

// took counts what a device has put into its queue, or will at the latest when it is flushed.
func (t *tally) took(id lamppost.DeviceID, at lamppost.TimeMS, n amount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.taken.reports += n.reports
	t.count.taken.readings += n.readings
	t.ticks[id] = at
}

// gone says that a device measured its last, and which one measures in its place.
func (t *tally) gone(id, next lamppost.DeviceID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next[id] = next
}

// lastTick is the time up to which every device has measured; 0 if one has not begun.
func (t *tally) lastTick() lamppost.TimeMS {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ticks) == 0 {
		return 0
	}
	last := lamppost.TimeMS(1<<63 - 1)
	for id, at := range t.ticks {
		if _, goesOn := t.ticks[t.next[id]]; !goesOn {
			last = min(last, at)
		}
	}
	return last
}

// settled takes in the network's last word on a report of a device.
func (t *tally) settled(id lamppost.DeviceID, raw []byte, ack device.Ack) {
	var report lamppost.Report
	err := report.Decode(raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || !ack.Code.Accepted() {
		if t.count.refused == 0 {
			t.count.whyRefused = fmt.Sprintf("%s: %s", ack.Code, ack.Text)
		}
		t.count.refused++
		return
	}
	t.count.acked.reports++
	t.count.acked.readings += int64(len(report.Readings))
	for i := range report.Readings {
		if report.Readings[i].Name == registerEnergy {
			t.sawEnergy(id, report.Readings[i].Value.Mantissa)
		}
	}
	if report.Billing() {
		t.billed[report.Readings[0].Time/utcDayMS*utcDayMS]++
		close(t.more)
		t.more = make(chan struct{})
	}
}

// sawEnergy widens a device's span: reports come in any order.
func (t *tally) sawEnergy(id lamppost.DeviceID, wh int64) {
	s, known := t.energy[id]
	if !known {
		s = span{wh, wh}
	}
	t.energy[id] = span{min(s.low, wh), max(s.high, wh)}
}

// untilBilled waits until so many billing reports of the UTC day that holds a time are committed.
func (t *tally) untilBilled(ctx context.Context, at lamppost.TimeMS, reports int) error {
	for {
		t.mu.Lock()
		have, more := t.billed[at/utcDayMS*utcDayMS], t.more
		t.mu.Unlock()
		if have >= reports {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A countingSender tells the tally of every last word.
type countingSender struct {
	device.Sender
	id    lamppost.DeviceID
	tally *tally
}

// Send implements [device.Sender].
func (s countingSender) Send(ctx context.Context, report []byte) (device.Ack, error) {
	ack, err := s.Sender.Send(ctx, report)
	if err == nil && ack.Code.Final() {
		s.tally.settled(s.id, report, ack)
	}
	return ack, err
}
