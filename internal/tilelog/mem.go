package tilelog

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
)

// MemStorage publishes into memory, for tests and for whoever wants a log's files without a disk. The zero value is
// empty. It may be used by several goroutines.
type MemStorage struct {
	mu    sync.Mutex
	files map[string][]byte
}

// Get implements Storage.
func (m *MemStorage) Get(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data, ok := m.files[path]; ok {
		return slices.Clone(data), nil
	}
	return nil, fmt.Errorf("%q: %w", path, fs.ErrNotExist)
}

// Put implements Storage.
func (m *MemStorage) Put(files ...File) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range files {
		if have, ok := m.files[f.Path]; ok && !bytes.Equal(have, f.Data) {
			return fmt.Errorf("publishing %q: another version is published already", f.Path)
		}
		m.set(f.Path, f.Data)
	}
	return nil
}

// PutCheckpoint implements Storage.
func (m *MemStorage) PutCheckpoint(path string, old, new []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have, ok := m.files[path]; ok != (old != nil) || !bytes.Equal(have, old) {
		return fmt.Errorf("the published %s is %q, not %q", path, have, old)
	}
	m.set(path, new)
	return nil
}

// Trim implements Trimmer.
func (m *MemStorage) Trim(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.files, func(p string, _ []byte) bool { return strings.HasPrefix(p, path+".p/") })
	return nil
}

func (m *MemStorage) set(path string, data []byte) {
	if m.files == nil {
		m.files = map[string][]byte{}
	}
	m.files[path] = slices.Clone(data)
}
