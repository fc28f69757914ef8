package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A biller orders the invoices of every day that is over. One goroutine uses it at a time: followDays while the week
// lasts, then the ending.
type biller struct {
	*run
	d        *district
	billed   int // days
	invoices []tariff.Invoice
}

// followDays bills each day as soon as the registers at its end are in the ledger, until ctx is done. An order that was
// begun is finished within life: whether it was ordered must be known.
func (b *biller) followDays(ctx, life context.Context) error {
	for b.billed < len(b.d.days) {
		// A UTC day's billing reports carry all edges of the local day that ends in it but for those in earlier ones.
		for _, at := range []lamppost.TimeMS{b.d.days[b.billed].From, b.d.days[b.billed].To} {
			if err := b.tally.untilBilled(ctx, at, b.d.reportsOn(at/utcDayMS*utcDayMS)); err != nil {
				return err
			}
		}
		if b.tally.lastTick() < b.d.days[b.billed].To {
			return nil // what was billed was only the begin of a day: the week has been ended early
		}
		if err := b.billDay(life); err != nil {
			return err
		}
	}
	return nil
}

// finish bills the other days that were lived to their end. All reports are acknowledged.
func (b *biller) finish(ctx context.Context, until lamppost.TimeMS) error {
	for b.billed < len(b.d.days) && b.d.days[b.billed].To <= until {
		if err := b.billDay(ctx); err != nil {
			return err
		}
	}
	return nil
}

// billDay orders one invoice for each pair of parties.
func (b *biller) billDay(ctx context.Context) error {
	day := b.d.days[b.billed]
	for _, p := range b.d.pairs {
		data, err := b.order(ctx, lamppost.TxInvoice, lamppost.InvoiceBody{Seller: p.seller, Buyer: p.buyer, Currency: currency,
			From: day.From, To: day.To})
		var inv tariff.Invoice
		if err == nil {
			err = lamppost.Unmarshal(data, &inv)
		}
		if err != nil {
			return fmt.Errorf("billing %s for %s: %w", p.buyer, b.d.week.local(day.From, "Mon 2 Jan"), err)
		}
		b.invoices = append(b.invoices, inv)
	}
	b.billed++
	return nil
}

// of returns the invoices of one buyer, oldest first.
func (b *biller) of(buyer lamppost.PartyID) []tariff.Invoice {
	var all []tariff.Invoice
	for i := range b.invoices {
		if b.invoices[i].Buyer == buyer {
			all = append(all, b.invoices[i])
		}
	}
	return all
}

// pay books that the first tenants paid all their invoices to the landlord's bank. The landlord's claim goes back to the
// tenant, whose account is then even.
func (b *biller) pay(ctx context.Context) error {
	for _, p := range b.d.pairs[len(b.d.pairs)-flats:][:payers] {
		var sum lamppost.Micro
		for _, inv := range b.of(p.buyer) {
			sum += inv.Total
		}
		if sum == 0 {
			continue
		}
		_, err := b.order(ctx, lamppost.TxTransfer, lamppost.TransferBody{From: p.seller, To: p.buyer, Currency: currency,
			Amount: sum, Memo: "paid by bank transfer"})
		if err != nil {
			return fmt.Errorf("booking what %s paid: %w", p.buyer, err)
		}
	}
	return nil
}

// A lampResult is a lamp as a profit centre, before tax.
type lampResult struct {
	id           lamppost.DeviceID
	sold, bought lamppost.Micro
}

// lampResults adds up what the invoices say of each lamp.
func (b *biller) lampResults() []lampResult {
	results := make([]lampResult, lamps)
	index := make(map[lamppost.DeviceID]*lampResult)
	for i := range results {
		results[i].id = b.d.machines[i].id
		index[results[i].id] = &results[i]
	}
	for i := range b.invoices {
		inv := &b.invoices[i]
		for j := range inv.Supplies {
			lamp := index[inv.Supplies[j].Device]
			for _, line := range inv.Supplies[j].Lines {
				switch lampOwner {
				case inv.Seller:
					lamp.sold += line.Amount
				case inv.Buyer:
					lamp.bought += line.Amount
				}
			}
		}
	}
	return results
}

// checkAccounts holds the invoices against the lamps' accounts in the ledger.
func (b *biller) checkAccounts(ctx context.Context, results []lampResult) error {
	accounts, err := b.web.accounts(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range results {
		if have, want := accounts[lamppost.PartyID(l.id)].Balance, l.sold-l.bought; have != want {
			errs = append(errs, fmt.Errorf("the account of %s holds %s %s, its invoices make %s", l.id, have, currency, want))
		}
	}
	return errors.Join(errs...)
}
