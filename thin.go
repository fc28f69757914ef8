package lamppost

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A ThinSegment is what is left of a committed segment when some of its reports are gone, pruned or erased: the signed
// header, the reports that were kept, and the hashes that stand for the others in both trees. It still leads to the
// segment's leaf in the log, and each kept report to the header. The transaction's seed is not in it: with the seed, guesses
// at what was erased could be tested against the digest of the state writes. One goroutine uses it.
type ThinSegment struct {
	Signed   []byte          // COSE_Sign1 of the header
	Salt     [SaltBytes]byte // of the body
	Verdicts Hash            // digest
	Writes   Hash            // digest of the state writes; zero where nothing is kept
	Kept     []KeptReport    // in the order of the segment

	// The roots of the largest subtrees without a kept report, from left to right. Where nothing is kept there are none:
	// the header has the root of the reports, and the outcomes cannot be shown any more.
	ReportNodes  []Hash
	OutcomeNodes []Hash

	Header SegmentHeader // Signed, read

	reportTree, outcomeTree *thinTree // made when first needed
}

// A KeptReport is a report of a ThinSegment with its outcome.
type KeptReport struct {
	Index uint32
	SegmentItem
	Outcome []byte // as Outcome.Append writes it
}

const thinVersion = 2

// Thin returns what is left of a segment when only the reports for which keep says so stay.
func Thin(tx *Transaction, outcomes []Outcome, writes Hash, keep func(i int) bool) *ThinSegment {
	t := &ThinSegment{Signed: tx.SignedRaw, Salt: tx.Seed.Salt(SaltBody), Verdicts: tx.VerdictsDigest(), Writes: writes, Header: tx.Header}
	for i := range tx.Items {
		t.Kept = append(t.Kept, KeptReport{Index: uint32(i), SegmentItem: tx.Items[i], Outcome: outcomes[i].Append(nil)})
	}
	return t.Thin(func(k *KeptReport) bool { return keep(int(k.Index)) })
}

// Thin returns what is left when only the kept reports for which keep says so stay.
func (t *ThinSegment) Thin(keep func(*KeptReport) bool) *ThinSegment {
	out := *t
	out.Kept, out.reportTree, out.outcomeTree = nil, nil, nil
	stay := make([]bool, len(t.Kept))
	for i := range t.Kept {
		if stay[i] = keep(&t.Kept[i]); stay[i] {
			out.Kept = append(out.Kept, t.Kept[i])
		}
	}
	if len(out.Kept) == 0 {
		out.Writes, out.ReportNodes, out.OutcomeNodes = Hash{}, nil, nil
		return &out
	}
	if len(out.Kept) == len(t.Kept) {
		return &out // nothing was taken out, and the nodes are those there were
	}
	out.ReportNodes = t.reports().thin(stay)
	out.OutcomeNodes = t.outcomes().thin(stay)
	return &out
}

// Append writes CBOR [2, signed, salt, verdicts, writes, kept, report nodes, outcome nodes]: a digest that is zero is empty, kept
// is an array of [index, salt, received, report, outcome], nodes are digests one after the other. See difference.go for the
// report.
func (t *ThinSegment) Append(b []byte) []byte {
	b = append(b, majArray|8, thinVersion)
	b = appendBytes(b, t.Signed)
	b = appendBytes(b, t.Salt[:])
	b = appendOptional(b, t.Verdicts)
	b = appendOptional(b, t.Writes)
	b = appendHead(b, majArray, uint64(len(t.Kept)))
	for i := range t.Kept {
		k := &t.Kept[i]
		b = appendHead(append(b, majArray|5), majUint, uint64(k.Index))
		b = appendBytes(b, k.Salt[:])
		b = appendHead(b, majUint, uint64(k.Received))
		b = appendBytes(appendReport(b, k.Report), k.Outcome)
	}
	return appendHashes(appendHashes(b, t.ReportNodes), t.OutcomeNodes)
}

func appendHashes(b []byte, list []Hash) []byte {
	b = appendHead(b, majBytes, uint64(len(list)*len(Hash{})))
	for i := range list {
		b = append(b, list[i][:]...)
	}
	return b
}

func appendOptional(b []byte, h Hash) []byte {
	if h.IsZero() {
		return appendBytes(b, nil)
	}
	return appendBytes(b, h[:])
}

func (w *wire) optional(h *Hash) {
	b := w.bytes()
	if w.err == nil && len(b) != copy(h[:], b) || len(b) > 0 && (len(b) < len(h) || h.IsZero()) {
		w.fail(fmt.Errorf("a digest has %d bytes, or none where it is zero", len(h)))
	}
}

