package lamppost

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// A Block is an ordered list of transactions with one agreed time. Engines carry it in their own form; what is hashed
// is only what every engine agrees on.
type Block struct {
	Height   Height
	Time     TimeMS
	Txs      [][]byte
	Evidence []Evidence

	// What follows is not hashed: engines differ in it.
	Proposer MemberID
	Cursor   Cursor
}

// A Cursor is an engine's own position: a raft index, a comet height. It is stored with the state it belongs to.
type Cursor uint64

// Evidence says that an engine caught a member misbehaving at a height, in a form all engines share.
type Evidence struct {
	Member MemberID `cbor:"1,keyasint" json:"member"`
	Height Height   `cbor:"2,keyasint" json:"height"` // as the engine counts, see Cursor
	Kind   uint8    `cbor:"3,keyasint" json:"kind"`   // 1: signed two blocks of one height; 2: a false chain for those outside
}

// Empty reports whether a block changes neither state nor log.
func (b *Block) Empty() bool { return len(b.Txs) == 0 && len(b.Evidence) == 0 }

// A Result is what applying a block gave: one outcome per report of a segment; one for any other transaction, and after
// it one for each [Run] that a bill in it led to.
type Result struct {
	Height   Height
	IDs      []TxID      // by transaction
	Outcomes [][]Outcome // by transaction
	Size     int64       // of the log after the block
	Root     Hash        // of the log after the block
	Members  []Member    // the members after the block, where it changed them; otherwise nil
}

// A Leaf is what the log keeps of a transaction: 78 bytes that commit to its body and result and say nothing of them.
type Leaf struct {
	Type   TxType
	Height Height
	Index  uint32 // within the block
	Body   Hash
	Result Hash
}

// A BlockLeaf is the last leaf of every block that is not empty: 86 bytes.
type BlockLeaf struct {
	Height  Height
	Index   uint32 // number of transactions
	Time    TimeMS
	Block   Hash // HashBlock
	Members Hash // HashMembers after the block
}

// Sizes of encoded leaves.
const (
	LeafBytes      = 1 + 1 + 8 + 4 + 32 + 32
	BlockLeafBytes = LeafBytes + 8

	leafVersion = 1
)

// Append writes version, type, height, index, body digest, result digest, integers big-endian.
func (l *Leaf) Append(b []byte) []byte {
	b = append(b, leafVersion, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Height))
	b = binary.BigEndian.AppendUint32(b, l.Index)
	return append(append(b, l.Body[:]...), l.Result[:]...)
}

// ParseLeaf reads a transaction's leaf.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) != LeafBytes || b[0] != leafVersion || b[1] == byte(TxBlock) {
		return Leaf{}, fmt.Errorf("%d bytes are not a transaction's leaf of version %d", len(b), leafVersion)
	}
	l := Leaf{Type: TxType(b[1]), Height: Height(binary.BigEndian.Uint64(b[2:])), Index: binary.BigEndian.Uint32(b[10:])}
	copy(l.Body[:], b[14:])
	copy(l.Result[:], b[46:])
	return l, nil
}

// Append writes version, type 0, height, index, time, block hash, members hash.
func (l *BlockLeaf) Append(b []byte) []byte {
	b = append(b, leafVersion, byte(TxBlock))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Height))
	b = binary.BigEndian.AppendUint32(b, l.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Time))
	return append(append(b, l.Block[:]...), l.Members[:]...)
}

// ParseBlockLeaf reads a block's leaf.
func ParseBlockLeaf(b []byte) (BlockLeaf, error) {
	if len(b) != BlockLeafBytes || b[0] != leafVersion || b[1] != byte(TxBlock) {
		return BlockLeaf{}, fmt.Errorf("%d bytes are not a block's leaf of version %d", len(b), leafVersion)
	}
	l := BlockLeaf{Height: Height(binary.BigEndian.Uint64(b[2:])), Index: binary.BigEndian.Uint32(b[10:]),
		Time: TimeMS(binary.BigEndian.Uint64(b[14:]))}
	copy(l.Block[:], b[22:])
	copy(l.Members[:], b[54:])
	return l, nil
}

// HashBlock hashes what every engine agrees on: height, time, the ids of the transactions in order, and the evidence.
func HashBlock(h Height, t TimeMS, ids []TxID, evidence []Evidence) Hash {
	b := make([]byte, 0, 21+32*len(ids))
	b = binary.BigEndian.AppendUint64(append(b, domainBlock), uint64(h))
	b = binary.BigEndian.AppendUint64(b, uint64(t))
	b = binary.BigEndian.AppendUint32(b, uint32(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return sha256.Sum256(append(b, Marshal(evidence)...))
}

// HashMembers hashes the members in their order.
func HashMembers(members []Member) Hash {
	return sha256.Sum256(append([]byte{domainMembers}, Marshal(members)...))
}

// RecentID is what the sequence rule keeps of a report's id: its salted hash, cut to 16 bytes.
func RecentID(deviceSalt []byte, id ReportID) (short [16]byte) {
	var stack [64]byte
	sum := sha256.Sum256(append(append(append(stack[:0], domainRecent), deviceSalt...), id[:]...))
	copy(short[:], sum[:])
	return short
}
