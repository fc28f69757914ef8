package tilelog_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// Goal: a log that goes on from a right edge alone has the roots of the whole log, and publishes files that are, as far as
// they are there, those of the whole log. Method: a log with some of it published and trimmed; its right edge written and read;
// both grow by the same leaves.
func TestRightEdgeGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SampledFrom([]int{1, 2, 255, 256, 257, 511, 700, 1024}) // what is published, appended after, and appended at last
		a, b, c := sizes.Draw(rt, "published"), rapid.IntRange(0, 300).Draw(rt, "more"), rapid.IntRange(0, 600).Draw(rt, "later")
		store, _ := newLog(t, a)
		files := new(tilelog.MemStorage)
		p := newPublisher(t, files)
		signed, err := p.Publish(store)
		no(t, err)
		var trim kv.Batch
		tilelog.Trim(&trim, opened(t, p, signed))
		no(t, store.Apply(&trim))
		grow(t, store, b)
		edge, err := tilelog.ReadRightEdge(store, files, tilelog.RightEdge{})
		no(t, err)
		raw := edge.Append(nil)
		again, err := tilelog.ParseRightEdge(raw)
		no(t, err)
		if again.Size() != int64(a+b) || again.Root() != edge.Root() || !bytes.Equal(again.Append(nil), raw) {
			rt.Fatalf("the edge of %d leaves reads as %d with root %v, was %v", a+b, again.Size(), again.Root(), edge.Root())
		}

		copied, new := kv.NewMem(), new(tilelog.MemStorage)
		var begin kv.Batch
		again.Begin(&begin)
		no(t, copied.Apply(&begin))
		grow(t, store, c)
		grow(t, copied, c)
		signed, err = p.Publish(store)
		no(t, err)
		no(t, again.Adopt(new, copied, signed, opened(t, p, signed)))
		last := opened(t, p, signed)
		for _, f := range [...]string{tilelog.TilePath(tlog.Tile{H: 8, L: 0, N: last.Size >> 8, W: int(last.Size % 256)}), tilelog.CheckpointPath} {
			if last.Size%256 == 0 && f != tilelog.CheckpointPath {
				continue
			}
			want, err := files.Get(f)
			no(t, err)
			if got, err := new.Get(f); err != nil || !bytes.Equal(got, want) {
				rt.Errorf("%s: %d bytes, %v; want %d", f, len(got), err, len(want))
			}
		}
		// It goes on by itself, as the same log.
		grow(t, store, 300)
		grow(t, copied, 300)
		one, err := p.Publish(store)
		no(t, err)
		two, err := newPublisher(t, new).Publish(copied)
		if err != nil || !bytes.Equal(one, two) {
			rt.Errorf("going on: %v; got\n%s\nwant\n%s", err, two, one)
		}
	})
}

// A checkpoint of another history, or of more leaves than are there, is not adopted, and neither is any over one that is there.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	store, _ := newLog(t, 300)
	files := new(tilelog.MemStorage)
	edge, err := tilelog.ReadRightEdge(store, files, tilelog.RightEdge{})
	no(t, err)
	var begin kv.Batch
	copied := kv.NewMem()
	edge.Begin(&begin)
	no(t, copied.Apply(&begin))
	p := newPublisher(t, files)
	grow(t, store, 5)
	longer, err := p.Publish(store)
	no(t, err)
	other := kv.NewMem()
	l, err := tilelog.Open(other)
	no(t, err)
	appendBlock(t, other, l, make([][]byte, 300)...)
	forked, err := newPublisher(t, new(tilelog.MemStorage)).Publish(other)
	no(t, err)
	for name, c := range map[string]struct {
		signed []byte
		to     tilelog.Storage
		want   string
	}{
		"longer":  {longer, new(tilelog.MemStorage), "is missing in the store"},
		"another": {forked, new(tilelog.MemStorage), "the checkpoint says"},
		"there":   {longer, files, "is published there already"},
	} {
		if err := edge.Adopt(c.to, copied, c.signed, opened(t, p, c.signed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := c.to.Get(tilelog.CheckpointPath); name != "there" && err == nil {
			t.Errorf("%s: a checkpoint was published", name)
		}
	}
}

// What is read as a right edge is written as it was.
func FuzzParseRightEdge(f *testing.F) {
	for _, n := range []int{0, 1, 3, 256, 300} {
		s, _ := newLog(f, n)
		edge, err := tilelog.ReadRightEdge(s, tilelog.FS{FS: emptyFS{}}, tilelog.RightEdge{})
		no(f, err)
		f.Add(edge.Append(nil))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := tilelog.ParseRightEdge(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Append(nil), raw) {
			t.Fatalf("%x is written as %x", raw, e.Append(nil))
		}
		e.Root()
		var b kv.Batch
		e.Begin(&b)
	})
}

