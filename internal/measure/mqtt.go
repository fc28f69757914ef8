package measure

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A client is one device with one MQTT 3.1.1 connection. It writes packets that were made before the clock started and
// reads acknowledgements; it is no general MQTT client, so that it costs little beside the node it measures.
type client struct {
	id     lamppost.DeviceID
	token  string
	key    *sig.PrivateKey
	window int

	packets []byte // PUBLISH packets, one after the other
	ends    []int

	conn          net.Conn
	in            *bufio.Reader
	sent          int // packets
	acked, failed int64
	times         latencies
}

// sign makes count reports with readings registers each and wraps them as QoS 1 PUBLISH packets (MQTT 3.1.1 §3.3).
func (c *client) sign(network string, count, readings int) error {
	// A reading a minute, up to now: as a device that sends what it has gathered.
	begin := lamppost.TimeMS(time.Now().UnixMilli()) - lamppost.TimeMS(count*readings)*minuteMS
	noise, total := rand.New(rand.NewPCG(1, uint64(crc32.ChecksumIEEE([]byte(c.id))))), int64(0)
	topic := "lp/" + string(c.id) + "/report"
	rep := lamppost.Report{Device: c.id, KeyEpoch: 1, TimeQuality: lamppost.TimeSynchronised, BootID: 1,
		Readings: make([]lamppost.Reading, readings)}
	for n := range count {
		rep.Seq, rep.MonoMS = lamppost.Seq{Epoch: 1, N: uint64(n + 1)}, uint64(n)
		for i := range rep.Readings {
			rep.Readings[i] = lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register,
				Time: begin + lamppost.TimeMS(n*readings+i)*minuteMS, Value: lamppost.Dec(total, 0)}
			total += usedIn(begin+lamppost.TimeMS(n*readings+i)*minuteMS, noise)
		}
		raw, err := lamppost.SignReport(&rep, network, c.key)
		if err != nil {
			return err
		}
		c.packets = appendPublish(c.packets, topic, uint16(n%math.MaxUint16+1), raw)
		c.ends = append(c.ends, len(c.packets))
	}
	return nil
}

const minuteMS = 60_000

// usedIn is what a home uses in a minute, in watt-hours: more by day, and not the same each time.
func usedIn(at lamppost.TimeMS, noise *rand.Rand) int64 {
	day := 2 * math.Pi * float64(at%(24*60*minuteMS)) / (24 * 60 * minuteMS)
	return int64(12 - 6*math.Cos(day) + 5*noise.Float64())
}

// reportBytes is how long the middle report is, which stands for them all.
func (c *client) reportBytes() int {
	i := len(c.ends) / 2
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	topic := 2 + len("lp/"+c.id+"/report")
	packet := c.packets[from:c.ends[i]]
	head := 1
	for packet[head]&128 != 0 {
		head++
	}
	return len(packet) - head - 1 - topic - 2
}

func appendPublish(b []byte, topic string, id uint16, payload []byte) []byte {
	b = appendLength(append(b, 0x32), 2+len(topic)+2+len(payload))
	b = appendString(b, topic)
	return append(binary.BigEndian.AppendUint16(b, id), payload...)
}

