package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// everything reads all files of a folder.
func everything(t testing.TB, dir string) (all []byte) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, data...)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		}
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
