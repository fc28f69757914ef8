package lamppost

import (
	"fmt"
	"slices"
	"strings"
)

// An Engine says how the members of a network agree on the order of transactions. It is part of the founding.
type Engine uint8

// Engines; the zero value is a network of one.
const (
	Solo  Engine = iota // one member orders
	Raft                // members believe each other; fewer than half may stop
	Comet               // fewer than a third may stop or lie
)

var engineNames = [...]string{"solo", "raft", "comet"}

// String returns the engine's name, as settings and the API have it.
func (e Engine) String() string {
	if int(e) < len(engineNames) {
		return engineNames[e]
	}
	return "unknown"
}

// ParseEngine reads the form that String writes.
func ParseEngine(s string) (Engine, error) {
	for i, name := range engineNames {
		if s == name {
			return Engine(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not an engine: %s", clip(s), strings.Join(engineNames[:], ", "))
}

// Quorum returns how many of n members must have signed the same checkpoint so that it is the network's: enough for one of them
// to be honest.
func (e Engine) Quorum(n int) int {
	if e == Comet {
		return (n-1)/3 + 1
	}
	return 1
}

// Consent returns how many of n members must order the same change of the network before it counts: as many as the engine needs
// to go on.
func (e Engine) Consent(n int) int {
	if e == Comet {
		return n - (n-1)/3
	}
	return n/2 + 1
}

// GenesisBody founds a network: its id, its rules and the members who order and sign. Height 1, index 0.
type GenesisBody struct {
	Network string   `cbor:"1,keyasint" json:"network"`
	Rules   uint32   `cbor:"2,keyasint" json:"rules"` // version of the rules of the ledger
	Members []Member `cbor:"3,keyasint" json:"members"`
	// AdmitUnsigned lets devices be enrolled whose reports nobody vouches for. Off: such an order is refused.
	AdmitUnsigned bool   `cbor:"4,keyasint,omitempty" json:"admit_unsigned,omitempty"`
	Verify        Policy `cbor:"5,keyasint,omitempty" json:"verify,omitempty"`
	Engine        Engine `cbor:"6,keyasint,omitempty" json:"engine,omitempty"`
	// Trust lists groups of organisations that trust each other. Reason says why members order by raft who do not.
	Trust  [][]string `cbor:"7,keyasint,omitempty" json:"trust,omitempty"`
	Reason string     `cbor:"8,keyasint,omitempty" json:"reason,omitempty"`
}

// A Member is an organisation's seat: its key signs transactions, segments and, as a signed note's key, checkpoints.
type Member struct {
	ID      MemberID `cbor:"1,keyasint" json:"id"`
	Key     []byte   `cbor:"2,keyasint" json:"key"`                         // Ed25519, 32 bytes
	Org     string   `cbor:"3,keyasint,omitempty" json:"org,omitempty"`     // whose it is
	Address string   `cbor:"4,keyasint,omitempty" json:"address,omitempty"` // host:port where the other members' engines find it
	URL     string   `cbor:"5,keyasint,omitempty" json:"url,omitempty"`     // its HTTP door, as the other members see it
}

// NetworkBody is what a network shall be from now on: who its members are and by which rules its ledger goes. It counts when as many
// members as [Engine.Consent] asks for have ordered the same. One member may come or go in a change.
type NetworkBody struct {
	After   Height   `cbor:"1,keyasint" json:"after"` // the block of the change before this one; 1: the founding
	Members []Member `cbor:"2,keyasint" json:"members"`
	Rules   uint32   `cbor:"3,keyasint" json:"rules"`
	From    Height   `cbor:"4,keyasint,omitempty" json:"from,omitempty"` // the block that Rules begin with, where they change

	// Engine, Trust and Reason are those of a founding, where a network of one, ordered by solo, turns to raft: 0 and nothing otherwise.
	Engine Engine     `cbor:"5,keyasint,omitempty" json:"engine,omitempty"`
	Trust  [][]string `cbor:"6,keyasint,omitempty" json:"trust,omitempty"`
	Reason string     `cbor:"7,keyasint,omitempty" json:"reason,omitempty"`
}

// Network is what a network is: its founding with all changes that counted.
type Network struct {
	GenesisBody
	Changed Height     // the block of the last change; 1: none
	From    Height     // the block that Rules begin with
	Before  uint32     // the rules until then
	Former  []MemberID // members that were: their ids are not given again
}

// RulesAt returns the version of the rules that a block goes by.
func (n *Network) RulesAt(h Height) uint32 {
	if h < n.From {
		return n.Before
	}
	return n.Rules
}

// Next returns what the network is after a change that enough members ordered in a block, or says why it cannot be made: it does not
// follow the last one, moves more than one member, gives a member another key or an id a second time, or skips rules.
func (n *Network) Next(b *NetworkBody, h Height) (*Network, error) {
	if b.After != n.Changed || h <= n.Changed {
		return nil, fmt.Errorf("a change of block %d cannot follow that of block %d, if the last was of block %d", h, b.After, n.Changed)
	}
	next := *n
	if err := next.turn(b); err != nil {
		return nil, err
	}
	if err := CheckMembers(next.Engine, b.Members); err != nil {
		return nil, err
	}
	next.Members, next.Changed, next.Former = b.Members, h, slices.Clone(n.Former)
	find := func(list []Member, id MemberID) int {
		return slices.IndexFunc(list, func(m Member) bool { return m.ID == id })
	}
	moved := 0
	for _, m := range n.Members {
		switch i := find(b.Members, m.ID); {
		case i < 0:
			moved++
			next.Former = append(next.Former, m.ID)
		case string(b.Members[i].Key) != string(m.Key):
			return nil, fmt.Errorf("member %q keeps its key: one that lost it comes back under another id", m.ID)
		}
	}
	for _, m := range b.Members {
		switch {
		case find(n.Members, m.ID) >= 0:
			continue
		case slices.Contains(n.Former, m.ID):
			return nil, fmt.Errorf("%q was a member before: it comes back under another id", m.ID)
		}
		moved++
	}
	if moved > 1 {
		return nil, fmt.Errorf("one member comes or goes in a change, not %d", moved)
	}
	switch {
	case b.Rules == n.Rules && b.From == 0:
		return &next, nil
	case b.Rules != n.Rules+1 || b.From <= h || n.From > h:
		return nil, fmt.Errorf("rules version %d from block %d: the next is %d, from a block to come, one at a time", b.Rules, b.From, n.Rules+1)
	}
	next.Before, next.Rules, next.From = n.Rules, b.Rules, b.From
	return &next, nil
}

// turn changes the engine, if that is what a change is for.
func (n *Network) turn(b *NetworkBody) error {
	switch {
	case b.Engine == Solo && len(b.Trust) == 0 && b.Reason == "":
		return nil
	case b.Engine == Solo:
		return fmt.Errorf("who trusts whom is said with the engine, and stays")
	case n.Engine != Solo || b.Engine != Raft:
		return fmt.Errorf("a network turns from solo to raft, and not from %s to %s", n.Engine, b.Engine)
	case len(b.Members) != 1 || b.Rules != n.Rules:
		return fmt.Errorf("a network that turns to raft changes nothing else: members come after it")
	case b.Members[0].Address == "":
		return fmt.Errorf("member %q has no address, where the others' engines would find it", b.Members[0].ID)
	}
	n.Engine, n.Trust, n.Reason = b.Engine, b.Trust, b.Reason
	return nil
}

// CheckTrust says what forbids these members to order by this engine: under raft a single member can make everybody's ledger
// say what it likes.
func (g *GenesisBody) CheckTrust() error {
	if g.Engine != Raft || g.Reason != "" {
		return nil
	}
	for i, a := range g.Members {
		for _, b := range g.Members[:i] {
			if a.Org != b.Org && !g.trusts(a.Org, b.Org) {
				return fmt.Errorf("%s (%s) and %s (%s) are not said to trust each other, and with raft each member believes what the leader sends: "+
					"order by comet, with at least four members, or say why it shall be raft all the same", b.ID, orNobody(b.Org), a.ID, orNobody(a.Org))
			}
		}
	}
	return nil
}

func (g *GenesisBody) trusts(a, b string) bool {
	return slices.ContainsFunc(g.Trust, func(group []string) bool { return slices.Contains(group, a) && slices.Contains(group, b) })
}

func orNobody(org string) string {
	if org == "" {
		return "no organisation"
	}
	return org
}

// CheckMembers refuses a list of members that cannot be a network's.
func CheckMembers(e Engine, list []Member) error {
	switch {
	case len(list) == 0:
		return fmt.Errorf("a network needs a member")
	case len(list) > MaxMembers:
		return fmt.Errorf("%d members are over the limit of %d", len(list), MaxMembers)
	case e > Comet:
		return fmt.Errorf("engine %d is not known", e)
	case e == Solo && len(list) > 1:
		return fmt.Errorf("%d members cannot order by solo, which is for one: by raft or comet", len(list))
	}
	for i, m := range list {
		if err := CheckName("member", string(m.ID)); err != nil {
			return err
		}
		for _, text := range [...]string{m.Org, m.Address, m.URL} {
			if len(text) > MaxTextBytes {
				return fmt.Errorf("member %q: %d bytes are over the limit of %d", m.ID, len(text), MaxTextBytes)
			}
		}
		if slices.ContainsFunc(list[:i], func(o Member) bool { return o.ID == m.ID || string(o.Key) == string(m.Key) }) {
			return fmt.Errorf("member %q stands twice, or has another's key", m.ID)
		}
	}
	return nil
}

// MembersAfter returns the members that a transaction with this outcome made, if it made any: a founding, or the order that
// brought a change enough consent.
func MembersAfter(tx *Transaction, o *Outcome) ([]Member, bool) {
	if o.Code != CodeOK {
		return nil, false
	}
	switch tx.Type {
	case TxGenesis:
		var b GenesisBody
		err := Unmarshal(tx.Order.Body, &b)
		return b.Members, err == nil
	case TxNetwork:
		var b NetworkBody
		err := Unmarshal(tx.Order.Body, &b)
		return b.Members, err == nil && Consented(o)
	}
	return nil, false
}

// Consented says whether the outcome of an order to change the network made the change: enough members had ordered it.
func Consented(o *Outcome) bool {
	return o.Code == CodeOK && len(o.Data) == 2 && o.Data[0] >= o.Data[1]
}
