package lamppost

import (
	"fmt"
	"math"
)

// A Proof is what a receipt and a statement carry: everything an auditor needs to follow a value from its signed report
// to a checkpoint, and nothing about anybody else. What follows from the rest is not in it: no root, no digest of zeros, of
// an invoice no register. Package audit checks it.
type Proof struct {
	Network     string
	Checkpoints []string // signed notes of equal size and root: a quorum
	Witnesses   []string // verifier keys of all cosignatures on the checkpoints, ascending
	Txs         []TxProof
	Blocks      []BlockProof // for the time of a height, where it matters
	Nodes       []Hash       // with the leaves of all transactions and blocks they make the checkpoints' root: see [Spans]
}

const proofVersion = 2

// A TxProof shows a transaction in the log: an order, or a segment with some of its reports. They stand in log order.
type TxProof struct {
	Leaf   int64 // index in the log
	Height Height
	Index  uint32 // in the block

	Order   *OrderProof  // either this
	Segment *ThinSegment // or this
}

// An OrderProof shows an order and its outcome.
type OrderProof struct {
	Salt        [SaltBytes]byte // of the body
	Signed      []byte
	Writes      Hash // digest of the state writes
	OutcomeSalt [SaltBytes]byte
	Outcome     []byte // as Outcome.Append writes it; an invoice in it is without its edges, which the reports give
}

// A BlockProof shows a block's leaf. They stand in log order.
type BlockProof struct {
	Leaf int64 // index in the log
	Raw  []byte
}

// Append writes CBOR [2, network, checkpoints, witnesses, transactions, blocks, nodes]: an order is [leaf, height, index, salt,
// signed, writes, outcome salt, outcome], a segment [leaf, height, index, thin segment], a block [leaf, raw], nodes are
// digests one after the other.
func (p *Proof) Append(b []byte) []byte {
	b = append(b, majArray|7, proofVersion)
	b = appendText(b, p.Network)
	for _, list := range [][]string{p.Checkpoints, p.Witnesses} {
		b = appendHead(b, majArray, uint64(len(list)))
		for _, text := range list {
			b = appendText(b, text)
		}
	}
	b = appendHead(b, majArray, uint64(len(p.Txs)))
	for i := range p.Txs {
		b = p.Txs[i].append(b)
	}
	b = appendHead(b, majArray, uint64(len(p.Blocks)))
	for i := range p.Blocks {
		b = appendInt(append(b, majArray|2), p.Blocks[i].Leaf)
		b = appendBytes(b, p.Blocks[i].Raw)
	}
	return appendHashes(b, p.Nodes)
}

func (t *TxProof) append(b []byte) []byte {
	if t.Segment != nil {
		return t.Segment.Append(t.appendPlace(append(b, majArray|4)))
	}
	b, o := t.appendPlace(append(b, majArray|8)), t.Order
	b = appendBytes(appendBytes(b, o.Salt[:]), o.Signed)
	b = appendBytes(appendBytes(b, o.Writes[:]), o.OutcomeSalt[:])
	return appendBytes(b, o.Outcome)
}

func (t *TxProof) appendPlace(b []byte) []byte {
	b = appendHead(appendInt(b, t.Leaf), majUint, uint64(t.Height))
	return appendHead(b, majUint, uint64(t.Index))
}

// ParseProof reads what Append writes. Slices and strings alias raw. It checks form and limits, no signature and no hash.
func ParseProof(raw []byte) (*Proof, error) {
	if len(raw) > MaxProofBytes {
		return nil, fmt.Errorf("proof: %d bytes are over the limit of %d", len(raw), MaxProofBytes)
	}
	p := new(Proof)
	w := wire{b: raw}
	w.array(7)
	if v := w.int(); w.err == nil && v != proofVersion {
		w.fail(fmt.Errorf("version %d, this program reads version %d", v, proofVersion))
	}
	p.Network = w.text(MaxNameBytes)
	p.Checkpoints, p.Witnesses = w.texts(MaxCheckpointBytes), w.texts(MaxCheckpointBytes)
	for n := w.items(minTxBytes); n > 0 && w.err == nil; n-- {
		p.Txs = append(p.Txs, w.txProof())
	}
	for n := w.items(minBlockBytes); n > 0 && w.err == nil; n-- {
		w.array(2)
		p.Blocks = append(p.Blocks, BlockProof{Leaf: w.int(), Raw: w.bytes()})
	}
	p.Nodes = w.hashes(MaxProofBytes / len(Hash{}))
	if err := w.end("proof"); err != nil {
		return nil, err
	}
	return p, nil
}

// Shortest encodings of what stands in lists, so that a list too long for its bytes is refused before there is room for it.
const (
	minTextBytes  = 16                            // a note or a key
	minBlockBytes = 1 + 1 + 1                     // array head, leaf, an empty leaf
	minTxBytes    = 1 + 3 + minThinBytes          // array head, place
	minThinBytes  = 1 + 1 + 1 + 1 + SaltBytes + 6 // array head, version, an empty header, salt, the rest empty
)

// items reads the head of a list whose items take at least so many bytes.
func (w *wire) items(size uint64) uint64 {
	n := w.arrayLen()
	if n*size > uint64(len(w.b)-w.off) || n > uint64(len(w.b)) {
		w.fail(fmt.Errorf("a list of %d items in %d bytes", n, len(w.b)-w.off))
		return 0
	}
	return n
}

func (w *wire) texts(limit int) (list []string) {
	for n := w.items(minTextBytes); n > 0 && w.err == nil; n-- {
		list = append(list, w.text(limit))
	}
	return list
}

func (w *wire) txProof() (t TxProof) {
	fields := w.arrayLen()
	t.Leaf = w.int()
	t.Height = Height(w.max(w.uint(), math.MaxInt64))
	t.Index = w.uint32()
	if fields == 4 {
		var err error
		if t.Segment, err = w.thin(); err != nil {
			w.fail(err)
		}
		return t
	}
	w.exactly(fields, 8, "fields of an order, or 4 of a segment")
	o := new(OrderProof)
	w.salt(&o.Salt)
	o.Signed = w.bytes()
	w.hash(&o.Writes)
	w.salt(&o.OutcomeSalt)
	o.Outcome = w.bytes()
	t.Order = o
	return t
}
