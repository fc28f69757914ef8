package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// everything reads all files of a folder.
func everything(t testing.TB, dir string) (all []byte) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		var data []byte
		if err == nil && !e.IsDir() {
			data, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // files come and go while the node works
		}
		all = append(all, data...)
		return err
	}))
	return all
}

// Goal: an erasure takes a device's reports out of the views at once and out of every file of the running node, write ahead
// logs and tables too, which the node then attests; another device's receipt, and the node's whole chain, hold as before.
func TestErasureEndToEnd(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Keep, cfg.NoFsync = 50*time.Millisecond, false
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
	hers, his := l.announce("hers"), l.announce("his")
	l.enrol(hers)
	l.enrol(his)
	send := func(m *machine) []byte {
		raw := m.report(t, nil)
		if got := l.post(m, raw); got.Code != "ok" {
			t.Fatalf("%s: %+v", m.id, got)
		}
		return raw
	}
	var secrets [][]byte
	for range 20 {
		secrets = append(secrets, send(hers))
		send(his)
	}
	found := func() (n int) {
		all := everything(t, l.dir)
		for _, s := range secrets {
			n += bytes.Count(all, s[len(s)-64:]) // the signature: nothing compresses it
		}
		return n
	}
	if found() < len(secrets) {
		t.Fatal("the reports cannot be found in the files before: the search is not worth much")
	}
	l.receipt("his/1/5")
	l.order("/api/erasures", lamppost.EraseBody{Device: "hers", Basis: "GDPR Art. 17(1)(b)"}, nil)
	status, answer := l.ask("GET", "/api/receipts/hers/1/5", nil)
	if status != http.StatusGone || !strings.Contains(string(answer), "erased on 2026-12-01 under GDPR Art. 17(1)(b)") {
		t.Errorf("a receipt of what was erased: %d %s", status, answer)
	}
	var d api.DeviceDetail
	_, answer = l.ask("GET", "/api/devices/hers", nil)
	must(t, json.Unmarshal(answer, &d))
	if len(d.Readings) != 0 || len(d.Series) != 0 {
		t.Errorf("the device still shows %+v", d.Readings)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var k api.Keeping
		_, answer := l.ask("GET", "/api/keeping", nil)
		must(t, json.Unmarshal(answer, &k))
		if len(k.Erasures) == 1 && k.Erasures[0].Attested["node1"] > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody attested: %+v", k)
		}
	}
	if n := found(); n > 0 {
		t.Errorf("%d signatures of erased reports are still in the files", n)
	}
	l.receipt("his/1/5")
	send(hers)
	l.receipt("hers/1/21")
	if got := l.post(hers, secrets[4]); got.Code != "too_old" {
		t.Errorf("an erased report again: %+v", got)
	}
}

// Goal: through the whole life of a node a reading that a device sent is read back within its error bar: acknowledged, sealed, summed up,
// and after the node was started again.
func TestSummariesEndToEnd(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	started, ahead := time.Now(), new(atomic.Int64)
	cfg.Keep, cfg.Triage = 20*time.Millisecond, "off" // what is near a verdict stays raw
	cfg.Now = func() time.Time { return begin.Add(time.Since(started) + time.Duration(ahead.Load())) }
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
	m := l.announce("meter")
	l.enrol(m)
	l.order("/api/retentions", lamppost.RetentionBody{Device: "meter", RawDays: 1, SummaryDays: 365}, nil)
	said := map[lamppost.TimeMS]float64{}
	for i := range 130 { // enough for the detectors to have a say
		ahead.Add(int64(10 * time.Minute))
		at, v := lamppost.TimeMS(cfg.Now().UnixMilli()), 1000+500*math.Sin(float64(i)/7)+float64(i*31%17)
		if i == 110 {
			v = 9000
		}
		said[at] = v
		raw := m.report(t, func(r *lamppost.Report) {
			r.Readings = []lamppost.Reading{{Name: "power", Unit: "W", Time: at, Float: v, IsFloat: true}}
		})
		if got := l.post(m, raw); got.Code != "ok" {
			t.Fatalf("%+v", got)
		}
	}
	check := func(l *lamp, class string) bool {
		t.Helper()
		var s api.Series
		_, answer := l.ask("GET", "/api/devices/meter/series?name=power&from_ms=0", nil)
		must(t, json.Unmarshal(answer, &s))
		if len(s.Times) != len(said) {
			t.Fatalf("%d readings of %d: %.300s", len(s.Times), len(said), answer)
		}
		for i, at := range s.Times {
			was, ok := said[at]
			if off := math.Abs(s.Values[i] - was); !ok || !(off <= s.Errors[i]) || s.Errors[i] > 0.01*8600 {
				t.Fatalf("reading %d at %d is %v ± %v, was %v", i, at, s.Values[i], s.Errors[i], was)
			}
		}
		return !slices.ContainsFunc(s.Classes, func(c string) bool { return c != class })
	}
	if !check(l, "raw") {
		t.Error("there are summaries on the first day")
	}
	ahead.Add(int64(4 * 24 * time.Hour))
	for deadline := time.Now().Add(30 * time.Second); !check(l, "summary"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("after four days readings are still raw")
		}
	}
	l.stop()
	if l = run(t, cfg); !check(l, "summary") {
		t.Error("after a start readings are not in summaries")
	}
}
