package device_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/guard"
)

// A commanded is a device with commands whose reports are read.
type commanded struct {
	*device.Commands
	t       *testing.T
	d       *device.Device
	guard   *device.Guard
	mu      sync.Mutex
	applied []string
	acks    []string
}

// Send implements device.Sender: it reads acknowledgements, and takes everything.
func (c *commanded) Send(_ context.Context, report []byte) (device.Ack, error) {
	var r lamppost.Report
	if err := r.Decode(report); err != nil {
		return device.Ack{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := lamppost.ReadAck(r.Readings); ok {
		c.acks = append(c.acks, text(a.Revision, a.Grants))
	}
	return device.Ack{}, nil
}

func text(revision uint64, grants []lamppost.Grant) string {
	s := fmt.Sprint(revision)
	for _, g := range grants {
		s += " " + g.Want.Name + " "
		if g.Got != nil {
			s += g.Got.String()
		}
		if g.Why != lamppost.AsDesired {
			s += fmt.Sprintf("(%d)", g.Why)
		}
	}
	return s
}

func command(t *testing.T, class lamppost.SafetyClass) *commanded {
	t.Helper()
	c := &commanded{t: t}
	cfg := testConfig(t)
	cfg.Sender, cfg.Now = c, time.Now
	c.d = want(device.OpenOn(cfg, newMemDisk()))(t)
	c.guard = want(c.d.OpenGuard(device.GuardConfig{Class: class}))(t)
	c.Commands = want(c.d.OpenCommands(device.CommandConfig{Guard: c.guard, Functions: map[string]string{"light": lamppost.Level, "power": "W"}, Apply: func(s device.State) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.applied = append(c.applied, text(s.Revision, s.Grants))
	}}))(t)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { c.d.Run(ctx) })
	all.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); all.Wait(); c.d.Close() })
	return c
}

// hears tells the device, lets time pass, and compares what was applied and acknowledged since.
func (c *commanded) hears(message string, after time.Duration, applied, acks string) {
	c.t.Helper()
	if message != "" {
		_ = c.Hear([]byte(message))
	}
	time.Sleep(after)
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := strings.Join(c.applied, "; "); got != applied {
		c.t.Errorf("after %q, %v: applied %q, want %q", message, after, got, applied)
	}
	if got := strings.Join(c.acks, "; "); got != acks {
		c.t.Errorf("after %q, %v: acknowledged %q, want %q", message, after, got, acks)
	}
	c.applied, c.acks = nil, nil
}

// A device does what is desired as long as it holds by its own clock, acknowledges each time that it is told, and ends it without a word.
func TestCommands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := command(t, lamppost.Ordinary)
		c.hears(`{"light":60,"power":"3500 W","revision":1,"left_ms":60000}`, time.Second, "1 light 60 power 3500", "1 light 60 power 3500")
		c.hears(`{"light":60,"power":"3500 W","revision":1,"left_ms":59000}`, time.Second, "", "1 light 60 power 3500") // told again
		c.hears(`{"light":40,"revision":2,"left_ms":60000}`, 59*time.Second, "2 light 40", "2 light 40")
		c.hears(`{"light":60,"revision":1,"left_ms":90000}`, 0, "", "") // late
		c.hears("", 2*time.Second, "2", "")                             // over, offline or not
		c.hears(`{"revision":2}`, time.Second, "", "2")
		c.hears(`{"light":30,"revision":3,"left_ms":60000}`, time.Second, "3 light 30", "3 light 30")
		c.hears(`{"revision":4}`, time.Second, "4", "4") // taken back
		c.hears(`{"heat":30,"light":"5 W","revision":5,"left_ms":60000}`, time.Second, "5 heat (5) light (5)", "5 heat (5) light (5)")
		c.hears(`{"light":30,"light":20,"revision":6,"left_ms":60000}`, time.Second, "", "")
		c.hears(`{"light":30,"revision":7}`, time.Second, "7", "7") // without an end nothing is done
		c.hears(`{"light":30,"revision":8,"left_ms":60000}`, time.Second, "8 light 30", "8 light 30")
		c.Stop(true)
		c.hears("", time.Second, "8 light (6)", "8 light (6)")
		c.Stop(false)
		c.hears("", time.Second, "8 light 30", "8 light 30")
	})
}

// No command takes more than the guard grants, whatever class a function has and whatever is asked of it meanwhile.
func TestCommandsGuarded(t *testing.T) {
	t.Parallel()
	for class, least := range map[lamppost.SafetyClass]string{lamppost.Life: "100(1)", lamppost.Public: "100(2)", lamppost.Essential: "100(3)"} {
		synctest.Test(t, func(t *testing.T) {
			c := command(t, class)
			c.hears(`{"light":20,"power":"0 W","revision":1,"left_ms":60000}`, time.Second, "1 light "+least+" power "+least[3:], "1 light "+least+" power "+least[3:])
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := command(t, lamppost.Public)
		if err := c.guard.Take(charters(t)[0]); err != nil { // light is public and has 30 % at least
			t.Fatal(err)
		}
		c.hears(`{"light":20,"power":"1 W","revision":1,"left_ms":60000}`, time.Second, "1 light 30(2) power (3)", "1 light 30(2) power (3)")
		c.hears(`{"light":90,"revision":2,"left_ms":60000}`, time.Second, "2 light 90", "2 light 90")
		if err := c.guard.Hear(guard.Asked{Network: network, Requests: []guard.Request{lightOff}}); err != nil {
			t.Fatal(err)
		}
		c.hears("", time.Second, "2 light 30(4)", "2 light 30(4)")
	})
}

// Whichever clock jumps, a command never lasts longer than it was given, and does not come back.
func TestStandingClocks(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var s guard.Standing
	s.Tell(lamppost.Desired{Revision: 1, Left: 60_000, Set: lamppost.Setpoints{{Name: "light", Value: lamppost.Dec(1, 0), Unit: "%"}}}, start)
	for _, step := range []struct {
		at   time.Time
		left lamppost.TimeMS
	}{{start.Add(10 * time.Second), 50_000}, {start.Round(0).Add(-time.Hour), 60_000}, {start.Add(59 * time.Second), 1000}, {start.Round(0).Add(61 * time.Second), 0}, {start, 0}} {
		if got := s.Now(step.at); got.Left != step.left || (len(got.Set) > 0) != (step.left > 0) || got.Revision != 1 {
			t.Errorf("at %v: %+v, want %d ms left", step.at.Sub(start), got, step.left)
		}
	}
}
