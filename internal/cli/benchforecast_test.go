package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestBenchForecast: without data the verb says what is missing; with them, one JSON object has the names that others read.
func TestBenchForecast(t *testing.T) {
	for what, args := range map[string][]string{"nowhere": {"bench", "forecast"}, "an empty folder": {"bench", "forecast", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "series to forecast") {
			t.Errorf("%s: %v", what, err)
		}
	}
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		t.Skip("no folder of data sets: set LAMPPOST_SETS")
	}
	out, err := lamp(t, "bench", "forecast", "--sets", sets, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"etth1_mse", "etth1_mae", "household_mae", "taxi_mae", "coverage", "us_per_observation", "bytes"} {
		if n, ok := all[key].(float64); !ok || n <= 0 {
			t.Errorf("%s: %v", key, all[key])
		}
	}
}
