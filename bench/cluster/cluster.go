// Package cluster measures how many signed readings a second a network of members takes, all on this machine and every write
// synced on most of them, and how many a peer takes that orders by the same kind of engine. Both sides run as processes: Lamppost
// as the program it is, its peers as programs of a few lines around their own libraries.
package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// A Peer is what Lamppost is compared with.
type Peer struct {
	Name     string
	Settings []Setting // that are tried; the best of them is used
	// Run starts new members in an empty folder, sends values for so long and returns how many a second were committed.
	Run func(ctx context.Context, dir string, s Setting, valueBytes int, d time.Duration) (perSecond float64, err error)
}

// A Setting is how a peer is tuned and driven.
type Setting struct {
	Name   string
	Window int           // values on their way at once, at all members together
	Conns  int           // connections of clients, where it has clients
	Commit time.Duration // pause between blocks, where it has one
}

// A Load says what is compared.
type Load struct {
	Engine     string // of Lamppost: raft or comet
	Members    int
	Readings   int // in a report of Lamppost
	ValueBytes int // of a peer's value: one signed reading
	For        time.Duration
	Rounds     int
}

// A Comparison is what [Compare] found, each figure the median of its runs.
type Comparison struct {
	Lamppost float64 `json:"lamppost_per_s"` // signed readings, acknowledged
	Peer     float64 `json:"peer_per_s"`     // likewise, one a value
	Ratio    float64 `json:"ratio"`          // of the medians
	Ratios   Spread  `json:"ratios"`         // of rounds

	PeerName     string    `json:"peer"`
	PeerSetting  string    `json:"peer_setting"` // the best of Sweep, by one run of each
	Sweep        []Trial   `json:"sweep"`
	LamppostRuns []float64 `json:"lamppost_runs"`
	PeerRuns     []float64 `json:"peer_runs"`

	// The peer given whole segments of signed reports as its values.
	PeerBatched     float64   `json:"peer_batched_per_s"`
	RatioBatched    float64   `json:"ratio_batched"`
	PeerBatchedRuns []float64 `json:"peer_batched_runs"`
	BatchBytes      int       `json:"batch_bytes"`
	BatchReadings   int       `json:"batch_readings"`

	Engine     string  `json:"engine"`
	Members    int     `json:"members"`
	Readings   int     `json:"readings_per_report"`
	ValueBytes int     `json:"value_bytes"`
	Seconds    float64 `json:"seconds"` // of a run
	Fsync      bool    `json:"fsync"`
}

// A Spread is the least and the most.
type Spread struct {
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
}

// A Trial is one run of a peer's setting.
type Trial struct {
	Setting   string  `json:"setting"`
	PerSecond float64 `json:"per_s"`
}

// A gateway packs up to so many reports into a segment, with this many bytes beside each.
const (
	segmentReports = 1024
	itemBytes      = 32
	batchWindow    = 16 // segments on their way: of four members, the four that each has in the making
)

// Compare builds Lamppost, finds the peer's best setting and then runs both in turn, each time with new folders below dir.
func Compare(ctx context.Context, dir string, peer Peer, load Load, say func(string, ...any)) (*Comparison, error) {
	program, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	c := &Comparison{PeerName: peer.Name, Engine: load.Engine, Members: load.Members, Readings: load.Readings, ValueBytes: load.ValueBytes,
		Seconds: load.For.Seconds(), Fsync: true}
	run := func(s Setting, bytes int) (float64, error) {
		dir, err := os.MkdirTemp(dir, "peer")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		per, err := peer.Run(ctx, dir, s, bytes, load.For)
		if err != nil {
			return 0, fmt.Errorf("%s, %s: %w", peer.Name, s.Name, err)
		}
		say("%s, %s, values of %d bytes: %.0f/s\n", peer.Name, s.Name, bytes, per)
		return per, nil
	}
	best := 0
	for i, s := range peer.Settings {
		per, err := run(s, load.ValueBytes)
		if err != nil {
			return nil, err
		}
		c.Sweep = append(c.Sweep, Trial{s.Name, per})
		if per > c.Sweep[best].PerSecond {
			best = i
		}
	}
	c.PeerSetting = c.Sweep[best].Setting
	batched := peer.Settings[best]
	batched.Window = batchWindow
	for range load.Rounds {
		own, err := runLamppost(ctx, program, dir, load)
		if err != nil {
			return nil, fmt.Errorf("lamppost: %w", err)
		}
		say("Lamppost, %s: %.0f readings/s\n", load.Engine, own.ReadingsPerS)
		c.LamppostRuns = append(c.LamppostRuns, own.ReadingsPerS)
		per, err := run(peer.Settings[best], load.ValueBytes)
		if err != nil {
			return nil, err
		}
		c.PeerRuns = append(c.PeerRuns, per)
		c.BatchBytes, c.BatchReadings = segmentReports*(own.ReportBytes+itemBytes), segmentReports*load.Readings
		if per, err = run(batched, c.BatchBytes); err != nil {
			return nil, err
		}
		c.PeerBatchedRuns = append(c.PeerBatchedRuns, per*float64(c.BatchReadings))
	}
	c.sum()
	return c, nil
}

func (c *Comparison) sum() {
	var ratios []float64
	for i := range c.PeerRuns {
		ratios = append(ratios, c.LamppostRuns[i]/c.PeerRuns[i])
	}
	c.Ratios = Spread{slices.Min(ratios), slices.Max(ratios)}
	c.Lamppost, c.Peer, c.PeerBatched = median(c.LamppostRuns), median(c.PeerRuns), median(c.PeerBatchedRuns)
	c.Ratio, c.RatioBatched = c.Lamppost/c.Peer, c.Lamppost/c.PeerBatched
}

func median(runs []float64) float64 {
	sorted := slices.Sorted(slices.Values(runs))
	return sorted[len(sorted)/2]
}
