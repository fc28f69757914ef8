package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// An obedient is a device that can be commanded: its level in percent and its power in W.
type obedient struct {
	*device.Device
	*device.Commands
	id    lamppost.DeviceID
	leave func() // ends its connection
}

func (l *lamp) obedient(t *testing.T, id lamppost.DeviceID, safety string, mqtt bool, now clock) obedient {
	t.Helper()
	var token api.DeviceToken
	l.order("/api/devices", api.NewDevice{ID: id, Owner: "ada", Safety: safety}, &token)
	dir := t.TempDir()
	key, err := device.LoadOrCreateKey(dir, sig.EdDSA)
	must(t, err)
	got, err := device.Enrol(t.Context(), device.Enrolment{URL: l.URL(), Device: id, Token: token.Token, Key: key, Dir: dir, Client: l.client})
	must(t, err)
	web := device.NewHTTP(l.URL(), id, token.Token, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	var sender device.Sender = web
	var from device.Commander = web
	o := obedient{id: id, leave: func() {}}
	if mqtt {
		m, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + l.MQTTAddr(), Device: id, Token: token.Token, Commands: true, MinBackoff: 10 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
		must(t, err)
		o.leave = sync.OnceFunc(func() { m.Close() })
		sender, from = m, m
	}
	o.Device, err = device.Open(device.Config{Network: got.Network, ID: id, Key: key, KeyEpoch: got.KeyEpoch, Dir: dir, Sender: sender, Now: now, MinBackoff: 20 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
	must(t, err)
	class, err := lamppost.ParseSafetyClass(safety)
	must(t, err)
	g, err := o.OpenGuard(device.GuardConfig{Class: class, From: web})
	must(t, err)
	must(t, g.Ask(t.Context()))
	o.Commands, err = o.OpenCommands(device.CommandConfig{Guard: g, Functions: map[string]string{"level": lamppost.Level, "power": "W"}, From: from})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { o.Device.Run(ctx) })
	all.Go(func() { o.Commands.Run(ctx) })
	t.Cleanup(func() { cancel(); o.leave(); all.Wait(); o.Close() })
	return o
}

// desire commands a device, which must be taken.
func (l *lamp) desire(id lamppost.DeviceID, command string) (d api.DesiredState) {
	l.t.Helper()
	status, answer := l.ask("PUT", "/api/devices/"+string(id)+"/desired", json.RawMessage(command))
	if status != http.StatusOK {
		l.t.Fatalf("%s: %d %s", command, status, answer)
	}
	must(l.t, json.Unmarshal(answer, &d))
	return d
}

// stands waits until a device stands to a revision as it should, by the twin.
func (l *lamp) stands(id lamppost.DeviceID, revision uint64, state string) api.DesiredState {
	l.t.Helper()
	var d api.DesiredState
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		d = l.detail(id).Desired
		if d.Revision == revision && d.State == state {
			return d
		}
	}
	l.t.Fatalf("%s is at revision %d, %s (%s), %+v; want %d, %s", id, d.Revision, d.State, d.Text, d.Functions, revision, state)
	return d
}

func (o obedient) level(t *testing.T, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = ""
		if v, ok := o.State().Of("level"); ok {
			got = v.String()
		}
		if got == want {
			return
		}
	}
	t.Fatalf("%s is at level %q, want %q", o.id, got, want)
}

