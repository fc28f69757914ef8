package node

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
)

// verdictState is what a verdict can be replayed from, or kv.ErrNotFound.
func (n *Node) verdictState(h lamppost.Hash) ([]byte, error) {
	state, err := judge.State(n.store, h)
	if errors.Is(err, judge.ErrNoState) {
		err = kv.ErrNotFound
	}
	return state, err
}
