package node

import (
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

const (
	clockAge = time.Minute      // how long what another member's clock said is counted on from
	clockOff = 10 * time.Second // from which a clock is said to be wrong
)

// clocks are what the other members' clocks said.
type clocks struct {
	mu    sync.Mutex
	heard map[lamppost.MemberID]reading
	wrong bool // of this machine's, was told
}

// A reading is what a clock said, and when by one that nobody sets.
type reading struct {
	said lamppost.TimeMS
	at   time.Time
}

// hear notes what another member's clock says now.
func (c *clocks) hear(id lamppost.MemberID, said lamppost.TimeMS) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard == nil {
		c.heard = map[lamppost.MemberID]reading{}
	}
	c.heard[id] = reading{said, time.Now()}
}

// middle is the middle one of this clock and those that were heard within the last minute, of an even number the earlier of the two.
func (c *clocks) middle(own lamppost.TimeMS, now time.Time) lamppost.TimeMS {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []lamppost.TimeMS{own}
	for id, r := range c.heard {
		if age := now.Sub(r.at); age < clockAge {
			all = append(all, r.said+lamppost.TimeMS(age.Milliseconds()))
		} else {
			delete(c.heard, id)
		}
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// clock is what blocks and orders are made by. A member whose own is wrong must not make the ledger's time: what is in a block stays, and
// if it were hours ahead, everybody's orders would have expired until the time has come.
func (n *Node) clock() lamppost.TimeMS { return n.clocks.middle(n.now(), time.Now()) }

// tellClock says when this machine's clock differs from most others', and when it does no more.
func (n *Node) tellClock() {
	off := time.Duration(n.now()-n.clock()) * time.Millisecond
	n.clocks.mu.Lock()
	defer n.clocks.mu.Unlock()
	if wrong := off.Abs() > clockOff; wrong != n.clocks.wrong {
		n.clocks.wrong = wrong
		n.cfg.Log.Warn("this machine's clock differs from most members': the blocks go by theirs", "by", off, "wrong", wrong)
	}
}
