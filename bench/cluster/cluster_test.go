package cluster

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestMain lets the test be the members of peers.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		member := map[string]func(string) error{EtcdCommand: EtcdMember, CometCommand: CometMember}[os.Args[1]]
		if member != nil {
			if err := member(os.Args[2]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// TestPeers protects the comparison: each peer's members find each other and commit what they are given, small and large.
func TestPeers(t *testing.T) {
	for _, p := range []Peer{Etcd(), Comet()} {
		for _, bytes := range []int{200, 100_000} {
			per, err := p.Run(t.Context(), t.TempDir(), Setting{Window: 16, Conns: 2}, bytes, 2*time.Second)
			if err != nil || per <= 0 {
				t.Errorf("%s, values of %d bytes: %.0f a second, %v", p.Name, bytes, per, err)
			}
		}
	}
}

// TestSum protects the figures that are published: medians, and the ratio of each round.
func TestSum(t *testing.T) {
	c := Comparison{LamppostRuns: []float64{300, 100, 200}, PeerRuns: []float64{10, 20, 5}, PeerBatchedRuns: []float64{400, 400, 50}}
	c.sum()
	if c.Lamppost != 200 || c.Peer != 10 || c.Ratio != 20 || c.RatioBatched != 0.5 || c.Ratios != (Spread{5, 40}) {
		t.Errorf("got %+v", c)
	}
}
