package snapshot_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/snapshot"
)

var head = snapshot.Head{Network: "net", Height: 7, Time: 1_800_000_000_000, Size: 20, Root: lamppost.Hash{1}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a snapshot of a state with an edge and a proof of a few bytes.
func write(t testing.TB, h snapshot.Head, state map[string]string) ([]byte, lamppost.Hash) {
	t.Helper()
	var out bytes.Buffer
	w, err := snapshot.NewWriter(&out, h, []byte("edge"))
	must(t, err)
	for _, k := range slices.Sorted(maps.Keys(state)) {
		must(t, w.Add([]byte(k), []byte(state[k])))
	}
	digest, err := w.Digest()
	must(t, err)
	must(t, w.End([]byte("proof")))
	return out.Bytes(), digest
}

func open(raw []byte) (*snapshot.File, error) {
	return snapshot.Open(bytes.NewReader(raw), int64(len(raw)))
}

// read returns all that is in a file.
func read(raw []byte) (state map[string]string, err error) {
	f, err := open(raw)
	if err != nil {
		return nil, err
	}
	if _, err := f.Edge(); err != nil {
		return nil, err
	}
	state = map[string]string{}
	return state, f.Each(func(k, v []byte) error { state[string(k)] = string(v); return nil }, func() error { return nil })
}

// big is a state of several chunks.
func big() map[string]string {
	rnd := rand.New(rand.NewPCG(1, 2))
	state := map[string]string{}
	for i := range 3000 {
		val := make([]byte, rnd.IntN(1500))
		for j := range val {
			val[j] = byte(rnd.Uint32())
		}
		state[fmt.Sprintf("s%05d", i)] = string(val)
	}
	return state
}

// What is written is read, and the digest says all of it: other contents, or another place, give another one.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		state := rapid.MapOfN(rapid.StringN(1, 30, 60), rapid.String(), 0, 20).Draw(rt, "state")
		raw, digest := write(t, head, state)
		f, err := open(raw)
		must(t, err)
		edge, err := f.Edge()
		must(t, err)
		if f.Head() != head || f.Digest() != digest || string(f.Proof()) != "proof" || string(edge) != "edge" {
			rt.Fatalf("read %+v, digest %v, want %v; proof %q, edge %q", f.Head(), f.Digest(), digest, f.Proof(), edge)
		}
		if got, err := read(raw); err != nil || !maps.Equal(got, state) {
			rt.Fatalf("read %v, %v; want %v", got, err, state)
		}
		other := maps.Clone(state)
		other["zzz"] = "more"
		elsewhere := head
		elsewhere.Height++
		_, a := write(t, head, other)
		_, b := write(t, elsewhere, state)
		if a == digest || b == digest {
			rt.Fatal("the digest does not say everything")
		}
	})
}

// Keys must ascend, so that there is one order.
func TestKeysAscend(t *testing.T) {
	t.Parallel()
	w, err := snapshot.NewWriter(new(bytes.Buffer), head, nil)
	must(t, err)
	must(t, w.Add([]byte("sb"), nil))
	for _, k := range []string{"sa", "sb", "", strings.Repeat("x", 2000)} {
		if w.Add([]byte(k), nil) == nil {
			t.Errorf("key %q was taken after sb", k)
		}
	}
}

// Goal: no bit of a file can change without being noticed, and what is wrong is said with its place. Of the proof, which is for
// others to check, only the length is known here.
func TestDamage(t *testing.T) {
	t.Parallel()
	raw, digest := write(t, head, big())
	good, err := open(raw)
	must(t, err)
	if n := good.Chunks(); n < 3 {
		t.Fatalf("only %d chunks", n)
	}
	proof := bytes.LastIndex(raw, []byte("proof"))
	rnd := rand.New(rand.NewPCG(3, 4))
	flips := map[int]bool{}
	for range 60 {
		flips[rnd.IntN(8*len(raw))] = true
	}
	for at := 8 * (proof - 300); at < 8*len(raw); at += 3 {
		flips[at] = true
	}
	for at := range flips {
		if at/8 >= proof && at/8 < proof+len("proof") {
			continue
		}
		bad := bytes.Clone(raw)
		bad[at/8] ^= 1 << (at % 8)
		f, err := open(bad)
		if err == nil {
			err = f.Verify()
		}
		var damaged *snapshot.DamagedError
		if err == nil && f.Digest() == digest {
			t.Errorf("bit %d of %d: nobody noticed", at, 8*len(raw))
		} else if err != nil && !errors.As(err, &damaged) {
			t.Errorf("bit %d: %v is no %T", at, err, damaged)
		}
	}
	for _, n := range []int{0, 3, 15, 16, len(raw) / 2, len(raw) - 1} {
		if f, err := open(raw[:n]); err == nil && f.Verify() == nil {
			t.Errorf("cut to %d bytes: nobody noticed", n)
		}
	}
}

// Whatever stands in a file: it is refused or read, with no more memory than its footer has bytes to say so, and what was read
// whole can be written again.
func FuzzOpen(f *testing.F) {
	raw, _ := write(f, head, map[string]string{"sa": "1", "sb": "2"})
	f.Add(raw)
	empty, _ := write(f, head, nil)
	f.Add(empty)
	f.Add([]byte("LPS1\x00\x00\x00\x00\x00\x00\x00\x00LPS1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := open(raw)
		if err != nil {
			return
		}
		edge, err := file.Edge()
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := snapshot.NewWriter(&out, file.Head(), edge)
		must(t, err)
		if file.Each(w.Add, func() error { return nil }) != nil {
			return
		}
		_, err = w.Digest()
		must(t, err)
		must(t, w.End(file.Proof()))
		if _, err := read(out.Bytes()); err != nil {
			t.Fatalf("what was read and written again: %v", err)
		}
	})
}

// The file of the documents reads as it says.
func TestVector(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/vector.txt")
	must(t, err)
	given := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, val, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(key, "//") {
			given[key] += val
		}
	}
	raw, err := hex.DecodeString(given["hex"])
	must(t, err)
	f, err := open(raw)
	must(t, err)
	state, err := read(raw)
	must(t, err)
	edge, err := f.Edge()
	must(t, err)
	h := f.Head()
	got := map[string]string{"hex": given["hex"], "network": h.Network, "height": fmt.Sprint(h.Height), "time": fmt.Sprint(h.Time), "size": fmt.Sprint(h.Size),
		"root": h.Root.String(), "edge": hex.EncodeToString(edge), "state": fmt.Sprint(state), "digest": f.Digest().String(), "proof": hex.EncodeToString(f.Proof())}
	if !maps.Equal(got, given) {
		t.Errorf("got %v\nwant %v", got, given)
	}
}
