package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/kvtest"
	"github.com/lamppost/lamppost/internal/kv/pebble"
)

func TestContract(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, func(t testing.TB, dir string) kv.Store {
		s, err := pebble.Open(dir, pebble.Options{NoFsync: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Goal: a power cut at any moment loses no acknowledged batch and leaves no part of another.
// Method: while batches are written, take copies of what a disk would hold if the power failed just then – synced bytes
// for certain, of the others any part – open each copy and compare.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	lost, cuts := cutPower(t, pebble.Options{})
	if lost != 0 {
		t.Errorf("%d of %d power cuts lost acknowledged batches", lost, cuts)
	}
}

// The test above can fail: without fsync the same power cuts do lose batches. Even then none is torn.
func TestPowerCutWithoutFsync(t *testing.T) {
	t.Parallel()
	if lost, cuts := cutPower(t, pebble.Options{NoFsync: true}); lost == 0 {
		t.Errorf("none of %d power cuts lost anything although nothing was synced", cuts)
	}
}

const cutBatches = 60

// cutPower writes batches and cuts the power again and again; it returns how many cuts lost an acknowledged batch.
func cutPower(t *testing.T, o pebble.Options) (lost, cuts int) {
	disk := vfs.NewCrashableMem()
	s, err := pebble.OpenFS(disk, "deep/data", o)
	if err != nil {
		t.Fatal(err)
	}
	var acked atomic.Int64
	written := make(chan error, 1)
	go func() { written <- writeAll(s, &acked) }()
	for seed, last := uint64(0), false; !last; seed++ {
		floor := int(acked.Load())
		// The last cut, after all is acknowledged, keeps nothing that was not synced.
		last = floor == cutBatches && seed%3 == 0
		clone := disk.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: int(seed%3) * 50,
			RNG:                 rand.New(rand.NewPCG(seed, 1)),
		})
		if found := recovered(t, clone, o); found < floor {
			lost++
		}
		cuts++
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	return lost, cuts
}

// writeAll writes batch i: the counter and three bodies that all say i.
func writeAll(s kv.Store, acked *atomic.Int64) error {
	var b kv.Batch
	for i := 1; i <= cutBatches; i++ {
		b.Reset()
		b.Set([]byte("count"), fmt.Append(nil, i))
		for part := range 3 {
			b.Set(fmt.Appendf(nil, "body/%03d/%d", i, part), bytes.Repeat([]byte{byte(i)}, 5000))
		}
		b.Delete(fmt.Appendf(nil, "body/%03d/0", i-1))
		if err := s.Apply(&b); err != nil {
			return err
		}
		acked.Store(int64(i))
	}
	return nil
}

// recovered opens what a power cut left and returns how many batches are there; each must be whole.
func recovered(t *testing.T, disk vfs.FS, o pebble.Options) int {
	t.Helper()
	s, err := pebble.OpenFS(disk, "deep/data", o)
	if err != nil {
		t.Fatalf("opening after a power cut: %v", err)
	}
	defer s.Close()
	count := 0
	if val, err := s.Get([]byte("count")); err == nil {
		fmt.Sscan(string(val), &count)
	}
	want := max(0, 2*count+1) // two bodies of every batch, and the first of the last one
	if count == 0 {
		want = 0
	}
	bodies := 0
	err = s.Scan([]byte("body/"), []byte("body0"), func(key, val []byte) error {
		var i, part int
		fmt.Sscanf(string(key), "body/%d/%d", &i, &part)
		if i > count || len(val) != 5000 || val[0] != byte(i) {
			t.Errorf("with %d batches there, key %q has %d bytes", count, key, len(val))
		}
		bodies++
		return nil
	})
	if err != nil || bodies != want {
		t.Errorf("with %d batches there, %d bodies, %v; want %d", count, bodies, err, want)
	}
	return count
}

// A disk that fails while the log is written makes Apply return an error, not end the process, and the store then takes
// nothing more; what was acknowledged before is found by whoever opens the folder next.
func TestDiskError(t *testing.T) {
	t.Parallel()
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData} {
		mem := vfs.NewCrashableMem()
		broken := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.HasSuffix(op.Path, ".log") && op.Kind == kind {
				return errorfs.ErrInjected
			}
			return nil
		})}
		var told bytes.Buffer
		s, err := pebble.OpenFS(errorfs.Wrap(mem, broken), "data", pebble.Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		set := func(key string) error {
			var b kv.Batch
			b.Set([]byte(key), []byte("x"))
			return s.Apply(&b)
		}
		if err := set("before"); err != nil {
			t.Fatal(err)
		}
		broken.On()
		err = set("during")
		if err == nil || !strings.Contains(err.Error(), "injected error") {
			t.Fatalf("kind %d: Apply on a broken disk = %v", kind, err)
		}
		broken.Off()
		if err := set("after"); err == nil {
			t.Errorf("kind %d: a failed store took another batch", kind)
		}
		if err := s.Close(); err != nil {
			t.Errorf("kind %d: Close() = %v", kind, err)
		}
		if !strings.Contains(told.String(), "injected error") {
			t.Errorf("kind %d: the log says nothing of the disk: %q", kind, told.String())
		}
		again, err := pebble.OpenFS(mem.CrashClone(vfs.CrashCloneCfg{}), "data", pebble.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Get([]byte("before")); err != nil {
			t.Errorf("kind %d: the acknowledged batch is gone: %v", kind, err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whoever starts a second node on one folder reads which folder it is and what to do; whether the first one is in this
// process or in another one.
func TestFolderInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := pebble.Open(dir, pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = pebble.Open(dir, pebble.Options{})
	wantInUse(t, dir, err)

	cmd := exec.Command(os.Args[0], "-test.run=^TestOpenInOtherProcess$")
	cmd.Env = append(os.Environ(), "KV_PEBBLE_OPEN="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("second process: %v\n%s", err, out)
	}
	said, _, _ := strings.Cut(string(out), "\n")
	wantInUse(t, dir, errors.New(said))
}

// TestOpenInOtherProcess is the second process of TestFolderInUse; run by itself it does nothing.
func TestOpenInOtherProcess(t *testing.T) {
	dir := os.Getenv("KV_PEBBLE_OPEN")
	if dir == "" {
		t.Skip("only as a child process")
	}
	_, err := pebble.Open(dir, pebble.Options{})
	fmt.Println(err)
}

func wantInUse(t *testing.T, dir string, err error) {
	t.Helper()
	for _, want := range []string{dir, "in use", "stop that one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("opening a folder in use = %v, want it to say %q", err, want)
		}
	}
}

// A folder that cannot be one is not "in use".
func TestFolderUnusable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := pebble.Open(file, pebble.Options{}); err == nil {
		s.Close()
		t.Error("opened a file as a folder")
	} else if strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), file) {
		t.Errorf("opening a file as a folder = %v", err)
	}
}

