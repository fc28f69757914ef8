package measure

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/joint"
)

// A jointRun is rows of several quantities of one plant.
type jointRun struct {
	name   string
	names  []string
	atMS   []int64
	values [][]float64
	bad    []bool // by the labels
	train  int    // rows at first in which nothing is bad
}

// jointColumns reads a table whose columns are a time, quantities, and a label; more columns are ignored.
func jointColumns(path string, comma rune, layout, label string) (*jointRun, error) {
	header, rows, err := csvRows(path, comma, "rows of a plant")
	if err != nil {
		return nil, err
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	last := slices.Index(header, label)
	if last < 3 {
		return nil, fmt.Errorf("reading %q: no column %q after a time and two quantities", path, label)
	}
	r := &jointRun{name: path, names: header[1:last]}
	for k, row := range rows {
		at, err := time.Parse(layout, row[0])
		if err != nil {
			return nil, fmt.Errorf("reading %q, row %d: %w", path, k+1, err)
		}
		values := make([]float64, last)
		for i := range values {
			if values[i], err = strconv.ParseFloat(strings.TrimSpace(row[i+1]), 64); err != nil {
				return nil, fmt.Errorf("reading %q, row %d: %w", path, k+1, err)
			}
		}
		r.atMS, r.values, r.bad = append(r.atMS, at.UnixMilli()), append(r.values, values[:last-1]), append(r.bad, values[last-1] != 0)
	}
	return r, nil
}

// batadalTraining is how many rows dataset 3 has, a year without an attack.
const batadalTraining = 8761

func batadalSet(sets string) (*jointRun, error) {
	r, err := jointColumns(filepath.Join(sets, "batadal", "dataset03_and_04_labelled.csv"), ',', "02/01/06 15", "ATT_FLAG")
	if err != nil {
		return nil, err
	}
	r.train = batadalTraining
	if len(r.values) <= r.train {
		return nil, fmt.Errorf("BATADAL has %d rows: dataset 3 (%d) and dataset 4 belong in one file", len(r.values), r.train)
	}
	return r, nil
}

// skabTraining is how many rows of each run SKAB's authors train on.
const skabTraining = 400

// skabSet reads the runs of the experiments with valve 1, in the order of their numbers.
func skabSet(sets string) ([]*jointRun, error) {
	folder := filepath.Join(sets, "skab", "valve1")
	var paths []string
	for _, ending := range []string{".csv", ".csv.gz"} {
		found, err := filepath.Glob(filepath.Join(folder, "*"+ending))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			paths = append(paths, strings.TrimSuffix(path, ".gz"))
		}
	}
	number := func(path string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".csv"))
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	if len(paths) == 0 {
		paths = []string{filepath.Join(folder, "0.csv")} // whose absence is said
	}
	var runs []*jointRun
	for _, path := range slices.Compact(paths) {
		r, err := jointColumns(path, ';', time.DateTime, "anomaly")
		if err != nil {
			return nil, err
		}
		if len(r.values) <= skabTraining {
			return nil, fmt.Errorf("reading %q: %d rows, and SKAB trains on %d", path, len(r.values), skabTraining)
		}
		r.name, r.train = strings.TrimSuffix(filepath.Base(path), ".csv"), skabTraining
		runs = append(runs, r)
	}
	return runs, nil
}

// A jointCost is what vectors took.
type jointCost struct {
	rows, bytes, state int
	cpuS               float64
}

// A jointVerdict is what a vector said of a row, with the first reason of an alarm.
type jointVerdict struct {
	score float64
	alarm bool
	why   string
}

// observe runs a new vector over the rows, as a node does. A row whose time is late or was there counts as the one before.
func (r *jointRun) observe(c *jointCost) ([]jointVerdict, error) {
	v, err := joint.New(r.names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	said := make([]jointVerdict, len(r.values))
	before := cpuSeconds()
	for i, values := range r.values {
		verdict, err := v.Observe(lamppost.TimeMS(r.atMS[i]), values, math.MaxUint64>>(64-len(values)))
		switch {
		case err == nil:
			said[i] = jointVerdict{score: verdict.Score, alarm: verdict.Alarm}
		case i > 0 && isRepeated(err):
			said[i].score = said[i-1].score
		default:
			return nil, fmt.Errorf("%s, row %d: %w", r.name, i+1, err)
		}
		if verdict.Alarm {
			said[i].why = jointWhy(verdict.Reasons[0])
		}
	}
	c.cpuS += cpuSeconds() - before
	state, err := v.AppendBinary(nil)
	c.rows, c.bytes, c.state = c.rows+len(r.values), max(c.bytes, v.Bytes()), max(c.state, len(state))
	return said, err
}

func (c *jointCost) usPerRow() float64 { return c.cpuS * 1e6 / float64(c.rows) }

func jointWhy(r joint.Reason) string {
	if r.Other == "" {
		return fmt.Sprintf("%s %s %.4g, usually %.4g to %.4g", r.Quantity, r.Code, r.Value, r.Low, r.High)
	}
	return fmt.Sprintf("%s %s %.4g, by %s and others %.4g to %.4g", r.Quantity, r.Code, r.Value, r.Other, r.Low, r.High)
}

// A jointSpan is rows in a row that are bad: first to last.
type jointSpan struct{ first, last int }

// spans are the bad ones after the training.
func (r *jointRun) spans() []jointSpan {
	var all []jointSpan
	for i := r.train; i < len(r.bad); i++ {
		switch {
		case !r.bad[i]:
		case i > r.train && r.bad[i-1]:
			all[len(all)-1].last = i
		default:
			all = append(all, jointSpan{i, i})
		}
	}
	return all
}

// A jointCount counts rows by label and flag.
type jointCount struct{ hit, false, missed, quiet int }

func (c *jointCount) add(bad, flagged bool) {
	switch {
	case bad && flagged:
		c.hit++
	case bad:
		c.missed++
	case flagged:
		c.false++
	default:
		c.quiet++
	}
}

func share(n, of int) float64 { return float64(n) / float64(max(1, of)) }

func (c jointCount) f1() float64        { return share(2*c.hit, 2*c.hit+c.false+c.missed) }
func (c jointCount) precision() float64 { return share(c.hit, c.hit+c.false) }
func (c jointCount) recall() float64    { return share(c.hit, c.hit+c.missed) }
func (c jointCount) quietly() float64   { return share(c.quiet, c.quiet+c.false) }

// rocArea is the chance that a bad row has a higher score than another (Mann and Whitney); rows of one score count half.
func rocArea(scores []float64, bad []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	good, all, area := 0, 0, 0.0 // of lower scores
	for i := 0; i < len(order); {
		same := [2]int{}
		for begin := i; i < len(order) && scores[order[i]] == scores[order[begin]]; i++ {
			if bad[order[i]] {
				same[1]++
			} else {
				same[0]++
			}
		}
		area += float64(same[1]) * (float64(good) + float64(same[0])/2)
		good, all = good+same[0], all+same[1]
	}
	return area / float64(max(1, good)) / float64(max(1, all))
}
