package mqttd

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Penalties remember which addresses failed to log in, so that each further failure is answered later than the one
// before. Only failures wait: behind one address there may be a guesser and a hundred honest meters. Tokens are far too
// long to guess; this keeps logs and processors calm.
type penalties struct {
	mu     sync.Mutex
	failed map[netip.Addr]failure
}

type failure struct {
	times int
	last  time.Time
}

// failure counts a failed log-in and returns how long its answer should wait.
func (p *penalties) failure(from net.Addr, now time.Time) time.Duration {
	var addr netip.Addr // all that is not IP counts as one
	if ap, err := netip.ParseAddrPort(from.String()); err == nil {
		addr = ap.Addr().Unmap()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil || len(p.failed) >= maxAuthAddresses {
		// A sweep of so many addresses is not slowed by delays anyway; forgetting them all bounds the memory.
		p.failed = map[netip.Addr]failure{}
	}
	f := p.failed[addr]
	if now.Sub(f.last) > authMemory {
		f.times = 0
	}
	delay := min(firstAuthDelay<<min(f.times, 10), maxAuthDelay)
	p.failed[addr] = failure{f.times + 1, now}
	return delay
}
