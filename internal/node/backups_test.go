package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/fsck"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/restore"
)

func silent(_ string, _, _ int64) {}
func (l *lamp) keeping() (k api.Keeping) {
	l.t.Helper()
	_, answer := l.ask("GET", "/api/keeping", nil)
	must(l.t, json.Unmarshal(answer, &k))
	return k
}

// checked checks a folder and returns what was found.
func checked(t testing.TB, data string) *replica.Checkup {
	t.Helper()
	f := fsck.Folder{Data: data}
	found, err := f.Check(context.Background())
	must(t, err)
	for i := range found.Faults {
		t.Errorf("%s: %s", data, fsck.Words(&found.Faults[i]))
	}
	return found
}

// Goal: a backup is of one moment, whatever the node does meanwhile: blocks, packs, pruning, snapshots. Method: backups one after the
// other while devices report and orders come, with an archive that packs and prunes all the time; each is restored and checked.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Keep, cfg.Publish = 5*time.Millisecond, 5*time.Millisecond
	started := time.Now()
	cfg.Now = func() time.Time { return begin.Add(20_000 * time.Since(started)) } // a day in some 4 s
	cfg.SnapshotEvery = node.Every(time.Hour)
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	l.order("/api/retentions", lamppost.RetentionBody{RawDays: 1, SummaryDays: 1}, nil)
	m := l.announce("m")
	l.enrol(m)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			l.post(m, m.report(t, nil))
			l.order("/api/parties", lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("p", i))}, nil)
		}
	})
	var last lamppost.Height
	for i := range 4 {
		eventually(t, "the chain goes on", func() bool { return l.Status().Height > last+40 })
		var raw bytes.Buffer
		must(t, l.Backup(ctx, api.NewBackup{Path: filepath.Join(t.TempDir(), "b"), Host: "elsewhere"}, func(string) io.Writer { return &raw }))
		b := restore.Backup{Data: filepath.Join(t.TempDir(), "r"), From: &raw, Progress: silent}
		r, err := b.Restore(ctx)
		must(t, err)
		found := checked(t, b.Data)
		if found.Height < r.Height || i > 0 && !found.Replayed && found.Gone == 0 {
			t.Errorf("backup %d of block %d, then %d: %+v", i, r.Height, found.Height, found)
		}
		last = found.Height
	}
	cancel()
	wg.Wait()
}

// Goal: an erasure is attested only when no backup holds what was erased: one on this machine when it is gone, one elsewhere when
// people say so. What was erased since stands beside the backup, and being late shows.
func TestErasureFollowsBackups(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Keep = 10 * time.Millisecond
	var ahead time.Duration
	var mu sync.Mutex
	cfg.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return begin.Add(ahead)
	}
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada", Name: "Ada"}, nil)
	host, err := os.Hostname()
	must(t, err)
	here := filepath.Join(t.TempDir(), "here")
	var raw bytes.Buffer
	must(t, l.Backup(t.Context(), api.NewBackup{Path: here, Host: host, Device: backup.Device(filepath.Dir(here))}, func(string) io.Writer { return &raw }))
	must(t, os.WriteFile(here, raw.Bytes(), 0o600))
	var away string
	must(t, l.Backup(t.Context(), api.NewBackup{Path: "/away", Host: "other"}, func(id string) io.Writer { away = id; return io.Discard }))
	l.order("/api/erasures", lamppost.EraseBody{Party: "ada", Basis: "GDPR"}, nil)
	eventually(t, "the list lies beside the backup", func() bool { _, err := os.Stat(backup.ErasuresPath(here)); return err == nil })
	text, err := os.ReadFile(backup.ErasuresPath(here))
	must(t, err)
	list, err := backup.ReadErasures(text)
	if err != nil || len(list.Erasures) != 1 || list.Erasures[0].Party != "ada" || list.Network != "house" {
		t.Fatalf("beside the backup: %+v, %v", list, err)
	}
	if k := l.keeping(); len(k.Erasures[0].Backups) != 2 || len(k.Erasures[0].Attested) > 0 || k.Erasures[0].Overdue {
		t.Fatalf("at first: %+v", k)
	}
	mu.Lock()
	ahead = 25 * time.Hour
	mu.Unlock()
	eventually(t, "being late shows", func() bool {
		var s api.Status
		_, answer := l.ask("GET", "/api/status", nil)
		must(t, json.Unmarshal(answer, &s))
		return s.Copies.Overdue == 1 && l.keeping().Erasures[0].Overdue
	})
	must(t, os.Remove(here))
	eventually(t, "the one here is gone", func() bool { return len(l.keeping().Erasures[0].Backups) == 1 })
	if k := l.keeping(); len(k.Erasures[0].Attested) > 0 || k.Erasures[0].Backups[0] != away {
		t.Fatalf("while one is away: %+v", k)
	}
	if status, answer := l.ask("POST", "/api/backups/"+away+"/gone", struct{}{}); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	eventually(t, "it is attested", func() bool { return l.keeping().Erasures[0].Attested["node1"] > 0 })
	if k := l.keeping(); k.Erasures[0].Overdue || len(k.Backups) > 0 {
		t.Errorf("in the end: %+v", k)
	}
}

// A backup that is interrupted leaves nothing in the folder but the memory of it: some of it has gone out.
func TestInterruptedBackup(t *testing.T) {
	t.Parallel()
	l := light(t)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	full := errors.New("the disk is full")
	for name, make := range map[string]func() error{
		"the reader fails": func() error {
			return l.Backup(ctx, api.NewBackup{Path: "/x", Host: "other"}, func(string) io.Writer { return failing{full} })
		},
		"it is told to stop": func() error {
			return l.Backup(ctx, api.NewBackup{Path: "/x", Host: "other"}, func(string) io.Writer { cancel(); return io.Discard })
		},
	} {
		if err := make(); !errors.Is(err, full) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(l.dir, "backup.tmp")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: what was staged is still there: %v", name, err)
		}
	}
	for _, b := range l.keeping().Backups {
		if b.Whole || b.State != "elsewhere" {
			t.Errorf("remembered as %+v", b)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
