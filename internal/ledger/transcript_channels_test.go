package ledger_test

import (
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// vouching makes the orders about vouchers:
//
//	channel ID PAYER PAYEE TARIFF MOST UNTIL [version=N] [from=TIME] [key=NAME|short]
//	cash [VOUCHER …] [close=ID,…] [reason=TEXT]        contradict [VOUCHER …] [lift=PARTY] [reason=TEXT]
//
// A VOUCHER is CHANNEL/N/AMOUNT[/PAYEE[/UNTIL[/KEY]]], or "junk".
func (d *desk) vouching(w words) (lamppost.TxType, any) {
	var vouchers [][]byte
	if w.verb == "cash" || w.verb == "contradict" {
		for _, spec := range w.args {
			vouchers = append(vouchers, d.voucher(spec))
		}
	}
	reason := strings.ReplaceAll(w.or("reason", ""), "_", " ")
	switch w.verb {
	case "channel":
		b := lamppost.ChannelBody{ID: w.arg(0), Payer: lamppost.PartyID(w.arg(1)), Payee: lamppost.PartyID(w.arg(2)), Tariff: w.arg(3), Version: uint32(number(w.or("version", "1"))),
			Most: money(w.arg(4)), From: d.time(w.or("from", "-0s")), Until: d.time(w.arg(5)), Key: ledgertest.Key(w.or("key", w.arg(0)), sig.EdDSA).Public().Bytes()}
		if w.or("key", "") == "short" {
			b.Key = b.Key[:31]
		}
		return lamppost.TxChannel, b
	case "cash":
		b := lamppost.CashBody{Vouchers: vouchers, Reason: reason}
		if list := w.or("close", ""); list != "" {
			b.Close = strings.Split(list, ",")
		}
		return lamppost.TxCash, b
	case "contradict":
		return lamppost.TxContradict, lamppost.ContradictBody{Vouchers: vouchers, Lift: lamppost.PartyID(w.or("lift", "")), Reason: reason}
	}
	return d.forgetting(w)
}

func (d *desk) voucher(spec string) []byte {
	if spec == "junk" {
		return []byte("junk")
	}
	p := append(strings.Split(spec, "/"), "", "", "")
	v := lamppost.Voucher{Channel: p[0], N: uint64(number(p[1])), Amount: money(p[2]), Payee: "nobody", Until: d.now}
	if c, err := (ledger.View{Reader: d.store}).Channel(p[0]); err == nil {
		v.Payee, v.Until = c.Payee, c.Until
	}
	if p[3] != "" {
		v.Payee = lamppost.PartyID(p[3])
	}
	if p[4] != "" {
		v.Until = d.time(p[4])
	}
	key := p[0]
	if p[5] != "" {
		key = p[5]
	}
	raw, err := v.Sign("net", ledgertest.Key(key, sig.EdDSA))
	must(err)
	return raw
}

func sayCashed(o lamppost.Outcome) string {
	s := "ok:"
	for _, c := range decoded[[]lamppost.Cashed](o.Data) {
		s += fmt.Sprintf(" %s/%d %s (+%s)", c.Channel, c.N, c.Amount, c.More)
		if c.Closed {
			s += fmt.Sprintf(" closed, %s free", c.Freed)
		}
		s += ","
	}
	return strings.TrimSuffix(s, ",")
}

func showChannels(v ledger.View) (out []string) {
	channels, err := v.Channels()
	must(err)
	for i := range channels {
		c := &channels[i]
		out = append(out, fmt.Sprintf("%s of %s to %s: %s, %s cashed, %s held, invoice %q", c.ID, c.Payer, c.Payee, c.State(), c.Cashed, c.Held, c.Invoice))
	}
	bars, err := v.Contradictions()
	must(err)
	for _, b := range bars {
		_, why, err := v.Contradict("net", b.Vouchers)
		must(err)
		out = append(out, fmt.Sprintf("%s contradicts itself on %s: %s", b.Payer, b.Channel, why))
	}
	return out
}
