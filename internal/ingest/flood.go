package ingest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lamppost/lamppost"
)

// A report is bad if it cannot be read or its signature does not verify. What the rules of the ledger refuse is not bad in
// this sense, nor is a report of a device that nobody enrolled. Bad reports cost more than good ones: they are looked for
// among those they are checked with. So who brought one is checked alone for a while (suspects), which costs this process
// some microseconds and nobody else anything; and who brings many is not listened to for a while (Allowance). An allowance is
// that of a connection, by the device that logged in over it or as a broker's, and never of a name that somebody else can
// write into a report or a topic. Pacing uses the wall clock.

// An Allowance is how many bad reports are taken from those who share it: a burst at once, and so many a second. It is safe
// for concurrent use. Nil allows any number.
type Allowance struct {
	burst, rate float64
	used        atomic.Bool // who never brought a bad report needs no lock

	mu   sync.Mutex
	left float64 // below zero: what was taken before turned out to be bad
	at   time.Time
}

// NewAllowance returns an Allowance of which nothing is used.
func NewAllowance(burst int, perSecond float64) *Allowance {
	return &Allowance{burst: float64(burst), rate: perSecond, left: float64(burst)}
}

// A FloodError says that too many bad reports came from there: for a while nothing is taken, good reports neither.
type FloodError struct{ Wait time.Duration }

// Error says it in words.
func (e *FloodError) Error() string {
	return fmt.Sprintf("too many reports that cannot be read or are wrongly signed: nothing is taken for %v", e.Wait.Round(time.Millisecond))
}

// Spend counts a bad report.
func (a *Allowance) Spend() {
	if a == nil {
		return
	}
	a.used.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refill()
	a.left = max(a.left-1, a.most())
}

// Check returns a *FloodError where nothing is taken now.
func (a *Allowance) Check() error {
	if left := a.balance(); left < 1 {
		return &FloodError{time.Duration((1 - left) / a.rate * float64(time.Second))}
	}
	return nil
}

// exhausted reports whether the debt is as large as it gets. Then what still waits is not even looked at.
func (a *Allowance) exhausted() bool {
	left := a.balance()
	return left < 1 && left < a.most()+1
}

// most is the largest debt: it is paid after maxDebt.
func (a *Allowance) most() float64 { return -a.rate * maxDebt.Seconds() }

func (a *Allowance) balance() float64 {
	if a == nil || !a.used.Load() {
		return 1
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refill()
	return a.left
}

// refill is called with mu held.
func (a *Allowance) refill() {
	now := time.Now()
	if !a.at.IsZero() {
		a.left = min(a.burst, a.left+a.rate*now.Sub(a.at).Seconds())
	}
	a.at = now
}

// Origins are those of the devices that log in at a door, one each with an allowance of its own: a device that connects
// anew, or often, stays who it was. The zero value is ready and safe for concurrent use.
type Origins struct {
	Tallies bool // what comes is counted; does not change
	Others  bool // may have sent what comes; likewise

	mu  sync.Mutex
	all map[lamppost.DeviceID]*Origin // as many as there are devices
}

// Of returns the origin of a device that has logged in.
func (o *Origins) Of(device lamppost.DeviceID) *Origin {
	o.mu.Lock()
	defer o.mu.Unlock()
	x := o.all[device]
	if x == nil {
		if o.all == nil {
			o.all = map[lamppost.DeviceID]*Origin{}
		}
		x = &Origin{Device: device, Allowance: NewAllowance(badBurst, badPerSecond)}
		if o.Tallies {
			x.Tally = &Tally{others: o.Others}
		}
		o.all[device] = x
	}
	return x
}

// Take takes what was counted of every device of which something was, in no order.
func (o *Origins) Take(each func(lamppost.DeviceID, *Counts)) {
	o.mu.Lock()
	all := slices.Collect(maps.Values(o.all))
	o.mu.Unlock()
	for _, x := range all {
		if x.Tally == nil {
			continue
		}
		if c, some := x.Tally.Take(); some {
			each(x.Device, &c)
		}
	}
}

// suspects are the devices over whose connections a bad report came lately.
type suspects map[lamppost.DeviceID]time.Time

func (s *suspects) add(device lamppost.DeviceID, now time.Time) {
	if *s == nil || len(*s) >= maxSuspects {
		*s = suspects{} // a flood over so many connections is in every batch anyway; forgetting them all bounds the memory
	}
	(*s)[device] = now
}

func (s suspects) has(device lamppost.DeviceID, now time.Time) bool {
	since, ok := s[device]
	if ok && now.Sub(since) > suspectTime {
		delete(s, device)
		return false
	}
	return ok
}

// mark says of each report how it is to be checked. It is called with mu held.
func (in *Ingest) mark(batch []Item, now time.Time) {
	if len(in.suspects) == 0 {
		return
	}
	for i := range batch {
		it := &batch[i]
		it.Alone = in.suspects.has(it.From.Device, now)
		it.Unheard = it.Alone && it.From.Allowance.exhausted()
	}
}

// blame takes note of who brought the bad reports of a batch.
func (in *Ingest) blame(bad []*Origin) {
	if len(bad) == 0 {
		return
	}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, from := range bad {
		from.Allowance.Spend()
		in.suspects.add(from.Device, now)
	}
}
