package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBenchJoint: over small sets in the form of BATADAL and SKAB the figures come as a table for people and as one JSON object for programs,
// with the names that others read; where a set is not, the error says which and where from.
func TestBenchJoint(t *testing.T) {
	sets := t.TempDir()
	smallPlant(t, filepath.Join(sets, "batadal", "dataset03_and_04_labelled.csv"), ",", "02/01/06 15", "DATETIME, L_T1, F_PU1, P_J1,ATT_FLAG", 9200)
	for _, run := range []string{"0", "1"} {
		smallPlant(t, filepath.Join(sets, "skab", "valve1", run+".csv"), ";", time.DateTime, "datetime;Current;Pressure;Flow;anomaly;changepoint", 900)
	}
	for _, c := range []struct{ verb, says, key, name string }{
		{"batadal", "At the level 2.15: S 0.", "auc", "BATADAL"}, {"skab", "Every row flagged", "outlier_f1", "SKAB"},
	} {
		t.Run(c.verb, func(t *testing.T) {
			says(t, []string{"bench", c.verb, "--sets", sets}, c.says, "first alarm", "by ", "µs of CPU a row")
			out, err := lamp(t, "bench", c.verb, "--sets", sets, "--json")
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]any
			if err := json.Unmarshal([]byte(out), &all); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{c.key, "us_per_row", "bytes", "state_bytes", "level"} {
				if n, ok := all[key].(float64); !ok || n <= 0 {
					t.Errorf("%s: %v", key, all[key])
				}
			}
			if n := all[c.key].(float64); n < 0.7 || n > 1 {
				t.Errorf("%s is %v on a set that is easy", c.key, n)
			}
			for what, args := range map[string][]string{"nowhere": {"bench", c.verb}, "an empty folder": {"bench", c.verb, "--sets", t.TempDir()}} {
				if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), c.name) && !strings.Contains(err.Error(), c.verb) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// smallPlant writes rows of three quantities that go together, and one that does not for 150 rows near the end.
func smallPlant(t *testing.T, path, comma, layout, header string, rows int) {
	t.Helper()
	var text strings.Builder
	text.WriteString(header + "\n")
	begin := time.Date(2014, 1, 6, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		x := math.Sin(float64(i)/9) + math.Sin(float64(i)*1.7)/3
		noise := func(k int) float64 { return 0.05 * math.Sin(float64(i*i%977)*float64(k)) }
		bad, flow := i >= rows-200 && i < rows-50, 3*x
		if bad {
			flow = -3 * x
		}
		cells := []string{begin.Add(time.Duration(i) * time.Hour).Format(layout)}
		for k, value := range []float64{x, 5 - x, flow} {
			cells = append(cells, fmt.Sprintf("%.4f", value+noise(k+1)))
		}
		flag := "0"
		if bad {
			flag = "1"
		}
		for len(cells) < strings.Count(header, comma)+1 {
			cells = append(cells, flag)
		}
		text.WriteString(strings.Join(cells, comma) + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
