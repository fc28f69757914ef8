package explore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Version is that of rows. Fields are only ever added within it.
const Version = 1

// A Row is one measurement: where and when it was made, of which point, and what came of it. With an Error all figures are 0. The
// schema is stable: docs/consensus.md lists it.
type Row struct {
	V       int       `json:"v"`
	Order   int       `json:"order"` // in which it was measured, from 1
	Rep     int       `json:"rep"`   // repetition, from 1
	Seed    uint64    `json:"seed"`
	Start   time.Time `json:"start"`
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	Cores   int       `json:"cores"`
	Load    float64   `json:"load_1m"` // the machine's, at the start
	Error   string    `json:"error,omitempty"`
	Point
	Figures
}

// Figures are what was measured. What is "per reading" is of all members together, divided by the readings that were acknowledged.
type Figures struct {
	Seconds   float64 `json:"seconds"`
	Committed int64   `json:"readings_committed"`
	PerS      float64 `json:"readings_per_s"`
	P50       float64 `json:"commit_p50_ms"` // of a report, as its device sees it
	P99       float64 `json:"commit_p99_ms"`
	Max       float64 `json:"commit_max_ms"` // the upper edge of a class 5 % wide

	CPU        float64 `json:"cpu_us"`         // per reading, of all processes: clients and relay too
	NodeCPU    float64 `json:"node_cpu_us"`    // per reading, of members alone
	GatewayCPU float64 `json:"gateway_cpu_us"` // per reading, of gateways on site

	DeviceBytes  float64 `json:"device_bytes"`   // per reading, from devices
	WireBytes    float64 `json:"wire_bytes"`     // per reading, between members
	Messages     float64 `json:"messages"`       // per reading, between members
	DiskBytes    float64 `json:"disk_bytes"`     // per reading, by which files grew
	WrittenBytes float64 `json:"written_bytes"`  // per reading, that went to the disk
	Syncs        float64 `json:"syncs"`          // per reading, with those computed
	SyncsComp    float64 `json:"syncs_computed"` // per reading, of these: computed for comet's log, which does not count
	PeakMB       float64 `json:"peak_mb"`        // resident, of the member that took most

	Blocks    int64 `json:"blocks"`
	Lost      int64 `json:"unacknowledged"`      // reports sent and not acknowledged
	Exhausted bool  `json:"exhausted,omitempty"` // nothing was left to send: the rate is no limit of the engine

	NodeUJ   float64            `json:"node_uj"`           // per reading, of members and gateways, by the model
	RAPLUJ   float64            `json:"rapl_uj,omitempty"` // per reading, measured by the processors, whatever ran on them
	DeviceUJ map[string]float64 `json:"device_uj"`         // per reading, by class of device, by the model
}

// A Set is all that a sweep has measured, with what it was told.
type Set struct {
	V     int    `json:"v"`
	Space *Space `json:"space"`
	Rows  []Row  `json:"rows"`
}

// Files in the folder of a sweep.
const (
	spaceFile = "space.yaml"
	linesFile = "rows.jsonl" // grows durably, a row at a time
	rowsFile  = "rows.json"  // a Set; this and what follows are made of the two above
	csvFile   = "rows.csv"
	htmlFile  = "report.html"
)

// maxRowsBytes is the largest file of rows that is read.
const maxRowsBytes = 256 << 20

// Load reads the folder of a sweep, or a file rows.json. Joules are computed anew from what was counted: of a folder by what its space says, and for what
// that leaves out by this program's model; of a file by the model that stands in it.
func Load(path string) (*Set, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("no sweep to read: %w; lamppost explore --space FILE --out DIR makes one", err)
	}
	if info.IsDir() {
		return loadDir(path)
	}
	if info.Size() > maxRowsBytes {
		return nil, fmt.Errorf("%q has more than %d bytes", path, maxRowsBytes)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(Set)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%q is no rows.json of lamppost explore: %w", path, err)
	}
	switch {
	case s.V != Version:
		return nil, fmt.Errorf("%q is of version %d; this program reads %d", path, s.V, Version)
	case s.Space == nil || s.Space.Energy == nil:
		return nil, fmt.Errorf("%q does not say what space, or what model of energy, its rows are of", path)
	}
	s.Space.Energy.complete()
	if err := s.Space.Energy.check(); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	s.reckon()
	return s, nil
}

func loadDir(dir string) (*Set, error) {
	text, err := os.ReadFile(filepath.Join(dir, spaceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q is no folder of a sweep: it has no %s", dir, spaceFile)
	}
	if err != nil {
		return nil, err
	}
	space, err := ParseSpace(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", filepath.Join(dir, spaceFile), err)
	}
	rows, _, err := readLines(filepath.Join(dir, linesFile))
	set := &Set{V: Version, Space: space, Rows: rows}
	set.reckon()
	return set, err
}

// readLines reads the rows that are whole, and how many bytes they take: a crash can leave a piece of one at the end.
func readLines(path string) (rows []Row, whole int64, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for {
		line, rest, ended := bytes.Cut(raw, []byte("\n"))
		if !ended {
			return rows, whole, nil
		}
		var r Row
		if err := json.Unmarshal(line, &r); err != nil || r.V != Version {
			return nil, 0, fmt.Errorf("%q: line %d is no row of version %d: %v", path, len(rows)+1, Version, err)
		}
		rows, raw, whole = append(rows, r), rest, whole+int64(len(line))+1
	}
}
