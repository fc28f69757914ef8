package archive

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// Encoded returns a block with all that is left of its transactions and results, as DecodeBlock reads it. It returns ErrAbsent
// for an empty block, or one that this copy never had.
func (v View) Encoded(h lamppost.Height) ([]byte, error) {
	s, err := v.stored(h)
	if err != nil {
		return nil, err
	}
	return lamppost.Marshal(s), nil
}

// stored reads a block from the store or from its pack.
func (v View) stored(h lamppost.Height) (*storedBlock, error) {
	raw, err := v.Get(heightKey(blockKind, h))
	if errors.Is(err, kv.ErrNotFound) {
		return v.packedBlock(h)
	}
	if err != nil {
		return nil, err
	}
	var blk Block
	if err := lamppost.Unmarshal(raw, &blk); err != nil {
		return nil, err
	}
	s, _, err := v.hotBlock(blk)
	return &s, err
}

// DecodeBlock reads a block that Encoded wrote: a record for each transaction, and nothing in that of one that was erased. It
// checks form and limits, and not that anything is true.
func DecodeBlock(raw []byte) (Block, []Record, error) {
	var s storedBlock
	if len(raw) > MaxEncodedBytes {
		return s.Block, nil, fmt.Errorf("a block of %d bytes is over the limit of %d", len(raw), MaxEncodedBytes)
	}
	if err := lamppost.Unmarshal(raw, &s); err != nil {
		return s.Block, nil, fmt.Errorf("reading a block: %w", err)
	}
	if len(s.Txs) != int(s.Block.Count) || len(s.Txs) > lamppost.MaxBlockTxs {
		return s.Block, nil, fmt.Errorf("block %d says it has %d transactions, %d came", s.Block.Height, s.Block.Count, len(s.Txs))
	}
	records, err := s.records()
	return s.Block, records, err
}

// records returns a record for each transaction, and nothing in that of one that was erased.
func (s *storedBlock) records() ([]Record, error) {
	records := make([]Record, len(s.Txs))
	for i := range s.Txs {
		t := &s.Txs[i]
		if len(t.Raw)+len(t.Result)+len(t.Thin) == 0 {
			continue
		}
		var err error
		if records[i], err = t.record(s.Block.Height, uint32(i)); err != nil {
			return nil, fmt.Errorf("transaction %d of block %d: %w", i, s.Block.Height, err)
		}
	}
	return records, nil
}

// Records returns what Tx does for each transaction of a block, but nothing in the record of one that was erased.
func (v View) Records(h lamppost.Height) ([]Record, error) {
	s, err := v.stored(h)
	if err != nil {
		return nil, err
	}
	return s.records()
}

// Whole says whether the transaction is there as it was ordered.
func (r *Record) Whole() bool { return r.Thin == nil && r.Outcomes != nil }

// Leaf returns the leaf that what is there of a transaction makes, with the transaction itself where it is whole; full says
// whether the leaf's result is part of it. There must be something left of it.
func (r *Record) Leaf(h lamppost.Height, index uint32) (l lamppost.Leaf, full bool, tx *lamppost.Transaction, err error) {
	l.Height, l.Index = h, index
	if r.Thin != nil {
		l.Type, l.Body = lamppost.TxSegment, r.Thin.BodyDigest()
		l.Result, full = r.Thin.ResultDigest()
		return l, full, nil, nil
	}
	tx = lamppost.ReadTransaction(r.Raw)
	want := max(len(r.Outcomes), 1) // runs of contracts follow an order's own
	if tx.Type == lamppost.TxSegment {
		want = len(tx.Items)
	}
	if len(r.Outcomes) != want {
		return l, false, tx, fmt.Errorf("it has %d archived outcomes, not %d", len(r.Outcomes), want)
	}
	hashes := make([]lamppost.Hash, want)
	var buf []byte
	for i, o := range r.Outcomes {
		buf = o.Append(buf[:0])
		hashes[i] = lamppost.OutcomeHash(tx.OutcomeSalt(i), buf)
	}
	l.Type, l.Body = tx.Type, tx.BodyDigest()
	l.Result = lamppost.ResultDigest(lamppost.MerkleRoot(hashes), r.Writes)
	return l, true, tx, nil
}
