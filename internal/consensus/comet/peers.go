//go:build !small

package comet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/lamppost/lamppost"
)

const dialPause = time.Second

// admit lets in who holds a member's key.
func (n *node) admit(_ p2p.IPeerSet, peer p2p.Peer) error {
	if n.roster.admits(peer.ID()) {
		return nil
	}
	return errors.New("no member's key")
}

// dial keeps connections to all other members, as they come and go, and ends those to who left.
func (n *node) dial(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	calling := map[lamppost.MemberID]bool{}
	tick := time.NewTicker(dialPause / 4)
	defer tick.Stop()
	for {
		for _, m := range n.roster.members() {
			if m.ID != n.cfg.Member && !calling[m.ID] {
				calling[m.ID] = true
				calls.Go(func() { n.keep(ctx, m) })
			}
		}
		for _, p := range n.peers.Peers().List() {
			if !n.roster.admits(p.ID()) {
				n.peers.StopPeerGracefully(p)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// keep keeps the connection to a member, as long as it is one. Of two members the one whose name sorts first dials, the other only if
// it is not called: two who dial each other at once hang up on each other.
func (n *node) keep(ctx context.Context, m lamppost.Member) {
	pause, id, told := time.Duration(0), nodeID(m.Key), false
	if n.cfg.Member > m.ID {
		pause = dialPause
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + rand.N(dialPause/4)):
		}
		pause = dialPause
		if n.cfg.Member > m.ID {
			pause = 2 * dialPause
		}
		if is, _ := n.roster.seat(m.ID); !is || n.peers.Peers().Has(id) {
			told = false
			continue
		}
		err := n.call(id, n.cfg.Address(m.ID))
		if err != nil && !told && ctx.Err() == nil {
			told = true
			n.cfg.Log.Warn("no connection to a member; trying on", "member", m.ID, "address", n.cfg.Address(m.ID), "err", err)
		}
	}
}

func (n *node) call(id p2p.ID, address string) error {
	if address == "" {
		return errors.New("nobody knows its address yet")
	}
	addr, err := p2p.NewNetAddressString(p2p.IDAddressString(id, address))
	if err != nil {
		return err
	}
	err = n.peers.DialPeerWithAddress(addr)
	var busy p2p.ErrCurrentlyDialingOrExistingAddress
	if errors.As(err, &busy) {
		return nil
	}
	return err
}
