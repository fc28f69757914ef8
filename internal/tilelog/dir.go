package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// DirStorage publishes into a folder, where any web server can serve it. A file appears under its name only when all of
// it is durable: it is written beside its place, synced, renamed, and then the folder is synced too. It may be used by
// several goroutines of one process.
type DirStorage struct {
	dir string

	mu      sync.Mutex      // held by everything that writes
	durable map[string]bool // folders known to survive a power cut; removed ones are not in it

	// around runs one step on the disk: do, which is called op, at path. Tests put a failing disk here.
	around func(op, path string, do func() error) error
}

// OpenDir returns the storage in the folder dir, which is created if it is not there.
func OpenDir(dir string) (*DirStorage, error) {
	d := &DirStorage{
		dir:     filepath.Clean(dir),
		durable: map[string]bool{".": true},
		around:  func(_, _ string, do func() error) error { return do() },
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, fmt.Errorf("creating folder of published log: %w", err)
	}
	if err := syncFolder(filepath.Dir(d.dir)); err != nil {
		return nil, fmt.Errorf("creating folder of published log: %w", err)
	}
	return d, nil
}

// Get implements Storage.
func (d *DirStorage) Get(path string) ([]byte, error) {
	if !fs.ValidPath(path) {
		return nil, &fs.PathError{Op: "get", Path: path, Err: fs.ErrInvalid}
	}
	return os.ReadFile(d.file(path))
}

// Put implements Storage.
func (d *DirStorage) Put(path string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	have, err := d.Get(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.replace(path, data)
	case err != nil:
		return err
	case !bytes.Equal(have, data):
		return fmt.Errorf("publishing %q: another version of %d bytes is published already, this one has %d bytes", path, len(have), len(data))
	}
	// We may have died after the rename and before the folder was synced.
	if err := d.makeDir(parent(path)); err != nil {
		return err
	}
	return d.syncDir(parent(path))
}

// PutCheckpoint implements Storage.
func (d *DirStorage) PutCheckpoint(path string, old, new []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	have, err := d.Get(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if found := err == nil; found != (old != nil) || !bytes.Equal(have, old) {
		return fmt.Errorf("the published %s is not the one that was read before: %q, want %q", path, have, old)
	}
	if bytes.Equal(old, new) {
		return d.syncDir(".")
	}
	return d.replace(path, new)
}

// Trim implements Trimmer. It is not synced: partial versions that come back after a power cut do no harm.
func (d *DirStorage) Trim(path string) error {
	if !fs.ValidPath(path) {
		return &fs.PathError{Op: "trim", Path: path, Err: fs.ErrInvalid}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.durable, path+".p")
	return d.around("trim", path, func() error { return os.RemoveAll(d.file(path) + ".p") })
}

// replace puts data at path, whole or not at all, and durably. Its temporary file has a fixed name, so what a crash left
// of it is overwritten by the next attempt instead of staying for ever.
func (d *DirStorage) replace(path string, data []byte) error {
	if err := d.makeDir(parent(path)); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := d.around("write", tmp, func() error { return d.writeSynced(tmp, data) }); err != nil {
		return err
	}
	if err := d.around("rename", path, func() error { return os.Rename(d.file(tmp), d.file(path)) }); err != nil {
		return err
	}
	return d.syncDir(parent(path))
}

func (d *DirStorage) writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(d.file(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = d.around("sync", path, f.Sync)
	}
	return errors.Join(err, f.Close())
}

// makeDir creates a folder and those above it, each durable before the next. One that is there already is made durable
// all the same, once: we may have died after it was made and before that.
func (d *DirStorage) makeDir(path string) error {
	if d.durable[path] {
		return nil
	}
	if err := d.makeDir(parent(path)); err != nil {
		return err
	}
	if _, err := os.Stat(d.file(path)); errors.Is(err, fs.ErrNotExist) {
		if err := d.around("mkdir", path, func() error { return os.Mkdir(d.file(path), 0o755) }); err != nil {
			return err
		}
	}
	if err := d.syncDir(parent(path)); err != nil {
		return err
	}
	d.durable[path] = true
	return nil
}

func (d *DirStorage) syncDir(path string) error {
	return d.around("syncdir", path, func() error { return syncFolder(d.file(path)) })
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *DirStorage) file(path string) string { return filepath.Join(d.dir, filepath.FromSlash(path)) }

// parent returns the folder of a path; "." is the storage's own.
func parent(path string) string { return filepath.ToSlash(filepath.Dir(filepath.FromSlash(path))) }
