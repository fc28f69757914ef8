package node_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
)

// receipt fetches the receipt of a device's report when it is published, and checks it as a customer would.
func (l *lamp) receipt(path string) *audit.Finding {
	l.t.Helper()
	status, file := 0, []byte(nil)
	for deadline := time.Now().Add(30 * time.Second); status != http.StatusOK; {
		if status, file = l.ask("GET", "/api/receipts/"+path, nil); time.Now().After(deadline) {
			l.t.Fatalf("the receipt %s: %d %s", path, status, file)
		}
	}
	_, text := l.askAs("", "GET", "/network.pin", nil)
	pin, err := audit.ParsePin(string(text))
	must(l.t, err)
	found, err := audit.Verify(file, pin)
	if err != nil {
		l.t.Fatalf("the receipt %s: %v", path, err)
	}
	return found
}

// A device that shares an HMAC key with the node reports like others; its receipt says that the node vouches.
func TestSharedKey(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("fan")
	secret := sha256.Sum256([]byte("fan"))
	var err error
	m.key, err = sig.NewPrivateKey(sig.HMAC256, secret[:])
	must(t, err)
	l.enrol(m)
	if got := l.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Errorf("a report: %+v", got)
	}
	thief := *m
	thief.key, err = sig.NewPrivateKey(sig.HMAC256, make([]byte, 32))
	must(t, err)
	if got := l.post(m, thief.report(t, nil)); got.Code != "bad_signature" {
		t.Errorf("a report under another key: %+v", got)
	}
	if found := l.receipt("fan/1/1"); found.Assurances["gateway-vouched"] != 1 || !strings.Contains(strings.Join(found.DoesNotProve, "\n"), "gateway-vouched") {
		t.Errorf("found %+v", found)
	}
	l.stop()
	again := run(t, cfg)
	if got := again.post(m, m.report(t, nil)); got.Code != "ok" {
		t.Errorf("a report after a restart: %+v", got)
	}
}

// A foreign is a client that never heard of reports: it has a will, and publishes JSON on topics of its own.
type foreign struct {
	*mqtt3
}

func openForeign(t testing.TB, l *lamp, m *machine) foreign {
	t.Helper()
	opts := paho3.NewClientOptions().AddBroker("tcp://"+l.MQTTAddr()).SetClientID("DVES_1").SetUsername(string(m.id)).SetPassword(m.token).
		SetProtocolVersion(4).SetAutoReconnect(false).SetWill("tele/"+string(m.id)+"/LWT", "Offline", 1, true)
	s := &mqtt3{t: t, c: paho3.NewClient(opts), refused: make(chan said, 100)}
	s.done("connecting", s.c.Connect())
	t.Cleanup(func() { s.c.Disconnect(0) })
	s.done("subscribing", s.c.Subscribe("lp/"+string(m.id)+"/refused", 1, func(_ paho3.Client, msg paho3.Message) {
		var r said
		if err := json.Unmarshal(msg.Payload(), &r); err != nil {
			r.Text = err.Error()
		}
		s.refused <- r
	}))
	return foreign{s}
}

// say publishes and returns what became of it.
func (f foreign) say(topic, message string, refused bool) string {
	f.t.Helper()
	f.topic = topic
	return f.send([]byte(message), refused).Code
}

