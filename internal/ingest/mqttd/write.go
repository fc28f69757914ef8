package mqttd

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The way out. Acknowledgements are collected, not sent one by one: while one write is in the kernel, ingest answers the
// reports of a whole segment, and the next write takes all of them. That, and not the parsing, decides how many reports
// a core can take (BenchmarkPublish).

// write sends what collect finds until the connection has ended, and closes the socket.
func (c *conn) write() {
	defer close(c.written)
	defer c.nc.Close()
	var buf []byte
	for last := false; !last; {
		buf, last = c.collect(buf[:0])
		if len(buf) == 0 {
			continue
		}
		c.nc.SetWriteDeadline(time.Now().Add(WriteTimeout))
		if _, err := c.nc.Write(buf); err != nil {
			c.unwritten(err)
			return
		}
	}
	c.linger()
}

// unwritten ends a connection whose socket takes nothing any more. There is nobody to tell.
func (c *conn) unwritten(err error) {
	if c.finish(packets.CodeDisconnect, false) && errors.Is(err, os.ErrDeadlineExceeded) {
		c.srv.metrics.Closed.WithLabelValues("slow").Inc()
		c.log.Warn("mqtt: connection ended: the client reads nothing", "err", err)
	}
}

// collect waits for something to send and appends it to b. last is true when nothing will come after.
func (c *conn) collect(b []byte) (found []byte, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		b = c.out.appendTo(b) // before the acknowledgements: who is told of a refusal hears why first
		b = c.appendAcks(b)
		b = c.appendAlarms(b)
		if len(b) > 0 {
			c.room.Signal()
			return b, false
		}
		if c.end.begun && (!c.end.drain || c.owed.empty()) {
			return c.appendFarewell(b), true
		}
		c.ready.Wait()
	}
}

// appendAcks writes the acknowledgements at the front of the window that are ready: all of them in one write.
func (c *conn) appendAcks(b []byte) []byte {
	accepted := 0
	for len(b) < maxWriteBytes {
		s, ok := c.owed.pop()
		if !ok {
			break
		}
		if s.detail == nil || s.detail.Code.Accepted() {
			accepted++
		}
		if s.detail != nil && c.version == 5 {
			b = append(b, c.detailedAck(s)...)
			continue
		}
		kind := packets.Puback << 4
		if s.qos == 2 {
			kind = packets.Pubrec << 4
		}
		// In MQTT 5 the short form means success (§3.4.2.1).
		b = binary.BigEndian.AppendUint16(append(b, kind, 2), s.id)
	}
	if accepted > 0 {
		c.srv.metrics.Acked.Add(float64(accepted))
	}
	return b
}

// detailedAck is a PUBACK of MQTT 5 with a reason or a receipt.
func (c *conn) detailedAck(s slot) []byte {
	r := s.detail
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Puback},
		ProtocolVersion: c.version,
		PacketID:        s.id,
		ReasonCode:      ReasonCode(r.Code),
		Mods:            c.mods,
	}
	if !r.Code.Accepted() {
		pk.Properties.ReasonString = r.Reason()
	}
	if c.receipts && !r.ID.IsZero() {
		pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: "report", Val: r.ID.String()})
	}
	if c.receipts && r.Height > 0 {
		pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: "height", Val: strconv.FormatUint(uint64(r.Height), 10)})
	}
	return encode(&pk)
}

// appendFarewell tells a MQTT 5 client why the server ends the connection; MQTT 3.1.1 has no such packet.
func (c *conn) appendFarewell(b []byte) []byte {
	if c.version != 5 || c.end.why.Code < packets.ErrUnspecifiedError.Code {
		return b
	}
	return append(b, encode(&packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Disconnect},
		ProtocolVersion: c.version,
		ReasonCode:      c.end.why.Code,
		Properties:      packets.Properties{ReasonString: c.end.why.Reason},
		Mods:            c.mods,
	})...)
}

// linger gives the peer time to take the last bytes: closing a TCP socket with unread input resets the connection, and
// a reset may overtake acknowledgements that were already sent.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.Copy(io.Discard, c.nc)
}
