package api

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// A Trial asks what recorded use would have cost, in POST /api/tariffs/try. It gives a tariff's terms, names one, or names
// a seller whose tariffs are all tried.
type Trial struct {
	Tariff *tariff.Tariff   `json:"tariff,omitempty"` // need not be registered
	ID     string           `json:"tariff_id,omitempty"`
	Seller lamppost.PartyID `json:"seller,omitempty"`
	Point  string           `json:"point"`
	From   lamppost.TimeMS  `json:"from_ms"`
	To     lamppost.TimeMS  `json:"to_ms"`
}

// A TrialResult answers it. Of several tariffs the cheapest is the first.
type TrialResult struct {
	Point  string          `json:"point"`
	From   lamppost.TimeMS `json:"from_ms"`
	To     lamppost.TimeMS `json:"to_ms"`
	Billed *TriedBills     `json:"billed,omitempty"` // absent: bills do not cover all of the period and no more
	Tried  []TriedTariff   `json:"tried"`
}

// TriedBills are what was billed for the period.
type TriedBills struct {
	Currency string         `json:"currency"`
	Net      lamppost.Micro `json:"net"`
	Invoices []string       `json:"invoices"`
}

// A TriedTariff is what the use of the period comes to under it.
type TriedTariff struct {
	Tariff     string          `json:"tariff"`
	Version    uint32          `json:"version"`
	Currency   string          `json:"currency"`
	Terms      string          `json:"terms"` // in words
	Net        lamppost.Micro  `json:"net"`
	Estimated  bool            `json:"estimated"`            // some line is
	Difference *lamppost.Micro `json:"difference,omitempty"` // Net less what was billed; negative: cheaper
	Bills      []TriedSupply   `json:"bills"`
	Error      string          `json:"error,omitempty"` // why it prices nothing
}

// A TriedSupply is a meter's part of it in one billing period.
type TriedSupply struct {
	From   lamppost.TimeMS   `json:"from_ms"`
	To     lamppost.TimeMS   `json:"to_ms"`
	Mount  uint32            `json:"mount"`
	Device lamppost.DeviceID `json:"device"`
	Lines  []tariff.Line     `json:"lines"`
}

