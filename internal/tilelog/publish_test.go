package tilelog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "net/member"

// newPublisher has a key from a fixed seed, so that runs are equal byte for byte.
func newPublisher(t testing.TB, s tilelog.Storage) *tilelog.Publisher {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), origin)
	if err != nil {
		t.Fatal(err)
	}
	p := &tilelog.Publisher{Origin: origin, Storage: s}
	if p.Signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if p.Verifier, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return p
}

func openDir(t testing.TB, dir string) *tilelog.DirStorage {
	t.Helper()
	d, err := tilelog.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// audit checks what is published as a stranger would, from the files and the member's key alone: every leaf is read
// from its bundle and proved against the checkpoint by x/mod's own tile reader. It returns the checkpoint's size, or -1
// if there is none yet.
func audit(t testing.TB, s tilelog.Storage, v note.Verifier) int64 {
	t.Helper()
	signed, err := s.Get("checkpoint")
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if cosigned, err := s.Get("checkpoint.cosigned"); !errors.Is(err, fs.ErrNotExist) {
		d, _, err := lamppost.OpenCheckpoint(cosigned, note.VerifierList(v))
		if err != nil || d.Size > c.Size || d.Size == c.Size && d != c || !bytes.Contains(cosigned, []byte("\n— w.example ")) {
			t.Fatalf("beside the checkpoint of size %d stands the cosigned one %q: %v", c.Size, cosigned, err)
		}
	}
	if c.Size == 0 { // no tile to read, and x/mod's reader does not know the empty tree
		if tlog.Hash(c.Root) != naiveRoot(nil) {
			t.Fatalf("checkpoint of size 0 has root %v", c.Root)
		}
		return 0
	}
	var indexes []int64
	for i := range c.Size {
		indexes = append(indexes, tlog.StoredHashIndex(0, i))
	}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: tlog.Hash(c.Root)}, tileFiles{s})
	proved, err := reader.ReadHashes(indexes)
	if err != nil {
		t.Fatalf("checkpoint of size %d: %v", c.Size, err)
	}
	for i, leaf := range entries(t, s, c.Size) {
		if tlog.RecordHash(leaf) != proved[i] || !bytes.Equal(leaf, leafText(i)) {
			t.Fatalf("checkpoint of size %d: entry %d is %q, which is not what the tree has", c.Size, i, leaf)
		}
	}
	return c.Size
}

// entries reads the leaves of a log of the given size from its bundles.
func entries(t testing.TB, s tilelog.Storage, size int64) (leaves [][]byte) {
	t.Helper()
	for n := int64(0); n*256 < size; n++ {
		width := min(256, size-n*256)
		bundle, err := readPublished(s, "entries", n, int(width))
		if err != nil {
			t.Fatal(err)
		}
		for range width {
			length := 2 + int(binary.BigEndian.Uint16(bundle))
			leaves = append(leaves, bundle[2:length])
			bundle = bundle[length:]
		}
	}
	return leaves
}

// readPublished reads a tile or bundle by the rules of C2SP tlog-tiles: a partial one may have been removed once the
// complete one is there. The path is spelled out here, not asked of the code under test.
func readPublished(s tilelog.Storage, level string, n int64, width int) ([]byte, error) {
	name := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	path := "tile/" + level + "/" + name
	if width == 256 {
		return s.Get(path)
	}
	data, err := s.Get(fmt.Sprintf("%s.p/%d", path, width))
	if errors.Is(err, fs.ErrNotExist) {
		return s.Get(path)
	}
	return data, err
}

// tileFiles reads tiles for x/mod's own verification.
type tileFiles struct{ s tilelog.Storage }

