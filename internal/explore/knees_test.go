package explore_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// says looks for a line of a table of the report that begins and goes on as said.
func says(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l) {
			t.Errorf("no %q in\n%s", l, text)
		}
	}
}

// A knee is where doubling stops to give a tenth: with a plateau, without one, and where there was nothing to gain.
func TestKnees(t *testing.T) {
	t.Parallel()
	set := of(t, "repetitions: 1\ngrids:\n  - {engine: [solo, raft, comet], rate: 1000, linger_ms: [2, 5, 25, 100, 400]}\n  - {engine: [raft], segment: [16, 64, 256, 1024]}\n  - {engine: [raft], rate: [250, 500, 2000]}\n",
		func(p explore.Point, _ int) float64 { return 10 })
	for i := range set.Rows {
		r := &set.Rows[i]
		switch r.Engine {
		case "solo": // nothing is gained
			r.NodeCPU = 5
		case "raft": // a plateau from 25 ms on, where the price is paid in latency
			r.NodeCPU, r.P99 = map[float64]float64{2: 90, 5: 60, 25: 20, 100: 19.5, 400: 19}[r.LingerMS], 10+r.LingerMS/2
		case "comet": // still falling
			r.NodeCPU, r.P99 = 400/r.LingerMS, 300+r.LingerMS/10
		}
		if r.Rate == 0 {
			r.PerS = map[int]float64{16: 1000, 64: 3000, 256: 4000, 1024: 4100}[r.Segment]
		}
		if r.LingerMS == 25 && r.Rate > 0 && r.Engine == "raft" {
			r.P99 = 20 + float64(r.Rate)/100
		}
	}
	says(t, set.Markdown(),
		"| linger | 1000/s | CPU of members and gateways, µs/reading | 2 ms or less (5.00 → 5.00) | 25 ms (20.0 → 19.0) | beyond 400 ms (1.00) |",
		"| reports in a segment at most | full | throughput, readings/s |  | 256 (4,000 → 4,100) |  |",
		"| linger | 1000/s | p99 doubles | not up to 400 ms (10.0 → 10.0) | 5 ms (12.5) to 25 ms (30.0) | not up to 400 ms (300 → 340) |",
		"| reports/s offered |  | p99 doubles |  | not up to 2000/s (22.5 → 40.0) |  |")
}

// The cheapest setting within a bound is named; one that lost reports is none; where none keeps the bound, it says how near it came.
func TestCheapestSettings(t *testing.T) {
	t.Parallel()
	set := of(t, "repetitions: 1\ngrids:\n  - {engine: [raft, comet], rate: 300, linger_ms: [5, 25, 200]}\n  - {engine: [raft, comet], rate: 30, readings: 10, linger_ms: [5, 25, 200]}\n  - {engine: raft, rate: 7}\n",
		func(p explore.Point, _ int) float64 {
			return map[string]float64{"raft": 20, "comet": 250}[p.Engine] + p.LingerMS
		})
	for i := range set.Rows {
		r := &set.Rows[i]
		r.NodeCPU = 100/r.LingerMS + 50/float64(r.Readings)
		if r.Engine == "raft" && r.LingerMS == 25 && r.Point.Readings == 10 {
			r.Lost = 1
		}
	}
	text := set.Markdown()
	says(t, text, "| 300 | 0 ms | 100 ms |  | 10, linger 5 ms: 25.0 µs, 25.0 ms | none (255 ms) |",
		"| 300 | 0 ms | 500 ms |  | 10, linger 200 ms: 5.50 µs, 220 ms | 10, linger 200 ms: 5.50 µs, 450 ms |")
	if strings.Contains(text, "| 300 | 0 ms | 1,000 ms |") {
		t.Error("a bound that changes nothing has a line")
	}
	if strings.Contains(text, "| 7 | 0 ms") {
		t.Error("a demand for which there was nothing to choose from has a line")
	}
}

