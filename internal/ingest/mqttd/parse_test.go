package mqttd_test

import (
	"bytes"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

const ownTopic = "lp/m1/report"

// FuzzParseReport: what the fast path takes, the codec takes with the same meaning; and the fast path takes every valid
// packet it is meant for, so that it cannot rot into never being used.
func FuzzParseReport(f *testing.F) {
	for _, version := range []byte{4, 5} {
		for _, qos := range []byte{0, 1, 2} {
			f.Add(byte(0x30|qos<<1), publishPacket(version, qos, ownTopic, 7, []byte("reading"))[2:], version)
			f.Add(byte(0x38|qos<<1), publishPacket(version, qos, "lp/m2/report", 7, nil)[2:], version)
		}
	}
	f.Add(byte(0x32), []byte("\x00\x0clp/m1/report\x00\x07\x03\x01\x01\x00x"), byte(5)) // with a property
	f.Add(byte(0x32), []byte("\x00\x0clp/m1/report\x00\x00\x00x"), byte(5))             // packet identifier 0
	f.Add(byte(0x32), []byte("\x00\x0clp/m1/report\x00"), byte(4))
	f.Add(byte(0x32), []byte("\x00\x0clp/m1"), byte(4))
	f.Fuzz(func(t *testing.T, first byte, body []byte, version byte) {
		version = 4 + version&1
		fast, ok := mqttd.ParseReport(first, body, version, ownTopic)
		if first>>4 != packets.Publish {
			if ok {
				t.Fatalf("took packet type %d for a PUBLISH", first>>4)
			}
			return
		}
		slow, err := mqttd.ParsePublish(first, body, version, ownTopic)
		if !ok {
			if err == nil && !slow.Foreign && slow.QoS < 2 && !hasProperties(first, body, version) {
				t.Fatalf("left a valid report to the codec: %+v", slow)
			}
			return
		}
		if err != nil || slow.Foreign || fast.QoS != slow.QoS || fast.ID != slow.ID || !bytes.Equal(fast.Payload, slow.Payload) {
			t.Fatalf("fast path: %+v, codec: %+v, %v", fast, slow, err)
		}
	})
}

// hasProperties looks at the length of the properties of a PUBLISH to ownTopic.
func hasProperties(first byte, body []byte, version byte) bool {
	at := 2 + len(ownTopic)
	if first&6 != 0 {
		at += 2
	}
	return version == 5 && body[at] != 0
}

// FuzzDecode: no packet of a client makes the codec panic past us.
func FuzzDecode(f *testing.F) {
	f.Add(byte(0x82), []byte("\x00\x01\x00\x00\x01a"), byte(5)) // SUBSCRIBE without its options byte
	f.Add(byte(0x10), connectPacket(5, "m1", "c", nil)[2:], byte(5))
	f.Add(byte(0x10), connectPacket(4, "m1", "c", nil)[2:], byte(4))
	f.Add(byte(0xe0), []byte{0x04}, byte(5))
	f.Fuzz(func(t *testing.T, first byte, body []byte, version byte) {
		mqttd.Decode(first, body, 4+version&1)
	})
}

// BenchmarkParse shows what the fast path is for.
func BenchmarkParse(b *testing.B) {
	body := publishPacket(5, 1, ownTopic, 7, make([]byte, 200))[3:] // two bytes of length
	b.Run("fast", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := mqttd.ParseReport(0x32, body, 5, ownTopic); !ok {
				b.Fatal("refused")
			}
		}
	})
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := mqttd.ParsePublish(0x32, body, 5, ownTopic); err != nil {
				b.Fatal(err)
			}
		}
	})
}
