package cli

import (
	"encoding/json"
	"testing"
)

// TestBenchVerify: the figures come as a table for people and as one JSON object for programs.
func TestBenchVerify(t *testing.T) {
	says(t, []string{"bench", "verify", "--for", "1ns", "--sizes", "16"}, "µs each", "ed25519 halfagg 16 16 0", "mixed batch 1000", "one core")
	out, err := lamp(t, "bench", "verify", "--for", "1ns", "--sizes", "16", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var res struct {
		Rows []struct {
			Suite, Mode string
			N, Keys     int
			USPerSig    float64 `json:"us_per_sig"`
			BytesPerSig float64 `json:"bytes_per_sig"`
		}
	}
	if err := json.Unmarshal([]byte(out), &res); err != nil || len(res.Rows) < 10 {
		t.Fatalf("%d rows, %v: %s", len(res.Rows), err, out)
	}
	for _, r := range res.Rows {
		if r.Suite == "" || r.Mode == "" || r.N == 0 || r.Keys == 0 || r.USPerSig <= 0 || r.BytesPerSig < 32 {
			t.Errorf("incomplete row %+v", r)
		}
	}
	if _, err := lamp(t, "bench", "verify", "--for", "0s"); err == nil {
		t.Error("no time at all: accepted")
	}
	if _, err := lamp(t, "bench", "verify", "--sizes", "0"); err == nil {
		t.Error("a batch of none: accepted")
	}
}
