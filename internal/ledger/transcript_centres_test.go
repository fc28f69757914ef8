package ledger_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// What the lines of a transcript order about profit centres and between devices.

// centre reads DEVICE VERSION FROM PARTY:PARTS,… [energy=POINT/TARIFF] [cost=KIND/AMOUNT/FROM/TO,…] [limit=AMOUNT/DAYS].
func (d *desk) centre(w words) lamppost.CentreBody {
	b := lamppost.CentreBody{Device: lamppost.DeviceID(w.arg(0)), Version: uint32(number(w.arg(1))), From: d.time(w.arg(2)), Currency: w.or("currency", "EUR")}
	for _, share := range strings.Split(w.arg(3), ",") {
		party, parts, _ := strings.Cut(share, ":")
		b.Shares = append(b.Shares, lamppost.Share{Party: lamppost.PartyID(party), Parts: uint32(number(parts))})
	}
	b.Point, b.Tariff, _ = strings.Cut(w.or("energy", ""), "/")
	for _, cost := range strings.Split(w.or("cost", ""), ",") {
		if x := strings.Split(cost, "/"); len(x) == 4 {
			kind := map[string]lamppost.CostKind{"service": 1, "depreciation": 2}[x[0]]
			b.Costs = append(b.Costs, lamppost.Cost{Kind: kind, Amount: money(x[1]), From: d.time(x[2]), To: d.time(x[3])})
		}
	}
	if limit, days, ok := strings.Cut(w.or("limit", ""), "/"); ok {
		b.Limit, b.LimitDays = money(limit), uint32(number(days))
	}
	return b
}

// offer reads ID DEVICE POINT TARIFF MOST LONGEST UNTIL [to=DEVICE] [version=N]; it is signed by the device, or key=NAME, unless "member"
// stands there.
func (d *desk) offer(w words) lamppost.OfferBody {
	b := lamppost.OfferBody{ID: w.arg(0), Device: lamppost.DeviceID(w.arg(1)), Point: w.arg(2), Tariff: w.arg(3), Version: uint32(number(w.or("version", "1"))),
		Most: money(w.arg(4)), Longest: d.time(w.arg(5)) - d.now, Until: d.time(w.arg(6)), To: lamppost.DeviceID(w.or("to", ""))}
	if w.has("member") {
		return b
	}
	key, epoch := d.word(w, w.arg(1))
	b.KeyEpoch = epoch
	must(b.Sign(w.or("word-net", d.net.ID), key))
	if w.has("changed") {
		b.Most++
	}
	return b
}

// accept reads OFFER SESSION DEVICE BUYER POINT TARIFF LIMIT FROM UNTIL [version=N] [key=NAME] [changed].
func (d *desk) accept(w words) lamppost.AcceptBody {
	b := lamppost.AcceptBody{Offer: w.arg(0), Device: lamppost.DeviceID(w.arg(2)), Session: lamppost.SessionBody{ID: w.arg(1), Buyer: lamppost.PartyID(w.arg(3)), Point: w.arg(4),
		Tariff: w.arg(5), Version: uint32(number(w.or("version", "1"))), Limit: money(w.arg(6)), From: d.time(w.arg(7)), Until: d.time(w.arg(8))}}
	key, epoch := d.word(w, w.arg(2))
	b.KeyEpoch = epoch
	must(b.Sign(w.or("word-net", d.net.ID), key))
	if w.has("changed") {
		b.Session.Limit--
	}
	return b
}

// word is the key with which a device gives its word.
func (d *desk) word(w words, device string) (*sig.PrivateKey, uint32) {
	epoch := uint32(1)
	key := ledgertest.Key("net/"+device, sig.EdDSA)
	if dev := d.devices[device]; dev != nil {
		key, epoch = dev.Key, dev.Epoch
	}
	if name, ok := w.opts["key"]; ok {
		key = ledgertest.Key(name, sig.EdDSA)
	}
	return key, uint32(number(w.or("keyepoch", fmt.Sprint(epoch))))
}

func sayProfit(o lamppost.Outcome) string {
	var p tariff.Profit
	must(lamppost.Unmarshal(o.Data, &p))
	booked := func(all []tariff.Booked) string {
		s := ""
		for _, b := range all {
			s += " " + b.Number + " " + b.Net.String()
		}
		return s
	}
	s := fmt.Sprintf("ok: income%s, bought%s, energy %s, service %s, depreciation %s, profit %s, before %s, paid", booked(p.Income), booked(p.Bought), p.EnergyCost, p.Service, p.Depreciation,
		p.Profit, p.Before)
	for _, x := range p.Paid {
		s += fmt.Sprintf(" %s %s", x.Party, x.Amount)
	}
	return s + fmt.Sprintf(", after %s", p.After)
}

func (d *desk) showSpending(v ledger.View, id string) string {
	x, err := v.Spending(lamppost.DeviceID(id), d.now)
	if x == nil || errors.Is(err, kv.ErrNotFound) {
		return id + " may spend nothing"
	}
	return strings.TrimSuffix(fmt.Sprintf("%s may spend %s, has spent %s and holds %s, decided on %s", id, x.Limit, x.Spent, x.Held, x.Decided), fmt.Sprintf(", decided on %s", lamppost.Micro(0)))
}
