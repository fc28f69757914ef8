package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestBenchControl: without data the verb says what is missing; with them, one JSON object has the names that others read, and what agents promise holds.
func TestBenchControl(t *testing.T) {
	for what, args := range map[string][]string{"nowhere": {"bench", "control"}, "an empty folder": {"bench", "control", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "agents") {
			t.Errorf("%s: %v", what, err)
		}
	}
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		t.Skip("no folder of data sets: set LAMPPOST_SETS")
	}
	out, err := lamp(t, "bench", "control", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for key, least := range map[string]float64{"lamp_saving": 0.3, "lamp_vs_timetable": 0, "storage_share_of_perfect": 0.5, "storage_share_with_meter": 0.5, "decide_ms_1000": 0, "record_us": 0} {
		if n, ok := all[key].(float64); !ok || n <= least {
			t.Errorf("%s: %v", key, all[key])
		}
	}
	for _, key := range []string{"lamp_minutes_below", "charger_unmet_kwh_feasible", "charger_peak_over_limit"} {
		if n, ok := all[key].(float64); !ok || n != 0 {
			t.Errorf("%s: %v", key, all[key])
		}
	}
}
