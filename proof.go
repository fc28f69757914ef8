package lamppost

import (
	"errors"
	"fmt"
)

// A Proof is what a receipt and a statement carry: everything an auditor needs to follow a value from its signed report
// to a checkpoint, and nothing about anybody else. Package audit checks it.
type Proof struct {
	Version     uint8         `cbor:"1,keyasint"`
	Network     string        `cbor:"2,keyasint"`
	Checkpoints []string      `cbor:"3,keyasint"` // signed notes of equal size and root: a quorum
	Nodes       []ProofNode   `cbor:"4,keyasint"` // the log's hashes that all inclusion proofs together need
	Txs         []TxProof     `cbor:"5,keyasint"` // in log order
	Blocks      []BlockProof  `cbor:"6,keyasint"` // for the time of a height, where it matters
	Reports     []ReportProof `cbor:"7,keyasint"`
	Witnesses   []string      `cbor:"8,keyasint,omitempty"` // verifier keys of all cosignatures on the checkpoints, ascending
}

// ProofVersion is the version this package writes and reads.
const ProofVersion = 1

// A ProofNode is a hash of the log at a stored-hash index (x/mod/sumdb/tlog numbering).
type ProofNode struct {
	_     struct{} `cbor:",toarray"`
	Index int64
	Hash  Hash
}

// A TxProof shows a transaction in the log. Outcome is absent for segments, whose outcomes stand with their reports.
type TxProof struct {
	Leaf     int64           `cbor:"1,keyasint"` // index in the log
	Type     TxType          `cbor:"2,keyasint"`
	Height   Height          `cbor:"3,keyasint"`
	Index    uint32          `cbor:"4,keyasint"`
	Salt     [SaltBytes]byte `cbor:"5,keyasint"` // of the body
	Verdicts Hash            `cbor:"6,keyasint"` // digest
	Signed   []byte          `cbor:"7,keyasint"`
	Outcomes Hash            `cbor:"8,keyasint"` // root of the outcomes
	Writes   Hash            `cbor:"9,keyasint"` // digest of the state writes

	Outcome     []byte          `cbor:"10,keyasint,omitempty"`
	OutcomeSalt [SaltBytes]byte `cbor:"11,keyasint"`
}

// A BlockProof shows a block's leaf.
type BlockProof struct {
	Leaf int64  `cbor:"1,keyasint"` // index in the log
	Raw  []byte `cbor:"2,keyasint"`
}

// A ReportProof shows a report in a segment, with its outcome.
type ReportProof struct {
	Tx          uint32          `cbor:"1,keyasint"` // index of the segment in Proof.Txs
	Index       uint32          `cbor:"2,keyasint"` // place in the segment
	Salt        [SaltBytes]byte `cbor:"3,keyasint"`
	Received    TimeMS          `cbor:"4,keyasint"`
	Report      []byte          `cbor:"5,keyasint"`
	Path        []Hash          `cbor:"6,keyasint"`
	Outcome     []byte          `cbor:"7,keyasint"`
	OutcomePath []Hash          `cbor:"8,keyasint"`
}

// LeafRecord returns the leaf of the transaction as the log hashes it.
func (t *TxProof) LeafRecord() []byte {
	l := Leaf{Type: t.Type, Height: t.Height, Index: t.Index, Body: BodyDigest(t.Salt, t.Verdicts, t.Signed),
		Result: ResultDigest(t.Outcomes, t.Writes)}
	return l.Append(nil)
}

// ParseProof reads a proof's CBOR.
func ParseProof(raw []byte) (*Proof, error) {
	if len(raw) > MaxProofBytes {
		return nil, fmt.Errorf("proof: %d bytes are over the limit of %d", len(raw), MaxProofBytes)
	}
	w := wire{b: raw}
	w.skipDense(0)
	if err := w.end("proof"); err != nil {
		return nil, err
	}
	p := new(Proof)
	if err := Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	if p.Version != ProofVersion {
		return nil, fmt.Errorf("proof: version %d, this program reads version %d", p.Version, ProofVersion)
	}
	return p, nil
}

const (
	maxProofDepth = 8  // a proof nests five deep
	minProofItem  = 16 // bytes of the shortest item of an array in a proof: a node's index and hash take 36 together
)

// skipDense walks over one value. It refuses arrays whose items are shorter on average than any that stands in a proof:
// the general decoder makes room for as many items as an array's head announces, so that a list of single bytes would
// cost two hundred times its length.
func (w *wire) skipDense(depth int) {
	major, n := w.head()
	start := w.off
	switch major {
	case majBytes, majText:
		w.raw(n)
	case majTag:
		w.skipItems(1, depth)
	case majMap:
		w.skipItems(2*n, depth)
	case majArray:
		w.skipItems(n, depth)
		if w.err == nil && n*minProofItem > uint64(w.off-start) {
			w.fail(fmt.Errorf("an array of %d items in %d bytes", n, w.off-start))
		}
	}
}

func (w *wire) skipItems(n uint64, depth int) {
	if depth == maxProofDepth {
		w.fail(errors.New("nested too deep"))
	}
	for ; n > 0 && w.err == nil; n-- {
		w.skipDense(depth + 1)
	}
}
