package replica_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

var _ consensus.Snapshotter = (*replica.Replica)(nil)

// handed returns what Snapshot gives.
func handed(t fatal, r *replica.Replica) (consensus.Last, []byte) {
	t.Helper()
	last, from, err := r.Snapshot()
	if err != nil {
		t.Fatalf("Snapshot = %v", err)
	}
	raw, err := io.ReadAll(from)
	if err = errors.Join(err, from.Close()); err != nil {
		t.Fatalf("reading a snapshot: %v", err)
	}
	return last, raw
}

// withCursors gives blocks cursors as an engine does, which has entries of its own between.
func withCursors(chain []*lamppost.Block) []*lamppost.Block {
	for i, b := range chain {
		b.Cursor = lamppost.Cursor(3*i + 7)
	}
	return chain
}

// Goal: a copy at any height that restores a snapshot stands where it was taken, cursor and members included, and goes on as the
// chain itself, also when it is opened again; a snapshot says what was, though blocks are applied before it is read. What is
// the node's own stays. Method: random chains, cut at two random places.
func TestRestoreContinues(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	scratch := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "") }
		chain := withCursors(blocks(3+draw(9), draw))
		cut := 1 + draw(len(chain)-1)
		behind := draw(cut)
		whole, copied := kv.NewMem(), kv.NewMem()
		r := open(rt, whole)
		c, err := replica.Open(replica.Config{Store: copied, Scratch: scratch})
		must(t, err)
		var own kv.Batch
		own.Set([]byte("nX"), []byte("own"))
		must(t, copied.Apply(&own))
		for i, b := range chain[:cut] {
			apply(rt, r, b)
			commit(rt, r)
			if i < behind {
				apply(rt, c, b)
				commit(rt, c)
			}
		}
		want := r.Last()
		last, from, err := r.Snapshot()
		must(t, err)
		var roots []lamppost.Hash
		for _, b := range chain[cut:] {
			roots = append(roots, apply(rt, r, b).Root)
			commit(rt, r)
		}
		raw, err := io.ReadAll(from)
		must(t, errors.Join(err, from.Close()))
		must(t, c.Restore(bytes.NewReader(raw), last.Root))
		if got := c.Last(); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(last, want) {
			rt.Fatalf("Last = %+v after Restore, Snapshot said %+v, want %+v", got, last, want)
		}
		for i, b := range chain[cut:] {
			if draw(3) == 0 {
				c = open(rt, copied)
			}
			if got := apply(rt, c, b).Root; got != roots[i] {
				rt.Fatalf("block %d: root %v of the copy, want %v", b.Height, got, roots[i])
			}
			commit(rt, c)
		}
		if a, b := part(rt, whole, "s"), part(rt, copied, "s"); a != b {
			rt.Fatalf("state: %s", diff(a, b))
		}
		if got, err := copied.Get([]byte("nX")); err != nil || string(got) != "own" {
			rt.Fatalf("the node's own record is %q, %v", got, err)
		}
		// It publishes from there on, the same as the others, and hands on what it has.
		_, edge, err := replica.Began(copied)
		must(t, err)
		files, others := new(tilelog.MemStorage), new(tilelog.MemStorage)
		wanted, _ := publish(t, net, whole, files)
		p := publisher(t, net, others)
		p.Begin = edge
		if signed, err := p.Publish(copied); err != nil || string(signed) != wanted {
			rt.Fatalf("published: %v, %s; want %s", err, signed, wanted)
		}
		_, one := handed(rt, r)
		_, two := handed(rt, c)
		if !bytes.Equal(one, two) {
			rt.Fatal("the copy hands on something else")
		}
	})
}

// What is not the state that was asked for is refused before anything changes.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	source := open(t, kv.NewMem())
	for _, b := range withCursors(blocks(6, seeded(4))) {
		apply(t, source, b)
		commit(t, source)
	}
	last, good := handed(t, source)
	other := ledgertest.New("other")
	foreign := open(t, kv.NewMem())
	apply(t, foreign, block(1, ledgertest.Start, other.Genesis()))
	commit(t, foreign)
	foreignLast, theirs := handed(t, foreign)
	bent := func(i int) []byte {
		raw := bytes.Clone(good)
		raw[i] ^= 4
		return raw
	}
	for name, c := range map[string]struct {
		raw  []byte
		root lamppost.Hash
		want string
	}{
		"another root":    {good, lamppost.Hash{1}, "gives root"},
		"another network": {theirs, foreignLast.Root, `of network "other", not "net"`},
		"cut short":       {good[:len(good)-1], last.Root, "does not begin and end"},
		"cut shorter":     {good[:11], last.Root, "begins with"},
		"damaged":         {bent(len(good) / 2), last.Root, "damaged"},
		"no state":        {[]byte("LPS1 and so on"), last.Root, "begins with"},
		"nothing":         {nil, lamppost.Hash{}, "begins with"},
	} {
		store := kv.NewMem()
		r, err := replica.Open(replica.Config{Store: store, Scratch: t.TempDir()})
		must(t, err)
		for _, b := range withCursors(blocks(3, seeded(4))) {
			apply(t, r, b)
			commit(t, r)
		}
		before, at := dump(t, store), r.Last()
		if err := r.Restore(bytes.NewReader(c.raw), c.root); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if after := dump(t, store); after != before || !reflect.DeepEqual(r.Last(), at) {
			t.Errorf("%s: the old state has changed: %s", name, diff(before, after))
		}
	}
}

