// Package brokertest runs mosquitto, a broker that others have written, for tests of packages that join one. Where it is not
// installed (Debian: mosquitto) the test is skipped.
package brokertest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Broker is a mosquitto on loopback that keeps its sessions on disk.
type Broker struct {
	Addr string // host:port

	t      testing.TB
	binary string
	config string
	cmd    *exec.Cmd
}

// Start runs a broker until the test ends. lines are further lines of its configuration: those of its listener, such as
// allow_anonymous or certfile, and of sessions. Without any it lets everybody in.
func Start(t testing.TB, lines ...string) *Broker {
	t.Helper()
	b := &Broker{t: t, binary: find(t, "mosquitto"), Addr: freeAddress(t)}
	if len(lines) == 0 {
		lines = []string{"allow_anonymous true"}
	}
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(b.Addr)
	lines = append([]string{"user root", "persistence true", "persistence_location " + dir + "/", "max_queued_messages 100000", "max_inflight_messages 0",
		"listener " + port + " 127.0.0.1"}, lines...)
	b.config = filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(b.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Begin()
	t.Cleanup(b.Stop)
	return b
}

// Begin runs the broker again after Stop, and returns when it can be reached.
func (b *Broker) Begin() {
	b.t.Helper()
	b.cmd = exec.Command(b.binary, "-c", b.config)
	var said strings.Builder
	b.cmd.Stderr = &said
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if nc, err := net.Dial("tcp", b.Addr); err == nil {
			nc.Close()
			return
		}
	}
	b.Stop()
	b.t.Fatalf("mosquitto does not listen:\n%s", said.String())
}

// Stop ends the broker, which writes its sessions to disk before. It does nothing where it does not run.
func (b *Broker) Stop() {
	if b.cmd == nil {
		return
	}
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.cmd.Wait()
	b.cmd = nil
}

// Passwords writes a file of users and passwords, "user:password" each, for the line password_file.
func Passwords(t testing.TB, logins ...string) string {
	t.Helper()
	tool, file := find(t, "mosquitto_passwd"), filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, login := range logins {
		user, password, _ := strings.Cut(login, ":")
		if out, err := exec.Command(tool, "-b", file, user, password).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return file
}

func find(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/usr/bin", name)} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed (Debian: mosquitto)", name)
	return ""
}

// freeAddress is one that nobody listens on just now.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
