package mqttd

import (
	"net"

	"github.com/mochi-mqtt/server/v2/packets"
)

// An input cuts a socket's bytes into packets. Its buffer begins small and grows for connections that fill it, so that
// ten thousand quiet meters cost little and one busy gateway is read in few system calls. One goroutine uses it.
type input struct {
	nc        net.Conn
	buf       []byte
	r, w      int // buf[r:w] is read and not yet returned
	maxPacket int
	slab      []byte // room for payloads; see keep
}

func newInput(nc net.Conn, maxPacket int) input {
	return input{nc: nc, buf: make([]byte, minReadBytes), maxPacket: maxPacket}
}

// peek returns the next packet if all of it is there, and otherwise how many bytes it needs at least.
func (in *input) peek() (first byte, body []byte, need int, err error) {
	b := in.buf[in.r:in.w]
	size, shift := 0, 0
	for i := 1; i < len(b); i++ { // MQTT 5 §1.5.5: a variable byte integer of at most four bytes
		size |= int(b[i]&0x7f) << shift
		if b[i] < 0x80 {
			return in.cut(b, i+1, size)
		}
		if shift += 7; shift == 28 {
			return 0, nil, 0, packets.ErrMalformedVariableByteInteger
		}
	}
	return 0, nil, len(b) + 1, nil
}

// cut takes a packet of a known size off the buffer. The limit is checked as soon as the size is known, before any room
// is made for the packet.
func (in *input) cut(b []byte, header, size int) (first byte, body []byte, need int, err error) {
	end := header + size
	if end > in.maxPacket {
		return 0, nil, 0, &tooLarge{first: b[0], header: header, end: end, limit: in.maxPacket}
	}
	if len(b) < end {
		return 0, nil, end, nil
	}
	in.r += end
	return b[0], b[header:end], 0, nil
}

// fill reads once from the socket, with room for a packet of need bytes. What peek returned is invalid afterwards.
func (in *input) fill(need int) error {
	kept := in.buf[in.r:in.w]
	size := len(in.buf)
	if in.w == size && size < maxReadBytes { // the last read filled it: there is more to come
		size *= 2
	}
	if size = max(size, need); size > len(in.buf) {
		in.buf = make([]byte, size)
	}
	in.r, in.w = 0, copy(in.buf, kept)
	n, err := in.nc.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil // an error will come again
	}
	return err
}

// keep copies a payload out of the buffer, for good. Payloads that arrived together share one allocation as large as
// what is still unread (a single report gets just its size); it is freed when the last of them is, soon after commit.
func (in *input) keep(payload []byte) []byte {
	n := len(payload)
	if n > len(in.slab) {
		in.slab = make([]byte, max(n, min(n+in.w-in.r, maxSlabBytes)))
	}
	kept := in.slab[:n:n]
	in.slab = in.slab[n:]
	copy(kept, payload)
	return kept
}
