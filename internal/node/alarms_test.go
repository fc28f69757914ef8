package node_test

import (
	"encoding/json"
	"net"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/notify"
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
