package log

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A Comparison is what [Compare] found, each figure the median of its runs.
type Comparison struct {
	Lamppost float64 `json:"lamppost_per_s"`
	Peer     float64 `json:"peer_per_s"`
	Ratio    float64 `json:"ratio"`

	PeerSetting  string    `json:"peer_setting"` // the best of Settings, by one run of each
	Sweep        []Trial   `json:"sweep"`
	LamppostRuns []float64 `json:"lamppost_runs"`
	PeerRuns     []float64 `json:"peer_runs"`
	Leaves       int       `json:"leaves"`
	LeafBytes    int       `json:"leaf_bytes"`
	Window       int       `json:"window"`
}

// A Trial is one run of a peer's setting.
type Trial struct {
	Setting   string  `json:"setting"`
	PerSecond float64 `json:"per_s"`
}

// Settings are those of Tessera that are tried. A checkpoint a second is the most often it makes one.
var Settings = []TesseraSetting{
	{256, 50 * time.Millisecond, time.Second},
	{1024, 50 * time.Millisecond, time.Second},
	{4096, 50 * time.Millisecond, time.Second},
	{16384, 100 * time.Millisecond, time.Second},
	{32768, 200 * time.Millisecond, time.Second},
}

// String is the setting as it is given to Tessera.
func (s TesseraSetting) String() string {
	return fmt.Sprintf("batches of %d or %v, checkpoint every %v", s.Batch, s.Age, s.Checkpoint)
}

// publishEvery is a node's default.
const publishEvery = 500 * time.Millisecond

// Compare finds Tessera's best setting and then runs both in turn. Every run has a new folder below dir, and none is
// removed here: a file system may make new files more slowly where it has just removed others.
func Compare(ctx context.Context, dir string, load Load, rounds int) (*Comparison, error) {
	c := &Comparison{Leaves: load.Leaves, LeafBytes: load.LeafBytes, Window: load.Window}
	best := 0
	for i, s := range Settings {
		per, err := runTessera(ctx, dir, s, load)
		if err != nil {
			return nil, fmt.Errorf("tessera, %s: %w", s, err)
		}
		c.Sweep = append(c.Sweep, Trial{s.String(), per})
		if per > c.Sweep[best].PerSecond {
			best = i
		}
	}
	c.PeerSetting = c.Sweep[best].Setting
	for range rounds {
		per, err := runLamppost(ctx, dir, load)
		if err != nil {
			return nil, fmt.Errorf("lamppost: %w", err)
		}
		c.LamppostRuns = append(c.LamppostRuns, per)
		if per, err = runTessera(ctx, dir, Settings[best], load); err != nil {
			return nil, fmt.Errorf("tessera: %w", err)
		}
		c.PeerRuns = append(c.PeerRuns, per)
	}
	c.Lamppost, c.Peer = median(c.LamppostRuns), median(c.PeerRuns)
	c.Ratio = c.Lamppost / c.Peer
	return c, nil
}

func runTessera(ctx context.Context, dir string, s TesseraSetting, load Load) (float64, error) {
	ctx, stop := context.WithCancel(ctx) // what it left running ends before the next run
	defer stop()
	dir, err := os.MkdirTemp(dir, "tessera")
	if err != nil {
		return 0, err
	}
	l, err := OpenTessera(ctx, dir, s, load.Window)
	if err != nil {
		return 0, err
	}
	return measure(ctx, l, load)
}

func runLamppost(ctx context.Context, dir string, load Load) (float64, error) {
	dir, err := os.MkdirTemp(dir, "lamppost")
	if err != nil {
		return 0, err
	}
	l, err := OpenLamppost(filepath.Join(dir, "node"), publishEvery)
	if err != nil {
		return 0, err
	}
	return measure(ctx, l, load)
}

func measure(ctx context.Context, l Log, load Load) (float64, error) {
	per, err := Measure(ctx, l, load)
	if closed := l.Close(ctx); err == nil {
		err = closed
	}
	return per, err
}

func median(runs []float64) float64 {
	sorted := slices.Sorted(slices.Values(runs))
	return sorted[len(sorted)/2]
}
