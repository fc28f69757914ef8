package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// OpenFS opens a store on a disk that a test can break.
func OpenFS(disk vfs.FS, dir string, o Options) (*Store, error) { return openFS(disk, dir, o) }

// WriteAmplification returns the bytes that flushes and compactions wrote per byte that was applied.
func (s *Store) WriteAmplification() float64 {
	m := s.db.Metrics()
	total := m.Total()
	return float64(total.TableBytesFlushed+total.TableBytesCompacted) / float64(m.WAL.BytesIn)
}

// CacheMisses returns how many blocks were not in the cache.
func (s *Store) CacheMisses() int64 { return s.db.Metrics().BlockCache.Misses }
