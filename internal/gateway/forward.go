package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// A carrier hands segments to the upstream; *upstream is one.
type carrier interface {
	deliver(ctx context.Context, raw []byte, reports int) (delivered, error)
}

// A forwarder carries what is held to the upstream, the oldest first and one at a time, for as long as it takes. A
// segment whose answer was lost is sent again: the ledger then says duplicate of each of its reports, which is as good.
type forwarder struct {
	keep   *keep
	to     carrier
	fresh  func(raw []byte) ([]byte, error) // signs again what a former key signed
	random func() float64                   // in [0, 1)
	log    *slog.Logger

	backoff time.Duration // before the next try; 0 after a success

	mu     sync.Mutex
	uplink Uplink
}

// Uplink is how the way to the upstream is.
type Uplink struct {
	Up    bool            `json:"up"` // the last request was answered
	Error string          `json:"error,omitempty"`
	Since lamppost.TimeMS `json:"since_ms,omitempty"` // when it came up or went down
}

// note remembers how the last request went, and logs changes.
func (f *forwarder) note(err error, now lamppost.TimeMS) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.uplink
	f.uplink.Up, f.uplink.Error = err == nil, ""
	if err != nil {
		f.uplink.Error = err.Error()
	}
	if f.uplink.Up == was.Up && was.Since != 0 {
		return
	}
	f.uplink.Since = now
	if err != nil {
		f.log.Warn("the uplink is down; reports are held", "err", err)
	} else {
		f.log.Info("the uplink is up")
	}
}

func (f *forwarder) status() Uplink {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.uplink
}

// step delivers the oldest segment. It returns how long to wait before the next step, and whether there was anything to
// do. An error means that the store fails.
func (f *forwarder) step(ctx context.Context, now lamppost.TimeMS) (wait time.Duration, worked bool, err error) {
	e, raw, ok, err := f.keep.oldest()
	if err != nil || !ok {
		return 0, false, err
	}
	if raw, err = f.fresh(raw); err != nil {
		return 0, false, err
	}
	d, err := f.to.deliver(ctx, raw, e.Reports)
	var rejected *rejectedError
	switch {
	case err == nil:
		f.backoff = 0
		f.note(nil, now)
		return 0, true, f.keep.done(e, d)
	case errors.As(err, &rejected):
		f.backoff = 0
		f.log.Error("a segment was set aside", "number", e.Number, "reports", e.Reports, "err", err)
		return 0, true, f.keep.reject(e, raw)
	case ctx.Err() != nil:
		return 0, false, nil
	}
	f.note(err, now)
	return f.later(), true, nil
}

// later doubles the backoff and returns a time between half of it and all of it, so that many gateways do not come back
// at the same moment.
func (f *forwarder) later() time.Duration {
	f.backoff = min(max(2*f.backoff, minBackoff), maxBackoff)
	return f.backoff/2 + time.Duration(f.random()*float64(f.backoff/2))
}

// run steps until ctx is done or the store fails.
func (f *forwarder) run(ctx context.Context, now func() lamppost.TimeMS) error {
	for ctx.Err() == nil {
		wait, worked, err := f.step(ctx, now())
		if err != nil {
			return err
		}
		switch {
		case !worked:
			select {
			case <-f.keep.more:
			case <-ctx.Done():
			}
		case wait > 0:
			pause(ctx, wait)
		}
	}
	return nil
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
