package measure

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A link is what lies between all members of a network: TCP through relays in this process, which count, hold back and lose.
//
// Every parcel of a connection arrives half a round trip later, in order. A parcel is lost with the chance that one of its packets is;
// then it, and what comes after it on this connection, arrives a round trip and the kernel's least retransmission time later, as
// TCP does whose last packet was lost (RFC 6298; Linux never waits less than 200 ms). There is no limit of bandwidth, and what TCP
// learns of a path, such as its window, is not modelled: the connections to the relay have no loss and no distance.
type link struct {
	oneWay   atomic.Int64  // nanoseconds
	loss     atomic.Uint64 // of a packet, as bits of a float64
	bytes    atomic.Int64  // that members sent each other
	messages atomic.Int64  // TLS records with data; pieces, where there is no TLS

	relays []net.Listener
	mu     sync.Mutex
	open   map[net.Conn]bool // nil: closed
	wg     sync.WaitGroup
}

const (
	packetBytes   = 1448 // of data in a TCP segment on Ethernet
	leastResend   = 200 * time.Millisecond
	pieceBytes    = 64 << 10
	piecesHeld    = 64 // of a direction: beyond it the sender waits, as at a full window
	dialTimeout   = 5 * time.Second
	recordHead    = 5  // RFC 8446 §5.1: type, version, length
	recordAppData = 23 // what is sent once a TLS connection stands
)

func newLink() *link { return &link{open: map[net.Conn]bool{}} }

// set says how far members are from each other, from now on.
func (l *link) set(roundTrip time.Duration, loss float64) {
	l.oneWay.Store(int64(roundTrip / 2))
	l.loss.Store(math.Float64bits(loss))
}

// relay opens an address that leads to another.
func (l *link) relay(to string) (addr string, err error) {
	from, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.relays = append(l.relays, from)
	l.wg.Go(func() {
		for {
			in, err := from.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.join(in, to) })
		}
	})
	return from.Addr().String(), nil
}

// join carries one connection.
func (l *link) join(in net.Conn, to string) {
	defer in.Close()
	out, err := net.DialTimeout("tcp", to, dialTimeout)
	if err != nil {
		return
	}
	defer out.Close()
	if !l.holds(in, out) {
		return
	}
	defer l.drop(in, out)
	var both sync.WaitGroup
	both.Go(func() { l.carry(in.(*net.TCPConn), out.(*net.TCPConn)) })
	both.Go(func() { l.carry(out.(*net.TCPConn), in.(*net.TCPConn)) })
	both.Wait()
}

func (l *link) holds(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if l.open == nil {
			return false
		}
		l.open[c] = true
	}
	return true
}

func (l *link) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.open, c)
	}
}

// close ends all connections and waits for what carries them.
func (l *link) close() (err error) {
	for _, r := range l.relays {
		err = errors.Join(err, r.Close())
	}
	l.mu.Lock()
	for c := range l.open {
		c.Close()
	}
	l.open = nil
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

// A parcel is what was read at once, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// carry carries one direction until its sender ends it.
func (l *link) carry(from, to *net.TCPConn) {
	way := make(chan parcel, piecesHeld)
	var arrives sync.WaitGroup
	arrives.Go(func() {
		var err error
		for p := range way {
			if err == nil {
				time.Sleep(time.Until(p.due))
				_, err = to.Write(p.data)
			}
			if err != nil {
				from.Close() // so that its reader ends; what is on the way is gone
			}
		}
		to.CloseWrite()
	})
	var last time.Time
	var rec records
	for buf := make([]byte, pieceBytes); ; {
		n, err := from.Read(buf)
		if n > 0 {
			l.bytes.Add(int64(n))
			l.messages.Add(rec.count(buf[:n]))
			due := time.Now().Add(l.takes(n))
			if due.Before(last) {
				due = last // TCP keeps the order
			}
			last = due
			way <- parcel{append([]byte(nil), buf[:n]...), due}
		}
		if err != nil {
			break
		}
	}
	close(way)
	arrives.Wait()
}

// takes is how long a parcel of so many bytes is on its way.
func (l *link) takes(n int) time.Duration {
	oneWay := time.Duration(l.oneWay.Load())
	loss := math.Float64frombits(l.loss.Load())
	if loss > 0 && rand.Float64() >= math.Pow(1-loss, math.Ceil(float64(n)/packetBytes)) {
		return 3*oneWay + leastResend
	}
	return oneWay
}

// records counts TLS records with data in a stream that comes in pieces.
type records struct {
	head  []byte // of the record that begins
	left  int    // of the record at hand
	plain bool   // it is no TLS
}

func (r *records) count(b []byte) (n int64) {
	if r.plain {
		return 1
	}
	for len(b) > 0 {
		if r.left > 0 {
			skip := min(r.left, len(b))
			r.left, b = r.left-skip, b[skip:]
			continue
		}
		take := min(recordHead-len(r.head), len(b))
		r.head, b = append(r.head, b[:take]...), b[take:]
		if r.plain = r.head[0] < 20 || r.head[0] > recordAppData; r.plain {
			return n + 1
		}
		if len(r.head) < recordHead {
			return n
		}
		if r.head[0] == recordAppData {
			n++
		}
		r.left, r.head = int(binary.BigEndian.Uint16(r.head[3:])), r.head[:0]
	}
	return n
}
