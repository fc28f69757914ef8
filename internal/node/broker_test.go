package node_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ingest/brokerd/brokertest"
	"github.com/lamppost/lamppost/internal/node"
)

// A guest is a client at a broker: whoever publishes there.
type guest struct {
	t *testing.T
	*paho5.Client
	refused chan string // "device code: text"
}

func visit(t *testing.T, addr, user, password string) *guest {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	g := &guest{t: t, refused: make(chan string, 100)}
	g.Client = paho5.NewClient(paho5.ClientConfig{Conn: nc, PacketTimeout: 20 * time.Second, OnPublishReceived: []func(paho5.PublishReceived) (bool, error){
		func(p paho5.PublishReceived) (bool, error) {
			var r said
			must(t, json.Unmarshal(p.Packet.Payload, &r))
			g.refused <- strings.Split(p.Packet.Topic, "/")[1] + " " + r.Code + ": " + r.Text
			return true, nil
		}}})
	_, err = g.Connect(t.Context(), &paho5.Connect{KeepAlive: 30, CleanStart: true, UsernameFlag: user != "", Username: user, PasswordFlag: user != "", Password: []byte(password)})
	must(t, err)
	t.Cleanup(func() { g.Disconnect(&paho5.Disconnect{}) })
	_, err = g.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "lp/+/refused", QoS: 1}}})
	must(t, err)
	return g
}

func (g *guest) publish(topic string, payload []byte) {
	g.t.Helper()
	_, err := g.Publish(g.t.Context(), &paho5.Publish{QoS: 1, Topic: topic, Payload: payload})
	must(g.t, err)
}

