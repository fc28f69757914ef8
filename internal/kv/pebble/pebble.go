// Package pebble keeps a kv.Store on disk, in an LSM tree (github.com/cockroachdb/pebble). It is the only package that
// knows that library.
//
// It promises what kv.Store promises, across power cuts, as far as the disk keeps its word about fsync. It needs the
// folder for itself: a second process that opens it is refused. Limits are those of kv; in memory it takes about
// Options.CacheBytes + 4 × Options.MemTableBytes at most.
//
// Start reading at [Open] and [Options]; settings.go says why the library is configured as it is.
package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lamppost/lamppost/internal/kv"
)

// Options are what an operator may want to change. The zero value is right for a node.
type Options struct {
	CacheBytes int64 // memory for blocks read from disk; 0 means DefaultCacheBytes
	// MemTableBytes is how much is gathered in memory before it is written to a table; 0 means DefaultMemTableBytes. Up to four
	// wait for the disk.
	MemTableBytes uint64
	Logger        *slog.Logger // told of trouble only: disk errors, stalled writes; nil is silent

	// NoFsync makes Apply return before the disk has the batch: a power cut loses or tears the latest ones, in order.
	// For tests that do not cut the power, where it saves most of the time.
	NoFsync bool

	// ReadOnly opens a store without changing a byte of it. Apply is refused.
	ReadOnly bool
}

// DefaultCacheBytes is the memory for blocks read from disk if Options says nothing.
const DefaultCacheBytes = 64 << 20

// DefaultMemTableBytes is what is gathered in memory if Options says nothing: several seconds of blocks, so that level 0
// gets few and large files.
const DefaultMemTableBytes = 64 << 20

// A Store is a kv.Store in a folder.
type Store struct {
	reader
	db   *pebble.DB
	lock *pebble.Lock
	sync *pebble.WriteOptions
	disk vfs.FS
	dir  string

	readOnly bool
	syncs    *atomic.Uint64

	mu     sync.Mutex // held by Apply
	failed error      // why the store takes no further batch

	seeing sync.Mutex      // held to open a snapshot
	open   *sync.WaitGroup // of the snapshots opened since the last Purge
}

// Open opens the store in the folder dir and creates both if they are not there. A store that was not closed is
// recovered first. Creating the folder is durable when Open returns. Where another process has it, the error is ErrInUse.
func Open(dir string, o Options) (*Store, error) {
	disk := frugal{vfs.Default, new(atomic.Uint64)}
	s, err := openFS(disk, dir, o)
	if err == nil {
		s.syncs = disk.syncs
	}
	return s, err
}

// Syncs is how often this store has asked the disk to make a file durable, since it was opened.
func (s *Store) Syncs() uint64 { return s.syncs.Load() }

func openFS(disk vfs.FS, dir string, o Options) (*Store, error) {
	if !o.ReadOnly {
		if err := makeDir(disk, dir); err != nil {
			return nil, fmt.Errorf("creating data folder %q: %w", dir, err)
		}
	}
	lock, err := pebble.LockDirectory(dir, disk)
	if err != nil {
		return nil, lockError(dir, err)
	}
	if err := verifyLogs(disk, dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	db, err := pebble.Open(dir, settings(disk, lock, o))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening data folder %q: %w", dir, err), lock.Close())
	}
	s := &Store{syncs: new(atomic.Uint64), reader: reader{db}, db: db, lock: lock, sync: pebble.Sync, disk: disk, dir: dir, readOnly: o.ReadOnly}
	if o.NoFsync {
		s.sync = pebble.NoSync
	}
	return s, nil
}

