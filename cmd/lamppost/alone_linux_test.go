package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// inAlone marks the process that runs the tests in a network namespace of its own.
const inAlone = "LAMPPOST_TEST_ALONE"

// runAlone runs this package's tests once more, in a network namespace of their own, where that is permitted. The labs' devices come and
// go there: a browser beside them, in another package's tests, would drop its connections whenever the machine's network changes.
func runAlone() (code int, done bool) {
	if os.Getenv(inAlone) != "" {
		return 0, false
	}
	up := exec.Command("ip", "link", "set", "lo", "up")
	up.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if up.Run() != nil {
		return 0, false
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ip link set lo up && exec "$@"`, "sh"}, os.Args...)...)
	cmd.Env = append(os.Environ(), inAlone+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, true
	}
	return cmd.ProcessState.ExitCode(), true
}
