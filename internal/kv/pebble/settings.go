package pebble

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The load these settings are for: 1 to 10 MB/s in batches of one block, most of it bodies of up to 1 MiB that are
// written once under ascending keys and seldom read, beside small state keys that are read for every transaction.
const (
	memtables        = 4  // filled ones that may wait for the disk before Apply does
	bloomBitsPerKey  = 10 // 1 % of lookups of a missing key touch a file in vain
	openFiles        = 1000
	batchHeaderBytes = 12
)

// settings translates Options.
//
// Values are kept in the tables, not in the library's separate value files. Body keys ascend, so their files do not
// overlap and move down the tree without being rewritten: there is little to save. And a deleted value must be gone
// from the disk within a known time (erasure), while a separate file is rewritten only once enough of it is garbage.
//
// The format is fixed, because raising it cannot be undone: this one has checksums in table footers, and a write ahead
// log that tells a torn end from a damaged middle.
func settings(disk vfs.FS, lock *pebble.Lock, o Options) *pebble.Options {
	log := logger{o.Logger}
	if o.Logger == nil {
		log = logger{slog.New(slog.DiscardHandler)}
	}
	events := log.events()
	s := &pebble.Options{
		FS:                          disk,
		Lock:                        lock,
		Logger:                      log,
		EventListener:               &events,
		Cleaner:                     cleaner{},
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		CacheSize:                   o.CacheBytes,
		MaxOpenFiles:                openFiles,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: memtables,
		ReadOnly:                    o.ReadOnly,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		// WALBytesPerSync stays 0: every batch is synced as a whole, syncs in between only delay it.
	}
	if s.CacheSize == 0 {
		s.CacheSize = DefaultCacheBytes
	}
	if s.MemTableSize == 0 {
		s.MemTableSize = DefaultMemTableBytes
	}
	// The library takes what memtables hold out of the cache: one is always being filled, another often being written to a table.
	s.CacheSize += 2 * int64(s.MemTableSize)
	for i := range s.Levels {
		s.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	// Signatures and hashes do not compress, readings and state do: fast on the way down, denser at the bottom.
	s.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	return s
}

// A cleaner deletes obsolete files. Being, one level down, an ArchiveCleaner too, it makes the library think that their
// contents are needed and not write into the files of old write ahead logs again: what was erased would stay in them until
// it happens to be overwritten.
type cleaner struct {
	pebble.DeleteCleaner
	noReuse
}

type noReuse struct{ pebble.ArchiveCleaner }

// A fatalError is what the library calls fatal: it cannot go on, and memory and disk may disagree.
type fatalError string

func (e fatalError) Error() string { return string(e) }

// A logger passes on trouble and drops the library's daily business.
type logger struct{ to *slog.Logger }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.to.Error("kv: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return. On the goroutine of Apply the panic becomes Apply's error. On a goroutine of the library it
// ends the process, which is right: nothing may be acknowledged any more, and the next start recovers.
func (l logger) Fatalf(format string, args ...any) {
	err := fatalError(fmt.Sprintf(format, args...))
	l.to.Error("kv: " + err.Error())
	panic(err)
}

func (l logger) events() pebble.EventListener {
	return pebble.EventListener{
		BackgroundError: func(err error) { l.to.Error("kv: background work fails", "err", err) },
		DataCorruption: func(c pebble.DataCorruptionInfo) {
			l.to.Error("kv: damaged data", "path", c.Path, "err", c.Details)
		},
		DiskSlow: func(d pebble.DiskSlowInfo) {
			l.to.Warn("kv: slow disk", "path", d.Path, "op", d.OpType.String(), "took", d.Duration)
		},
		WriteStallBegin: func(w pebble.WriteStallBeginInfo) {
			l.to.Warn("kv: writes wait for the disk", "reason", w.Reason)
		},
		WriteStallEnd: func() { l.to.Info("kv: writes go on") },
	}
}
