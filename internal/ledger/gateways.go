package ledger

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A gateway signs segments beside the members, and reports of devices without a key. Its keys follow each other like a
// device's; a segment names its gateway and not the key, so it may be signed with any that counts.
type gateway struct {
	keys[lamppost.GatewayBody]
}

// gateway registers one, or gives it another key. The member who signed answers for it.
func (s *State) gateway(b lamppost.GatewayBody, signer lamppost.MemberID) error {
	g := s.gateways[b.ID]
	if err := s.mayRegister(g, &b, signer); err != nil {
		return err
	}
	public, err := sig.ParsePublicKey(sig.EdDSA, b.Key)
	if err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "key of gateway %q: %v", b.ID, err)
	}
	next := held[lamppost.GatewayBody]{Key: Key[lamppost.GatewayBody]{Body: b}, epoch: b.KeyEpoch, public: public}
	change := lamppost.KeyChange{ID: string(b.ID), Next: b.KeyEpoch, Suite: sig.EdDSA, Key: b.Key}
	if g == nil {
		if len(b.Consent) > 0 {
			return firstFollowsNone(&change)
		}
		g = &gateway{}
		s.gateways[b.ID] = g
		g.begin(s, 'W', string(b.ID), next)
		return nil
	}
	if err := consents(s, &g.keys, b.Consent, change, lamppost.PurposeGatewayKey); err != nil {
		return err
	}
	if err := unused(s, 'W', string(b.ID), func(b *lamppost.GatewayBody) (sig.Suite, []byte) { return sig.EdDSA, b.Key }, &b); err != nil {
		return err
	}
	follow(s, 'W', string(b.ID), &g.keys, next, s.time+lamppost.KeyGraceMS)
	return nil
}

// mayRegister refuses a registration for all but its key. g is nil for a new gateway.
func (s *State) mayRegister(g *gateway, b *lamppost.GatewayBody, signer lamppost.MemberID) error {
	if err := lamppost.CheckName("gateway", string(b.ID)); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	switch {
	case s.members[b.ID] != nil:
		return lamppost.Refuse(lamppost.CodeExists, "%q is a member", b.ID)
	case b.Member != signer:
		return lamppost.Refuse(lamppost.CodeForbidden, "member %q signed for a gateway that %q shall answer for", signer, b.Member)
	case g == nil && b.KeyEpoch != 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "the first key of gateway %q has epoch 0, not %d", b.ID, b.KeyEpoch)
	case g != nil && (b.KeyEpoch <= g.epoch || b.Member != g.Body.Member):
		return lamppost.Refuse(lamppost.CodeExists, "gateway %q is registered by %q with key epoch %d; a new key takes a higher one and the same member",
			b.ID, g.Body.Member, g.epoch)
	}
	return nil
}

// revokeGateway ends a key of a gateway and all before it. Its member decides.
func (s *State) revokeGateway(b lamppost.RevokeBody, signer lamppost.MemberID) error {
	g := s.gateways[b.Gateway]
	switch {
	case g == nil:
		return lamppost.Refuse(lamppost.CodeUnknown, "no gateway %q whose key could be revoked", b.Gateway)
	case g.Body.Member != signer:
		return lamppost.Refuse(lamppost.CodeForbidden, "member %q signed for gateway %q, for which %q answers", signer, b.Gateway, g.Body.Member)
	}
	if err := g.mayRevoke(string(b.Gateway), b); err != nil {
		return err
	}
	s.endGateway(g, b)
	return nil
}

func (s *State) endGateway(g *gateway, b lamppost.RevokeBody) {
	g.revoke(b.KeyEpoch)
	s.putBody(epochKey('K', string(b.Gateway), b.KeyEpoch), b)
}

func (s *State) isGateway(id lamppost.MemberID) bool {
	return s.members[id] != nil || s.gateways[id] != nil
}

// segmentKey returns the key of a member or gateway that a segment is signed with, and its epoch, or nil if it is none that
// counts. A member has one key, so of a segment that the caller checked there is nothing to find out. With which of its keys
// a gateway signed is asked in any case: they may have changed since the caller looked.
func (s *State) segmentKey(signed *lamppost.Signed, checked bool) (key *sig.PublicKey, epoch uint32) {
	if m := s.members[signed.Key]; m != nil && (checked || signed.Verify(s.network, lamppost.PurposeSegment, m.key)) {
		return m.key, 0
	}
	g := s.gateways[signed.Key]
	if g == nil {
		return nil, 0
	}
	for _, k := range [...]*held[lamppost.GatewayBody]{&g.held, g.former} {
		if k != nil && g.under(k.epoch, s.time) != nil && signed.Verify(s.network, lamppost.PurposeSegment, k.public) {
			return k.public, k.epoch
		}
	}
	return nil, 0
}

// notSegment says for people why a segment is not taken as a gateway's.
func (s *State) notSegment(id lamppost.MemberID) string {
	if g := s.gateways[id]; g != nil && g.isRevoked(g.epoch) {
		return fmt.Sprintf("revoked: no key of gateway %q counts until its member registers another", id)
	}
	return fmt.Sprintf("no gateway %q signed this segment for network %q", id, s.network)
}

func (s *State) loadGateways() error {
	err := eachKey(s.store, key('W'), func(k Key[lamppost.GatewayBody]) error {
		public, err := sig.ParsePublicKey(sig.EdDSA, k.Body.Key)
		if err != nil {
			return err
		}
		g := s.gateways[k.Body.ID]
		if g == nil {
			g = &gateway{}
			s.gateways[k.Body.ID] = g
		}
		g.load(held[lamppost.GatewayBody]{Key: k, epoch: k.Body.KeyEpoch, public: public})
		return nil
	})
	if err != nil {
		return err
	}
	return loadEach(s, 'K', func(b lamppost.RevokeBody) error {
		g := s.gateways[b.Gateway]
		if g == nil {
			return fmt.Errorf("a key of gateway %q is revoked, but the gateway is not there", b.Gateway)
		}
		g.revoke(b.KeyEpoch)
		return nil
	})
}