// What a choice saves is said over all points where nothing else differs: engines near and apart, aggregation at the same readings a second, whose word.
func TestSavings(t *testing.T) {
	t.Parallel()
	set := of(t, "repetitions: 1\ngrids:\n  - {engine: [raft, comet], rate: [100, 500], rtt_ms: [0, 20]}\n  - {engine: raft, rate: [10, 50], readings: 10}\n  - {engine: raft, rate: 100, verify: gateway}\n",
		func(p explore.Point, _ int) float64 { return map[string]float64{"raft": 25, "comet": 100}[p.Engine] })
	for i := range set.Rows {
		r := &set.Rows[i]
		r.NodeCPU = map[string]float64{"raft": 30, "comet": 60}[r.Engine]
		switch {
		case r.Engine == "raft" && r.Rate == 500 && r.RTTMS == 0:
			r.NodeCPU = 75 // dearer than comet
		case r.Verify == "gateway":
			r.NodeCPU, r.GatewayCPU = 10, 35 // members save, the network does not
		case r.Point.Readings == 10:
			r.NodeCPU = 15
		}
	}
	says(t, set.Markdown(),
		"| raft instead of comet, members near each other | 2 | 12 % (-25 % to 50 %; dearer in 1) | 75 % (75 % to 75 %) |",
		"| raft instead of comet, members apart | 2 | 50 % (50 % to 50 %) |",
		"| 10 readings in a report instead of 1, of as many readings/s: raft | 2 | 65 % (50 % to 80 %) | 0 % (0 % to 0 %) |",
		"| gateways' word instead of all signatures: raft | 1 | -50 % | 0 % |")
}

// A document's tables stay short for a whole space: no table has a line for each point, and every value of a setting is there.
func TestTablesStayShort(t *testing.T) {
	t.Parallel()
	space := string(must(os.ReadFile("../../bench/results/space.yaml"))(t))
	set := of(t, space, func(p explore.Point, rep int) float64 { return 10 + p.RTTMS + p.LingerMS + float64(rep) })
	text := set.Markdown()
	if n := strings.Count(text, "\n"); n > 200 {
		t.Errorf("the tables have %d lines", n)
	}
	says(t, text, "| fault kill |", "| devices 4000 |", "| reports/s offered 3/s; devices 30 |", "| linger 400 ms |", "| signatures es256:7+hmac-sha256:2+ed25519:1;", "| members 7 |", "| loss between members 0.01; round trip between members 20 ms |",
		"| reports/s offered 10000/s |", "| who verifies gateway |")
}

// A sweep that is not done says so.
func TestSaysHowMuchIsMeasured(t *testing.T) {
	t.Parallel()
	set := of(t, threeGroups, func(explore.Point, int) float64 { return 1 })
	if strings.Contains(set.Markdown(), "measured so far") {
		t.Error("a whole sweep says that something is missing")
	}
	set.Rows = set.Rows[:7]
	says(t, set.Markdown(), "Of 18 runs 7 are measured so far.")
}

// Joules are of the model that the set has, whatever a row says: of a folder by its space, of rows.json by what stands there.
func TestJoulesComputedAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	set := must(explore.Sweep(t.Context(), options(t, dir)))(t)
	want := set.Rows[0].NodeUJ
	lines := filepath.Join(dir, "rows.jsonl")
	stale := strings.ReplaceAll(string(must(os.ReadFile(lines))(t)), `"node_uj":`, `"node_uj":9`)
	if err := os.WriteFile(lines, []byte(stale), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := must(explore.Load(dir))(t).Rows[0].NodeUJ; math.Abs(got-want) > 1e-9 {
		t.Errorf("the folder says %v µJ, want %v", got, want)
	}
	if again := must(explore.Sweep(t.Context(), options(t, dir)))(t); math.Abs(again.Rows[0].NodeUJ-want) > 1e-9 {
		t.Errorf("a sweep that goes on says %v µJ, want %v", again.Rows[0].NodeUJ, want)
	}
	file := filepath.Join(dir, "rows.json")
	twice := strings.Replace(string(must(os.ReadFile(file))(t)), `"value": 3.5`, `"value": 7`, 1)
	if err := os.WriteFile(file, []byte(twice), 0o644); err != nil {
		t.Fatal(err)
	}
	r := must(explore.Load(file))(t).Rows[0]
	if more := 3.5 * r.NodeCPU; math.Abs(r.NodeUJ-want-more) > 1e-9 {
		t.Errorf("the file with a dearer CPU says %v µJ, want %v", r.NodeUJ, want+more)
	}
	for _, bad := range []string{`{"v":1,"rows":[]}`, `{"v":1,"space":{},"rows":[]}`} {
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := explore.Load(file); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
