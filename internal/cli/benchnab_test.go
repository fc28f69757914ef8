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

// TestBenchNAB: over a small folder in NAB's form the figures come as a table for people and as one JSON object for programs, with the names
// that others read.
func TestBenchNAB(t *testing.T) {
	sets := smallNAB(t)
	says(t, []string{"bench", "nab", "--sets", sets}, "realMade", "1/1", "on the other half", "µs of CPU a reading")
	out, err := lamp(t, "bench", "nab", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"standard", "low_fp", "low_fn", "two_fold", "leave_one_out", "us_per_point", "bytes_per_series", "masked"} {
		if n, ok := all[key].(float64); !ok || n <= 0 {
			t.Errorf("%s: %v", key, all[key])
		}
	}
	for what, args := range map[string][]string{"nowhere": {"bench", "nab"}, "an empty folder": {"bench", "nab", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "NAB") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// smallNAB makes two series in NAB's form, each with a spike in a window.
func smallNAB(t *testing.T) string {
	t.Helper()
	sets := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(sets, "nab", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(row int) string { return begin.Add(time.Duration(row) * 5 * time.Minute).Format(time.DateTime) }
	labels := map[string][][2]string{}
	for _, name := range []string{"realMade/one.csv", "artificialMade/two.csv"} {
		rows := "timestamp,value\n"
		for i := range 2000 {
			value := 50 + 10*math.Sin(float64(i)/20)
			if i == 1500 {
				value = 200
			}
			rows += fmt.Sprintf("%s,%v\n", at(i), value)
		}
		write("data/"+name, rows)
		labels[name] = [][2]string{{at(1450) + ".000000", at(1550) + ".000000"}}
	}
	text, err := json.Marshal(labels)
	if err != nil {
		t.Fatal(err)
	}
	write("labels/combined_windows.json", string(text))
	return sets
}