// ParseThinSegment reads what Append writes, and does what [ThinSegment.Check] does. Slices alias raw. It checks no signature, and not that the outcomes are those that were logged: see
// [ThinSegment.OutcomesRoot].
func ParseThinSegment(raw []byte) (*ThinSegment, error) {
	if len(raw) > MaxTxBytes {
		return nil, fmt.Errorf("thin segment: %d bytes are over the limit of %d", len(raw), MaxTxBytes)
	}
	w := wire{b: raw}
	t, err := w.thin()
	if err == nil {
		err = w.end("thin segment")
	}
	if err == nil {
		err = t.Check()
	}
	return t, err
}

// thin reads a thin segment and checks its form.
func (w *wire) thin() (*ThinSegment, error) {
	t := &ThinSegment{}
	w.array(8)
	w.constInt(thinVersion)
	t.Signed = w.bytes()
	w.salt(&t.Salt)
	w.optional(&t.Verdicts)
	w.optional(&t.Writes)
	t.Kept = decodeKept(w)
	t.ReportNodes, t.OutcomeNodes = w.hashes(MaxSegmentReports), w.hashes(MaxSegmentReports)
	if w.err != nil {
		return nil, fmt.Errorf("thin segment: byte %d: %w", w.off, w.err)
	}
	if t.Writes.IsZero() != (len(t.Kept) == 0) {
		return nil, errors.New("thin segment: the digest of the writes is there if and only if a report is")
	}
	s, err := ParseSigned(t.Signed)
	if err == nil {
		t.Header, err = ParseSegmentHeader(s)
	}
	if err != nil {
		return nil, err
	}
	return t, t.checkKept()
}

// minKeptBytes is the shortest encoded kept report: array head, index, salt, a small time, an empty report and outcome.
const minKeptBytes = 1 + 1 + 1 + SaltBytes + 1 + 1 + 1

func decodeKept(w *wire) []KeptReport {
	n := w.max(w.arrayLen(), MaxSegmentReports)
	if n*minKeptBytes > uint64(len(w.b)) { // refuse before allocating
		w.fail(errShort)
		return nil
	}
	kept := make([]KeptReport, 0, n)
	for ; n > 0 && w.err == nil; n-- {
		var k KeptReport
		w.array(5)
		k.Index = uint32(w.max(w.uint(), MaxSegmentReports-1))
		w.salt(&k.Salt)
		k.Received = TimeMS(w.max(w.uint(), math.MaxInt64))
		k.Report = w.report()
		k.Outcome = w.bytes()
		kept = append(kept, k)
	}
	return kept
}

func (w *wire) hashes(limit int) []Hash {
	b := w.bytes()
	const size = len(Hash{})
	if len(b)%size != 0 || len(b) > size*limit {
		w.fail(fmt.Errorf("%d bytes are no list of digests", len(b)))
		return nil
	}
	var list []Hash
	for ; len(b) > 0; b = b[size:] {
		list = append(list, Hash(b[:size]))
	}
	return list
}

// checkKept checks what can be checked without a hash.
func (t *ThinSegment) checkKept() error {
	last := -1
	for i := range t.Kept {
		k := &t.Kept[i]
		if int(k.Index) <= last || k.Index >= t.Header.Count {
			return fmt.Errorf("thin segment: report %d is out of order, or not among %d", k.Index, t.Header.Count)
		}
		if _, err := DecodeOutcome(k.Outcome); err != nil {
			return fmt.Errorf("thin segment: report %d: %w", k.Index, err)
		}
		last = int(k.Index)
	}
	if len(t.Kept) == 0 {
		if len(t.ReportNodes)+len(t.OutcomeNodes) > 0 {
			return errors.New("thin segment: nodes of a tree of which nothing is kept")
		}
		return nil
	}
	if len(t.ReportNodes) != len(t.OutcomeNodes) {
		return errors.New("thin segment: its two trees have different shapes")
	}
	return nil
}

// Check checks that the kept reports and the hashes of the others make the header's root.
func (t *ThinSegment) Check() error {
	if len(t.Kept) == 0 {
		return nil
	}
	root, err := t.reports().root()
	if err == nil && root != t.Header.Root {
		err = errors.New("the reports are not those the gateway signed")
	}
	if err != nil {
		return fmt.Errorf("thin segment: %w", err)
	}
	return nil
}

// OutcomesRoot returns the root of the outcomes' tree, zero where nothing is kept.
func (t *ThinSegment) OutcomesRoot() Hash {
	if len(t.Kept) == 0 {
		return Hash{}
	}
	root, err := t.outcomes().root()
	if err != nil {
		return Hash{} // check compared the shapes
	}
	return root
}

// BodyDigest is the segment's in the log.
func (t *ThinSegment) BodyDigest() Hash { return BodyDigest(t.Salt, t.Verdicts, t.Signed) }

// ResultDigest is the segment's in the log; ok is false where nothing is kept to show it by.
func (t *ThinSegment) ResultDigest() (digest Hash, ok bool) {
	if len(t.Kept) == 0 {
		return Hash{}, false
	}
	return ResultDigest(t.OutcomesRoot(), t.Writes), true
}

