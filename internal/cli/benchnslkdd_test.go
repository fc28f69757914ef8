package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchNSLKDD: over small files in NSL-KDD's form the figures come as a table for people and as one JSON object for programs, with the
// names that others read; a folder without them is refused with words.
func TestBenchNSLKDD(t *testing.T) {
	sets := smallNSL(t)
	says(t, []string{"bench", "nslkdd", "--sets", sets}, "denial of service", "100.0 %", "AUC 1.0000", "features per µs")
	out, err := lamp(t, "bench", "nslkdd", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"auc", "accuracy", "caught", "level", "held_auc", "features", "features_per_us", "learnt", "tested"} {
		if n, ok := all[key].(float64); !ok || n <= 0 {
			t.Errorf("%s: %v", key, all[key])
		}
	}
	for what, args := range map[string][]string{"nowhere": {"bench", "nslkdd"}, "an empty folder": {"bench", "nslkdd", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "NSL-KDD") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// smallNSL makes connections of a web server, and floods of it.
func smallNSL(t *testing.T) string {
	t.Helper()
	sets := t.TempDir()
	if err := os.Mkdir(filepath.Join(sets, "nsl-kdd"), 0o755); err != nil {
		t.Fatal(err)
	}
	row := func(flag string, bytes, count int, attack string) string {
		return fmt.Sprintf("0,tcp,http,%s,%d%s,%d,0.%d%s,%s,20\n", flag, bytes, strings.Repeat(",0", 17), count, count%10, strings.Repeat(",0", 17), attack)
	}
	for name, attack := range map[string]string{"KDDTrain+": "neptune", "KDDTest+": "apache2"} {
		text := ""
		for i := range 200 {
			text += row("SF", 200+i, 1+i%3, "normal")
			if i%4 == 0 {
				text += row("S0", 0, 255, attack)
			}
		}
		if err := os.WriteFile(filepath.Join(sets, "nsl-kdd", name+".txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return sets
}
