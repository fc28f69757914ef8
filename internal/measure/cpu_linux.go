package measure

import (
	"syscall"
	"unsafe"
)

// cpuClock is what a process has used of CPU time, to the nanosecond, by the clock that Linux keeps for each process
// (clock_getcpuclockid(3)); 0 where there is no such process.
func cpuClock(pid int) float64 {
	var t syscall.Timespec
	const sched = 2 // CPUCLOCK_SCHED: user and system, as the scheduler counts
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^pid<<3|sched), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return float64(t.Nano()) / 1e9
}
