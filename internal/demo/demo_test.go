package demo_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/demo"
	"github.com/lamppost/lamppost/internal/node"
)

// startNode opens the node that `lamppost serve` runs, on free ports.
func startNode(s demo.Setting) (demo.Node, error) {
	return node.Open(node.Config{Data: s.Data, Network: s.Network, Member: s.Member, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Now: s.Now, Speed: s.Speed, Played: true, NoFsync: true})
}

// A watchedOutput calls fn once, when what it has been given matches.
type watchedOutput struct {
	mu    sync.Mutex
	all   bytes.Buffer
	match *regexp.Regexp
	fn    func()
}

func (w *watchedOutput) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.all.Write(b)
	if w.fn != nil && w.match.Match(w.all.Bytes()) {
		w.fn()
		w.fn = nil
	}
	return n, err
}

// The whole week goes through the real node over MQTT: it ends without an error, says so, and what it tells people to type
// works: the statement holds, and with one digit changed by the very sed command that is printed it does not.
func TestRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("lives a whole week")
	}
	dir := filepath.Join(t.TempDir(), "a week")
	out := &watchedOutput{}
	if err := demo.Run(t.Context(), demo.Options{Start: startNode, For: 5 * time.Second, Data: dir, Out: out}); err != nil {
		t.Fatalf("%v\n%s", err, out.all.String())
	}
	text := out.all.String()
	t.Log(text)
	for _, want := range []string{"Dashboard  http://127.0.0.1:", "The week is over", "Triage    all readings judged", "169 hours", ": equal, none lost",
		"98 invoices for 7 days", "Energy    1921.522 kWh", "as the agents decided                        90.763 kWh     27.93 EUR", " 0 minutes under", "1,523 decisions stand on the ledger.", "water, block 2", "7 % VAT", "water-03 went with 38", "on Thu 22 Oct 10:15, water-03b goes on from 0.012 m³", "lamp-40", "of 40 lamps made a loss", "The bill of Lucía Fernández", "hausverwaltung-000003"} {
		if !strings.Contains(text, want) {
			t.Errorf("the output does not have %q", want)
		}
	}
	pin := readPin(t, dir)
	statement := read(t, dir, "statement.json")
	if _, err := audit.Verify(statement, pin); err != nil {
		t.Error(err)
	}
	command := regexp.MustCompile(`(?m)^  (sed .*); lamppost verify`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no sed command is printed")
	}
	if said, err := exec.Command("sh", "-c", command[1]).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command[1], err, said)
	}
	changed := read(t, dir, "changed.json")
	if bytes.Equal(changed, statement) {
		t.Errorf("%s changes nothing", command[1])
	}
	if _, err := audit.Verify(changed, pin); err == nil {
		t.Errorf("after %s the statement still holds", command[1])
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readPin(t *testing.T, dir string) *audit.Pin {
	t.Helper()
	pin, err := audit.ParsePin(string(read(t, dir, "network.pin")))
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

// Ended in the middle of the week, the demo commits what was measured, bills the days that were over, and ends without
// an error and with the same kind of summary.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	out := &watchedOutput{match: regexp.MustCompile(`[1-9]\d*\.\d\d EUR billed`), fn: cancel} // the first day is billed
	if err := demo.Run(ctx, demo.Options{Start: startNode, For: 20 * time.Second, Data: dir, Out: out}); err != nil {
		t.Fatalf("%v\n%s", err, out.all.String())
	}
	text := out.all.String()
	for _, want := range []string{"Ended early", ": equal, none lost", "Written and verified"} {
		if !strings.Contains(text, want) {
			t.Errorf("the output does not have %q:\n%s", want, text)
		}
	}
	if _, err := audit.Verify(read(t, dir, "statement.json"), readPin(t, dir)); err != nil {
		t.Error(err)
	}
}

// Ended before anything was measured, it says so and is no error either.
func TestRunStoppedAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := &watchedOutput{}
	if err := demo.Run(ctx, demo.Options{Start: startNode, Data: t.TempDir(), Out: out}); err != nil {
		t.Fatal(err)
	}
	if text := out.all.String(); !strings.Contains(text, "Stopped before the first reading") {
		t.Error(text)
	}
}

// A failingNode serves for a while and then fails.
type failingNode struct{ demo.Node }

var errNode = errors.New("the disk is full")

func (n failingNode) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := n.Node.Run(ctx); err != nil {
		return err
	}
	return errNode
}

// When the node fails, the demo ends soon and says why.
func TestRunNodeFails(t *testing.T) {
	t.Parallel()
	start := func(s demo.Setting) (demo.Node, error) {
		n, err := startNode(s)
		return failingNode{n}, err
	}
	err := demo.Run(t.Context(), demo.Options{Start: start, For: time.Hour, Data: t.TempDir(), Out: &watchedOutput{}})
	if !errors.Is(err, errNode) {
		t.Errorf("%v", err)
	}
}

// What cannot be run is refused before a node is started.
func TestRunRefusals(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "something"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]demo.Options{
		"too fast":     {For: time.Second},
		"is only":      {Scenario: "moon"},
		"is not empty": {Data: full},
	} {
		o.Start = func(demo.Setting) (demo.Node, error) {
			t.Errorf("%s: a node is started", want)
			return nil, context.Canceled
		}
		if err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
