package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestBenchCompress: over a small folder the figures come as a table for people and as one JSON object for programs, with the names that others read.
func TestBenchCompress(t *testing.T) {
	sets := smallNAB(t)
	says(t, []string{"bench", "compress", "--sets", sets}, "nab", "0 rows broke the bound", "MB/s")
	out, err := lamp(t, "bench", "compress", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	if all["ratio"].(float64) < 10 || all["violations"].(float64) != 0 || all["nab_windows"].(float64) != 2 || all["nab_lost"].(float64) != 0 || all["rows"].(float64) != 4000 {
		t.Errorf("%s", out)
	}
	for what, args := range map[string][]string{"nowhere": {"bench", "compress"}, "an empty folder": {"bench", "compress", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "data sets") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
