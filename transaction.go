package lamppost

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lamppost/lamppost/sig"
)

// A Seed is the secret of a transaction's commitments: 16 random bytes that come with it, from which its salts are
// derived. Whoever holds the log but not the seed cannot test guesses; erasing the seed makes a leaf mute.
type Seed [SaltBytes]byte

// Salt derives one of the transaction's salts.
func (s Seed) Salt(what byte) (salt [SaltBytes]byte) {
	sum := sha256.Sum256(append([]byte{domainSeed, what}, s[:]...))
	copy(salt[:], sum[:])
	return salt
}

// The salts of a transaction.
const (
	SaltBody     = 'b' // hides the signed body
	SaltOutcome  = 'o' // hides the outcome of a transaction that is not a segment
	SaltRun      = 'r' // with its number, hides what a contract did for one
	SaltVerdicts = 'v' // hides the verdicts; never handed out
	SaltWrites   = 'w' // hides the state writes; never handed out
)

// A Transaction is what goes to consensus: something signed by a member or gateway, and for a segment its reports.
type Transaction struct {
	Type      TxType
	Seed      Seed
	SignedRaw []byte // COSE_Sign1: a segment header, or [1, type, expiry height, expiry time, nonce, body]
	Signed    Signed // SignedRaw, read
	Items     []SegmentItem
	Verdicts  []byte // what triage said of the segment; opaque here

	Header SegmentHeader // of a segment
	Order  Order         // of any other type

	leaves []Hash
}

// An Order is the signed content of a transaction that is not a segment.
type Order struct {
	Type         TxType
	ExpiryHeight Height // last block it may stand in; 0: any
	ExpiryTime   TimeMS // the block's time is before it; 0 only in a genesis, which cannot come twice
	Nonce        [SaltBytes]byte
	Body         []byte // deterministic CBOR of the type's body
}

const (
	txVersion    = 1
	orderVersion = 1
)

// NewTx signs an order as a transaction.
func NewTx(network string, o Order, id MemberID, key *sig.PrivateKey, seed Seed) (*Transaction, error) {
	signed, err := SignBody(network, PurposeTx, id, key, o.appendPayload(nil))
	if err != nil {
		return nil, err
	}
	tx := &Transaction{Type: o.Type, Seed: seed, SignedRaw: signed}
	if tx.Signed, err = ParseSigned(signed); err != nil {
		return nil, err
	}
	return tx, tx.parseOrder()
}

func (o *Order) appendPayload(b []byte) []byte {
	b = append(b, majArray|6, orderVersion)
	for _, n := range [...]uint64{uint64(o.Type), uint64(o.ExpiryHeight), uint64(o.ExpiryTime)} {
		b = appendHead(b, majUint, n)
	}
	return appendBytes(appendBytes(b, o.Nonce[:]), o.Body)
}

// ParseOrder reads the payload of a signed transaction that is not a segment.
func ParseOrder(s Signed) (Order, error) {
	var o Order
	w := wire{b: s.Payload}
	w.array(6)
	w.constInt(orderVersion)
	o.Type = TxType(w.max(w.uint(), math.MaxUint8))
	o.ExpiryHeight = Height(w.max(w.uint(), math.MaxInt64))
	o.ExpiryTime = TimeMS(w.max(w.uint(), math.MaxInt64))
	w.salt(&o.Nonce)
	o.Body = w.bytes()
	return o, w.end("transaction")
}

// Append writes the transaction: CBOR [1, type, seed, signed, items, verdicts].
func (t *Transaction) Append(b []byte) []byte {
	b = append(b, majArray|6, txVersion)
	b = appendHead(b, majUint, uint64(t.Type))
	b = appendBytes(b, t.Seed[:])
	b = appendBytes(b, t.SignedRaw)
	return appendBytes(appendItems(b, t.Items), t.Verdicts)
}

// ParseTransaction reads what Append writes. Slices alias raw. It checks form and limits, no signature.
func ParseTransaction(raw []byte) (*Transaction, error) {
	if len(raw) > MaxTxBytes {
		return nil, fmt.Errorf("transaction: %d bytes are over the limit of %d", len(raw), MaxTxBytes)
	}
	t := &Transaction{}
	w := wire{b: raw}
	w.array(6)
	w.constInt(txVersion)
	t.Type = TxType(w.max(w.uint(), math.MaxUint8))
	w.salt((*[SaltBytes]byte)(&t.Seed))
	t.SignedRaw = w.bytes()
	t.Items = decodeItems(&w)
	t.Verdicts = w.bytes()
	if err := w.end("transaction"); err != nil {
		return nil, err
	}
	var err error
	if t.Signed, err = ParseSigned(t.SignedRaw); err != nil {
		return nil, err
	}
	if t.Type == TxSegment {
		return t, t.parseSegment()
	}
	return t, t.parseOrder()
}

