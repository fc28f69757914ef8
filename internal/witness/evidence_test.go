package witness_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/witness"
)

// Two roots at one size are a proof by themselves, whatever old size came along; it is kept once, survives a restart, and
// the history that was cosigned first goes on.
func TestForkAtOneSize(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 300, "entry")
	other := newHistory(t, origin).grow(t, 300, "other")
	store := kv.NewMem()
	w := open(t, store, h)
	takes(t, w, h, 0, 300)
	refuses(t, w, other.request(t, 300, 300), witness.Inconsistent)
	refuses(t, w, other.request(t, 300, 300), witness.Inconsistent)
	refuses(t, w, other.request(t, 0, 300), witness.Stale)
	for range 2 {
		s := status(t, w, origin)
		if len(s.Forks) != 1 || len(s.Unresolved) != 0 {
			t.Fatalf("%d forks, %d unresolved", len(s.Forks), len(s.Unresolved))
		}
		proven(t, h, s.Forks[0])
		if f := s.Forks[0]; !strings.HasPrefix(f.Smaller, strings.Split(h.checkpoint(t, 300), "\n\n")[0]) || f.Larger != other.checkpoint(t, 300) ||
			!strings.Contains(f.Words, "the log lantern/node1 signed two histories: of its first 300 entries") {
			t.Errorf("%+v", f)
		}
		w = open(t, store)
	}
	h.grow(t, 10, "entry")
	takes(t, w, h, 300, 310)
}

// A log that forked sends a proof that fits its other history, and that proof convicts it, unless the size cosigned last
// is a power of two: then the proof does not contain the root. Method: every pair of sizes up to 40, over the same fork.
func TestForkByItsOwnProof(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 40, "entry")
	other := newHistory(t, origin).grow(t, 40, "other")
	for old := int64(1); old < 40; old++ {
		for size := old + 1; size <= 40; size++ {
			w := open(t, kv.NewMem(), h)
			takes(t, w, h, 0, old)
			refuses(t, w, other.request(t, old, size), witness.Inconsistent)
			s := status(t, w, origin)
			if power := old&(old-1) == 0; power != (len(s.Unresolved) == 1) || power == (len(s.Forks) == 1) {
				t.Fatalf("from %d to %d: %d forks, %d unresolved", old, size, len(s.Forks), len(s.Unresolved))
			}
			for _, f := range s.Forks {
				proven(t, h, f)
			}
		}
	}
}

// A wrong proof proves nothing against the log, whatever it is made of: anybody can send it.
func TestWrongProofIsNoFork(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 40, "entry")
	other := newHistory(t, origin).grow(t, 40, "other")
	w := open(t, kv.NewMem(), h)
	takes(t, w, h, 0, 7)
	honest, err := witness.ParseRequest(h.request(t, 7, 12))
	must(t, err)
	foreign, err := witness.ParseRequest(other.request(t, 7, 12))
	must(t, err)
	for i := range honest.Proof {
		wrong := *honest
		wrong.Proof = append(append(honest.Proof[:0:0], honest.Proof[:i]...), foreign.Proof[i:]...)
		refuses(t, w, wrong.Append(nil), witness.Inconsistent)
		wrong.Proof = append(honest.Proof[:0:0], honest.Proof...)
		wrong.Proof[i][3] ^= 1
		refuses(t, w, wrong.Append(nil), witness.Inconsistent)
		wrong.Proof = honest.Proof[:i]
		refuses(t, w, wrong.Append(nil), witness.Inconsistent)
	}
	if s := status(t, w, origin); len(s.Forks) != 0 || len(s.Unresolved) != 1 || !strings.Contains(s.Unresolved[0].Words, "Either the proof was wrong") {
		t.Fatalf("%+v", s)
	}
	takes(t, w, h, 7, 12)
	if s := status(t, w, origin); len(s.Unresolved) != 0 {
		t.Errorf("cosigned by now, and still unresolved: %+v", s.Unresolved)
	}
}

