package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// ErrArrived is in the error of Run when another member's state came, because this one was too far behind. Open takes it over:
// nothing else runs then that would read one state and write to another.
var ErrArrived = errors.New("the state of another member has come: the node opens again with it")

// A standby is the replica of a running node, whose state is replaced when the node is opened next.
type standby struct {
	*replica.Replica
	n *Node
}

// Restore implements consensus.Snapshotter. What came is durable, and the state is the old one: its error ends the engine.
func (s standby) Restore(from io.Reader, want lamppost.Hash) error {
	path := filepath.Join(s.n.cfg.Data, folder.Arrived)
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	size, err := io.Copy(f, from)
	if err == nil {
		err = checkState(f, size, s.Network(), want)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := folder.Rename(f.Name(), path); err != nil {
		return err
	}
	s.n.cfg.Log.Info("this member was far behind: it begins again with the state of another", "height", s.Last().Height, "bytes", size)
	return ErrArrived
}

func checkState(f io.ReaderAt, size int64, network string, want lamppost.Hash) error {
	s, err := replica.OpenState(f, size)
	if err != nil {
		return err
	}
	return s.Check(network, want)
}

// takeOver replaces the state by one that came, if there is one. The tiles before it go, since what comes between is not here;
// the checkpoint stays, so that nothing smaller is signed. If the process ends meanwhile, the next start does it all again.
func (n *Node) takeOver() error {
	path := filepath.Join(n.cfg.Data, folder.Arrived)
	if err := os.RemoveAll(path + ".new"); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := replica.OpenState(f, info.Size())
	if err != nil {
		return damagedState(path, err)
	}
	if s.Cursor > n.rep.Last().Cursor {
		if err := s.Check(n.rep.Network(), lamppost.Hash{}); err != nil {
			return damagedState(path, err)
		}
		if err := n.replace(s); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

func damagedState(path string, err error) error {
	return fmt.Errorf("%q: %w. Remove it, and the others send it again", path, err)
}

func (n *Node) replace(s *replica.State) error {
	for _, name := range [...]string{"tile", tilelog.CosignedPath, tilelog.AgreedPath} {
		if err := os.RemoveAll(filepath.Join(n.cfg.Data, folder.Log, name)); err != nil {
			return err
		}
	}
	if err := n.rep.Replace(s); err != nil {
		return err
	}
	n.cfg.Log.Info("took over the state of another member; what came before is not here", "height", s.Head().Height)
	return n.keeper.Sweep()
}
