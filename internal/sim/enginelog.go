package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What an engine remembers over a crash lies on a disk of its own, each change in one write:
//
//	v             term, vote
//	b             what the log begins after, and the snapshot that stands for it
//	e <index>     an entry
var (
	voteKey  = []byte("v")
	baseKey  = []byte("b")
	entryKey = byte('e')
)

// An entry of the log is a block before it has a height; one without transactions is nothing for the App.
type entry struct {
	Term     uint64            `cbor:"1,keyasint"`
	Clock    lamppost.TimeMS   `cbor:"2,keyasint"`
	Proposer lamppost.MemberID `cbor:"3,keyasint"`
	Height   lamppost.Height   `cbor:"4,keyasint"` // where its proposer stood, and the root there
	Root     []byte            `cbor:"5,keyasint"`
	Txs      [][]byte          `cbor:"6,keyasint"`
	Seat     *seat             `cbor:"7,keyasint,omitempty"`
}

// A seat says under which id a member takes part from now on: it lost what it had promised under the one before.
type seat struct {
	Member int    `cbor:"1,keyasint"`
	ID     uint32 `cbor:"2,keyasint"`
}

// A vote is the newest term that a member knows, and whom it chose in it.
type vote struct {
	Term uint64 `cbor:"1,keyasint"`
	For  int    `cbor:"2,keyasint"` // 1 more than the member's number; 0: nobody yet
}

// A base is what the log begins after, and the newest snapshot, which is of that entry or a later one.
type base struct {
	Index uint64   `cbor:"1,keyasint"`
	Term  uint64   `cbor:"2,keyasint"`
	Snap  snapshot `cbor:"3,keyasint"`
}

// A snapshot is an App's state after an entry.
type snapshot struct {
	Index uint64   `cbor:"1,keyasint"`
	Term  uint64   `cbor:"2,keyasint"`
	Seats []uint32 `cbor:"3,keyasint"`
	Root  []byte   `cbor:"4,keyasint"`
	State []byte   `cbor:"5,keyasint"`
}

// A log is an engine's durable memory, and a copy of it. After an error it must be opened again.
type log struct {
	d *disk
	vote
	base
	entries []entry // after base
}

// openLog reads what a disk has.
func openLog(d *disk) (l log, err error) {
	l.d = d
	err = d.Scan([]byte{0}, nil, func(key, val []byte) error {
		switch key[0] {
		case voteKey[0]:
			return lamppost.Unmarshal(val, &l.vote)
		case baseKey[0]:
			return lamppost.Unmarshal(val, &l.base)
		}
		var e entry
		if err := lamppost.Unmarshal(val, &e); err != nil {
			return err
		}
		if i := binary.BigEndian.Uint64(key[1:]); i != l.last()+1 {
			return fmt.Errorf("entry %d follows entry %d", i, l.last())
		}
		l.entries = append(l.entries, e)
		return nil
	})
	return l, err
}

func keyOfEntry(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte{entryKey}, i) }

// last is the index of the last entry.
func (l *log) last() uint64 { return l.base.Index + uint64(len(l.entries)) }

func (l *log) at(i uint64) *entry { return &l.entries[i-l.base.Index-1] }

// termAt returns the term of an entry that the log has, or begins after.
func (l *log) termAt(i uint64) (term uint64, known bool) {
	switch {
	case i == l.base.Index:
		return l.base.Term, true
	case i < l.base.Index || i > l.last():
		return 0, false
	}
	return l.at(i).Term, true
}

// promise enters a term, with a vote or without.
func (l *log) promise(v vote) error {
	var b kv.Batch
	b.Set(voteKey, lamppost.Marshal(v))
	l.vote = v
	return l.d.Apply(&b)
}

// put writes entries from an index on, in the place of all that were there.
func (l *log) put(from uint64, entries ...entry) error {
	var b kv.Batch
	b.DeleteRange(keyOfEntry(from), []byte{entryKey + 1})
	for i := range entries {
		b.Set(keyOfEntry(from+uint64(i)), lamppost.Marshal(entries[i]))
	}
	l.entries = append(l.entries[:from-l.base.Index-1], entries...)
	return l.d.Apply(&b)
}

// forget lets entries up to an index go, for which a snapshot stands.
func (l *log) forget(upTo uint64, s snapshot) error {
	var b kv.Batch
	term, _ := l.termAt(upTo)
	l.entries = append([]entry(nil), l.entries[upTo-l.base.Index:]...)
	l.base = base{upTo, term, s}
	b.DeleteRange(keyOfEntry(0), keyOfEntry(upTo+1))
	b.Set(baseKey, lamppost.Marshal(l.base))
	return l.d.Apply(&b)
}

// install begins the log anew after a snapshot.
func (l *log) install(s snapshot) error {
	var b kv.Batch
	l.entries = nil
	l.base = base{s.Index, s.Term, s}
	b.DeleteRange(keyOfEntry(0), []byte{entryKey + 1})
	b.Set(baseKey, lamppost.Marshal(l.base))
	return l.d.Apply(&b)
}
