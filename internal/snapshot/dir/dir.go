// Package dir keeps snapshots as files in a folder, named by their heights. It promises that a file that has its name is whole
// and durable. It does not know what is in them.
package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// A Dir is a folder of snapshots. One goroutine writes to it; any may read.
type Dir struct {
	root string

	// around runs one step on the disk: do, which is called op, at a name. Tests put a failing disk here.
	around func(op, name string, do func() error) error
}

// An Entry is a snapshot in the folder.
type Entry struct {
	Name   string
	Height lamppost.Height
	Bytes  int64
}

const suffix = ".lps"

// Name is what the snapshot of a height is called.
func Name(h lamppost.Height) string { return fmt.Sprintf("%012d%s", h, suffix) }

// Height reads a name, 0 if it is none of a snapshot.
func Height(name string) lamppost.Height {
	digits, ok := strings.CutSuffix(name, suffix)
	h, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil || Name(lamppost.Height(h)) != name {
		return 0
	}
	return lamppost.Height(h)
}

// At returns the folder, which need not be there until something is put into it.
func At(root string) *Dir {
	return &Dir{root: root, around: func(_, _ string, do func() error) error { return do() }}
}

// Path returns where a snapshot stands.
func (d *Dir) Path(name string) string { return filepath.Join(d.root, name) }

// Open opens a snapshot. The error wraps fs.ErrNotExist where there is none of this name.
func (d *Dir) Open(name string) (*os.File, error) {
	if Height(name) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return os.Open(d.Path(name))
}

// List returns all snapshots, the oldest first.
func (d *Dir) List() (all []Entry, err error) {
	entries, err := os.ReadDir(d.root) // sorted by name, so by height
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		h := Height(e.Name())
		if h == 0 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Entry{e.Name(), h, info.Size()})
	}
	return all, nil
}

// Put lets write make the snapshot of a height. It has its name when Put returns nil, and nothing is there otherwise.
func (d *Dir) Put(h lamppost.Height, write func(io.Writer) error) error {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return fmt.Errorf("creating folder of snapshots: %w", err)
	}
	if err := d.around("syncdir", "..", func() error { return syncDir(filepath.Dir(d.root)) }); err != nil {
		return err
	}
	name := Name(h)
	tmp := name + ".tmp"
	f, err := os.OpenFile(d.Path(tmp), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(d.Path(tmp)) // nothing is there once it has its name
	err = d.around("write", tmp, func() error { return write(f) })
	if err == nil {
		err = d.around("sync", tmp, f.Sync)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.around("rename", name, func() error { return os.Rename(d.Path(tmp), d.Path(name)) }); err != nil {
		return err
	}
	return d.around("syncdir", ".", func() error { return syncDir(d.root) })
}

// Remove deletes a snapshot, durably; none of that name is fine.
func (d *Dir) Remove(name string) error {
	err := d.around("remove", name, func() error { return os.Remove(d.Path(name)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.around("syncdir", ".", func() error { return syncDir(d.root) })
}

// Sweep removes what a crash left half written.
func (d *Dir) Sweep() error {
	left, err := filepath.Glob(filepath.Join(d.root, "*"+suffix+".tmp"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := d.Remove(filepath.Base(path)); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
