package tilelog

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost/internal/kv"
	"golang.org/x/mod/sumdb/tlog"
)

// The functions here read the store as it is, or a snapshot of it. What they read is never changed once it is there, so
// a proof for a size that was once durable can be made at any time, beside a replica that appends.

// RootAt returns the root of the first size leaves.
func RootAt(r kv.Reader, size int64) (tlog.Hash, error) {
	if err := checkSize(r, size); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(size, hashes(r))
}

// Leaf returns a leaf as it was appended.
func Leaf(r kv.Reader, index int64) ([]byte, error) {
	key := logKey(leafKind, index)
	leaf, err := r.Get(key[:])
	if err != nil {
		return nil, fmt.Errorf("reading leaf %d of the log: %w", index, err)
	}
	return leaf, nil
}

// ProveRecord returns the proof that leaf index is in the tree of the first size leaves (RFC 6962 §2.1.1), to be checked
// by tlog.CheckRecord.
func ProveRecord(r kv.Reader, size, index int64) (tlog.RecordProof, error) {
	if err := checkIndex(r, size, index); err != nil {
		return nil, err
	}
	return tlog.ProveRecord(size, index, hashes(r))
}

// ProveConsistency returns the proof that the tree of the first oldSize leaves is the beginning of that of newSize
// leaves (RFC 6962 §2.1.2), to be checked by tlog.CheckTree; 1 ≤ oldSize ≤ newSize. Nothing needs a proof to be the
// beginning of everything, so there is none for oldSize 0.
func ProveConsistency(r kv.Reader, oldSize, newSize int64) (tlog.TreeProof, error) {
	if err := checkSize(r, newSize); err != nil {
		return nil, err
	}
	if oldSize < 1 || oldSize > newSize {
		return nil, fmt.Errorf("proving that %d leaves are the beginning of %d: not possible", oldSize, newSize)
	}
	return tlog.ProveTree(newSize, oldSize, hashes(r))
}

// A Node is a hash of the tree with its place, numbered as by tlog.StoredHashIndex.
type Node struct {
	Index int64
	Hash  tlog.Hash
}

// Nodes returns the pool of hashes that together prove all the leaves at indexes to be in the tree of the first size
// leaves: each hash once, in ascending order of index. Leaves near each other share most of it, so a statement with many
// lines is proved by little more than one of its lines.
//
// Checking needs nothing of this package: tlog.ProveRecord(size, index, pool), with pool a tlog.HashReader that looks
// up these nodes, gives back the proof of each single leaf, and tlog.CheckRecord checks that. The leaves' own hashes are
// not in the pool unless another leaf's proof needs them; whoever checks has the leaves.
func Nodes(r kv.Reader, size int64, indexes []int64) ([]Node, error) {
	if len(indexes) > MaxProofLeaves {
		return nil, fmt.Errorf("proving %d leaves: more than %d", len(indexes), MaxProofLeaves)
	}
	pool := map[int64]tlog.Hash{}
	collect := tlog.HashReaderFunc(func(need []int64) ([]tlog.Hash, error) {
		got := make([]tlog.Hash, len(need))
		for i, index := range need {
			h, ok := pool[index]
			if !ok {
				var err error
				if h, err = readHash(r, index); err != nil {
					return nil, err
				}
				pool[index] = h
			}
			got[i] = h
		}
		return got, nil
	})
	for _, index := range indexes {
		if err := checkIndex(r, size, index); err != nil {
			return nil, err
		}
		if _, err := tlog.ProveRecord(size, index, collect); err != nil {
			return nil, err
		}
	}
	nodes := make([]Node, 0, len(pool))
	for index, h := range pool {
		nodes = append(nodes, Node{index, h})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Index, b.Index) })
	return nodes, nil
}

func checkSize(r kv.Reader, size int64) error {
	stored, err := storedSize(r)
	if err != nil {
		return err
	}
	if size < 0 || size > stored {
		return fmt.Errorf("the log has %d leaves: no tree of size %d", stored, size)
	}
	return nil
}

func checkIndex(r kv.Reader, size, index int64) error {
	if err := checkSize(r, size); err != nil {
		return err
	}
	if index < 0 || index >= size {
		return fmt.Errorf("leaf %d is not among the first %d leaves of the log", index, size)
	}
	return nil
}

// hashes reads stored hashes for package tlog.
func hashes(r kv.Reader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			var err error
			if list[i], err = readHash(r, index); err != nil {
				return nil, err
			}
		}
		return list, nil
	})
}