// Goal: whichever write of a Restore fails or is the last, the store opens with the old state, the new one, or none, and
// takes the snapshot again. Method: every write fails once, written or not.
func TestRestoreCutShort(t *testing.T) {
	t.Parallel()
	chain := withCursors(blocks(8, seeded(9)))
	source := open(t, kv.NewMem())
	for _, b := range chain {
		apply(t, source, b)
		commit(t, source)
	}
	want, raw := handed(t, source)
	var seen []lamppost.Height
	for at := 0; ; at++ {
		failed := false
		for _, fault := range [...]kv.Fault{kv.Fails, kv.FailsWritten} {
			disk := kv.NewMem()
			old := open(t, disk)
			for _, b := range chain[:3] {
				apply(t, old, b)
				commit(t, old)
			}
			r, err := replica.Open(replica.Config{Scratch: t.TempDir(), Store: kv.NewFaulty(disk, func(apply int) kv.Fault {
				if apply == at {
					return fault
				}
				return kv.Works
			})})
			must(t, err)
			err = r.Restore(bytes.NewReader(raw), want.Root)
			failed = err != nil
			again := open(t, disk)
			seen = append(seen, again.Last().Height)
			if h := again.Last().Height; failed && h != 0 && h != 3 && h != want.Height {
				t.Errorf("write %d %v: it stands at block %d", at, fault, h)
			}
			must(t, again.Restore(bytes.NewReader(raw), want.Root))
			if got := again.Last(); !reflect.DeepEqual(got, want) {
				t.Errorf("write %d %v: %+v after restoring again", at, fault, got)
			}
			if a, b := part(t, disk, "s"), part(t, disk, "m"); a == "" || strings.Contains(b, `"mI"`) {
				t.Errorf("write %d %v: the store says %s", at, fault, b)
			}
		}
		if !failed {
			break
		}
	}
	if !slices.Contains(seen, 0) || !slices.Contains(seen, 3) || !slices.Contains(seen, want.Height) {
		t.Errorf("the copy stood at %v only: the failures were elsewhere", seen)
	}
}

// A snapshot that nobody reads, or not to its end, ends when it is closed, and does not hold the store.
func TestSnapshotClosedUnread(t *testing.T) {
	t.Parallel()
	store, err := pebble.Open(t.TempDir(), pebble.Options{NoFsync: true})
	must(t, err)
	r := open(t, store)
	for _, b := range blocks(5, seeded(2)) {
		apply(t, r, b)
		commit(t, r)
	}
	for n := range 2 {
		_, from, err := r.Snapshot()
		must(t, err)
		_, err = io.ReadFull(from, make([]byte, n))
		must(t, err)
		must(t, from.Close())
	}
	must(t, store.Purge()) // it waits for whoever still reads
	must(t, store.Close())
}

// What another member sent is refused or has what it says; reading it never panics.
func FuzzOpenState(f *testing.F) {
	r, err := replica.Open(replica.Config{Store: kv.NewMem()})
	must(f, err)
	for _, b := range withCursors(blocks(3, seeded(1))) {
		if _, err := r.Apply(b); err != nil {
			f.Fatal(err)
		}
		if _, err := r.Commit(); err != nil {
			f.Fatal(err)
		}
	}
	_, from, err := r.Snapshot()
	must(f, err)
	raw, err := io.ReadAll(from)
	must(f, errors.Join(err, from.Close()))
	root := r.Last().Root
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := replica.OpenState(bytes.NewReader(raw), int64(len(raw)))
		if err != nil || s.Check("net", root) != nil {
			return
		}
		if h := s.Head(); h.Root != root || h.Network != "net" {
			t.Errorf("a state of %+v was taken", h)
		}
	})
}
