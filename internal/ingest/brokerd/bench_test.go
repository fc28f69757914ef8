package brokerd_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
)

// atOnce accepts everything.
type atOnce struct{}

func (atOnce) Submit(_ context.Context, _ *ingest.Origin, _ []byte, token uint64, sink ingest.Sink) error {
	sink.Done(token, ingest.Reply{Height: 1})
	return nil
}

// What a message costs between a broker's socket and ingest, there and back: one op is a message of 200 bytes, from a broker
// that keeps a window of them under way and costs next to nothing.
func BenchmarkMessage(b *testing.B) {
	s := script(b)
	c, err := brokerd.New(brokerd.Config{Address: brokerd.Address{Host: s.listener.Addr().String()}, ClientID: "x", Submit: atOnce{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	window := int(*s.accept().Properties.ReceiveMaximum)
	s.welcome(false)
	encoded := make([][]byte, window)
	for i := range encoded {
		var out bytes.Buffer
		p := packets.Publish{PacketID: uint16(i + 1), QoS: 1, Topic: "lp/meter-17/report", Payload: make([]byte, 200), Properties: &packets.Properties{}}
		p.WriteTo(&out)
		encoded[i] = out.Bytes()
	}
	b.ReportAllocs()
	b.ResetTimer()
	r, w, ack := bufio.NewReader(s.Conn), bufio.NewWriter(s.Conn), make([]byte, 2)
	for sent, acked := 0, 0; acked < b.N; {
		for ; sent < b.N && sent-acked < window; sent++ {
			w.Write(encoded[sent%window])
		}
		w.Flush()
		for first := true; acked < sent && (first || r.Buffered() >= 6); first = false {
			if _, err := io.ReadFull(r, ack[:2]); err != nil {
				b.Fatal(err)
			}
			r.Discard(int(ack[1]))
			if ack[0]>>4 == packets.PUBACK {
				acked++
			}
		}
	}
	b.StopTimer()
	cancel()
	s.Conn.Close()
	<-ended
}
