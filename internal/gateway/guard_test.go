package gateway_test

import (
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/gateway"
	"github.com/lamppost/lamppost/sig"
)

// What is not to the letter an object of functions and percentages is not understood: nobody knows what a device makes of it.
func TestUnderstood(t *testing.T) {
	t.Parallel()
	for desired, want := range map[string]bool{
		`{"level":100}`: true, " {\n\"level\" : 100 } ": true, `{"level":0}`: true, `{"out":100,"in":0}`: true, `{"LEVEL":100}`: true,
		"": false, `{"level":1000}`: false, `{"level":101}`: false, `{"level":-1}`: false, `{"level":100.0}`: false, `{"level":"100"}`: false, `{"level":null}`: false,
		`{}`: false, `null`: false, `[]`: false, `{"level":100,"power":"off"}`: false, `{"level":0,"level":100}`: false, `{"level":1e2}`: false, `{"l\u0065vel":100}`: false,
		`{"level":100}{"level":0}`: false, "OFF": false, "\x00": false, `{"a b":100}`: false, `{"":100}`: false,
	} {
		if levels := gateway.Understood([]byte(desired)); levels != want {
			t.Errorf("%q: understood %v", desired, levels)
		}
	}
}

// Devices are told anything in two places only: by a gateway behind their guard, and by a node behind what their charter lets anybody set.
func TestOnePlace(t *testing.T) {
	t.Parallel()
	var places []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "mqttd/") {
			return err
		}
		text, err := os.ReadFile(path)
		for range strings.Count(string(text), ".SetDesired(") {
			places = append(places, filepath.ToSlash(path))
		}
		return err
	})
	must(t, err)
	if len(places) != 2 || places[1] != "../../internal/gateway/guard.go" || places[0] != "../../internal/api/desires.go" {
		t.Errorf("devices are told something in %v", places)
	}
}

// A told is what a device hears that listens at the gateway.
type told struct {
	mu   sync.Mutex
	last string
	wake chan struct{}
}

func (s *site) listen(id, token string) *told {
	s.t.Helper()
	l := &told{wake: make(chan struct{}, 64)}
	sender, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + s.g.MQTTAddr(), Device: lamppost.DeviceID(id), Token: token, OnDesired: func(b []byte) {
		l.mu.Lock()
		l.last = string(b)
		l.mu.Unlock()
		l.wake <- struct{}{}
	}})
	must(s.t, err)
	s.t.Cleanup(func() { sender.Close() })
	return l
}

// hears waits until the device has heard something as the last.
func (l *told) hears(t *testing.T, want string) {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		l.mu.Lock()
		last := l.last
		l.mu.Unlock()
		if last == want {
			return
		}
		select {
		case <-l.wake:
		case <-late:
			t.Fatalf("the device heard %q last, want %q", last, want)
		}
	}
}

func (s *site) announce(id, class string) (token string) {
	s.t.Helper()
	var added struct{ Token string }
	s.order("/api/devices", map[string]string{"id": id, "owner": "ann", "safety": class}, &added)
	return added.Token
}

// enrol gives a device its key, through the gateway.
func (s *site) enrol(id, token string) {
	s.t.Helper()
	seed := sha256.Sum256([]byte(id))
	key, err := sig.NewPrivateKey(sig.EdDSA, seed[:])
	must(s.t, err)
	_, err = device.Enrol(s.t.Context(), device.Enrolment{URL: s.g.URL(), Device: lamppost.DeviceID(id), Token: token, Key: key})
	must(s.t, err)
}

// charter registers one that ann signs.
func (s *site) charter(id string, number uint32, functions ...lamppost.Function) {
	s.t.Helper()
	owner, err := sig.NewPrivateKey(sig.EdDSA, make([]byte, sig.SeedSize))
	must(s.t, err)
	c := lamppost.Charter{Version: 1, Device: lamppost.DeviceID(id), Number: number, Functions: functions,
		Owner: lamppost.CharterKey{Suite: sig.EdDSA, Key: owner.Public().Bytes()}}
	raw, err := c.Sign("house", lamppost.PurposeCharter, owner)
	must(s.t, err)
	s.order("/api/charters", lamppost.CharterBody{Device: c.Device, Charter: raw}, nil)
}

