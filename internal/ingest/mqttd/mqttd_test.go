package mqttd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

func eachVersion(t *testing.T, fn func(t *testing.T, version byte)) {
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprintf("mqtt=%d", version), func(t *testing.T) {
			t.Parallel()
			fn(t, version)
		})
	}
}

// Acknowledgements come only after ingest's answer, in the order of the publishes, whatever the order of the answers.
func TestAcksInOrder(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		f := newFake()
		f.hold = true
		c := dial(t, open(t, f, nil))
		c.login(version, "m1", "c", nil)
		rng := rand.New(rand.NewPCG(1, 2))
		id := uint16(0)
		for range 20 {
			n, first := 1+rng.IntN(200), id+1
			for range n {
				id++
				c.send(publishPacket(version, 1, ownTopic, id, fmt.Append(nil, "report ", id))...)
			}
			f.await(n)
			// Nothing may be acknowledged yet: an answer to a later PINGREQ has nothing before it.
			c.send(packets.Pingreq<<4, 0)
			c.want(packets.Pingresp)
			f.flush(rng.Perm)
			for want := first; want <= id; want++ {
				if ack := c.want(packets.Puback); ack.PacketID != want || ack.ReasonCode != 0 {
					t.Fatalf("acknowledgement %d with reason %#x, want %d", ack.PacketID, ack.ReasonCode, want)
				}
			}
		}
		for i, raw := range f.reports() {
			if want := fmt.Sprint("report ", i+1); string(raw) != want {
				t.Fatalf("report %d arrived as %q, want %q: payloads must not share bytes", i, raw, want)
			}
		}
	})
}

// A client that has more in flight than agreed, and reads nothing, is slowed down; nothing is lost or reordered.
func TestWindowFull(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		const n = 5000
		d := open(t, newFake(), func(cfg *mqttd.Config) { cfg.InFlight = 20 })
		c := dial(t, d)
		ack := c.login(version, "m1", "c", nil)
		if version == 5 && ack.Properties.ReceiveMaximum != 32 {
			t.Errorf("announced a receive maximum of %d, want 32", ack.Properties.ReceiveMaximum)
		}
		go func() {
			for id := range n {
				if _, err := c.Write(publishPacket(version, 1, ownTopic, uint16(id+1), make([]byte, 100))); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		for id := range n {
			if ack := c.want(packets.Puback); ack.PacketID != uint16(id+1) {
				t.Fatalf("acknowledgement %d, want %d", ack.PacketID, id+1)
			}
		}
		if got := value(d.metrics.Acked); got != n {
			t.Errorf("counted %v acknowledgements, want %d", got, n)
		}
		if got := value(d.metrics.Received); got != n {
			t.Errorf("counted %v publishes, want %d", got, n)
		}
	})
}

// Payloads of all sizes up to the limit arrive as they were sent, however the bytes are cut by the network.
func TestSizes(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := dial(t, open(t, f, nil))
	c.login(4, "m1", "c", nil)
	rng := rand.New(rand.NewPCG(3, 4))
	overhead := len(publishPacket(4, 1, ownTopic, 1, make([]byte, 60_000))) - 60_000
	var stream []byte
	var sent [][]byte
	for _, n := range []int{0, 1, 100, 127, 128, 4095, 4096, 4097, 16 << 10, 20_000, 65_536 - overhead, 3, 60_000} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		sent = append(sent, payload)
		stream = append(stream, publishPacket(4, 1, ownTopic, uint16(len(sent)), payload)...)
	}
	for len(stream) > 0 {
		n := min(len(stream), 1+rng.IntN(9000))
		c.send(stream[:n]...)
		stream = stream[n:]
	}
	for range sent {
		c.want(packets.Puback)
	}
	for i, got := range f.reports() {
		if !bytes.Equal(got, sent[i]) {
			t.Errorf("report %d of %d bytes arrived with %d and other content", i, len(sent[i]), len(got))
		}
	}
}

