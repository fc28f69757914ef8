package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestBenchFederate: without data the verb says what is missing; with them, learning together is learning in one place, and a fifth of liars
// does not raise errors by more than a tenth.
func TestBenchFederate(t *testing.T) {
	for what, args := range map[string][]string{"nowhere": {"bench", "federate"}, "an empty folder": {"bench", "federate", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "series to") {
			t.Errorf("%s: %v", what, err)
		}
	}
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		t.Skip("no folder of data sets: set LAMPPOST_SETS")
	}
	out, err := lamp(t, "bench", "federate", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	sybil1, _ := all["sybil_1_error"].(float64)
	for key, most := range map[string]float64{"federated_gap": 1e-9, "members_gap": 1e-9, "poisoned_error_rise": 0.1, "scattered_error_rise_20": 0.1, "sybil_50_error": sybil1 + 1e-6, "honest_left_out": 0} {
		if n, ok := all[key].(float64); !ok || n > most {
			t.Errorf("%s: %v, at most %v", key, all[key], most)
		}
	}
}
