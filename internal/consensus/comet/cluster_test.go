//go:build !small

package comet_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/privval"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/comet"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
)

// Four members keep what members of a network promise each other.
func TestCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two minutes")
	}
	founded := lamppost.TimeMS(time.Now().UnixMilli())
	consensustest.Cluster(t, consensustest.Network{
		Open: func(t testing.TB, s consensustest.Seat) consensus.Engine {
			e, err := comet.New(comet.Config{Member: s.Member, Dir: s.Dir, Key: s.Key, Listen: s.Listen, Network: "net", Founders: s.Founders, Address: s.Address,
				Founded: founded, Now: s.Now, ProposeTimeout: 500 * time.Millisecond, VoteTimeout: 100 * time.Millisecond, Keep: 3 * time.Second, Log: quiet(t)}, s.App, s.View)
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		Size: 4, Gap: 15 * time.Second, Snapshots: true, Changes: true, Forgets: true,
	})
}

// useKey puts a key into an engine's folder, unless it has one.
func useKey(t testing.TB, dir string, key ed25519.PrivKey) {
	t.Helper()
	path := filepath.Join(dir, "validator_key.json")
	if _, err := os.Stat(path); err != nil {
		privval.NewFilePV(key, path, filepath.Join(dir, "validator_state.json")).Save()
	}
}
