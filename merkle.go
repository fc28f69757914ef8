package lamppost

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The trees inside a segment have the shape of RFC 6962 §2.1 over leaf hashes that are already salted. The log itself
// is package tilelog's; both are checked with the same arithmetic.

func nodeHash(left, right Hash) Hash { return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right))) }

// MerkleRoot returns the root over leaf hashes; of none it is the hash of nothing.
func MerkleRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(MerkleRoot(leaves[:k]), MerkleRoot(leaves[k:]))
}

// split returns the largest power of two below n.
func split[N int | int64](n N) N {
	k := N(1)
	for k<<1 < n {
		k <<= 1
	}
	return k
}

// A Span is the part of a tree with n leaves from a place on.
type Span struct{ From, N int64 }

// Spans returns the largest subtrees of a tree of n leaves in which none of those at some places stands, from left to right.
// The places ascend.
func Spans(n int64, at []int64) (spans []Span) {
	var walk func(s Span)
	walk = func(s Span) {
		switch {
		case len(at) == 0 || at[0] >= s.From+s.N:
			spans = append(spans, s)
		case s.N == 1:
			at = at[1:]
		default:
			k := split(s.N)
			walk(Span{s.From, k})
			walk(Span{s.From + k, s.N - k})
		}
	}
	if n > 0 {
		walk(Span{0, n})
	}
	return spans
}

// RootOver returns the root of a tree of n leaves, of which those at some places are known, and of the others the roots of
// [Spans]. The places ascend and are below n.
func RootOver(n int64, at []int64, leaves, spans []Hash) (root Hash, err error) {
	for i := range at {
		if at[i] < 0 || at[i] >= n || i > 0 && at[i] <= at[i-1] {
			return root, fmt.Errorf("leaf %d is out of order, or not among %d", at[i], n)
		}
	}
	if n < 1 || len(at) != len(leaves) {
		return root, errThinTree
	}
	t := thinTree{n: n, at: at, leaves: leaves, nodes: spans}
	return t.root()
}

// MerklePath returns the hashes that lead from leaf i to the root, the nearest first.
func MerklePath(leaves []Hash, i int) []Hash {
	if len(leaves) <= 1 {
		return nil
	}
	k := split(len(leaves))
	if i < k {
		return append(MerklePath(leaves[:k], i), MerkleRoot(leaves[k:]))
	}
	return append(MerklePath(leaves[k:], i-k), MerkleRoot(leaves[:k]))
}

// CheckMerklePath reports whether leaf stands at place i of n under root.
func CheckMerklePath(leaf Hash, i, n int, path []Hash, root Hash) error {
	p := make(tlog.RecordProof, len(path))
	for j := range path {
		p[j] = tlog.Hash(path[j])
	}
	if i < 0 || i >= n {
		return fmt.Errorf("place %d is not among %d", i, n)
	}
	return tlog.CheckRecord(p, int64(n), tlog.Hash(root), int64(i), tlog.Hash(leaf))
}
