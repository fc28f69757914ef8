package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoSkew says why the clock of a process cannot be set apart here.
var errNoSkew = errors.New("clocks are skewed on amd64 only")

// skew makes the wall clock of a running process differ from the machine's, by whole seconds. A Go program asks for the time by a function
// that the kernel maps into each process, the vDSO's clock_gettime. As root one may write there, and the kernel gives the process a copy
// of the page. So the program is the one that is shipped, and only its wall clock differs: the monotonic clock that timers go by stays.
func skew(pid int, by time.Duration) error {
	if runtime.GOARCH != "amd64" {
		return errNoSkew
	}
	proc, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	for range 100 { // a thread that stands inside the function would go on in the middle of another one
		proc.Signal(syscall.SIGSTOP)
		err = writeClock(mem, pid, by)
		proc.Signal(syscall.SIGCONT)
		if !errors.Is(err, errInside) {
			return err
		}
	}
	return err
}

var errInside = errors.New("a thread is reading the clock, or does not stop")

func writeClock(mem *os.File, pid int, by time.Duration) error {
	from, to, err := mapping(pid, "[vdso]")
	if err != nil {
		return err
	}
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, from); err != nil {
		return fmt.Errorf("reading the vDSO: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return fmt.Errorf("reading the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("reading the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			if err := allOutside(pid, from, to); err != nil {
				return err
			}
			_, err := mem.WriteAt(clockCode(by), from+int64(s.Value))
			return err
		}
	}
	return errors.New("the vDSO has no clock_gettime")
}

// clockCode is clock_gettime by the system call, with seconds added to CLOCK_REALTIME, which is 0.
func clockCode(by time.Duration) []byte {
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228 (clock_gettime)
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 0x0d, // jne ret
		0x48, 0xb9, // movabs rcx, …
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(int64(by/time.Second)))
	return append(code,
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3) // ret
}

// allOutside waits until all threads stand still, outside of a range.
func allOutside(pid int, from, to int64) error {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil {
		return err
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		words := strings.Fields(string(raw)) // "running", or the number of a system call or -1, arguments, stack and program counter
		at, err := strconv.ParseInt(strings.TrimPrefix(words[len(words)-1], "0x"), 16, 64)
		if err != nil || at >= from && at < to {
			return errInside
		}
	}
	return nil
}

// mapping finds where something is mapped in a process.
func mapping(pid int, name string) (from, to int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if strings.HasSuffix(strings.TrimSpace(line), name) {
			_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
			return from, to, err
		}
	}
	return 0, 0, fmt.Errorf("process %d has no %s", pid, name)
}
