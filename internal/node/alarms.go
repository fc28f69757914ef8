package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/notify"
)

// verdictState is what a verdict can be replayed from, or kv.ErrNotFound.
func (n *Node) verdictState(v *lamppost.Verdict) ([]byte, error) {
	if v.Kind == lamppost.Behaviour {
		return n.BehaviourBefore(v)
	}
	state, err := judge.State(n.store, v.State)
	if errors.Is(err, judge.ErrNoState) {
		err = kv.ErrNotFound
	}
	return state, err
}

// openNotifier goes on where it stopped; without webhooks and an MQTT door there is none.
func (n *Node) openNotifier() (err error) {
	if len(n.cfg.Notify.Webhooks) == 0 && n.cfg.MQTT == "off" {
		return nil
	}
	var show func(lamppost.DeviceID, []byte) error
	if n.cfg.MQTT != "off" {
		show = func(id lamppost.DeviceID, body []byte) error { return n.mqtt.SetAlarm(id, body) }
	}
	n.notifier, err = notify.New(notify.Options{Config: n.cfg.Notify, Show: show, Ledger: ledger.View{Reader: n.store}, Store: n.store, Network: n.cfg.Network, Member: n.cfg.Member,
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

// isAdmin reports whether a password is the administrator's token, in the same time whatever it is.
func (n *Node) isAdmin(password string) bool {
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(n.token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
