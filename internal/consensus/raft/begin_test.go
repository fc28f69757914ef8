package raft

import (
	"context"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A log that begins behind a block has the next one as its first entry, does not begin twice, and leaves the App's state alone.
func TestBegin(t *testing.T) {
	t.Parallel()
	app, dir := &snapApp{benchApp: openApp(t)}, t.TempDir()
	if err := Begin(dir, "m", app); err == nil {
		t.Error("a log began behind no block")
	}
	dir = t.TempDir()
	app.durable.Store(&consensus.Last{Height: 7, Time: 1000, Cursor: 7})
	if err := Begin(dir, "m", app); err != nil {
		t.Fatal(err)
	}
	if err := Begin(dir, "m", app); err == nil {
		t.Error("a log began twice")
	}
	for again := range 2 {
		e := open(t, alone(dir), app, app)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		before := app.Last()
		tx := make([]byte, 40)
		tx[0] = byte(again)
		if _, err := e.Propose(ctx, lamppost.TxID(tx[:32]), tx); err != nil {
			t.Fatal(err)
		}
		if last := app.Last(); last.Height != before.Height+1 || last.Cursor <= before.Cursor {
			t.Errorf("after block %d at entry %d came %d at %d", before.Height, before.Cursor, last.Height, last.Cursor)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if app.txs.Load() != 2 || app.restored != "" {
		t.Errorf("%d transactions were applied, want 2, and %q restored", app.txs.Load(), app.restored)
	}
}
