//go:build !small

package comet

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"

	"github.com/lamppost/lamppost"
)

// leavePatience is how long one that left is still let in, to hear of it.
const leavePatience = time.Minute

// rosterKey is where comet's database of states has the members by name and key, those too who left.
var rosterKey = []byte("lamppost/members")

// A roster knows who the members are, and who was: evidence may still come against them. Any goroutine may ask.
type roster struct {
	db dbm.DB // nil: what is learnt is not kept

	mu    sync.Mutex
	known map[lamppost.MemberID]lamppost.Member // name and key of all there ever were
	now   map[lamppost.MemberID]bool
	left  map[lamppost.MemberID]time.Time // when this process saw them go
}

// openRoster reads who was known, and adds the founders and those there are.
func openRoster(db dbm.DB, founders, now []lamppost.Member) (*roster, error) {
	r := &roster{db: db, known: map[lamppost.MemberID]lamppost.Member{}, now: map[lamppost.MemberID]bool{}, left: map[lamppost.MemberID]time.Time{}}
	raw, err := db.Get(rosterKey)
	if err != nil {
		return nil, err
	}
	var known []lamppost.Member
	if raw != nil {
		if err := lamppost.Unmarshal(raw, &known); err != nil {
			return nil, fmt.Errorf("comet: who the members were: %w", err)
		}
	}
	if len(now) == 0 { // before the genesis
		now = founders
	}
	for _, m := range slices.Concat(known, founders, now) {
		if err := r.learn(m); err != nil {
			return nil, err
		}
	}
	for _, m := range now {
		r.now[m.ID] = true
	}
	return r, r.keep()
}

// learn is called with mu held, or by the only goroutine that knows r.
func (r *roster) learn(m lamppost.Member) error {
	was, ok := r.known[m.ID]
	switch {
	case len(m.Key) != ed25519.PubKeySize:
		return fmt.Errorf("comet: member %q: its key has %d bytes, not %d", m.ID, len(m.Key), ed25519.PubKeySize)
	case ok && !bytes.Equal(was.Key, m.Key):
		return fmt.Errorf("comet: member %q has another key than before", m.ID)
	}
	r.known[m.ID] = lamppost.Member{ID: m.ID, Key: bytes.Clone(m.Key)}
	return nil
}

func (r *roster) keep() error {
	return r.db.SetSync(rosterKey, lamppost.Marshal(r.all()))
}

// all are sorted by name. It is called as learn is.
func (r *roster) all() []lamppost.Member {
	return slices.SortedFunc(maps.Values(r.known), func(a, b lamppost.Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
}

// change makes these the members, and returns who came and who went, sorted by name.
func (r *roster) change(to []lamppost.Member) (came, went []lamppost.Member, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[lamppost.MemberID]bool{}
	for _, m := range to {
		if err := r.learn(m); err != nil {
			return nil, nil, err
		}
		now[m.ID] = true
	}
	for _, m := range r.all() {
		switch {
		case now[m.ID] && !r.now[m.ID]:
			came = append(came, m)
			delete(r.left, m.ID)
		case !now[m.ID] && r.now[m.ID]:
			went = append(went, m)
			r.left[m.ID] = time.Now()
		}
	}
	r.now = now
	return came, went, r.keep()
}

// everybody lists all there ever were, by name.
func (r *roster) everybody() []lamppost.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all()
}

// members lists those there are, by name.
func (r *roster) members() []lamppost.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(r.all(), func(m lamppost.Member) bool { return !r.now[m.ID] })
}

// seat says whether one is a member, and whether it is one or was.
func (r *roster) seat(id lamppost.MemberID) (is, was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, was = r.known[id]
	return r.now[id], was
}

// byAddress finds a member, or one that was, by a validator's address.
func (r *roster) byAddress(address []byte) (lamppost.MemberID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.known {
		if bytes.Equal(ed25519.PubKey(m.Key).Address(), address) {
			return m.ID, true
		}
	}
	return "", false
}

// admits says whether one may be connected: a member, or one that has just left.
func (r *roster) admits(id p2p.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.known {
		if nodeID(m.Key) == id {
			return r.now[m.ID] || time.Since(r.left[m.ID]) < leavePatience
		}
	}
	return false
}

func nodeID(key []byte) p2p.ID { return p2p.PubKeyToID(ed25519.PubKey(key)) }