func (s *site) restrict(id, function string, level uint8, lifted bool) {
	s.t.Helper()
	s.order("/api/restrictions", lamppost.RestrictBody{ID: "arrears", Device: lamppost.DeviceID(id), Function: function, Level: level, By: "ann", Reason: "two bills are due",
		Until: lamppost.TimeMS(time.Now().Add(60 * 24 * time.Hour).UnixMilli()), Lifted: lifted}, nil)
}

// What the operator on site wants passes the guard: by the class of a device without a charter, by its charter of one that has one. What
// is refused never reaches the device, and the words say why.
func TestGuardOfOperator(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tokens := map[string]string{"lift": s.announce("lift", "life"), "kettle": s.announce("kettle", "ordinary"), "fridge": s.announce("fridge", ""), "lamp": s.announce("lamp", "public"), "bulb": s.announce("bulb", "public")}
	s.start()
	s.enrol("lamp", tokens["lamp"])
	s.charter("lamp", 1, lamppost.Function{Name: "light", Class: lamppost.Public, Min: 30})
	must(t, s.g.AskGuards(t.Context()))
	for _, c := range []struct {
		id, desired string
		status      int
		words       string
	}{
		{"kettle", `OFF`, http.StatusOK, "ok"},
		{"kettle", `{"level":0}`, http.StatusOK, "ok"},
		{"lift", `{"level":0}`, http.StatusForbidden, "lift: level may not be set to 0 %: level (life) runs at 100 %"},
		{"lift", `{"level":100}`, http.StatusOK, "ok"},
		{"lift", `OFF`, http.StatusForbidden, "cannot be understood"},
		{"fridge", "", http.StatusOK, "ok"},
		{"fridge", `OFF`, http.StatusForbidden, "cannot be understood"},
		{"fridge", `{"level":99}`, http.StatusForbidden, "nothing that was noticed restricts it"},
		{"bulb", `{"light":99}`, http.StatusForbidden, "light (public) runs at 100 %: not below its minimum"},
		{"lamp", `{"light":29}`, http.StatusForbidden, "light (public) runs at 30 %: not below its minimum"},
		{"lamp", `{"light":30,"radio":50}`, http.StatusForbidden, "radio (essential) runs at 100 %"},
		{"lamp", `OFF`, http.StatusForbidden, "cannot be understood"},
		{"lamp", `{"light":30}`, http.StatusOK, "ok"},
	} {
		status, text := s.ask("PUT", "/v1/devices/"+c.id+"/desired", c.desired)
		if status != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s %s: %d %s", c.id, c.desired, status, text)
		}
	}
	if status, text := s.ask("PUT", "/v1/devices/nobody/desired", `{"level":100}`); status != http.StatusNotFound {
		t.Errorf("a device that is not there: %d %s", status, text)
	}
	if status, text := s.ask("PUT", "/v1/devices/kettle/desired", strings.Repeat("x", 1<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a desired state of 1 MiB: %d %s", status, text)
	}
	if status, _ := s.askAs(tokens["kettle"], "PUT", "/v1/devices/kettle/desired"); status != http.StatusUnauthorized {
		t.Errorf("a device commands: %d", status)
	}
	for id, want := range map[string]string{"kettle": `{"level":0}`, "lift": `{"level":100}`, "lamp": `{"light":30}`} {
		s.listen(id, tokens[id]).hears(t, want)
	}
}

