package archive

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// MemObjects keeps objects in memory, for tests. The zero value is empty.
type MemObjects struct {
	mu  sync.Mutex
	all map[string][]byte
}

// Put implements Objects.
func (m *MemObjects) Put(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string][]byte{}
	}
	m.all[name] = slices.Clone(data)
	return nil
}

// Read implements Objects.
func (m *MemObjects) Read(name string, off int64, n int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.all[name]
	if !ok {
		return nil, fmt.Errorf("object %s: %w", name, fs.ErrNotExist)
	}
	if off < 0 {
		off = max(0, int64(len(data))+off)
	}
	off = min(off, int64(len(data)))
	return slices.Clone(data[off:min(int64(len(data)), off+int64(n))]), nil
}

// Remove implements Objects.
func (m *MemObjects) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, name)
	return nil
}

// List implements Objects.
func (m *MemObjects) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.all)), nil
}