// postTrial prices recorded registers under other terms. It orders nothing.
func (s *Server) postTrial(w http.ResponseWriter, req *http.Request) error {
	var b Trial
	if err := readJSON(req, &b); err != nil {
		return err
	}
	if err := checkPeriod(b.From, b.To); err != nil {
		return err
	}
	var out TrialResult
	err := s.snapshot(func(r archive.View) error {
		t := trial{v: ledger.View{Reader: r}, out: TrialResult{Point: b.Point, From: b.From, To: b.To, Tried: []TriedTariff{}}}
		err := t.run(r, &b)
		out = t.out
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// A trial is the state of one.
type trial struct {
	v      ledger.View
	mounts []lamppost.PointBody
	cuts   []lamppost.TimeMS // where the period is cut into bills
	out    TrialResult
}

func (t *trial) run(r archive.View, b *Trial) (err error) {
	if t.mounts, err = pointOf(t.v, b.Point); err != nil {
		return err
	}
	tariffs, err := t.chosen(b)
	if err != nil {
		return err
	}
	if err := t.billed(r); err != nil {
		return err
	}
	for i := range tariffs {
		t.out.Tried = append(t.out.Tried, t.price(&tariffs[i]))
	}
	slices.SortStableFunc(t.out.Tried, func(a, b TriedTariff) int {
		switch {
		case (a.Error == "") != (b.Error == ""):
			return len(a.Error) - len(b.Error)
		case a.Net < b.Net:
			return -1
		case a.Net > b.Net:
			return 1
		}
		return 0
	})
	return nil
}

// chosen returns the terms to try: those given, or the latest version of those named.
func (t *trial) chosen(b *Trial) (some []tariff.Tariff, err error) {
	if b.Tariff != nil && b.ID == "" && b.Seller == "" {
		return []tariff.Tariff{*b.Tariff}, nil
	}
	if b.Tariff != nil || (b.ID == "") == (b.Seller == "") {
		return nil, badRequest(`say what to try: "tariff" with its terms, "tariff_id", or "seller" for all of a seller's tariffs, and one of them only`)
	}
	all, err := t.v.Tariffs()
	for i := range all {
		x := &all[i]
		if x.ID != b.ID && x.Seller != b.Seller || b.Seller != "" && x.RegisterUnit != t.mounts[0].Unit {
			continue
		}
		if n := len(some); n > 0 && some[n-1].ID == x.ID {
			some = some[:n-1]
		}
		some = append(some, *x)
	}
	if err == nil && len(some) == 0 {
		return nil, notFound("no tariff %q, or none of %q for registers in %q", clip(b.ID), clip(string(b.Seller)), t.mounts[0].Unit)
	}
	return some, err
}

// billed sums up what was billed at the point in the period, and cuts the period as these bills did.
func (t *trial) billed(r archive.View) error {
	o := &t.out
	t.cuts = []lamppost.TimeMS{o.From, o.To}
	sum := TriedBills{Invoices: []string{}}
	var covered lamppost.TimeMS
	err := eachInvoice(r, "", func(inv *tariff.Invoice, _ ledger.Place) bool {
		if inv.To <= o.From || inv.From >= o.To {
			return true
		}
		if next, err := t.v.Replaced(inv.Seller, inv.Number); err != nil || next != "" {
			return true
		}
		for i := range inv.Supplies {
			x := &inv.Supplies[i]
			if x.Point != o.Point || x.Session != "" || x.From < o.From || x.To > o.To {
				continue
			}
			if sum.Currency = inv.Currency; !slices.Contains(sum.Invoices, inv.Number) {
				sum.Invoices = append(sum.Invoices, inv.Number)
				t.cuts = append(t.cuts, max(inv.From, o.From), min(inv.To, o.To))
			}
			covered += x.To - x.From
			for j := range x.Lines {
				sum.Net += x.Lines[j].Amount
			}
		}
		return true
	})
	slices.Sort(t.cuts)
	t.cuts = slices.Compact(t.cuts)
	slices.Sort(sum.Invoices)
	if covered == o.To-o.From { // of one agreement: two at a time would cover more
		o.Billed = &sum
	}
	return err
}

// price prices the period under terms, bill by bill and meter by meter. When they begin and end to be offered does not count; when
// levies and prices by time do does.
func (t *trial) price(x *tariff.Tariff) TriedTariff {
	terms := *x
	terms.From = min(terms.From, t.out.From)
	if terms.To != 0 {
		terms.To = max(terms.To, t.out.To)
	}
	out := TriedTariff{Tariff: x.ID, Version: x.Version, Currency: x.Currency, Bills: []TriedSupply{}}
	if err := terms.Validate(); err != nil {
		out.Error = err.Error()
		return out
	}
	out.Terms = audit.Terms(x)
	if unit := t.mounts[0].Unit; terms.RegisterUnit != unit {
		out.Error = fmt.Sprintf("the meter counts in %q, the tariff in %q", unit, terms.RegisterUnit)
		return out
	}
	for i := 1; i < len(t.cuts); i++ {
		if err := t.bill(&out, &terms, t.cuts[i-1], t.cuts[i]); err != nil {
			return TriedTariff{Tariff: x.ID, Version: x.Version, Currency: x.Currency, Terms: out.Terms, Bills: []TriedSupply{}, Error: err.Error()}
		}
	}
	if b := t.out.Billed; b != nil && b.Currency == x.Currency {
		diff := out.Net - b.Net
		out.Difference = &diff
	}
	return out
}

func (t *trial) bill(out *TriedTariff, terms *tariff.Tariff, from, to lamppost.TimeMS) error {
	var meters [][]tariff.Edge
	var bills []TriedSupply
	for i := range t.mounts {
		lo, hi := during(t.mounts, i, from, to)
		if lo >= hi {
			continue
		}
		have, err := t.v.Registers(t.out.Point, uint32(i), lo, hi)
		if err != nil {
			return err
		}
		edges, err := tariff.FillEdges(terms.Edges(lo, hi), have, t.mounts[i].RollsAt)
		if err != nil {
			return fmt.Errorf("meter %q, register %q: %w", t.mounts[i].Device, t.mounts[i].Register, err)
		}
		meters, bills = append(meters, edges), append(bills, TriedSupply{lo, hi, uint32(i), t.mounts[i].Device, nil})
	}
	lines, err := tariff.PriceInTurn(terms, meters)
	if err != nil {
		return err
	}
	for i := range bills {
		bills[i].Lines = lines[i]
		if err := out.add(lines[i]); err != nil {
			return err
		}
	}
	out.Bills = append(out.Bills, bills...)
	return nil
}

func (out *TriedTariff) add(lines []tariff.Line) error {
	for i := range lines {
		sum, fits := out.Net.Add(lines[i].Amount)
		if !fits {
			return fmt.Errorf("the sum does not fit 63 bits")
		}
		out.Net, out.Estimated = sum, out.Estimated || lines[i].Estimated
	}
	return nil
}
