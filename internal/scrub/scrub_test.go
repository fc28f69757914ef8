package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/scrub"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
)

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A house has packs, a log of 600 leaves and a snapshot.
type house struct {
	cfg     scrub.Config
	objects *archive.MemObjects
	files   *tilelog.MemStorage
	dir     *dir.Dir
	rested  []time.Duration
	found   []scrub.Fault
}

func newHouse(t *testing.T) *house {
	h := &house{objects: new(archive.MemObjects), files: new(tilelog.MemStorage), dir: dir.At(filepath.Join(t.TempDir(), "s"))}
	store := kv.NewMem()
	var b kv.Batch
	for at := range lamppost.Height(3) {
		archive.PutBlock(&b, archive.Block{Height: at + 1, Time: 1})
	}
	l, err := tilelog.Open(store)
	no(t, err)
	for i := range 600 {
		no(t, l.Append(&b, fmt.Appendf(nil, "leaf %d", i)))
	}
	no(t, store.Apply(&b))
	packs, err := archive.NewPacks(store, h.objects)
	no(t, err)
	k := archive.Keeper{Store: store, Packs: packs, Rules: func(kv.Reader) (*archive.Rules, error) { return &archive.Rules{}, nil }}
	_, err = k.Step(archive.MaxHotMS * 2)
	no(t, err)
	edge, err := tilelog.ReadRightEdge(store, h.files, tilelog.RightEdge{})
	no(t, err)
	c := lamppost.Checkpoint{Origin: "net/north", Size: 600, Root: lamppost.Hash(edge.Root())}
	no(t, tilelog.Continue(h.files, store, []byte(c.Text()+"\n"), c))
	no(t, h.dir.Put(7, func(w io.Writer) error {
		s, err := snapshot.NewWriter(w, snapshot.Head{Network: "net", Height: 7}, nil)
		if err == nil {
			_, err = s.Digest()
		}
		return errors.Join(err, s.End(nil))
	}))
	h.cfg = scrub.Config{Every: 7 * 24 * time.Hour, Store: store, Packs: packs, Files: h.files, Snapshots: h.dir,
		Published: func() (lamppost.Checkpoint, bool) { return c, true }, Now: func() lamppost.TimeMS { return 5 },
		Found: func(f scrub.Fault) { h.found = append(h.found, f) }, Read: func(int64) {}}
	return h
}

// run reads n items and stops. Before each it calls at with the number of those that were read.
func (h *house) run(t *testing.T, n int, at func(i int, st scrub.State)) scrub.State {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var s *scrub.Scrubber
	i := 0
	h.cfg.Rest = func(ctx context.Context, d time.Duration) error {
		if i == n {
			cancel()
			return ctx.Err()
		}
		at(i, s.State())
		i++
		h.rested = append(h.rested, d)
		return nil
	}
	s = scrub.New(h.cfg)
	no(t, s.Run(ctx))
	return s.State()
}

func nothing(int, scrub.State) {}

const items = 1 + 3 + 1 // a pack, three bundles, a snapshot

// A time round takes as long as is set, by the size of what is read, and finds nothing in what is sound; a restart goes on where it was.
func TestPace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st := h.run(t, 2, nothing)
	if st.Began != 5 || st.Percent <= 0 || st.Percent >= 100 || len(st.Faults) > 0 {
		t.Errorf("after two items: %+v", st)
	}
	h.run(t, items-2, nothing)
	var sum time.Duration
	for _, d := range h.rested {
		sum += d
	}
	if len(h.rested) != items || sum < h.cfg.Every-time.Second || sum > h.cfg.Every+time.Second {
		t.Errorf("rested %v, %v together", h.rested, sum)
	}
	if len(h.found) > 0 {
		t.Errorf("found %v", h.found)
	}
}

// Goal: what is damaged is found within a time round, named once, and forgotten when it is sound again; what was removed rightly is
// no fault.
func TestFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(h *house) (undo func())
		where  string
	}{
		"an object": {func(h *house) func() {
			names, _ := h.objects.List()
			good, _ := h.objects.Read(names[0], 0, 1<<20)
			bad := bytes.Clone(good)
			bad[3] ^= 1
			_ = h.objects.Put(names[0], bad)
			return func() { _ = h.objects.Put(names[0], good) }
		}, "archive/"},
		"an object is gone": {func(h *house) func() {
			names, _ := h.objects.List()
			good, _ := h.objects.Read(names[0], 0, 1<<20)
			_ = h.objects.Remove(names[0])
			return func() { _ = h.objects.Put(names[0], good) }
		}, "archive/"},
		"a bundle": {func(h *house) func() {
			l := &lying{h.cfg.Files, "tile/entries/001"}
			h.cfg.Files = l
			return func() { l.path = "" }
		}, "log, leaves 256 to 511"},
		"a snapshot": {func(h *house) func() {
			good, _ := os.ReadFile(h.dir.Path("000000000007.lps"))
			_ = os.WriteFile(h.dir.Path("000000000007.lps"), append([]byte("x"), good[1:]...), 0o600)
			return func() { _ = os.WriteFile(h.dir.Path("000000000007.lps"), good, 0o600) }
		}, "snapshots/000000000007.lps"},
	} {
		h := newHouse(t)
		undo := c.damage(h)
		st := h.run(t, 2*items+1, func(i int, st scrub.State) {
			if i != items+1 { // once round, and a little more
				return
			}
			if len(st.Faults) != 1 || !strings.HasPrefix(st.Faults[0].Where, c.where) || st.Faults[0].What == "" || len(h.found) != 1 {
				t.Errorf("%s: %+v, told %v", name, st, h.found)
			}
			undo()
		})
		if len(st.Faults) > 0 {
			t.Errorf("%s: when it is sound again: %+v", name, st)
		}
	}
	h := newHouse(t)
	st := h.run(t, items, func(i int, _ scrub.State) {
		if i == items-1 {
			no(t, h.dir.Remove("000000000007.lps"))
		}
	})
	if len(st.Faults) > 0 || len(h.found) > 0 {
		t.Errorf("a snapshot that was removed rightly: %+v", st)
	}
}

// lying changes a file.
type lying struct {
	tilelog.Source
	path string
}

func (l *lying) Get(path string) ([]byte, error) {
	data, err := l.Source.Get(path)
	if path == l.path && err == nil {
		data = bytes.Clone(data)
		data[20] ^= 1
	}
	return data, err
}
