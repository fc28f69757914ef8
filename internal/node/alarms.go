package node

import (
	"context"
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/notify"
)

// verdictState is what a verdict can be replayed from, or kv.ErrNotFound.
func (n *Node) verdictState(h lamppost.Hash) ([]byte, error) {
	state, err := judge.State(n.store, h)
	if errors.Is(err, judge.ErrNoState) {
		err = kv.ErrNotFound
	}
	return state, err
}

// openNotifier goes on where it stopped; without webhooks there is none.
func (n *Node) openNotifier() (err error) {
	if len(n.cfg.Notify.Webhooks) == 0 {
		return nil
	}
	n.notifier, err = notify.New(notify.Options{Config: n.cfg.Notify, Ledger: ledger.View{Reader: n.store}, Store: n.store, Network: n.cfg.Network, Member: n.cfg.Member,
		Now: n.now, Register: n.live.IsRegister, Log: n.cfg.Log})
	return err
}

// tryNotify sends a test message to each webhook.
func (n *Node) tryNotify(ctx context.Context) []notify.Result {
	if n.notifier == nil {
		return []notify.Result{}
	}
	return n.notifier.Test(ctx)
}
