package replica_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

var record = flag.Bool("record", false, "record the history of this version, at its release, once")

// release is the version whose history -record writes.
const release = "0.1.0"

// A recorded is a block as it was ordered, and the log's root after it.
type recorded struct {
	Height   lamppost.Height     `cbor:"1,keyasint"`
	Time     lamppost.TimeMS     `cbor:"2,keyasint"`
	Txs      [][]byte            `cbor:"3,keyasint"`
	Evidence []lamppost.Evidence `cbor:"4,keyasint"`
	Root     lamppost.Hash       `cbor:"5,keyasint"`
}

// Goal: a newer program comes to the same roots over what an older one has ordered: rules change by their version only. Method: each
// release leaves a random history with its roots in testdata; every version replays all of them. Until the first release the
// file is made anew whenever a rule changes; from then on never.
func TestHistories(t *testing.T) {
	t.Parallel()
	if *record {
		recordHistory(t)
	}
	files, err := filepath.Glob("testdata/history-*.cbor.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no histories (%v)", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := open(t, kv.NewMem())
			for _, b := range readHistory(t, path) {
				res := apply(t, r, &lamppost.Block{Height: b.Height, Time: b.Time, Txs: b.Txs, Evidence: b.Evidence, Cursor: lamppost.Cursor(b.Height)})
				if res.Root != b.Root {
					t.Fatalf("after block %d the root is %s, it was %s: this program goes by other rules than the one that ordered it", b.Height, res.Root, b.Root)
				}
				commit(t, r)
			}
		})
	}
}

func readHistory(t *testing.T, path string) (history []recorded) {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	if err := lamppost.Unmarshal(raw, &history); err != nil {
		t.Fatal(err)
	}
	return history
}

func recordHistory(t *testing.T) {
	r := open(t, kv.NewMem())
	var history []recorded
	for _, b := range blocks(150, seeded(2026)) {
		res := apply(t, r, b)
		commit(t, r)
		history = append(history, recorded{b.Height, b.Time, b.Txs, b.Evidence, res.Root})
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(lamppost.Marshal(history)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/history-"+release+".cbor.gz", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
