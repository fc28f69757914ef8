// Package restore knows how to make a node's data folder anew: from a snapshot of the state and the blocks after it, or from a
// backup.
//
// It promises that a folder is there, whole and durable, or not at all; that nothing goes into it that the reader's pin does
// not vouch for; and that no folder comes out of it whose node would sign a second history where a later checkpoint of its log
// is known. It does not know whether there is one that nobody showed to it.
//
// Start reading at [Snapshot] and [Backup].
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A Source is another copy of the chain that runs.
type Source interface {
	// Checkpoint returns its latest signed checkpoint.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Blocks is as replica.Blocks.
	Blocks(ctx context.Context, after lamppost.Height, fn func(raw []byte) error) error
}

// A Progress is told how far a step is: bytes of a file, leaves of the log, blocks.
type Progress func(step string, done, all int64)

// Begun says what became of a snapshot.
type Begun struct {
	Network  string              `json:"network"`
	Snapshot lamppost.Height     `json:"snapshot"` // where the copy begins
	Members  []lamppost.MemberID `json:"members"`  // who said that the state is this
	Height   lamppost.Height     `json:"height"`   // where it stands
	Size     int64               `json:"size"`
	Root     lamppost.Hash       `json:"root"`
	Behind   bool                `json:"behind"` // of what was signed: see Checkpoint

	// Checkpoint is the latest that is known of the log.
	Checkpoint lamppost.Checkpoint `json:"-"`
	signed     []byte
}

// Snapshot makes a data folder that begins with a snapshot and goes on with the blocks of a source, which may be nil: up to its
// checkpoint. The pin says whose words and signatures count.
func Snapshot(ctx context.Context, data string, file *os.File, pin *audit.Pin, from Source, progress Progress) (begun *Begun, err error) {
	err = into(data, func(work string) error {
		begun, err = snapshotInto(ctx, work, file, pin, from, progress)
		return err
	})
	return begun, err
}

func snapshotInto(ctx context.Context, work string, file *os.File, pin *audit.Pin, from Source, progress Progress) (*Begun, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f, err := snapshot.Open(file, info.Size())
	if err != nil {
		return nil, err
	}
	proof, s, err := replica.Vouched(f, pin)
	if err != nil {
		return nil, err
	}
	h := f.Head()
	err = dir.At(filepath.Join(work, "snapshots")).Put(h.Height, func(to io.Writer) error {
		_, err := io.Copy(to, io.NewSectionReader(file, 0, info.Size()))
		return err
	})
	if err != nil {
		return nil, err
	}
	store, err := pebble.Open(filepath.Join(work, "db"), pebble.Options{})
	if err != nil {
		return nil, err
	}
	b := &beginner{store: store, pin: pin, progress: progress, Begun: Begun{Network: h.Network, Snapshot: h.Height,
		Members: s.Members, Height: h.Height, Size: h.Size, Root: h.Root, signed: []byte(proof.Checkpoints[0]), Checkpoint: s.Checkpoint}}
	if b.log, err = tilelog.OpenDir(filepath.Join(work, "log")); err == nil {
		err = b.begin(ctx, f, from)
	}
	return &b.Begun, errors.Join(err, store.Close())
}

// A beginner begins a copy.
type beginner struct {
	store    kv.Store
	log      *tilelog.DirStorage
	pin      *audit.Pin
	progress Progress
	Begun
}

// begin makes the store stand at the snapshot, lets it catch up, and publishes what the source's checkpoint covers. Without a
// source the checkpoint of the proof is all that is published: a node that finds it signs nothing, for it has less.
func (b *beginner) begin(ctx context.Context, f *snapshot.File, from Source) error {
	edge, err := replica.Begin(b.store, f)
	if err != nil {
		return err
	}
	if from == nil {
		b.Behind = true
		return b.log.PutCheckpoint(tilelog.CheckpointPath, nil, b.signed)
	}
	r, err := replica.Open(replica.Config{Store: b.store})
	if err != nil {
		return err
	}
	if err := b.catchUp(ctx, r, from, b.Checkpoint); err != nil {
		return err
	}
	for range maxRounds {
		signed, c, err := b.checkpoint(ctx, from)
		if err != nil {
			return err
		}
		if c.Size == b.Size && c.Root == b.Root {
			break
		}
		if err := b.catchUp(ctx, r, from, c); err != nil {
			return err
		}
		b.signed, b.Checkpoint = signed, c
	}
	if err := edge.Adopt(b.log, b.store, b.signed, b.Checkpoint); err != nil {
		return err
	}
	var trim kv.Batch
	tilelog.Trim(&trim, b.Checkpoint)
	return b.store.Apply(&trim)
}

// maxRounds is how often a copy asks whether the source has gone on meanwhile.
const maxRounds = 20

func (b *beginner) catchUp(ctx context.Context, r *replica.Replica, from Source, c lamppost.Checkpoint) error {
	first := b.Size
	err := r.CatchUp(ctx, from.Blocks, c, func(size int64) { b.progress("leaves of the log", size-first, c.Size-first) })
	last := r.Last()
	b.Height, b.Size, b.Root = last.Height, c.Size, last.Root
	return err
}

// checkpoint asks the source for its latest, which must be by a member of the pin and go as far as what is known.
func (b *beginner) checkpoint(ctx context.Context, from Source) ([]byte, lamppost.Checkpoint, error) {
	signed, err := from.Checkpoint(ctx)
	if err != nil {
		return nil, lamppost.Checkpoint{}, err
	}
	c, err := b.pin.OpenCheckpoint(signed)
	if err != nil {
		return nil, c, fmt.Errorf("the source's checkpoint is by nobody that the pin names: %w", err)
	}
	if c.Size < b.Checkpoint.Size {
		return nil, c, fmt.Errorf("the source's checkpoint has %d leaves, but %s signed %d before: the source is an older copy", c.Size, b.Checkpoint.Origin, b.Checkpoint.Size)
	}
	return signed, c, nil
}

// into lets build make a data folder. It is there, whole and durable, when into returns nil; otherwise nothing is, or the empty
// folder that was.
func into(data string, build func(work string) error) error {
	if err := Empty(data); err != nil {
		return err
	}
	work := filepath.Clean(data) + ".restoring"
	if err := os.RemoveAll(work); err != nil { // what a crash left
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("making a folder for the data: %w", err)
	}
	err := build(work)
	if err == nil {
		err = folder.Sync(work)
	}
	if err == nil {
		if err = os.Remove(data); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = folder.Rename(work, filepath.Clean(data))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return nil
}

// Empty refuses a folder with something in it.
func Empty(data string) error {
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%q is not empty (%q is in it): name a folder that is not there yet", data, entries[0].Name())
	}
	return err
}
