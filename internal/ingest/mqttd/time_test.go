package mqttd_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// Tests in this file run in a bubble with its own clock, over pipes in memory. A bubble also fails if a goroutine of the
// server is left after Serve has returned, so they are the check for leaks.

// pipes is a listener for connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// bubble runs a test with a door on pipes.
func bubble(t *testing.T, f *fake, change func(*mqttd.Config), fn func(t *testing.T, d *door, dial func() *raw)) {
	synctest.Test(t, func(t *testing.T) {
		f.more = make(chan struct{}, 1<<16)
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		d := openOn(t, l, f, change)
		fn(t, d, func() *raw {
			here, there := net.Pipe()
			l.conns <- there
			c := over(t, here)
			here.SetDeadline(time.Time{})
			return c
		})
		d.stop()
	})
}

// took checks how long something has taken.
func took(t *testing.T, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Errorf("took %v, want %v", got, want)
	}
}

// A client that says nothing for one and a half times its keepalive is disconnected; a ping or a report resets that, and
// a packet that comes byte by byte does not.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(5, "m1", "c", func(pk *packets.Packet) { pk.Connect.Keepalive = 10 })
		for range 3 {
			time.Sleep(14 * time.Second)
			c.send(packets.Pingreq<<4, 0)
			c.want(packets.Pingresp)
			time.Sleep(14 * time.Second)
			c.send(publishPacket(5, 1, ownTopic, 1, []byte("x"))...)
			c.want(packets.Puback)
		}
		start := time.Now()
		var drip sync.WaitGroup
		defer drip.Wait()
		drip.Go(func() {
			for _, b := range publishPacket(5, 1, ownTopic, 1, make([]byte, 100)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if pk := c.want(packets.Disconnect); pk.ReasonCode != 0x8d {
			t.Errorf("DISCONNECT %#x, want 0x8d", pk.ReasonCode)
		}
		took(t, start, 15*time.Second)
		c.wantEnd()
		synctest.Wait()
		if got := value(d.metrics.Closed.WithLabelValues("silent")); got != 1 {
			t.Errorf("counted %v silent connections, want 1", got)
		}
	})
}

// Without a keepalive a connection may be silent for ever.
func TestNoKeepalive(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(4, "m1", "c", nil)
		time.Sleep(1000 * time.Hour)
		c.send(packets.Pingreq<<4, 0)
		c.want(packets.Pingresp)
	})
}

// A socket without a CONNECT is closed after ConnectTimeout, whether it sends nothing or drips.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		start := time.Now()
		dial().wantEnd()
		took(t, start, mqttd.ConnectTimeout)
		c := dial()
		c.send(0x10, 50, 0)
		time.Sleep(mqttd.ConnectTimeout - 1)
		c.send(4)
		c.wantEnd()
		took(t, start, 2*mqttd.ConnectTimeout)
	})
}

// A busy node stops reading. After BusyTimeout the client is sent away, and the report that was read before is still
// submitted when there is room.
func TestBusy(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		f := newFake()
		f.limit, f.hold = 1, true
		bubble(t, f, nil, func(t *testing.T, d *door, dial func() *raw) {
			c := dial()
			c.login(version, "m1", "c", nil)
			start := time.Now()
			c.send(publishPacket(version, 1, ownTopic, 1, []byte("first"))...)
			c.send(publishPacket(version, 1, ownTopic, 2, []byte("second"))...)
			if version == 5 {
				if pk := c.want(packets.Disconnect); pk.ReasonCode != 0x89 {
					t.Errorf("DISCONNECT %#x, want 0x89", pk.ReasonCode)
				}
			}
			c.wantEnd()
			took(t, start, mqttd.DefaultBusyTimeout)
			time.Sleep(time.Minute)
			f.flush(nil)
			f.await(2)
			if got := f.reports(); len(got) != 2 || string(got[1]) != "second" {
				t.Errorf("ingest has %q, want the second report too", got)
			}
			f.flush(nil)
			synctest.Wait()
			if got := value(d.metrics.BusySeconds); got != 90 {
				t.Errorf("counted %v busy seconds, want 90", got)
			}
			if got := value(d.metrics.Closed.WithLabelValues("busy")); got != 1 {
				t.Errorf("counted %v sent away, want 1", got)
			}
		})
	}
}

