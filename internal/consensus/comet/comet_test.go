//go:build !small

package comet_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/comet"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
)

// A network of one member keeps the contract of engines. Its clock is not the suite's: comet's block time is its own.
func TestContract(t *testing.T) {

	t.Parallel()
	consensustest.Run(t, consensustest.Factory{
		Open: func(t testing.TB, dir string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine {
			key, err := comet.PublicKey(dir)
			if err != nil {
				t.Fatal(err)
			}
			e, err := comet.New(comet.Config{Member: "m", Dir: dir, Listen: "127.0.0.1:0", Network: "net", Founded: 1, Now: now,
				Founders: []lamppost.Member{{ID: "m", Key: key}}, Address: func(lamppost.MemberID) string { return "" }, Log: quiet(t)}, app, view)
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		Queue:   comet.MaxQueued - 1, // one is in the block at hand
		Replays: true,
	})
}

// quiet shows only what an engine gives up for, unless LAMPPOST_LOG is set.
func quiet(testing.TB) *slog.Logger {
	level := slog.LevelError
	if os.Getenv("LAMPPOST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
