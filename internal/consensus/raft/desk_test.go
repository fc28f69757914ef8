package raft

import (
	"errors"
	"net"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

func id(n int) lamppost.TxID { return lamppost.TxID{byte(n), byte(n >> 8)} }

// propose joins and passes, as Propose does.
func propose(t *testing.T, d *desk, n, size int) *caller {
	t.Helper()
	c, err := d.join(id(n), make([]byte, size), lamppost.TimeMS(n))
	if err != nil {
		t.Fatal(err)
	}
	d.pass(c)
	return c
}

func decide(d *desk, ids ...lamppost.TxID) {
	d.decided(ids, func(i int) consensus.Decision { return consensus.Decision{Index: uint32(i)} })
}

// What a caller has not passed on yet is in no block and is not forwarded; one who leaves before takes it along.
func TestJoinedIsNotPassed(t *testing.T) {
	t.Parallel()
	d := newDesk()
	c, err := d.join(id(1), []byte{1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := d.next(0); ok || len(d.offer()) > 0 {
		t.Error("what was not passed is on its way")
	}
	d.leave(c)
	d.pass(c)
	if _, _, ok := d.next(0); ok || len(d.byID) > 0 || d.bytes != 0 || d.callers != 0 {
		t.Errorf("a caller that left is still there: %+v", d)
	}
}

// Callers and bytes are limited, those of one id once; room comes back.
func TestDeskIsLimited(t *testing.T) {
	t.Parallel()
	d := newDesk()
	for range maxCallers {
		propose(t, d, 1, 10)
	}
	if _, err := d.join(id(1), nil, 0); !errors.Is(err, consensus.ErrBusy) {
		t.Errorf("one more caller: %v", err)
	}
	decide(d, id(1))
	propose(t, d, 2, maxOpenBytes-1)
	if _, err := d.join(id(3), make([]byte, 2), 0); !errors.Is(err, consensus.ErrBusy) {
		t.Errorf("more bytes than fit: %v", err)
	}
	propose(t, d, 2, 100)
	decide(d, id(2))
	if d.bytes != 0 || d.callers != 0 || len(d.list) != 0 {
		t.Errorf("the desk is not empty: %d bytes, %d callers, %d proposals", d.bytes, d.callers, len(d.list))
	}
}

// A block's worth is offered: in order, not what is in an entry already, a large one alone.
func TestOffer(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.setLeading(true)
	for i, size := range []int{maxEntryBytes / 2, maxEntryBytes / 2, 1, 2 * maxEntryBytes, 1} {
		propose(t, d, i, size)
	}
	for _, want := range []int{2, 1, 1, 1, 0} {
		got := d.offer()
		if len(got) != want {
			t.Fatalf("%d are offered, want %d", len(got), want)
		}
		d.launch(got)
		d.landed()
	}
	d.setLeading(false)
	d.setLeading(true)
	if got := d.offer(); len(got) != 2 {
		t.Errorf("%d are offered after leadership was lost and won, want the first two again", len(got))
	}
}

// Two blocks go at once, however small; while they are on their way only full ones do, up to a limit.
func TestFullBlocksGo(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.setLeading(true)
	goes := func(want int, when string) {
		t.Helper()
		got := d.offer()
		if len(got) != want {
			t.Errorf("%s: %d are offered, want %d", when, len(got), want)
		}
		if len(got) > 0 {
			d.launch(got)
		}
	}
	propose(t, d, 1, 10)
	goes(1, "nothing on its way")
	propose(t, d, 2, 10)
	goes(1, "one on its way")
	propose(t, d, 3, maxEntryBytes-1)
	goes(0, "two on their way, the next not full")
	propose(t, d, 4, 1)
	goes(2, "two on their way, the next full")
	propose(t, d, 5, 10)
	propose(t, d, 6, maxEntryBytes)
	goes(1, "two on their way, the next has no room for what follows")
	for i := 4; i < maxInFlight; i++ {
		goes(1, "a large one")
		propose(t, d, i+3, maxEntryBytes)
	}
	goes(0, "as many on their way as may be")
	d.landed()
	goes(1, "one landed")
}

// A new leader is given everything that waits; what may have been ordered is marked, and a snapshot ends that.
func TestForwarding(t *testing.T) {
	t.Parallel()
	d := newDesk()
	propose(t, d, 1, 1)
	propose(t, d, 2, 1)
	all := func() (again []bool) {
		for after := uint64(0); ; {
			f, number, ok := d.next(after)
			if !ok {
				return again
			}
			again, after = append(again, f.again), number
		}
	}
	if got := all(); len(got) != 2 || got[0] || got[1] {
		t.Errorf("first %v", got)
	}
	if got := all(); len(got) != 2 || !got[0] || !got[1] {
		t.Errorf("to the next leader %v", got)
	}
	d.renew()
	if got := all(); len(got) != 2 || got[0] || got[1] {
		t.Errorf("after a snapshot %v", got)
	}
	d.setLeading(true)
	if got := all(); len(got) != 0 {
		t.Errorf("who leads forwards %v", got)
	}
}

// A leader orders what others forward once, but what comes as new although it was ordered, again: its caller may have
// missed the block. What others forwarded is forgotten with the leadership.
func TestTaking(t *testing.T) {
	t.Parallel()
	d := newDesk()
	here, there := net.Pipe()
	defer here.Close()
	s := &session{conn: here}
	f := forwarded{id: id(1), tx: []byte{1}}
	if d.take(s, f, 0) {
		t.Error("who does not lead takes what is forwarded")
	}
	d.setLeading(true)
	for range 2 {
		if !d.take(s, f, 0) {
			t.Error("a leader does not take what is forwarded")
		}
	}
	if got := d.offer(); len(got) != 1 {
		t.Errorf("%d are offered, want 1", len(got))
	}
	decide(d, id(1))
	f.again = true
	if d.take(s, f, 0); len(d.offer()) != 0 {
		t.Error("what was ordered is offered again")
	}
	f.again = false
	if d.take(s, f, 0); len(d.offer()) != 1 {
		t.Error("a new call is not offered")
	}
	go d.refuse(id(1), lamppost.Refuse(lamppost.CodeForbidden, "no"))
	if a, err := readRefused(there); err != nil || a.id != id(1) || a.code != lamppost.CodeForbidden || a.text != "no" {
		t.Errorf("refused: %+v, %v", a, err)
	}
	d.take(s, f, 0)
	d.setLeading(false)
	if len(d.byID)+len(d.list)+d.bytes != 0 {
		t.Error("what others forwarded outlives the leadership")
	}
}

// The ids of the last transactions are remembered, no more.
func TestRecent(t *testing.T) {
	t.Parallel()
	r := &recent{at: map[lamppost.TxID]int{}}
	r.add(id(0))
	for i := 1; i < maxRecent; i++ {
		r.add(id(i))
	}
	r.add(id(1)) // again, over the first
	if r.has(id(0)) || !r.has(id(1)) || !r.has(id(2)) {
		t.Error("the oldest is still known, or others are not")
	}
	r.add(id(maxRecent)) // over the former place of 1
	if !r.has(id(1)) || len(r.at) != maxRecent {
		t.Errorf("what came twice was forgotten with its first time; %d are known", len(r.at))
	}
}

// decidedView knows the decision of everything.
type decidedView struct{ *benchApp }

func (decidedView) Decided(lamppost.TxID) (consensus.Decision, bool) {
	return consensus.Decision{}, true
}

// What was decided while it waited here is answered, and a block's worth of it does not keep what comes after it waiting.
func TestDecidedMeanwhile(t *testing.T) {
	t.Parallel()
	app := openApp(t)
	e := open(t, alone(t.TempDir()), app, decidedView{app})
	e.desk.setLeading(true)
	var callers []*caller
	for n := range 3 {
		callers = append(callers, propose(t, e.desk, n, maxEntryBytes))
	}
	for i, c := range callers {
		if len(c.answer) > 0 || !e.makeBlock() || len(c.answer) != 1 {
			t.Errorf("proposal %d is not the next to be answered", i)
		}
	}
	if e.makeBlock() {
		t.Error("nothing waits, and there is something to do")
	}
}
