package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// What devices agreed on with each other ends without a person: a session that is over is settled, and billed with the next quarter hour.
// The members of a cluster take turns; a refused order stands in the log, too, so nothing is ordered that cannot be accepted.

const (
	dealsEvery  = time.Second // between looks at what is open
	dealTimeout = 30 * time.Second
	// giveUpMS is how long after its end a session waits for its readings. Then it comes to nothing, so that the money is not held for ever.
	giveUpMS = 7 * 24 * 3600 * 1000
	turnMS   = 10_000      // that a member waits for the one before it
	againMS  = 3600 * 1000 // after which a refused order is tried again
)

func (n *Node) settleDeals(ctx context.Context) error {
	tick := time.NewTicker(dealsEvery)
	defer tick.Stop()
	x := dealer{n: n, refused: map[string]lamppost.TimeMS{}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := x.look(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("what devices agreed on cannot be looked at", "err", err)
		}
	}
}

// A dealer ends what devices agreed on.
type dealer struct {
	n       *Node
	refused map[string]lamppost.TimeMS // by session, or by seller, buyer and currency: when
}

func (x *dealer) look(ctx context.Context) error {
	snap, err := x.n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	v := ledger.View{Reader: snap}
	deals, err := v.Deals()
	if err != nil || len(deals) == 0 {
		return err
	}
	now := x.n.now()
	maps.DeleteFunc(x.refused, func(_ string, at lamppost.TimeMS) bool { return at+againMS < now })
	turn, err := x.turn(v)
	if err != nil {
		return err
	}
	for i := range deals {
		if deals[i].Stop == 0 && deals[i].Until+turn < now {
			if err := x.settle(ctx, v, &deals[i]); err != nil {
				return err
			}
		}
	}
	return x.bill(ctx, v, deals, (now-turn)/lamppost.EdgeMS*lamppost.EdgeMS)
}

// turn is how long this member waits for those before it.
func (x *dealer) turn(v ledger.View) (lamppost.TimeMS, error) {
	net, err := v.Network()
	i := slices.IndexFunc(net.Members, func(m lamppost.Member) bool { return m.ID == x.n.cfg.Member })
	return lamppost.TimeMS(max(i, 0)) * turnMS, err
}

// settle ends a session that is over, if its readings are in.
func (x *dealer) settle(ctx context.Context, v ledger.View, s *ledger.Session) error {
	b := lamppost.SettleBody{Session: s.ID, Stop: s.Until}
	var refusal *lamppost.Refusal
	switch err := v.Ready(s.ID, s.Until); {
	case errors.As(err, &refusal) && x.n.now() > s.Until+giveUpMS:
		b.Void = "its readings did not come"
	case errors.As(err, &refusal):
		return nil
	case err != nil:
		return err
	}
	x.order(ctx, "session "+s.ID, lamppost.TxSettle, b)
	return nil
}

// bill bills up to a time what is settled. Who has an agreement with the seller as well gets one bill for all, when that is ordered.
func (x *dealer) bill(ctx context.Context, v ledger.View, deals []ledger.Session, to lamppost.TimeMS) error {
	bills := map[lamppost.InvoiceBody]lamppost.TimeMS{} // by parties and currency: when the first session began
	for i := range deals {
		s := &deals[i]
		if s.Stop == 0 || s.Stop > to {
			continue
		}
		t, err := v.Tariff(s.Tariff, s.Version)
		if err != nil {
			return err
		}
		b := lamppost.InvoiceBody{Seller: s.Seller, Buyer: s.Buyer, Currency: t.Currency}
		if from, ok := bills[b]; !ok || s.From < from {
			bills[b] = s.From
		}
	}
	if len(bills) == 0 {
		return nil
	}
	agreements, err := v.Agreements()
	if err != nil {
		return err
	}
	for b, from := range bills {
		agreed := func(a lamppost.AgreementBody) bool { return a.Seller == b.Seller && a.Buyer == b.Buyer }
		if b.From, b.To = from/lamppost.EdgeMS*lamppost.EdgeMS, to; b.From < to && !slices.ContainsFunc(agreements, agreed) {
			x.order(ctx, "bill of "+string(b.Seller)+" to "+string(b.Buyer)+" in "+b.Currency, lamppost.TxInvoice, b)
		}
	}
	return nil
}

// order orders something, unless it was refused a short while ago.
func (x *dealer) order(ctx context.Context, what string, t lamppost.TxType, body any) {
	if _, lately := x.refused[what]; lately {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dealTimeout)
	defer cancel()
	_, err := x.n.orderJudged(ctx, t, body)
	var refusal *lamppost.Refusal
	if !errors.As(err, &refusal) {
		return // done, or not decided: it is tried again
	}
	x.refused[what] = x.n.now()
	x.n.cfg.Log.Warn("what two devices agreed on cannot be ended", "what", what, "why", refusal)
}
