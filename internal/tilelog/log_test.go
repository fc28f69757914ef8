package tilelog_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// naiveRoot is RFC 6962 §2.1 word for word, over all leaves, without anything stored.
func naiveRoot(leaves [][]byte) tlog.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func leafText(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// appendBlock appends leaves as one block and commits it.
func appendBlock(t testing.TB, s kv.Store, l *tilelog.Log, leaves ...[]byte) {
	t.Helper()
	var b kv.Batch
	if err := l.Append(&b, leaves...); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	l.Committed()
}

// newLog returns a store with a log of n leaves, and the leaves.
func newLog(t testing.TB, n int) (*kv.Mem, [][]byte) {
	t.Helper()
	s := kv.NewMem()
	l, err := tilelog.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = leafText(i)
	}
	appendBlock(t, s, l, leaves...)
	return s, leaves
}

// Goal: whatever the blocks, and however often some are discarded or the log is opened again, size, root and every leaf
// are those of the naive tree, before and after the block is durable.
func TestAppendAgainstNaiveTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := kv.NewMem()
		l := open(t, s)
		var leaves [][]byte
		for range rapid.IntRange(1, 12).Draw(t, "blocks") {
			next := leaves
			var b kv.Batch
			for range rapid.IntRange(1, 2).Draw(t, "calls") {
				part := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 0, 9).Draw(t, "leaves")
				if err := l.Append(&b, part...); err != nil {
					t.Fatal(err)
				}
				next = append(next[:len(next):len(next)], part...)
			}
			wantLog(t, "staged", l, next)
			if rapid.Bool().Draw(t, "discard") {
				l.Discard()
				wantLog(t, "discarded", l, leaves)
				continue
			}
			if err := s.Apply(&b); err != nil {
				t.Fatal(err)
			}
			l.Committed()
			leaves = next
			if rapid.Bool().Draw(t, "reopen") {
				l = open(t, s)
			}
			wantLog(t, "committed", l, leaves)
		}
		for i, want := range leaves {
			if got, err := tilelog.Leaf(s, int64(i)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("Leaf(%d) = %q, %v; want %q", i, got, err, want)
			}
		}
	})
}

func open(t rapid.TB, r kv.Reader) *tilelog.Log {
	l, err := tilelog.Open(r)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return l
}

func wantLog(t rapid.TB, when string, l *tilelog.Log, leaves [][]byte) {
	if l.Size() != int64(len(leaves)) || l.Root() != naiveRoot(leaves) {
		t.Fatalf("%s: size %d, root %v; want %d, %v", when, l.Size(), l.Root(), len(leaves), naiveRoot(leaves))
	}
}

// Stored hashes are in tlog's numbering, value for value, so every function of that package works on them.
func TestStoredHashesAreThoseOfTlog(t *testing.T) {
	t.Parallel()
	const n = 600
	s, leaves := newLog(t, n)
	var want []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var list []tlog.Hash
		for _, i := range indexes {
			list = append(list, want[i])
		}
		return list, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashes(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, more...)
	}
	var got []tlog.Hash
	err := s.Scan([]byte("th"), []byte("ti"), func(_, val []byte) error {
		got = append(got, tlog.Hash(val))
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d stored hashes, %v; want %d", len(got), err, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("stored hash %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// Every leaf of every small tree is proved, and so is every pair of sizes; a proof fits no other leaf.
func TestProofs(t *testing.T) {
	t.Parallel()
	const n = 40
	s, leaves := newLog(t, n)
	for size := int64(1); size <= n; size++ {
		root := naiveRoot(leaves[:size])
		if got, err := tilelog.RootAt(s, size); err != nil || got != root {
			t.Fatalf("RootAt(%d) = %v, %v; want %v", size, got, err, root)
		}
		for i := range size {
			p, err := tilelog.ProveRecord(s, size, i)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, size, root, i, tlog.RecordHash(leaves[i])); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, size, err)
			}
			if err := tlog.CheckRecord(p, size, root, i, tlog.RecordHash([]byte("other"))); err == nil {
				t.Fatalf("leaf %d of %d: the proof fits another leaf", i, size)
			}
		}
		for old := int64(1); old <= size; old++ {
			p, err := tilelog.ProveConsistency(s, old, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(p, size, root, old, naiveRoot(leaves[:old])); err != nil {
				t.Fatalf("%d leaves as the beginning of %d: %v", old, size, err)
			}
		}
	}
}