// refusing answers each report with the code its first byte names.
func refusing() *fake {
	f := newFake()
	f.judge = func(raw []byte) ingest.Reply {
		return ingest.Reply{Code: lamppost.Code(raw[0]), ID: lamppost.ReportID{1}, Text: "because of this"}
	}
	return f
}

// MQTT 5: every refusal is a PUBACK with the documented reason and the code in words, in its place among the others.
func TestRefused5(t *testing.T) {
	t.Parallel()
	d := open(t, refusing(), nil)
	c := dial(t, d)
	c.login(5, "m1", "c", nil)
	names := lamppost.CodeNames()
	for i := range names {
		c.send(publishPacket(5, 1, ownTopic, uint16(i+1), []byte{byte(i)})...)
	}
	for i, name := range names {
		code := lamppost.Code(i)
		ack := c.want(packets.Puback)
		if ack.PacketID != uint16(i+1) || ack.ReasonCode != mqttd.ReasonCode(code) || !ack.ReasonCodeValid() {
			t.Errorf("%s: acknowledgement %d with reason %#x, want %d with %#x", name, ack.PacketID, ack.ReasonCode, i+1, mqttd.ReasonCode(code))
		}
		if (ack.ReasonCode >= 0x80) == code.Accepted() {
			t.Errorf("%s: reason %#x for a report with accepted = %v", name, ack.ReasonCode, code.Accepted())
		}
		if want := name + ": because of this"; !code.Accepted() && ack.Properties.ReasonString != want {
			t.Errorf("%s: reason %q, want %q", name, ack.Properties.ReasonString, want)
		}
		if !code.Accepted() {
			if got := value(d.metrics.Refused.WithLabelValues(name)); got != 1 {
				t.Errorf("%s: counted %v times", name, got)
			}
		}
	}
}

// A client that wants no problem information gets the reason code alone [MQTT-3.1.2-29].
func TestNoProblemInformation(t *testing.T) {
	t.Parallel()
	c := dial(t, open(t, refusing(), nil))
	c.login(5, "m1", "c", func(pk *packets.Packet) { pk.Properties.RequestProblemInfoFlag = true })
	c.send(publishPacket(5, 1, ownTopic, 1, []byte{byte(lamppost.CodeBadReport)})...)
	if ack := c.want(packets.Puback); ack.ReasonCode != 0x99 || ack.Properties.ReasonString != "" {
		t.Errorf("reason %#x %q, want 0x99 and no words", ack.ReasonCode, ack.Properties.ReasonString)
	}
}

type refusal struct{ Report, Code, Text string }

func (c *raw) refusal() refusal {
	c.t.Helper()
	pk := c.want(packets.Publish)
	if pk.TopicName != "lp/m1/refused" {
		c.t.Fatalf("message on %q, want lp/m1/refused", pk.TopicName)
	}
	var r refusal
	if err := json.Unmarshal(pk.Payload, &r); err != nil {
		c.t.Fatalf("message %q: %v", pk.Payload, err)
	}
	return r
}

// MQTT 3.1.1: a final refusal is acknowledged, and the message that says why arrives before the acknowledgement.
func TestRefused311(t *testing.T) {
	t.Parallel()
	c := dial(t, open(t, refusing(), nil))
	c.login(4, "m1", "c", nil)
	if ack := c.subscribe("lp/m1/refused"); !bytes.Equal(ack.ReasonCodes, []byte{0}) {
		t.Fatalf("SUBACK %x, want 00", ack.ReasonCodes)
	}
	for i := range lamppost.CodeNames() {
		code := lamppost.Code(i)
		if code.Accepted() || !code.Final() {
			continue
		}
		c.send(publishPacket(4, 1, ownTopic, uint16(i), []byte{byte(i)})...)
		want := refusal{lamppost.ReportID{1}.String(), code.String(), "because of this"}
		if got := c.refusal(); got != want {
			t.Errorf("told %+v, want %+v", got, want)
		}
		if ack := c.want(packets.Puback); ack.PacketID != uint16(i) {
			t.Errorf("acknowledgement %d, want %d", ack.PacketID, i)
		}
	}
}

