package raft_test

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/consensus/raft"
)

// One member alone keeps the contract of every engine.
func TestContract(t *testing.T) {
	t.Parallel()
	consensustest.Run(t, consensustest.Factory{
		Open: func(t testing.TB, dir string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine {
			return open(t, raft.Config{Network: "net", Member: "m", Dir: dir, Founders: []lamppost.MemberID{"m"}, Listen: "127.0.0.1:0",
				Address: func(lamppost.MemberID) string { return "" }, Now: now, Timeout: 20 * time.Millisecond}, app, view)
		},
		Queue:   1023, // and one in the block at hand
		Replays: true,
	})
}

// Several keep what members of a network promise each other.
func TestCluster(t *testing.T) {
	t.Parallel()
	consensustest.Cluster(t, consensustest.Network{
		Open: func(t testing.TB, s consensustest.Seat) consensus.Engine {
			return open(t, seat(s), s.App, s.View)
		},
		Size: 3, Gap: 3 * time.Second, Snapshots: true, Changes: true, Forgets: true,
	})
}

func seat(s consensustest.Seat) raft.Config {
	cfg := raft.Config{Network: "net", Member: s.Member, Dir: s.Dir, Listen: s.Listen, Address: s.Address, Now: s.Now,
		SnapshotEvery: 20 * time.Millisecond}
	for _, m := range s.Founders {
		cfg.Founders = append(cfg.Founders, m.ID)
	}
	return cfg
}

func open(t testing.TB, cfg raft.Config, app consensus.App, view consensus.View) *raft.Engine {
	e, err := raft.New(cfg, app, view)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
