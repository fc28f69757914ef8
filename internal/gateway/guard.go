package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// A Command is about to be sent to a device.
type Command struct {
	Device  lamppost.DeviceID
	Safety  lamppost.SafetyClass // as enrolled; one that is not known counts as essential
	Desired []byte               // what the device should be like; empty: what was desired before is taken back
}

// A Guard is asked before anything is sent to a device: at the gateway, because devices without our SDK have none of their
// own (device.Guard). An error refuses the command and is told to whoever gave it. It may be called concurrently.
type Guard func(Command) error

// Unrestricted is the Guard of a gateway that has no other. It lets a device that is not ordinary be told only that it may
// do all it can: what else a desired state asks for is not understood here, so it may be a restriction.
func Unrestricted(c Command) error {
	if c.Safety == lamppost.Ordinary || !restricts(c.Desired) {
		return nil
	}
	return fmt.Errorf("%s is %s: this gateway passes nothing on to it that may restrict it, only {\"level\":100}", c.Device, c.Safety)
}

// restricts reports whether a desired state may ask for less than all: whether it is anything but {"level":100}, in percent,
// to the letter. Of a name that stands twice, for one, nobody knows which of both a device takes.
func restricts(desired []byte) bool {
	var text bytes.Buffer
	return len(desired) > 0 && (json.Compact(&text, desired) != nil || text.String() != `{"level":100}`)
}

// command sends a device what it should be like. Nothing else here does.
func (g *Gateway) command(c Command) error {
	if err := g.cfg.Guard(c); err != nil {
		return lamppost.Refuse(lamppost.CodeForbidden, "%v", err)
	}
	if len(c.Desired) == 0 {
		return g.mqtt.SetDesired(c.Device, nil)
	}
	return g.mqtt.SetDesired(c.Device, c.Desired)
}

// setDesired takes a command from the operator.
func (g *Gateway) setDesired(w http.ResponseWriter, r *http.Request) {
	c := Command{Device: lamppost.DeviceID(r.PathValue("id"))}
	var known bool
	if c.Safety, known = g.fleet.safety(c.Device); !known {
		tell(w, http.StatusNotFound, answer{"not_found", "this gateway has no device of this name"})
		return
	}
	if g.mqttL == nil {
		tell(w, http.StatusConflict, answer{"not_ready", "the MQTT door is off, and devices are told over it only"})
		return
	}
	var err error
	if c.Desired, err = io.ReadAll(http.MaxBytesReader(w, r.Body, mqttd.MaxDesiredBytes)); err != nil {
		tell(w, http.StatusRequestEntityTooLarge, answer{"too_large", fmt.Sprintf("a desired state has at most %d bytes", mqttd.MaxDesiredBytes)})
		return
	}
	var refusal *lamppost.Refusal
	switch err := g.command(c); {
	case errors.As(err, &refusal):
		g.cfg.Log.Warn("the guard refused a command", "device", c.Device, "safety", c.Safety, "why", refusal.Text)
		tell(w, http.StatusForbidden, answer{refusal.Code.String(), refusal.Text})
	case err != nil:
		tell(w, http.StatusInternalServerError, answer{"internal", err.Error()})
	default:
		tell(w, http.StatusOK, answer{Code: lamppost.CodeOK.String()})
	}
}
