package tilelog_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
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

// publish publishes all of s in memory and returns the tree.
func publish(t testing.TB, s kv.Reader) (mapStorage, *tilelog.Tree) {
	t.Helper()
	files := mapStorage{}
	if _, err := newPublisher(t, files).Publish(s); err != nil {
		t.Fatal(err)
	}
	l := open(t, s)
	return files, tilelog.NewTree(files, l.Size(), l.Root())
}

// Every leaf of every small tree is read and proved, and so is every pair of sizes; a proof fits no other leaf.
func TestProofs(t *testing.T) {
	t.Parallel()
	const n = 40
	for size := int64(1); size <= n; size++ {
		s, leaves := newLog(t, int(size))
		_, tree := publish(t, s)
		root := naiveRoot(leaves)
		for i := range size {
			if got, err := tree.Leaf(i); err != nil || !bytes.Equal(got, leaves[i]) {
				t.Fatalf("Leaf(%d) of %d = %q, %v; want %q", i, size, got, err, leaves[i])
			}
			p, err := tree.ProveRecord(i)
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
		for old := int64(0); old <= size; old++ {
			if got, err := tree.RootAt(old); err != nil || got != naiveRoot(leaves[:old]) {
				t.Fatalf("RootAt(%d) = %v, %v; want %v", old, got, err, naiveRoot(leaves[:old]))
			}
			if old == 0 {
				continue
			}
			p, err := tree.ProveConsistency(old)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(p, size, root, old, naiveRoot(leaves[:old])); err != nil {
				t.Fatalf("%d leaves as the beginning of %d: %v", old, size, err)
			}
		}
	}
}

// A tree reads on after more was published, and where partial tiles have given way to complete ones.
func TestTreeOfAnOlderCheckpoint(t *testing.T) {
	t.Parallel()
	s := kv.NewMem()
	l := open(t, s)
	p := newPublisher(t, openDir(t, t.TempDir()))
	var old *tilelog.Tree
	for i := range 700 {
		appendBlock(t, s, l, leafText(i))
		if i == 299 || i == 699 {
			if _, err := p.Publish(s); err != nil {
				t.Fatal(err)
			}
		}
		if i == 299 {
			old = tilelog.NewTree(p.Storage, l.Size(), l.Root())
		}
	}
	for i := range int64(300) {
		if got, err := old.Leaf(i); err != nil || !bytes.Equal(got, leafText(int(i))) {
			t.Fatalf("Leaf(%d) = %q, %v", i, got, err)
		}
	}
}

// The nodes of any leaves make the root with them, and none is spare.
func TestNodes(t *testing.T) {
	t.Parallel()
	type log struct {
		tree   *tilelog.Tree
		leaves [][]byte
	}
	logs := map[int]log{}
	for _, size := range []int{1, 2, 255, 256, 257, 700} {
		s, leaves := newLog(t, size)
		_, tree := publish(t, s)
		logs[size] = log{tree, leaves}
	}
	rapid.Check(t, func(t *rapid.T) {
		l := logs[rapid.SampledFrom([]int{1, 2, 255, 256, 257, 700}).Draw(t, "size")]
		size := l.tree.Size()
		indexes := rapid.SliceOfN(rapid.Int64Range(0, size-1), 1, 30).Draw(t, "indexes")
		nodes, err := l.tree.Nodes(indexes)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Compact(slices.Sorted(slices.Values(indexes)))
		hashes := make([]lamppost.Hash, len(at))
		for i := range at {
			hashes[i] = lamppost.Hash(tlog.RecordHash(l.leaves[at[i]]))
		}
		root, err := lamppost.RootOver(size, at, hashes, nodes)
		if err != nil || tlog.Hash(root) != naiveRoot(l.leaves) {
			t.Fatalf("leaves %d of %d: root %v, %v", at, size, root, err)
		}
		if i := len(nodes); i > 0 {
			if _, err := lamppost.RootOver(size, at, hashes, nodes[:i-1]); err == nil {
				t.Fatal("a node is spare")
			}
		}
	})
}

// Questions about what is not there are answered with an error that says so, not with a proof or a panic.
func TestProofsRefuse(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t, 5)
	_, tree := publish(t, s)
	for name, call := range map[string]func() error{
		"leaf beyond the size":    func() error { _, err := tree.ProveRecord(5); return err },
		"negative leaf":           func() error { _, err := tree.ProveRecord(-1); return err },
		"negative size":           func() error { _, err := tree.RootAt(-1); return err },
		"root beyond the size":    func() error { _, err := tree.RootAt(6); return err },
		"old beyond new":          func() error { _, err := tree.ProveConsistency(6); return err },
		"from nothing":            func() error { _, err := tree.ProveConsistency(0); return err },
		"one of many leaves":      func() error { _, err := tree.Nodes([]int64{0, 5}); return err },
		"too many leaves":         func() error { _, err := tree.Nodes(make([]int64, tilelog.MaxProofLeaves+1)); return err },
		"no such leaf to be read": func() error { _, err := tree.Leaf(5); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := tilelog.Leaf(s, 5); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("Leaf(5) = %v, want kv.ErrNotFound inside", err)
	}
}

// Goal: no bit of a published file can change without whoever reads it hearing of it. Method: flip bits all over the
// files, one at a time, and read everything.
func TestDamagedFilesAreNeverRead(t *testing.T) {
	t.Parallel()
	s, leaves := newLog(t, 300)
	files, tree := publish(t, s)
	delete(files, tilelog.CheckpointPath)
	for path, good := range files {
		for at := 0; at < 8*len(good); at += 1 + len(good)/4 {
			bad := []byte(good)
			bad[at/8] ^= 1 << (at % 8)
			files[path] = string(bad)
			tree := tilelog.NewTree(files, tree.Size(), tree.Root())
			failed := false
			for i, want := range leaves {
				got, err := tree.Leaf(int64(i))
				failed = failed || err != nil
				if err == nil && !bytes.Equal(got, want) {
					t.Fatalf("%s, bit %d flipped: leaf %d is read as %q", path, at, i, got)
				}
			}
			if !failed {
				t.Errorf("%s, bit %d flipped: nobody noticed", path, at)
			}
		}
		files[path] = good
	}
}

// What is in complete published tiles can go from the store; the log goes on as before.
func TestTrim(t *testing.T) {
	t.Parallel()
	s := kv.NewMem()
	l := open(t, s)
	files := mapStorage{}
	var leaves [][]byte
	for _, n := range []int{255, 1, 1, 600, 3} {
		var block [][]byte
		for range n {
			block = append(block, leafText(len(leaves)+len(block)))
		}
		leaves = append(leaves, block...)
		appendBlock(t, s, l, block...)
		if _, err := newPublisher(t, files).Publish(s); err != nil {
			t.Fatal(err)
		}
		var b kv.Batch
		tilelog.Trim(&b, lamppost.Checkpoint{Size: l.Size(), Root: lamppost.Hash(l.Root())})
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		l = open(t, s)
		wantLog(t, "trimmed", l, leaves)
		first := l.Size() &^ 255
		if _, err := tilelog.Leaf(s, first-1); first > 0 && !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("leaf %d of %d is still in the store: %v", first-1, l.Size(), err)
		}
		if _, err := tilelog.Leaf(s, first); first < l.Size() && err != nil {
			t.Errorf("leaf %d of %d: %v", first, l.Size(), err)
		}
	}
	if size := audit(t, files, newPublisher(t, nil).Verifier); size != l.Size() {
		t.Errorf("published size %d, want %d", size, l.Size())
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

// An edge that is not whole is found out when it is opened, not when a wrong root has been signed.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t, 10)
	good, err := s.Get([]byte("te"))
	if err != nil {
		t.Fatal(err)
	}
	for name, val := range map[string][]byte{
		"empty":            {},
		"another version":  append([]byte{1}, good[1:]...),
		"a hash is short":  good[:len(good)-1],
		"a hash is absent": good[:len(good)-32],
		"another size":     append([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\x0b"), good[9:]...),
		"negative size":    append([]byte("\x02\xff\xff\xff\xff\xff\xff\xff\xff"), good[9:]...),
	} {
		var b kv.Batch
		b.Set([]byte("te"), val)
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if l, err := tilelog.Open(s); err == nil {
			t.Errorf("%s: opened with size %d", name, l.Size())
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

// The short way of hashing a leaf gives what tlog's does, whatever its length.
func TestRecordHash(t *testing.T) {
	t.Parallel()
	leaf := make([]byte, 300)
	for n := range leaf {
		leaf[n] = byte(n)
		if got, want := tilelog.RecordHash(leaf[:n]), tlog.RecordHash(leaf[:n]); got != want {
			t.Fatalf("of %d bytes the hash is %v, want %v", n, got, want)
		}
	}
}
