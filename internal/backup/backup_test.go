package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/kv"
)

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func part(name, text string) backup.Part {
	return backup.Part{Name: name, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

var head = backup.Head{Network: "net", Member: "north", Height: 7, Size: 20, Root: "ab", Made: 1_800_000_000_000, Version: "test"}

func write(t testing.TB, parts ...backup.Part) []byte {
	t.Helper()
	var out bytes.Buffer
	no(t, backup.Write(context.Background(), &out, head, parts))
	return out.Bytes()
}

// memory gathers parts.
type memory map[string]*bytes.Buffer

func (m memory) create(name string, _ int64) (io.WriteCloser, error) {
	m[name] = new(bytes.Buffer)
	return closing{m[name]}, nil
}

type closing struct{ io.Writer }

func (closing) Close() error { return nil }

func quiet(_, _ int64) {}

// What is written is read, part by part.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	raw := write(t, part("db/000001.sst", "table"), part("log/tile/entries/000", ""), part("member.key", strings.Repeat("k", 100_000)))
	m := memory{}
	var done, all int64
	h, err := backup.Read(context.Background(), bytes.NewReader(raw), m.create, func(d, a int64) { done, all = d, a })
	no(t, err)
	if h.Lamppost != backup.Kind || h.Height != 7 || h.Bytes != 100_005 || done != h.Bytes || all != h.Bytes {
		t.Errorf("head %+v, told of %d of %d bytes", h, done, all)
	}
	if len(m) != 3 || m["db/000001.sst"].String() != "table" || m["member.key"].Len() != 100_000 {
		t.Errorf("parts %v", maps.Collect(maps.All(m)))
	}
}

// Goal: a backup that was changed or cut short anywhere is refused as damaged, and never read as another one.
func TestDamage(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 30_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	raw := write(t, part("a/b", string(noise)), part("c", "text that compresses text that compresses"))
	check := func(what string, bad []byte) {
		t.Helper()
		m := memory{}
		h, err := backup.Read(context.Background(), bytes.NewReader(bad), m.create, quiet)
		var damaged *backup.DamagedError
		if err == nil && (h.Height != 7 || m["a/b"].String() != string(noise) || m["c"] == nil) {
			t.Errorf("%s: read as another", what)
		}
		if err != nil && !errors.As(err, &damaged) {
			t.Errorf("%s: %v is no %T", what, err, damaged)
		}
	}
	missed := 0
	for range 400 {
		at := rnd.IntN(8 * len(raw))
		bad := bytes.Clone(raw)
		bad[at/8] ^= 1 << (at % 8)
		check(fmt.Sprintf("bit %d", at), bad)
		if _, err := backup.Read(context.Background(), bytes.NewReader(bad), nil, quiet); err == nil {
			missed++
		}
	}
	if missed > 2 { // bits of the compressor's frame that mean nothing
		t.Errorf("nobody noticed %d of 400 bits", missed)
	}
	for n := 0; n < len(raw); n += 1 + len(raw)/50 {
		if _, err := backup.Read(context.Background(), bytes.NewReader(raw[:n]), nil, quiet); err == nil {
			t.Errorf("cut to %d bytes: nobody noticed", n)
		}
	}
}

// Parts that would leave the folder, come twice or stand in the wrong place are refused before they are made.
func TestForeignParts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/x", "a/../../x", "a//b", "", "a/./b", `a\b`, strings.Repeat("x", 300), "backup.json", "sums.json"} {
		raw := write(t, part("ok", "1"), part(name, "2"))
		m := memory{}
		if _, err := backup.Read(context.Background(), bytes.NewReader(raw), m.create, quiet); err == nil {
			t.Errorf("part %q was taken: %v", name, m)
		}
		if m[name] != nil {
			t.Errorf("part %q was made", name)
		}
	}
	if _, err := backup.Read(context.Background(), bytes.NewReader(write(t, part("a", "1"), part("a", "2"))), nil, quiet); err == nil {
		t.Error("a part came twice")
	}
	var other bytes.Buffer
	enc, err := zstd.NewWriter(&other)
	no(t, err)
	fmt.Fprint(enc, strings.Repeat("no tar", 1000))
	no(t, enc.Close())
	if _, err := backup.Read(context.Background(), &other, nil, quiet); err == nil {
		t.Error("something else was taken for a backup")
	}
}

// A part that shrinks while it is read ends the backup instead of making a false one.
func TestShrinkingPart(t *testing.T) {
	t.Parallel()
	p := part("x", "abc")
	p.Size = 5
	if err := backup.Write(context.Background(), io.Discard, head, []backup.Part{p}); err == nil || !strings.Contains(err.Error(), "3 bytes of 5") {
		t.Errorf("Write = %v", err)
	}
}

// A node remembers its backups until they are gone, and tells those that are from those that may only be elsewhere.
func TestRecords(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	at := filepath.Join(t.TempDir(), "b.lpb")
	one := backup.Record{Path: at, Host: "here", Device: backup.Device(filepath.Dir(at)), Time: 1_800_000_000_000, Height: 7, Erased: 3}
	two := one
	no(t, backup.Remember(store, &one))
	no(t, backup.Remember(store, &two))
	if one.ID != "20270115-080000" || two.ID != "20270115-080000-2" {
		t.Errorf("ids %q and %q", one.ID, two.ID)
	}
	one.Whole = true
	no(t, backup.Remember(store, &one))
	all, err := backup.Records(store)
	if err != nil || len(all) != 2 || all[0] != one || all[1] != two {
		t.Fatalf("Records = %+v, %v", all, err)
	}
	if !one.Holds(4) || one.Holds(3) {
		t.Error("it holds what was erased after it, and not what was before")
	}
	state := func(host string, want backup.State) {
		t.Helper()
		if got := one.State(host); got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
	}
	state("here", backup.Gone)
	no(t, os.WriteFile(backup.Partial(at), nil, 0o600))
	state("here", backup.There)
	no(t, os.Rename(backup.Partial(at), at))
	state("here", backup.There)
	state("there", backup.Elsewhere)
	no(t, os.Remove(at))
	one.Device++ // another disk is mounted there
	state("here", backup.Elsewhere)
	no(t, backup.Forget(store, one.ID))
	if err := backup.Forget(store, one.ID); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("forgetting twice: %v", err)
	}
}

// Whatever stands in a backup: it is read or refused, and makes no part outside.
func FuzzRead(f *testing.F) {
	f.Add(plain(f, write(f, part("db/x", "1"))))
	f.Add(plain(f, write(f)))
	f.Fuzz(func(t *testing.T, tarred []byte) {
		var raw bytes.Buffer
		enc, err := zstd.NewWriter(&raw, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		no(t, err)
		_, err = enc.Write(tarred)
		no(t, errors.Join(err, enc.Close()))
		_, _ = backup.Read(context.Background(), &raw, func(name string, _ int64) (io.WriteCloser, error) {
			if !filepath.IsLocal(name) {
				t.Fatalf("part %q", name)
			}
			return closing{io.Discard}, nil
		}, quiet)
	})
}

func plain(t testing.TB, raw []byte) []byte {
	dec, err := zstd.NewReader(bytes.NewReader(raw))
	no(t, err)
	defer dec.Close()
	out, err := io.ReadAll(dec)
	no(t, err)
	return out
}
