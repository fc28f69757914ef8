package node_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/restore"
	"github.com/lamppost/lamppost/internal/triage/behave"
)

// readAlarms subscribes to all alarms at a node's door, as its administrator.
func readAlarms(t *testing.T, l *lamp) <-chan *paho5.Publish {
	t.Helper()
	nc, err := net.Dial("tcp", l.MQTTAddr())
	must(t, err)
	came := make(chan *paho5.Publish, 64)
	c := paho5.NewClient(paho5.ClientConfig{Conn: nc, PacketTimeout: 20 * time.Second, OnPublishReceived: []func(paho5.PublishReceived) (bool, error){
		func(p paho5.PublishReceived) (bool, error) { came <- p.Packet; return true, nil }}})
	_, err = c.Connect(t.Context(), &paho5.Connect{ClientID: "reader", KeepAlive: 30, CleanStart: true, UsernameFlag: true, Username: "admin", PasswordFlag: true, Password: []byte(l.AdminToken())})
	must(t, err)
	t.Cleanup(func() { c.Disconnect(&paho5.Disconnect{}) })
	_, err = c.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "lp/alarms/#", QoS: 1}}})
	must(t, err)
	return came
}

func nextAlarm(t *testing.T, came <-chan *paho5.Publish) (*paho5.Publish, notify.Message) {
	t.Helper()
	select {
	case p := <-came:
		var m notify.Message
		if len(p.Payload) > 0 {
			must(t, json.Unmarshal(p.Payload, &m))
		}
		return p, m
	case <-time.After(20 * time.Second):
		t.Fatal("no alarm came in 20 s")
		return nil, notify.Message{}
	}
}

// TestAlarmsOverMQTT: who logs in at the door with the administrator's token reads an alarm when it comes, when it stands already, and after
// a restart; it ends with the answer. A device's token is none of that, and erased is gone.
func TestAlarmsOverMQTT(t *testing.T) {
	t.Parallel()
	f := simulated(t, 2)
	for _, d := range f.all {
		_, err := f.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: d.id, Firmware: []lamppost.Hash{goodImage}})
		must(t, err)
	}
	nc, err := net.Dial("tcp", f.MQTTAddr())
	must(t, err)
	if _, err := overMQTT5(t, nc, "admin", f.all[0].token); err == nil {
		t.Error("a device's token is taken as the administrator's")
	}
	came := readAlarms(t, f.lamp)
	other := func(r *lamppost.Report) { r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time) }
	f.minute(func(i int, d *fleetDevice) {
		if i == 0 {
			f.send(d, f.reading(d, 0, other))
		}
	})
	p, m := nextAlarm(t, came)
	if p.Topic != "lp/alarms/m0" || p.Retain || m.Event != "alarm" || m.Code != behave.UnknownFirmware || !m.Suspends || len(m.Why) != 1 || m.ID != "house/node1/"+m.Verdict.String() {
		t.Errorf("%s %v: %+v", p.Topic, p.Retain, m)
	}
	body := string(p.Payload)
	for _, d := range f.all {
		d.hangUp()
	}
	f.stop()
	cfg := config(f.dir)
	cfg.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	f.lamp = run(t, cfg)
	came = readAlarms(t, f.lamp)
	if p, _ := nextAlarm(t, came); string(p.Payload) != body {
		t.Errorf("after a restart %s, before %s", p.Payload, body)
	}
	if p, _ := nextAlarm(t, readAlarms(t, f.lamp)); !p.Retain { // takes over from the one before
		t.Error("what stands does not come as a retained message")
	}
	came = readAlarms(t, f.lamp)
	nextAlarm(t, came)
	_, err = f.Order(t.Context(), lamppost.TxReview, lamppost.ReviewBody{Verdict: m.Verdict, Answer: lamppost.ReviewValid, Reason: "image 2 is ours"})
	must(t, err)
	if p, _ := nextAlarm(t, came); p.Topic != "lp/alarms/m0" || len(p.Payload) > 0 {
		t.Errorf("after the answer: %s %s", p.Topic, p.Payload)
	}
	f.minute(func(i int, d *fleetDevice) {
		if i == 1 {
			f.send(d, f.reading(d, 0, other))
		}
	})
	if p, _ := nextAlarm(t, came); p.Topic != "lp/alarms/m1" || len(p.Payload) == 0 {
		t.Errorf("another: %s %s", p.Topic, p.Payload)
	}
	f.order("/api/erasures", lamppost.EraseBody{Device: "m1", Basis: "GDPR Art. 17(1)(b)"}, nil)
	if p, _ := nextAlarm(t, came); p.Topic != "lp/alarms/m1" || len(p.Payload) > 0 {
		t.Errorf("after the erasure: %s %s", p.Topic, p.Payload)
	}
	if _, err := f.Store().Get([]byte("nN")); err != nil {
		t.Error(err)
	}
}

