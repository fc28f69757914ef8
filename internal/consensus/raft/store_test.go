package raft

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A snapApp takes snapshots, whose content is one word.
type snapApp struct {
	*benchApp
	restored string
	err      error
}

func (a *snapApp) Snapshot() (consensus.Last, io.ReadCloser, error) {
	return a.Last(), io.NopCloser(strings.NewReader("state")), nil
}

func (a *snapApp) Restore(r io.Reader, want lamppost.Hash) error {
	if a.err != nil {
		return a.err
	}
	word, err := io.ReadAll(r)
	a.restored = string(word)
	a.durable.Store(&consensus.Last{Height: 7, Time: 1000, Cursor: 9, Root: want})
	return err
}

func alone(dir string) Config {
	return Config{Network: "net", Member: "m", Dir: dir, Founders: []lamppost.MemberID{"m"}, Listen: "127.0.0.1:0", Timeout: 20 * time.Millisecond, LogFile: 64 << 10,
		Address: func(lamppost.MemberID) string { return "" }, Now: func() lamppost.TimeMS { return 1 }}
}

func openApp(t *testing.T) *benchApp {
	app := newBenchApp(t, t.TempDir())
	t.Cleanup(func() { app.file.Close() })
	return app
}

// A member whose log was lost, or put back from a backup, does not take part under its id: it may have promised what it
// no longer knows.
func TestLostLog(t *testing.T) {
	t.Parallel()
	app, dir := openApp(t), t.TempDir()
	e := open(t, alone(dir), app, app)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for n := range 3 {
		tx := make([]byte, 40)
		tx[0] = byte(n)
		if _, err := e.Propose(ctx, lamppost.TxID(tx[:32]), tx); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := open(t, alone(dir), app, app).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "new id") {
		t.Errorf("Run without the log = %v, want what to do", err)
	}
}

// A snapshot that was received whole before the process ended is restored at the next start; one that the App has
// already is not, and one that cannot be restored ends Run.
func TestSnapshotBeforeTheCrash(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is broken")
	for name, c := range map[string]struct {
		at   lamppost.Cursor // where the App stands
		err  error
		want string
	}{"behind": {8, nil, "state"}, "there": {9, nil, ""}, "broken": {8, broken, ""}} {
		app, dir := &snapApp{benchApp: openApp(t), err: c.err}, t.TempDir()
		app.durable.Store(&consensus.Last{Height: 6, Cursor: c.at})
		keepSnapshot(t, dir)
		e := open(t, alone(dir), app, app)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		if c.err == nil {
			for e.Status().Role != "leader" {
				time.Sleep(time.Millisecond)
			}
		}
		if c.err == nil {
			stop()
		}
		if err := <-ended; !errors.Is(err, c.err) {
			t.Errorf("%s: Run = %v, want %v", name, err, c.err)
		}
		stop()
		if app.restored != c.want {
			t.Errorf("%s: restored %q, want %q", name, app.restored, c.want)
		}
	}
}

// keepSnapshot puts a received snapshot into a folder, of block 7 at entry 9.
func keepSnapshot(t *testing.T, dir string) {
	t.Helper()
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 1, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("")
	sink, err := snaps.Create(1, 9, 1, raft.Configuration{Servers: []raft.Server{server("m")}}, 1, trans)
	if err != nil {
		t.Fatal(err)
	}
	last := aLast
	last.Time = 1000
	if err := (&snapshot{last, io.NopCloser(strings.NewReader("state"))}).Persist(sink); err != nil {
		t.Fatal(err)
	}
}

// An error of writing the log ends the engine, whatever the library makes of it.
func TestLogErrorsAreFinal(t *testing.T) {
	t.Parallel()
	app := openApp(t)
	e := open(t, alone(t.TempDir()), app, app)
	s, err := e.openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	w := watched{s.log, s.fail}
	if err := w.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}}); err != nil || e.failure() != nil {
		t.Fatalf("StoreLogs = %v, %v", err, e.failure())
	}
	if err := w.StoreLog(&raft.Log{Index: 9}); err == nil || e.failure() == nil {
		t.Errorf("StoreLog = %v, %v; want errors", err, e.failure())
	}
}

// A follower that takes back the end of its log, as it does when another leads than the one that sent it, still has the rest after a
// restart. (raft-wal 0.4.0 lost it: it marked the last file as complete without writing its index.)
func TestTakenBackEnd(t *testing.T) {
	t.Parallel()
	app, dir := openApp(t), t.TempDir()
	e := open(t, alone(dir), app, app)
	s, err := e.openStore()
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(10) {
		if err := s.log.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: []byte("entry")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.log.DeleteRange(6, 10); err != nil {
		t.Fatal(err)
	}
	s.close()
	if s, err = e.openStore(); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var l raft.Log
	for i := range uint64(5) {
		if err := s.log.GetLog(i+1, &l); err != nil || string(l.Data) != "entry" {
			t.Errorf("entry %d: %q, %v", i+1, l.Data, err)
		}
	}
}

// A forgetApp lets the log go up to its last block.
type forgetApp struct{ *snapApp }

func (a forgetApp) Commit() (lamppost.Cursor, error) {
	if len(a.pending) == 0 {
		return a.Last().Cursor, nil
	}
	_, err := a.snapApp.Commit()
	return a.Last().Cursor, err
}

// What was let go before a restart leaves the files after it, with no further block; the engine says so no sooner.
func TestForgetsAfterRestart(t *testing.T) {
	t.Parallel()
	app, dir := forgetApp{&snapApp{benchApp: openApp(t)}}, t.TempDir()
	run := func(every time.Duration, work func(*Engine)) {
		cfg := alone(dir)
		cfg.SnapshotEvery = every
		e := open(t, cfg, app, app)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		work(e)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	tx := append(make([]byte, 32), "to be forgotten"...)
	run(time.Hour, func(e *Engine) {
		if _, err := e.Propose(t.Context(), lamppost.TxID(tx[:32]), tx); err != nil {
			t.Fatal(err)
		}
		if got := e.Forgotten(); got >= app.Last().Cursor {
			t.Errorf("the files are said to have forgotten up to %d, and block %d has just come", got, app.Last().Height)
		}
	})
	run(5*time.Millisecond, func(e *Engine) {
		for end := time.Now().Add(20 * time.Second); e.Forgotten() < app.Last().Cursor; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the files have forgotten up to %d, want %d", e.Forgotten(), app.Last().Cursor)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, "log", "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("the log has the files %v, %v", files, err)
		}
		for _, f := range files {
			if raw, err := os.ReadFile(f); err == nil && strings.Contains(string(raw), "to be forgotten") {
				t.Errorf("%s holds what was forgotten", f)
			}
		}
	})
}
