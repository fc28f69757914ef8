package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

// A Guard is the last word on what a contract, a bill or an outage may do to each function of a machine; see package guard. The
// program asks it before it restricts anything, and does nothing that it does not grant: Level for how far a function runs, May for
// what people do at the machine. Its state is in the device's folder.
type Guard struct {
	*guard.Keeper
	from Asker
	d    *Device
}

// GuardConfig is what OpenGuard needs beside the device.
type GuardConfig struct {
	Class lamppost.SafetyClass // as enrolled
	// Owner is the key that the first charter must be signed with. Nil: the first that comes says itself who the owner is, so give it
	// to the device with Take before it has met anybody.
	Owner *lamppost.CharterKey
	From  Asker // who tells what is asked; default the Sender, if it can
}

// An Asker exchanges a guard's word for what is asked of it. *HTTP is one. Any error means that the network was not heard of.
type Asker interface {
	AskGuard(ctx context.Context, w guard.Word) (guard.Asked, error)
}

const (
	guardFile  = "guard"
	maxGuard   = 256 << 10       // bytes of the file
	guardEvery = 5 * time.Minute // a third of guard.Silence
)

// OpenGuard opens the device's guard. A folder that kept a charter goes on with it. A device has one guard. After an error, of a file
// that is damaged for one, the device has none, and its program restricts nothing.
func (d *Device) OpenGuard(cfg GuardConfig) (*Guard, error) {
	fail := func(err error) (*Guard, error) {
		return nil, fmt.Errorf("opening the guard of device %q: %w", d.cfg.ID, err)
	}
	if cfg.From == nil {
		cfg.From, _ = d.cfg.Sender.(Asker)
	}
	raw, err := readGuard(d.disk)
	if err != nil {
		return fail(err)
	}
	g := &Guard{from: cfg.From, d: d}
	g.Keeper, err = guard.Open(guard.Config{Network: d.cfg.Network, Device: d.cfg.ID, Class: cfg.Class, Owner: cfg.Owner, Kept: raw, Now: d.cfg.Now,
		Save: func(b []byte) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			if err := d.usable(); err != nil {
				return err
			}
			if err := replaceFile(d.disk, guardFile, b); err != nil {
				return d.fail(err)
			}
			return nil
		}})
	if err != nil {
		return fail(err)
	}
	return g, nil
}

func readGuard(on disk) ([]byte, error) {
	if there, err := on.Exists(guardFile); !there || err != nil {
		return nil, err
	}
	f, err := on.Open(guardFile)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, maxGuard))
	return raw, errors.Join(err, f.Close())
}

// Ask tells the network what the guard decides, and hears what is asked of it. An error means that the network was not heard of, or
// which charter is not taken.
func (g *Guard) Ask(ctx context.Context) error {
	if g.from == nil {
		return errors.New("neither From nor the Sender can tell what is asked of the guard")
	}
	asked, err := g.from.AskGuard(ctx, g.Word())
	if err != nil {
		return fmt.Errorf("asking what is asked of the guard: %w", err)
	}
	return g.Hear(asked)
}

// Run asks every five minutes until ctx is done; changed, which may be nil, is called after each time, when levels may be others.
func (g *Guard) Run(ctx context.Context, changed func()) error {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		if err := g.Ask(ctx); err != nil && ctx.Err() == nil {
			g.d.cfg.Log.Warn("the guard hears nothing", "err", err)
		}
		if changed != nil {
			changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// AskGuard implements [Asker].
func (h *HTTP) AskGuard(ctx context.Context, w guard.Word) (asked guard.Asked, err error) {
	text, err := json.Marshal(w)
	if err != nil {
		return asked, err
	}
	at := h.url()
	req, err := h.request(ctx, at+"/v1/guard", "application/json", text)
	if err != nil {
		return asked, err
	}
	status, _, reply, err := h.do(req, maxGuardReply)
	if err == nil && status != http.StatusOK {
		err = enrolRefusal(status, reply)
	}
	if err == nil {
		err = json.Unmarshal(reply, &asked)
	}
	if err != nil {
		h.Elsewhere(at)
	}
	return asked, err
}
