package mqttd

import "github.com/lamppost/lamppost/internal/ingest"

// A window holds the acknowledgements that a connection owes, in the order of the PUBLISH packets, because that is the
// order they must be sent in (MQTT 3.1.1 and 5, [MQTT-4.6.0-2]); replies may come in any order. It is a ring: the slot
// of a token is slots[token % len(slots)], len(slots) a power of two.
//
//	sent ◀──┤ head: done  done  waiting  done │ tail ── free
//	          └── ready ──┘
type window struct {
	slots      []slot
	head, tail uint64 // tokens: the oldest one owed, the next one to give
	max        int    // slots at most, a power of two
}

type slot struct {
	id     uint16
	qos    byte
	done   bool
	detail *ingest.Reply // of a refusal, or where the client wants receipts
}

// full reports whether no further token can be given.
func (w *window) full() bool { return w.tail-w.head == uint64(w.max) }

// empty reports whether nothing is owed.
func (w *window) empty() bool { return w.tail == w.head }

// push makes room for one acknowledgement and returns its token. The window must not be full.
func (w *window) push(id uint16, qos byte) uint64 {
	if w.tail-w.head == uint64(len(w.slots)) {
		w.grow()
	}
	token := w.tail
	*w.at(token) = slot{id: id, qos: qos}
	w.tail++
	return token
}

// unpush takes back the last token given.
func (w *window) unpush() { w.tail-- }

// pop removes the oldest acknowledgement if it is done.
func (w *window) pop() (s slot, ok bool) {
	if w.head == w.tail || !w.at(w.head).done {
		return slot{}, false
	}
	s = *w.at(w.head)
	*w.at(w.head) = slot{} // lets go of the detail
	w.head++
	return s, true
}

// at is the slot of a token that was given and not yet popped.
func (w *window) at(token uint64) *slot { return &w.slots[token&uint64(len(w.slots)-1)] }

// grow doubles the ring. Tokens stay valid: each slot moves to its place in the longer ring.
func (w *window) grow() {
	old := *w
	w.slots = make([]slot, min(max(minWindow, 2*len(old.slots)), w.max))
	for token := old.head; token != old.tail; token++ {
		*w.at(token) = *old.at(token)
	}
}
