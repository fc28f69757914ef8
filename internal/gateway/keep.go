package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A keep holds segments from the moment a device was told so until the upstream has committed them, oldest first. One
// durable write per segment in, one out. Its methods may be called concurrently, but only one goroutine takes segments out.
//
// Keys: 's' ‖ number: a segment. 'i' ‖ number: its entry. 'x' ‖ number: a segment that was set aside. 'C': the counts.
type keep struct {
	store kv.Store
	limit int64
	erase func(from, to []byte) error // gives the disk back what was deleted; nil: the store sees to it

	writing sync.Mutex // orders batches; before mu
	mu      sync.Mutex
	index   []entry // what is held, oldest first
	bytes   int64   // of index
	reports int     // of index
	next    uint64  // number of the next segment
	counts  Counts
	freed   int64         // deleted since the last erase
	room    chan struct{} // closed and replaced when there is more room
	more    chan struct{} // has an entry when a segment came
	waiters map[uint64]chan<- delivered
}

// An entry is what is known of a held segment without reading it.
type entry struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Bytes    int64
	Reports  int
	Received lamppost.TimeMS // when the first of its reports came
}

// Counts say what became of segments since the gateway's first start.
type Counts struct {
	Segments uint64            `cbor:"1,keyasint" json:"segments"` // delivered
	Reports  uint64            `cbor:"2,keyasint" json:"reports"`  // in them
	Rejected uint64            `cbor:"3,keyasint" json:"rejected"` // segments the upstream will never take, set aside
	Outcomes map[string]uint64 `cbor:"4,keyasint" json:"outcomes"` // of delivered reports, by code
}

// delivered is what the upstream made of a segment.
type delivered struct {
	height   lamppost.Height
	outcomes []lamppost.Outcome
}

var errFull = errors.New("gateway: the disk space for held reports is used up")

func keepKey(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, number)
}

var countsKey = []byte{'C'}

// openKeep reads what an earlier process left.
func openKeep(store kv.Store, limit int64, erase func(from, to []byte) error) (*keep, error) {
	k := &keep{store: store, limit: limit, erase: erase, next: 1, room: make(chan struct{}), more: make(chan struct{}, 1),
		waiters: map[uint64]chan<- delivered{}}
	err := store.Scan([]byte{'i'}, []byte{'i' + 1}, func(_, val []byte) error {
		var e entry
		if err := lamppost.Unmarshal(val, &e); err != nil {
			return err
		}
		k.index = append(k.index, e)
		k.bytes += e.Bytes
		k.reports += e.Reports
		k.next = e.Number + 1
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading held segments: %w", err)
	}
	raw, err := store.Get(countsKey)
	if err == nil {
		err = lamppost.Unmarshal(raw, &k.counts)
	} else if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the counts: %w", err)
	}
	if k.counts.Outcomes == nil {
		k.counts.Outcomes = map[string]uint64{}
	}
	k.next = max(k.next, k.counts.Segments+k.counts.Rejected+1)
	return k, nil
}

// put holds a segment; when it returns nil, no crash loses it. answered is told once the upstream committed it; nil:
// nobody asks. errFull: nothing was written.
func (k *keep) put(raw []byte, reports int, received lamppost.TimeMS, answered chan<- delivered) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	e := entry{Number: k.next, Bytes: int64(len(raw)), Reports: reports, Received: received}
	full := k.bytes+e.Bytes > k.limit
	k.mu.Unlock()
	if full {
		return errFull
	}
	var b kv.Batch
	b.Set(keepKey('s', e.Number), raw)
	b.Set(keepKey('i', e.Number), lamppost.Marshal(e))
	if err := k.store.Apply(&b); err != nil {
		return fmt.Errorf("holding a segment: %w", err)
	}
	k.mu.Lock()
	k.next++
	k.index = append(k.index, e)
	k.bytes += e.Bytes
	k.reports += e.Reports
	if answered != nil {
		k.waiters[e.Number] = answered
	}
	k.mu.Unlock()
	select {
	case k.more <- struct{}{}:
	default:
	}
	return nil
}

// oldest returns the segment that is to be delivered next; ok is false if there is none.
func (k *keep) oldest() (e entry, raw []byte, ok bool, err error) {
	k.mu.Lock()
	if len(k.index) == 0 {
		k.mu.Unlock()
		return e, nil, false, nil
	}
	e = k.index[0]
	k.mu.Unlock()
	raw, err = k.store.Get(keepKey('s', e.Number))
	return e, raw, true, err
}

// done forgets the oldest segment, which the upstream has committed.
func (k *keep) done(e entry, d delivered) error {
	return k.drop(e, &d, nil)
}

// reject sets the oldest segment aside, which the upstream will never take. The latest maxRejected are kept for people.
func (k *keep) reject(e entry, raw []byte) error { return k.drop(e, nil, raw) }

func (k *keep) drop(e entry, d *delivered, rejected []byte) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	counts := k.counts.with(e, d)
	k.mu.Unlock()
	var b kv.Batch
	b.Delete(keepKey('s', e.Number))
	b.Delete(keepKey('i', e.Number))
	b.Set(countsKey, lamppost.Marshal(counts))
	if d == nil {
		b.Set(keepKey('x', counts.Rejected), rejected)
		if counts.Rejected > maxRejected {
			b.Delete(keepKey('x', counts.Rejected-maxRejected))
		}
	}
	if err := k.store.Apply(&b); err != nil {
		return fmt.Errorf("forgetting a delivered segment: %w", err)
	}
	k.mu.Lock()
	k.counts = counts
	k.index = k.index[1:]
	k.bytes -= e.Bytes
	k.reports -= e.Reports
	k.freed += e.Bytes
	waiter := k.waiters[e.Number]
	delete(k.waiters, e.Number)
	close(k.room)
	k.room = make(chan struct{})
	erase := k.erase != nil && k.freed >= k.limit/8
	if erase {
		k.freed = 0
	}
	k.mu.Unlock()
	if waiter != nil && d != nil {
		waiter <- *d // has room for it
	}
	if erase {
		return k.erase(keepKey('s', 0), keepKey('s', e.Number))
	}
	return nil
}

// with returns the counts after one more segment; d is nil for one that was set aside.
func (c Counts) with(e entry, d *delivered) Counts {
	outcomes := make(map[string]uint64, len(c.Outcomes))
	for code, n := range c.Outcomes {
		outcomes[code] = n
	}
	c.Outcomes = outcomes
	if d == nil {
		c.Rejected++
		return c
	}
	c.Segments++
	c.Reports += uint64(e.Reports)
	for i := range d.outcomes {
		outcomes[d.outcomes[i].Code.String()]++
	}
	return c
}

// full reports whether the doors must stop taking reports: what is in the making already must still fit. Whoever waits
// for room looks again when the channel is closed.
func (k *keep) full() (full bool, room <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bytes+MinHold/2 > k.limit, k.room
}

// Held is what a gateway holds and has not delivered.
type Held struct {
	Segments int             `json:"segments"`
	Reports  int             `json:"reports"`
	Bytes    int64           `json:"bytes"`
	MaxBytes int64           `json:"max_bytes"`
	Oldest   lamppost.TimeMS `json:"oldest_ms,omitempty"` // when the oldest of them came
}

func (k *keep) held() (Held, Counts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := Held{Segments: len(k.index), Reports: k.reports, Bytes: k.bytes, MaxBytes: k.limit}
	if len(k.index) > 0 {
		h.Oldest = k.index[0].Received
	}
	return h, k.counts // a new map is made for every change
}
