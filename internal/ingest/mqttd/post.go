package mqttd

import (
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
)

// A topic that a device may read. The values are bits of a set.
type topic uint8

const (
	topicRefused topic = 1 << iota
	topicDesired
)

// A post keeps the messages to devices and hands them to the connections that subscribed. Everything is delivered with
// QoS 0: a desired state is sent again at each subscription, and a refusal is also the answer to the next attempt.
// Lock order: post.mu, then conn.mu.
type post struct {
	dropped prometheus.Counter

	mu    sync.Mutex
	boxes map[lamppost.DeviceID]*box // of devices that have something to read or somebody reading
}

type box struct {
	readers map[*conn]topic
	desired func() []byte // makes the message; nil: nothing is desired
	refused [][]byte      // those nobody read, oldest first, MaxRefusedKept at most
}

// subscribe adds topics to what c reads and sends it what is kept of them.
func (p *post) subscribe(c *conn, topics topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.box(c.origin.Device)
	b.readers[c] |= topics
	if topics&topicRefused != 0 {
		for len(b.refused) > 0 && c.sendRefused(b.refused[0]) {
			b.refused = b.refused[1:]
		}
	}
	if topics&topicDesired != 0 && b.desired != nil {
		c.sendDesired(b.desired(), true)
	}
}

// unsubscribe removes topics from what c reads and returns those it did read.
func (p *post) unsubscribe(c *conn, topics topic) (had topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.box(c.origin.Device)
	had = b.readers[c] & topics
	if b.readers[c] &^= topics; b.readers[c] == 0 {
		delete(b.readers, c)
	}
	p.sweep(c.origin.Device)
	return had
}

// setDesired replaces what is kept and tells those who read it. Nil is told too, as an empty message, which is how MQTT
// says that a retained message is gone.
func (p *post) setDesired(device lamppost.DeviceID, message func() []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.box(device)
	b.desired = message
	if message == nil {
		message = func() []byte { return nil }
	}
	for c, topics := range b.readers {
		if topics&topicDesired != 0 {
			c.sendDesired(message(), false)
		}
	}
	p.sweep(device)
}

// refuse tells the device's readers of a refusal, or keeps it until there is one.
func (p *post) refuse(device lamppost.DeviceID, message []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.box(device)
	read := false
	for c, topics := range b.readers {
		if topics&topicRefused != 0 {
			read = c.sendRefused(message) || read
		}
	}
	if read {
		return
	}
	if len(b.refused) == MaxRefusedKept {
		b.refused = append(b.refused[:0], b.refused[1:]...)
		p.dropped.Inc()
	}
	b.refused = append(b.refused, message)
}

// box finds or makes a device's box. p.mu is held.
func (p *post) box(device lamppost.DeviceID) *box {
	b := p.boxes[device]
	if b == nil {
		b = &box{readers: map[*conn]topic{}}
		if p.boxes == nil {
			p.boxes = map[lamppost.DeviceID]*box{}
		}
		p.boxes[device] = b
	}
	return b
}

// sweep forgets a box with nothing in it. p.mu is held.
func (p *post) sweep(device lamppost.DeviceID) {
	if b := p.boxes[device]; len(b.readers) == 0 && b.desired == nil && len(b.refused) == 0 {
		delete(p.boxes, device)
	}
}

// An outbox holds what a connection's writer has yet to send besides acknowledgements.
type outbox struct {
	replies []byte   // encoded; bounded by conn.reply
	refused [][]byte // encoded, oldest first, MaxRefusedKept at most: older ones give way
	desired []byte   // encoded; only the newest counts
	alarms  pending
}

// appendTo empties the outbox into b: replies first, since a SUBACK comes before what was subscribed to.
func (o *outbox) appendTo(b []byte) []byte {
	b = append(b, o.replies...)
	for _, m := range o.refused {
		b = append(b, m...)
	}
	b = append(b, o.desired...)
	o.replies = o.replies[:0]
	o.refused, o.desired = nil, nil
	return b
}

// sendRefused returns false if the connection has ended.
func (c *conn) sendRefused(message []byte) bool {
	m, ok := c.message(c.topics.refused, message, false)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || c.end.begun {
		return !c.end.begun
	}
	if len(c.out.refused) == MaxRefusedKept {
		c.out.refused = append(c.out.refused[:0], c.out.refused[1:]...)
		c.srv.metrics.Dropped.Inc()
	}
	c.out.refused = append(c.out.refused, m)
	c.ready.Signal()
	return true
}

// sendDesired replaces a desired state that was not sent yet: only the newest one counts.
func (c *conn) sendDesired(payload []byte, retained bool) {
	if len(payload) > MaxDesiredBytes {
		c.srv.metrics.Dropped.Inc()
		c.log.Error("mqtt: a desired state is over the limit", "bytes", len(payload), "limit", MaxDesiredBytes)
		return
	}
	m, ok := c.message(c.topics.desired, payload, retained)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.desired != nil {
		c.srv.metrics.Dropped.Inc()
	}
	c.out.desired = m
	c.ready.Signal()
}

// message encodes a message to the device, unless the client said that it takes none so large (MQTT 5 §3.1.2.11.4).
func (c *conn) message(topic string, payload []byte, retained bool) (encoded []byte, ok bool) {
	encoded = encode(&packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish, Retain: retained},
		ProtocolVersion: c.version,
		TopicName:       topic,
		Payload:         payload,
	})
	if limit := c.mods.MaxSize; limit > 0 && len(encoded) > int(limit) {
		c.srv.metrics.Dropped.Inc()
		c.log.Warn("mqtt: a message is larger than the client takes", "topic", topic, "bytes", len(encoded), "limit", limit)
		return nil, false
	}
	return encoded, true
}
