package mqttd_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/lamppost/lamppost/internal/ingest"
)

// atOnce accepts every report before Submit returns.
type atOnce struct{}

func (atOnce) TrySubmit(_ *ingest.Origin, _ []byte, token uint64, sink ingest.Sink) error {
	sink.Done(token, ingest.Reply{})
	return nil
}

func (a atOnce) Submit(_ context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	return a.TrySubmit(from, raw, token, sink)
}

// BenchmarkPublish measures publishes with QoS 1 and 200 bytes over loopback: clients that keep up to 1024 in flight and
// write packets encoded before, the server, and the acknowledgements back. One operation is one report acknowledged.
func BenchmarkPublish(b *testing.B) {
	for _, conns := range []int{1, 64} {
		for _, version := range []byte{4, 5} {
			b.Run(fmt.Sprintf("conns=%d/mqtt=%d", conns, version), func(b *testing.B) { benchmarkPublish(b, conns, version) })
		}
	}
}

func benchmarkPublish(b *testing.B, conns int, version byte) {
	d := open(b, atOnce{}, nil)
	var clients []*raw
	for i := range conns {
		c := dial(b, d)
		c.login(version, "m1", fmt.Sprint(i), nil)
		clients = append(clients, c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i, c := range clients {
		share := b.N / conns
		if i == 0 {
			share += b.N % conns
		}
		all.Go(func() { pump(b, c, version, share) })
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publishes/s")
}

// pump publishes n reports in bursts of 64, never more than 1024 without their acknowledgements.
func pump(b *testing.B, c *raw, version byte, n int) {
	const burst, inFlight = 64, 1024
	var packet []byte
	for i := range burst {
		packet = append(packet, publishPacket(version, 1, "lp/m1/report", uint16(i+1), make([]byte, 200))...)
	}
	one := len(packet) / burst
	credit := make(chan int, inFlight/burst+1)
	go func() {
		defer close(credit)
		acks := make([]byte, 64<<10)
		for got, told := 0, 0; got < 4*n; {
			k, err := c.Conn.Read(acks)
			if err != nil && err != io.EOF {
				b.Error(err)
				return
			}
			for got += k; got/4-told >= burst; told += burst {
				credit <- burst
			}
		}
	}()
	flight := 0
	for sent := 0; sent < n; {
		if flight+burst > inFlight {
			flight -= <-credit
			continue
		}
		k := min(burst, n-sent)
		if _, err := (net.Conn)(c).Write(packet[:k*one]); err != nil {
			b.Error(err)
			return
		}
		sent, flight = sent+k, flight+burst
	}
	for range credit {
	}
}