// told waits for a refusal.
func (g *guest) told(want string) {
	g.t.Helper()
	select {
	case got := <-g.refused:
		if !strings.HasPrefix(got, want) {
			g.t.Errorf("told %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		g.t.Errorf("nobody is told %q", want)
	}
}

// atBroker is how the node stands with its broker, once that is as wanted.
func (l *lamp) atBroker(what string, holds func(*api.Broker) bool) *api.Broker {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		var s api.Status
		_, text := l.ask("GET", "/api/status", nil)
		must(l.t, json.Unmarshal(text, &s))
		if s.Broker != nil && holds(s.Broker) {
			return s.Broker
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: the node says %+v", what, s.Broker)
		}
	}
}

func (l *lamp) detail(id lamppost.DeviceID) (d api.DeviceDetail) {
	l.t.Helper()
	_, text := l.ask("GET", "/api/devices/"+string(id), nil)
	must(l.t, json.Unmarshal(text, &d))
	return d
}

// Signed reports come through a broker as through the node's own door: each once, refused in words where they are not
// good, and what was published while the node was away when it is back. Who publishes does not matter, what a topic names
// and who signed does.
func TestBroker(t *testing.T) {
	t.Parallel()
	const each = 20
	b := brokertest.Start(t)
	cfg := config(t.TempDir())
	cfg.Broker.URL, cfg.MQTT = "mqtt://"+b.Addr, "off"
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m, other := l.announce("m1"), l.announce("m2")
	l.enrol(m)
	l.enrol(other)
	l.atBroker("joining", func(b *api.Broker) bool { return b.Connected })
	g := visit(t, b.Addr, "", "")
	for range each {
		g.publish("lp/m1/report", m.report(t, nil))
		g.publish("lp/m2/report", other.report(t, nil))
	}
	again := m.report(t, nil)
	forged := append([]byte(nil), m.report(t, nil)...)
	forged[len(forged)-1] ^= 1
	g.publish("lp/m1/report", again)
	g.publish("lp/m1/report", again)
	g.publish("lp/m1/report", forged)
	g.told("m1 bad_signature: the signature does not verify")
	g.publish("lp/m1/report", other.report(t, nil))
	g.told("m1 forbidden: ")
	g.publish("lp/m9/report", again)
	g.told("m9 forbidden: ")
	l.stop()
	for range each {
		g.publish("lp/m1/report", m.report(t, nil))
	}
	l = run(t, cfg)
	l.atBroker("taking what waited", func(b *api.Broker) bool { return b.Connected && b.Acknowledged == each })
	if d := l.detail("m1"); d.Seq.N != m.n || d.Missing != 1 || d.Quarantined != "" { // the forged one's number
		t.Errorf("m1 %+v, it has signed %d", d, m.n)
	}
	if d := l.detail("m2"); d.Seq.N != each || d.Missing != 0 {
		t.Errorf("m2 %+v", d)
	}
	for series, want := range map[string]float64{"lamppost_broker_connected": 1, "lamppost_broker_received_total": each, "lamppost_broker_acked_total": each,
		`lamppost_reports_total{code="ok"}`: each, `lamppost_reports_total{code="duplicate"}`: 0} {
		if got := l.metric(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// Messages of devices that know nothing of reports, as their makers publish them, arrive at a broker as everywhere: seen,
// adopted, wrapped. Nobody says who published them, so they are unsigned, unless the broker checks.
func TestBrokerMapped(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "acl")
	must(t, os.WriteFile(rules, []byte("user node\ntopic readwrite #\nuser plug\ntopic write tele/plug/SENSOR\ntopic read lp/+/refused\nuser hub\ntopic write #\ntopic read lp/+/refused\n"), 0o600))
	passwords := brokertest.Passwords(t, "node:secret", "plug:p", "hub:h")
	b := brokertest.Start(t, "allow_anonymous false", "password_file "+passwords, "acl_file "+rules)
	cfg := config(t.TempDir())
	cfg.AdmitUnsigned, cfg.Mapping = true, filepath.Join(t.TempDir(), "mapping.yaml")
	cfg.Broker = node.Broker{URL: "mqtt://node@" + b.Addr, Password: "secret"}
	must(t, os.WriteFile(cfg.Mapping, []byte("builtin: [tasmota, shelly-gen2, zigbee2mqtt]\n"), 0o600))
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	l.atBroker("joining", func(b *api.Broker) bool { return b.Connected })
	g := visit(t, b.Addr, "hub", "h")
	messages := map[lamppost.DeviceID][2]string{
		"fridge": {"tele/fridge/SENSOR", `{"Time":"2026-12-01T12:00:00","ENERGY":{"Total":82.417,"Power":61}}`},
		"shelly": {"shelly/status/switch:0", `{"id":0,"apower":8.9,"aenergy":{"total":6532.127}}`},
		"kettle": {"zigbee2mqtt/kettle", `{"energy":31.02,"power":0,"state":"ON"}`},
	}
	for id, m := range messages {
		g.publish(m[0], []byte(m[1]))
		g.told(string(id) + " unknown: no device of this name is enrolled: lamppost device adopt " + string(id))
		if status, text := l.ask("POST", "/api/devices/"+string(id)+"/adopt", api.Adoption{Owner: "ada", Assurance: "channel-authenticated"}); status != http.StatusUnprocessableEntity {
			t.Errorf("%s is channel-authenticated: %d %s", id, status, text)
		}
		l.order("/api/devices/"+string(id)+"/adopt", api.Adoption{Owner: "ada"}, nil)
		g.publish(m[0], []byte(m[1]))
	}
	l.atBroker("taking them", func(b *api.Broker) bool { return b.Acknowledged == 6 && b.Refused == 3 })
	for id, want := range map[lamppost.DeviceID]string{"fridge": "82417", "shelly": "6532.127", "kettle": "31020"} {
		if d := l.detail(id); len(d.Readings) != 2 || d.Readings[0].Value != want || d.Assurance != "unsigned" || d.Seq.N != 1 {
			t.Errorf("%s is shown as %+v", id, d)
		}
	}

	// A device that logs in at the node by itself is not spoken for by a broker that does not check.
	l.announce("plug")
	l.order("/api/devices/plug/adopt", api.Adoption{Owner: "ada", Assurance: "channel-authenticated"}, nil)
	p := visit(t, b.Addr, "plug", "p")
	const sensor = `{"ENERGY":{"Total":1.5}}`
	p.publish("tele/plug/SENSOR", []byte(sensor))
	p.told("plug forbidden: this device is enrolled as channel-authenticated, and a broker does not say who published: mqtt_broker_acl")
	l.stop()
	cfg.Broker.ACL = true
	l = run(t, cfg)
	l.atBroker("joining again", func(b *api.Broker) bool { return b.Connected })
	p.publish("tele/plug/SENSOR", []byte(sensor))
	g.publish("tele/boiler/SENSOR", []byte(sensor))
	p.told("boiler unknown: ")
	l.order("/api/devices/boiler/adopt", api.Adoption{Owner: "ada"}, nil)
	g.publish("tele/boiler/SENSOR", []byte(sensor))
	l.atBroker("taking them", func(b *api.Broker) bool { return b.Acknowledged == 3 })
	for _, id := range []lamppost.DeviceID{"plug", "boiler"} {
		if d := l.detail(id); len(d.Readings) != 1 || d.Readings[0].Value != "1500" || d.Assurance != "channel-authenticated" {
			t.Errorf("%s is shown as %+v", id, d)
		}
	}
}

// The rules of docs/devices.md let a device publish as itself alone, and the node do its work: so what they let through
// counts as the device's own.
func TestDocumentedRules(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/devices.md")
	must(t, err)
	_, text, _ := strings.Cut(string(doc), "```\nuser node\n")
	text, _, found := strings.Cut("user node\n"+text, "```")
	rules := filepath.Join(t.TempDir(), "acl")
	must(t, os.WriteFile(rules, []byte(text), 0o600))
	if !found || !strings.Contains(text, "pattern write lp/%u/report") {
		t.Fatalf("the rules are %q", text)
	}
	b := brokertest.Start(t, "allow_anonymous false", "password_file "+brokertest.Passwords(t, "node:secret", "plug:p", "m1:m"), "acl_file "+rules)
	cfg := config(t.TempDir())
	cfg.Mapping = filepath.Join(t.TempDir(), "mapping.yaml")
	cfg.Broker = node.Broker{URL: "mqtt://" + b.Addr, User: "node", Password: "secret", ACL: true}
	must(t, os.WriteFile(cfg.Mapping, []byte("builtin: [tasmota]\n"), 0o600))
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("m1")
	l.enrol(m)
	l.order("/api/devices/plug/adopt", api.Adoption{Owner: "ada", Assurance: "channel-authenticated"}, nil)
	l.atBroker("joining", func(b *api.Broker) bool { return b.Connected })
	plug, meter := visit(t, b.Addr, "plug", "p"), visit(t, b.Addr, "m1", "m")
	plug.publish("tele/plug/SENSOR", []byte(`{"ENERGY":{"Total":1.5}}`))
	plug.publish("tele/plug/SENSOR", []byte(`what is no JSON`))
	plug.told("plug bad_report: ")
	meter.publish("lp/m1/report", m.report(t, nil))
	for topic, from := range map[string]*guest{"tele/m1/SENSOR": plug, "lp/m1/report": plug, "tele/plug/SENSOR": meter, "lp/plug/report": meter} {
		if r, err := from.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: topic, Payload: []byte("x")}); err == nil || r.ReasonCode != 0x87 {
			t.Errorf("one device publishes to %s of another: %+v, %v", topic, r, err)
		}
	}
	l.atBroker("taking them", func(b *api.Broker) bool { return b.Acknowledged == 3 })
	if d := l.detail("plug"); len(d.Readings) != 1 || d.Readings[0].Value != "1500" {
		t.Errorf("plug is shown as %+v", d)
	}
	if d := l.detail("m1"); d.Seq.N != 1 {
		t.Errorf("m1 is shown as %+v", d)
	}
	if len(meter.refused) > 0 {
		t.Errorf("a device reads what another is told: %s", <-meter.refused)
	}
}

// A broker that cannot be joined keeps no node from serving: the node says why, and joins when it can.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, "allow_anonymous false", "password_file "+brokertest.Passwords(t, "node:right"))
	cfg := config(t.TempDir())
	cfg.Broker = node.Broker{URL: fmt.Sprintf("mqtt://node:wrong@%s", b.Addr)}
	l := run(t, cfg)
	s := l.atBroker("being refused", func(b *api.Broker) bool { return b.Error != "" })
	if s.Connected || !strings.Contains(s.Error, "does not know the user and password") || strings.Contains(s.Error+s.Address, "wrong") || s.Since < lamppost.TimeMS(begin.UnixMilli()) {
		t.Errorf("the node says %+v", s)
	}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.ProbeBroker(t.Context()); err == nil || !strings.Contains(err.Error(), "does not know the user and password") {
		t.Errorf("probing says %v", err)
	}
	l.stop()
	cfg.Broker.Password = "right"
	must(t, cfg.ProbeBroker(t.Context()))
	b.Stop()
	l = run(t, cfg)
	l.atBroker("finding nobody", func(b *api.Broker) bool { return strings.Contains(b.Error, "connecting to mqtt://") })
	b.Begin()
	l.atBroker("joining", func(b *api.Broker) bool { return b.Connected && b.Error == "" })
}
