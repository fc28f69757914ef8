package comet

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
)

// Config says who this member is and who founded the network. Network, Founders, Founded and Start are the same on all members.
type Config struct {
	Member  lamppost.MemberID // this one
	Dir     string            // an existing folder for the engine's keys, blocks and log
	Key     []byte            // the Ed25519 private key of votes and connections, 64 bytes; nil: the folder's own, drawn at the first start
	Listen  string            // host:port for the other members' connections
	Network string            // at most 50 bytes

	// Founders are the validators that the network began with, by name and key. Who comes and goes later is learnt from the App.
	Founders []lamppost.Member
	// Address says where another member listens, as host:port, empty as long as nobody knows. It is asked with every connection, by
	// several goroutines.
	Address func(to lamppost.MemberID) string
	// Founded is the time of the first block: later than the App's last one, and not in the future.
	Founded lamppost.TimeMS
	// Start is the cursor at which every member's App stood when this engine was founded: 0, or that of the genesis, or of
	// the last block of another engine.
	Start lamppost.Cursor

	ProposeTimeout time.Duration // how long a block may take to arrive; 0: 1 s. Half a second more in every further round
	VoteTimeout    time.Duration // how long to wait for more votes when two thirds disagree; 0: 250 ms. Likewise
	Keep           time.Duration // how long blocks are kept for members that were away; 0: 12 h. Who was away longer begins with the others' state
	Now            func() lamppost.TimeMS
	Log            *slog.Logger // nil: slog.Default
}

// Defaults.
const (
	proposeTimeout = time.Second
	voteTimeout    = 250 * time.Millisecond
	keep           = 12 * time.Hour

	syncAfter = 15 * time.Second // away for so long, a member asks for all blocks that it lacks before it takes part
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
	case c.Dir == "" || c.Now == nil || c.Address == nil:
		return errors.New("comet: a folder, a clock and the members' addresses are needed")
	case c.Network == "" || len(c.Network) > maxNetworkBytes:
		return fmt.Errorf("comet: the network id %q must have 1 to %d bytes", c.Network, maxNetworkBytes)
	case c.Founded <= 0:
		return errors.New("comet: the time of the founding is missing")
	}
	return c.checkFounders()
}

func (c *Config) checkFounders() error {
	for i, m := range c.Founders {
		if len(m.Key) != 32 {
			return fmt.Errorf("comet: member %q: its key has %d bytes, not 32", m.ID, len(m.Key))
		}
		if slices.ContainsFunc(c.Founders[:i], func(o lamppost.Member) bool { return o.ID == m.ID || string(o.Key) == string(m.Key) }) {
			return fmt.Errorf("comet: member %q: its name or key is listed twice", m.ID)
		}
	}
	switch {
	case c.Member == "":
		return errors.New("comet: this member has no name")
	case len(c.Founders) == 0:
		return errors.New("comet: no member was there at the founding")
	case len(c.Founders) > maxMembers:
		return fmt.Errorf("comet: %d members are more than %d", len(c.Founders), maxMembers)
	}
	return nil
}