type emptyFS struct{}

func (emptyFS) Open(string) (fs.File, error) { return nil, fs.ErrNotExist }

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func grow(t testing.TB, s kv.Store, n int) {
	t.Helper()
	l, err := tilelog.Open(s)
	no(t, err)
	var leaves [][]byte
	for i := range n {
		leaves = append(leaves, leafText(int(l.Size())+i))
	}
	appendBlock(t, s, l, leaves...)
}

func opened(t testing.TB, p *tilelog.Publisher, signed []byte) lamppost.Checkpoint {
	t.Helper()
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier))
	no(t, err)
	return c
}

// A log that begins at a right edge is published from there, also over a checkpoint of a smaller tree whose tiles are not there
// any more, and is the same log as that of who has all; what was signed for more leaves than it has still stops it.
func TestPublisherBegins(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][3]int{{0, 3, 0}, {0, 700, 5}, {2, 256, 0}, {100, 300, 400}, {300, 301, 1}, {255, 256, 256}} {
		store, _ := newLog(t, sizes[0])
		all := new(tilelog.MemStorage)
		p := newPublisher(t, all)
		signed, err := p.Publish(store)
		no(t, err)
		here := new(tilelog.MemStorage)
		if sizes[0] > 0 {
			no(t, here.PutCheckpoint(tilelog.CheckpointPath, nil, signed))
		}
		grow(t, store, sizes[1]-sizes[0])
		edge, err := tilelog.ReadRightEdge(store, all, tilelog.RightEdge{})
		no(t, err)
		copied := kv.NewMem()
		var begin kv.Batch
		edge.Begin(&begin)
		no(t, copied.Apply(&begin))
		q := newPublisher(t, here)
		q.Begin = edge
		if signed, size, err := q.Latest(copied); signed != nil || size != 0 || err != nil {
			t.Errorf("%v: before, %s is published, %d, %v", sizes, signed, size, err)
		}
		for _, more := range [...]int{0, sizes[2], 0, 600} {
			grow(t, store, more)
			grow(t, copied, more)
			one, err := p.Publish(store)
			no(t, err)
			two, err := q.Publish(copied)
			if err != nil || !bytes.Equal(one, two) {
				t.Fatalf("%v: %v; got\n%s\nwant\n%s", sizes, err, two, one)
			}
			c := opened(t, p, one)
			if root, err := tilelog.NewTree(here, c.Size, tlog.Hash(c.Root)).RootAt(c.Size); err != nil || root != tlog.Hash(c.Root) {
				t.Errorf("%v: the tiles lead to %v, %v", sizes, root, err)
			}
			if again, err := tilelog.ReadRightEdge(copied, here, edge); err != nil || again.Root() != tlog.Hash(c.Root) {
				t.Errorf("%v: its right edge has root %v, %v", sizes, again.Root(), err)
			}
		}
		small := newPublisher(t, here)
		small.Begin = edge
		old := kv.NewMem()
		no(t, old.Apply(&begin))
		var conflict *tilelog.ConflictError
		if _, err := small.Publish(old); !errors.As(err, &conflict) {
			t.Errorf("%v: published though more leaves were signed: %v", sizes, err)
		}
	}
}