// Shorter busy times are only slow: the connection stays and everything is acknowledged.
func TestBusyShort(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.limit, f.hold = 1, true
	bubble(t, f, nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(4, "m1", "c", func(pk *packets.Packet) { pk.Connect.Keepalive = 20 })
		go func() {
			for id := uint16(1); id <= 10; id++ {
				c.send(publishPacket(4, 1, ownTopic, id, []byte("x"))...)
			}
		}()
		for id := uint16(1); id <= 10; id++ {
			f.await(1)
			time.Sleep(mqttd.DefaultBusyTimeout - time.Second)
			f.flush(nil)
			if ack := c.want(packets.Puback); ack.PacketID != id {
				t.Errorf("acknowledgement %d, want %d", ack.PacketID, id)
			}
		}
	})
}

// At shutdown what was submitted is acknowledged before the farewell, and what is never answered does not hold it up
// longer than DrainTimeout.
func TestShutdown(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.hold = true
	bubble(t, f, nil, func(t *testing.T, d *door, dial func() *raw) {
		waiting, idle, silent := dial(), dial(), dial()
		waiting.login(5, "m1", "waiting", nil)
		idle.login(5, "m1", "idle", nil)
		for id := uint16(1); id <= 100; id++ {
			waiting.send(publishPacket(5, 1, ownTopic, id, []byte("x"))...)
		}
		f.await(100)
		stopped := make(chan struct{})
		start := time.Now()
		go func() { d.stop(); close(stopped) }()
		if pk := idle.want(packets.Disconnect); pk.ReasonCode != 0x8b {
			t.Errorf("DISCONNECT %#x, want 0x8b", pk.ReasonCode)
		}
		silent.wantEnd()
		took(t, start, 0)
		time.Sleep(time.Second)
		f.flush(func(n int) []int { return []int{2, 0, 1} }) // 97 are never answered
		for id := uint16(1); id <= 3; id++ {
			if ack := waiting.want(packets.Puback); ack.PacketID != id {
				t.Errorf("acknowledgement %d, want %d", ack.PacketID, id)
			}
		}
		waiting.want(packets.Disconnect)
		waiting.wantEnd()
		<-stopped
		took(t, start, mqttd.DrainTimeout)
	})
}

// At shutdown a report that ingest has not taken is given up, unacknowledged: its device sends it again elsewhere.
func TestShutdownWhileBusy(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.limit, f.hold = 1, true
	bubble(t, f, nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(4, "m1", "c", nil)
		c.send(publishPacket(4, 1, ownTopic, 1, []byte("taken"))...)
		c.send(publishPacket(4, 1, ownTopic, 2, []byte("given up"))...)
		synctest.Wait()
		go d.stop()
		synctest.Wait()
		f.flush(nil)
		if ack := c.want(packets.Puback); ack.PacketID != 1 {
			t.Errorf("acknowledgement %d, want 1", ack.PacketID)
		}
		c.wantEnd()
		if got := f.reports(); len(got) != 1 {
			t.Errorf("ingest has %q, want only the first", got)
		}
	})
}

// A client that reads nothing gets only the newest desired state and the last refusals, holds up nobody, and is closed
// when it has taken no byte for WriteTimeout.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		slow, quick := dial(), dial()
		for _, c := range []*raw{slow, quick} {
			c.login(5, "m1", "", nil)
			c.subscribe("lp/m1/desired")
		}
		for i := range 100 {
			d.SetDesired("m1", says([]byte{byte(i)}))
			if pk := quick.want(packets.Publish); pk.Payload[0] != byte(i) {
				t.Errorf("the quick one got %d, want %d", pk.Payload[0], i)
			}
			synctest.Wait() // the first is being written to the slow one
		}
		time.Sleep(mqttd.WriteTimeout - 1)
		for _, want := range []byte{0, 99} { // the one that was being written, and the newest
			if pk := slow.want(packets.Publish); pk.Payload[0] != want {
				t.Errorf("the slow one got %d, want %d", pk.Payload[0], want)
			}
		}
		d.SetDesired("m1", says([]byte("again")))
		quick.want(packets.Publish)
		time.Sleep(mqttd.WriteTimeout + 1)
		slow.wantEnd()
		synctest.Wait()
		if got := value(d.metrics.Closed.WithLabelValues("slow")); got != 1 {
			t.Errorf("counted %v slow readers, want 1", got)
		}
		if got := value(d.metrics.Dropped); got != 98 {
			t.Errorf("counted %v dropped messages, want 98", got)
		}
	})
}

