package lamppost

import (
	"errors"
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

// Versions of proofs: one in which a transaction has runs of contracts has the second.
const (
	proofVersion     = 2
	proofVersionRuns = 3
)

// A TxProof shows a transaction in the log: an order, a segment with some of its reports, or only what contracts did for an order. They
// stand in log order.
type TxProof struct {
	Leaf   int64 // index in the log
	Height Height
	Index  uint32 // in the block

	Order   *OrderProof  // either this
	Segment *ThinSegment // or this
	Result  *ResultProof // or this

	Runs []RunProof // of an order all that contracts did for it beside its own outcome; of a result one or more
}

// A ResultProof hides an order and its outcome, to whose leaf the runs of contracts belong that are shown.
type ResultProof struct {
	Type    TxType
	Body    Hash // digest
	Outcome Hash // of its own outcome
	Writes  Hash
}

// A RunProof shows a [Run], or that there was one.
type RunProof struct {
	Salt [SaltBytes]byte
	Run  []byte // as CBOR; nil: only its hash is shown
	Hash Hash
}

// Leaf returns the run's leaf in the tree of outcomes.
func (r *RunProof) Leaf() Hash {
	if r.Run == nil {
		return r.Hash
	}
	return OutcomeHash(r.Salt, Outcome{Data: r.Run}.Append(nil))
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

// version is the lowest that can say what the proof says.
func (p *Proof) version() byte {
	for i := range p.Txs {
		if len(p.Txs[i].Runs) > 0 {
			return proofVersionRuns
		}
	}
	return proofVersion
}

// Append writes CBOR [version, network, checkpoints, witnesses, transactions, blocks, nodes]: an order is [leaf, height, index, salt,
// signed, writes, outcome salt, outcome], and where contracts ran for it a ninth: runs; a segment is [leaf, height, index, thin segment],
// a result [leaf, height, index, [type, body, outcome, writes], runs]; a run [salt, run] or [hash], a block [leaf, raw], nodes are digests
// one after the other.
func (p *Proof) Append(b []byte) []byte {
	b = append(b, majArray|7, p.version())
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
	if r := t.Result; r != nil {
		b = appendHead(append(t.appendPlace(append(b, majArray|5)), majArray|4), majUint, uint64(r.Type))
		b = appendBytes(appendBytes(appendBytes(b, r.Body[:]), r.Outcome[:]), r.Writes[:])
		return t.appendRuns(b)
	}
	fields, o := byte(8), t.Order
	if len(t.Runs) > 0 {
		fields = 9
	}
	b = t.appendPlace(append(b, majArray|fields))
	b = appendBytes(appendBytes(b, o.Salt[:]), o.Signed)
	b = appendBytes(appendBytes(b, o.Writes[:]), o.OutcomeSalt[:])
	b = appendBytes(b, o.Outcome)
	if len(t.Runs) == 0 {
		return b
	}
	return t.appendRuns(b)
}

func (t *TxProof) appendRuns(b []byte) []byte {
	b = appendHead(b, majArray, uint64(len(t.Runs)))
	for i := range t.Runs {
		if r := &t.Runs[i]; r.Run == nil {
			b = appendBytes(append(b, majArray|1), r.Hash[:])
		} else {
			b = appendBytes(appendBytes(append(b, majArray|2), r.Salt[:]), r.Run)
		}
	}
	return b
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
	version := w.int()
	if w.err == nil && version != proofVersion && version != proofVersionRuns {
		w.fail(fmt.Errorf("version %d, this program reads versions %d and %d", version, proofVersion, proofVersionRuns))
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
	if version != int64(p.version()) {
		return nil, fmt.Errorf("proof: version %d, what it holds is of version %d", version, p.version())
	}
	return p, nil
}

// Shortest encodings of what stands in lists, so that a list too long for its bytes is refused before there is room for it.
const (
	minTextBytes  = 16                            // a note or a key
	minBlockBytes = 1 + 1 + 1                     // array head, leaf, an empty leaf
	minTxBytes    = 1 + 3 + minThinBytes          // array head, place
	minRunBytes   = 1 + 1 + SaltBytes + 2         // array head, salt, a run; a hash is longer
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
	if fields == 5 {
		r := new(ResultProof)
		w.array(4)
		r.Type = TxType(w.max(w.uint(), math.MaxUint8))
		w.hash(&r.Body)
		w.hash(&r.Outcome)
		w.hash(&r.Writes)
		t.Result, t.Runs = r, w.runs()
		return t
	}
	if fields != 9 {
		w.exactly(fields, 8, "fields of an order, 9 of one with runs, 5 of a result, or 4 of a segment")
	}
	o := new(OrderProof)
	w.salt(&o.Salt)
	o.Signed = w.bytes()
	w.hash(&o.Writes)
	w.salt(&o.OutcomeSalt)
	o.Outcome = w.bytes()
	t.Order = o
	if fields == 9 {
		t.Runs = w.runs()
	}
	return t
}

// runs reads one or more.
func (w *wire) runs() (all []RunProof) {
	n := w.items(minRunBytes)
	if n == 0 && w.err == nil {
		w.fail(errors.New("a list of no runs"))
	}
	for ; n > 0 && w.err == nil; n-- {
		var r RunProof
		if fields := w.arrayLen(); fields == 1 {
			w.hash(&r.Hash)
		} else {
			w.exactly(fields, 2, "fields of a run, or 1 of a hidden one")
			w.salt(&r.Salt)
			if r.Run = w.bytes(); len(r.Run) == 0 && w.err == nil {
				w.fail(errors.New("an empty run"))
			}
		}
		all = append(all, r)
	}
	return all
}
