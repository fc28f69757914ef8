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
func split(n int) int {
	k := 1
	for k<<1 < n {
		k <<= 1
	}
	return k
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
