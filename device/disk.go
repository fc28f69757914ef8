package device

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A disk is the folder of a device's state. Tests put one in its place that loses power between any two calls.
type disk interface {
	Open(name string) (file, error)       // for reading and writing; made empty where absent
	Exists(name string) (bool, error)     // whether Open would find it
	Rename(oldName, newName string) error // replaces newName, wholly or not at all
	Sync() error                          // which files there are is durable when it returns
}

// A file is one of them. Nothing written is durable before Sync returns; until then any part of it may be.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// A dirDisk is a folder of the operating system.
type dirDisk struct{ dir string }

func (d dirDisk) Open(name string) (file, error) {
	return os.OpenFile(filepath.Join(d.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
}

func (d dirDisk) Exists(name string) (bool, error) {
	_, err := os.Stat(filepath.Join(d.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d dirDisk) Rename(oldName, newName string) error {
	return os.Rename(filepath.Join(d.dir, oldName), filepath.Join(d.dir, newName))
}

func (d dirDisk) Sync() error { return syncDir(d.dir) }

// fileSize finds the end of f by reading, because a size is one more thing a file would have to promise.
func fileSize(f file) (int64, error) {
	n, err := io.Copy(io.Discard, io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return 0, fmt.Errorf("reading to the end: %w", err)
	}
	return n, nil
}