// A pool reproduces the proof of each of its leaves, holds nothing twice and nothing it does not need.
func TestNodes(t *testing.T) {
	t.Parallel()
	s, leaves := newLog(t, 700)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 700).Draw(t, "size")
		indexes := rapid.SliceOfN(rapid.Int64Range(0, size-1), 1, 30).Draw(t, "indexes")
		nodes, err := tilelog.Nodes(s, size, indexes)
		if err != nil {
			t.Fatal(err)
		}
		pool, used := map[int64]tlog.Hash{}, map[int64]bool{}
		for i, n := range nodes {
			if i > 0 && nodes[i-1].Index >= n.Index {
				t.Fatalf("node %d stands after node %d", n.Index, nodes[i-1].Index)
			}
			pool[n.Index] = n.Hash
		}
		reader := tlog.HashReaderFunc(func(need []int64) (list []tlog.Hash, err error) {
			for _, i := range need {
				h, ok := pool[i]
				if !ok {
					return nil, fmt.Errorf("hash %d is not in the pool", i)
				}
				used[i] = true
				list = append(list, h)
			}
			return list, nil
		})
		for _, i := range indexes {
			p, err := tlog.ProveRecord(size, i, reader)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, size, naiveRoot(leaves[:size]), i, tlog.RecordHash(leaves[i])); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, size, err)
			}
		}
		if len(used) != len(nodes) {
			t.Fatalf("%d nodes, of which %d are needed", len(nodes), len(used))
		}
	})
}

// Questions about what is not there are answered with an error that says so, not with a proof or a panic.
func TestProofsRefuse(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t, 5)
	for name, call := range map[string]func() error{
		"size beyond the log":     func() error { _, err := tilelog.ProveRecord(s, 6, 0); return err },
		"leaf beyond the size":    func() error { _, err := tilelog.ProveRecord(s, 4, 4); return err },
		"negative leaf":           func() error { _, err := tilelog.ProveRecord(s, 4, -1); return err },
		"negative size":           func() error { _, err := tilelog.RootAt(s, -1); return err },
		"old beyond new":          func() error { _, err := tilelog.ProveConsistency(s, 5, 4); return err },
		"from nothing":            func() error { _, err := tilelog.ProveConsistency(s, 0, 4); return err },
		"new beyond the log":      func() error { _, err := tilelog.ProveConsistency(s, 1, 6); return err },
		"one of many leaves":      func() error { _, err := tilelog.Nodes(s, 5, []int64{0, 5}); return err },
		"too many leaves":         func() error { _, err := tilelog.Nodes(s, 5, make([]int64, tilelog.MaxProofLeaves+1)); return err },
		"no such leaf to be read": func() error { _, err := tilelog.Leaf(s, 5); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := tilelog.Leaf(s, 5); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("Leaf(5) = %v, want kv.ErrNotFound inside", err)
	}
}

// A leaf too long for an entry bundle is refused before anything is staged, in the whole call.
func TestAppendTooLong(t *testing.T) {
	t.Parallel()
	l := open(t, kv.NewMem())
	var b kv.Batch
	err := l.Append(&b, make([]byte, tilelog.MaxLeafBytes), make([]byte, tilelog.MaxLeafBytes+1))
	if err == nil || b.Len() != 0 || l.Size() != 0 {
		t.Errorf("Append = %v, %d changes staged, size %d; want an error and nothing", err, b.Len(), l.Size())
	}
	if err := l.Append(&b, make([]byte, tilelog.MaxLeafBytes)); err != nil || l.Size() != 1 {
		t.Errorf("Append of the longest leaf = %v, size %d", err, l.Size())
	}
}

// A store that lost a part of the log is found out when it is opened, not when a wrong root has been signed.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	for key, val := range map[string]string{
		"tm/size":                            "\x01\x00\x00\x00\x00\x00\x00\x00\x0b", // one leaf more than there is
		"tm/size ":                           "",
		"th\x00\x00\x00\x00\x00\x00\x00\x0e": "short", // the hash over the first 8 of 10 leaves
	} {
		s, _ := newLog(t, 10)
		var b kv.Batch
		b.Set([]byte(strings.TrimRight(key, " ")), []byte(val))
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if l, err := tilelog.Open(s); err == nil {
			t.Errorf("key %q damaged: opened with size %d", key, l.Size())
		}
	}
}

// BenchmarkAppend stages and applies blocks of n leaves of 110 bytes, the length of a leaf of the ledger.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 2, 100} {
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = make([]byte, 110)
		}
		b.Run(fmt.Sprintf("stage/leaves=%d", n), func(b *testing.B) {
			l := open(b, kv.NewMem())
			var batch kv.Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				if err := l.Append(&batch, leaves...); err != nil {
					b.Fatal(err)
				}
				_ = l.Root()
				l.Committed()
			}
		})
		b.Run(fmt.Sprintf("mem/leaves=%d", n), func(b *testing.B) {
			s := kv.NewMem()
			l := open(b, s)
			var batch kv.Batch
			for b.Loop() {
				batch.Reset()
				if err := l.Append(&batch, leaves...); err != nil {
					b.Fatal(err)
				}
				if err := s.Apply(&batch); err != nil {
					b.Fatal(err)
				}
				l.Committed()
			}
		})
	}
}
