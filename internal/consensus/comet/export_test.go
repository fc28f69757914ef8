//go:build !small

package comet

import (
	"errors"

	cs "github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/p2p"
	cmtcons "github.com/cometbft/cometbft/proto/tendermint/consensus"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// A Liar signs in a member's place whatever it likes. Each function is given what the honest member would sign, not signed yet, and may
// change it; what it returns besides is signed as well and told to all others.
type Liar struct {
	Vote     func(*cmtproto.Vote) (also *cmtproto.Vote)
	Proposal func(*cmtproto.Proposal) (also *cmtproto.Proposal)
}

// Lie puts a liar in the place of a running engine's signer.
func (e *Engine) Lie(l Liar) error {
	e.mu.Lock()
	n := e.node
	e.mu.Unlock()
	if n == nil {
		return errors.New("the engine has not started")
	}
	n.machine.SetPrivValidator(lyingSigner{l, n.key.Key.PrivKey, n.peers})
	return nil
}

type lyingSigner struct {
	Liar
	key   crypto.PrivKey
	peers *p2p.Switch
}

func (s lyingSigner) GetPubKey() (crypto.PubKey, error) { return s.key.PubKey(), nil }

func (s lyingSigner) SignVote(chain string, v *cmtproto.Vote) (err error) {
	var also *cmtproto.Vote
	if s.Vote != nil {
		also = s.Vote(v)
	}
	if v.Signature, err = s.key.Sign(types.VoteSignBytes(chain, v)); err != nil || also == nil {
		return err
	}
	also.Signature, err = s.key.Sign(types.VoteSignBytes(chain, also))
	s.peers.Broadcast(p2p.Envelope{ChannelID: cs.VoteChannel, Message: &cmtcons.Vote{Vote: also}})
	return err
}

func (s lyingSigner) SignProposal(chain string, p *cmtproto.Proposal) (err error) {
	var also *cmtproto.Proposal
	if s.Proposal != nil {
		also = s.Proposal(p)
	}
	if p.Signature, err = s.key.Sign(types.ProposalSignBytes(chain, p)); err != nil || also == nil {
		return err
	}
	also.Signature, err = s.key.Sign(types.ProposalSignBytes(chain, also))
	s.peers.Broadcast(p2p.Envelope{ChannelID: cs.DataChannel, Message: &cmtcons.Proposal{Proposal: *also}})
	return err
}