// MQTT 3.1.1: a report that was refused only for now is never acknowledged, because the client would forget it.
func TestNotFinal311(t *testing.T) {
	t.Parallel()
	for _, code := range []lamppost.Code{lamppost.CodeBusy, lamppost.CodeNotReady} {
		c := dial(t, open(t, refusing(), nil))
		c.login(4, "m1", "c", nil)
		c.send(publishPacket(4, 1, ownTopic, 1, []byte{byte(code)})...)
		c.wantEnd()
	}
}

// Refusals nobody read are kept, the last 16 of them, and delivered once.
func TestRefusedKept(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.judge = func(raw []byte) ingest.Reply { return ingest.Reply{Code: lamppost.CodeBadReport, Text: string(raw)} }
	d := open(t, f, nil)
	c := dial(t, d)
	c.login(4, "m1", "sender", nil)
	for id := uint16(1); id <= 20; id++ {
		c.send(publishPacket(4, 1, ownTopic, id, fmt.Append(nil, id))...)
		c.want(packets.Puback)
	}
	for _, want := range []int{16, 0} {
		r := dial(t, d)
		r.login(5, "m1", "", nil)
		r.subscribe("lp/m1/refused", "lp/m1/desired")
		for i := range want {
			if got := r.refusal(); got.Text != fmt.Sprint(20-want+1+i) || got.Code != "bad_report" || got.Report != "" {
				t.Errorf("kept refusal %d is %+v", i, got)
			}
		}
		r.send(packets.Pingreq<<4, 0)
		r.want(packets.Pingresp) // and no more refusals
		r.send(unsubscribePacket(5, "lp/m1/refused", "lp/m1/refused", "#")...)
		if ack := r.want(packets.Unsuback); !bytes.Equal(ack.ReasonCodes, []byte{0, 0x11, 0x11}) {
			t.Errorf("UNSUBACK %x, want 001111", ack.ReasonCodes)
		}
	}
}

func unsubscribePacket(version byte, filters ...string) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, ProtocolVersion: version, PacketID: 78}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f})
	}
	return encoded(pk.UnsubscribeEncode)
}

// A device publishes to its report topic only, and reads its two topics only.
func TestForeignTopics(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		f := newFake()
		c := dial(t, open(t, f, nil))
		c.login(version, "m1", "c", nil)
		denied := map[byte]byte{4: 0x80, 5: 0x87}[version]
		ack := c.subscribe("lp/m1/refused", "lp/m1/desired", "#", "lp/+/refused", "lp/m2/desired", "lp/m1/report", "$SYS/#")
		if want := []byte{0, 0, denied, denied, denied, denied, denied}; !bytes.Equal(ack.ReasonCodes, want) {
			t.Errorf("SUBACK %x, want %x", ack.ReasonCodes, want)
		}
		for i, topic := range []string{"lp/m2/report", "lp/m1/reports", "lp/m1/desired", "x"} {
			c.send(publishPacket(version, 1, topic, uint16(i+1), []byte("x"))...)
			if version == 4 {
				if r := c.refusal(); r.Code != "forbidden" || !strings.Contains(r.Text, ownTopic) {
					t.Errorf("%s: told %+v", topic, r)
				}
			}
			ack := c.want(packets.Puback)
			if ack.PacketID != uint16(i+1) || version == 5 && (ack.ReasonCode != 0x87 || !strings.HasPrefix(ack.Properties.ReasonString, "forbidden: ")) {
				t.Errorf("%s: acknowledgement %d, reason %#x %q", topic, ack.PacketID, ack.ReasonCode, ack.Properties.ReasonString)
			}
		}
		if got := f.reports(); len(got) > 0 {
			t.Errorf("ingest was given %q", got)
		}
	})
}