// Goal: what the ledger asks reaches a device without the SDK as far as its guard grants, and no further: a heater is restricted only after
// ten days in contact, never while the wire is cut, and is let go at once when that is over. What the guard decides is told to
// the node, in words.
func TestGuardOfGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	clock := newClock()
	s.cfg.Now = clock.now
	tokens := map[string]string{"heater": s.announce("heater", ""), "plug": s.announce("plug", "ordinary")}
	s.start()
	for id, token := range tokens {
		s.enrol(id, token)
	}
	s.charter("heater", 1, lamppost.Function{Name: "heat", Class: lamppost.Essential, Min: 20, Notice: lamppost.MinNoticeMS, Grace: lamppost.MinGraceMS})
	s.restrict("heater", "heat", 0, false)
	s.restrict("plug", "power", 0, false)
	pass := func(d time.Duration) {
		t.Helper()
		for ; d > 0; d -= 12 * time.Minute {
			clock.add(12 * time.Minute)
			if err := s.g.AskGuards(t.Context()); (err != nil) != s.cut.Load() {
				t.Fatal(err)
			}
		}
	}
	heater, plug := s.listen("heater", tokens["heater"]), s.listen("plug", tokens["plug"])
	pass(12 * time.Minute)
	plug.hears(t, `{"power":0}`)
	heater.hears(t, `{"heat":100}`)
	s.says("heater", "heat (essential) runs at 100 %; ann asks for 0 % (two bills are due): notice and grace take 10 days 0 h more")

	clock.add(400 * 24 * time.Hour) // as if it had slept: nobody was there to read the notice
	pass(5 * 24 * time.Hour)
	s.stop() // a restart loses nothing but some minutes
	s.start()
	heater, plug = s.listen("heater", tokens["heater"]), s.listen("plug", tokens["plug"])
	pass(4*24*time.Hour + 23*time.Hour)
	heater.hears(t, `{"heat":100}`)
	pass(2 * time.Hour)
	heater.hears(t, `{"heat":20}`)
	s.says("heater", "heat (essential) runs at 20 %; ann asks for 0 % (two bills are due): not below its minimum")

	s.cut.Store(true)
	pass(24 * time.Minute)
	heater.hears(t, `{"heat":100}`)
	plug.hears(t, `{"power":0}`)
	if status, text := s.ask("PUT", "/v1/devices/heater/desired", `{"heat":50}`); status != http.StatusForbidden || !strings.Contains(text, "not while the network is away") {
		t.Errorf("the operator restricts a heater offline: %d %s", status, text)
	}
	s.cut.Store(false)
	pass(12 * time.Minute)
	heater.hears(t, `{"heat":20}`)

	s.restrict("heater", "heat", 0, true)
	s.restrict("plug", "power", 0, true)
	pass(12 * time.Minute)
	heater.hears(t, `{"heat":100}`)
	plug.hears(t, `{"power":100}`)

	// A device that was not there hears of it after a restart, too.
	s.stop()
	s.start()
	must(t, s.g.AskGuards(t.Context()))
	s.listen("heater", tokens["heater"]).hears(t, `{"heat":100}`)
	s.listen("plug", tokens["plug"]).hears(t, `{"power":100}`)
}

