package ledger

import (
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/tariff"
)

// A Trial tells a program of bills that were made, as if its contract had been there: what it would have paid, without accounts that
// might not have covered it, and without other contracts of the same devices. Without parties anybody can be paid. It writes nothing. One goroutine uses it.
type Trial struct {
	body     lamppost.ContractBody
	program  *contract.Program
	standing standing
	centre   func(lamppost.PartyID, lamppost.DeviceID) lamppost.PartyID
	deals    map[string]lamppost.DeviceID
	heard    map[[2]string][]part // bills, by seller and number
}

// NewTrial checks a program. Its error is a [*contract.Failure], or the store's.
func (v View) NewTrial(b lamppost.ContractBody, rules uint32) (*Trial, error) {
	p, err := contract.Check(b.Source, contract.At(rules))
	if err != nil {
		return nil, err
	}
	devices, err := v.Devices()
	if err != nil {
		return nil, err
	}
	sessions, err := v.Sessions()
	deals := map[string]lamppost.DeviceID{}
	for i := range sessions {
		if x := &sessions[i]; x.For != "" {
			deals[x.ID] = x.For
		}
	}
	owners := map[lamppost.DeviceID]lamppost.PartyID{}
	for _, d := range devices {
		owners[d.ID] = d.Owner
	}
	slices.Sort(b.Devices)
	centre := func(p lamppost.PartyID, d lamppost.DeviceID) lamppost.PartyID {
		if owners[d] == p {
			return lamppost.PartyID(d)
		}
		return p
	}
	return &Trial{body: b, program: p, centre: centre, deals: deals, heard: map[[2]string][]part{}}, err
}

// Handles reports whether the program has a function for an event.
func (t *Trial) Handles(event string) bool { return t.program.Handles(event) }

// Bill runs the program for an invoice, or returns nil where it would not have heard of it. Invoices come in the order in which they were made.
func (t *Trial) Bill(inv *tariff.Invoice) *Run {
	about := func(p part) bool { return slices.Contains(t.body.Devices, p.Device) }
	parts := partsOf(inv, t.centre, t.deals)
	if inv.Currency != t.body.Currency || !slices.ContainsFunc(parts, about) && inv.Corrects == nil {
		return nil
	}
	now := billed{Parts: slices.DeleteFunc(parts, func(p part) bool { return !about(p) })}
	bill := contract.Bill{Number: inv.Number, Seller: inv.Seller, Buyer: inv.Buyer, From: inv.From, To: inv.To, Parts: now.told(1)}
	if inv.Corrects != nil {
		bill.Corrects = inv.Corrects.Number
		before, ok := t.heard[[2]string{string(inv.Seller), bill.Corrects}]
		if !ok {
			return nil
		}
		bill.Parts = append(bill.Parts, (&billed{Parts: before}).told(-1)...)
	}
	bill.Parts = contract.Fold(bill.Parts)
	a := attempt{Run: lamppost.Run{Contract: t.body.ID, Version: t.body.Version, Currency: t.body.Currency, Before: t.standing.State,
		Event: contract.Event{Name: contract.Split, Time: inv.Issued, Bill: &bill}}, body: t.body, standing: t.standing}
	if a.run(t.program); a.Failure == nil && len(t.body.Parties) > 0 {
		a.agreed(bring(bill.Parts))
	}
	if a.Failure == nil {
		t.standing = a.standing
		t.heard[[2]string{string(inv.Seller), inv.Number}] = now.Parts
	}
	return &Run{Run: a.Run}
}

// State is what the program keeps after all it was told of.
func (t *Trial) State() []byte { return t.standing.State }
