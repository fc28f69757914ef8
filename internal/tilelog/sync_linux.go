package tilelog

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// syncFS makes everything durable that was written to the file system of f: its data are on the disk, and where some cannot be, it says
// so. That is promised by kernels from 5.8 on; on others it is errors.ErrUnsupported.
func syncFS(f *os.File) error {
	if !reportsErrors() {
		return unix.EOPNOTSUPP
	}
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Control(func(fd uintptr) { failed = unix.Syncfs(int(fd)) })
	if failed != nil {
		return os.NewSyscallError("syncfs", failed)
	}
	return err
}

var reportsErrors = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
})
