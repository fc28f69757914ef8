package brokerd_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
)

// Whatever a broker brings, each message with an identifier is acknowledged once, only a report of a valid device is
// submitted, as that device's, and refusals go only to topics that a valid device reads.
func FuzzMessage(f *testing.F) {
	for _, topic := range []string{"lp/d1/report", "lp//report", "lp/report", "lp/a/b/report", "lp/+/report", "lp/x y/report", "tele/plug/SENSOR", "tele//SENSOR", "", "lp/d1/refused"} {
		f.Add(topic, []byte("good"), true)
		f.Add(topic, []byte("bad"), false)
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte, qos1 bool) {
		ours, mapped := newFake(true), newMapper()
		c, err := brokerd.New(brokerd.Config{Address: brokerd.Address{Host: "x:1"}, ClientID: "x", Submit: ours, Foreign: mapped})
		if err != nil {
			t.Fatal(err)
		}
		m := &paho.Publish{Topic: topic, Payload: payload}
		if qos1 {
			m.QoS, m.PacketID = 1, 7
		}
		if strings.HasPrefix(string(payload), "later") {
			return
		}
		acks, refusals := brokerd.Receive(c, m)
		if (len(acks) == 1) != qos1 {
			t.Errorf("acknowledged %v", acks)
		}
		device, signed := strings.CutPrefix(topic, "lp/")
		device, report := strings.CutSuffix(device, "/report")
		valid := lamppost.CheckName("device", device) == nil
		if got := ours.times[string(payload)]; (got == 1) != (signed && report && valid) {
			t.Errorf("%q: submitted %d times", topic, got)
		}
		if from, ok := ours.from[string(payload)]; ok && string(from.Device) != device {
			t.Errorf("%q: submitted as %q's", topic, from.Device)
		}
		for _, r := range refusals {
			device, message, _ := strings.Cut(r, " ")
			if lamppost.CheckName("device", device) != nil || !json.Valid([]byte(message)) {
				t.Errorf("refused with %q", r)
			}
		}
		if st := c.Status(); st.Received != 1 || st.Refused == 0 && len(ours.times)+len(mapped.times) != 1 {
			t.Errorf("%q: status %+v", topic, st)
		}
	})
}

// An address that is read is written as it was, without its log-in; one that is not read is not repeated in the error.
func FuzzParseURL(f *testing.F) {
	for _, text := range []string{"mqtt://broker", "mqtts://broker:8884/", "mqtt://[::1]:1883", "mqtt://ann:secret@broker", "mqtt://ann:se/cret@broker", "http://x", "mqtt://", ":", "mqtt://::"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, login, err := brokerd.ParseURL(text)
		if err != nil {
			if len(text) > 12 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats %q: %v", text, err)
			}
			return
		}
		again, none, err := brokerd.ParseURL(a.String())
		if err != nil || again != a || none != nil {
			t.Errorf("%q is %q, which is %+v, %v, %v", text, a, again, none, err)
		}
		if p, ok := login.Password(); ok && len(p) > 8 && !strings.Contains(a.Host, p) && strings.Contains(a.String(), p) {
			t.Errorf("%q is written with its password", text)
		}
	})
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mqtt://broker": "mqtt://broker:1883", "mqtts://broker": "mqtts://broker:8883", "mqtt://127.0.0.1:18": "mqtt://127.0.0.1:18",
		"mqtts://ann:secret@[2001:db8::1]:1/": "mqtts://[2001:db8::1]:1",
	} {
		if a, _, err := brokerd.ParseURL(text); err != nil || a.String() != want {
			t.Errorf("%s is %s, %v; want %s", text, a, err, want)
		}
	}
	for text, want := range map[string]string{
		"broker:1883": "mqtt://", "http://broker": "mqtt://", "": "mqtt://", "mqtt://": "no host", "mqtt://:1883": "no host", "mqtt://b/topic": "%2F", "mqtt://u:pa/ss@b": "%xx",
		"mqtt://u:1/ss@b": "%2F", "mqtt://b?x=1": "nothing may follow", "mqtt://::": "neither a name nor an address", "mqtt://b:0": "65535", "mqtt://b:65536": "65535",
	} {
		if a, _, err := brokerd.ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "ss@") {
			t.Errorf("%s is %s, %v; want %q", text, a, err, want)
		}
	}
	for host, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "broker:1": false, "10.0.0.1:1": false, "localhost.example:1": false} {
		if got := (brokerd.Address{Host: host}).Loopback(); got != want {
			t.Errorf("%s is on this machine: %t", host, got)
		}
	}
}
