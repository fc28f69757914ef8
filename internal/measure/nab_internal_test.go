package measure

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var sets = flag.String("sets", os.Getenv("LAMPPOST_SETS"), "folder of public data sets, with NAB in nab; tests that need it are skipped without")

// corpus reads NAB, or skips the test.
func corpus(t *testing.T) []nabFile {
	t.Helper()
	if *sets == "" {
		t.Skip("no folder of data sets: say -sets DIR or set LAMPPOST_SETS")
	}
	files, err := nabCorpus(*sets)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestNABScorer: of the row scores that four detectors have published, the scorer makes the marks that NAB has published of them.
// Those of numenta under low_fp are 0.09 above: NAB's sweep there was coarser.
func TestNABScorer(t *testing.T) {
	t.Parallel()
	files := corpus(t)
	rows, windows := 0, 0
	for _, f := range files {
		rows, windows = rows+len(f.values), windows+len(f.windows)
	}
	if got, want := fmt.Sprint(len(files), rows, windows), "58 365558 116"; got != want {
		t.Fatalf("files, rows and windows: %s, want %s", got, want)
	}
	for name, want := range map[string][3]float64{
		"ARTime": {74.85, 65.15, 80.36}, "contextOSE": {69.90, 66.98, 73.18},
		"numenta": {70.10, 63.21, 74.32}, "randomCutForest": {51.72, 38.36, 59.75},
	} {
		scores := golden(t, files, name)
		for i, p := range nabProfiles {
			if got, _ := nabSweep(files, scores, p); math.Abs(got-want[i]) > 0.006 {
				t.Errorf("%s, profile %d: %.3f, published %.2f", name, i, got, want[i])
			}
		}
	}
}

// golden reads what a detector has published: file,row,anomaly_score.
func golden(t *testing.T, files []nabFile, detector string) [][]float64 {
	t.Helper()
	in, err := openPlainOrGzip(filepath.Join(*sets, "nab", "detector_scores", detector+".csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	at, scores := map[string]int{}, make([][]float64, len(files))
	for i, f := range files {
		at[f.name], scores[i] = i, make([]float64, len(f.values))
	}
	lines := bufio.NewScanner(in)
	lines.Scan()
	for lines.Scan() {
		cells := strings.Split(lines.Text(), ",")
		row, err := strconv.Atoi(cells[1])
		if err != nil {
			t.Fatal(err)
		}
		if scores[at[cells[0]]][row], err = strconv.ParseFloat(cells[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	return scores
}
