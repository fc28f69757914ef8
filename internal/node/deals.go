package node

import (
	"context"
	"errors"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ledger"
)

// What devices agreed on with each other ends without a person: a session that is over is settled, and billed with the next quarter hour.
// Every member of a cluster tries; the first one's order counts, and the others' are refused.

const (
	dealsEvery  = time.Second // between looks at what is open
	dealTimeout = 30 * time.Second
	// giveUpMS is how long after its end a session waits for its readings. Then it comes to nothing, so that the money is not held for ever.
	giveUpMS = 7 * 24 * 3600 * 1000
)

func (n *Node) settleDeals(ctx context.Context) error {
	tick := time.NewTicker(dealsEvery)
	defer tick.Stop()
	seen := map[string]string{} // by session: the refusal that is logged already
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := n.endDeals(ctx, seen); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("what devices agreed on cannot be looked at", "err", err)
		}
	}
}

func (n *Node) endDeals(ctx context.Context, seen map[string]string) error {
	snap, err := n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	v := ledger.View{Reader: snap}
	deals, err := v.Deals()
	if err != nil {
		return err
	}
	now, open := n.now(), map[string]string{}
	bills := map[lamppost.InvoiceBody]lamppost.TimeMS{} // by parties and currency: when the first began
	for i := range deals {
		x := &deals[i]
		open[x.ID] = seen[x.ID]
		if x.Stop == 0 {
			n.endDeal(ctx, x, open)
			continue
		}
		t, err := v.Tariff(x.Tariff, x.Version)
		if err != nil {
			return err
		}
		b := lamppost.InvoiceBody{Seller: x.Seller, Buyer: x.Buyer, Currency: t.Currency}
		if from, ok := bills[b]; x.Stop <= now/lamppost.EdgeMS*lamppost.EdgeMS && (!ok || x.From < from) {
			bills[b] = x.From
		}
	}
	clear(seen)
	for id, why := range open {
		seen[id] = why
	}
	return n.billDeals(ctx, v, bills, now/lamppost.EdgeMS*lamppost.EdgeMS)
}

// endDeal settles a session that is over.
func (n *Node) endDeal(ctx context.Context, x *ledger.Session, seen map[string]string) {
	if n.now() <= x.Until {
		return
	}
	b := lamppost.SettleBody{Session: x.ID, Stop: x.Until}
	if n.now() > x.Until+giveUpMS {
		b.Void = "its readings did not come"
	}
	err := n.orderDeal(ctx, lamppost.TxSettle, b)
	if why := refusalOf(err); why != "" && seen[x.ID] != why {
		seen[x.ID] = why
		n.cfg.Log.Info("a session of two devices is over and not settled", "session", x.ID, "why", why)
	}
}

// refusalOf is why an order was refused, or could not be made; empty where somebody else is to make it.
func refusalOf(err error) string {
	var elsewhere *consensus.NotLeaderError
	if err == nil || errors.As(err, &elsewhere) || errors.Is(err, context.Canceled) {
		return ""
	}
	return err.Error()
}

func (n *Node) orderDeal(ctx context.Context, t lamppost.TxType, body any) error {
	ctx, cancel := context.WithTimeout(ctx, dealTimeout)
	defer cancel()
	_, err := n.Order(ctx, t, body)
	return err
}

// billDeals bills up to a time what is settled. Who has an agreement with the seller as well gets one bill for all, when that is ordered.
func (n *Node) billDeals(ctx context.Context, v ledger.View, bills map[lamppost.InvoiceBody]lamppost.TimeMS, to lamppost.TimeMS) error {
	if len(bills) == 0 {
		return nil
	}
	agreements, err := v.Agreements()
	if err != nil {
		return err
	}
	for i := range agreements {
		for b := range bills {
			if b.Seller == agreements[i].Seller && b.Buyer == agreements[i].Buyer {
				delete(bills, b)
			}
		}
	}
	for b, from := range bills {
		if b.From, b.To = from/lamppost.EdgeMS*lamppost.EdgeMS, to; b.From >= to {
			continue
		}
		err := n.orderDeal(ctx, lamppost.TxInvoice, b)
		var refusal *lamppost.Refusal
		if why := refusalOf(err); why != "" && !(errors.As(err, &refusal) && refusal.Code == lamppost.CodeNotReady) { // another member was first
			n.cfg.Log.Warn("a session of two devices cannot be billed", "seller", b.Seller, "buyer", b.Buyer, "why", why)
		}
	}
	return nil
}
