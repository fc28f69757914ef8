package device

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// LockFolder makes a folder where it is absent and takes its lock until what it returns is closed or the process ends: one process at a
// time writes what is in it. It returns [ErrLocked] where another does.
func LockFolder(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	return lock, nil
}

// SyncFolder makes durable which files a folder has.
func SyncFolder(dir string) error { return syncDir(dir) }