// Goal: a command reaches a device once whatever is lost, holds as long as it says also where nobody can be reached, survives the node, and the twin
// says truly how the device stands to it. Method: a node with its MQTT door at a fixed address, a device over MQTT and one over HTTP, and a clock
// that is moved.
func TestDesiredStates(t *testing.T) {
	t.Parallel()
	for name, mqtt := range map[string]bool{"mqtt": true, "http": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			cfg := config(t.TempDir())
			base := cfg.Now
			cfg.Now = func() time.Time { return base().Add(time.Duration(ahead.Load())).Round(0) }
			cfg.MQTT, cfg.HTTP, cfg.NoFsync = consensustest.FreeAddress(t), consensustest.FreeAddress(t), false
			l := run(t, cfg)
			l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
			o := l.obedient(t, "plug", "ordinary", mqtt, cfg.Now)
			l.stands("plug", 0, api.NothingDesired)

			d := l.desire("plug", `{"id":"c1","set":{"level":60,"power":"3500 W"},"by":"ann","reason":"a quiet street"}`)
			if d.Revision != 1 || d.By != "ann" || d.Reason != "a quiet street" || d.Height == 0 {
				t.Errorf("commanded: %+v", d)
			}
			o.level(t, "60")
			if d := l.stands("plug", 1, api.Obeyed); d.AckedBy != "device" || d.Delivered == 0 || d.Functions[1].Granted != "3500" {
				t.Errorf("obeyed: %+v", d)
			}
			for _, r := range l.detail("plug").Readings {
				if lamppost.IsAck(r.Name) {
					t.Errorf("the acknowledgement %s is shown as a measurement", r.Name)
				}
			}
			if d := l.desire("plug", `{"id":"c1","set":{"level":60,"power":"3500 W"},"for_ms":1}`); d.Revision != 1 {
				t.Errorf("the same command again is revision %d", d.Revision)
			}
			_, err := o.Report(lamppost.Reading{Name: "level", Unit: lamppost.Level, Value: lamppost.Dec(35, 0), Time: lamppost.TimeMS(cfg.Now().UnixMilli()) + 1})
			must(t, err)
			if d := l.stands("plug", 1, api.SaysOtherwise); !strings.Contains(d.Text, "level is 35 %, not 60") {
				t.Error(d.Text)
			}

			// Two operators who saw the same: one of them is told.
			won := 0
			for _, level := range []int{40, 50} {
				status, _ := l.ask("PUT", "/api/devices/plug/desired", json.RawMessage(fmt.Sprintf(`{"set":{"level":%d},"after":1,"for_ms":600000}`, level)))
				if status == http.StatusOK {
					won = level
				} else if status != http.StatusConflict {
					t.Errorf("status %d", status)
				}
			}
			o.level(t, fmt.Sprint(won))
			l.stands("plug", 2, api.Obeyed)

			// The node goes and comes back: the device does what it was told, and hears it again.
			l.stop()
			o.level(t, fmt.Sprint(won))
			l = run(t, cfg)
			for l.stands("plug", 2, api.Obeyed).Delivered == 0 {
				time.Sleep(5 * time.Millisecond)
			}

			// While nobody can be reached the command ends, and the device by itself with it.
			l.stop()
			ahead.Add(int64(11 * time.Minute))
			o.level(t, "")
			l = run(t, cfg)
			l.stands("plug", 2, api.CommandOver)

			// What it missed it hears when it is there again.
			l.desire("plug", `{"set":{"level":70}}`)
			o.level(t, "70")
			l.stop()
			l = run(t, cfg)
			if status, text := l.ask("DELETE", "/api/devices/plug/desired?by=bob&reason=enough", nil); status != http.StatusOK {
				t.Fatalf("%d %s", status, text)
			}
			o.level(t, "")
			l.stands("plug", 4, api.TakenBack)
			if !mqtt {
				return
			}
			for o.leave(); l.metric("lamppost_mqtt_connections") > 0; {
				time.Sleep(5 * time.Millisecond)
			}
			l.desire("plug", `{"set":{"level":10}}`)
			l.stands("plug", 5, api.NotDelivered)
		})
	}
}

