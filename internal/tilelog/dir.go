package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// DirStorage publishes into a folder, where any web server can serve it. A file appears under its name only when all of
// it is durable: it is written beside its place, synced, renamed, and then the folder is synced too. It may be used by
// several goroutines of one process.
type DirStorage struct {
	dir string

	mu      sync.Mutex      // held by everything that writes
	durable map[string]bool // folders known to survive a power cut; removed ones are not in it
	many    int             // files from which the file system is synced instead of each

	// around runs one step on the disk: do, which is called op, at path. Tests put a failing disk here.
	around func(op, path string, do func() error) error
}

// OpenDir returns the storage in the folder dir, which is created if it is not there.
func OpenDir(dir string) (*DirStorage, error) {
	d := &DirStorage{
		dir:     filepath.Clean(dir),
		durable: map[string]bool{".": true},
		many:    manyFiles,
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
func (d *DirStorage) Put(files ...File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var fresh []File
	for _, f := range files {
		have, err := d.Get(f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fresh = append(fresh, f)
		case err != nil:
			return err
		case !bytes.Equal(have, f.Data):
			return fmt.Errorf("publishing %q: another version of %d bytes is published already, this one has %d bytes", f.Path, len(have), len(f.Data))
		}
	}
	if err := d.replace(fresh...); err != nil {
		return err
	}
	return d.syncDirs(files) // of those that were there too: we may have died after the rename and before that
}

// Replace puts a file where another version of it is: for repairs only, since what is published under a path never changes.
func (d *DirStorage) Replace(f File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.replace(f); err != nil {
		return err
	}
	return d.syncDirs([]File{f})
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
	if err := d.replace(File{path, new}); err != nil {
		return err
	}
	return d.syncDir(".")
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

// replace puts files at their paths, each whole or not at all. Their temporary files have fixed names, so what a crash left
// of one is overwritten by the next attempt instead of staying for ever. All are written before the first is synced: the
// disk then writes many at once. The caller syncs the folders.
func (d *DirStorage) replace(files ...File) error {
	for _, f := range files {
		if err := d.makeDir(parent(f.Path)); err != nil {
			return err
		}
	}
	open := make([]*os.File, 0, len(files))
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for _, f := range files {
		err := d.around("write", tmp(f.Path), func() error {
			file, err := os.OpenFile(d.file(tmp(f.Path)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
			if err == nil {
				open = append(open, file)
				_, err = file.Write(f.Data)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := d.syncAll(files, open); err != nil {
		return err
	}
	for _, f := range files {
		if err := d.around("rename", f.Path, func() error { return os.Rename(d.file(tmp(f.Path)), d.file(f.Path)) }); err != nil {
			return err
		}
	}
	return nil
}

// syncAll makes files durable that are written and open. Many cost a fraction if the file system syncs all it has to write in one go.
func (d *DirStorage) syncAll(files []File, open []*os.File) error {
	if len(files) >= d.many {
		err := d.around("syncfs", ".", func() error { return syncFS(open[0]) })
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	for i, f := range files {
		if err := d.around("sync", tmp(f.Path), open[i].Sync); err != nil {
			return err
		}
	}
	return nil
}

func tmp(path string) string { return path + ".tmp" }

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

// syncDirs makes the names of files durable.
func (d *DirStorage) syncDirs(files []File) error {
	var done []string
	for _, f := range files {
		dir := parent(f.Path)
		if slices.Contains(done, dir) {
			continue
		}
		if err := d.makeDir(dir); err != nil {
			return err
		}
		if err := d.syncDir(dir); err != nil {
			return err
		}
		done = append(done, dir)
	}
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
