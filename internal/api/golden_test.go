package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/*.json anew")

// scrub takes out what differs from run to run: hashes and signatures, because salts are random, and how many proposals wait, since one that
// was answered is counted for a moment more.
func scrub(text []byte) []byte {
	text = regexp.MustCompile(`"queued":\d+`).ReplaceAll(text, []byte(`"queued":0`))
	text = regexp.MustCompile(`"[0-9a-f]{64}"`).ReplaceAll(text, []byte(`"<hash>"`))
	return regexp.MustCompile(`"checkpoint":"[^"]*"`).ReplaceAll(text, []byte(`"checkpoint":"<signed note>"`))
}

// The answers are what they were: programs of others rely on every byte of them. A wanted change is written with -update
// and read in the diff.
func TestGolden(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	h.submit(h.report("meter", 0, power(h.now(), 40.5)), []byte("noise"))
	h.ok(201, "POST", "/api/transfers", `{"from":"tenant","to":"landlord","currency":"EUR","amount":"3.57","memo":"November"}`, nil)
	h.ok(201, "POST", "/api/devices", `{"id":"spare","owner":"landlord","name":"Spare meter","safety":"ordinary"}`, nil)
	for name, path := range map[string]string{
		"status": "/api/status", "devices": "/api/devices", "device": "/api/devices/meter", "series": "/api/devices/meter/series?name=energy",
		"log": "/api/log?limit=100", "parties": "/api/parties", "points": "/api/points", "tariffs": "/api/tariffs",
		"agreements": "/api/agreements", "accounts": "/api/accounts", "invoices": "/api/invoices", "invoice": "/api/invoices/landlord-000001",
		"error": "/api/invoices/landlord-000002",
	} {
		var raw []byte
		h.do("GET", path, nil, &raw)
		var got bytes.Buffer
		must(t, json.Indent(&got, scrub(raw), "", "\t"))
		file := filepath.Join("testdata", name+".json")
		if *update {
			must(t, os.MkdirAll("testdata", 0o755))
			must(t, os.WriteFile(file, got.Bytes(), 0o644))
			continue
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s:\n%s\nwant:\n%s", path, got.Bytes(), want)
		}
	}
	var none, one struct{ Invoices []json.RawMessage }
	h.ok(200, "GET", "/api/invoices?buyer=landlord", nil, &none)
	h.ok(200, "GET", "/api/invoices?buyer=tenant&seller=landlord", nil, &one)
	if len(none.Invoices) != 0 || len(one.Invoices) != 1 {
		t.Errorf("%d and %d invoices, want 0 and 1", len(none.Invoices), len(one.Invoices))
	}
}
