// Package archive keeps the bodies of transactions and what became of them: what the log's leaves commit to but do not
// say. The latest bodies stand in the node's key/value store, so that a body is durable with the block that orders it.
// Older ones are moved to packs, objects named by their content, where they are compressed and where reports that need not or
// must not be kept any more are taken out of their segments.
//
// It promises that a body is in the store or in a pack at every moment, that what is read from a pack is what was put there,
// that taking reports out frees their space for good, and that what stays can be proven as before (lamppost.ThinSegment).
// Who may be forgotten when is decided by [Rules], which the ledger's orders make; which objects there are is the node's own
// affair and not part of the chain.
//
// Start reading at [Put] and [View.Tx], then [Keeper.Step]. Limits are in limits.go.
package archive

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Record is a transaction with its result, as the ledger gave it. Of a segment that was thinned only Thin is set.
type Record struct {
	Raw      []byte // the transaction as it was ordered
	Outcomes []lamppost.Outcome
	Writes   lamppost.Hash // digest of its state writes

	Thin *lamppost.ThinSegment
}

// IsSegment reports whether the record is of a segment, thinned or not.
func (r *Record) IsSegment() bool {
	return r.Thin != nil || lamppost.ReadTransaction(r.Raw).Type == lamppost.TxSegment
}

// Segment returns the record of a segment, thinned or not, in the form that proves its reports.
func (r *Record) Segment() (*lamppost.ThinSegment, error) {
	if r.Thin != nil {
		return r.Thin, nil
	}
	tx, err := lamppost.ParseTransaction(r.Raw)
	if err != nil {
		return nil, err
	}
	if tx.Type != lamppost.TxSegment || len(tx.Items) != len(r.Outcomes) {
		return nil, fmt.Errorf("a %s with %d outcomes is no archived segment", tx.Type, len(r.Outcomes))
	}
	return lamppost.Thin(tx, r.Outcomes, r.Writes, func(int) bool { return true }), nil
}

// A Block is the header of an archived block. Transaction i's leaf in the log is First + i; the block's own leaf
// follows the last transaction's.
type Block struct {
	_        struct{} `cbor:",toarray"`
	Height   lamppost.Height
	Time     lamppost.TimeMS
	Proposer lamppost.MemberID
	Count    uint32
	First    int64 // log index of the first transaction's leaf
	Evidence []lamppost.Evidence
}

// ErrAbsent is returned for what the archive does not hold, and ErrForgotten for what it held once: it was pruned or erased.
var (
	ErrAbsent    = errors.New("not in the archive")
	ErrForgotten = errors.New("no longer in the archive")
)

// A View reads the archive as it was when Reader was, a snapshot or the store itself. Without Packs it sees the store only. It
// is a Reader of the whole store too.
type View struct {
	kv.Reader
	Packs *Packs
}

// The archive's keys in the store: 'a', a kind, and a height in eight bytes big-endian.
//
//	aB <height>              Block
//	aT <height> <index, 4>   the transaction as it was ordered
//	aR <height> <index, 4>   its result: see appendResult
//	aM <height>              empty: the block may have moved claims, see PutMoved
//	aP <last height>         Pack
//	aK                       what the Keeper has done
const (
	blockKind  = 'B'
	txKind     = 'T'
	resultKind = 'R'
	movedKind  = 'M'
	packKind   = 'P'
)

func heightKey(kind byte, h lamppost.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte{'a', kind}, uint64(h))
}

func recordKey(kind byte, h lamppost.Height, index uint32) []byte {
	return binary.BigEndian.AppendUint32(heightKey(kind, h), index)
}

// Private says whether a key of the archive is about this node's packs, which do not follow from the blocks.
func Private(key []byte) bool {
	return len(key) > 1 && key[0] == 'a' && (key[1] == packKind || string(key) == keeperKey)
}

// Clear stages a store without blocks and packs, whose objects Keeper.Sweep then removes. What was erased stays known.
func Clear(b *kv.Batch) {
	for _, kind := range [...]byte{blockKind, txKind, resultKind, movedKind, packKind} {
		b.DeleteRange([]byte{'a', kind}, []byte{'a', kind + 1})
	}
}

