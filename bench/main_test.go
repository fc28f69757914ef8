package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestShape protects whoever joins these rows with those of "lamppost bench verify": names, sizes, and figures that were
// measured.
func TestShape(t *testing.T) {
	res, err := measureMLAV(0, []int{1, 20})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := res.print(&out, true); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Rows []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		mode    string
		n, keys float64
	}{{"single", 1, 1}, {"single", 20, 20}, {"batch", 1, 1}, {"batch", 20, 20}, {"batch", 20, 16}}
	if len(back.Rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(back.Rows), len(want))
	}
	for i, r := range back.Rows {
		us, _ := r["us_per_sig"].(float64)
		if r["suite"] != "id-based-bls12381" || r["mode"] != want[i].mode || r["n"] != want[i].n || r["keys"] != want[i].keys ||
			r["bytes_per_sig"] != 96.0 || us < 10 || us > 1e6 {
			t.Errorf("row %d: %v, want %+v", i, r, want[i])
		}
	}
}
