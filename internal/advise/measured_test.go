package advise

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

var record = flag.String("record", "", "folder or rows.json of a sweep: write its rows into the program")

// results is where the rows come from that the program carries.
const results = "../../bench/results/2026-11-26-explore.json"

// TestShipped: the program carries exactly the rows in bench/results, with four digits that count.
func TestShipped(t *testing.T) {
	from := cmp.Or(*record, results)
	set, err := explore.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	want := pack(t, set)
	if *record != "" {
		if err := os.WriteFile("rows.json.gz", squeeze(t, want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := unpack(shippedRows)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pack(t, got), want) {
		t.Errorf("rows.json.gz is not of %s: go test ./internal/advise -run TestShipped -record %s", results, results)
	}
}

// pack writes rows with four digits that count, and without what is only for people.
func pack(t *testing.T, set *explore.Set) []byte {
	t.Helper()
	raw, err := json.Marshal(&explore.Set{V: set.V, Rows: explore.Latest(set.Rows)})
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(shorter(v)); err != nil {
		t.Fatal(err)
	}
	return raw
}

func shorter(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = shorter(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = shorter(v[key])
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".e") {
			f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'g', 4, 64), 64)
			return f // is written the same, however often it is read
		}
	}
	return v
}

func squeeze(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
