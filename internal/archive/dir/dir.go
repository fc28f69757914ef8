// Package dir keeps the archive's objects as files in a folder, by the first two digits of their names. It promises that a
// file that has its name is whole and durable. It does not know what is in them.
package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Objects implements archive.Objects. It may be used by many goroutines of one process.
type Objects struct {
	root string
	// around runs one step on the disk: do, which is called op, at a name. Tests put a failing disk here.
	around func(op, name string, do func() error) error
}

// Open returns the objects in the folder, which is created if it is not there.
func Open(root string) (*Objects, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("creating folder of the archive: %w", err)
	}
	return &Objects{root, func(_, _ string, do func() error) error { return do() }}, syncDir(filepath.Dir(root))
}

func (o *Objects) file(name string) string {
	return filepath.Join(o.root, name[:min(2, len(name))], name)
}

// Put implements archive.Objects. It is written beside its place, synced, renamed, and then the folder is synced too.
func (o *Objects) Put(name string, data []byte) error {
	path := o.file(name)
	folder := filepath.Base(filepath.Dir(path))
	err := o.around("mkdir", folder, func() error { return os.Mkdir(filepath.Dir(path), 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A folder that is there may have been made by one that stopped before it could sync it.
	if err := o.sync("."); err != nil {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = o.around("write", name+".tmp", func() error {
		_, err := f.Write(data)
		return err
	})
	if err == nil {
		err = o.around("sync", name+".tmp", f.Sync)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := o.around("rename", name, func() error { return os.Rename(tmp, path) }); err != nil {
		return err
	}
	return o.sync(folder)
}

// Read implements archive.Objects.
func (o *Objects) Read(name string, off int64, n int) ([]byte, error) {
	f, err := os.Open(o.file(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if off < 0 {
		off = max(0, info.Size()+off)
	}
	data := make([]byte, max(0, min(int64(n), info.Size()-off)))
	_, err = f.ReadAt(data, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data, err
}

// Remove implements archive.Objects.
func (o *Objects) Remove(name string) error {
	err := o.around("remove", name, func() error { return os.Remove(o.file(name)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.sync(filepath.Base(filepath.Dir(o.file(name))))
}

// List implements archive.Objects. What a crash left half written is listed too, so that it is removed.
func (o *Objects) List() ([]string, error) {
	var names []string
	err := filepath.WalkDir(o.root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	return names, err
}

// sync makes the names in a folder under the root durable.
func (o *Objects) sync(folder string) error {
	return o.around("syncdir", folder, func() error { return syncDir(filepath.Join(o.root, folder)) })
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
