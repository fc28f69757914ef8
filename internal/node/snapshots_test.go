package node_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/snapshot"
)

// list asks for the node's snapshots.
func (l *lamp) snapshots() (list api.SnapshotList) {
	l.t.Helper()
	_, answer := l.ask("GET", "/api/snapshots", nil)
	must(l.t, json.Unmarshal(answer, &list))
	return list
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// Goal: a node takes a snapshot by its clock when something has happened, keeps the latest three, and hands out files that the
// network's pin alone shows to be what the member said of its state.
func TestSnapshotsAreTaken(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	started := time.Now()
	cfg.Keep, cfg.SnapshotEvery = 10*time.Millisecond, node.Every(time.Hour)
	cfg.Now = func() time.Time { return begin.Add(10_000 * time.Since(started)) } // an hour lasts 360 ms
	l := run(t, cfg)
	for i := range 5 {
		l.order("/api/parties", lamppost.PartyBody{ID: lamppost.PartyID("p" + string(rune('a'+i)))}, nil)
		eventually(t, "another snapshot is taken", func() bool { return len(l.snapshots().Said) > i })
	}
	var list api.SnapshotList
	eventually(t, "three are left, with the one that was said last", func() bool {
		list = l.snapshots()
		last := lamppost.Height(0)
		for _, w := range list.Said {
			last = max(last, w.Height)
		}
		return len(list.Files) == 3 && list.Files[2].Height == last
	})
	pin, err := os.ReadFile(filepath.Join(l.dir, "network.pin"))
	must(t, err)
	p, err := audit.ParsePin(string(pin))
	must(t, err)
	for _, file := range list.Files {
		status, raw := l.ask("GET", "/api/snapshots/"+file.Name, nil)
		if status != http.StatusOK || int64(len(raw)) != file.Bytes {
			t.Fatalf("%s: status %d, %d bytes, want %d", file.Name, status, len(raw), file.Bytes)
		}
		f, err := snapshot.Open(bytes.NewReader(raw), file.Bytes)
		must(t, err)
		must(t, f.Verify())
		proof, err := lamppost.ParseProof(f.Proof())
		must(t, err)
		s, err := audit.CheckSnapshot(proof, p)
		if err != nil || s.Height != file.Height || s.Digest != f.Digest() || s.Root != f.Head().Root || s.Size != f.Head().Size || s.Time != f.Head().Time {
			t.Errorf("%s says %+v; its proof says %+v, %v", file.Name, f.Head(), s, err)
		}
		if !slices.ContainsFunc(list.Said, func(w api.SnapshotWords) bool {
			return w.Height == file.Height && w.Members[0].Digest == f.Digest().String()
		}) {
			t.Errorf("%s: the ledger does not have its digest", file.Name)
		}
	}
	if status, _ := l.ask("GET", "/api/snapshots/..%2fmember.key", nil); status != http.StatusNotFound {
		t.Errorf("a file of another name: status %d", status)
	}
	if s := l.SnapshotState(); s.Height != list.Files[2].Height || s.Error != "" {
		t.Errorf("status %+v, the latest is of %d", s, list.Files[2].Height)
	}
	// Nothing has happened but the order about the last one: there is no reason for another.
	eventually(t, "an hour passes without another", func() bool {
		return cfg.Now().UnixMilli()-int64(l.SnapshotState().Time) > 2*3600*1000 && !l.SnapshotDue()
	})
}

// An erasure takes the states from before it too, which have the name that was erased; there is one to begin with all the same.
func TestErasureTakesSnapshots(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Keep = 20 * time.Millisecond
	l := run(t, cfg)
	const name = "Ada of the secret name"
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: name}, nil)
	var before api.SnapshotFile
	l.order("/api/snapshots", struct{}{}, &before)
	l.order("/api/erasures", lamppost.EraseBody{Party: "ada", Basis: "GDPR"}, nil)
	eventually(t, "the member attests", func() bool {
		var k api.Keeping
		_, answer := l.ask("GET", "/api/keeping", nil)
		must(t, json.Unmarshal(answer, &k))
		return k.Erasures[0].Attested["node1"] > 0
	})
	list := l.snapshots()
	if len(list.Files) != 1 || list.Files[0].Height <= before.Height {
		t.Fatalf("left are %+v", list.Files)
	}
	state := ""
	_, raw := l.ask("GET", "/api/snapshots/"+list.Files[0].Name, nil)
	f, err := snapshot.Open(bytes.NewReader(raw), int64(len(raw)))
	must(t, err)
	must(t, f.Each(func(k, v []byte) error { state += string(k) + string(v); return nil }, func() error { return nil }))
	if strings.Contains(state, name) || !strings.Contains(state, "sPada") {
		t.Error("the erased name is in the snapshot, or the party is not")
	}
}
