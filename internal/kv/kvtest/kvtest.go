// Package kvtest is the contract of kv.Store as a test suite: what every store promises, checked the same way. It says
// nothing about speed and cannot cut the power; a store on disk has its own test for that.
package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/lamppost/lamppost/internal/kv"
	"pgregory.net/rapid"
)

// An Opener opens the store that is kept under dir, an existing folder. Opening the same dir after Close must find what
// was applied before; a store in memory keeps a map for that.
type Opener func(t testing.TB, dir string) kv.Store

// Run checks the whole contract, each part on a fresh store.
func Run(t *testing.T, open Opener) {
	for name, check := range map[string]func(*testing.T, Opener){
		"Empty":            empty,
		"LastWriteWins":    lastWriteWins,
		"DeleteRange":      deleteRange,
		"ScanRange":        scanRange,
		"ScanEnds":         scanEnds,
		"ScanWhileApplied": scanWhileApplied,
		"SlicesAreCopies":  slicesAreCopies,
		"SnapshotStays":    snapshotStays,
		"BadBatch":         badBatch,
		"BigBatch":         bigBatch,
		"AtomicToReaders":  atomicToReaders,
		"Model":            model,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open)
		})
	}
}

func fresh(t *testing.T, open Opener) kv.Store {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// apply writes pairs of key and value; the value "-" deletes.
func apply(t testing.TB, s kv.Store, pairs ...string) {
	t.Helper()
	var b kv.Batch
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			b.Delete([]byte(pairs[i]))
		} else {
			b.Set([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
	if err := s.Apply(&b); err != nil {
		t.Fatalf("Apply(%q) = %v", pairs, err)
	}
}

// content returns "key=value …" of a range, in the order Scan gives.
func content(t testing.TB, r kv.Reader, from, to []byte) string {
	t.Helper()
	var out bytes.Buffer
	err := r.Scan(from, to, func(key, val []byte) error {
		fmt.Fprintf(&out, "%s=%s ", key, val)
		return nil
	})
	if err != nil {
		t.Fatalf("Scan(%q, %q) = %v", from, to, err)
	}
	return string(bytes.TrimRight(out.Bytes(), " "))
}

func wantContent(t testing.TB, r kv.Reader, want string) {
	t.Helper()
	if got := content(t, r, nil, nil); got != want {
		t.Errorf("content is %q, want %q", got, want)
	}
}

func empty(t *testing.T, open Opener) {
	s := fresh(t, open)
	if v, err := s.Get([]byte("a")); !errors.Is(err, kv.ErrNotFound) || v != nil {
		t.Errorf("Get of a missing key = %q, %v; want nil, ErrNotFound", v, err)
	}
	wantContent(t, s, "")
	apply(t, s) // an empty batch is a batch
	wantContent(t, s, "")
}

// Within a batch and between batches the last change of a key counts, and an empty value is a value.
func lastWriteWins(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1", "a", "2", "b", "1", "b", "-", "c", "-", "c", "3", "d", "")
	wantContent(t, s, "a=2 c=3 d=")
	if v, err := s.Get([]byte("d")); err != nil || len(v) != 0 {
		t.Errorf("Get of an empty value = %q, %v; want it empty and found", v, err)
	}
	apply(t, s, "a", "-", "a", "4", "c", "-", "nothing", "-")
	wantContent(t, s, "a=4 d=")
}

// A range goes as a whole, but for what comes later in the batch; an empty one does nothing.
func deleteRange(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1", "b", "2", "b\x00", "3", "c", "4", "d", "5")
	var b kv.Batch
	b.Set([]byte("bb"), []byte("gone"))
	b.DeleteRange([]byte("b"), []byte("d"))
	b.Set([]byte("c"), []byte("new"))
	b.DeleteRange([]byte("d"), []byte("d"))
	b.DeleteRange([]byte("d"), []byte("a"))
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "a=1 c=new d=5")
}

func scanRange(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "b", "2", "\xff", "6", "a", "1", "c\x00", "4", "c", "3", "c\x00\x00", "5")
	for _, c := range []struct{ from, to, want string }{
		{"", "", "a=1 b=2 c=3 c\x00=4 c\x00\x00=5 \xff=6"},
		{"b", "c", "b=2"},
		{"b", "c\x00", "b=2 c=3"},
		{"aa", "c\x00\x00", "b=2 c=3 c\x00=4"},
		{"d", "\xff", ""},
		{"d", "", "\xff=6"},
		{"c", "c", ""},
		{"c", "a", ""},
	} {
		var to []byte
		if c.to != "" {
			to = []byte(c.to)
		}
		if got := content(t, s, []byte(c.from), to); got != c.want {
			t.Errorf("Scan(%q, %q) = %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// The scanning function decides when a scan ends, and its error arrives as it is.
func scanEnds(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1", "b", "2", "c", "3")
	for _, c := range []struct{ give, want error }{
		{kv.ErrStop, nil},
		{fmt.Errorf("enough: %w", kv.ErrStop), nil},
		{errors.ErrUnsupported, errors.ErrUnsupported},
	} {
		calls := 0
		err := s.Scan(nil, nil, func(key, _ []byte) error {
			if calls++; string(key) == "b" {
				return c.give
			}
			return nil
		})
		if err != c.want || calls != 2 {
			t.Errorf("Scan ended by %v = %v after %d calls, want %v after 2", c.give, err, calls, c.want)
		}
	}
}

// A scan sees the state it began with, and a batch may be applied from inside it.
func scanWhileApplied(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1", "b", "2", "c", "3")
	var seen []string
	err := s.Scan(nil, nil, func(key, val []byte) error {
		seen = append(seen, string(key)+"="+string(val))
		apply(t, s, "b", "-", "c", "new", "d", "new")
		return nil
	})
	if want := []string{"a=1", "b=2", "c=3"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("Scan saw %q, %v; want %q", seen, err, want)
	}
	wantContent(t, s, "a=1 c=new d=new")
}

// Neither a batch used again nor a changed result reaches what is stored.
func slicesAreCopies(t *testing.T, open Opener) {
	s := fresh(t, open)
	key, val := []byte("key"), []byte("value")
	var b kv.Batch
	b.Set(key, val)
	copy(key, "xxx")
	copy(val, "xxxxx")
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Set([]byte("other"), []byte("batch"))
	got, err := s.Get([]byte("key"))
	if err != nil || string(got) != "value" {
		t.Fatalf("Get = %q, %v; want %q", got, err, "value")
	}
	clear(got)
	wantContent(t, s, "key=value")
}

func snapshotStays(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1", "b", "2")
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, "a", "9", "b", "-", "c", "3")
	wantContent(t, snap, "a=1 b=2")
	wantContent(t, s, "a=9 c=3")
	if v, err := snap.Get([]byte("b")); err != nil || string(v) != "2" {
		t.Errorf("Get(b) of the snapshot = %q, %v; want 2", v, err)
	}
	if v, err := snap.Get([]byte("c")); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("Get(c) of the snapshot = %q, %v; want ErrNotFound", v, err)
	}
	if err := snap.Close(); err != nil {
		t.Errorf("Close of the snapshot = %v", err)
	}
}

// A batch with one bad change is refused as a whole, and that is not a failure of the store.
func badBatch(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "a", "1")
	for name, key := range map[string][]byte{"empty key": nil, "long key": make([]byte, kv.MaxKeyBytes+1)} {
		var b kv.Batch
		b.Set([]byte("a"), []byte("2"))
		b.Set(key, []byte("x"))
		b.Delete([]byte("a"))
		if err := s.Apply(&b); err == nil {
			t.Errorf("%s: Apply took it", name)
		}
	}
	apply(t, s, "b", "2", string(make([]byte, kv.MaxKeyBytes)), "longest")
	if got := content(t, s, []byte("a"), nil); got != "a=1 b=2" {
		t.Errorf("content is %q, want %q", got, "a=1 b=2")
	}
}

// A block of full size goes in and comes back.
func bigBatch(t *testing.T, open Opener) {
	s := fresh(t, open)
	var b kv.Batch
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for i := range 16 {
		body[0] = byte(i)
		b.Set(fmt.Appendf(nil, "body/%02d", i), body)
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := s.Scan(nil, nil, func(_, val []byte) error {
		if len(val) != len(body) || val[0] != byte(n) || !bytes.Equal(val[1:], body[1:]) {
			t.Errorf("body %d came back changed", n)
		}
		n++
		return nil
	})
	if err != nil || n != 16 {
		t.Errorf("Scan found %d bodies, %v; want 16", n, err)
	}
}

// Goal: no reader ever sees half a batch. Method: a writer keeps two keys equal; readers look at both.
func atomicToReaders(t *testing.T, open Opener) {
	s := fresh(t, open)
	apply(t, s, "x", "0", "y", "0")
	const writes, readers = 200, 3
	done := make(chan struct{})
	results := make(chan error, readers)
	for range readers {
		go func() { results <- watchPair(s, done) }()
	}
	for i := range writes {
		apply(t, s, "x", fmt.Sprint(i), "y", fmt.Sprint(i))
	}
	close(done)
	for range readers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// watchPair compares x and y, by scan and in snapshots, until done.
func watchPair(s kv.Store, done <-chan struct{}) error {
	for {
		var scanned []string
		if err := s.Scan(nil, nil, func(_, val []byte) error {
			scanned = append(scanned, string(val))
			return nil
		}); err != nil {
			return err
		}
		if len(scanned) != 2 || scanned[0] != scanned[1] {
			return fmt.Errorf("a scan saw half a batch: %q", scanned)
		}
		if err := comparePair(s); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		default:
		}
	}
}

func comparePair(s kv.Store) (err error) {
	snap, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	x, errX := snap.Get([]byte("x"))
	y, errY := snap.Get([]byte("y"))
	if errX != nil || errY != nil || !bytes.Equal(x, y) {
		return fmt.Errorf("a snapshot saw half a batch: x=%q %v, y=%q %v", x, errX, y, errY)
	}
	return nil
}

// Goal: any sequence of batches, snapshots and reopenings behaves like a sorted map that is never forgotten.
func model(t *testing.T, open Opener) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &machine{t: t, open: open, dir: fmt.Sprintf("%s/%d", dir, run), want: map[string]string{}}
		m.s = open(t, m.dir)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			m.step(rt)
		}
		m.release(rt)
		if err := m.s.Close(); err != nil {
			rt.Errorf("Close() = %v", err)
		}
	})
}