// Foreign devices, from the first message that nobody knows to a receipt that says how far their word goes.
func TestForeignDevices(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.AdmitUnsigned, cfg.Mapping = true, filepath.Join(t.TempDir(), "mapping.yaml")
	must(t, os.WriteFile(cfg.Mapping, []byte("builtin: [tasmota, zigbee2mqtt]\nbridges: [z2m]\n"), 0o600))
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	plug, bridge := openForeign(t, l, l.announce("plug")), openForeign(t, l, l.announce("z2m"))
	const sensor, kettle = `{"Time":"2026-12-01T12:00:00","ENERGY":{"Total":82.417,"Power":61}}`, `{"energy":31.02,"power":0,"state":"ON"}`
	if got := plug.say("tele/plug/SENSOR", sensor, true); got != "unknown" {
		t.Errorf("before it is adopted: %s", got)
	}
	if got := bridge.say("zigbee2mqtt/kettle", kettle, true); got != "unknown" {
		t.Errorf("before it is adopted: %s", got)
	}
	var list api.DeviceList
	_, text := l.ask("GET", "/api/devices", nil)
	must(t, json.Unmarshal(text, &list))
	waiting := map[lamppost.DeviceID]string{}
	for _, p := range list.Pending {
		waiting[p.ID] = strings.Join([]string{p.Topic, p.Mapping, p.Assurance, string(p.Owner)}, " ")
	}
	if len(waiting) != 3 || waiting["kettle"] != "zigbee2mqtt/kettle zigbee2mqtt unsigned " ||
		waiting["plug"] != "tele/plug/SENSOR tasmota channel-authenticated ada" || waiting["z2m"] != "   ada" {
		t.Errorf("waiting: %v", waiting)
	}
	if status, text := l.ask("POST", "/api/devices/kettle/adopt", api.Adoption{Owner: "ada", Assurance: "channel-authenticated"}); status != http.StatusUnprocessableEntity {
		t.Errorf("a device that cannot log in is channel-authenticated: %d %s", status, text)
	}
	if status, text := l.ask("POST", "/api/devices/kettle/adopt", api.Adoption{Owner: "ada", Assurance: "device-signed"}); status != http.StatusBadRequest {
		t.Errorf("a device without a key is device-signed: %d %s", status, text)
	}
	if status, text := l.ask("POST", "/api/devices/z2m/adopt", api.Adoption{Owner: "ada"}); status != http.StatusBadRequest || !strings.Contains(string(text), "has not spoken") {
		t.Errorf("a device that did not come is adopted by the way it came: %d %s", status, text)
	}
	l.order("/api/devices/plug/adopt", api.Adoption{}, nil) // as it was announced, by the way it came
	l.order("/api/devices/kettle/adopt", api.Adoption{Owner: "ada", Safety: "ordinary"}, nil)
	for topic, from := range map[string]foreign{"tele/plug/SENSOR": plug, "zigbee2mqtt/kettle": bridge} {
		if got := from.say(topic, map[string]string{"tele/plug/SENSOR": sensor, "zigbee2mqtt/kettle": kettle}[topic], false); got != "ok" {
			t.Errorf("%s: %s", topic, got)
		}
	}
	if got := bridge.say("tele/plug/SENSOR", sensor, true); got != "forbidden" {
		t.Errorf("the bridge speaks for a device that logs in itself: %s", got)
	}
	if got := plug.say("tele/plug/STATE", `{}`, true); got != "forbidden" {
		t.Errorf("a topic of no mapping: %s", got)
	}
	for id, want := range map[string]string{"plug": "82417 channel-authenticated", "kettle": "31020 unsigned"} {
		var d api.DeviceDetail
		_, text := l.ask("GET", "/api/devices/"+id, nil)
		must(t, json.Unmarshal(text, &d))
		if len(d.Readings) != 2 || d.Readings[0].Value+" "+d.Assurance != want || d.Suite != "" {
			t.Errorf("%s is shown as %s", id, text)
		}
		if found := l.receipt(id + "/0/1"); found.Assurances[d.Assurance] != 1 || !strings.Contains(strings.Join(found.DoesNotProve, "\n"), "("+d.Assurance+")") {
			t.Errorf("%s: found %+v", id, found)
		}
	}
	l.stop()
	again := run(t, cfg)
	token := again.reissue("plug")
	if got := openForeign(t, again, &machine{id: "plug", token: token}).say("tele/plug/SENSOR", sensor, false); got != "ok" {
		t.Errorf("after a restart: %s", got)
	}
	again.receipt("plug/0/257") // 256 numbers were reserved before
}

func (l *lamp) reissue(id string) string {
	l.t.Helper()
	var dev api.DeviceToken
	l.order("/api/devices/"+id+"/token", nil, &dev)
	return dev.Token
}

// A network that was not founded for it takes no unsigned device, whatever its node is told later.
func TestUnsignedIsNotAdmitted(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	l.stop()
	cfg.AdmitUnsigned = true
	l = run(t, cfg)
	if status, text := l.ask("POST", "/api/devices/kettle/adopt", api.Adoption{Owner: "ada", Assurance: "unsigned"}); status != http.StatusForbidden {
		t.Errorf("adopted: %d %s", status, text)
	}
}
