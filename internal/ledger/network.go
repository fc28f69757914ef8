package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// Who the members are: the founding, and the changes that enough of them ordered.

type member struct{ key *sig.PublicKey }

// A changed is what differs from the founding.
type changed struct {
	Members []lamppost.Member   `cbor:"1,keyasint"`
	Rules   uint32              `cbor:"2,keyasint"`
	From    lamppost.Height     `cbor:"3,keyasint"`
	Before  uint32              `cbor:"4,keyasint"`
	Changed lamppost.Height     `cbor:"5,keyasint"`
	Former  []lamppost.MemberID `cbor:"6,keyasint"`

	// Where it turned.
	Engine lamppost.Engine `cbor:"7,keyasint,omitempty"`
	Trust  [][]string      `cbor:"8,keyasint,omitempty"`
	Reason string          `cbor:"9,keyasint,omitempty"`
}

func voteKey(change lamppost.Hash, by lamppost.MemberID) []byte {
	return append(append(key('v'), change[:]...), by...)
}

// rules is the version that the block being applied goes by; 0 before the founding.
func (s *State) rules() uint32 { return s.net.RulesAt(s.height) }

// genesis founds the network. Its signer must be one of the members it names, and it must be the first transaction.
func (s *State) genesis(tx *lamppost.Transaction) error {
	return body(&tx.Order, func(b lamppost.GenesisBody) error {
		if s.net.Network != "" || s.height != 1 || s.index != 0 {
			return lamppost.Refuse(lamppost.CodeBadTx, "a network is founded once, by its first transaction")
		}
		if b.Rules == 0 || b.Rules > s.newest {
			return lamppost.Refuse(lamppost.CodeBadTx, "rules version %d: this program knows versions 1 to %d", b.Rules, s.newest)
		}
		if err := lamppost.CheckName("network", b.Network); err != nil {
			return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
		}
		if b.Verify > lamppost.VerifyGateway {
			return lamppost.Refuse(lamppost.CodeBadTx, "policy of verification %d is not known to rules version %d", b.Verify, b.Rules)
		}
		members, err := s.membersOf(&b)
		if err != nil {
			return err
		}
		if m := members[tx.Signed.Key]; m == nil || !tx.Signed.Verify(b.Network, lamppost.PurposeTx, m.key) {
			return lamppost.Refuse(lamppost.CodeBadSignature, "a genesis is signed by one of its members")
		}
		s.net, s.members = lamppost.Network{GenesisBody: b, Changed: 1}, members
		s.put(genesisKey(), lamppost.Marshal(b))
		return nil
	})
}

// membersOf reads the members of a network that is founded or changed, or refuses them.
func (s *State) membersOf(b *lamppost.GenesisBody) (map[lamppost.MemberID]*member, error) {
	if err := checkText(append(slices.Concat(b.Trust...), b.Reason)...); err != nil {
		return nil, err
	}
	if err := errors.Join(lamppost.CheckMembers(b.Engine, b.Members), b.CheckTrust()); err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	members, err := parseMembers(b.Members)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	return members, nil
}

func parseMembers(list []lamppost.Member) (map[lamppost.MemberID]*member, error) {
	members := map[lamppost.MemberID]*member{}
	for _, m := range list {
		key, err := sig.ParsePublicKey(sig.EdDSA, m.Key)
		if err != nil {
			return nil, fmt.Errorf("key of member %q: %w", m.ID, err)
		}
		members[m.ID] = &member{key: key}
	}
	return members, nil
}

