package measure

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A nabFile is one series of the corpus.
type nabFile struct {
	name    string // folder and file, as the labels have it
	atMS    []int64
	values  []float64
	windows []nabWindow
}

// folder is the kind of series that NAB sorts the file under.
func (f *nabFile) folder() string { return filepath.Dir(f.name) }

// nabCorpus reads NAB from the folder of data sets: nab/data/*/*.csv.gz (or .csv) and nab/labels/combined_windows.json, sorted by name.
func nabCorpus(sets string) ([]nabFile, error) {
	root := filepath.Join(sets, "nab")
	text, err := os.ReadFile(filepath.Join(root, "labels", "combined_windows.json"))
	if err != nil {
		return nil, fmt.Errorf("reading NAB's labels (github.com/numenta/NAB; its folders data and labels belong in %q): %w", root, err)
	}
	labels := map[string][][2]string{}
	if err := json.Unmarshal(text, &labels); err != nil {
		return nil, fmt.Errorf("reading NAB's labels: %w", err)
	}
	var files []nabFile
	for name, windows := range labels {
		f := nabFile{name: name}
		if err := f.read(filepath.Join(root, "data", filepath.FromSlash(name))); err != nil {
			return nil, fmt.Errorf("reading NAB's %s: %w", name, err)
		}
		if err := f.label(windows); err != nil {
			return nil, fmt.Errorf("labelling NAB's %s: %w", name, err)
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b nabFile) int { return cmp.Compare(a.name, b.name) })
	return files, nil
}

// read reads the rows of timestamp,value.
func (f *nabFile) read(path string) error {
	in, err := openPlainOrGzip(path)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Scan() // the header
	for lines.Scan() {
		stamp, number, _ := strings.Cut(strings.TrimSpace(lines.Text()), ",")
		at, err := time.Parse(time.DateTime, stamp)
		if err != nil {
			return fmt.Errorf("row %d: %w", len(f.atMS), err)
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return fmt.Errorf("row %d: %w", len(f.atMS), err)
		}
		f.atMS, f.values = append(f.atMS, at.UnixMilli()), append(f.values, value)
	}
	return lines.Err()
}

// label puts windows of time on rows. Where a stamp comes twice, its first row counts, as in NAB.
func (f *nabFile) label(windows [][2]string) error {
	for _, w := range windows {
		var rows [2]int
		for i, stamp := range w {
			at, err := time.Parse("2006-01-02 15:04:05.000000", stamp)
			if err != nil {
				return err
			}
			if rows[i] = slices.Index(f.atMS, at.UnixMilli()); rows[i] < 0 {
				return fmt.Errorf("no row at %s", stamp)
			}
		}
		f.windows = append(f.windows, nabWindow{rows[0], rows[1]})
	}
	return nil
}

// openPlainOrGzip opens a file, or its compressed form with .gz behind the name.
func openPlainOrGzip(path string) (io.ReadCloser, error) {
	if f, err := os.Open(path); err == nil {
		return f, nil
	}
	f, err := os.Open(path + ".gz")
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "decompressing", Path: path + ".gz", Err: err}
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

// nabHalf sorts a file into half 0 or 1, by a hash of its name.
func nabHalf(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32()>>7) & 1
}
