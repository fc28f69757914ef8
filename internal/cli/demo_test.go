package cli

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/demo"
)

// What the demo says to type at its end works, whenever the folder is served: the decision replays to the same bytes, and what it came to is what the ledger
// says. (It sets the environment.)
func TestDemoExplains(t *testing.T) {
	if testing.Short() {
		t.Skip("lives two days")
	}
	dir, out := t.TempDir(), bytes.Buffer{}
	if err := demo.Run(t.Context(), demo.Options{Start: startDemoNode, Scenario: "charging", For: demo.MinFor, Data: dir, Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	command := regexp.MustCompile(`lamppost explain (d[0-9.]+) --data`).FindStringSubmatch(out.String())
	if command == nil {
		t.Fatalf("no command in %s", out.String())
	}
	n := startNodeOf(t, dir, "", func() time.Time { return time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC) })
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	says(t, []string{"explain", command[1], "--data", dir}, "Replayed: the same bytes", "Wh are wanted by", "and it came to what the ledger says")
}
