package log

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/tilelog"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/tlog"
)

// TestSameWork protects the comparison: both sides really have all leaves, in any order, in a tree under a signed checkpoint.
func TestSameWork(t *testing.T) {
	load := Load{Leaves: 3000, LeafBytes: 40, Window: 512}
	dir := t.TempDir()
	tessera, err := OpenTessera(t.Context(), filepath.Join(dir, "tessera"), TesseraSetting{256, 10 * time.Millisecond, 100 * time.Millisecond}, load.Window)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := OpenLamppost(filepath.Join(dir, "lamppost"), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]Log{"tessera": tessera, "lamppost/log": ours} {
		if _, err := measure(t.Context(), l, load); err != nil {
			t.Fatal(err)
		}
		files := tilelog.FS{FS: os.DirFS(filepath.Join(dir, name))}
		signed, err := files.Get("checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := bytes.Cut(signed, []byte("\n\n"))
		c, err := lamppost.ParseCheckpoint(string(text) + "\n")
		if err != nil || c.Size != int64(load.Leaves) {
			t.Fatalf("%s: checkpoint %+v, %v; want size %d", name, c, err, load.Leaves)
		}
		tree := tilelog.NewTree(files, c.Size, tlog.Hash(c.Root))
		seen := map[uint64]bool{}
		for i := range c.Size {
			leaf, err := tree.Leaf(i)
			if err != nil {
				t.Fatal(err)
			}
			seen[binary.BigEndian.Uint64(leaf)] = true
		}
		if len(seen) != load.Leaves {
			t.Errorf("%s: %d different leaves, want %d", name, len(seen), load.Leaves)
		}
	}
}