// A client that never reads cannot make the server keep its replies: its input is left unread.
func TestUnreadReplies(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(4, "m1", "c", nil)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		written := 0
		for ; written < 1<<20; written += 2 {
			if _, err := c.Write([]byte{packets.Pingreq << 4, 0}); err != nil {
				break
			}
		}
		if written == 1<<20 {
			t.Errorf("the server took %d bytes of requests without having its replies read", written)
		}
	})
}

// Each failed log-in from one address is answered later than the one before, up to a bound, until a minute has passed;
// a good one is answered at once.
func TestLogInDelay(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		fail := func(version byte, code byte, want time.Duration) {
			t.Helper()
			c, start := dial(), time.Now()
			ack := c.login(version, "m1", "c", func(pk *packets.Packet) { pk.Connect.Password = []byte("guess") })
			if ack.ReasonCode != code {
				t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, code)
			}
			took(t, start, want)
			c.wantEnd()
		}
		for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
			fail(4+byte(i&1), [2]byte{5, 0x86}[i&1], want*time.Millisecond)
		}
		start := time.Now()
		c := dial()
		c.login(4, "m1", "c", nil)
		took(t, start, 0)
		time.Sleep(2 * time.Minute)
		fail(4, 5, 100*time.Millisecond)
		if got := value(d.metrics.Closed.WithLabelValues("log_in")); got != 9 {
			t.Errorf("counted %v failed log-ins, want 9", got)
		}
	})
}

// Whatever a client sends that is not MQTT, or not allowed, ends its connection and nobody else's.
func TestMalformed(t *testing.T) {
	t.Parallel()
	publish := func(change func(*packets.Packet)) []byte {
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, TopicName: ownTopic, PacketID: 1}
		change(&pk)
		return encoded(pk.PublishEncode)
	}
	tests := []struct {
		name   string
		packet []byte
		code   byte // of the DISCONNECT
		cause  string
	}{
		{"length of five bytes", []byte{0x32, 0x80, 0x80, 0x80, 0x80, 0x01}, 0x81, "malformed"},
		{"SUBSCRIBE too large", []byte{0x82, 0xff, 0xff, 0x7f}, 0x95, "too_large"},
		{"SUBSCRIBE one byte too large", appendLength([]byte{0x82}, 64<<10-3), 0x95, "too_large"},
		{"report too large with a topic too large", append(appendLength([]byte{0x32}, 64<<10-3), 0xff, 0xff), 0x95, "too_large"},
		{"report too large in QoS 2 of MQTT 5", publishPacket(5, 2, ownTopic, 1, make([]byte, 64<<10))[:30], 0x9b, "protocol"},
		{"report too large without packet identifier", publishPacket(5, 1, ownTopic, 0, make([]byte, 64<<10))[:30], 0x82, "protocol"},
		{"packet type 0", []byte{0x00, 0}, 0x82, "protocol"},
		{"AUTH", []byte{0xf0, 0}, 0x82, "protocol"},
		{"PUBACK of nothing", []byte{0x40, 2, 0, 1}, 0x82, "protocol"},
		{"reserved flags", []byte{0xc1, 0}, 0x81, "malformed"},
		{"QoS 3", []byte{0x36, 3, 0, 1, 'x'}, 0x82, "protocol"},
		{"QoS 0 again", []byte{0x38, 3, 0, 1, 'x'}, 0x82, "protocol"},
		{"topic longer than the packet", []byte{0x32, 3, 0, 9, 'x'}, 0x81, "malformed"},
		{"topic of no UTF-8", []byte{0x32, 6, 0, 1, 0xff, 0, 1, 0}, 0x81, "malformed"},
		{"topic with a wildcard", []byte{0x32, 6, 0, 1, '#', 0, 1, 0}, 0x82, "protocol"},
		{"packet identifier 0", publishPacket(5, 1, ownTopic, 0, nil), 0x82, "protocol"},
		{"no packet identifier", []byte{0x32, 3, 0, 1, 'x'}, 0x81, "malformed"},
		{"a topic alias", publish(func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = 1, true }), 0x94, "protocol"},
		{"properties cut off", []byte{0x32, 7, 0, 1, 'x', 0, 1, 9, 1}, 0x81, "malformed"},
		{"QoS 2 in MQTT 5", publishPacket(5, 2, ownTopic, 1, nil), 0x9b, "protocol"},
		{"a second CONNECT", connectPacket(5, "m1", "c", nil), 0x82, "protocol"},
		{"SUBSCRIBE without options", []byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}, 0x81, "malformed"},
		{"SUBSCRIBE to nothing", []byte{0x82, 3, 0, 1, 0}, 0x82, "protocol"},
		{"SUBSCRIBE to too much", subscribePacket(5, "1", "2", "3", "4", "5", "6", "7", "8", "9"), 0x97, "protocol"},
		{"a subscription identifier", []byte{0x82, 9, 0, 1, 2, 11, 5, 0, 1, 'a', 0}, 0xa1, "protocol"},
		{"UNSUBSCRIBE from nothing", []byte{0xa2, 3, 0, 1, 0}, 0x82, "protocol"},
	}
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		bystander := dial()
		bystander.login(5, "m1", "bystander", nil)
		for _, test := range tests {
			c := dial()
			c.login(5, "m1", "c", nil)
			before := value(d.metrics.Closed.WithLabelValues(test.cause))
			c.send(test.packet...)
			pk, err := c.read()
			if err != nil || pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != test.code {
				t.Errorf("%s: got packet type %d, reason %#x, error %v, want DISCONNECT %#x", test.name, pk.FixedHeader.Type, pk.ReasonCode, err, test.code)
			}
			c.wantEnd()
			synctest.Wait()
			if got := value(d.metrics.Closed.WithLabelValues(test.cause)); got != before+1 {
				t.Errorf("%s: not counted as %q", test.name, test.cause)
			}
		}
		bystander.send(packets.Pingreq<<4, 0)
		bystander.want(packets.Pingresp)
	})
}

