package measure

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// Records are counted alike however the stream is cut, and only those with data; what is no TLS counts by pieces.
func TestRecords(t *testing.T) {
	t.Parallel()
	record := func(kind byte, n int) []byte {
		return append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	stream := bytes.Join([][]byte{record(22, 300), record(recordAppData, 0), record(recordAppData, 16<<10), record(21, 2), record(recordAppData, 7)}, nil)
	for _, cut := range []int{1, 2, 5, 6, 1000, len(stream)} {
		var r records
		n := int64(0)
		for b := stream; len(b) > 0; b = b[min(cut, len(b)):] {
			n += r.count(b[:min(cut, len(b))])
		}
		if n != 3 {
			t.Errorf("cut every %d bytes: %d records, want 3", cut, n)
		}
	}
	var r records
	if n := r.count([]byte("GET / HTTP/1.1\r\n")) + r.count([]byte("Host: x\r\n")); n != 2 {
		t.Errorf("two pieces of what is no TLS are %d", n)
	}
}

// echo answers everything with itself.
func echo(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// What goes through a relay comes out as it was, in order and counted, and never sooner than the distance allows; when the relay closes,
// nothing is left open.
func TestRelay(t *testing.T) {
	t.Parallel()
	const far = 40 * time.Millisecond
	for _, loss := range []float64{0, 0.3} {
		l := newLink()
		l.set(far, loss)
		addr, err := l.relay(echo(t))
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		sent := make([]byte, 1<<20)
		rand.Read(sent)
		start := time.Now()
		go c.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("loss %v: it came otherwise: %v", loss, err)
		}
		if took := time.Since(start); took < far {
			t.Errorf("loss %v: there and back took %v, less than a round trip of %v", loss, took, far)
		} else if loss > 0 && took < far+leastResend {
			t.Errorf("nearly all pieces of a megabyte have a lost packet, and it took %v", took)
		}
		if n := l.bytes.Load(); n != 2<<20 {
			t.Errorf("loss %v: %d bytes are counted, want %d", loss, n, 2<<20)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(got); err == nil {
			t.Errorf("loss %v: the connection outlives its relay", loss)
		}
	}
}

// The chance that a piece is late is that of one lost packet among its packets.
func TestLoss(t *testing.T) {
	t.Parallel()
	l := newLink()
	l.set(0, 0.1)
	const tries = 20_000
	late := 0
	for range tries {
		if l.takes(3*packetBytes) > 0 {
			late++
		}
	}
	if share, want := float64(late)/tries, 1-0.9*0.9*0.9; share < want-0.02 || share > want+0.02 {
		t.Errorf("%.3f of the pieces of three packets are late, want %.3f", share, want)
	}
}

// The clock of a process runs while it computes, and says what the process itself is told.
func TestCPUClock(t *testing.T) {
	t.Parallel()
	before, own := cpuClock(os.Getpid()), cpuSeconds()
	if before == 0 {
		t.Skip("the system keeps no such clock")
	}
	sum := sha256.Sum256(nil)
	for cpuSeconds() < own+0.05 {
		sum = sha256.Sum256(sum[:])
	}
	if used := cpuClock(os.Getpid()) - before; used < 0.03 {
		t.Errorf("%v s after 50 ms of computing", used)
	}
	if used := cpuClock(1 << 23); used != 0 {
		t.Errorf("a process that cannot be used %v s", used)
	}
}