// A command passes the device's guard and what the charter lets anybody set, and nobody commands who may not.
func TestCommandsPassTheGuard(t *testing.T) {
	t.Parallel()
	l := light(t)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
	now := config(t.TempDir()).Now
	o := l.obedient(t, "light", "public", true, now)
	owner := newKey(t, "owner")
	c := lamppost.Charter{Version: lamppost.CharterVersion, Device: "light", Number: 1, Owner: lamppost.CharterKey{Suite: owner.Suite(), Key: owner.Public().Bytes()},
		Functions: []lamppost.Function{{Name: "level", Class: lamppost.Public, Min: 30}}}
	raw, err := c.Sign("house", lamppost.PurposeCharter, owner)
	must(t, err)
	l.desire("light", `{"set":{"level":10}}`)
	o.level(t, "100")
	l.order("/api/charters", lamppost.CharterBody{Device: "light", Charter: raw}, nil)
	must(t, o.Commands.Guard().Ask(t.Context()))
	o.level(t, "30")
	d := l.stands("light", 1, api.GrantedLess)
	for d.Functions[0].Granted != "30" { // once it has said so
		d = l.stands("light", 1, api.GrantedLess)
	}
	if d.Functions[0].Why != "not below its minimum" {
		t.Errorf("granted: %+v", d)
	}
	l.desire("light", `{"set":{"heat":50,"level":80}}`) // which no charter names
	o.level(t, "80")
	if d = l.stands("light", 2, api.GrantedLess); d.Functions[0].Granted != "" || d.Functions[1].Why != "" {
		t.Errorf("granted: %+v", d)
	}
	for body, want := range map[string]int{
		`{"set":{"level":50},"mode":"stopped"}`: http.StatusForbidden, `{"set":{"level":50},"mode":"advise"}`: http.StatusForbidden, `{"set":{}}`: http.StatusBadRequest,
		`{"set":{"level":101}}`: http.StatusBadRequest, `{"set":{"level":50},"for_ms":604800001}`: http.StatusBadRequest, `{"set":{"left_ms":5}}`: http.StatusBadRequest,
		`{"set":{"level":50},"after":1}`: http.StatusConflict,
	} {
		if status, text := l.ask("PUT", "/api/devices/light/desired", json.RawMessage(body)); status != want {
			t.Errorf("%s: %d %s, want %d", body, status, text, want)
		}
	}
	if status, _ := l.askAs("stranger", "PUT", "/api/devices/light/desired", json.RawMessage(`{"set":{"level":50}}`)); status != http.StatusUnauthorized {
		t.Errorf("a stranger commands: %d", status)
	}
	if status, _ := l.ask("PUT", "/api/devices/nobody/desired", json.RawMessage(`{"set":{"level":50}}`)); status != http.StatusUnprocessableEntity {
		t.Errorf("nobody is commanded: %d", status)
	}
	if d, err := l.Node.Desire(t.Context(), "light", api.Command{ID: "d12.0.1", Set: lamppost.Setpoints{{Name: "level", Value: lamppost.Dec(90, 0), Unit: lamppost.Level}}, By: "agent", Mode: lamppost.ModeBounded}); err != nil || d.Revision != 3 || d.Mode != lamppost.ModeBounded {
		t.Errorf("an agent in this process: %+v, %v", d, err)
	}
	o.level(t, "90")
}

// A command given to one member reaches the device that is connected to another, and what the device says of it is known at all.
func TestDesiredAtAnyMember(t *testing.T) {
	t.Parallel()
	var all []*member
	for _, s := range founded(t, "raft", 3)[:3] {
		all = append(all, s.runWith(t, func(*node.Config) {}))
	}
	first, last := all[0].lamp(), all[2].lamp()
	all[2].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	o := last.obedient(t, "plug", "ordinary", true, all[2].cfg.Now)
	for status := 0; status != http.StatusOK; time.Sleep(5 * time.Millisecond) { // until this member has the device too
		status, _ = first.ask("GET", "/api/devices/plug", nil)
	}
	first.desire("plug", `{"set":{"level":60}}`)
	o.level(t, "60")
	for _, m := range all {
		if d := m.lamp().stands("plug", 1, api.Obeyed); (d.Delivered != 0) != (m == all[2]) {
			t.Errorf("delivered at %d, by the last member: %v", d.Delivered, m == all[2])
		}
	}
}
