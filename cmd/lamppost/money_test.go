package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// soldDays is how long a past a crash test bills, a quarter hour to an invoice.
const soldDays = 300

// invoices orders the bill of one quarter hour after the other, again while nobody says what became of it, and notes the numbers that were
// confirmed.
func (c *crash) invoices(ctx context.Context) {
	to := lamppost.TimeMS(time.Now().UnixMilli()) / ledgertest.Day * ledgertest.Day
	from := to - soldDays*ledgertest.Day
	if !c.sell(ctx, from) {
		return
	}
	for at := from; ctx.Err() == nil && at < to; {
		var done struct{ Invoice *tariff.Invoice }
		ok, code := c.ask("POST", "/api/invoices", lamppost.InvoiceBody{Seller: "ann", Buyer: "ben", Currency: "EUR", From: at, To: at + ledgertest.Hour/4}, &done)
		switch {
		case ok:
			c.mu.Lock()
			c.billed[done.Invoice.Number] = true
			c.mu.Unlock()
			at += ledgertest.Hour / 4
		case strings.HasPrefix(code, "exists"): // by an order whose answer got lost
			at += ledgertest.Hour / 4
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sell registers what is sold, with a register value for each midnight, and reports whether it got to.
func (c *crash) sell(ctx context.Context, from lamppost.TimeMS) bool {
	order := func(path string, body any) {
		for ctx.Err() == nil {
			if ok, code := c.ask("POST", path, body, nil); ok || strings.HasPrefix(code, "exists") {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	order("/api/devices", map[string]string{"id": "till", "owner": "ann", "safety": "ordinary"})
	key, err := device.LoadOrCreateKey(c.t.TempDir(), sig.EdDSA)
	if err != nil {
		c.t.Error(err)
		return false
	}
	var added struct{ Token string }
	var who device.Enrolled
	for ctx.Err() == nil {
		if ok, _ := c.ask("POST", "/api/devices/till/token", nil, &added); ok {
			who, err = device.Enrol(ctx, device.Enrolment{URL: c.url(), Device: "till", Token: added.Token, Key: key, Dir: c.t.TempDir(), Client: c.client()})
			if err == nil {
				break
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	order("/api/points", lamppost.PointBody{ID: "till", Device: "till", Register: "energy", Unit: "Wh"})
	order("/api/tariffs", ledgertest.Tariff("flat", 1, "ann", from, 300_000))
	order("/api/agreements", lamppost.AgreementBody{ID: "till", Seller: "ann", Buyer: "ben", Point: "till", Tariff: "flat", From: from})
	r := lamppost.Report{Device: "till", KeyEpoch: who.KeyEpoch, Seq: lamppost.Seq{N: 1}, Flags: lamppost.FlagBilling}
	for day := range lamppost.TimeMS(soldDays + 1) {
		r.Readings = append(r.Readings, ledgertest.Energy(from+day*ledgertest.Day, int64(day)*24_000))
	}
	raw, err := lamppost.SignReport(&r, who.Network, key)
	if err != nil {
		c.t.Error(err)
		return false
	}
	door := device.NewHTTP(c.url(), "till", added.Token, c.client())
	for ctx.Err() == nil {
		if ack, err := door.Send(ctx, raw); err == nil && ack.Code.Accepted() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// A ledgerOfBills counts the invoices of a chain: their numbers have no gap and no double, and none bills a quarter hour again.
type ledgerOfBills struct {
	c     *crash
	found map[string]int
	until lamppost.TimeMS
}

func (l *ledgerOfBills) see(rec *archive.Record) {
	var inv tariff.Invoice
	if rec.Outcomes[0].Code != lamppost.CodeOK {
		return
	}
	if err := lamppost.Unmarshal(rec.Outcomes[0].Data, &inv); err != nil {
		l.c.t.Fatal(err)
	}
	if want := fmt.Sprintf("ann-%06d", len(l.found)+1); inv.Number != want {
		l.c.t.Errorf("invoice %s follows in the chain where %s is next", inv.Number, want)
	}
	if l.until != 0 && inv.From != l.until {
		l.c.t.Errorf("invoice %s begins at %d ms, the one before it ended at %d ms", inv.Number, inv.From, l.until)
	}
	l.found[inv.Number]++
	l.until = inv.To
}