// makeDir creates dir and the folders above it, and makes the new names durable: the library does so only for what it
// creates inside.
func makeDir(disk vfs.FS, dir string) error {
	var parents []string
	for d := dir; ; d = disk.PathDir(d) {
		if _, err := disk.Stat(d); err == nil || disk.PathDir(d) == d {
			break
		}
		parents = append(parents, disk.PathDir(d))
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		f, err := disk.OpenDir(p)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// ErrInUse is in the error of Open where another process has the folder.
var ErrInUse = errors.New("in use by another node or command")

// lockError tells "somebody else has it", which the operator can do something about, from a folder that cannot be used:
// only for the latter the library could not even create the lock file.
func lockError(dir string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("locking data folder %q: %w", dir, err)
	}
	return fmt.Errorf("data folder %q is %w: stop that one first, or name another folder (%w)", dir, ErrInUse, err)
}

// Apply implements kv.Store.
func (s *Store) Apply(b *kv.Batch) error {
	if err := b.Err(); err != nil {
		return fmt.Errorf("applying: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if s.readOnly {
		return errors.New("applying: the store was opened to be read only")
	}
	if err := s.commit(b); err != nil {
		s.failed = fmt.Errorf("the data folder takes no more writes until it is opened again: %w", err)
		return s.failed
	}
	return nil
}

func (s *Store) commit(b *kv.Batch) (err error) {
	// The library reports a failed write ahead log by Logger.Fatalf, which must not return. Ours panics with a
	// fatalError, in this goroutine, and here it becomes the error that it is; any other panic goes on.
	defer func() {
		if r := recover(); r != nil {
			fatal, ok := r.(fatalError)
			if !ok {
				panic(r)
			}
			err = fatal
		}
	}()
	batch := s.db.NewBatchWithSize(b.Bytes() + batchHeaderBytes)
	for op := range b.All() {
		if err := stage(batch, op); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	if err := batch.Commit(s.sync); err != nil {
		return fmt.Errorf("writing batch: %w", err)
	}
	return batch.Close()
}

func stage(batch *pebble.Batch, op kv.Op) error {
	switch op.Do {
	case kv.Delete:
		return batch.Delete(op.Key, nil)
	case kv.DeleteRange:
		if bytes.Compare(op.Key, op.Val) >= 0 {
			return nil // the library takes it for a damaged batch
		}
		return batch.DeleteRange(op.Key, op.Val, nil)
	default:
		return batch.Set(op.Key, op.Val, nil)
	}
}

// Snapshot implements kv.Store.
func (s *Store) Snapshot() (kv.Snapshot, error) {
	s.seeing.Lock()
	defer s.seeing.Unlock()
	if s.open == nil {
		s.open = new(sync.WaitGroup)
	}
	s.open.Add(1)
	snap := s.db.NewSnapshot()
	return snapshot{reader{snap}, snap, s.open}, nil
}

// unseen waits until all snapshots of now are closed.
func (s *Store) unseen() {
	s.seeing.Lock()
	before := s.open
	s.open = nil
	s.seeing.Unlock()
	if before != nil {
		before.Wait()
	}
}

// Compact gives back the disk space of what was deleted from from ≤ key < to, and returns when that is done. It may run
// beside everything else but Close.
func (s *Store) Compact(from, to []byte) error {
	if err := s.db.Compact(context.Background(), from, to, false); err != nil {
		return fmt.Errorf("compacting from %q to %q: %w", from, to, err)
	}
	return nil
}

// Checkpoint makes a copy of the store as of now in the folder dir, which must not be there, on the same disk: its tables are
// linked, not copied. It may run beside everything else but Close.
func (s *Store) Checkpoint(dir string) error {
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copying the store to %q: %w", dir, err)
	}
	return nil
}

// Purge returns when what was deleted or replaced before it was called is in none of the store's files. It waits for the
// snapshots that still see it to be closed, and rewrites the whole store, beside everything else but Close.
func (s *Store) Purge() error {
	if err := s.purge(); err != nil {
		return fmt.Errorf("purging the store: %w", err)
	}
	return nil
}

func (s *Store) purge() error {
	s.unseen()
	if err := s.db.Flush(); err != nil {
		return err
	}
	// The library moves a table that overlaps no other down as it is, with what is deleted in it. A second one over the whole
	// range, of two deletions of nothing, makes it write all of them anew.
	for _, key := range [...]string{"\x00", "\xff"} {
		if err := s.db.Delete([]byte(key), pebble.NoSync); err != nil {
			return err
		}
	}
	if err := s.db.Flush(); err != nil {
		return err
	}
	if err := s.Compact([]byte("\x00"), []byte("\xff\xff")); err != nil {
		return err
	}
	for range purgeTries {
		left, err := s.obsolete()
		if err != nil || len(left) == 0 {
			return err
		}
		time.Sleep(purgePause) // the library deletes them in the background
	}
	return errors.New("some files that are not needed any more are still there")
}

// obsolete lists tables that the store does not use, and write ahead logs but the latest.
func (s *Store) obsolete() (left []string, err error) {
	levels, err := s.db.SSTables()
	if err != nil {
		return nil, err
	}
	live := map[string]bool{}
	for _, tables := range levels {
		for _, t := range tables {
			live[fmt.Sprintf("%s.sst", t.FileNum)] = true
		}
	}
	names, err := s.disk.List(s.dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	log := ""
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".sst") && !live[name]:
			left = append(left, name)
		case strings.HasSuffix(name, ".log"):
			if log != "" {
				left = append(left, log)
			}
			log = name
		}
	}
	return left, nil
}

