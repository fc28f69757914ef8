package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/gateway"
)

// Unless a gateway has another guard, only an ordinary device may be told to do less than it can.
func TestUnrestricted(t *testing.T) {
	t.Parallel()
	const future = lamppost.SafetyClass(9)
	for desired, restricts := range map[string]bool{
		"": false, `{"level":100}`: false, " {\n\"level\" : 100 } ": false,
		`{"level":99}`: true, `{"level":0}`: true, `{"level":1000}`: true, `{"level":100.0}`: true, `{"level":"100"}`: true, `{}`: true, `null`: true,
		`{"level":100,"power":"off"}`: true, `{"level":0,"level":100}`: true, `{"level":0,"LEVEL":100}`: true, `{"LEVEL":100}`: true,
		`{"level":100}{"level":0}`: true, "OFF": true, "\x00": true,
	} {
		for _, class := range []lamppost.SafetyClass{lamppost.Essential, lamppost.Life, lamppost.Public, future} {
			err := gateway.Unrestricted(gateway.Command{Device: "d", Safety: class, Desired: []byte(desired)})
			if (err != nil) != restricts {
				t.Errorf("%q for class %d: %v", desired, class, err)
			}
		}
		if err := gateway.Unrestricted(gateway.Command{Device: "d", Safety: lamppost.Ordinary, Desired: []byte(desired)}); err != nil {
			t.Errorf("%q for an ordinary device: %v", desired, err)
		}
	}
}

// Whatever is sent to a device passes the guard first, with the class that the device is enrolled with; what the guard
// refuses never reaches it. Only the operator may command.
func TestGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	asked := make(chan gateway.Command, 16)
	s.cfg.Guard = func(c gateway.Command) error {
		asked <- c
		if string(c.Desired) == "refused by the guard" {
			return errors.New("not while it snows")
		}
		return gateway.Unrestricted(c)
	}
	tokens := map[string]string{}
	for id, class := range map[string]string{"lift": "life", "kettle": "ordinary", "fridge": ""} {
		var added struct{ Token string }
		s.order("/api/devices", map[string]string{"id": id, "owner": "ann", "safety": class}, &added)
		tokens[id] = added.Token
	}
	s.start()
	put := func(id, desired string) (int, string) { return s.ask("PUT", "/v1/devices/"+id+"/desired", desired) }
	for _, c := range []struct {
		id, desired string
		status      int
		class       lamppost.SafetyClass
		words       string
	}{
		{"kettle", `{"level":0}`, http.StatusOK, lamppost.Ordinary, "ok"},
		{"lift", `{"level":0}`, http.StatusForbidden, lamppost.Life, "lift is life"},
		{"lift", `{"level":100}`, http.StatusOK, lamppost.Life, "ok"},
		{"fridge", "", http.StatusOK, lamppost.Essential, "ok"},
		{"fridge", `OFF`, http.StatusForbidden, lamppost.Essential, "fridge is essential"},
		{"kettle", "refused by the guard", http.StatusForbidden, lamppost.Ordinary, "not while it snows"},
	} {
		status, text := put(c.id, c.desired)
		if status != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s %s: %d %s", c.id, c.desired, status, text)
		}
		if got := <-asked; string(got.Device) != c.id || got.Safety != c.class || string(got.Desired) != c.desired {
			t.Errorf("%s %s: the guard was asked %+v", c.id, c.desired, got)
		}
	}
	if status, text := put("nobody", `{"level":100}`); status != http.StatusNotFound {
		t.Errorf("a device that is not there: %d %s", status, text)
	}
	if status, text := put("kettle", strings.Repeat("x", 1<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a desired state of 1 MiB: %d %s", status, text)
	}
	if status, _ := s.askAs(tokens["kettle"], "PUT", "/v1/devices/kettle/desired"); status != http.StatusUnauthorized {
		t.Errorf("a device commands: %d", status)
	}
	if len(asked) > 0 {
		t.Errorf("the guard was asked of %+v", <-asked)
	}
	// What devices get is what the guard let through last.
	for id, want := range map[string]string{"kettle": `{"level":0}`, "lift": `{"level":100}`} {
		got := make(chan []byte, 4)
		sender, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + s.g.MQTTAddr(), Device: lamppost.DeviceID(id), Token: tokens[id],
			OnDesired: func(b []byte) { got <- b }})
		must(t, err)
		defer sender.Close()
		if b := <-got; string(b) != want {
			t.Errorf("%s is told %s", id, b)
		}
	}
}

// Commands go over MQTT only; a gateway without that door says so.
func TestCommandWithoutDoor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.order("/api/devices", map[string]string{"id": "kettle", "owner": "ann", "safety": "ordinary"}, nil)
	s.cfg.MQTT = "off"
	s.start()
	status, text := s.ask("PUT", "/v1/devices/kettle/desired", `{"level":0}`)
	var a struct{ Code string }
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusConflict || a.Code != "not_ready" {
		t.Errorf("%d %s", status, text)
	}
}
