package lamppost

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lamppost/lamppost/sig"
)

// A SegmentHeader is what a gateway signs over many reports: who, which number, when, how many, and their Merkle root.
type SegmentHeader struct {
	Gateway  MemberID // the signature's key id
	Seq      Seq
	First    TimeMS // receive times, as the gateway's clock gives them
	Last     TimeMS
	Count    uint32 // reports
	Readings uint32
	Root     Hash // over SegmentItem.LeafHash of every report in order
	// Aggregate is the s of a half-aggregate, 32 bytes; then the reports' signatures are their R alone. Nil: they are whole.
	Aggregate []byte
}

// A SegmentItem is one report in a segment: its bytes as the device sent them, when the gateway received it, and the
// salt that keeps its leaf hash from being guessed. Salt and report are erased together.
type SegmentItem struct {
	Salt     [SaltBytes]byte
	Received TimeMS
	Report   []byte
}

// Domain separation: the first byte of everything that is hashed, beside the node hash 0x01 of RFC 6962.
const (
	domainReport  = 0x00
	domainOutcome = 0x10
	domainBody    = 0x11
	domainWrites  = 0x12
	domainResult  = 0x13
	domainBlock   = 0x14
	domainMembers = 0x15
	domainSeed    = 0x16
	domainRecent  = 0x17
	domainVerdict = 0x18
	domainKey     = 0x19

	domainSnapshot = 0x1a
)

// LeafHash is H(0x00 ‖ salt ‖ received ‖ report with its signature), received as eight bytes big-endian.
func (it *SegmentItem) LeafHash() Hash {
	var stack [1024]byte
	b := append(stack[:0], domainReport)
	b = append(b, it.Salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(it.Received))
	return sha256.Sum256(append(b, it.Report...))
}

// appendPayload writes the signed part: CBOR [1, epoch, n, first, last, count, readings, root], or [2, …, root, aggregate].
func (h *SegmentHeader) appendPayload(b []byte) []byte {
	if h.Aggregate == nil {
		b = append(b, majArray|8, segmentVersion)
	} else {
		b = append(b, majArray|9, aggregateVersion)
	}
	for _, n := range [...]uint64{uint64(h.Seq.Epoch), h.Seq.N, uint64(h.First), uint64(h.Last), uint64(h.Count), uint64(h.Readings)} {
		b = appendHead(b, majUint, n)
	}
	b = appendBytes(b, h.Root[:])
	if h.Aggregate != nil {
		b = appendBytes(b, h.Aggregate)
	}
	return b
}

const (
	segmentVersion   = 1
	aggregateVersion = 2 // of a segment whose signatures are half-aggregated

	// AggregateBytes is the length of what is left of a signature in such a segment, and of the s that stands for the rest.
	AggregateBytes = 32
)

// ParseSegmentHeader reads the payload of a signed segment header.
func ParseSegmentHeader(s Signed) (SegmentHeader, error) {
	h := SegmentHeader{Gateway: s.Key}
	w := wire{b: s.Payload}
	fields := w.arrayLen()
	if fields == 9 {
		w.constInt(aggregateVersion)
	} else {
		w.exactly(fields, 8, "fields of a segment header")
		w.constInt(segmentVersion)
	}
	h.Seq.Epoch = w.uint32()
	h.Seq.N = w.max(w.uint(), math.MaxInt64)
	h.First = TimeMS(w.max(w.uint(), math.MaxInt64))
	h.Last = TimeMS(w.max(w.uint(), math.MaxInt64))
	h.Count = uint32(w.max(w.uint(), MaxSegmentReports))
	h.Readings = uint32(w.max(w.uint(), MaxSegmentReports*MaxReadings))
	w.hash(&h.Root)
	if fields == 9 {
		h.Aggregate = w.bytes()
		w.exactly(uint64(len(h.Aggregate)), AggregateBytes, "bytes of an aggregate")
	}
	if h.Seq.N == 0 || h.Count == 0 || h.Last < h.First {
		w.fail(fmt.Errorf("an empty or unnumbered segment, or one that ends before it begins"))
	}
	return h, w.end("segment header")
}

func (w *wire) hash(h *Hash) {
	b := w.bytes()
	if w.err == nil && len(b) != len(h) {
		w.fail(fmt.Errorf("a digest has %d bytes, not %d", len(h), len(b)))
		return
	}
	copy(h[:], b)
}

// NewSegment signs a segment over items and returns it as a transaction ready to propose. readings is their number in
// all reports that can be read. The items are not copied.
func NewSegment(network string, seq Seq, readings int, items []SegmentItem, id MemberID, key *sig.PrivateKey, seed Seed) (*Transaction, error) {
	return NewAggregate(network, seq, readings, items, nil, id, key, seed)
}

// NewAggregate is NewSegment with reports that were halved, and the s of their half-aggregate, nil if there are none.
func NewAggregate(network string, seq Seq, readings int, items []SegmentItem, s []byte, id MemberID, key *sig.PrivateKey, seed Seed) (*Transaction, error) {
	h := SegmentHeader{Gateway: id, Seq: seq, Readings: uint32(readings), Aggregate: s}
	if len(items) == 0 || len(items) > MaxSegmentReports {
		return nil, fmt.Errorf("a segment has 1 to %d reports, not %d", MaxSegmentReports, len(items))
	}
	h.Count, h.First = uint32(len(items)), items[0].Received
	leaves := make([]Hash, len(items))
	for i := range items {
		leaves[i] = items[i].LeafHash()
		h.First, h.Last = min(h.First, items[i].Received), max(h.Last, items[i].Received)
	}
	h.Root = MerkleRoot(leaves)
	signed, err := SignBody(network, PurposeSegment, h.Gateway, key, h.appendPayload(nil))
	if err != nil {
		return nil, err
	}
	tx := &Transaction{Type: TxSegment, Seed: seed, SignedRaw: signed, Items: items, leaves: leaves}
	if tx.Signed, err = ParseSigned(signed); err != nil {
		return nil, err
	}
	return tx, tx.parseSegment()
}

func appendItems(b []byte, items []SegmentItem) []byte {
	b = appendHead(b, majArray, uint64(len(items)))
	for i := range items {
		it := &items[i]
		b = appendBytes(append(b, majArray|3), it.Salt[:])
		b = appendHead(b, majUint, uint64(it.Received))
		b = appendBytes(b, it.Report)
	}
	return b
}

// minItemBytes is the shortest encoded item: array head, salt, a small time, an empty report.
const minItemBytes = 1 + 1 + SaltBytes + 1 + 1

func decodeItems(w *wire) []SegmentItem {
	n := w.max(w.arrayLen(), MaxSegmentReports)
	if n*minItemBytes > uint64(len(w.b)) { // refuse before allocating
		w.fail(errShort)
		return nil
	}
	items := make([]SegmentItem, 0, n)
	for ; n > 0 && w.err == nil; n-- {
		var it SegmentItem
		w.array(3)
		w.salt(&it.Salt)
		it.Received = TimeMS(w.max(w.uint(), math.MaxInt64))
		it.Report = w.bytes()
		w.max(uint64(len(it.Report)), MaxReportBytes)
		items = append(items, it)
	}
	return items
}

func (w *wire) salt(s *[SaltBytes]byte) {
	b := w.bytes()
	if w.err == nil && len(b) != SaltBytes {
		w.fail(fmt.Errorf("a salt has %d bytes, not %d", SaltBytes, len(b)))
		return
	}
	copy(s[:], b)
}
