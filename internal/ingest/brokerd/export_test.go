package brokerd

import (
	"context"

	"github.com/eclipse/paho.golang/paho"
)

// Receive hands messages to a connection without a broker, and returns the identifiers that it would acknowledge and the
// refusals it would publish, "device message" each.
func Receive(c *Client, messages ...*paho.Publish) (acks []uint16, refusals []string) {
	conn := &connection{client: c, owed: make(chan struct{}, c.cfg.Window), acks: make(chan uint16, c.cfg.Window), refusals: make(chan refusal, maxRefused)}
	conn.ctx, conn.end = context.WithCancelCause(context.Background())
	for _, m := range messages {
		conn.received(paho.PublishReceived{Packet: m})
	}
	close(conn.acks)
	close(conn.refusals)
	for id := range conn.acks {
		acks = append(acks, id)
	}
	for r := range conn.refusals {
		refusals = append(refusals, string(r.device)+" "+string(r.message))
	}
	return acks, refusals
}
