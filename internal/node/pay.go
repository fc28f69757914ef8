package node

import (
	"context"
	"fmt"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// Pay says what strangers may read for vouchers (HTTP 402): docs/vouchers.md.
type Pay struct {
	Payee  lamppost.PartyID  `yaml:"payee"`
	Tariff string            `yaml:"tariff"`
	Prices map[string]string `yaml:"prices"` // of a request, before tax, by route
}

// cashEvery is how often the node cashes what it was paid with on channels that have ended: a payee has three days.
const cashEvery = 10 * time.Minute

// offer reads the setting; nil where nothing is for sale.
func (p *Pay) offer() (*api.Pay, error) {
	if p.Payee == "" && p.Tariff == "" && len(p.Prices) == 0 {
		return nil, nil
	}
	out := &api.Pay{Payee: p.Payee, Tariff: p.Tariff, Prices: map[string]lamppost.Micro{}}
	for route, text := range p.Prices {
		price, err := lamppost.ParseMicro(text)
		if err != nil {
			return nil, fmt.Errorf("pay: route %q: %w", route, err)
		}
		out.Prices[route] = price
	}
	if err := out.Check(); err != nil {
		return nil, fmt.Errorf("pay: %w", err)
	}
	return out, nil
}

// cashEnded cashes now and then what the node was paid with. What cannot be cashed now is tried again.
func (n *Node) cashEnded(ctx context.Context) error {
	tick := time.NewTicker(cashEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch cashed, err := n.server.CashEnded(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			n.cfg.Log.Warn("cashing vouchers; they are kept, and tried again", "err", err)
		case cashed > 0:
			n.cfg.Log.Info("vouchers cashed", "channels", cashed)
		}
	}
}
