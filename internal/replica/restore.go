package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// What an engine hands to a member that is too far behind: a snapshot without a proof, after the engine's cursor.

const (
	stateMagic     = "LPR1"
	stateHeadBytes = len(stateMagic) + 8
)

// replacingKey stands in a store while its state is replaced: what else stands there is of no use.
var replacingKey = []byte("mI")

// Snapshot implements consensus.Snapshotter.
func (r *Replica) Snapshot() (consensus.Last, io.ReadCloser, error) {
	last := r.Last()
	if len(r.pending) > 0 {
		return last, nil, fmt.Errorf("block %d is applied and not committed", r.pending[0].Block.Height)
	}
	snap, err := r.cfg.Store.Snapshot()
	if err != nil {
		return last, nil, err
	}
	from, to := io.Pipe()
	s := &stateReader{PipeReader: from, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		err := r.writeState(to, last.Cursor, snap)
		to.CloseWithError(errors.Join(err, snap.Close()))
	}()
	return last, s, nil
}

// A stateReader reads what a goroutine writes, and waits for its end.
type stateReader struct {
	*io.PipeReader
	done chan struct{}
}

// Close implements io.Closer.
func (s *stateReader) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}

func (r *Replica) writeState(to io.Writer, cursor lamppost.Cursor, snap kv.Reader) error {
	if _, err := to.Write(binary.BigEndian.AppendUint64([]byte(stateMagic), uint64(cursor))); err != nil {
		return err
	}
	var files tilelog.Source = nowhere{}
	if r.cfg.Files != nil {
		files = r.cfg.Files
	}
	w, _, err := WriteSnapshot(to, snap, files, func() error { return nil })
	if err == nil {
		_, err = w.Digest()
	}
	if err != nil {
		return err
	}
	return w.End(nil)
}

// nowhere has no files.
type nowhere struct{}

// Get implements tilelog.Source.
func (nowhere) Get(path string) ([]byte, error) {
	return nil, &fs.PathError{Op: "get", Path: path, Err: fs.ErrNotExist}
}

// A State is what Snapshot gave, to be read.
type State struct {
	*snapshot.File
	Cursor lamppost.Cursor
}

// OpenState opens what Snapshot gave, of so many bytes.
func OpenState(from io.ReaderAt, size int64) (*State, error) {
	head := make([]byte, stateHeadBytes)
	if _, err := from.ReadAt(head, 0); err != nil || string(head[:len(stateMagic)]) != stateMagic {
		return nil, fmt.Errorf("a state begins with %q and a cursor (%v)", stateMagic, err)
	}
	f, err := snapshot.Open(io.NewSectionReader(from, int64(len(head)), size-int64(len(head))), size-int64(len(head)))
	if err != nil {
		return nil, err
	}
	return &State{f, lamppost.Cursor(binary.BigEndian.Uint64(head[len(stateMagic):]))}, nil
}

// Check reads all of it and checks that it is whole, of the network, and of a log with root want (zero: any). What it says the
// state is follows from nothing: its source is trusted.
func (s *State) Check(network string, want lamppost.Hash) error {
	h := s.Head()
	if network != "" && h.Network != network {
		return fmt.Errorf("the snapshot is of network %q, not %q", h.Network, network)
	}
	if !want.IsZero() && h.Root != want {
		return fmt.Errorf("the snapshot at block %d gives root %v, not %v", h.Height, h.Root, want)
	}
	if _, err := readEdge(s.File); err != nil {
		return err
	}
	return s.Each(func(key, _ []byte) error { return ofState(key) }, func() error { return nil })
}

// Restore implements consensus.Snapshotter. The copy then begins at the snapshot: of what came before it has nothing. It must
// not be read meanwhile. After an error the old state is there, unless it was one of the store: then it is opened again, and
// stands at its beginning.
func (r *Replica) Restore(from io.Reader, want lamppost.Hash) (err error) {
	f, err := os.CreateTemp(r.cfg.Scratch, "state-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	size, err := io.Copy(f, from)
	if err != nil {
		return fmt.Errorf("reading a snapshot: %w", err)
	}
	s, err := OpenState(f, size)
	if err != nil {
		return err
	}
	if err := s.Check(r.Network(), want); err != nil {
		return err
	}
	return r.Replace(s)
}

// Replace makes a state that was checked that of this copy, as Restore does.
func (r *Replica) Replace(s *State) error {
	if len(r.pending) > 0 {
		return fmt.Errorf("block %d is applied and not committed", r.pending[0].Block.Height)
	}
	var b kv.Batch
	b.Set(replacingKey, nil)
	clearChain(&b)
	if err := r.cfg.Store.Apply(&b); err != nil {
		return err
	}
	if _, err := begin(r.cfg.Store, s.File, s.Cursor); err != nil {
		return err
	}
	return r.load()
}

// clearChain stages a store without a chain. What is the node's own stays.
func clearChain(b *kv.Batch) {
	b.DeleteRange(stateFrom, stateTo)
	tilelog.Clear(b)
	archive.Clear(b)
	b.Delete(metaKey)
	b.Delete(beganKey)
}

// clearHalf empties a store whose state was being replaced when the process ended.
func (r *Replica) clearHalf() error {
	_, err := r.cfg.Store.Get(replacingKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var b kv.Batch
	clearChain(&b)
	b.Delete(replacingKey)
	return r.cfg.Store.Apply(&b)
}
