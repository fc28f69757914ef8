package device

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
)

// A queue holds the reports that nobody has acknowledged, on disk; in memory only where they stand. A record of kind
// recReport is sequence epoch (4 bytes), number (8) and the signed report; recDone is epoch and number of a report that
// is over with. Both stay true for ever, so a record that comes back after a power loss does no harm: at worst a report
// is sent again.
type queue struct {
	j         *journal
	compactAt int64   // the file's size from which it is rewritten once half of it is over with
	entries   []entry // by number
	waiting   int     // entries that are not over
	bytes     int64   // of their reports
	epoch     uint32  // the highest sequence epoch in any record
}

// An entry is one report of the queue.
type entry struct {
	seq       lamppost.Seq
	off       int64
	len       int32
	state     state
	tries     uint8
	notBefore time.Duration // since Run began; see link
	blamed    time.Duration // likewise, when it first failed for its own sake, where tries > 0
}

type state uint8

const (
	waiting state = iota
	underWay
	unproven // acknowledged by one member; see prove.go
	over
)

const (
	queueFile  = "queue"
	queueMagic = "lpqueue1"

	recReport = 1
	recDone   = 2

	seqBytes = 12
)

func openQueue(d disk, compactAt int64) (*queue, error) {
	q := &queue{compactAt: compactAt}
	var err error
	q.j, err = openJournal(d, queueFile, queueMagic, q.replay)
	return q, err
}

func (q *queue) replay(rec record) error {
	if len(rec.body) < seqBytes {
		return fmt.Errorf("a record of kind %d has %d bytes", rec.kind, len(rec.body))
	}
	seq := decodeSeq(rec.body)
	q.epoch = max(q.epoch, seq.Epoch)
	switch rec.kind {
	case recReport:
		q.insert(seq, rec.off+seqBytes, len(rec.body)-seqBytes)
	case recDone:
		q.finish(seq)
	default:
		return fmt.Errorf("a record is of the unknown kind %d", rec.kind)
	}
	return nil
}

func encodeSeq(seq lamppost.Seq) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, seq.Epoch), seq.N)
}

func decodeSeq(b []byte) lamppost.Seq {
	return lamppost.Seq{Epoch: binary.BigEndian.Uint32(b), N: binary.BigEndian.Uint64(b[4:])}
}

func compareSeq(a, b lamppost.Seq) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.N, b.N))
}

func (q *queue) find(seq lamppost.Seq) (int, bool) {
	return slices.BinarySearchFunc(q.entries, seq, func(e entry, seq lamppost.Seq) int { return compareSeq(e.seq, seq) })
}

// insert reports whether the number was new to the queue.
func (q *queue) insert(seq lamppost.Seq, off int64, n int) bool {
	i, found := q.find(seq)
	if found {
		return false
	}
	q.entries = slices.Insert(q.entries, i, entry{seq: seq, off: off, len: int32(n)})
	q.waiting++
	q.bytes += int64(n)
	return true
}

// finish marks a report as over and reports whether it was not before.
func (q *queue) finish(seq lamppost.Seq) bool {
	i, found := q.find(seq)
	if !found || q.entries[i].state == over {
		return false
	}
	q.entries[i].state = over
	q.waiting--
	q.bytes -= int64(q.entries[i].len)
	n := 0
	for n < len(q.entries) && q.entries[n].state == over {
		n++
	}
	q.entries = q.entries[n:]
	return true
}

// add appends a signed report, durable if wanted. A number that is in the queue already is left as it is.
func (q *queue) add(seq lamppost.Seq, raw []byte, durable bool) error {
	if _, found := q.find(seq); found {
		return nil
	}
	off, err := q.j.append(recReport, encodeSeq(seq), raw)
	if err != nil {
		return err
	}
	if durable {
		if err := q.j.sync(); err != nil {
			return err
		}
	}
	q.insert(seq, off+seqBytes, len(raw))
	return nil
}

// done records that a report is over. The record need not be durable: if it is lost, the report is sent once more.
func (q *queue) done(seq lamppost.Seq) error {
	if !q.finish(seq) {
		return nil
	}
	if _, err := q.j.append(recDone, encodeSeq(seq)); err != nil {
		return err
	}
	if q.j.size < q.compactAt || 2*q.bytes > q.j.size {
		return nil
	}
	return q.compact()
}

// compact rewrites the file without what is over.
func (q *queue) compact() error {
	live := make([]entry, 0, q.waiting)
	err := q.j.rewrite(func(add func(byte, ...[]byte) (int64, error)) error {
		for _, e := range q.entries {
			if e.state == over {
				continue
			}
			raw, err := q.read(e)
			if err != nil {
				return err
			}
			off, err := add(recReport, encodeSeq(e.seq), raw)
			if err != nil {
				return err
			}
			e.off = off + seqBytes
			live = append(live, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	q.entries = live
	return nil
}

// read returns the signed bytes of a report.
func (q *queue) read(e entry) ([]byte, error) {
	raw := make([]byte, e.len)
	if _, err := q.j.f.ReadAt(raw, e.off); err != nil {
		return nil, fmt.Errorf("reading report %d/%d from the queue: %w", e.seq.Epoch, e.seq.N, err)
	}
	return raw, nil
}