// QoS 2 of MQTT 3.1.1 is committed before PUBREC; a PUBREL is always answered, also one from an earlier connection.
func TestQoS2(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.hold = true
	c := dial(t, open(t, f, nil))
	c.login(4, "m1", "c", nil)
	c.send(publishPacket(4, 2, ownTopic, 9, []byte("x"))...)
	c.send(publishPacket(4, 1, ownTopic, 10, []byte("y"))...)
	f.await(2)
	c.send(packets.Pubrel<<4|2, 2, 0, 42)
	if comp := c.want(packets.Pubcomp); comp.PacketID != 42 {
		t.Errorf("PUBCOMP %d, want 42", comp.PacketID)
	}
	f.flush(nil)
	if rec := c.want(packets.Pubrec); rec.PacketID != 9 {
		t.Errorf("PUBREC %d, want 9", rec.PacketID)
	}
	if ack := c.want(packets.Puback); ack.PacketID != 10 {
		t.Errorf("PUBACK %d, want 10", ack.PacketID)
	}
	c.send(packets.Pubrel<<4|2, 2, 0, 9)
	if comp := c.want(packets.Pubcomp); comp.PacketID != 9 {
		t.Errorf("PUBCOMP %d, want 9", comp.PacketID)
	}
}

// QoS 0 is submitted and not acknowledged; a refusal of it is told on the refused topic, in MQTT 5 too.
func TestQoS0(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		f := refusing()
		c := dial(t, open(t, f, nil))
		c.login(version, "m1", "c", nil)
		c.subscribe("lp/m1/refused")
		c.send(publishPacket(version, 0, ownTopic, 0, []byte{0})...)
		c.send(publishPacket(version, 0, ownTopic, 0, []byte{byte(lamppost.CodeTooOld)})...)
		c.send(publishPacket(version, 0, ownTopic, 0, []byte{byte(lamppost.CodeBusy)})...)
		f.await(3)
		if r := c.refusal(); r.Code != "too_old" {
			t.Errorf("told %+v", r)
		}
		c.send(packets.Pingreq<<4, 0)
		c.want(packets.Pingresp)
	})
}

// Who asks for receipts finds the report's id and height in the PUBACK, of a duplicate too; others get four bytes.
func TestReceipts(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.judge = func([]byte) ingest.Reply {
		return ingest.Reply{Code: lamppost.CodeDuplicate, ID: lamppost.ReportID{0xab}, Height: 4711}
	}
	d := open(t, f, nil)
	for _, asked := range []bool{true, false} {
		c := dial(t, d)
		c.login(5, "m1", "", func(pk *packets.Packet) {
			if asked {
				pk.Properties.User = []packets.UserProperty{{Key: "lamppost", Val: "receipts"}}
			}
		})
		c.send(publishPacket(5, 1, ownTopic, 1, []byte("x"))...)
		ack := c.want(packets.Puback)
		got := fmt.Sprint(ack.ReasonCode, ack.Properties.User)
		want := fmt.Sprint(0, []packets.UserProperty{{Key: "report", Val: lamppost.ReportID{0xab}.String()}, {Key: "height", Val: "4711"}})
		if !asked {
			want = "0 []"
		}
		if got != want {
			t.Errorf("asked = %v: %s, want %s", asked, got, want)
		}
	}
}

// A desired state reaches those who subscribed before (live) and after (retained), and taking it back leaves nothing.
func TestDesired(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		d := open(t, newFake(), nil)
		set := func(device lamppost.DeviceID, s string) {
			t.Helper()
			d.SetDesired(device, says([]byte(s)))
		}
		set("m2", "not for m1")
		set("m1", "old")
		set("m1", "new")
		c := dial(t, d)
		c.login(version, "m1", "c", nil)
		c.subscribe("lp/m1/desired", "lp/m2/desired")
		for _, want := range []struct {
			text     string
			retained bool
		}{{"new", true}, {"newer", false}} {
			pk := c.want(packets.Publish)
			if pk.TopicName != "lp/m1/desired" || string(pk.Payload) != want.text || pk.FixedHeader.Retain != want.retained {
				t.Errorf("got %q on %s, retained = %v, want %+v", pk.Payload, pk.TopicName, pk.FixedHeader.Retain, want)
			}
			set("m1", "newer")
		}
		c.want(packets.Publish) // the second "newer"
		d.SetDesired("m1", nil)
		if pk := c.want(packets.Publish); len(pk.Payload) != 0 {
			t.Errorf("taking it back sent %q", pk.Payload)
		}
		c.send(unsubscribePacket(version, "lp/m1/desired")...)
		c.want(packets.Unsuback)
		c.subscribe("lp/m1/desired")
		c.send(packets.Pingreq<<4, 0)
		c.want(packets.Pingresp)
		d.SetDesired("m1", says(make([]byte, mqttd.MaxDesiredBytes+1)))
		if got := value(d.metrics.Dropped); got != 1 {
			t.Errorf("counted %v dropped messages after one over the limit", got)
		}
	})
}

