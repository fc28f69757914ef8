package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A Source is a data folder that is backed up.
type Source struct {
	Data string
	// Copy makes a copy of the store in a folder that is not there, on the same disk.
	Copy func(dir string) error
	// Still calls fn while nothing is taken out of the archive.
	Still func(fn func() error) error
	// Checkpoint is what is published, read before Stage was called; empty: nothing is.
	Signed     []byte
	Checkpoint lamppost.Checkpoint
	Keys       bool // the keys go with it
}

// A Staged is all that goes into a backup, held fast in the data folder until it is released.
type Staged struct {
	Parts []Part
	Tiles int64 // complete bundles that are elsewhere
	root  string
}

// Stage holds fast what the folder is at this moment: a copy of the store, and links to all objects and snapshots there are, so that
// pruning meanwhile does not matter. Tiles of the log do not change; those that the checkpoint needs are named. What a crash left of
// an earlier one is removed first.
func Stage(s Source) (*Staged, error) {
	g := &Staged{root: filepath.Join(s.Data, folder.Staging)}
	if err := os.RemoveAll(g.root); err != nil {
		return nil, err
	}
	if err := os.Mkdir(g.root, 0o700); err != nil {
		return nil, err
	}
	if err := g.fill(s); err != nil {
		return nil, errors.Join(err, g.Release())
	}
	return g, nil
}

func (g *Staged) fill(s Source) error {
	err := s.Still(func() error {
		if err := s.Copy(filepath.Join(g.root, folder.DB)); err != nil {
			return err
		}
		return link(filepath.Join(s.Data, folder.Archive), filepath.Join(g.root, folder.Archive))
	})
	if err == nil {
		err = link(filepath.Join(s.Data, folder.Snapshots), filepath.Join(g.root, folder.Snapshots))
	}
	if err != nil {
		return err
	}
	names := []string{folder.Pin}
	if s.Keys {
		names = append(names, folder.MemberKey, folder.Token)
	}
	for _, name := range names {
		if err := g.addFile(name, filepath.Join(s.Data, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := g.addTree(); err != nil {
		return err
	}
	return g.addLog(s)
}

// Release lets go of what was held fast.
func (g *Staged) Release() error { return os.RemoveAll(g.root) }

// link makes the same files under another folder, without copying where that can be. What goes meanwhile is left out.
func link(from, to string) error {
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch at := filepath.Join(to, rel); {
		case e.IsDir():
			return os.MkdirAll(at, 0o700)
		case filepath.Ext(path) == ".tmp":
			return nil
		default:
			return linkOrCopy(path, at)
		}
	})
	return err
}

func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// addTree adds all that was staged.
func (g *Staged) addTree() error {
	return filepath.WalkDir(g.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "LOCK" {
			return err
		}
		rel, err := filepath.Rel(g.root, path)
		if err != nil {
			return err
		}
		return g.addFile(filepath.ToSlash(rel), path)
	})
}

func (g *Staged) addFile(name, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	g.Parts = append(g.Parts, Part{name, info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }})
	return nil
}

// addLog adds the checkpoint and the files it needs.
func (g *Staged) addLog(s Source) error {
	if len(s.Signed) == 0 {
		return nil
	}
	g.addBytes(folder.Log+"/"+tilelog.CheckpointPath, s.Signed)
	at := func(path string) string { return filepath.Join(s.Data, folder.Log, filepath.FromSlash(path)) }
	for path, full := range tilelog.Paths(s.Checkpoint.Size) {
		var err error
		if path != full { // it goes when the tile is complete
			var data []byte
			if data, err = os.ReadFile(at(path)); err == nil {
				g.addBytes(folder.Log+"/"+path, data)
				continue
			}
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = g.addFile(folder.Log+"/"+full, at(full))
		}
		if errors.Is(err, fs.ErrNotExist) && full == path {
			g.Tiles++ // moved away, or never here
			err = nil
		}
		if err != nil {
			return fmt.Errorf("the log at size %d: %w", s.Checkpoint.Size, err)
		}
	}
	return nil
}

func (g *Staged) addBytes(name string, data []byte) {
	g.Parts = append(g.Parts, Part{name, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
}