func (tileFiles) Height() int                     { return 8 }
func (tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (f tileFiles) ReadTiles(tiles []tlog.Tile) (list [][]byte, err error) {
	for _, t := range tiles {
		data, err := readPublished(f.s, fmt.Sprint(t.L), t.N, t.W)
		if err != nil {
			return nil, err
		}
		list = append(list, data[:min(len(data), t.W*tlog.HashSize)])
	}
	return list, nil
}

// served is the folder as a web server shows it: for reading.
type served struct {
	tilelog.Storage // nil: whoever writes panics
	dir             string
}

func (s served) Get(path string) ([]byte, error) { return os.ReadFile(filepath.Join(s.dir, path)) }

// mapStorage is a Storage in memory that removes nothing.
type mapStorage map[string]string

func (m mapStorage) Get(path string) ([]byte, error) {
	data, ok := m[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(data), nil
}

func (m mapStorage) Put(files ...tilelog.File) error {
	for _, f := range files {
		if have, ok := m[f.Path]; ok && have != string(f.Data) {
			return fmt.Errorf("%q has other bytes", f.Path)
		}
		m[f.Path] = string(f.Data)
	}
	return nil
}

func (m mapStorage) PutCheckpoint(path string, old, new []byte) error {
	if have, ok := m[path]; ok != (old != nil) || have != string(old) {
		return fmt.Errorf("%s is %q, not %q", path, have, old)
	}
	m[path] = string(new)
	return nil
}

// blocks is the work of the failure table: leaves per block. They cross the end of a tile by one leaf, hit it exactly
// (2·256), and jump over it.
var blocks = []int{1, 2, 252, 2, 255, 1, 5}

// live is one life of a member on what earlier lives left: open everything, publish what was not, do the blocks that are
// still missing. It is the same code after a crash and without one.
func live(t testing.TB, s kv.Store, d *tilelog.DirStorage) error {
	p := newPublisher(t, d)
	l, err := tilelog.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if l.Size() > 0 {
		if err := publishBoth(t, p, s); err != nil {
			return err
		}
	}
	var done int64
	var b kv.Batch
	for _, n := range blocks {
		first := done
		if done += int64(n); done <= l.Size() {
			continue
		}
		b.Reset()
		for i := range n {
			if err := l.Append(&b, leafText(int(first)+i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Apply(&b); err != nil {
			return err
		}
		l.Committed()
		if err := publishBoth(t, p, s); err != nil {
			return err
		}
	}
	return nil
}

// publishBoth publishes, asks a witness who is quick, and publishes what it cosigned.
func publishBoth(t testing.TB, p *tilelog.Publisher, s kv.Store) error {
	signed, err := p.Publish(s)
	if err != nil {
		return err
	}
	return p.PublishCosigned(s, cosign(t, signed, "w.example"))
}

// cosign adds the signature of a witness, once.
func cosign(t testing.TB, signed []byte, name string) []byte {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	witness, err := lamppost.NewCosigner(name, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	line, err := witness.Cosign(text+"\n", 1_800_000_000)
	if err != nil {
		t.Fatal(err)
	}
	added := "— " + line.Name + " " + line.Base64 + "\n"
	return append(bytes.TrimSuffix(signed, []byte(added)), added...)
}

// A disk counts the writes of all lives and lets one of them fail.
type disk struct {
	failAt int // -1: none
	many   int // files made durable together; 0: as ever
	fault  string
	steps  int
	order  []string
}

var errDisk = errors.New("disk error")

// step has the three fates of a write; "torn" is "written" but for the bytes of a file, of which half arrive. Syncing is
// left out, because nothing in this process can see it: TestOrder sees to that.
func (d *disk) step(dir string) func(op, path string, do func() error) error {
	return func(op, path string, do func() error) error {
		d.order = append(d.order, op+" "+path)
		if strings.HasPrefix(op, "sync") {
			do = func() error { return nil }
		}
		n := d.steps
		d.steps++
		if n != d.failAt {
			return do()
		}
		if d.fault == "failed" {
			return errDisk
		}
		if err := do(); err != nil {
			return err
		}
		if d.fault == "torn" && op == "write" {
			name := filepath.Join(dir, path)
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if err := os.Truncate(name, info.Size()/2); err != nil {
				return err
			}
		}
		return errDisk
	}
}

func (d *disk) plan(int) kv.Fault {
	d.order = append(d.order, "apply")
	n := d.steps
	d.steps++
	switch {
	case n != d.failAt:
		return kv.Works
	case d.fault == "failed":
		return kv.Fails
	}
	return kv.FailsWritten
}

// run lives until all blocks are done, auditing after every death. It returns the number of lives.
func (d *disk) run(t testing.TB, dir string) int {
	t.Helper()
	store := kv.NewFaulty(kv.NewMem(), d.plan)
	published := int64(-1)
	for lives := 1; ; lives++ {
		storage := openDir(t, dir)
		storage.Around(d.step(dir))
		if d.many > 0 {
			storage.Many(d.many)
		}
		err := live(t, store, storage)
		size := audit(t, served{dir: dir}, newPublisher(t, nil).Verifier)
		if size < published {
			t.Fatalf("the published checkpoint went back from size %d to %d", published, size)
		}
		published = size
		if err == nil {
			return lives
		}
		if !errors.Is(err, errDisk) && !errors.Is(err, kv.ErrInjected) {
			t.Fatalf("life %d ended with %v", lives, err)
		}
		store.Reopen()
	}
}

// Goal: whichever write fails, and whether or not it reached the disk, what is published always verifies, and after a
// restart the same code ends with the same files as if nothing had happened. Method: count the writes of a run without
// faults; then for each of them and each fate, a run in which that one fails.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	goldenDir := t.TempDir()
	golden := &disk{failAt: -1}
	if lives := golden.run(t, goldenDir); lives != 1 {
		t.Fatalf("%d lives without a fault", lives)
	}
	want := files(t, goldenDir)
	if len(want) == 0 || golden.steps < 100 {
		t.Fatalf("only %d writes and %d files: the table is not worth much", golden.steps, len(want))
	}
	together := &disk{failAt: -1, many: 2}
	if together.run(t, t.TempDir()); !slices.ContainsFunc(together.order, func(op string) bool { return op == "syncfs ." }) {
		t.Log("no file system is synced here: files are, one by one")
	}
	for n, op := range together.order {
		if op == "syncfs ." || strings.HasPrefix(op, "rename") {
			dir := t.TempDir()
			d := &disk{failAt: n, fault: "failed", many: 2}
			if d.run(t, dir); !maps.Equal(files(t, dir), want) {
				t.Fatalf("write %d (%s): files are\n%s\nwant\n%s", n, op, names(files(t, dir)), names(want))
			}
		}
	}
	for _, fault := range []string{"failed", "written", "torn"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			for n := range golden.steps {
				op, _, _ := strings.Cut(golden.order[n], " ")
				if fault == "torn" && op != "write" || fault == "written" && strings.HasPrefix(op, "sync") {
					continue // the same as another fate
				}
				dir := t.TempDir()
				d := &disk{failAt: n, fault: fault}
				if lives := d.run(t, dir); lives != 2 {
					t.Fatalf("write %d (%s) %s: %d lives, want 2", n, golden.order[n], fault, lives)
				}
				if got := files(t, dir); !maps.Equal(got, want) {
					t.Fatalf("write %d (%s) %s: files are\n%s\nwant\n%s", n, golden.order[n], fault, names(got), names(want))
				}
			}
		})
	}
}

func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		found[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func names(m map[string]string) string { return strings.Join(slices.Sorted(maps.Keys(m)), "\n") }

// The order of file operations is what survives a power cut, so it is fixed here, operation by operation: data synced
// before it has its name, the name synced before anything relies on it, the checkpoint last, and partial tiles removed
// only after the complete one is durable.
func TestOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storage := openDir(t, dir)
	d := &disk{failAt: -1}
	storage.Around(d.step(dir))
	s := kv.NewMem()
	l := open(t, s)
	p := newPublisher(t, storage)
	for _, block := range []struct {
		leaves int
		want   string
	}{
		{0, `
write checkpoint.tmp
sync checkpoint.tmp
rename checkpoint
syncdir .`},
		{1, `
mkdir tile
syncdir .
mkdir tile/entries
syncdir tile
mkdir tile/entries/000.p
syncdir tile/entries
mkdir tile/0
syncdir tile
mkdir tile/0/000.p
syncdir tile/0
write tile/entries/000.p/1.tmp
write tile/0/000.p/1.tmp
sync tile/entries/000.p/1.tmp
sync tile/0/000.p/1.tmp
rename tile/entries/000.p/1
rename tile/0/000.p/1
syncdir tile/entries/000.p
syncdir tile/0/000.p
write checkpoint.tmp
sync checkpoint.tmp
rename checkpoint
syncdir .`},
		{255, `
mkdir tile/1
syncdir tile
mkdir tile/1/000.p
syncdir tile/1
write tile/entries/000.tmp
write tile/0/000.tmp
write tile/1/000.p/1.tmp
sync tile/entries/000.tmp
sync tile/0/000.tmp
sync tile/1/000.p/1.tmp
rename tile/entries/000
rename tile/0/000
rename tile/1/000.p/1
syncdir tile/entries
syncdir tile/0
syncdir tile/1/000.p
trim tile/entries/000
trim tile/0/000
write checkpoint.tmp
sync checkpoint.tmp
rename checkpoint
syncdir .`},
		{0, `
syncdir .`},
	} {
		d.order = nil
		first := int(l.Size())
		for i := range block.leaves {
			appendBlock(t, s, l, leafText(first+i))
		}
		if _, err := p.Publish(s); err != nil {
			t.Fatal(err)
		}
		if got := "\n" + strings.Join(d.order, "\n"); got != block.want {
			t.Errorf("from size %d to %d:%s\nwant%s", first, l.Size(), got, block.want)
		}
		if size := audit(t, storage, p.Verifier); size != l.Size() {
			t.Errorf("published size %d, want %d", size, l.Size())
		}
	}
}

// The example of C2SP tlog-tiles, "Partial Tiles": what a tree of 70,000 leaves is represented by, level by level. It is
// published in three steps of unequal size, the way a log grows.
func TestSpecificationExample(t *testing.T) {
	t.Parallel()
	s := kv.NewMem()
	l := open(t, s)
	storage := mapStorage{}
	p := newPublisher(t, storage)
	for _, size := range []int64{65_535, 65_536, 70_000} {
		var block [][]byte
		for i := l.Size(); i < size; i++ {
			block = append(block, leafText(int(i)))
		}
		appendBlock(t, s, l, block...)
		if _, err := p.Publish(s); err != nil {
			t.Fatal(err)
		}
		if got := audit(t, storage, p.Verifier); got != size {
			t.Fatalf("published size %d, want %d", got, size)
		}
	}
	full := map[string]int{}
	for path := range storage {
		if level, ok := strings.CutPrefix(filepath.Dir(path), "tile/"); ok && !strings.Contains(path, ".p/") {
			full[level]++
		}
	}
	if want := map[string]int{"0": 273, "1": 1, "entries": 273}; !maps.Equal(full, want) {
		t.Errorf("complete tiles per level %v, want %v", full, want)
	}
	for path, width := range map[string]int{"tile/0/273.p/112": 112, "tile/1/001.p/17": 17, "tile/2/000.p/1": 1} {
		if got := len(storage[path]); got != width*32 {
			t.Errorf("%s has %d bytes, want %d hashes", path, got, width)
		}
	}
}

func TestTilePath(t *testing.T) {
	t.Parallel()
	for want, tile := range map[string]tlog.Tile{
		"tile/0/x001/x234/067":           {H: 8, L: 0, N: 1234067, W: 256},
		"tile/5/000.p/255":               {H: 8, L: 5, N: 0, W: 255},
		"tile/entries/x001/x234/067.p/8": {H: 8, L: -1, N: 1234067, W: 8},
		"tile/entries/999":               {H: 8, L: -1, N: 999, W: 256},
	} {
		if got := tilelog.TilePath(tile); got != want {
			t.Errorf("path of %+v is %q, want %q", tile, got, want)
		}
	}
}

// A member whose store is older than, or different from, what it signed must not sign on: that is how histories fork.
func TestPublishConflict(t *testing.T) {
	t.Parallel()
	published := func() (mapStorage, string) {
		s, _ := newLog(t, 300)
		storage := mapStorage{}
		if _, err := newPublisher(t, storage).Publish(s); err != nil {
			t.Fatal(err)
		}
		return storage, storage["checkpoint"]
	}
	other := func(n int) *kv.Mem {
		s := kv.NewMem()
		l := open(t, s)
		for i := range n {
			appendBlock(t, s, l, fmt.Appendf(nil, "other %d", i))
		}
		return s
	}
	shorter, _ := newLog(t, 299)
	for name, c := range map[string]struct {
		store *kv.Mem
		says  string
	}{
		"older store":                    {shorter, "older than what was signed"},
		"another history":                {other(301), "different histories"},
		"another history, the same size": {other(300), "different histories"},
	} {
		storage, checkpoint := published()
		before := maps.Clone(storage)
		_, err := newPublisher(t, storage).Publish(c.store)
		var conflict *tilelog.ConflictError
		if !errors.As(err, &conflict) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Publish = %v, want a %T that says %q", name, err, conflict, c.says)
			continue
		}
		if string(conflict.Published) != checkpoint || conflict.Size != 300 {
			t.Errorf("%s: evidence is %q of size %d, want %q", name, conflict.Published, conflict.Size, checkpoint)
		}
		if !maps.Equal(storage, before) {
			t.Errorf("%s: files were written all the same", name)
		}
	}
}

// Goal: a store that remembers what it published is trusted to continue it, but a leaf that changed in it since is not
// signed, and neither is another store with a memory of its own.
func TestPublishDamagedStore(t *testing.T) {
	t.Parallel()
	s, files := kv.NewMem(), mapStorage{}
	l := open(t, s)
	step := func(s kv.Store, l *tilelog.Log, files tilelog.Storage, n int) {
		t.Helper()
		for range n {
			appendBlock(t, s, l, leafText(int(l.Size())))
		}
		if _, err := newPublisher(t, files).Publish(s); err != nil {
			t.Fatal(err)
		}
		var b kv.Batch
		tilelog.Trim(&b, lamppost.Checkpoint{Size: l.Size(), Root: lamppost.Hash(l.Root())})
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	step(s, l, files, 10)
	step(s, l, files, 5)
	appendBlock(t, s, l, leafText(15))
	var b kv.Batch
	b.Set([]byte("tl\x00\x00\x00\x00\x00\x00\x00\x0f"), []byte("leaf 5"))
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	before := files["checkpoint"]
	if _, err := newPublisher(t, files).Publish(s); err == nil || !strings.Contains(err.Error(), "do not lead to its root") {
		t.Errorf("a changed leaf: Publish = %v", err)
	}
	other := kv.NewMem()
	ol := open(t, other)
	appendBlock(t, other, ol, []byte("other"))
	step(other, ol, mapStorage{}, 20)
	var conflict *tilelog.ConflictError
	if _, err := newPublisher(t, files).Publish(other); !errors.As(err, &conflict) {
		t.Errorf("another store: Publish = %v, want a conflict", err)
	}
	if files["checkpoint"] != before {
		t.Error("a checkpoint was signed all the same")
	}
}

// What else can be wrong with what is published, or with what is asked, is an error, and nothing is overwritten.
func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t, 10)
	foreign, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: "net/other"}, otherSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	published := func(change func(mapStorage)) mapStorage {
		storage := mapStorage{}
		five, _ := newLog(t, 5)
		if _, err := newPublisher(t, storage).Publish(five); err != nil {
			t.Fatal(err)
		}
		change(storage)
		return storage
	}
	for name, c := range map[string]struct {
		storage mapStorage
		says    string
	}{
		"checkpoint of another":  {mapStorage{"checkpoint": string(foreign)}, "net/member"},
		"checkpoint damaged":     {mapStorage{"checkpoint": "net/member\n"}, "malformed"},
		"other tile published":   {mapStorage{"tile/0/000.p/10": "x"}, "other bytes"},
		"other bundle published": {mapStorage{"tile/entries/000.p/10": "x"}, "other bytes"},
		"tile gone":              {published(func(m mapStorage) { delete(m, "tile/0/000.p/5") }), "does not exist"},
		"tile short":             {published(func(m mapStorage) { m["tile/0/000.p/5"] = "x" }), "has 1 bytes, not 5 hashes"},
		"bundle short":           {published(func(m mapStorage) { m["tile/entries/000.p/5"] = "\x00\x06leaf 0" }), "entry 1: the bundle ends before it"},
		"tile and bundle of other leaves": {published(func(m mapStorage) {
			other := kv.NewMem()
			appendBlock(t, other, open(t, other), []byte("a"), []byte("b"), []byte("c"), []byte("d"), []byte("e"))
			files, _ := publish(t, other)
			m["tile/0/000.p/5"], m["tile/entries/000.p/5"] = files["tile/0/000.p/5"], files["tile/entries/000.p/5"]
		}), "do not lead to the checkpoint"},
	} {
		checkpoint := c.storage["checkpoint"]
		_, err := newPublisher(t, c.storage).Publish(s)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Publish = %v, want an error that says %q", name, err, c.says)
		}
		if c.storage["checkpoint"] != checkpoint {
			t.Errorf("%s: the checkpoint was replaced", name)
		}
	}
	gap, _ := newLog(t, 10)
	var b kv.Batch
	b.Delete([]byte("tl\x00\x00\x00\x00\x00\x00\x00\x07"))
	if err := gap.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := newPublisher(t, mapStorage{}).Publish(gap); err == nil || !strings.Contains(err.Error(), "leaf 7 is missing") {
		t.Errorf("a leaf is missing: Publish = %v", err)
	}
	p := newPublisher(t, mapStorage{})
	p.Signer = otherSigner(t)
	if _, err := p.Publish(s); err == nil {
		t.Error("signed with the key of another member: no error")
	}
	if len(p.Storage.(mapStorage)["checkpoint"]) != 0 {
		t.Error("signed with the key of another member: published")
	}
}

