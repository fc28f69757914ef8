package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// A firmware is the lamp in C of device/c, running.
type firmware struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
}

func (f *firmware) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.Write(b)
}

// says waits for the last line that begins with a word.
func (f *firmware) says(t *testing.T, word, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the lamp says %q", word+" "+want), func() bool {
		f.mu.Lock()
		text := f.said.String()
		f.mu.Unlock()
		last := ""
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, word+" ") {
				last = strings.TrimSpace(line)
			}
		}
		return last == word+" "+want
	})
}

// firmwareLamp compiles the example of device/c, or skips the test where that cannot be.
func firmwareLamp(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed (Debian: gcc libc6-dev): the lamp in C does not run")
	}
	if _, err := os.Stat("/usr/include/mbedtls/ecdsa.h"); errors.Is(err, os.ErrNotExist) {
		t.Skip("the headers of Mbed TLS are not installed (Debian: libmbedtls-dev): the lamp in C does not run")
	}
	program := filepath.Join(t.TempDir(), "lamp")
	args := []string{"-std=c99", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DLAMP_ASKS=1", "-o", program}
	for _, name := range []string{"example_mbedtls.c", "example_lamp.c", "lamppost.c", "lamppost_guard.c", "lamppost_command.c"} {
		args = append(args, "../../device/c/src/"+name)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", append(args, "-lmbedcrypto")...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

// firmware runs the lamp; stop ends it, and it must have nothing to complain about.
func (l *lamp) firmware(t *testing.T, program, folder, token string) (f *firmware, stop func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(l.URL(), "http://"))
	must(t, err)
	f = &firmware{}
	f.cmd = exec.Command(program, folder, "house", "lamp", host, port, token)
	f.cmd.Stdout, f.cmd.Stderr = f, f
	must(t, f.cmd.Start())
	stop = sync.OnceFunc(func() {
		must(t, f.cmd.Process.Signal(syscall.SIGTERM))
		if err := f.cmd.Wait(); err != nil {
			t.Errorf("the lamp ended with %v and said:\n%s", err, f.said.String())
		}
	})
	t.Cleanup(stop)
	return f, stop
}

// Goal: firmware in C has a guard and obeys. Method: the lamp of device/c, for real: a command arrives, passes its guard, is acknowledged in a report
// that it signs, and the twin shows what was granted and what it reports; a restriction is granted down to the factory's minimum; both
// end; and all of it again after a restart.
func TestLampInC(t *testing.T) {
	t.Parallel()
	program, folder := firmwareLamp(t), t.TempDir()
	cfg := config(t.TempDir())
	cfg.Now = time.Now
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "city", Name: "City"}, nil)
	var token api.DeviceToken
	l.order("/api/devices", api.NewDevice{ID: "lamp", Owner: "city", Safety: "ordinary"}, &token) // the charter is the lamp's own
	f, stop := l.firmware(t, program, folder, token.Token)
	f.says(t, "level", "100")

	l.desire("lamp", `{"id":"dusk","set":{"level":60},"by":"ann","reason":"a quiet street"}`)
	f.says(t, "level", "60")
	f.says(t, "acknowledged", "1")
	if d := l.stands("lamp", 1, api.Obeyed); d.AckedBy != "device" || d.Functions[0].Granted != "60" || d.Functions[0].Reported != "60" {
		t.Errorf("obeyed: %+v", d)
	}

	// Not below what it was built with, and it says by which rule.
	l.desire("lamp", `{"id":"dark","set":{"level":10,"sound":"3 dB"},"by":"ann"}`)
	f.says(t, "level", "30")
	d := l.stands("lamp", 2, api.GrantedLess)
	if x := d.Functions[0]; x.Granted != "30" || x.Reported != "30" || x.Why != lamppost.IsMinimum.String() {
		t.Errorf("granted less: %+v", d)
	}
	if x := d.Functions[1]; x.Granted != "" || x.Why != lamppost.IsUnknown.String() {
		t.Errorf("a function that it does not have: %+v", d)
	}

	// A restriction of the ledger holds for what nobody commands, too; the guard's word says so, with whose it is.
	if status, answer := l.ask("DELETE", "/api/devices/lamp/desired", nil); status != http.StatusOK {
		t.Fatalf("taking back: %d %s", status, answer)
	}
	f.says(t, "level", "100")
	l.order("/api/restrictions", lamppost.RestrictBody{ID: "peak", Device: "lamp", Function: "level", Level: 5, By: "city", Reason: "power is scarce", Until: lamppost.TimeMS(time.Now().Add(time.Hour).UnixMilli())}, nil)
	f.says(t, "level", "30")
	l.guardSays("lamp", "level (public) runs at 30 %; city asks for 5 % (power is scarce): not below its minimum")
	l.desire("lamp", `{"id":"bright","set":{"level":90},"by":"ann"}`)
	if d := l.stands("lamp", 4, api.GrantedLess); d.Functions[0].Granted != "30" || d.Functions[0].Why != lamppost.IsAsked.String() {
		t.Errorf("restricted: %+v", d)
	}

	// After a restart it keeps what is asked, and is told again.
	stop()
	f, _ = l.firmware(t, program, folder, token.Token)
	f.says(t, "level", "30")
	f.says(t, "acknowledged", "4")
	l.order("/api/restrictions", lamppost.RestrictBody{ID: "peak", Device: "lamp", Function: "level", By: "city", Reason: "enough for all", Until: lamppost.TimeMS(time.Now().Add(time.Hour).UnixMilli()), Lifted: true}, nil)
	f.says(t, "level", "90")
	l.stands("lamp", 4, api.Obeyed)
}

// guardSays waits until a device's own guard says something of one function.
func (l *lamp) guardSays(id lamppost.DeviceID, want string) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("the guard of %s says %q", id, want), func() bool {
		var state api.GuardState
		status, answer := l.ask("GET", "/api/devices/"+string(id)+"/guard", nil)
		if status != http.StatusOK {
			l.t.Fatalf("the guard of %s: %d %s", id, status, answer)
		}
		must(l.t, json.Unmarshal(answer, &state))
		return len(state.Words) == 1 && len(state.Words[0].Decisions) == 1 && state.Words[0].Decisions[0].Text == want
	})
}
