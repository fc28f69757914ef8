package mqttd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A tooLarge is the error of a packet over the limit, of which only the beginning is in the buffer. It is
// packets.ErrPacketTooLarge to those who end a connection over it.
type tooLarge struct {
	first       byte
	header, end int // bytes before its body, and in all
	limit       int
}

func (l *tooLarge) Error() string {
	return fmt.Sprintf("a packet of %d bytes, the limit is %d: %v", l.end, l.limit, packets.ErrPacketTooLarge)
}

func (l *tooLarge) Unwrap() error { return packets.ErrPacketTooLarge }

// unread does what can be done about an error of next. A report that is too large is no reason to end a connection over
// which others come: the client would send it again and again, and none of the others would ever get through. So it is
// refused like any other report. A packet of another type that is too large stays an error.
func (c *conn) unread(err error) error {
	var l *tooLarge
	if !errors.As(err, &l) || l.first>>4 != packets.Publish {
		return err
	}
	p, err := c.readHead(l)
	if err != nil {
		return err
	}
	if err := c.skip(l.end); err != nil {
		return err
	}
	c.received++
	token, err := c.expect(p)
	if err != nil {
		return err
	}
	if err := c.forgiven(c.origin.Allowance.Check(), c.origin.Allowance.Check); err != nil {
		return c.notTaken(token, err)
	}
	c.origin.Allowance.Spend()
	c.Done(token, ingest.Reply{Code: lamppost.CodeTooLarge,
		Text: fmt.Sprintf("a packet of %d bytes; a report has at most %d", l.end, lamppost.MaxReportBytes)})
	return nil
}

// readHead reads of a PUBLISH what its acknowledgement needs: the topic, which must be read past, and the packet
// identifier (MQTT 5 §3.3.2). They fit the buffer of a packet within the limit, or the packet is an error after all.
func (c *conn) readHead(l *tooLarge) (publish, error) {
	b, err := c.ahead(l.header + 2)
	if err != nil {
		return publish{}, err
	}
	n := 2 + int(binary.BigEndian.Uint16(b[l.header:]))
	if l.first&(3<<1) != 0 { // with a quality of service there is an identifier
		n += 2
	}
	if l.header+n > l.limit {
		return publish{}, l
	}
	if b, err = c.ahead(l.header + n); err != nil {
		return publish{}, err
	}
	head := append([]byte(nil), b[l.header:]...)
	if c.version == 5 {
		head = append(head, 0) // in place of the properties, which do not matter any more
	}
	return parsePublish(l.first, head, c.version, c.topics.report)
}

// ahead returns the next n bytes and leaves them unread.
func (c *conn) ahead(n int) ([]byte, error) {
	for c.in.w-c.in.r < n {
		if err := c.more(n, c.keepalive); err != nil {
			return nil, err
		}
	}
	return c.in.buf[c.in.r : c.in.r+n], nil
}

// skip reads n bytes and forgets them. The deadline is that of any packet: it must be there whole within the keepalive.
// Without a keepalive it has DiscardTimeout.
func (c *conn) skip(n int) error {
	limit := c.keepalive
	if limit == 0 {
		limit, c.late = DiscardTimeout, true
	}
	for {
		k := min(n, c.in.w-c.in.r)
		c.in.r += k
		if n -= k; n == 0 {
			c.late = true
			return nil
		}
		if err := c.more(1, limit); err != nil {
			return err
		}
	}
}