// Goal: a command of the ledger reaches a device without the SDK through its gateway, as far as its guard grants, once, above what the operator on
// site wants; it ends by the gateway's clock while the wire is cut, and the node's twin says what was granted.
func TestCommandsThroughGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	clock := newClock()
	s.cfg.Now = clock.now
	tokens := map[string]string{"lamp": s.announce("lamp", "public"), "heater": s.announce("heater", "")}
	s.start()
	for id, token := range tokens {
		s.enrol(id, token)
	}
	s.charter("lamp", 1, lamppost.Function{Name: "light", Class: lamppost.Public, Min: 30})
	must(t, s.g.AskGuards(t.Context()))
	if status, text := s.ask("PUT", "/v1/devices/lamp/desired", `{"light":90}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	command := func(id, text string) {
		t.Helper()
		var c api.Command
		must(t, json.Unmarshal([]byte(text), &c))
		_, err := s.node.Desire(t.Context(), lamppost.DeviceID(id), c)
		must(t, err)
		must(t, s.g.AskGuards(t.Context()))
	}
	lamp, heater := s.listen("lamp", tokens["lamp"]), s.listen("heater", tokens["heater"])
	lamp.hears(t, `{"light":90}`)
	command("lamp", `{"id":"c1","set":{"light":10},"for_ms":600000}`)
	command("heater", `{"set":{"heat":10,"mode":"2 x"},"for_ms":600000}`)
	lamp.starts(t, `{"light":30,"revision":1,"until_ms":`)
	heater.starts(t, `{"heat":100,"revision":1,"until_ms":`)
	must(t, s.g.AskGuards(t.Context())) // which says what was granted
	for id, want := range map[string]string{"lamp": "Its gateway cellar does otherwise: light is 30 %, not 10: not below its minimum.",
		"heater": "Its gateway cellar does otherwise: heat is 100 %, not 10: an essential function is restricted by notice only."} {
		var d api.DesiredState
		if s.atNode("/api/devices/"+id+"/desired", &d); d.State != api.GrantedLess || d.Text != want {
			t.Errorf("%s: %+v; want %q", id, d, want)
		}
	}
	s.cut.Store(true)
	clock.add(11 * time.Minute)
	s.listen("lamp", tokens["lamp"]).hears(t, `{"revision":1}`) // over, whether or not anybody decided anew
	_ = s.g.AskGuards(t.Context())
	lamp.hears(t, `{"light":90}`)
	s.listen("lamp", tokens["lamp"]).hears(t, `{"light":90}`)
}

// starts waits until the device has heard something as the last that begins so.
func (l *told) starts(t *testing.T, want string) {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		l.mu.Lock()
		last := l.last
		l.mu.Unlock()
		if strings.HasPrefix(last, want) {
			return
		}
		select {
		case <-l.wake:
		case <-late:
			t.Fatalf("the device heard %q last, want %q…", last, want)
		}
	}
}

// says waits for what the node has of a device's guard.
func (s *site) says(id, want string) {
	s.t.Helper()
	must(s.t, s.g.AskGuards(s.t.Context()))
	state := s.guardState(id)
	if len(state.Words) != 1 || state.Words[0].By != "gateway cellar" || len(state.Words[0].Decisions) != 1 || state.Words[0].Decisions[0].Text != want {
		s.t.Errorf("of %s the node has %+v, want %q", id, state.Words, want)
	}
}

func (s *site) guardState(id string) (state api.GuardState) {
	s.t.Helper()
	s.atNode("/api/devices/"+id+"/guard", &state)
	return state
}

func (s *site) atNode(path string, out any) {
	s.t.Helper()
	req, err := http.NewRequest("GET", s.node.URL()+path, nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.node.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	must(s.t, json.NewDecoder(resp.Body).Decode(out))
}

// A device with a guard of its own asks through the gateway, and hears nothing while the uplink is down.
func TestGuardBehindGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.announce("lock", "life")
	s.start()
	s.enrol("lock", token)
	s.charter("lock", 1, lamppost.Function{Name: "in", Class: lamppost.Ordinary}, lamppost.Function{Name: "out", Class: lamppost.Life})
	s.restrict("lock", "in", 0, false)
	http := device.NewHTTP(s.g.URL(), "lock", token, nil)
	asked, err := http.AskGuard(t.Context(), guard.Word{Decisions: []guard.Decision{{Function: "in", Class: "ordinary", Request: "arrears@1"}}})
	if err != nil || asked.Network != "house" || len(asked.Charters) != 1 || len(asked.Requests) != 1 || asked.Requests[0].Function != "in" {
		t.Errorf("it is asked %+v, %v", asked, err)
	}
	if state := s.guardState("lock"); len(state.Words) != 1 || state.Words[0].By != "device" || state.Charter == nil || len(state.Restrictions) != 1 {
		t.Errorf("the node has %+v", state)
	}
	direct := device.NewHTTP(s.node.URL(), "lock", token, nil)
	if asked, err := direct.AskGuard(t.Context(), guard.Word{Charter: 1}); err != nil || len(asked.Charters) != 0 || len(asked.Requests) != 1 {
		t.Errorf("at the node it is asked %+v, %v", asked, err)
	}
	if _, err := direct.AskGuard(t.Context(), guard.Word{Decisions: make([]guard.Decision, 65)}); err == nil || !strings.Contains(err.Error(), "at most 64 functions") {
		t.Errorf("a word without end: %v", err)
	}
	if _, err := device.NewHTTP(s.node.URL(), "lock", "wrong", nil).AskGuard(t.Context(), guard.Word{}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a stranger: %v", err)
	}
	s.cut.Store(true)
	if _, err := http.AskGuard(t.Context(), guard.Word{}); err == nil || !strings.Contains(err.Error(), "uplink is down") {
		t.Errorf("behind a wire that is cut it hears %v", err)
	}
}

// A gateway without the MQTT door tells devices over HTTP, where they log in, and nobody else.
func TestCommandWithoutDoor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	token := s.announce("kettle", "ordinary")
	s.cfg.MQTT = "off"
	s.start()
	status, text := s.ask("PUT", "/v1/devices/kettle/desired", `{"level":0}`)
	if status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	message, _, changed, err := device.NewHTTP(s.g.URL(), "kettle", token, nil).Desired(t.Context(), "", 0)
	if err != nil || !changed || string(message) != `{"level":0}` {
		t.Errorf("the device hears %q, %v, %v", message, changed, err)
	}
	if _, _, _, err := device.NewHTTP(s.g.URL(), "kettle", "stranger", nil).Desired(t.Context(), "", 0); err == nil {
		t.Error("a stranger hears what the device should be like")
	}
}

// A clock that goes on when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Round(0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