// What is not a CONNECT that can be served gets a CONNACK that says why, where there is one, and the end.
func TestConnectRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		version byte
		change  func(*packets.Packet)
		code    byte
	}{
		{"no client id in a kept session", 4, func(pk *packets.Packet) { pk.Connect.ClientIdentifier, pk.Connect.Clean = "", false }, 2},
		{"MQTT 3.1", 3, func(pk *packets.Packet) { pk.Connect.ProtocolName = []byte("MQIsdp") }, 1},
		{"MQTT 6", 6, nil, 1},
		{"a will", 4, func(pk *packets.Packet) {
			pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, "x", []byte("x")
		}, 5},
		{"a will", 5, func(pk *packets.Packet) {
			pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, "x", []byte("x")
		}, 0x83},
		{"another way to log in", 5, func(pk *packets.Packet) { pk.Properties.AuthenticationMethod = "SCRAM" }, 0x8c},
		{"no user", 5, func(pk *packets.Packet) { pk.Connect.UsernameFlag = false }, 0x86},
		{"no password", 5, func(pk *packets.Packet) { pk.Connect.PasswordFlag = false }, 0x86},
	}
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		for _, test := range tests {
			c := dial()
			if ack := c.login(test.version, "m1", "c", test.change); ack.ReasonCode != test.code {
				t.Errorf("%s in version %d: CONNACK %#x, want %#x", test.name, test.version, ack.ReasonCode, test.code)
			}
			c.wantEnd()
		}
		for _, first := range [][]byte{
			publishPacket(4, 1, ownTopic, 1, nil),
			{packets.Pingreq << 4, 0},
			[]byte("GET / HTTP/1.1\r\n\r\n"),
			{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, // TLS on the plain port
			{0x10, 4, 0, 4, 'M', 'Q'},
		} {
			c := dial()
			go c.Write(first)
			if _, err := c.read(); !errors.Is(err, io.EOF) {
				t.Errorf("after %q: %v, want the connection closed", first, err)
			}
		}
	})
}
