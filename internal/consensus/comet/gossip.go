//go:build !small

package comet

import (
	"time"

	mempl "github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"
)

// A gossip tells the other members what was proposed here, each once; comet's own reactor takes what they tell. Comet's would also
// pass on what came from others, so that of n members that all know each other every transaction crosses (n-1)² connections instead
// of n-1. Nothing depends on passing on: members dial everybody, and whoever was told orders it when it is his turn to propose.
type gossip struct {
	*mempl.Reactor
	pool *proposals
}

// AddPeer implements p2p.Reactor.
func (g *gossip) AddPeer(peer p2p.Peer) { go g.tell(peer) } // ends with the peer

// tell sends what waits here and everything that comes, until the peer is gone. A peer that knows it already ignores it.
func (g *gossip) tell(peer p2p.Peer) {
	for told := uint64(0); peer.IsRunning() && g.IsRunning(); {
		raw, number, more := g.pool.next(told)
		if raw == nil {
			select {
			case <-more:
			case <-peer.Quit():
			case <-g.Quit():
			}
			continue
		}
		if peer.Send(p2p.Envelope{ChannelID: mempl.MempoolChannel, Message: &protomem.Txs{Txs: [][]byte{raw}}}) {
			told = number
			continue
		}
		select { // its queue is full, or it is going
		case <-time.After(mempl.PeerCatchupSleepIntervalMS * time.Millisecond):
		case <-peer.Quit():
		}
	}
}

// tellNow has the others told of a proposal, whose bytes are in comet's pool here.
func (s *proposals) tellNow(p *proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.answered() {
		return
	}
	s.number++
	p.number, p.told = s.number, time.Now()
	close(s.more)
	s.more = make(chan struct{})
}

// next returns the first transaction to tell after a number, or what is closed when there may be one.
func (s *proposals) next(after uint64) (raw []byte, number uint64, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first *proposal
	for _, p := range s.byID {
		if p.number > after && (first == nil || p.number < first.number) {
			first = p
		}
	}
	if first == nil {
		return nil, 0, s.more
	}
	return first.raw, first.number, nil
}