// What is kept has a limit: of what is proven the first ones stay, of what is not the last ones.
func TestForksAreBounded(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 60, "entry")
	store := kv.NewMem()
	w := open(t, store, h)
	takes(t, w, h, 0, 8)
	wrong := func(size int64) {
		r, err := witness.ParseRequest(h.request(t, 8, size))
		must(t, err)
		r.Proof = nil
		refuses(t, w, r.Append(nil), witness.Inconsistent)
	}
	for size := int64(9); size < 50; size++ {
		wrong(size)
	}
	for i := range 40 {
		refuses(t, w, newHistory(t, origin).grow(t, 8, fmt.Sprintf("other %d", i)).request(t, 8, 8), witness.Inconsistent)
	}
	for range 2 {
		s := status(t, w, origin)
		if len(s.Forks) != 16 || len(s.Unresolved) != 16 || s.Dropped != 41-16+40-16 {
			t.Fatalf("%d forks, %d unresolved, %d dropped", len(s.Forks), len(s.Unresolved), s.Dropped)
		}
		if first, last := s.Unresolved[0].Larger, s.Unresolved[15].Larger; first != h.checkpoint(t, 34) || last != h.checkpoint(t, 49) {
			t.Errorf("unresolved from\n%sto\n%s", first, last)
		}
		if s.Forks[0].Larger != newHistory(t, origin).grow(t, 8, "other 0").checkpoint(t, 8) {
			t.Error("the first fork gave way")
		}
		w = open(t, store)
	}
}

// What a submitter's proof does not tell, the log's own files do: that it signed two histories, from whichever side it now
// shows, or that only the proof was wrong. Files that are not there, lie or are behind tell nothing.
func TestResolve(t *testing.T) {
	t.Parallel()
	trunk := newHistory(t, origin).grow(t, 300, "entry")
	forked := trunk.fork().grow(t, 300, "other")
	trunk.grow(t, 300, "entry")
	unrelated := newHistory(t, "net/other").grow(t, 600, "entry")
	for name, c := range map[string]struct {
		first, second *history // who shows the sizes 256+256 (a power of two) and 520
		files         *history // what the log's address shows
		size          int64
		forks         int
		unresolved    string
	}{
		"its files show the first history":  {trunk, forked, trunk, 600, 1, ""},
		"its files show the second history": {trunk, forked, forked, 600, 1, ""},
		"its files end at the second":       {trunk, forked, forked, 520, 1, ""},
		"the proof was wrong":               {trunk, trunk, trunk, 600, 0, ""},
		"its files are behind":              {trunk, forked, trunk, 519, 0, "only 519 entries"},
		"its files are another log's":       {trunk, forked, unrelated, 600, 0, "its latest checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.files.publish(t, dir, c.size)
			now := new(clock)
			store := kv.NewMem()
			w, err := witness.New(witness.Config{Store: store, Name: "w.example", Now: now.now})
			must(t, err)
			must(t, w.Add(witness.Log{Origin: origin, Keys: []string{trunk.vkey}, URL: serve(t, dir) + "/"}))
			takes(t, w, c.first, 0, 512)
			r, err := witness.ParseRequest(c.second.request(t, 512, 520))
			must(t, err)
			if c.first == c.second {
				r.Proof[0][0] ^= 1
			}
			refuses(t, w, r.Append(nil), witness.Inconsistent)
			if s := status(t, w, origin); len(s.Unresolved) != 1 || len(s.Forks) != 0 {
				t.Fatalf("before: %+v", s)
			}
			now.at.Add(3600)
			w.Resolve(t.Context())
			for range 2 {
				s := status(t, w, origin)
				if len(s.Forks) != c.forks || (c.unresolved == "") != (len(s.Unresolved) == 0) {
					t.Fatalf("%d forks, %+v", len(s.Forks), s.Unresolved)
				}
				for _, f := range s.Forks {
					proven(t, trunk, f)
				}
				for _, f := range s.Unresolved {
					if !strings.Contains(f.Words, c.unresolved) {
						t.Errorf("%q does not say %q", f.Words, c.unresolved)
					}
				}
				w = open(t, store)
			}
		})
	}
}

