package tilelog_test

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/tlog"
)

// Goal: what a tree hands out as a file is what is published there, for every tile and bundle, complete or not and of any width;
// a damaged file, or one that hangs on a damaged one, is an error and never an answer.
func TestTreeFiles(t *testing.T) {
	t.Parallel()
	const size = 700
	store, _ := newLog(t, size)
	files := new(tilelog.MemStorage)
	p := newPublisher(t, files)
	signed, err := p.Publish(store)
	no(t, err)
	root := tlog.Hash(opened(t, p, signed).Root)
	paths := filesOf(size)
	for _, path := range paths {
		want, err := files.Get(path)
		no(t, err)
		if got, err := tilelog.NewTree(files, size, root).File(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, len(want))
		}
		damaged := altered{files, map[string][]byte{path: flipped(want, 100)}}
		for _, other := range paths {
			was, _ := files.Get(other)
			got, err := tilelog.NewTree(damaged, size, root).File(other)
			if err == nil && !bytes.Equal(got, was) {
				t.Errorf("%s is damaged and %s is answered with something else", path, other)
			}
			if other == path && err == nil {
				t.Errorf("%s is damaged and answered", path)
			}
		}
	}
	tree := tilelog.NewTree(files, size, root)
	whole, err := tree.File("tile/0/002.p/188")
	no(t, err)
	if part, err := tree.File("tile/0/002.p/7"); err != nil || !bytes.Equal(part, whole[:7*32]) {
		t.Errorf("a narrower tile: %d bytes, %v", len(part), err)
	}
	for _, path := range []string{"", "checkpoint", "tile/0/002", "tile/0/002.p/189", "tile/entries/003", "tile/8/000.p/1", "tile/2/000", "tile/0/2",
		"tile/0/000.p/256", "tile/0/000/", "/tile/0/000", "tile/-1/000", "tile/data/000", "tile/0/x000/001", "tile/1/000.p/3", "tile/0/000.tmp"} {
		if got, err := tree.File(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %d bytes, %v", path, len(got), err)
		}
	}
	for n := range int64(3) {
		leaves, err := tree.Bundle(n)
		if err != nil || len(leaves) != int(min(256, size-n*256)) || !bytes.Equal(leaves[5], leafText(int(n*256+5))) {
			t.Errorf("bundle %d: %d leaves, %v", n, len(leaves), err)
		}
	}
	if _, err := tree.Bundle(3); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "bundle 3") {
		t.Errorf("a bundle after the last: %v", err)
	}
}
