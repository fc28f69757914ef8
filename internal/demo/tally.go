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
	billed map[lamppost.TimeMS]int               // acknowledged billing reports by UTC day
	more   chan struct{}                         // closed, and made anew, when billed changes
}

// An amount is a number of reports and of the readings in them.
type amount struct{ reports, readings int64 }

type counts struct {
	taken      amount
	acked      amount
	refused    int64
	whyRefused string
}

func newTally() *tally {
	return &tally{ticks: make(map[lamppost.DeviceID]lamppost.TimeMS), billed: make(map[lamppost.TimeMS]int), more: make(chan struct{})}
}

func (t *tally) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// took counts what a device has put into its queue, or will at the latest when it is flushed.
func (t *tally) took(id lamppost.DeviceID, at lamppost.TimeMS, n amount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.taken.reports += n.reports
	t.count.taken.readings += n.readings
	t.ticks[id] = at
}

// lastTick is the time up to which every device has measured; 0 if one has not begun.
func (t *tally) lastTick() lamppost.TimeMS {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ticks) == 0 {
		return 0
	}
	last := lamppost.TimeMS(1<<63 - 1)
	for _, at := range t.ticks {
		last = min(last, at)
	}
	return last
}

// settled takes in the network's last word on a report.
func (t *tally) settled(raw []byte, ack device.Ack) {
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
	if report.Billing() {
		t.billed[report.Readings[0].Time/utcDayMS*utcDayMS]++
		close(t.more)
		t.more = make(chan struct{})
	}
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
	tally *tally
}

// Send implements [device.Sender].
func (s countingSender) Send(ctx context.Context, report []byte) (device.Ack, error) {
	ack, err := s.Sender.Send(ctx, report)
	if err == nil && ack.Code.Final() {
		s.tally.settled(report, ack)
	}
	return ack, err
}
