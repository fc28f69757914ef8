package httpd

import (
	"net/netip"
	"sync"
	"time"
)

// Failures remember wrong tokens by who gave them, so that guessing stops being answered. Other devices behind the same
// address are not touched, nor is the device where it really stands.
type failures struct {
	most int // in a window

	mu   sync.Mutex
	seen map[attempt]failure
}

type attempt struct {
	from netip.Addr
	user string
}

type failure struct {
	times int
	since time.Time
}

// addressOf leaves the port out; what is no IP address is all one.
func addressOf(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// wait returns how long a is not to be tried, 0 if it may.
func (f *failures) wait(a attempt, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.seen[a]; e.times >= f.most {
		return max(0, failureWindow-now.Sub(e.since))
	}
	return 0
}

// count remembers a wrong token.
func (f *failures) count(a attempt, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known := f.seen[a]
	if !known && len(f.seen) >= maxFailing || f.seen == nil {
		// Whoever has so many addresses and names is not held up by this; forgetting them all bounds the memory.
		f.seen = map[attempt]failure{}
	}
	if !known || now.Sub(e.since) >= failureWindow {
		e = failure{since: now}
	}
	e.times++
	f.seen[a] = e
}
