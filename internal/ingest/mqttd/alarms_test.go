package mqttd_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// withAdmin opens to an administrator, whose password is "secret".
func withAdmin(c *mqttd.Config) { c.Admin = func(password string) bool { return password == "secret" } }

func asAdmin(pk *packets.Packet) { pk.Connect.Password = []byte("secret") }

// next waits for a message.
func next(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(20 * time.Second):
		t.Fatal("no message came in 20 s")
		return ""
	}
}

// The clients of Eclipse read alarms as an administrator: what stands comes at once and retained, what is new comes then, and an empty message
// says that it is over.
func TestAlarmsPaho(t *testing.T) {
	t.Parallel()
	d := open(t, newFake(), withAdmin)
	if err := d.SetAlarm("m1", []byte("odd")); err != nil {
		t.Fatal(err)
	}
	c3 := paho3.NewClient(paho3.NewClientOptions().AddBroker("tcp://" + d.addr).SetClientID("three").SetUsername("admin").SetPassword("secret").SetProtocolVersion(4).SetAutoReconnect(false))
	got := make(chan string, 10)
	for _, do := range []func() paho3.Token{c3.Connect, func() paho3.Token {
		return c3.Subscribe("lp/alarms/#", 1, func(_ paho3.Client, m paho3.Message) {
			got <- fmt.Sprint(m.Topic(), " ", string(m.Payload()), " ", m.Retained())
		})
	}} {
		if token := do(); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	defer c3.Disconnect(0)
	nc, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	got5 := make(chan string, 10)
	c5 := paho5.NewClient(paho5.ClientConfig{Conn: nc, OnPublishReceived: []func(paho5.PublishReceived) (bool, error){func(p paho5.PublishReceived) (bool, error) {
		got5 <- fmt.Sprint(p.Packet.Topic, " ", string(p.Packet.Payload), " ", p.Packet.Retain)
		return true, nil
	}}})
	ack, err := c5.Connect(t.Context(), &paho5.Connect{ClientID: "five", KeepAlive: 30, CleanStart: true, UsernameFlag: true, Username: "admin", PasswordFlag: true, Password: []byte("secret")})
	if err != nil || !ack.Properties.WildcardSubAvailable {
		t.Fatalf("%+v, %v", ack, err)
	}
	if _, err := c5.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "lp/alarms/+", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ device, payload, want string }{{"", "", "lp/alarms/m1 odd true"}, {"m2", "odder", "lp/alarms/m2 odder false"}, {"m1", "", "lp/alarms/m1  false"}, {"m2", "oddest", "lp/alarms/m2 oddest false"}} {
		if step.device != "" {
			if err := d.SetAlarm(lamppost.DeviceID(step.device), []byte(step.payload)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []chan string{got, got5} {
			if m := next(t, c); m != step.want {
				t.Errorf("came %q, want %q", m, step.want)
			}
		}
	}
	if _, err := c5.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: "lp/alarms/m1", Payload: []byte("x")}); err == nil || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("publishing as an administrator: %v", err)
	}
}

// An administrator may subscribe to alarms and to nothing else, and publish nothing; a device may not subscribe to alarms, also one that is
// called admin; a wrong password is no administrator's; and at a door that knows no administrator nobody is.
func TestAlarmsAreReadOnly(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		f := newFake()
		d := open(t, f, withAdmin)
		d.SetAlarm("m1", []byte("odd"))
		no := byte(0x80)
		if version == 5 {
			no = 0x87
		}
		c := dial(t, d)
		c.login(version, "admin", "c", asAdmin)
		if ack := c.subscribe("#", "lp/#", "lp/+/refused", "lp/m1/desired", "lp/alarms/", "lp/alarms/m/x", "lp/alarms/#/x", "lp/alarms/m2"); string(ack.ReasonCodes) != strings.Repeat(string([]byte{no}), 7)+"\x00" {
			t.Errorf("subscribed: %x", ack.ReasonCodes)
		}
		for _, topic := range []string{ownTopic, "lp/alarms/m1", "lp/admin/report", "lp//report"} {
			c.send(publishPacket(version, 1, topic, 1, []byte("x"))...)
			if ack := c.want(packets.Puback); version == 5 && ack.ReasonCode != 0x87 {
				t.Errorf("publishing to %s: %#x", topic, ack.ReasonCode)
			}
		}
		if n := len(f.reports()); n != 0 {
			t.Errorf("%d reports of an administrator were taken", n)
		}
		for _, user := range []string{"m1", "admin"} {
			c := dial(t, d)
			c.login(version, user, "c", nil)
			if ack := c.subscribe("lp/alarms/#", "lp/alarms/m1", "lp/alarms/"+user); string(ack.ReasonCodes) != strings.Repeat(string([]byte{no}), 3) {
				t.Errorf("device %s subscribed: %x", user, ack.ReasonCodes)
			}
			c.send(publishPacket(version, 1, "lp/"+user+"/report", 1, []byte("x"))...)
			c.want(packets.Puback)
		}
		f.await(2)
		wrong := func(pk *packets.Packet) { pk.Connect.Password = []byte("secre") }
		if ack := dial(t, d).login(version, "admin", "c", wrong); ack.ReasonCode == 0 {
			t.Error("a wrong password was taken")
		}
		if ack := dial(t, open(t, newFake(), nil)).login(version, "admin", "c", asAdmin); ack.ReasonCode == 0 {
			t.Error("a door without administrators took one")
		}
	}
}

