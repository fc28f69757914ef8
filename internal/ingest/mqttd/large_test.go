package mqttd_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// A report that does not fit is refused in its place among the others, with words, and counted; the others go on. The bytes
// come in pieces of any size.
func TestTooLargeReport(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version byte) {
		f := newFake()
		d := open(t, f, nil)
		c := dial(t, d)
		c.login(version, "m1", "c", nil)
		if version == 4 {
			c.subscribe("lp/m1/refused")
		}
		rng := rand.New(rand.NewPCG(5, uint64(version)))
		large := map[uint16]int{2: 64 << 10, 3: 1 << 20, 5: 65<<10 + 1, 8: 200_000}
		var stream []byte
		for id := uint16(1); id <= 9; id++ {
			payload := fmt.Append(nil, "report ", id)
			if n := large[id]; n > 0 {
				payload = make([]byte, n)
			}
			stream = append(stream, publishPacket(version, 1, ownTopic, id, payload)...)
		}
		go func() {
			for len(stream) > 0 {
				n := min(len(stream), 1+rng.IntN(rng.IntN(90_000)+1))
				if _, err := c.Write(stream[:n]); err != nil {
					t.Error(err)
					return
				}
				stream = stream[n:]
			}
		}()
		var refused []string
		for id := uint16(1); id <= 9; {
			pk, err := c.read()
			switch {
			case err != nil:
				t.Fatal(err)
			case pk.FixedHeader.Type == packets.Publish:
				refused = append(refused, string(pk.Payload))
				continue
			case pk.FixedHeader.Type != packets.Puback || pk.PacketID != id:
				t.Fatalf("got %s %d, want PUBACK %d", packets.PacketNames[pk.FixedHeader.Type], pk.PacketID, id)
			case version == 5 && large[id] > 0:
				if pk.ReasonCode != 0x83 || !strings.HasPrefix(pk.Properties.ReasonString, "too_large: a packet of ") {
					t.Errorf("report %d: reason %#x %q", id, pk.ReasonCode, pk.Properties.ReasonString)
				}
			case pk.ReasonCode != 0:
				t.Errorf("report %d: reason %#x %q", id, pk.ReasonCode, pk.Properties.ReasonString)
			}
			if version == 4 && large[id] > 0 { // its message came before, perhaps with those of later ones
				if len(refused) == 0 || !strings.Contains(refused[0], `"code":"too_large","text":"a packet of `) {
					t.Fatalf("report %d: told %q before its acknowledgement", id, refused)
				}
				refused = refused[1:]
			}
			id++
		}
		var got []string
		for _, raw := range f.reports() {
			got = append(got, string(raw))
		}
		if want := []string{"report 1", "report 4", "report 6", "report 7", "report 9"}; !slices.Equal(got, want) {
			t.Errorf("ingest has %q, want %q", got, want)
		}
		if got := value(d.metrics.Refused.WithLabelValues("too_large")); got != 4 {
			t.Errorf("counted %v refusals, want 4", got)
		}
		if got := value(d.metrics.Acked); got != 5 {
			t.Errorf("counted %v accepted reports, want 5", got)
		}
	})
}

// The other qualities of service: a refused QoS 0 is told on the refused topic, a QoS 2 ends as usual.
func TestTooLargeOtherQoS(t *testing.T) {
	t.Parallel()
	c := dial(t, open(t, newFake(), nil))
	c.login(4, "m1", "c", nil)
	c.subscribe("lp/m1/refused")
	c.send(publishPacket(4, 0, ownTopic, 0, make([]byte, 70_000))...)
	if r := c.refusal(); r.Code != "too_large" {
		t.Errorf("told %+v", r)
	}
	c.send(publishPacket(4, 2, ownTopic, 7, make([]byte, 70_000))...)
	if r := c.refusal(); r.Code != "too_large" {
		t.Errorf("told %+v", r)
	}
	if rec := c.want(packets.Pubrec); rec.PacketID != 7 {
		t.Errorf("PUBREC %d, want 7", rec.PacketID)
	}
	c.send(packets.Pubrel<<4|2, 2, 0, 7)
	c.want(packets.Pubcomp)
}

// The largest packet there is in MQTT takes no more memory than a small one. This test runs alone, because it measures.
func TestTooLargeMemory(t *testing.T) {
	c := dial(t, open(t, newFake(), nil))
	c.login(5, "m1", "c", nil)
	const size = 256<<20 - 1
	head := publishPacket(5, 1, ownTopic, 3, nil)[2:]
	chunk := make([]byte, 1<<20)
	c.send(append(appendLength([]byte{0x32}, size), head...)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for left := size - len(head); left > 0; left -= len(chunk) {
		chunk = chunk[:min(left, len(chunk))]
		c.send(chunk...)
	}
	if ack := c.want(packets.Puback); ack.PacketID != 3 || ack.ReasonCode != 0x83 {
		t.Errorf("acknowledgement %d, reason %#x", ack.PacketID, ack.ReasonCode)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated to refuse one packet", got)
	}
}

// Whoever drips a packet that is too large has the time of any packet, and without a keepalive DiscardTimeout.
func TestTooLargeSlow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		keepalive uint16
		want      time.Duration
	}{{10, 15 * time.Second}, {0, mqttd.DiscardTimeout}} {
		bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
			c := dial()
			c.login(5, "m1", "c", func(pk *packets.Packet) { pk.Connect.Keepalive = test.keepalive })
			start := time.Now()
			var drip sync.WaitGroup
			defer drip.Wait()
			drip.Go(func() {
				for p := publishPacket(5, 1, ownTopic, 1, make([]byte, 70_000)); len(p) > 0; p = p[50:] {
					if _, err := c.Write(p[:50]); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			if pk := c.want(packets.Disconnect); pk.ReasonCode != 0x8d {
				t.Errorf("DISCONNECT %#x, want 0x8d", pk.ReasonCode)
			}
			took(t, start, test.want)
			c.wantEnd()
		})
	}
}

// At shutdown nobody waits for the rest of a packet that is too large.
func TestTooLargeShutdown(t *testing.T) {
	t.Parallel()
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(5, "m1", "c", nil)
		c.send(publishPacket(5, 1, ownTopic, 1, make([]byte, 70_000))[:40_000]...)
		start := time.Now()
		go d.stop()
		if pk := c.want(packets.Disconnect); pk.ReasonCode != 0x8b {
			t.Errorf("DISCONNECT %#x, want 0x8b", pk.ReasonCode)
		}
		c.wantEnd()
		took(t, start, 0)
	})
}

// The packet after one that was too large has its own time.
func TestTooLargeThenQuiet(t *testing.T) {
	t.Parallel()
	for keepalive, quiet := range map[uint16]time.Duration{10: 14 * time.Second, 0: 1000 * time.Hour} {
		bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
			c := dial()
			c.login(5, "m1", "c", func(pk *packets.Packet) { pk.Connect.Keepalive = keepalive })
			p := publishPacket(5, 1, ownTopic, 1, make([]byte, 70_000))
			c.send(p[:30_000]...)
			time.Sleep(14 * time.Second)
			c.send(p[30_000:]...)
			c.want(packets.Puback)
			time.Sleep(quiet)
			c.send(packets.Pingreq<<4, 0)
			c.want(packets.Pingresp)
		})
	}
}