// An unclosed snapshot is a leak, and Close says so instead of hiding it.
func TestCloseReportsLeak(t *testing.T) {
	t.Parallel()
	s, err := pebble.OpenFS(vfs.NewMem(), "data", pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err == nil {
		t.Error("Close() with an open snapshot = nil, want an error")
	}
}

// BenchmarkApply writes blocks as a busy node does – one body of 256 KiB that hardly compresses, and 400 small state
// keys all over the place – and says how often each byte is written to tables in the end.
func BenchmarkApply(b *testing.B) {
	s, err := pebble.Open(b.TempDir(), pebble.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 256<<10)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	var batch kv.Batch
	block, size := 0, 0
	for b.Loop() {
		batch.Reset()
		batch.Set(fmt.Appendf(nil, "b%010d", block), body)
		for range 400 {
			batch.Set(fmt.Appendf(nil, "s%08d", rng.IntN(100_000)), body[:100])
		}
		if err := s.Apply(&batch); err != nil {
			b.Fatal(err)
		}
		block++
		size += batch.Bytes()
	}
	b.SetBytes(int64(size / block))
	b.ReportMetric(s.WriteAmplification(), "table-bytes/byte")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// Goal: after Purge nothing that was deleted or replaced is in any file, wherever it stood: log, tables of any level. Method: look
// for the bytes in the files, before, to be sure that they would be found, and after.
func TestPurge(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]pebble.Options{"many tables": {MemTableBytes: 256 << 10}, "one table": {}} {
		t.Run(name, func(t *testing.T) { t.Parallel(); checkPurge(t, o) })
	}
}

func checkPurge(t *testing.T, o pebble.Options) {
	dir := filepath.Join(t.TempDir(), "db")
	s, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	secret := func(i int) string { return fmt.Sprintf("secret %d of somebody", i) }
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func() []byte {
		b := make([]byte, 2000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	var b kv.Batch
	for i := range 400 { // several memory tables
		b.Reset()
		b.Set(fmt.Appendf(nil, "a/%04d", i), append(noise(), secret(i)...))
		b.Set(fmt.Appendf(nil, "k/%04d", i), noise())
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	found := func() (n int) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			for i := range 400 {
				n += bytes.Count(data, []byte(secret(i)))
			}
		}
		return n
	}
	if n := found(); n < 100 {
		t.Fatalf("only %d secrets can be found in the files: the search is not worth much", n)
	}
	b.Reset()
	b.DeleteRange([]byte("a/"), []byte("a/0300"))
	for i := 300; i < 350; i++ {
		b.Delete(fmt.Appendf(nil, "a/%04d", i))
	}
	for i := 350; i < 400; i++ {
		b.Set(fmt.Appendf(nil, "a/%04d", i), []byte("replaced"))
	}
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Errorf("%d secrets are still in the files", n)
	}
	if v, err := s.Get([]byte("a/0399")); err != nil || string(v) != "replaced" {
		t.Errorf("Get = %q, %v", v, err)
	}
}

// Goal: what was read is found in memory again, however much is just being written. The library takes the memory of what it gathers
// out of the cache's, which left none.
func TestCacheHolds(t *testing.T) {
	t.Parallel()
	s, err := pebble.Open(t.TempDir(), pebble.Options{CacheBytes: 4 << 20, MemTableBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	key := func(i int) []byte { return fmt.Appendf(nil, "k%05d", i) }
	val := make([]byte, 2000)
	var b kv.Batch
	for i := range 5000 {
		for j := range val {
			val[j] = byte(rng.Uint32())
		}
		b.Reset()
		b.Set(key(i), val)
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact([]byte("k"), []byte("l")); err != nil {
		t.Fatal(err)
	}
	var before int64
	for range 2 {
		before = s.CacheMisses()
		for i := range 200 {
			if _, err := s.Get(key(20 * i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if again := s.CacheMisses() - before; again > 20 {
		t.Errorf("%d of 200 keys were read from disk a second time", again)
	}
}