// Find returns report i of the segment, or false if it is gone.
func (t *ThinSegment) Find(i uint32) (k *KeptReport, ok bool) {
	at, ok := slices.BinarySearchFunc(t.Kept, i, func(k KeptReport, i uint32) int { return int(k.Index) - int(i) })
	if !ok {
		return nil, false
	}
	return &t.Kept[at], true
}

// Path returns the hashes that lead from kept report i to the header's root, see [CheckMerklePath].
func (t *ThinSegment) Path(i uint32) []Hash { return t.reports().path(int64(i)) }

func (t *ThinSegment) reports() *thinTree {
	if t.reportTree == nil {
		t.reportTree = t.tree(t.ReportNodes, func(k *KeptReport) Hash { return k.LeafHash() })
	}
	return t.reportTree
}

func (t *ThinSegment) outcomes() *thinTree {
	if t.outcomeTree == nil {
		t.outcomeTree = t.tree(t.OutcomeNodes, func(k *KeptReport) Hash { return OutcomeHash(k.Salt, k.Outcome) })
	}
	return t.outcomeTree
}

func (t *ThinSegment) tree(nodes []Hash, leaf func(*KeptReport) Hash) *thinTree {
	tree := &thinTree{n: int64(t.Header.Count), nodes: nodes, at: make([]int64, len(t.Kept)), leaves: make([]Hash, len(t.Kept))}
	for i := range t.Kept {
		tree.at[i], tree.leaves[i] = int64(t.Kept[i].Index), leaf(&t.Kept[i])
	}
	return tree
}

// A thinTree is a Merkle tree of n leaves in the shape of RFC 6962 of which only some leaves are known. For the rest stand the
// roots of the largest subtrees that have none of these, from left to right. Of 6 leaves with 1 and 4 known:
//
//	       ●              nodes = [0, 2…3, 5]
//	   ●       ●
//	 ●   2…3  4 5
//	0 1
type thinTree struct {
	n      int64
	at     []int64 // places of the known leaves, ascending
	leaves []Hash
	nodes  []Hash
}

var errThinTree = errors.New("the hashes do not make a tree")

// fold works the tree out from left to right and from the leaves up: leaf gives the value of known leaf number i, node that of
// a subtree without one, and join that of n leaves from a place on.
func fold[T any](t *thinTree, leaf func(i int) T, node func(Hash) T, join func(from, n int64, left, right T) T) (T, error) {
	at, nodes := t.at, t.nodes
	var err error
	var walk func(from, n int64) T
	walk = func(from, n int64) (v T) {
		switch {
		case (len(at) == 0 || at[0] >= from+n) && len(nodes) == 0:
			err = errThinTree
			return v
		case len(at) == 0 || at[0] >= from+n:
			v, nodes = node(nodes[0]), nodes[1:]
			return v
		case n == 1:
			v, at = leaf(len(t.at)-len(at)), at[1:]
			return v
		}
		k := split(n)
		left := walk(from, k)
		return join(from, n, left, walk(from+k, n-k))
	}
	root := walk(0, t.n)
	if len(nodes) > 0 {
		err = errThinTree
	}
	return root, err
}

func (t *thinTree) leaf(i int) Hash { return t.leaves[i] }

func same(h Hash) Hash { return h }

func (t *thinTree) root() (Hash, error) {
	return fold(t, t.leaf, same, func(_, _ int64, left, right Hash) Hash { return nodeHash(left, right) })
}

// path returns the hashes that lead from the known leaf at place i to the root, the nearest first.
func (t *thinTree) path(i int64) (path []Hash) {
	fold(t, t.leaf, same, func(from, n int64, left, right Hash) Hash {
		switch k := split(n); {
		case i < from || i >= from+n:
		case i < from+k:
			path = append(path, right)
		default:
			path = append(path, left)
		}
		return nodeHash(left, right)
	})
	return path
}

// thin returns the nodes that are left when of the known leaves only those stay that are marked.
func (t *thinTree) thin(stay []bool) []Hash {
	type part struct {
		root  Hash
		known bool
		nodes []Hash
	}
	all, _ := fold(t, func(i int) part {
		if stay[i] {
			return part{t.leaves[i], true, nil}
		}
		return part{t.leaves[i], false, t.leaves[i : i+1]}
	}, func(h Hash) part {
		return part{h, false, []Hash{h}}
	}, func(_, _ int64, left, right part) part {
		root := nodeHash(left.root, right.root)
		if !left.known && !right.known {
			return part{root, false, []Hash{root}}
		}
		return part{root, true, append(left.nodes[:len(left.nodes):len(left.nodes)], right.nodes...)}
	})
	return all.nodes
}