// A machine runs a store beside the map that it should equal.
type machine struct {
	t    testing.TB
	open Opener
	dir  string
	s    kv.Store
	want map[string]string

	snap     kv.Snapshot // nil if none is open
	wantSnap map[string]string
}

func (m *machine) step(rt *rapid.T) {
	switch rapid.SampledFrom([]string{"apply", "apply", "apply", "snapshot", "reopen"}).Draw(rt, "do") {
	case "apply":
		m.apply(rt)
	case "snapshot":
		m.release(rt)
		snap, err := m.s.Snapshot()
		if err != nil {
			rt.Fatalf("Snapshot() = %v", err)
		}
		m.snap, m.wantSnap = snap, maps.Clone(m.want)
	case "reopen":
		m.release(rt)
		if err := m.s.Close(); err != nil {
			rt.Fatalf("Close() = %v", err)
		}
		m.s = m.open(m.t, m.dir)
	}
	equalMap(rt, m.s, m.want)
	if m.snap != nil {
		equalMap(rt, m.snap, m.wantSnap)
	}
}

func (m *machine) apply(rt *rapid.T) {
	var b kv.Batch
	for range rapid.IntRange(0, 12).Draw(rt, "ops") {
		keys := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 1, 3, -1)
		key := keys.Draw(rt, "key")
		switch rapid.SampledFrom([]string{"set", "set", "set", "delete", "delete range"}).Draw(rt, "op") {
		case "delete":
			b.Delete([]byte(key))
			delete(m.want, key)
			continue
		case "delete range":
			to := keys.Draw(rt, "to")
			b.DeleteRange([]byte(key), []byte(to))
			maps.DeleteFunc(m.want, func(k, _ string) bool { return key <= k && k < to })
			continue
		}
		val := rapid.StringN(0, 5, -1).Draw(rt, "val")
		b.Set([]byte(key), []byte(val))
		m.want[key] = val
	}
	if err := m.s.Apply(&b); err != nil {
		rt.Fatalf("Apply() = %v", err)
	}
}

