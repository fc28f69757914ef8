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

// TestBenchFraud: over small folders in the sets' form the figures come as a table for people and as one JSON object for programs, with the
// names that others read; a folder without them is the caller's mistake.
func TestBenchFraud(t *testing.T) {
	sets := smallMeters(t)
	says(t, []string{"bench", "fraud", "--sets", sets, "--seeds", "1"}, "roll-back", "bypass", "half b", "µs of CPU a reading")
	out, err := lamp(t, "bench", "fraud", "--sets", sets, "--seeds", "1", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"found", "held_out", "meter_weeks", "us_per_reading", "bytes_per_meter", "state_bytes"} {
		if n, ok := all[key].(float64); !ok || n <= 0 {
			t.Errorf("%s: %v", key, all[key])
		}
	}
	if n, ok := all["false_per_1000_week"].(float64); !ok || n < 0 {
		t.Errorf("false_per_1000_week: %v", all["false_per_1000_week"])
	}
	if found := all["found"].(float64); found < 0.9 {
		t.Errorf("found %v of what was put into calm homes", found)
	}
	for what, args := range map[string][]string{"nowhere": {"bench", "fraud"}, "an empty folder": {"bench", "fraud", "--sets", t.TempDir()}} {
		if _, err := lamp(t, args...); err == nil || !strings.Contains(err.Error(), "series of meters") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// smallMeters makes homes, a household and zones in the sets' form, for some months.
func smallMeters(t *testing.T) string {
	t.Helper()
	sets := t.TempDir()
	write := func(name string, rows int, row func(k int) string) {
		path := filepath.Join(sets, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for k := -1; k < rows; k++ {
			fmt.Fprintln(&text, row(k))
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const days = 130
	for home := range 12 {
		write(fmt.Sprintf("citylearn-2022/Building_%d.csv", home+1), days*24, func(k int) string {
			if k < 0 {
				return "hour,non_shiftable_load"
			}
			return fmt.Sprintf("%d,%.3f", k%24, 1+0.5*math.Sin(float64(k*(home+7))))
		})
	}
	begin := time.Date(2006, 12, 16, 18, 0, 0, 0, time.UTC)
	write("household-power/household_power_hourly.csv", days*24, func(k int) string {
		if k < 0 {
			return "datetime,Global_active_power,Voltage"
		}
		return fmt.Sprintf("%s,%.3f,14000", begin.Add(time.Duration(k)*time.Hour).Format(time.DateTime), 60+20*math.Sin(float64(k*k)))
	})
	write("water-wellington/water_per_capita_daily.csv", 2*days, func(k int) string {
		if k < 0 {
			return "Date,North,South,West,East"
		}
		row := begin.AddDate(0, 0, k).Format(time.DateOnly)
		for zone := range 4 {
			row += fmt.Sprintf(",%.3f", 200+10*math.Sin(float64(k*(zone+3))))
		}
		return row
	})
	return sets
}
