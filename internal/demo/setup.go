package demo

import (
	"context"
	"errors"

	"github.com/lamppost/lamppost"
)

// order makes a transaction. An order expires by the node's clock, of which a fast one leaves little time, so one that
// came too late is made again; nothing came of it.
func (r *run) order(ctx context.Context, t lamppost.TxType, body any) ([]byte, error) {
	switch t {
	case lamppost.TxSettle, lamppost.TxInvoice, lamppost.TxCorrect: // as the API does with orders of money
		if err := r.judged(ctx); err != nil {
			return nil, err
		}
	}
	for {
		d, err := r.node.Order(ctx, t, body)
		if err == nil {
			err = d.Outcomes[0].Err()
		}
		var refused *lamppost.Refusal
		switch {
		case err == nil:
			return d.Outcomes[0].Data, nil
		case errors.As(err, &refused) && refused.Code == lamppost.CodeExpired:
		default:
			return nil, err
		}
	}
}

// setUp registers everybody and everything, in the order in which one needs the other.
func (r *run) setUp(ctx context.Context) error {
	d := r.w
	steps := []func() error{
		func() error { return registerAll(ctx, r, lamppost.TxParty, d.parties) },
		func() error {
			return each(ctx, len(d.machines), setUpers, r.play.open)
		},
		func() error { return registerAll(ctx, r, lamppost.TxPoint, d.points) },
		func() error { return registerAll(ctx, r, lamppost.TxTariff, d.tariffs) },
		func() error { return registerAll(ctx, r, lamppost.TxAgreement, d.agreements) },
		func() error { return registerAll(ctx, r, lamppost.TxAgent, d.agents) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func registerAll[B any](ctx context.Context, r *run, t lamppost.TxType, bodies []B) error {
	return each(ctx, len(bodies), setUpers, func(ctx context.Context, i int) error {
		_, err := r.order(ctx, t, bodies[i])
		return err
	})
}
