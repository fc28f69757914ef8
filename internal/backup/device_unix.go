//go:build unix

package backup

import (
	"os"
	"syscall"
)

// Device names the disk that a folder is on, 0 where that is not known.
func Device(dir string) uint64 {
	info, err := os.Stat(dir)
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev)
	}
	return 0
}
