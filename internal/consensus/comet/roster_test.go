//go:build !small

package comet

import (
	"slices"
	"strings"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/crypto/ed25519"

	"github.com/lamppost/lamppost"
)

func seatOf(id string) lamppost.Member {
	return lamppost.Member{ID: lamppost.MemberID(id), Key: ed25519.GenPrivKeyFromSecret([]byte(id)).PubKey().Bytes()}
}

// One that left is known by name for ever, after a restart too, and let in for a minute; one that came is let in at once.
func TestRoster(t *testing.T) {
	t.Parallel()
	db := dbm.NewMemDB()
	a, b, c := seatOf("a"), seatOf("b"), seatOf("c")
	r, err := openRoster(db, []lamppost.Member{a, b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.admits(nodeID(c.Key)) {
		t.Error("a stranger is let in")
	}
	came, went, err := r.change([]lamppost.Member{a, c})
	if err != nil || !slices.Equal(ids(came), ids([]lamppost.Member{c})) || !slices.Equal(ids(went), ids([]lamppost.Member{b})) {
		t.Fatalf("came %v, went %v, %v", came, went, err)
	}
	if !r.admits(nodeID(c.Key)) || !r.admits(nodeID(b.Key)) {
		t.Error("who came, or has just left, is not let in")
	}
	r.left[b.ID] = r.left[b.ID].Add(-leavePatience - time.Second)
	if r.admits(nodeID(b.Key)) {
		t.Error("one that left is let in for ever")
	}
	if r, err = openRoster(db, []lamppost.Member{a, b}, []lamppost.Member{a, c}); err != nil {
		t.Fatal(err)
	}
	if id, ok := r.byAddress(ed25519.PubKey(b.Key).Address()); !ok || id != "b" {
		t.Errorf("one that left is known as %q, %v", id, ok)
	}
	if is, was := r.seat("b"); is || !was {
		t.Errorf("one that left is a member: %v, was one: %v", is, was)
	}
	thief := lamppost.Member{ID: "b", Key: c.Key}
	if _, _, err := r.change([]lamppost.Member{a, thief}); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a member with another key than before: %v", err)
	}
}
