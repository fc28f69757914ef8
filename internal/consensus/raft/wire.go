package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// What members write to their logs, to snapshots and to each other; docs/formats.md has the byte tables. Integers are
// big-endian.

const (
	entryVersion    = 1
	snapshotVersion = 1
	helloVersion    = 1
)

// An entry is what a block is in the log: without height and time, which are known at delivery only.
type entry struct {
	clock    lamppost.TimeMS // of the proposer
	height   lamppost.Height // of the last block that the leader had committed
	root     lamppost.Hash   // after that block
	proposer lamppost.MemberID
	txs      [][]byte
}

func (e *entry) append(b []byte) []byte {
	b = append(b, entryVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.clock))
	b = binary.BigEndian.AppendUint64(b, uint64(e.height))
	b = append(b, e.root[:]...)
	b = appendShort(b, string(e.proposer))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.txs)))
	for _, tx := range e.txs {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(tx))), tx...)
	}
	return b
}

// parseEntry reads an entry. Slices alias raw.
func parseEntry(raw []byte) (e entry, err error) {
	r := reader{b: raw}
	if v := r.take(1); len(v) == 1 && v[0] != entryVersion {
		return e, fmt.Errorf("an entry of version %d; this program knows version %d", v[0], entryVersion)
	}
	e.clock, e.height = lamppost.TimeMS(r.uint(8)), lamppost.Height(r.uint(8))
	copy(e.root[:], r.take(32))
	e.proposer = lamppost.MemberID(r.short())
	count := r.uint(4)
	if r.bad || e.clock < 0 || count == 0 || count > lamppost.MaxBlockTxs {
		return e, errMalformed
	}
	e.txs = make([][]byte, 0, count)
	for range count {
		tx := r.take(r.uint(4))
		if len(tx) == 0 || len(tx) > lamppost.MaxTxBytes {
			return e, errMalformed
		}
		e.txs = append(e.txs, tx)
	}
	if r.bad || len(r.b) > 0 {
		return e, errMalformed
	}
	return e, nil
}

var errMalformed = errors.New("an entry of the log is malformed")

// reader takes bytes off the front. Once there are too few it gives none.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	took := r.b[:n:n]
	r.b = r.b[n:]
	return took
}

func (r *reader) uint(n uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) short() string { return string(r.take(r.uint(1))) }

func appendShort(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// Snapshots begin with the position they were taken at; the App's own bytes follow.
var snapshotMagic = []byte("LPRS")

func writeHeader(w io.Writer, last consensus.Last) error {
	b := append(bytes.Clone(snapshotMagic), snapshotVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(last.Height))
	b = binary.BigEndian.AppendUint64(b, uint64(last.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(last.Cursor))
	b = append(b, last.Root[:]...)
	_, err := w.Write(b)
	return err
}

func readHeader(r io.Reader) (last consensus.Last, err error) {
	raw := make([]byte, len(snapshotMagic)+1+3*8+32)
	if _, err := io.ReadFull(r, raw); err != nil {
		return last, fmt.Errorf("reading a snapshot's header: %w", err)
	}
	if !bytes.HasPrefix(raw, snapshotMagic) || raw[4] != snapshotVersion {
		return last, errors.New("this is not a snapshot of a raft network, or of an unknown version")
	}
	in := reader{b: raw[5:]}
	last.Height, last.Time = lamppost.Height(in.uint(8)), lamppost.TimeMS(in.uint(8))
	last.Cursor = lamppost.Cursor(in.uint(8))
	copy(last.Root[:], in.take(32))
	return last, nil
}

// A hello is the first that a connection carries: who calls whom, in which network, and what for.
type hello struct {
	kind     byte
	network  string
	from, to lamppost.MemberID
}

const (
	kindRaft    = 'r' // the library's own protocol
	kindForward = 'f' // proposals for the leader
)

var helloMagic = []byte("LPR")

func (h hello) append(b []byte) []byte {
	b = append(append(b, helloMagic...), helloVersion, h.kind)
	return appendShort(appendShort(appendShort(b, h.network), string(h.from)), string(h.to))
}

func readHello(r io.Reader) (h hello, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return h, err
	}
	if !bytes.HasPrefix(head, helloMagic) || head[3] != helloVersion {
		return h, errors.New("the other side does not speak this version of the protocol between members")
	}
	h.kind = head[4]
	var names [3]string
	for i := range names {
		if names[i], err = readShort(r); err != nil {
			return h, err
		}
	}
	h.network, h.from, h.to = names[0], lamppost.MemberID(names[1]), lamppost.MemberID(names[2])
	return h, nil
}

func readShort(r io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	text := make([]byte, size[0])
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// A forwarded is a proposal on its way to the leader.
type forwarded struct {
	again bool // it was forwarded before, perhaps to another leader, and its caller has waited since
	id    lamppost.TxID
	tx    []byte
}

func (f forwarded) append(b []byte) []byte {
	flag := byte(0)
	if f.again {
		flag = 1
	}
	b = append(append(b, flag), f.id[:]...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(f.tx))), f.tx...)
}

func readForwarded(r io.Reader) (f forwarded, err error) {
	var head [1 + 32 + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	size := binary.BigEndian.Uint32(head[33:])
	if head[0] > 1 || size == 0 || size > lamppost.MaxTxBytes {
		return f, errors.New("a malformed proposal was forwarded")
	}
	f.again = head[0] == 1
	copy(f.id[:], head[1:])
	f.tx = make([]byte, size)
	_, err = io.ReadFull(r, f.tx)
	return f, err
}

// A refused is the only answer to a forwarded proposal: whatever becomes a block comes with the block.
type refused struct {
	id   lamppost.TxID
	code lamppost.Code
	text string
}

func (a refused) append(b []byte) []byte {
	text := a.text[:min(len(a.text), maxRefusal)]
	b = append(append(b, a.id[:]...), byte(a.code))
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

func readRefused(r io.Reader) (a refused, err error) {
	var head [32 + 1 + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return a, err
	}
	size := binary.BigEndian.Uint16(head[33:])
	if size > maxRefusal {
		return a, errors.New("a malformed refusal came")
	}
	copy(a.id[:], head[:])
	a.code = lamppost.Code(head[32])
	text := make([]byte, size)
	_, err = io.ReadFull(r, text)
	a.text = string(text)
	return a, err
}
