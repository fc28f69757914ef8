package raft

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
)

// One member alone keeps the contract of every engine.
func TestContract(t *testing.T) {
	t.Parallel()
	consensustest.Run(t, consensustest.Factory{
		Open: func(t testing.TB, dir string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine {
			return open(t, Config{Network: "net", Member: "m", Dir: dir, Founders: []lamppost.MemberID{"m"}, Listen: "127.0.0.1:0",
				Address: func(lamppost.MemberID) string { return "" }, Now: now, Timeout: 20 * time.Millisecond}, app, view)
		},
		Queue:   1023, // and one in the block at hand
		Replays: true,
	})
}

// Several, with TLS between them, keep what members of a network promise each other.
func TestCluster(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	consensustest.Cluster(t, consensustest.Network{
		Open: func(t testing.TB, s consensustest.Seat) consensus.Engine {
			cfg := seat(s)
			own := a.issue(string(s.Member), 2)
			cfg.TLS = func() (*tls.Config, error) { return own, nil }
			return open(t, cfg, s.App, s.View)
		},
		Size: 3, Gap: 3 * time.Second, Snapshots: true, Changes: true, Forgets: true,
	})
}

func seat(s consensustest.Seat) Config {
	cfg := Config{Network: "net", Member: s.Member, Dir: s.Dir, Listen: s.Listen, Address: s.Address, Now: s.Now,
		SnapshotEvery: 20 * time.Millisecond, LogFile: 64 << 10}
	for _, m := range s.Founders {
		cfg.Founders = append(cfg.Founders, m.ID)
	}
	return cfg
}

func open(t testing.TB, cfg Config, app consensus.App, view consensus.View) *Engine {
	e, err := New(cfg, app, view)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