// Where says which block, and which of its transactions, a key of the store is about; the index is -1 for the block's header.
func Where(key []byte) (h lamppost.Height, index int64, ok bool) {
	if len(key) < 10 || key[0] != 'a' {
		return 0, 0, false
	}
	h = lamppost.Height(binary.BigEndian.Uint64(key[2:]))
	switch kind := key[1]; {
	case (kind == blockKind || kind == movedKind) && len(key) == 10:
		return h, -1, true
	case (kind == txKind || kind == resultKind) && len(key) == 14:
		return h, int64(binary.BigEndian.Uint32(key[10:])), true
	}
	return 0, 0, false
}

// Put stages a transaction and its result.
func Put(b *kv.Batch, h lamppost.Height, index uint32, r Record) {
	b.Set(recordKey(txKind, h, index), r.Raw)
	b.Set(recordKey(resultKind, h, index), appendResult(nil, r))
}

// PutBlock stages a block's header.
func PutBlock(b *kv.Batch, blk Block) { b.Set(heightKey(blockKind, blk.Height), lamppost.Marshal(blk)) }

// PutMoved stages that a block may have moved claims, so that [View.Moved] finds it. It is said of block 1 in any case: what
// was stored before there was such an index has none.
func PutMoved(b *kv.Batch, h lamppost.Height) { b.Set(heightKey(movedKind, h), nil) }

// appendResult writes the writes digest, the number of outcomes, and those that are not plainly accepted with their
// place before them: nearly all reports cost no byte here.
func appendResult(b []byte, r Record) []byte {
	b = append(b, r.Writes[:]...)
	b = binary.AppendUvarint(b, uint64(len(r.Outcomes)))
	for i, o := range r.Outcomes {
		if o.Code != lamppost.CodeOK || len(o.Data) > 0 {
			b = append(binary.AppendUvarint(b, uint64(i)), byte(o.Code))
			b = append(binary.AppendUvarint(b, uint64(len(o.Data))), o.Data...)
		}
	}
	return b
}

var errResult = errors.New("an archived result is damaged")

func decodeResult(b []byte) (r Record, err error) {
	if len(b) < len(r.Writes) {
		return r, errResult
	}
	b = b[copy(r.Writes[:], b):]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, b = errResult, nil
			return 0
		}
		b = b[n:]
		return v
	}
	count := next()
	if count > lamppost.MaxSegmentReports {
		return r, errResult
	}
	r.Outcomes = make([]lamppost.Outcome, count)
	for len(b) > 0 && err == nil {
		i := next()
		if i >= count || len(b) == 0 {
			return r, errResult
		}
		o := &r.Outcomes[i]
		o.Code, b = lamppost.Code(b[0]), b[1:]
		n := next()
		if n > uint64(len(b)) {
			return r, errResult
		}
		o.Data, b = b[:n:n], b[n:]
	}
	return r, err
}

// Tx returns a transaction with its result. It returns ErrAbsent where there is none, and ErrForgotten where nothing is left of
// it.
func (v View) Tx(h lamppost.Height, index uint32) (Record, error) {
	raw, err := v.Get(recordKey(txKind, h, index))
	if errors.Is(err, kv.ErrNotFound) {
		return v.packed(h, index)
	}
	if err != nil {
		return Record{}, err
	}
	result, err := v.Get(recordKey(resultKind, h, index))
	if errors.Is(err, kv.ErrNotFound) {
		err = absent(h, index)
	}
	if err != nil {
		return Record{}, err
	}
	rec, err := decodeResult(result)
	rec.Raw = raw
	return rec, err
}

func absent(h lamppost.Height, index uint32) error {
	return fmt.Errorf("transaction %d of block %d: %w", index, h, ErrAbsent)
}

// packed reads a transaction from a pack.
func (v View) packed(h lamppost.Height, index uint32) (Record, error) {
	blk, err := v.packedBlock(h)
	if errors.Is(err, ErrAbsent) || err == nil && int(index) >= len(blk.Txs) {
		return Record{}, absent(h, index)
	}
	if err != nil {
		return Record{}, err
	}
	return blk.Txs[index].record(h, index)
}

// Block returns a block's header, or ErrAbsent.
func (v View) Block(h lamppost.Height) (blk Block, err error) {
	raw, err := v.Get(heightKey(blockKind, h))
	if errors.Is(err, kv.ErrNotFound) {
		stored, err := v.packedBlock(h)
		if err != nil {
			return blk, err
		}
		return stored.Block, nil
	}
	if err != nil {
		return blk, err
	}
	return blk, lamppost.Unmarshal(raw, &blk)
}
