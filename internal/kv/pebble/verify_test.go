package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
)

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// filled makes a store with tables and, unless it is closed, a write ahead log. It returns the folder, of a copy that nobody has
// open.
func filled(t *testing.T, closed bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	s, err := pebble.Open(dir, pebble.Options{MemTableBytes: 256 << 10})
	no(t, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	var b kv.Batch
	for i := range 300 {
		b.Reset()
		val := make([]byte, rnd.IntN(3000))
		for j := range val {
			val[j] = byte(rnd.Uint32())
		}
		b.Set(fmt.Appendf(nil, "k%04d", i), val)
		b.Set([]byte("count"), fmt.Append(nil, i))
		no(t, s.Apply(&b))
	}
	if closed {
		no(t, s.Close())
		return dir
	}
	defer s.Close()
	no(t, os.CopyFS(dir+"2", os.DirFS(dir))) // as a kill would leave it
	return dir + "2"
}

func verify(t testing.TB, dir string) []*pebble.DamagedError {
	t.Helper()
	found, err := pebble.Verify(context.Background(), dir, func(_, _ int64) {})
	no(t, err)
	return found
}

// Goal: no bit of a table, write ahead log or manifest can change without Verify naming the file; and where the library would
// go on without what it cannot read, the store is not opened. Method: bits drawn from every such file, of a store that was
// closed and of one that was not.
func TestVerify(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		dir := filled(t, closed)
		if found := verify(t, dir); len(found) > 0 {
			t.Fatalf("a sound store: %v", found)
		}
		entries, err := os.ReadDir(dir)
		no(t, err)
		rnd := rand.New(rand.NewPCG(3, 4))
		kinds := map[string]int{}
		for _, e := range entries {
			kind := filepath.Ext(e.Name())
			if strings.HasPrefix(e.Name(), "MANIFEST") {
				kind = "manifest"
			}
			path := filepath.Join(dir, e.Name())
			good, err := os.ReadFile(path)
			no(t, err)
			if kind != ".sst" && kind != ".log" && kind != "manifest" || len(good) == 0 {
				continue
			}
			for i := range 40 {
				at := rnd.IntN(8 * len(good))
				if i < 10 { // the end is where a crash would cut
					at = 8*len(good) - 1 - rnd.IntN(min(8*len(good), 8*100))
				}
				bad := bytes.Clone(good)
				bad[at/8] ^= 1 << (at % 8)
				no(t, os.WriteFile(path, bad, 0o600))
				found := verify(t, dir)
				if len(found) != 1 || found[0].File != e.Name() {
					t.Errorf("closed %v, bit %d of %s: found %v", closed, at, e.Name(), found)
				}
				if kind == ".sst" {
					continue
				}
				s, err := pebble.Open(dir, pebble.Options{ReadOnly: true})
				var damaged *pebble.DamagedError
				if err == nil {
					s.Close()
				}
				if !errors.As(err, &damaged) || damaged.File != e.Name() {
					t.Errorf("closed %v, bit %d of %s: Open = %v", closed, at, e.Name(), err)
				}
			}
			no(t, os.WriteFile(path, good, 0o600))
			kinds[kind] += 40
		}
		if kinds[".sst"] == 0 || kinds["manifest"] == 0 || !closed && kinds[".log"] == 0 {
			t.Errorf("closed %v: bits of %v", closed, kinds)
		}
	}
}

// A store that is opened to be read changes nothing in its folder, and takes nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	dir := filled(t, false)
	list := func() (all string) {
		entries, err := os.ReadDir(dir)
		no(t, err)
		for _, e := range entries {
			info, err := e.Info()
			no(t, err)
			all += fmt.Sprintln(e.Name(), info.Size(), info.ModTime())
		}
		return all
	}
	s, err := pebble.Open(dir, pebble.Options{ReadOnly: true})
	no(t, err)
	before := list() // with the lock's file
	if v, err := s.Get([]byte("count")); err != nil || string(v) != "299" {
		t.Errorf("Get = %q, %v", v, err)
	}
	var b kv.Batch
	b.Set([]byte("x"), nil)
	if err := s.Apply(&b); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("Apply = %v", err)
	}
	no(t, s.Close())
	if after := list(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if _, err := pebble.Open(filepath.Join(t.TempDir(), "none"), pebble.Options{ReadOnly: true}); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

// A copy holds what was applied before it was made, and nothing after, and lives without the original.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	s, err := pebble.Open(dir, pebble.Options{NoFsync: true})
	no(t, err)
	set := func(key string) {
		var b kv.Batch
		b.Set([]byte(key), []byte("x"))
		no(t, s.Apply(&b))
	}
	set("before")
	no(t, s.Checkpoint(dir+".copy"))
	set("after")
	if err := s.Checkpoint(dir + ".copy"); err == nil {
		t.Error("a copy was written over")
	}
	no(t, s.Purge())
	no(t, s.Close())
	no(t, os.RemoveAll(dir))
	if found := verify(t, dir+".copy"); len(found) > 0 {
		t.Errorf("the copy: %v", found)
	}
	c, err := pebble.Open(dir+".copy", pebble.Options{})
	no(t, err)
	defer c.Close()
	if _, err := c.Get([]byte("before")); err != nil {
		t.Error(err)
	}
	if _, err := c.Get([]byte("after")); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the copy has what came after it: %v", err)
	}
}
