//go:build !unix || aix || solaris

package device

import "os"

// lockFile opens the lock file without locking it: here the caller alone sees to it that one process uses the folder.
func lockFile(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

// syncDir does nothing where folders cannot be synced; the file system orders renames itself there.
func syncDir(string) error { return nil }