// Files that do not fit the checkpoint, and an address where nobody is, leave the question open; it is not asked again at
// once, and answered when the files are right.
func TestResolveAgain(t *testing.T) {
	t.Parallel()
	trunk := newHistory(t, origin).grow(t, 600, "entry")
	forked := newHistory(t, origin).grow(t, 600, "other")
	dir := t.TempDir()
	trunk.publish(t, dir, 600)
	tile := filepath.Join(dir, "tile/0/001")
	good, err := os.ReadFile(tile)
	must(t, err)
	bad := append([]byte(nil), good...)
	bad[32*255] ^= 1 // of a leaf between the sizes in question, so that it is read
	must(t, os.WriteFile(tile, bad, 0o600))
	now := new(clock)
	w, err := witness.New(witness.Config{Store: kv.NewMem(), Now: now.now})
	must(t, err)
	must(t, w.Add(witness.Log{Origin: origin, Keys: []string{trunk.vkey}, URL: "http://127.0.0.1:1/log"}))
	takes(t, w, trunk, 0, 256)
	refuses(t, w, forked.request(t, 256, 511), witness.Inconsistent)
	says := func(word string) {
		t.Helper()
		s := status(t, w, origin)
		if len(s.Unresolved) != 1 || !strings.Contains(s.Unresolved[0].Words, word) {
			t.Fatalf("%+v, want a word of %q", s.Unresolved, word)
		}
	}
	w.Resolve(t.Context())
	says("refused")
	must(t, w.Add(witness.Log{Origin: origin, Keys: []string{trunk.vkey}, URL: serve(t, dir)}))
	w.Resolve(t.Context())
	says("refused") // a moment ago
	now.at.Add(int64(time.Hour / time.Second))
	w.Resolve(t.Context())
	says("inconsistent tile")
	must(t, os.WriteFile(tile, good, 0o600))
	now.at.Add(int64(time.Hour / time.Second))
	w.Resolve(t.Context())
	if s := status(t, w, origin); len(s.Forks) != 1 || len(s.Unresolved) != 0 {
		t.Fatalf("%d forks, %d unresolved", len(s.Forks), len(s.Unresolved))
	}
	proven(t, trunk, status(t, w, origin).Forks[0])
}

// Check is what a stranger does with a fork; what is no proof does not pass.
func TestForkCheck(t *testing.T) {
	t.Parallel()
	h := newHistory(t, origin).grow(t, 40, "entry")
	other := newHistory(t, origin).grow(t, 40, "other")
	stranger := newHistory(t, "net/other").grow(t, 40, "entry")
	known := note.VerifierList(h.verifier)
	for name, f := range map[string]witness.Fork{
		"the same twice":     {Smaller: h.checkpoint(t, 9), Larger: h.checkpoint(t, 9)},
		"wrong order":        {Smaller: h.checkpoint(t, 9), Larger: other.checkpoint(t, 8)},
		"without a proof":    {Smaller: h.checkpoint(t, 9), Larger: other.checkpoint(t, 12)},
		"begins with itself": {Smaller: h.checkpoint(t, 9), Larger: h.checkpoint(t, 12), Begin: [32]byte(h.root(t, 9))},
		"signed by another":  {Smaller: h.checkpoint(t, 9), Larger: stranger.checkpoint(t, 9)},
		"of nothing":         {},
		"a wrong beginning":  {Smaller: h.checkpoint(t, 9), Larger: h.checkpoint(t, 12), Begin: [32]byte{1}},
		"two empty logs":     {Smaller: h.signed(t, origin+"\n0\n"+h.root(t, 1).String()+"\n"), Larger: h.checkpoint(t, 0)},
	} {
		if f.Check(known) == nil {
			t.Errorf("%s passes", name)
		}
	}
	if f := (witness.Fork{Smaller: h.checkpoint(t, 9), Larger: other.checkpoint(t, 9)}); f.Check(known) != nil {
		t.Errorf("two roots at one size: %v", f.Check(known))
	}
	both := note.VerifierList(h.verifier, stranger.verifier)
	if f := (witness.Fork{Smaller: h.checkpoint(t, 9), Larger: stranger.checkpoint(t, 9)}); f.Check(both) == nil {
		t.Error("two logs pass for one")
	}
}
