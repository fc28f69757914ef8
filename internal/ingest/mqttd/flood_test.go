package mqttd_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// A device that brought too many bad reports is not read for a while; then its report is taken after all. Where that would
// take long, it is sent away after FloodPause, without an acknowledgement, also when it comes back. Others are served
// meanwhile.
func TestFlood(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		var until time.Time
		f := newFake()
		f.flood = func(from lamppost.DeviceID) error {
			if left := time.Until(until); from == "m1" && left > 0 {
				return &ingest.FloodError{Wait: min(left, time.Hour)}
			}
			return nil
		}
		bubble(t, f, nil, func(t *testing.T, d *door, dial func() *raw) {
			start := time.Now()
			until = start.Add(mqttd.FloodPause - time.Second)
			c, other := dial(), dial()
			c.login(version, "m1", "c", func(pk *packets.Packet) { pk.Connect.Keepalive = 2 })
			other.login(version, "m2", "c", nil)
			c.send(publishPacket(version, 1, ownTopic, 1, []byte("good"))...)
			other.send(publishPacket(version, 1, "lp/m2/report", 1, []byte("good"))...)
			other.want(packets.Puback)
			took(t, start, 0)
			c.want(packets.Puback)
			took(t, start, mqttd.FloodPause-time.Second)

			until = time.Now().Add(time.Minute)
			for again := range 2 {
				if start = time.Now(); again > 0 {
					c = dial()
					c.login(version, "m1", "c", nil)
				}
				c.send(publishPacket(version, 1, ownTopic, 2, []byte("good"))...)
				if version == 5 {
					if pk := c.want(packets.Disconnect); pk.ReasonCode != 0x96 {
						t.Errorf("DISCONNECT %#x, want 0x96", pk.ReasonCode)
					}
				}
				c.wantEnd()
				took(t, start, mqttd.FloodPause)
			}
			synctest.Wait()
			if got := value(d.metrics.Closed.WithLabelValues("flood")); got != 2 {
				t.Errorf("counted %v floods, want 2", got)
			}
			if n := len(f.reports()); n != 2 {
				t.Errorf("ingest has %d reports, want 2", n)
			}
		})
	}
}

// Reports that are too large count as bad, though ingest never sees them: beyond the allowance they are read at its pace.
func TestFloodOfLargeReports(t *testing.T) {
	t.Parallel()
	const n = 500 // 100 at once, the others at 20 a second
	bubble(t, newFake(), nil, func(t *testing.T, d *door, dial func() *raw) {
		c := dial()
		c.login(5, "m1", "c", nil)
		large := make([]byte, mqttd.DefaultMaxPacket+1)
		go func() {
			for id := uint16(1); id <= n; id++ {
				c.send(publishPacket(5, 1, ownTopic, id, large)...)
			}
		}()
		start := time.Now()
		for range n {
			c.want(packets.Puback)
		}
		if got := time.Since(start).Round(time.Second); got != (n-100)/20*time.Second {
			t.Errorf("%d took %v", n, got)
		}
	})
}
