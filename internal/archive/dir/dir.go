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
type Objects struct{ root string }

// Open returns the objects in the folder, which is created if it is not there.
func Open(root string) (*Objects, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("creating folder of the archive: %w", err)
	}
	return &Objects{root}, syncDir(filepath.Dir(root))
}

func (o *Objects) file(name string) string {
	return filepath.Join(o.root, name[:min(2, len(name))], name)
}

// Put implements archive.Objects. It is written beside its place, synced, renamed, and then the folder is synced too.
func (o *Objects) Put(name string, data []byte) error {
	path := o.file(name)
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncDir(o.root); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(dir)
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
	err := os.Remove(o.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.file(name)))
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

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
