package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/export"
)

// An output is the files of an export, which appear under their names only when all of them are whole and durable.
type output struct {
	names []string // as the node knows them
	paths []string // where they go
	temps []*os.File
	dir   string    // made for them; empty: it was there
	done  []outFile // after commit
}

// An outFile is a file that was written.
type outFile struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// newOutput begins a file, if path is named like one, or the files of a folder.
func newOutput(path string, summaries, force bool) (o *output, err error) {
	o = &output{names: []string{api.ExportFiles[0]}, paths: []string{path}}
	if !strings.HasSuffix(path, ".parquet") {
		o.names = append([]string(nil), api.ExportFiles[:]...)
		if !summaries {
			o.names = o.names[:2]
		}
		o.paths = o.paths[:0]
		for _, name := range o.names {
			o.paths = append(o.paths, filepath.Join(path, name))
		}
	}
	if err := o.free(force); err != nil {
		return nil, err
	}
	if len(o.names) > 1 {
		if err := os.Mkdir(path, 0o755); err == nil {
			o.dir = path
		} else if !errors.Is(err, os.ErrExist) {
			return nil, usage(fmt.Errorf("making the folder: %w", err))
		}
	}
	return o, o.begin()
}

// newFile begins one file.
func newFile(path string, force bool) (*output, error) {
	o := &output{names: []string{path}, paths: []string{path}}
	if err := o.free(force); err != nil {
		return nil, err
	}
	return o, o.begin()
}

// free refuses to replace what is there unasked.
func (o *output) free(force bool) error {
	for _, p := range o.paths {
		if _, err := os.Lstat(p); err == nil && !force {
			return usage(fmt.Errorf("%q is there already: say --force to replace it, or name another place", p))
		}
	}
	return nil
}

func (o *output) begin() error {
	for _, p := range o.paths {
		f, err := os.OpenFile(p+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			o.abort()
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("there is no folder %q", filepath.Dir(p))
			}
			return usage(fmt.Errorf("beginning %q: %w", p, err))
		}
		o.temps = append(o.temps, f)
	}
	return nil
}

// file returns the file of a name, nil where it is not wanted.
func (o *output) file(name string) *os.File {
	for i, n := range o.names {
		if n == name {
			return o.temps[i]
		}
	}
	return nil
}

func (o *output) files() (files export.Files) {
	files.Readings = o.temps[0]
	if len(o.temps) > 1 {
		files.Devices = o.temps[1]
	}
	if len(o.temps) > 2 {
		files.Summaries, files.Values = o.temps[2], o.temps[3]
	}
	return files
}

// commit makes all files durable, and then gives them their names.
func (o *output) commit() error {
	for i, f := range o.temps {
		info, err := f.Stat()
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		o.done = append(o.done, outFile{o.paths[i], info.Size()})
	}
	for i, f := range o.temps {
		if err := os.Rename(f.Name(), o.paths[i]); err != nil {
			return err
		}
	}
	o.dir = ""
	folder, err := os.Open(filepath.Dir(o.paths[0]))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// abort removes what was not committed.
func (o *output) abort() {
	for _, f := range o.temps {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	if o.dir != "" {
		_ = os.Remove(o.dir)
	}
}