// Readers, their filters, and alarms are limited; who is refused hears it, and a place that was left is free.
func TestAlarmLimits(t *testing.T) {
	t.Parallel()
	d := open(t, newFake(), withAdmin)
	if err := d.SetAlarm("m1", make([]byte, mqttd.MaxAlarmBytes+1)); err == nil {
		t.Error("an alarm that is too large was taken")
	}
	for i := range mqttd.MaxAlarms {
		if err := d.SetAlarm(lamppost.DeviceID(fmt.Sprint("m", i)), []byte("odd")); err != nil {
			t.Fatal(err)
		}
	}
	if d.SetAlarm("one-more", []byte("odd")) == nil || d.SetAlarm("one-more", nil) != nil || d.SetAlarm("m7", []byte("odder")) != nil {
		t.Error("alarms are not limited, or those that are shown cannot be replaced")
	}
	var all []*raw
	for i := range mqttd.MaxReaders {
		c := dial(t, d)
		if ack := c.login(5, "admin", fmt.Sprint(i), asAdmin); ack.ReasonCode != 0 {
			t.Fatalf("reader %d: %#x", i, ack.ReasonCode)
		}
		all = append(all, c)
	}
	if ack := dial(t, d).login(5, "admin", "more", asAdmin); ack.ReasonCode != 0x97 {
		t.Errorf("one reader more: %#x", ack.ReasonCode)
	}
	if ack := dial(t, d).login(4, "admin", "more", asAdmin); ack.ReasonCode != 3 {
		t.Errorf("one reader more: %#x", ack.ReasonCode)
	}
	c := all[0]
	first := c.subscribe("lp/alarms/x0", "lp/alarms/x1", "lp/alarms/x2", "lp/alarms/x3", "lp/alarms/x4", "lp/alarms/x5", "lp/alarms/x6", "lp/alarms/x7")
	if more := c.subscribe("lp/alarms/#", "lp/alarms/x3"); string(first.ReasonCodes) != strings.Repeat("\x00", 8) || string(more.ReasonCodes) != "\x97\x00" {
		t.Errorf("filters: %x, then %x", first.ReasonCodes, more.ReasonCodes)
	}
	c.Close()
	for end := time.Now().Add(20 * time.Second); ; {
		again := dial(t, d)
		if again.login(5, "admin", "again", asAdmin).ReasonCode == 0 {
			c = again
			break
		}
		if time.Now().After(end) {
			t.Fatal("the place of a reader that left is not free")
		}
	}
	c.subscribe("lp/alarms/#")
	seen := map[string]bool{}
	for range mqttd.MaxAlarms {
		pk := c.want(packets.Publish)
		seen[pk.TopicName] = pk.FixedHeader.Retain
	}
	if len(seen) != mqttd.MaxAlarms || !seen["lp/alarms/m7"] {
		t.Errorf("%d alarms came", len(seen))
	}
}

// A reader that takes nothing while alarms change costs no more than one message for each device, and gets the newest; who publishes on and on
// is read once a second.
func TestAlarmFlood(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), withAdmin, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(5, "admin", "slow", asAdmin)
		c.subscribe("lp/alarms/#")
		for i := range 5000 {
			for _, id := range []lamppost.DeviceID{"m1", "m2"} {
				if err := d.SetAlarm(id, fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		last, n := map[string]string{}, 0
		for ; last["lp/alarms/m1"] != "4999" || last["lp/alarms/m2"] != "4999"; n++ {
			pk := c.want(packets.Publish)
			last[pk.TopicName] = string(pk.Payload)
		}
		if dropped := value(d.metrics.Dropped); n+int(dropped) != 10_000 || n > 100 {
			t.Errorf("%d messages came and %v were replaced", n, dropped)
		}
		c.Close()

		c = dial()
		c.login(5, "admin", "loud", asAdmin)
		start := time.Now()
		go func() {
			for range 1000 {
				if _, err := c.Write(publishPacket(5, 1, "lp/alarms/m1", 1, []byte("x"))); err != nil {
					return
				}
			}
		}()
		for range 64 {
			c.want(packets.Puback)
		}
		took(t, start, 0)
		for range 30 {
			c.want(packets.Puback)
		}
		took(t, start, 30*time.Second)
	})
}
