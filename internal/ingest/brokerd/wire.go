package brokerd

import (
	"bufio"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// A wire is a broker's connection as the client library should have it. The library reads byte by byte and writes a packet
// in four pieces, each a system call on a plain connection; here reading is buffered, and a packet, which the library locks
// around, is one write. acked is called after each acknowledgement that was written, closed when the library closes it.
type wire struct {
	net.Conn
	r             *bufio.Reader
	turn          sync.Mutex // of who writes a packet
	packet        []byte
	acked, closed func()
}

func newWire(conn net.Conn, acked, closed func()) *wire {
	return &wire{Conn: conn, r: bufio.NewReaderSize(conn, readBytes), acked: acked, closed: closed}
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) { return w.r.Read(p) }

// Lock begins a packet.
func (w *wire) Lock() { w.turn.Lock() }

// Write adds to the packet that was begun.
func (w *wire) Write(p []byte) (int, error) {
	w.packet = append(w.packet, p...)
	return len(p), nil
}

// Unlock sends the packet. A broker that takes no bytes loses the connection: the library then meets the closed one.
func (w *wire) Unlock() {
	w.SetWriteDeadline(time.Now().Add(ioTimeout))
	if _, err := w.Conn.Write(w.packet); err != nil {
		w.Conn.Close()
	} else if w.packet[0]>>4 == packets.PUBACK {
		w.acked()
	}
	w.packet = w.packet[:0]
	w.turn.Unlock()
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.closed()
	return w.Conn.Close()
}
