package tilelog_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Goal: tiles that were moved away are proven from there as before, over a folder and over the web; what is served there is not
// believed; the log goes on; and a disk that fails at any step loses nothing.
func TestOffload(t *testing.T) {
	t.Parallel()
	const size = 1000
	store, leaves := newLog(t, size)
	root := t.TempDir()
	here, there := openDir(t, filepath.Join(root, "log")), openDir(t, filepath.Join(root, "away"))
	signed, err := newPublisher(t, here).Publish(store)
	no(t, err)
	head := opened(t, newPublisher(t, here), signed)

	disk := errors.New("disk error")
	for step := 0; ; step++ { // a failing step each, until none fails
		n := 0
		fail := func(op, path string, do func() error) error {
			if n++; n == step+1 {
				return disk
			}
			return do()
		}
		there.Around(fail)
		_, err := tilelog.Offload(context.Background(), here, there, head, 700, func(_, _ int64) {})
		if err == nil && n <= step {
			break
		}
		if !errors.Is(err, disk) {
			t.Fatalf("step %d: %v", step, err)
		}
		checkAll(t, tilelog.Archived{DirStorage: here, Far: there}, head, leaves)
	}
	there.Around(func(_, _ string, do func() error) error { return do() })
	moved, err := tilelog.Offload(context.Background(), here, there, head, 700, func(_, _ int64) {})
	if err != nil || moved.Bundles != 0 || moved.Before != 512 {
		t.Errorf("once more: %+v, %v", moved, err)
	}
	for path, want := range map[string]bool{"tile/0/001": false, "tile/entries/000": false, "tile/0/002": true, "tile/entries/002": true} {
		if _, err := here.Get(path); (err == nil) != want {
			t.Errorf("%s is here: %v", path, err)
		}
	}
	if _, err := tilelog.TreeOf(here, head).Leaf(3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the other folder: %v", err)
	}

	web := httptest.NewServer(http.StripPrefix("/here/", http.FileServer(http.Dir(filepath.Join(root, "away")))))
	defer web.Close()
	far := tilelog.Archived{DirStorage: here, Far: tilelog.Web{URL: web.URL + "/here/"}}
	checkAll(t, far, head, leaves)
	grow(t, store, 300)
	if _, err := newPublisher(t, far).Publish(store); err != nil {
		t.Errorf("going on: %v", err)
	}
	path := filepath.Join(root, "away", "tile", "0", "001")
	data, err := os.ReadFile(path)
	no(t, err)
	data[40] ^= 1
	no(t, os.WriteFile(path, data, 0o600))
	if _, err := tilelog.TreeOf(far, head).Leaf(300); err == nil || strings.Contains(err.Error(), "not exist") {
		t.Errorf("a damaged tile was believed: %v", err)
	}
	if _, err := far.Get("tile/0/777"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a tile that is nowhere: %v", err)
	}
	web.Close()
	if _, err := far.Get("tile/0/000"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server that is away: %v", err)
	}
}

// A damaged file is not moved: it stays where it is for whoever looks for it.
func TestOffloadKeepsDamage(t *testing.T) {
	t.Parallel()
	store, _ := newLog(t, 600)
	root := t.TempDir()
	here, there := openDir(t, filepath.Join(root, "log")), openDir(t, filepath.Join(root, "away"))
	signed, err := newPublisher(t, here).Publish(store)
	no(t, err)
	head := opened(t, newPublisher(t, here), signed)
	path := filepath.Join(root, "log", "tile", "entries", "001")
	data, err := os.ReadFile(path)
	no(t, err)
	data[9] ^= 1
	no(t, os.WriteFile(path, data, 0o600))
	_, err = tilelog.Offload(context.Background(), here, there, head, 600, func(_, _ int64) {})
	if err == nil || !strings.Contains(err.Error(), "leaves 256 to 511") {
		t.Errorf("Offload = %v", err)
	}
	if _, err := here.Get("tile/0/001"); err != nil {
		t.Error("the tile of a damaged bundle was removed")
	}
}

// checkAll proves and reads every leaf.
func checkAll(t *testing.T, files tilelog.Source, head lamppost.Checkpoint, leaves [][]byte) {
	t.Helper()
	tree := tilelog.TreeOf(files, head)
	for n := int64(0); n*256 < head.Size; n++ {
		got, err := tree.Bundle(n)
		no(t, err)
		for i := range got {
			if string(got[i]) != string(leaves[n*256+int64(i)]) {
				t.Fatalf("leaf %d is %q", n*256+int64(i), got[i])
			}
		}
	}
}