// appendLength writes a remaining length (§2.2.3).
func appendLength(b []byte, n int) []byte {
	for ; n >= 128; n /= 128 {
		b = append(b, byte(n%128)|128)
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// connectWhenKnown connects to a member, which may learn of the device a moment later than another.
func (c *client) connectWhenKnown(ctx context.Context, addr string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := c.connect(ctx, addr)
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

func (c *client) connect(ctx context.Context, addr string) (err error) {
	if c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.conn, 4096)
	body := append(appendString(nil, "MQTT"), 4, 0xc2, 0, 0) // user name, password, clean session, no keep-alive
	body = appendString(appendString(appendString(body, string(c.id)), string(c.id)), c.token)
	if _, err := c.conn.Write(append(appendLength([]byte{0x10}, len(body)), body...)); err != nil {
		return err
	}
	var ack [4]byte
	if _, err := io.ReadFull(c.in, ack[:]); err != nil || ack[0] != 0x20 || ack[3] != 0 {
		c.conn.Close()
		return fmt.Errorf("device %q: the node answered CONNECT with %x (%v)", c.id, ack, err)
	}
	return nil
}

// A pace says when packet i is due: at start + i × every; with every 0, at once.
type pace struct {
	start, until time.Time
	every        time.Duration
}

// send writes packets until the time is over or none is left, keeping at most window unacknowledged, and waits for the
// acknowledgements. The latency of a paced packet counts from when it was due, so a stalled node cannot hide it.
func (c *client) send(ctx context.Context, p pace) {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	flight := newFlight(c.window)
	var wg sync.WaitGroup
	wg.Go(func() { c.receive(flight) })
	for i := 0; i < len(c.ends); {
		if now := time.Now(); now.After(p.until) {
			break
		}
		n := flight.room(len(c.ends)-i, p, i)
		if n == 0 {
			break // the connection is gone
		}
		from := 0
		if i > 0 {
			from = c.ends[i-1]
		}
		if _, err := c.conn.Write(c.packets[from:c.ends[i+n-1]]); err != nil {
			break
		}
		i += n
		c.sent = i
	}
	flight.close()
	wg.Wait()
}

// receive counts acknowledgements until all that was sent is acknowledged.
func (c *client) receive(f *flight) {
	var ack [4]byte
	for f.waiting() {
		if _, err := io.ReadFull(c.in, ack[:]); err != nil || ack[0] != 0x40 {
			c.failed += f.abandon()
			return
		}
		c.times.record(f.landed())
		c.acked++
	}
}

// A flight is what was sent and not acknowledged yet, in order: the node acknowledges in receive order (§4.6).
type flight struct {
	mu     sync.Mutex
	change *sync.Cond
	sent   []time.Time // ring
	first  int
	count  int
	closed bool // nothing more will be sent
	broken bool
}

func newFlight(window int) *flight {
	f := &flight{sent: make([]time.Time, window)}
	f.change = sync.NewCond(&f.mu)
	return f
}

// room waits until something may be sent and is due, and marks up to most packets as sent.
func (f *flight) room(most int, p pace, i int) int {
	if p.every > 0 {
		due := p.start.Add(p.every * time.Duration(i))
		time.Sleep(time.Until(due))
		most = min(most, int(time.Since(due)/p.every)+1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.count == len(f.sent) && !f.broken {
		f.change.Wait()
	}
	if f.broken {
		return 0
	}
	n := min(most, len(f.sent)-f.count)
	at := time.Now()
	for j := range n {
		if p.every > 0 {
			at = p.start.Add(p.every * time.Duration(i+j))
		}
		f.sent[(f.first+f.count)%len(f.sent)] = at
		f.count++
	}
	f.change.Broadcast()
	return n
}

// waiting blocks until something is in flight; it returns false when nothing is and nothing will be.
func (f *flight) waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.count == 0 && !f.closed {
		f.change.Wait()
	}
	return f.count > 0
}

func (f *flight) landed() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.sent[f.first]
	f.first = (f.first + 1) % len(f.sent)
	f.count--
	f.change.Broadcast()
	return time.Since(at)
}

func (f *flight) abandon() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = true
	f.change.Broadcast()
	return int64(f.count)
}

func (f *flight) close() {
	f.mu.Lock()
	f.closed = true
	f.change.Broadcast()
	f.mu.Unlock()
}

// latencies is a histogram with 5 % wide classes from 10 µs up.
type latencies struct{ classes [400]int64 }

const (
	classBase  = 10e-6
	classWidth = 1.05
)

func (l *latencies) record(d time.Duration) {
	i := 0
	if s := d.Seconds(); s > classBase {
		i = min(len(l.classes)-1, 1+int(math.Log(s/classBase)/math.Log(classWidth)))
	}
	l.classes[i]++
}

func (l *latencies) add(o *latencies) {
	for i := range l.classes {
		l.classes[i] += o.classes[i]
	}
}

// quantile returns the upper edge in milliseconds of the class that holds quantile q.
func (l *latencies) quantile(q float64) float64 {
	var all, sum int64
	for _, n := range l.classes {
		all += n
	}
	for i, n := range l.classes {
		if sum += n; all > 0 && float64(sum) >= q*float64(all) {
			return math.Round(1e6*classBase*math.Pow(classWidth, float64(i))) / 1e3
		}
	}
	return 0
}