// ReadTransaction is ParseTransaction that stands in for one that cannot be read, so that every transaction of a block has a
// leaf: it has type TxUnreadable, and all its bytes for an envelope.
func ReadTransaction(raw []byte) *Transaction {
	t, err := ParseTransaction(raw)
	if err != nil {
		return &Transaction{Type: TxUnreadable, SignedRaw: raw}
	}
	return t
}

func (t *Transaction) parseOrder() (err error) {
	if t.Order, err = ParseOrder(t.Signed); err != nil {
		return err
	}
	if t.Order.Type != t.Type || t.Type == TxBlock || t.Type == TxSegment {
		return fmt.Errorf("transaction: type %d around a signed order of type %d", t.Type, t.Order.Type)
	}
	if len(t.Items)+len(t.Verdicts) > 0 {
		return fmt.Errorf("transaction: reports or verdicts beside an order of type %q", t.Type)
	}
	return nil
}

func (t *Transaction) parseSegment() (err error) {
	if t.Header, err = ParseSegmentHeader(t.Signed); err != nil {
		return err
	}
	if int(t.Header.Count) != len(t.Items) {
		return fmt.Errorf("segment: the header counts %d reports, %d came", t.Header.Count, len(t.Items))
	}
	return nil
}

// Purpose is what the transaction's signature is for.
func (t *Transaction) Purpose() Purpose {
	if t.Type == TxSegment {
		return PurposeSegment
	}
	return PurposeTx
}

// ID names what was signed: the same for every retry, whatever its seed.
func (t *Transaction) ID(network string) TxID { return t.Signed.ID(network, t.Purpose()) }

// Leaves returns the leaf hashes of a segment's reports, computed once.
func (t *Transaction) Leaves() []Hash {
	if t.leaves == nil && len(t.Items) > 0 {
		t.leaves = make([]Hash, len(t.Items))
		for i := range t.Items {
			t.leaves[i] = t.Items[i].LeafHash()
		}
	}
	return t.leaves
}

// BodyDigest is H(0x11 ‖ salt ‖ verdicts digest ‖ signed). For a segment the signed header holds the reports' root.
func (t *Transaction) BodyDigest() Hash {
	return BodyDigest(t.Seed.Salt(SaltBody), t.VerdictsDigest(), t.SignedRaw)
}

// VerdictsDigest is H(0x18 ‖ salt ‖ verdicts), zero where there are none. It hides them from whoever gets a proof of the
// transaction.
func (t *Transaction) VerdictsDigest() Hash {
	if len(t.Verdicts) == 0 {
		return Hash{}
	}
	salt := t.Seed.Salt(SaltVerdicts)
	return sha256.Sum256(append(append([]byte{domainVerdict}, salt[:]...), t.Verdicts...))
}

// BodyDigest commits to a transaction's signed body.
func BodyDigest(salt [SaltBytes]byte, verdicts Hash, signed []byte) Hash {
	b := make([]byte, 0, 1+SaltBytes+32+len(signed))
	b = append(append(append(append(b, domainBody), salt[:]...), verdicts[:]...), signed...)
	return sha256.Sum256(b)
}

// RunSalt is the salt of run i of those that a transaction led to, from 1: each can be shown without the others.
func (s Seed) RunSalt(i int) (salt [SaltBytes]byte) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte{domainSeed, SaltRun}, s[:]...), uint32(i)))
	copy(salt[:], sum[:])
	return salt
}

// OutcomeSalt is the salt of outcome i: the report's own in a segment, a derived one otherwise.
func (t *Transaction) OutcomeSalt(i int) [SaltBytes]byte {
	switch {
	case t.Type == TxSegment:
		return t.Items[i].Salt
	case i > 0:
		return t.Seed.RunSalt(i)
	}
	return t.Seed.Salt(SaltOutcome)
}

// OutcomeHash is a leaf of the tree of outcomes: H(0x10 ‖ salt ‖ outcome).
func OutcomeHash(salt [SaltBytes]byte, outcome []byte) Hash {
	var stack [128]byte
	return sha256.Sum256(append(append(append(stack[:0], domainOutcome), salt[:]...), outcome...))
}

// WritesDigest commits to the key/value pairs a transaction wrote, as the ledger encodes them.
func WritesDigest(salt [SaltBytes]byte, writes []byte) Hash {
	h := sha256.New()
	h.Write([]byte{domainWrites})
	h.Write(salt[:])
	h.Write(writes)
	return Hash(h.Sum(nil))
}

// ResultDigest joins outcomes and writes: H(0x13 ‖ root of outcomes ‖ writes digest).
func ResultDigest(outcomes, writes Hash) Hash {
	return sha256.Sum256(append(append([]byte{domainResult}, outcomes[:]...), writes[:]...))
}
