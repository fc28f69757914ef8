package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
)

// A sequence is what the ledger remembers of a device's numbers (architecture.md §4, docs/formats.md "Sequence rule"):
// the highest number seen, the gaps below it in which a number is still accepted once, and when its last report was
// rated. A number is fresh if it is above the high mark or inside a gap.
type sequence struct {
	epoch uint32
	high  uint64
	gaps  []gap // ascending, not adjacent, at most lamppost.MaxGaps
	rated lamppost.TimeMS
	lost  uint64 // numbers given up because there were too many gaps
	count uint64 // reports accepted
}

// A gap is the interval [from, to] of numbers not seen yet.
type gap struct{ from, to uint64 }

type freshness uint8

const (
	fresh freshness = iota
	seen            // at or below the high mark and in no gap
	stale           // of an epoch that is over
)

func (q *sequence) check(seq lamppost.Seq) freshness {
	switch {
	case seq.Epoch < q.epoch:
		return stale
	case seq.Epoch > q.epoch || seq.N > q.high:
		return fresh
	}
	if _, in := q.find(seq.N); in {
		return fresh
	}
	return seen
}

// find returns the gap that holds n, or where it would stand.
func (q *sequence) find(n uint64) (i int, in bool) {
	return slices.BinarySearchFunc(q.gaps, n, func(g gap, n uint64) int {
		switch {
		case g.to < n:
			return -1
		case g.from > n:
			return 1
		default:
			return 0
		}
	})
}

// take marks a fresh number as seen.
func (q *sequence) take(seq lamppost.Seq) {
	if seq.Epoch > q.epoch {
		q.lost += q.open()
		q.epoch, q.high, q.gaps = seq.Epoch, 0, q.gaps[:0]
	}
	n := seq.N
	if n > q.high {
		if n > q.high+1 {
			q.addGap(gap{q.high + 1, n - 1})
		}
		q.high = n
		return
	}
	i, _ := q.find(n)
	switch g := &q.gaps[i]; {
	case g.from == g.to:
		q.gaps = slices.Delete(q.gaps, i, i+1)
	case g.from == n:
		g.from++
	case g.to == n:
		g.to--
	default:
		right := gap{n + 1, g.to}
		g.to = n - 1
		q.gaps = slices.Insert(q.gaps, i+1, right)
		q.closeOldest()
	}
}

// reopen makes a number that was taken fresh again: what it was taken for turned out to be nothing.
func (q *sequence) reopen(seq lamppost.Seq) {
	n := seq.N
	i, in := q.find(n)
	if seq.Epoch != q.epoch || n > q.high || in {
		return
	}
	g := gap{n, n}
	if i < len(q.gaps) && q.gaps[i].from == n+1 {
		g.to = q.gaps[i].to
		q.gaps = slices.Delete(q.gaps, i, i+1)
	}
	if i > 0 && q.gaps[i-1].to == n-1 {
		i--
		g.from = q.gaps[i].from
		q.gaps = slices.Delete(q.gaps, i, i+1)
	}
	if g.to == q.high { // nothing above it is taken
		q.high = g.from - 1
		return
	}
	q.gaps = slices.Insert(q.gaps, i, g)
	q.closeOldest()
}

func (q *sequence) addGap(g gap) {
	q.gaps = append(q.gaps, g)
	q.closeOldest()
}

// closeOldest gives up the lowest gap when there is one too many; its numbers count as lost, on record.
func (q *sequence) closeOldest() {
	if len(q.gaps) > lamppost.MaxGaps {
		q.lost += q.gaps[0].to - q.gaps[0].from + 1
		q.gaps = slices.Delete(q.gaps, 0, 1)
	}
}

// open counts the numbers in gaps.
func (q *sequence) open() (n uint64) {
	for _, g := range q.gaps {
		n += g.to - g.from + 1
	}
	return n
}

// append encodes the sequence: epoch, high, rated, lost, count, then the gaps as distances; all unsigned varints.
func (q *sequence) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(q.epoch))
	b = binary.AppendUvarint(b, q.high)
	b = binary.AppendUvarint(b, uint64(q.rated))
	b = binary.AppendUvarint(b, q.lost)
	b = binary.AppendUvarint(b, q.count)
	last := uint64(0)
	for _, g := range q.gaps {
		b = binary.AppendUvarint(b, g.from-last)
		b = binary.AppendUvarint(b, g.to-g.from)
		last = g.to
	}
	return b
}

var errSequence = errors.New("a sequence state is damaged")

func decodeSequence(b []byte) (sequence, error) {
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[n:]
		return v
	}
	q := sequence{epoch: uint32(next()), high: next(), rated: lamppost.TimeMS(next()), lost: next(), count: next()}
	last := uint64(0)
	for len(b) > 0 && len(q.gaps) <= lamppost.MaxGaps {
		g := gap{from: last + next()}
		g.to = g.from + next()
		last = g.to
		q.gaps = append(q.gaps, g)
	}
	if bad || len(q.gaps) > lamppost.MaxGaps {
		return q, errSequence
	}
	return q, nil
}

// A recent is what is kept of one of the last 32 reports accepted of a device, whatever their numbers: enough to tell an
// honest resend from a second report and to find the first. They take turns in 32 slots.
type recent struct {
	slot   uint8        // not encoded: part of the key
	seq    lamppost.Seq // N 0: the slot is empty
	id     [16]byte     // lamppost.RecentID
	height lamppost.Height
	tx     uint32
	report uint32
}

const recentBytes = 4 + 8 + 16 + 8 + 4 + 4

func (r *recent) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.seq.Epoch)
	b = binary.BigEndian.AppendUint64(b, r.seq.N)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.height))
	b = binary.BigEndian.AppendUint32(b, r.tx)
	return binary.BigEndian.AppendUint32(b, r.report)
}

func decodeRecent(b []byte) (r recent, err error) {
	if len(b) != recentBytes {
		return r, errSequence
	}
	r.seq = lamppost.Seq{Epoch: binary.BigEndian.Uint32(b), N: binary.BigEndian.Uint64(b[4:])}
	copy(r.id[:], b[12:])
	r.height = lamppost.Height(binary.BigEndian.Uint64(b[28:]))
	r.tx, r.report = binary.BigEndian.Uint32(b[36:]), binary.BigEndian.Uint32(b[40:])
	return r, nil
}

// A quarantine is kept as its reason, a zero byte, and the number that was used twice.
func encodeQuarantine(why string, seq lamppost.Seq) []byte {
	b := append([]byte(why), 0)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, seq.Epoch), seq.N)
}

func decodeQuarantine(b []byte) (why string, seq lamppost.Seq) {
	text, number, _ := bytes.Cut(b, []byte{0})
	if len(number) == 12 {
		seq = lamppost.Seq{Epoch: binary.BigEndian.Uint32(number), N: binary.BigEndian.Uint64(number[4:])}
	}
	return string(text), seq
}
