package device

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

// Commands make a device do what is desired of it: what its operator, or an agent, commanded through the network, as far as the guard grants it
// and as long as it holds by the device's own clocks. What it does, and why it does no more, it reports under its signature.
//
// Nothing is kept through a restart: the device is in its safe state until it is told again, which happens as soon as it is connected. All methods may be called
// concurrently; Run must run.
type Commands struct {
	d    *Device
	cfg  CommandConfig
	wake chan struct{} // capacity 1

	mu       sync.Mutex
	standing guard.Standing
	told     bool // since the last report
	stopped  bool
	now      State // as Apply was told last
}

// CommandConfig is what OpenCommands needs. Guard and Functions are required.
type CommandConfig struct {
	Guard     *Guard            // nothing is done that it does not grant
	Functions map[string]string // what can be commanded, with the unit: lamppost.Level for percent. Anything else is refused
	Apply     func(State)       // called by Run whenever it is another; must not block
	From      Commander         // tells what is desired; nil: somebody calls Hear, such as devicemqtt.Config.OnDesired
}

// A State is what holds of what is desired. Functions that are not in Grants, or of which nothing is granted, are at their safe state, which only the
// program knows: what it does without any command.
type State struct {
	Revision uint64
	Grants   []lamppost.Grant // by name
}

// Of returns what holds of a function; false: its safe state.
func (s State) Of(function string) (lamppost.Decimal, bool) {
	for _, g := range s.Grants {
		if g.Want.Name == function && g.Got != nil {
			return *g.Got, true
		}
	}
	return lamppost.Decimal{}, false
}

func (s State) equal(o State) bool {
	return s.Revision == o.Revision && slices.EqualFunc(s.Grants, o.Grants, func(a, b lamppost.Grant) bool {
		return a.Want == b.Want && a.Why == b.Why && (a.Got == nil) == (b.Got == nil) && (a.Got == nil || *a.Got == *b.Got)
	})
}

// A Commander waits for what is desired. *HTTP is one. tag is of what is known; the answer has changed false if nothing else came in time.
type Commander interface {
	Desired(ctx context.Context, tag string, wait time.Duration) (message []byte, newTag string, changed bool, err error)
}

const (
	commandEvery = time.Second      // how late an end, or another word of the guard, may be noticed
	commandWait  = 45 * time.Second // of one request
)

// OpenCommands lets the device be commanded.
func (d *Device) OpenCommands(cfg CommandConfig) (*Commands, error) {
	if cfg.Guard == nil || len(cfg.Functions) == 0 {
		return nil, fmt.Errorf("opening device %q for commands: a Guard and Functions are required", d.cfg.ID)
	}
	if cfg.Apply == nil {
		cfg.Apply = func(State) {}
	}
	return &Commands{d: d, cfg: cfg, wake: make(chan struct{}, 1)}, nil
}

// Hear takes a message of the topic lp/<device>/desired, or the answer of GET /v1/desired. The same revision again only has the device acknowledge
// it again. What cannot be understood, and what comes late, changes nothing and is an error. It does not block.
func (c *Commands) Hear(message []byte) error {
	m, err := lamppost.ParseDesired(message)
	if err != nil {
		c.d.cfg.Log.Warn("a command is refused", "err", err)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.standing.Tell(m, c.d.cfg.Now()) {
		c.d.cfg.Log.Warn("a command came late", "revision", m.Revision)
		return fmt.Errorf("revision %d comes after a later one", m.Revision)
	}
	c.told = true
	c.poke()
	return nil
}

// Stop switches commands off, or on again: for whoever is at the device. While they are off it stays in its safe state, and says so.
func (c *Commands) Stop(off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = off
	c.poke()
}

func (c *Commands) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// State returns what holds now.
func (c *Commands) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state()
}

// state decides on all that is desired. The caller holds mu.
func (c *Commands) state() State {
	desired := c.standing.Now(c.d.cfg.Now())
	s := State{Revision: desired.Revision}
	for _, want := range desired.Set {
		g := lamppost.Grant{Want: want}
		switch {
		case c.cfg.Functions[want.Name] != want.Unit:
			g.Why = lamppost.IsUnknown
		case c.stopped:
			g.Why = lamppost.IsStopped
		default:
			g = c.cfg.Guard.Command(want)
		}
		s.Grants = append(s.Grants, g)
	}
	return s
}

// Run does what is desired until ctx is done: it applies it, reports it, and ends it.
func (c *Commands) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	if c.cfg.From != nil {
		asking.Go(func() { c.ask(ctx) })
	}
	tick := time.NewTicker(commandEvery)
	defer tick.Stop()
	for {
		c.step()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.wake:
		}
	}
}

// step applies and acknowledges what is new.
func (c *Commands) step() {
	c.mu.Lock()
	now := c.state()
	other := !now.equal(c.now)
	ended := other && now.Revision == c.now.Revision && len(now.Grants) == 0 // which nobody is told of: all know when it is
	owed := now.Revision != 0 && (c.told || other && !ended)
	c.now, c.told = now, false
	c.mu.Unlock()
	if other {
		c.cfg.Apply(now)
	}
	if !owed {
		return
	}
	if _, err := c.d.Report(lamppost.AckReadings(now.Revision, now.Grants, 0)...); err != nil {
		if !errors.Is(err, ErrClosed) {
			c.d.cfg.Log.Warn("a command is not acknowledged yet", "revision", now.Revision, "err", err)
		}
		c.mu.Lock()
		c.told = true // again with the next tick
		c.mu.Unlock()
	}
}

// ask asks what is desired, over and over.
func (c *Commands) ask(ctx context.Context) {
	tag, wait := "", c.d.cfg.MinBackoff
	for ctx.Err() == nil {
		asked := time.Now()
		message, next, changed, err := c.cfg.From.Desired(ctx, tag, commandWait)
		if err == nil {
			tag, wait = next, c.d.cfg.MinBackoff
			if changed {
				_ = c.Hear(message) // which logs it
			}
			if time.Since(asked) >= wait {
				continue
			}
		} else {
			if ctx.Err() == nil {
				c.d.cfg.Log.Warn("not told what is desired", "err", err)
			}
			tag = "" // whoever answers next may have forgotten that it was acknowledged
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, c.d.cfg.MaxBackoff)
	}
}

// Desired implements [Commander].
func (h *HTTP) Desired(ctx context.Context, tag string, wait time.Duration) (message []byte, newTag string, changed bool, err error) {
	at := h.url()
	ctx, cancel := context.WithTimeout(ctx, wait+30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/desired?wait=%d", at, int(wait/time.Second)), nil)
	if err != nil {
		return nil, "", false, err
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	status, header, body, err := h.do(req, lamppost.MaxDesiredBytes+1)
	switch {
	case err != nil:
	case status == http.StatusOK:
		return body, header.Get("ETag"), true, nil
	case status == http.StatusNotModified:
		return nil, tag, false, nil
	default:
		err = enrolRefusal(status, body)
	}
	h.Elsewhere(at)
	return nil, "", false, fmt.Errorf("asking what is desired: %w", err)
}

// Guard returns the guard that commands pass.
func (c *Commands) Guard() *Guard { return c.cfg.Guard }