// changeNetwork counts a member's word for a change, and makes the change when enough have ordered it. The outcome's data are two
// bytes: how many have, and how many must.
func (s *State) changeNetwork(b lamppost.NetworkBody, signer lamppost.MemberID) ([]byte, error) {
	next, members, err := s.changedBy(&b)
	if err != nil {
		return nil, err
	}
	change := lamppost.Hash(sha256.Sum256(lamppost.Marshal(b)))
	if _, err := s.get(voteKey(change, signer)); err == nil {
		return nil, lamppost.Refuse(lamppost.CodeExists, "%q has ordered this change before; %d members must", signer, s.net.Engine.Consent(len(s.net.Members)))
	} else if !errors.Is(err, kv.ErrNotFound) {
		return nil, err
	}
	all, mine := [][]byte{}, key('v')
	have := 1
	err = s.scan(mine, end(mine), func(k, _ []byte) error {
		if lamppost.Hash(k[2:34]) == change {
			have++
		}
		all = append(all, slices.Clone(k))
		return nil
	})
	if err != nil {
		return nil, err
	}
	need := s.net.Engine.Consent(len(s.net.Members))
	if have < need {
		s.put(voteKey(change, signer), lamppost.Marshal(b))
		return []byte{byte(have), byte(need)}, nil
	}
	for _, k := range all { // whatever else was proposed does not follow from this any more
		s.del(k)
	}
	s.net, s.members = *next, members
	c := changed{Members: next.Members, Rules: next.Rules, From: next.From, Before: next.Before, Changed: next.Changed, Former: next.Former}
	founding, err := s.view().Founding()
	if err != nil {
		return nil, err
	}
	if next.Engine != founding.Engine {
		c.Engine, c.Trust, c.Reason = next.Engine, next.Trust, next.Reason
	}
	s.putBody(key('m'), c)
	return []byte{byte(have), byte(need)}, nil
}

// changedBy returns what the network is after a change, or refuses it.
func (s *State) changedBy(b *lamppost.NetworkBody) (*lamppost.Network, map[lamppost.MemberID]*member, error) {
	switch {
	case b.After != s.net.Changed:
		return nil, nil, lamppost.Refuse(lamppost.CodeExists, "the network was changed last by block %d, not %d: begin with what it is now", s.net.Changed, b.After)
	case s.height == s.net.Changed:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "the network was founded or changed in this very block")
	}
	next, err := s.net.Next(b, s.height)
	if err != nil {
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	for _, m := range b.Members {
		if s.members[m.ID] == nil && s.gateways[m.ID] != nil {
			return nil, nil, lamppost.Refuse(lamppost.CodeExists, "%q is a gateway", m.ID)
		}
	}
	members, err := s.membersOf(&next.GenesisBody)
	return next, members, err
}

// Founding returns the genesis, or kv.ErrNotFound.
func (v View) Founding() (b lamppost.GenesisBody, err error) {
	raw, err := v.Get(genesisKey())
	if err != nil {
		return b, err
	}
	return b, lamppost.Unmarshal(raw, &b)
}

// Network returns what the network is, or kv.ErrNotFound.
func (v View) Network() (lamppost.Network, error) {
	founding, err := v.Founding()
	n, c := lamppost.Network{GenesisBody: founding, Changed: 1}, changed{}
	if err != nil {
		return n, err
	}
	if c, err = read[changed](v, key('m')); errors.Is(err, kv.ErrNotFound) {
		return n, nil
	}
	n.Members, n.Rules, n.From, n.Before, n.Changed, n.Former = c.Members, c.Rules, c.From, c.Before, c.Changed, c.Former
	if c.Engine != lamppost.Solo {
		n.Engine, n.Trust, n.Reason = c.Engine, c.Trust, c.Reason
	}
	return n, err
}

// A Change is one that members have ordered, and too few as yet.
type Change struct {
	lamppost.NetworkBody
	By []lamppost.MemberID
}

// Changes lists what is proposed.
func (v View) Changes() (all []Change, err error) {
	from, last := key('v'), []byte(nil)
	err = v.Scan(from, end(from), func(k, val []byte) error {
		if !bytes.Equal(k[:34], last) {
			last = slices.Clone(k[:34])
			all = append(all, Change{})
			if err := lamppost.Unmarshal(val, &all[len(all)-1].NetworkBody); err != nil {
				return err
			}
		}
		all[len(all)-1].By = append(all[len(all)-1].By, lamppost.MemberID(k[34:]))
		return nil
	})
	return all, err
}
