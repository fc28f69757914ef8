package main

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
)

// TestTriageCrash kills a serving process while registers fall: each fall is found, stands in the ledger once, however often the node died before or after
// it was ordered, and can be replayed from the state that is kept.
func TestTriageCrash(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &crash{t: t, dir: t.TempDir(), rnd: rand.New(rand.NewPCG(seed, 1)), acked: map[string]bool{}, paid: map[string]bool{}}
	c.http, c.mqtt = consensustest.FreeAddress(t), "off"
	c.start()
	c.setUp()
	key := c.enrolled("meter-a")
	password, err := lamppost.Login("lamppost", "meter-a", 1, key)
	if err != nil {
		t.Fatal(err)
	}
	begin := lamppost.TimeMS(time.Now().Add(-24 * time.Hour).UnixMilli())
	fell, register := map[lamppost.TimeMS]bool{}, int64(100_000)
	for n := 1; n <= 60*(*kills); n++ {
		at := begin + lamppost.TimeMS(n)*1000
		if register += 5; c.rnd.IntN(10) == 0 && n > 1 {
			register -= 50
			fell[at] = true
		}
		r := lamppost.Report{Device: "meter-a", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: uint64(n)}, TimeQuality: lamppost.TimeSynchronised, BootID: 1,
			Readings: []lamppost.Reading{{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: at, Value: lamppost.Dec(register, 0)}}}
		raw, err := lamppost.SignReport(&r, "lamppost", key)
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequest("POST", c.url()+"/v1/report", bytes.NewReader(raw))
		req.SetBasicAuth("meter-a", password)
		res, err := c.client().Do(req)
		if err != nil || res.StatusCode/100 != 2 {
			t.Fatalf("report %d: %v %v", n, res, err)
		}
		res.Body.Close()
		if n%60 == 59 {
			c.kill()
			c.start()
		}
	}
	var s api.Status
	for end := time.Now().Add(time.Minute); s.Triage == nil || s.Triage.Lag > 0 || s.Triage.Waiting > 0; time.Sleep(20 * time.Millisecond) {
		if c.must("GET", "/api/status", nil, &s); time.Now().After(end) {
			t.Fatalf("triage does not come to an end: %+v", s.Triage)
		}
	}
	c.stop()
	checkVerdicts(t, c.dir, fell)
}

func checkVerdicts(t *testing.T, folder string, fell map[lamppost.TimeMS]bool) {
	store, err := pebble.Open(filepath.Join(folder, "db"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	objects, err := dir.Open(filepath.Join(folder, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	packs, err := archive.NewPacks(store, objects)
	if err != nil {
		t.Fatal(err)
	}
	found := map[lamppost.TimeMS]int{}
	err = ledger.View{Reader: store}.Verdicts(lamppost.VerdictID{}, func(v *ledger.Verdict) error {
		if v.Body.Kind != lamppost.Implausible {
			return nil
		}
		if found[v.Body.At]++; !fell[v.Body.At] || v.Body.Reasons[0].Code != "rolled_back" || !v.Body.Suspends {
			t.Errorf("found %+v", v.Body)
		}
		replays(t, archive.View{Reader: store, Packs: packs}, &v.Body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := range fell {
		if found[at] != 1 {
			t.Errorf("the fall at %d stands in the ledger %d times", at, found[at])
		}
	}
	if len(fell) < 10 {
		t.Errorf("only %d falls", len(fell))
	}
}

// replays checks that the node's own records and the archive give the verdict's bytes again.
func replays(t *testing.T, view archive.View, v *lamppost.Verdict) {
	state, err := judge.State(view, v.State)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := view.Tx(v.Height, v.Tx)
	if err != nil {
		t.Fatal(err)
	}
	it := lamppost.ReadTransaction(rec.Raw).Items[v.Report]
	var r lamppost.Report
	if err := r.Decode(it.Report); err != nil {
		t.Fatal(err)
	}
	again, err := judge.Replay(state, judge.Reading{Reading: r.Readings[v.Record], Height: v.Height, Tx: v.Tx, Report: v.Report, Record: v.Record, Received: it.Received, Device: r.Device})
	if err != nil || len(again) != 1 || !bytes.Equal(lamppost.Marshal(again[0]), lamppost.Marshal(*v)) {
		t.Errorf("replayed %+v (%v), want %+v", again, err, v)
	}
}