// How long Purge waits for the library.
const (
	purgePause = 20 * time.Millisecond
	purgeTries = 3000
)

// Close implements kv.Store. After a failed Apply it leaves the folder locked until the process ends: the library's
// state is then unknown, and waiting for it could take for ever.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil
	}
	// The write ahead log of a store that was closed is empty: every byte of it stands under a checksum that does not depend on
	// what comes after.
	var flushed error
	if !s.readOnly {
		flushed = s.db.Flush()
	}
	if err := errors.Join(flushed, s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("closing data folder: %w", err)
	}
	return nil
}

type snapshot struct {
	reader
	io.Closer
	open *sync.WaitGroup
}

// Close implements kv.Snapshot.
func (s snapshot) Close() error {
	defer s.open.Done()
	return s.Closer.Close()
}

// A reader is the reading half, over the database or over a snapshot of it.
type reader struct{ from pebble.Reader }

// Get implements kv.Reader.
func (r reader) Get(key []byte) (val []byte, err error) {
	shared, closer, err := r.from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, kv.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", key, err)
	}
	val = append([]byte{}, shared...)
	return val, closer.Close()
}

// Scan implements kv.Reader.
func (r reader) Scan(from, to []byte, fn func(key, val []byte) error) (err error) {
	if len(from) == 0 {
		from = nil // for the library an empty bound is not the same as none
	}
	it, err := r.from.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("scanning from %q: %w", from, err)
	}
	defer func() {
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("scanning from %q: %w", from, closeErr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		val, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("scanning at key %q: %w", it.Key(), err)
		}
		if err := fn(it.Key(), val); errors.Is(err, kv.ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil // an error of the iterator itself comes out of Close
}

// A frugal file system reserves no space ahead: the library would take 70 MB for each of up to five write ahead logs,
// in use or kept for reuse, however little is written.
type frugal struct {
	vfs.FS
	syncs *atomic.Uint64
}

// Create implements vfs.FS.
func (f frugal) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return frugalFile{file, f.syncs}, err
}

// ReuseForWrite implements vfs.FS.
func (f frugal) ReuseForWrite(old, new string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, new, c)
	return frugalFile{file, f.syncs}, err
}

type frugalFile struct {
	vfs.File
	syncs *atomic.Uint64
}

// Sync implements vfs.File.
func (f frugalFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f frugalFile) SyncData() error {
	f.syncs.Add(1)
	return f.File.SyncData()
}

// Preallocate implements vfs.File.
func (frugalFile) Preallocate(int64, int64) error { return nil }