func (m *machine) release(rt *rapid.T) {
	if m.snap == nil {
		return
	}
	if err := m.snap.Close(); err != nil {
		rt.Fatalf("Close of the snapshot = %v", err)
	}
	m.snap = nil
}

// equalMap compares every key, a random range, and the lookup of each key.
func equalMap(rt *rapid.T, r kv.Reader, want map[string]string) {
	from := rapid.SampledFrom([]string{"", "\x00", "a", "ab", "b"}).Draw(rt, "from")
	for _, bound := range []string{"", from} {
		var got, sorted []string
		if err := r.Scan([]byte(bound), nil, func(key, val []byte) error {
			got = append(got, fmt.Sprintf("%q=%q", key, val))
			return nil
		}); err != nil {
			rt.Fatalf("Scan() = %v", err)
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if key >= bound {
				sorted = append(sorted, fmt.Sprintf("%q=%q", key, want[key]))
			}
		}
		if !slices.Equal(got, sorted) {
			rt.Fatalf("Scan from %q = %v, want %v", bound, got, sorted)
		}
	}
	for key, val := range want {
		if got, err := r.Get([]byte(key)); err != nil || string(got) != val {
			rt.Fatalf("Get(%q) = %q, %v; want %q", key, got, err, val)
		}
	}
}
