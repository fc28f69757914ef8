package explore_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/cli"
	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/internal/measure"
)

var more = flag.Bool("explore.more", false, "really run every engine, with a fault, a distance and gateways; half a minute")

// asProgram makes this test the program: members are processes of it.
const asProgram = "LAMPPOST_EXPLORE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(os.Args[1:]))
	}
	os.Setenv(asProgram, "1") // for the children
	os.Exit(m.Run())
}

const short = "seed: 3\nrepetitions: 2\nseconds: 1\ngrids:\n  - {engine: [solo, raft], readings: [1, 10]}\n"

// said is what a measurement of nothing says: the engine and the readings tell points apart.
func said(_ context.Context, _ *explore.Space, p explore.Point) (explore.Figures, error) {
	per, n := map[string]float64{"solo": 10, "raft": 30, "comet": 90}[p.Engine], float64(p.Readings)
	return explore.Figures{Committed: 1000 * int64(p.Readings), Seconds: 1, PerS: 1000 * n, P50: per, P99: 2 * per, CPU: 2 * per / n, NodeCPU: per / n,
		WireBytes: per / n, Messages: 0.5 / n, Syncs: 0.1 / n, DeviceBytes: 160 / n}, nil
}

func options(t *testing.T, dir string) explore.Options {
	return explore.Options{Space: []byte(short), Dir: dir, Commit: "abc", Measure: said, Progress: func(int64, int64, string) {}}
}

// A sweep that is broken off goes on where it stood, also where the last line is a piece, and measures nothing twice.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var measured []string
	o := options(t, dir)
	o.Measure = func(ctx context.Context, s *explore.Space, m explore.Point) (explore.Figures, error) {
		if len(measured) == 3 {
			cancel()
			return explore.Figures{}, ctx.Err()
		}
		measured = append(measured, m.Engine)
		return said(ctx, s, m)
	}
	set, err := explore.Sweep(ctx, o)
	if !errors.Is(err, context.Canceled) || len(set.Rows) != 3 {
		t.Fatalf("broken off with %d rows: %v", len(set.Rows), err)
	}
	lines := filepath.Join(dir, "rows.jsonl")
	raw := must(os.ReadFile(lines))(t)
	if err := os.WriteFile(lines, append(raw, `{"v":1,"ord`...), 0o644); err != nil {
		t.Fatal(err)
	}
	again := 0
	o = options(t, dir)
	o.Measure = func(ctx context.Context, s *explore.Space, m explore.Point) (explore.Figures, error) {
		again++
		return said(ctx, s, m)
	}
	set = must(explore.Sweep(t.Context(), o))(t)
	if again != 5 || len(set.Rows) != 8 {
		t.Errorf("it measured %d more, %d rows in all", again, len(set.Rows))
	}
	var orders []int
	for _, r := range set.Rows {
		orders = append(orders, r.Order)
	}
	if !slices.Equal(orders, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("rows %v", orders)
	}
	for _, path := range []string{dir, filepath.Join(dir, "rows.json")} {
		if read := must(explore.Load(path))(t); len(read.Rows) != 8 || read.Rows[7].Point != set.Rows[7].Point || read.Space.Seed != 3 {
			t.Errorf("%q reads %d rows", path, len(read.Rows))
		}
	}
	o.Space = []byte(short + "most: 5\n")
	if _, err := explore.Sweep(t.Context(), o); !errors.Is(err, explore.ErrOther) {
		t.Errorf("the folder of another space: %v", err)
	}
}