// The same device may have several connections, but one per client id, and no device can end another's.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	d := open(t, newFake(), nil)
	connect := func(device, client string) *raw {
		c := dial(t, d)
		c.login(5, device, client, nil)
		return c
	}
	first, other, foreign := connect("m1", "c"), connect("m1", "c2"), connect("m2", "c")
	second := connect("m1", "c")
	if pk := first.want(packets.Disconnect); pk.ReasonCode != 0x8e {
		t.Errorf("DISCONNECT %#x, want 0x8e", pk.ReasonCode)
	}
	first.wantEnd()
	for _, c := range []*raw{other, second, foreign} {
		c.send(packets.Pingreq<<4, 0)
		c.want(packets.Pingresp)
	}
	// A client that hurries, and reconnects as soon as it is told that it is connected, always wins over its past.
	last := connect("m1", "hurry")
	for range 200 {
		next := connect("m1", "hurry")
		last.want(packets.Disconnect)
		last = next
	}
	if ack := func() packets.Packet { c := dial(t, d); return c.login(5, "m1", "", nil) }(); ack.Properties.AssignedClientID == "" {
		t.Error("no client id was assigned")
	}
}

// A front door that cannot commit sends its clients to others, by the word of their version, and takes them back afterwards.
func TestAway(t *testing.T) {
	t.Parallel()
	d := open(t, newFake(), nil)
	inside := dial(t, d)
	inside.login(5, "m1", "c", nil)
	d.SetAway(true)
	if pk := inside.want(packets.Disconnect); pk.ReasonCode != 0x9c {
		t.Errorf("DISCONNECT %#x, want 0x9c", pk.ReasonCode)
	}
	inside.wantEnd()
	for version, want := range map[byte]byte{5: 0x9c, 4: 3} {
		if ack := dial(t, d).login(version, "m1", "c", nil); ack.ReasonCode != want {
			t.Errorf("version %d: CONNACK %#x, want %#x", version, ack.ReasonCode, want)
		}
	}
	d.SetAway(false)
	back := dial(t, d)
	back.login(5, "m1", "c", nil)
	back.send(packets.Pingreq<<4, 0)
	back.want(packets.Pingresp)
}

// Sockets over the limit are closed at once, and a closed one makes room.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	d := open(t, newFake(), func(cfg *mqttd.Config) { cfg.MaxConnections = 1 })
	one := dial(t, d)
	one.login(4, "m1", "c", nil)
	dial(t, d).wantEnd()
	one.send(packets.Disconnect<<4, 0)
	one.wantEnd()
	for { // the place is free a moment after the socket has closed
		c := dial(t, d)
		c.Write(connectPacket(4, "m1", "c", nil))
		if pk, err := c.read(); err == nil && pk.FixedHeader.Type == packets.Connack {
			return
		}
	}
}

// New refuses what cannot work.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, cfg := range []mqttd.Config{{}, {Auth: auth}, {Submit: newFake()}, {Auth: auth, Submit: newFake(), InFlight: 1 << 16},
		{Auth: auth, Submit: newFake(), MaxPacket: -1}} {
		if _, err := mqttd.New(cfg); err == nil {
			t.Errorf("New(%+v) made a server", cfg)
		}
	}
}
