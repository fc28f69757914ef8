//go:build !small

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// lawful is what a machine measures that waits for company and round trips, and computes for blocks and reports.
func lawful(_ context.Context, _ *explore.Space, p explore.Point) (explore.Figures, error) {
	n, k, rate := float64(p.Nodes), float64(p.Readings), float64(p.Rate)
	wait := p.LingerMS + 10*n*n + n*p.RTTMS
	if p.Rate == 0 {
		rate = 100_000 / n
	}
	f := explore.Figures{Seconds: 3 + wait/1000, Committed: int64(3 * rate * k), P50: wait, P99: 2 * wait, NodeCPU: n * (50_000 + 600_000/wait + 20*rate) / (rate * k)}
	f.PerS = float64(f.Committed) / f.Seconds
	f.DiskBytes, f.WireBytes, f.Syncs = 300/k, (n-1)*200/k, n*2000/wait/(rate*k)
	return f, nil
}

// smallSweep is a sweep of a small space by a law.
func smallSweep(t *testing.T) string {
	t.Helper()
	const space = `seed: 1
repetitions: 1
seconds: 3
grids:
  - {engine: [solo, raft, comet], readings: [1, 10, 100], segment: [256, 1024]}
  - {engine: [raft, comet], rtt_ms: [20, 100]}
  - {engine: [solo, raft, comet], rate: [300, 2000], readings: 1, linger_ms: [5, 25, 200], rtt_ms: [0, 20, 100]}
  - {engine: [solo, raft, comet], rate: [30, 200], readings: 10, linger_ms: [5, 25, 200], rtt_ms: [0, 20, 100]}
  - {engine: [solo, raft, comet], rate: [30, 200, 2000, 10000]}
`
	dir := t.TempDir()
	_, err := explore.Sweep(t.Context(), explore.Options{Space: []byte(space), Dir: dir, Measure: lawful, Progress: func(int64, int64, string) {}})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBenchAdvise: cells of a sweep are held out and profiles are run; the figures come as tables for people and as one JSON object for programs, with the names
// that others read.
func TestBenchAdvise(t *testing.T) {
	t.Parallel()
	dir := smallSweep(t)
	run := func(args ...string) (string, error) {
		var out strings.Builder
		cmd := benchAdviseBy(lawful)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	text, err := run("--rows", dir, "--run", "5")
	for _, word := range []string{"held-out cells of the grid", "highest throughput", "decision tree", "nearest neighbour", "of 5 fleets measured", "commit_p99_ms: "} {
		if err != nil || !strings.Contains(text, word) {
			t.Fatalf("no %q: %v\n%s", word, err, text)
		}
	}
	text, err = run("--rows", filepath.Join(dir, "rows.json"), "--json", "--run", "5", "--seed", "2")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"problems", "regret_median", "regret_mean", "violations", "abstained", "profiles", "met", "drawn"} {
		if n, ok := all[key].(float64); !ok || math.IsNaN(n) {
			t.Errorf("%s: %v", key, all[key])
		}
	}
	if all["problems"].(float64) < 20 || all["profiles"].(float64) != 5 || len(all["baselines"].([]any)) != 3 || len(all["trials"].([]any)) != 5 {
		t.Error(fmt.Sprint(all)[:300])
	}
	broken := filepath.Join(t.TempDir(), "rows.json")
	if err := os.WriteFile(broken, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{"--rows": nil, "it is from 0 to 1000": {"--rows", dir, "--run", "-1"}, "no such file": {"--rows", dir + "/none"}, "rows.json": {"--rows", broken}} {
		if _, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