// A point that fails is a row that says why; it stays so until somebody says to try again.
func TestFailedPoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := options(t, dir)
	calls := 0
	o.Measure = func(ctx context.Context, s *explore.Space, m explore.Point) (explore.Figures, error) {
		if calls++; m.Engine == "raft" && calls < 9 {
			return explore.Figures{}, errors.New("the leader\nwas   asleep")
		}
		return said(ctx, s, m)
	}
	set := must(explore.Sweep(t.Context(), o))(t)
	failed := 0
	for _, r := range set.Rows {
		if r.Error == "the leader was asleep" && r.PerS == 0 {
			failed++
		}
	}
	if failed != 4 || calls != 8 {
		t.Errorf("%d rows failed after %d calls", failed, calls)
	}
	if text := string(must(os.ReadFile(filepath.Join(dir, "report.html")))(t)); !strings.Contains(text, "the leader was asleep") {
		t.Error("the report does not say what failed")
	}
	must(explore.Sweep(t.Context(), o))(t)
	if calls != 8 {
		t.Errorf("a second start measured %d more", calls-8)
	}
	o.Retry = true
	set = must(explore.Sweep(t.Context(), o))(t)
	if latest := explore.Latest(set.Rows); calls != 12 || len(set.Rows) != 12 || len(latest) != 8 || slices.ContainsFunc(latest, func(r explore.Row) bool { return r.Error != "" }) {
		t.Errorf("tried again: %d calls, %d rows, %d latest", calls, len(set.Rows), len(latest))
	}
}

// Energy comes of the figures by the model.
func TestEnergy(t *testing.T) {
	t.Parallel()
	set := must(explore.Sweep(t.Context(), options(t, t.TempDir())))(t)
	for _, r := range set.Rows {
		if r.Engine != "raft" || r.Point.Readings != 10 {
			continue
		}
		if want := 3*3.5 + 3*3.6 + 0.01*1200; r.NodeUJ < want-1e-9 || r.NodeUJ > want+1e-9 {
			t.Errorf("members took %v µJ a reading, want %v", r.NodeUJ, want)
		}
		if want := 770 + 16*440.0; r.DeviceUJ["lora"] < want-1e-6 || r.DeviceUJ["lora"] > want+1e-6 {
			t.Errorf("a device takes %v µJ a reading, want %v", r.DeviceUJ["lora"], want)
		}
	}
}

// The engines really run: what is counted is there for each, and nothing between members where there is one.
func TestReally(t *testing.T) {
	t.Parallel()
	space := "repetitions: 1\nseconds: 1\nmost: 2000\ngrids:\n  - {engine: [solo, raft], devices: 8, rate: 200, readings: 2}\n"
	if *more {
		space = "repetitions: 1\nseconds: 2\nmost: 2000\ngrids:\n  - {engine: [solo, raft, comet], devices: 8, rate: 200, verify: [full, gateway], suites: 'es256:2+ed25519'}\n" +
			"  - {engine: [raft, comet], devices: 8, rate: 200, rtt_ms: 20, loss: 0.01, fault: [none, kill, pause]}\n  - {devices: 8, suites: 'hmac-sha256+es256'}\n"
	} else if testing.Short() {
		t.Skip("members are processes")
	}
	o := options(t, t.TempDir())
	o.Space, o.Measure = []byte(space), measure.Point("")
	set := must(explore.Sweep(t.Context(), o))(t)
	for _, r := range set.Rows {
		if r.Error != "" {
			t.Errorf("%+v: %s", r.Point, r.Error)
			continue
		}
		if r.Committed < 200 || r.NodeCPU <= 0 || r.NodeCPU > r.CPU || r.P99 < r.P50 || r.P50 <= 0 || r.DiskBytes <= 0 || r.Syncs <= 0 || r.PeakMB < 10 || r.DeviceBytes < 30 || r.Lost > 0 {
			t.Errorf("%+v: %+v", r.Point, r.Figures)
		}
		if alone := r.Nodes == 1; alone != (r.WireBytes == 0) || alone != (r.Messages == 0) {
			t.Errorf("%+v: %v bytes and %v messages between members", r.Point, r.WireBytes, r.Messages)
		}
		if (r.Verify == "gateway") != (r.GatewayCPU > 0) || (r.Engine == "comet") != (r.SyncsComp > 0) {
			t.Errorf("%+v: %+v", r.Point, r.Figures)
		}
		if half := r.RTTMS; r.P50 < half {
			t.Errorf("%+v: half are committed within %v ms, less than a round trip", r.Point, r.P50)
		}
	}
}
