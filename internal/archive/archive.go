// Package archive keeps the bodies of transactions and what became of them: what the log's leaves commit to but do not
// say. It shares the node's key/value store, so that a body is durable with the block that orders it.
//
// Start reading at [Put] and [Get]. Pruning and erasure belong here too; today everything is kept.
package archive

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Record is a transaction with its result, as the ledger gave it.
type Record struct {
	Raw      []byte // the transaction as it was ordered
	Outcomes []lamppost.Outcome
	Writes   lamppost.Hash // digest of its state writes
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

// ErrAbsent is returned for what the archive does not hold.
var ErrAbsent = errors.New("not in the archive")

func blockKey(h lamppost.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte("aB"), uint64(h))
}

func recordKey(kind byte, h lamppost.Height, index uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64([]byte{'a', kind}, uint64(h)), index)
}

// Put stages a transaction and its result.
func Put(b *kv.Batch, h lamppost.Height, index uint32, r Record) {
	b.Set(recordKey('T', h, index), r.Raw)
	b.Set(recordKey('R', h, index), appendResult(nil, r))
}

// PutBlock stages a block's header.
func PutBlock(b *kv.Batch, blk Block) { b.Set(blockKey(blk.Height), lamppost.Marshal(blk)) }

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

// Get returns a transaction with its result, or ErrAbsent.
func Get(r kv.Reader, h lamppost.Height, index uint32) (Record, error) {
	raw, err := r.Get(recordKey('T', h, index))
	if err != nil {
		return Record{}, absent(err, h, index)
	}
	result, err := r.Get(recordKey('R', h, index))
	if err != nil {
		return Record{}, absent(err, h, index)
	}
	rec, err := decodeResult(result)
	rec.Raw = raw
	return rec, err
}

func absent(err error, h lamppost.Height, index uint32) error {
	if errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("transaction %d of block %d: %w", index, h, ErrAbsent)
	}
	return err
}

// GetBlock returns a block's header, or ErrAbsent.
func GetBlock(r kv.Reader, h lamppost.Height) (Block, error) {
	var blk Block
	v, err := r.Get(blockKey(h))
	if errors.Is(err, kv.ErrNotFound) {
		return blk, fmt.Errorf("block %d: %w", h, ErrAbsent)
	}
	if err != nil {
		return blk, err
	}
	return blk, lamppost.Unmarshal(v, &blk)
}