// webhook is a server that takes messages, and its configuration.
func webhook(t *testing.T) (notify.Config, <-chan notify.Message) {
	t.Helper()
	came := make(chan notify.Message, 64)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		came <- m
	}))
	t.Cleanup(server.Close)
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("0123456789abcdef"), 0o600))
	return notify.Config{Webhooks: []notify.Webhook{{URL: server.URL, Secret: secret}}}, came
}

func nextMessage(t *testing.T, came <-chan notify.Message) notify.Message {
	t.Helper()
	select {
	case m := <-came:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no message came in 30 s")
		return notify.Message{}
	}
}

// TestRestoredNodeTellsNothingOld: a node on an old backup shows what stands, and its webhook hears of what is found from then on alone.
func TestRestoredNodeTellsNothingOld(t *testing.T) {
	t.Parallel()
	f := simulated(t, 2)
	for _, d := range f.all {
		_, err := f.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: d.id, Firmware: []lamppost.Hash{goodImage}})
		must(t, err)
	}
	bad := func(which int) {
		f.minute(func(i int, d *fleetDevice) {
			if i == which {
				f.send(d, f.reading(d, 0, func(r *lamppost.Report) { r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time) }))
				d.hangUp()
			}
		})
	}
	bad(0)
	var raw bytes.Buffer
	must(t, f.Backup(t.Context(), api.NewBackup{Path: filepath.Join(t.TempDir(), "b"), Host: "elsewhere"}, func(string) io.Writer { return &raw }))
	f.stop()
	b := restore.Backup{Data: filepath.Join(t.TempDir(), "r"), From: &raw, Progress: silent}
	_, err := b.Restore(t.Context())
	must(t, err)
	f.clock.Add(3_600_000)
	cfg := config(b.Data)
	cfg.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	var came <-chan notify.Message
	cfg.Notify, came = webhook(t)
	f.lamp = run(t, cfg)
	if p, m := nextAlarm(t, readAlarms(t, f.lamp)); p.Topic != "lp/alarms/m0" || m.Event != "alarm" {
		t.Errorf("shown: %s %+v", p.Topic, m)
	}
	bad(1)
	if m := nextMessage(t, came); m.Device != "m1" || m.Event != "alarm" {
		t.Errorf("told: %+v", m)
	}
}

// TestOneMemberTells: of an alarm in a cluster whose members all have the webhook, and of its answer, which another member ordered, it hears
// once, from the member to which the device reported.
func TestOneMemberTells(t *testing.T) {
	t.Parallel()
	notifying, came := webhook(t)
	var all []*member
	for _, s := range founded(t, "raft", 3)[:3] {
		all = append(all, s.runWith(t, func(c *node.Config) { c.MQTT, c.Notify = "off", notifying }))
	}
	all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	l := all[1].lamp()
	eventually(t, "the member has the owner", func() bool { _, err := (ledger.View{Reader: l.Store()}).Party("ada"); return err == nil })
	m := l.announce("hers")
	l.enrol(m)
	l.order("/api/points", lamppost.PointBody{ID: "flat", Device: "hers", Register: "energy", Unit: "Wh"}, nil)
	for _, value := range []int64{5000, 5010, 900} {
		raw := m.report(t, func(r *lamppost.Report) {
			r.Readings[0].Value, r.Readings[0].Time = lamppost.Dec(value, 0), r.Readings[0].Time+lamppost.TimeMS(m.n*1000)
		})
		eventually(t, "a report is taken", func() bool { got := l.post(m, raw); return got.Code == "ok" || got.Code == "duplicate" })
	}
	alarm := nextMessage(t, came)
	if alarm.Event != "alarm" || alarm.Member != "m2" || alarm.Device != "hers" || alarm.Code != "rolled_back" {
		t.Errorf("told: %+v", alarm)
	}
	all[2].ordered(lamppost.TxReview, lamppost.ReviewBody{Verdict: alarm.Verdict, Answer: lamppost.ReviewValid, Reason: "exchanged"})
	if got := nextMessage(t, came); got.Event != "resolved" || got.Member != "m2" || got.Because != "valid" || got.Verdict != alarm.Verdict {
		t.Errorf("told: %+v", got)
	}
	for i, x := range all {
		eventually(t, "all have the answer", func() bool {
			v, err := (ledger.View{Reader: x.lamp().Store()}).Verdict(alarm.Verdict)
			return err == nil && !v.Open()
		})
		must(t, x.lamp().GatherAlarms())
		if told := x.lamp().MessagesTold(); told != map[int]uint64{1: 2}[i] {
			t.Errorf("m%d has told %d messages", i+1, told)
		}
	}
	select {
	case m := <-came:
		t.Errorf("told once more: %+v", m)
	default:
	}
}
