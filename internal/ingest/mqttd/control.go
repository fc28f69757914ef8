package mqttd

import (
	"github.com/mochi-mqtt/server/v2/packets"
)

// control answers a packet other than PUBLISH.
func (c *conn) control(first byte, body []byte) error {
	pk, err := decode(first, body, c.version)
	if err != nil {
		return err
	}
	switch pk.FixedHeader.Type {
	case packets.Pingreq:
		return c.reply([]byte{packets.Pingresp << 4, 0})
	case packets.Pubrel:
		return c.reply(c.pubcomp(pk.PacketID))
	case packets.Subscribe:
		return c.subscribe(&pk)
	case packets.Unsubscribe:
		return c.unsubscribe(&pk)
	case packets.Disconnect:
		return packets.CodeDisconnect
	default:
		return packets.ErrProtocolViolation // a second CONNECT
	}
}

// pubcomp ends QoS 2. The report was judged before its PUBREC, and the ledger takes a number only once, so there is no
// state to clear, and an identifier from before a reconnection is as good as any. MQTT 5 clients were told not to use it.
func (c *conn) pubcomp(id uint16) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, ProtocolVersion: c.version, PacketID: id}
	if c.version == 5 {
		pk.ReasonCode = packets.ErrPacketIdentifierNotFound.Code
	}
	return encode(&pk)
}

// subscribe grants the two topics that a device may read. The SUBACK goes out before the messages that were kept for the
// topic, though MQTT allows either order: a client that awaits the one before it listens for the other misses nothing.
func (c *conn) subscribe(pk *packets.Packet) error {
	if code := pk.SubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	if len(pk.Filters) > maxFilters {
		return packets.ErrQuotaExceeded
	}
	if len(pk.Properties.SubscriptionIdentifier) > 0 {
		return packets.ErrSubscriptionIdentifiersNotSupported
	}
	if c.reader {
		return c.subscribeAlarms(pk)
	}
	var topics topic
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, ProtocolVersion: c.version, PacketID: pk.PacketID}
	for _, f := range pk.Filters {
		t := c.readable(f.Filter)
		topics |= t
		code := packets.CodeGrantedQos0.Code
		if t == 0 && c.version == 5 {
			code = packets.ErrNotAuthorized.Code
		} else if t == 0 {
			code = packets.ErrUnspecifiedError.Code // the one failure that MQTT 3.1.1 knows
		}
		ack.ReasonCodes = append(ack.ReasonCodes, code)
	}
	if err := c.reply(encode(&ack)); err != nil {
		return err
	}
	if topics != 0 {
		c.srv.mail.subscribe(c, topics)
	}
	return nil
}

// unsubscribe says of each topic whether it had been subscribed to; MQTT 3.1.1 clients are not told.
func (c *conn) unsubscribe(pk *packets.Packet) error {
	if code := pk.UnsubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	if len(pk.Filters) > maxFilters {
		return packets.ErrQuotaExceeded
	}
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, ProtocolVersion: c.version, PacketID: pk.PacketID}
	for _, f := range pk.Filters {
		code := packets.CodeNoSubscriptionExisted.Code
		if c.reader && c.srv.board.unsubscribe(c, f.Filter) {
			code = packets.CodeSuccess.Code
		}
		if t := c.readable(f.Filter); t != 0 && c.srv.mail.unsubscribe(c, t) != 0 {
			code = packets.CodeSuccess.Code
		}
		ack.ReasonCodes = append(ack.ReasonCodes, code)
	}
	return c.reply(encode(&ack))
}

// readable is the topic that a filter names, 0 for any that the device may not read.
func (c *conn) readable(filter string) topic {
	switch filter {
	case "":
		return 0
	case c.topics.refused:
		return topicRefused
	case c.topics.desired:
		return topicDesired
	default:
		return 0
	}
}

// reply hands an encoded packet to the writer. A client that does not read its replies is not read either.
func (c *conn) reply(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out.replies) > maxReplyBytes {
		if err := c.await(func() bool { return len(c.out.replies) <= maxReplyBytes }); err != nil {
			return err
		}
	}
	c.out.replies = append(c.out.replies, b...)
	c.ready.Signal()
	return nil
}
