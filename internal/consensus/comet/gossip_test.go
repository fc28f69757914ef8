//go:build !small

package comet

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// Another member is told of every proposal once, in order, and of none that was answered; one that connects anew, and one whose pool may
// have been full, are told again.
func TestTold(t *testing.T) {
	t.Parallel()
	s := newProposals(&Config{Now: func() lamppost.TimeMS { return 1 }}, nil, consensus.Last{})
	var all []*proposal
	for i := range byte(3) {
		p, _, err := s.enter(lamppost.TxID{i}, []byte{i})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	hears := func(after uint64, want ...byte) uint64 {
		t.Helper()
		for _, w := range want {
			raw, number, _ := s.next(after)
			if len(raw) == 0 || raw[0] != w {
				t.Fatalf("after %d comes %x, want that of proposal %d", after, raw, w)
			}
			after = number
		}
		if raw, _, _ := s.next(after); raw != nil {
			t.Fatalf("after %d comes %x, want nothing", after, raw)
		}
		return after
	}
	hears(0)
	_, _, more := s.next(0)
	for _, i := range []byte{2, 0, 1} {
		s.tellNow(all[i])
	}
	select {
	case <-more:
	default:
		t.Error("who waited for something to tell is not woken")
	}
	told := hears(0, 2, 0, 1)
	s.answer(all[0], consensus.Decision{}, nil)
	s.tellNow(all[0])
	hears(told)
	hears(0, 2, 1)
	if s.toldBefore(all[2], time.Now().Add(-time.Minute)) {
		t.Error("a minute ago proposal 2 was told already")
	}
	s.tellNow(all[2])
	hears(told, 2)
}
