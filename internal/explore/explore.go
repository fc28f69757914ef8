// Package explore knows what orderings of readings cost: it runs the engines over a space of settings, really, and makes rows, tables
// and plots of what it measured ("Parameter Space Exploration").
//
// It promises that a measured row is durable before the next begins, that a sweep that was broken off goes on where it stood, and that
// nothing is said of a setting that was not run. It does not judge which setting is right. Start reading at [Space], [Sweep] and [Row];
// what puts the load on and counts is given to it.
package explore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost/internal/folder"
)

// Options say how a sweep runs.
type Options struct {
	Space  []byte // the file
	Dir    string // for what comes of it; made if it is not there
	Retry  bool   // measure again what failed
	Commit string // of the program

	Measure  func(context.Context, *Space, Point) (Figures, error) // all but the joules
	Progress func(done, all int64, what string)
	Failed   func(Row) // told of every row with an error
}

// ErrOther is returned where the folder holds the sweep of another space.
var ErrOther = errors.New("the folder holds the sweep of another space file: choose another folder, or move that one away")

// pointTimeout is for all that a point needs beside its seconds: founding, enrolment, signing, the end.
const pointTimeout = 5 * time.Minute

// Sweep measures what is not measured yet, and writes the report. When ctx is done it stops the members, writes the report of what there
// is, and returns the context's error.
func Sweep(ctx context.Context, o Options) (*Set, error) {
	space, err := ParseSpace(o.Space)
	if err != nil {
		return nil, err
	}
	plan, err := space.Plan()
	if err != nil {
		return nil, err
	}
	rows, out, err := open(o.Dir, o.Space)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	rows, err = o.run(ctx, space, plan, rows, out)
	set := &Set{V: Version, Space: space, Rows: rows}
	set.reckon()
	if len(rows) > 0 {
		err = errors.Join(err, set.Write(o.Dir))
	}
	return set, err
}

// open opens the rows that are there, for more.
func open(dir string, space []byte) ([]Row, *os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	was, err := os.ReadFile(filepath.Join(dir, spaceFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = folder.WriteDurably(filepath.Join(dir, spaceFile), string(space), 0o644)
	case err == nil && string(was) != string(space):
		err = fmt.Errorf("%q: %w", dir, ErrOther)
	}
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, linesFile)
	rows, whole, err := readLines(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	if err := f.Truncate(whole); err == nil {
		_, err = f.Seek(whole, 0)
		return rows, f, err
	}
	return nil, nil, errors.Join(err, f.Close())
}

type key struct {
	Point
	rep int
}

func (o *Options) run(ctx context.Context, space *Space, plan []Run, rows []Row, out *os.File) ([]Row, error) {
	done := map[key]bool{}
	for _, r := range Latest(rows) {
		done[key{r.Point, r.Rep}] = r.Error == "" || !o.Retry
	}
	var todo []Run
	for _, run := range plan {
		if !done[key{run.Point, run.Rep}] {
			todo = append(todo, run)
		}
	}
	o.Progress(0, int64(len(todo)), "points measured")
	for i, run := range todo {
		row := o.row(ctx, space, run)
		if ctx.Err() != nil {
			return rows, ctx.Err()
		}
		line, err := json.Marshal(row)
		if err != nil {
			return rows, err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return rows, err
		}
		if err := out.Sync(); err != nil {
			return rows, err
		}
		rows = append(rows, row)
		if row.Error != "" && o.Failed != nil {
			o.Failed(row)
		}
		o.Progress(int64(i+1), int64(len(todo)), "points measured")
	}
	return rows, nil
}

// row measures one point.
func (o *Options) row(ctx context.Context, space *Space, run Run) Row {
	r := Row{V: Version, Order: run.Order, Rep: run.Rep, Seed: space.Seed, Start: time.Now().UTC().Truncate(time.Millisecond), Commit: o.Commit,
		Machine: machine(), Cores: runtime.NumCPU(), Load: load(), Point: run.Point}
	ctx, cancel := context.WithTimeout(ctx, pointTimeout+time.Duration(space.Seconds*float64(time.Second)))
	defer cancel()
	f, err := o.Measure(ctx, space, run.Point)
	switch {
	case err != nil:
		r.Error = short(err)
	case f.Committed == 0:
		r.Error = "no report was acknowledged"
	default:
		r.Figures = f
		space.Energy.reckon(&r)
	}
	return r
}

// short keeps an error readable in a table.
func short(err error) string {
	const most = 500
	text := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "?")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// Latest are the rows, of those measured again the last.
func Latest(rows []Row) []Row {
	at := map[key]int{}
	var latest []Row
	for _, r := range rows {
		k := key{r.Point, r.Rep}
		if i, ok := at[k]; ok {
			latest[i] = r
			continue
		}
		at[k], latest = len(latest), append(latest, r)
	}
	return latest
}

// machine says what computes here, as far as the system tells.
func machine() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	raw, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, ok := strings.Cut(string(raw), "model name\t: "); ok {
		name, _, _ = strings.Cut(rest, "\n")
	}
	raw, _ = os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(fmt.Sprintf("%s, %d cores, %s %s", name, runtime.NumCPU(), runtime.GOOS, strings.TrimSpace(string(raw))))
}

// load is the average of the last minute, 0 where the system does not tell.
func load() float64 {
	raw, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(raw), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}