func otherSigner(t testing.TB) note.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte("other"))
	skey, _, err := note.GenerateKey(bytes.NewReader(seed[:]), "net/other")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// What is signed is the naive tree's root under the member's origin.
func TestPublishedCheckpoint(t *testing.T) {
	t.Parallel()
	s, leaves := newLog(t, 257)
	signed, err := newPublisher(t, mapStorage{}).Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	root := naiveRoot(leaves)
	want := "net/member\n257\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n\n— net/member "
	if !strings.HasPrefix(string(signed), want) {
		t.Errorf("checkpoint is %q, want it to begin with %q", signed, want)
	}
}

// The folder keeps the contract of Storage: nothing published changes, the checkpoint only from what it was, and no path
// leads outside.
func TestDirStorage(t *testing.T) {
	t.Parallel()
	d := openDir(t, filepath.Join(t.TempDir(), "new", "folder"))
	put := func(path, data string) error { return d.Put(tilelog.File{Path: path, Data: []byte(data)}) }
	steps := []struct {
		name string
		err  error
		ok   bool
	}{
		{"put", put("tile/0/000", "a"), true},
		{"put the same again", put("tile/0/000", "a"), true},
		{"put other bytes", put("tile/0/000", "b"), false},
		{"put outside", put("../x", "b"), false},
		{"trim outside", d.Trim("../x"), false},
		{"trim what has no partial versions", d.Trim("tile/0/000"), true},
		{"first checkpoint from another", d.PutCheckpoint("checkpoint", []byte("x"), []byte("1")), false},
		{"first checkpoint", d.PutCheckpoint("checkpoint", nil, []byte("1")), true},
		{"first checkpoint again", d.PutCheckpoint("checkpoint", nil, []byte("1")), false},
		{"second from another", d.PutCheckpoint("checkpoint", []byte("x"), []byte("2")), false},
		{"second", d.PutCheckpoint("checkpoint", []byte("1"), []byte("2")), true},
		{"another file of its own", d.PutCheckpoint("checkpoint.cosigned", nil, []byte("c")), true},
		{"the same", d.PutCheckpoint("checkpoint", []byte("2"), []byte("2")), true},
	}
	for _, s := range steps {
		if (s.err == nil) != s.ok {
			t.Errorf("%s: %v, want ok: %v", s.name, s.err, s.ok)
		}
	}
	for path, want := range map[string]string{"tile/0/000": "a", "checkpoint": "2"} {
		if got, err := d.Get(path); err != nil || string(got) != want {
			t.Errorf("Get(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
	if _, err := d.Get("tile/0/001"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of what is not there = %v, want fs.ErrNotExist", err)
	}
	if _, err := d.Get("../folder/checkpoint"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get outside = %v, want it refused", err)
	}
}

// BenchmarkPublish is a block of two leaves on a real disk, all files synced.
func BenchmarkPublish(b *testing.B) {
	s := kv.NewMem()
	l := open(b, s)
	p := newPublisher(b, openDir(b, b.TempDir()))
	for b.Loop() {
		n := int(l.Size())
		appendBlock(b, s, l, leafText(n), leafText(n+1))
		if _, err := p.Publish(s); err != nil {
			b.Fatal(err)
		}
	}
}
