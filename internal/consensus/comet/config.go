package comet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
)

// Config says who this member is and who the others are. Network, Members, Founded and Start are the same on all members.
type Config struct {
	Member  lamppost.MemberID // this one
	Dir     string            // an existing folder for the engine's keys, blocks and log
	Key     []byte            // the Ed25519 private key of votes and connections, 64 bytes; nil: the folder's own, drawn at the first start
	Listen  string            // host:port for the other members' connections
	Network string            // at most 50 bytes

	// Members are all there are and were: who left stays, so that evidence against them has a name.
	Members []Member
	// Founded is the time of the first block: later than the App's last one, and not in the future.
	Founded lamppost.TimeMS
	// Start is the cursor at which every member's App stood when this engine was founded: 0, or that of the genesis, or of
	// the last block of another engine.
	Start lamppost.Cursor

	ProposeTimeout time.Duration // how long a block may take to arrive; 0: 1 s. Half a second more in every further round
	VoteTimeout    time.Duration // how long to wait for more votes when two thirds disagree; 0: 250 ms. Likewise
	Keep           time.Duration // how long blocks are kept for members that were away; 0: 7 days
	Now            func() lamppost.TimeMS
	Log            *slog.Logger // nil: slog.Default
}

// A Member is a validator, or will be one.
type Member struct {
	ID      lamppost.MemberID
	Address string // host:port where it listens
	Key     []byte // the Ed25519 key of its votes and connections, as PublicKey returns it
	Joins   bool   // no validator at the founding: becomes one when the ledger takes it in
}

// Defaults.
const (
	proposeTimeout = time.Second
	voteTimeout    = 250 * time.Millisecond
	keep           = 7 * 24 * time.Hour
)

func (c *Config) complete() error {
	if c.ProposeTimeout == 0 {
		c.ProposeTimeout = proposeTimeout
	}
	if c.VoteTimeout == 0 {
		c.VoteTimeout = voteTimeout
	}
	if c.Keep == 0 {
		c.Keep = keep
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	switch {
	case c.Dir == "" || c.Now == nil:
		return errors.New("comet: a folder and a clock are needed")
	case c.Network == "" || len(c.Network) > maxNetworkBytes:
		return fmt.Errorf("comet: the network id %q must have 1 to %d bytes", c.Network, maxNetworkBytes)
	case c.Founded <= 0:
		return errors.New("comet: the time of the founding is missing")
	}
	return c.completeMembers()
}

func (c *Config) completeMembers() error {
	founders, ids, keys := 0, map[lamppost.MemberID]bool{}, map[string]bool{}
	for _, m := range c.Members {
		switch _, _, err := net.SplitHostPort(m.Address); {
		case len(m.Key) != 32:
			return fmt.Errorf("comet: member %q: its consensus key has %d bytes, not 32", m.ID, len(m.Key))
		case err != nil:
			return fmt.Errorf("comet: member %q: address: %w", m.ID, err)
		case ids[m.ID] || keys[string(m.Key)]:
			return fmt.Errorf("comet: member %q: its name or consensus key is listed twice", m.ID)
		}
		ids[m.ID], keys[string(m.Key)] = true, true
		if !m.Joins {
			founders++
		}
	}
	switch {
	case c.self() == nil:
		return fmt.Errorf("comet: member %q is not in the list of members", c.Member)
	case founders == 0:
		return errors.New("comet: no member was there at the founding")
	case len(c.Members) > maxMembers:
		return fmt.Errorf("comet: %d members are more than %d", len(c.Members), maxMembers)
	}
	return nil
}

func (c *Config) self() *Member { return c.member(c.Member) }

func (c *Config) member(id lamppost.MemberID) *Member {
	i := slices.IndexFunc(c.Members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Members[i]
}
