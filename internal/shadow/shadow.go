// Package shadow knows how two systems that bill the same month differ: it holds invoices against another system's, and names the
// cause of each difference.
//
// It promises that every invoice of both sides is counted once, alike, different or missing. It does not know who is right.
//
// Start reading at [Compare]; csv.go reads the other system's file.
package shadow

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
)

// An Invoice is one of ours.
type Invoice struct {
	Number   string           `json:"number"`
	Numbers  []string         `json:"numbers"` // with what it corrected
	Buyer    lamppost.PartyID `json:"buyer"`
	Currency string           `json:"currency"`
	From     lamppost.TimeMS  `json:"from_ms"`
	To       lamppost.TimeMS  `json:"to_ms"`
	Points   []Point          `json:"points"`
	Net      lamppost.Micro   `json:"net"`
	Tax      lamppost.Micro   `json:"tax"`
	Total    lamppost.Micro   `json:"total"`
}

// A Point is what one metering point has on an invoice.
type Point struct {
	Point    string           `json:"point"`
	Quantity lamppost.Decimal `json:"quantity"` // in the tariff's unit, such as kWh
	Net      lamppost.Micro   `json:"net"`
	Lines    int              `json:"lines"` // each is rounded once
}

// A Row is an invoice of the other system, or one point's part of it. What is nil is not said.
type Row struct {
	Line     int
	Number   string
	Party    lamppost.PartyID
	Point    string
	From, To lamppost.TimeMS
	Quantity *lamppost.Decimal
	Net      *lamppost.Micro
	Tax      *lamppost.Micro
	Total    *lamppost.Micro
}

// Causes of differences.
const (
	MissingHere  = "missing here"
	MissingThere = "missing there"
	Period       = "period"
	Quantity     = "quantity"
	Price        = "price"    // the same quantity costs another amount
	Tax          = "tax"      // another tax on the same net amount
	Rounding     = "rounding" // no more than a cent for each line or tax
	Sum          = "sum"      // the other system's total is not its net amount and tax
)

// A Difference is one between a row and an invoice.
type Difference struct {
	Cause  string           `json:"cause"`
	Line   int              `json:"line,omitempty"`
	Number string           `json:"number,omitempty"` // ours, or theirs where ours is missing
	Party  lamppost.PartyID `json:"party,omitempty"`
	Point  string           `json:"point,omitempty"`
	Here   string           `json:"here"`
	There  string           `json:"there"`
	Delta  lamppost.Micro   `json:"delta"` // of money: ours less theirs
}

// A Comparison is what came of it.
type Comparison struct {
	Alike       int                       `json:"alike"` // rows without a difference
	Here        int                       `json:"here"`  // invoices
	There       int                       `json:"there"` // rows
	Net         [2]lamppost.Micro         `json:"net"`   // ours, and what the rows say
	Total       [2]lamppost.Micro         `json:"total"`
	ByCause     map[string]int            `json:"by_cause"`
	DeltaBy     map[string]lamppost.Micro `json:"delta_by_cause"`
	Differences []Difference              `json:"differences"`
}

// cent is what one rounding can come to. Currencies without cents are rounded to more, and differ by price then.
const cent lamppost.Micro = 10_000

// A books is ours, by what rows may name.
type books struct {
	byNumber map[string]*Invoice
	byParty  map[lamppost.PartyID][]*Invoice
	told     map[*Invoice]bool
	out      *Comparison
}

// Compare holds rows against invoices.
func Compare(ours []Invoice, theirs []Row) *Comparison {
	b := &books{byNumber: map[string]*Invoice{}, byParty: map[lamppost.PartyID][]*Invoice{}, told: map[*Invoice]bool{},
		out: &Comparison{Here: len(ours), There: len(theirs), ByCause: map[string]int{}, DeltaBy: map[string]lamppost.Micro{}, Differences: []Difference{}}}
	for i := range ours {
		inv := &ours[i]
		for _, n := range inv.Numbers {
			b.byNumber[n] = inv
		}
		b.byParty[inv.Buyer] = append(b.byParty[inv.Buyer], inv)
		b.out.Net[0] += inv.Net
		b.out.Total[0] += inv.Total
	}
	for i := range theirs {
		b.row(&theirs[i])
	}
	for i := range ours {
		if inv := &ours[i]; !b.told[inv] {
			b.differ(Difference{Cause: MissingThere, Number: inv.Number, Party: inv.Buyer, Here: inv.Total.String(), Delta: inv.Total})
		}
	}
	slices.SortStableFunc(b.out.Differences, func(x, y Difference) int {
		return cmp.Or(cmp.Compare(x.Party, y.Party), cmp.Compare(x.Line, y.Line))
	})
	return b.out
}

func (b *books) differ(d Difference) {
	b.out.Differences = append(b.out.Differences, d)
	b.out.ByCause[d.Cause]++
	b.out.DeltaBy[d.Cause] += d.Delta
}

// row compares one row.
func (b *books) row(r *Row) {
	if r.Net != nil {
		b.out.Net[1] += *r.Net
	}
	if r.Total != nil {
		b.out.Total[1] += *r.Total
	}
	inv := b.find(r)
	if inv == nil {
		there := lamppost.Micro(0)
		if r.Total != nil {
			there = *r.Total
		} else if r.Net != nil {
			there = *r.Net
		}
		b.differ(Difference{Cause: MissingHere, Line: r.Line, Number: r.Number, Party: r.Party, Point: r.Point, There: there.String(), Delta: -there})
		return
	}
	b.told[inv] = true
	before := len(b.out.Differences)
	b.compare(inv, r)
	if len(b.out.Differences) == before {
		b.out.Alike++
	}
}

// find finds the invoice of a row: by number, or by party, point and the period that fits best.
func (b *books) find(r *Row) (best *Invoice) {
	if inv := b.byNumber[r.Number]; inv != nil {
		return inv
	}
	most := lamppost.TimeMS(0)
	for _, inv := range b.byParty[r.Party] {
		if r.Point != "" && !slices.ContainsFunc(inv.Points, func(p Point) bool { return p.Point == r.Point }) {
			continue
		}
		both := inv.To - inv.From
		if r.To > r.From {
			both = min(inv.To, r.To) - max(inv.From, r.From)
		}
		if both > most {
			best, most = inv, both
		}
	}
	return best
}

// compare tells how a row differs. Of what follows from each other only the cause is told: another quantity explains another amount.
func (b *books) compare(inv *Invoice, r *Row) {
	at := Difference{Line: r.Line, Number: inv.Number, Party: inv.Buyer, Point: r.Point}
	tell := func(cause, here, there string, delta lamppost.Micro) {
		d := at
		d.Cause, d.Here, d.There, d.Delta = cause, here, there, delta
		b.differ(d)
	}
	quantity, net, lines, all := inv.part(r.Point)
	dNet, dTax, dTotal := lamppost.Micro(0), lamppost.Micro(0), lamppost.Micro(0)
	if r.Net != nil {
		dNet = net - *r.Net
	}
	if r.Tax != nil && all {
		dTax = inv.Tax - *r.Tax
	}
	if r.Total != nil && all {
		dTotal = inv.Total - *r.Total
	}
	money := dTotal
	if money == 0 {
		money = dNet + dTax
	}
	switch {
	case r.To > r.From && (r.From != inv.From || r.To != inv.To):
		tell(Period, period(inv.From, inv.To), period(r.From, r.To), money)
	case r.Quantity != nil && quantity.Cmp(*r.Quantity) != 0:
		tell(Quantity, quantity.String(), r.Quantity.String(), money)
	case dNet != 0 && within(dNet, lines):
		tell(Rounding, net.String(), r.Net.String(), money)
	case dNet != 0:
		tell(Price, net.String(), r.Net.String(), money)
	case dTax != 0 && within(dTax, 1):
		tell(Rounding, inv.Tax.String(), r.Tax.String(), money)
	case dTax != 0:
		tell(Tax, inv.Tax.String(), r.Tax.String(), money)
	case dTotal != 0 && r.Net != nil && r.Tax != nil:
		tell(Sum, inv.Total.String(), r.Total.String(), dTotal)
	case dTotal != 0 && within(dTotal, lines+1):
		tell(Rounding, inv.Total.String(), r.Total.String(), dTotal)
	case dTotal != 0 && r.Net != nil:
		tell(Tax, inv.Total.String(), r.Total.String(), dTotal)
	case dTotal != 0:
		tell(Price, inv.Total.String(), r.Total.String(), dTotal)
	}
}

// part is what an invoice has for a point, or for all; all says whether that is the whole invoice, so that its tax can be compared.
func (inv *Invoice) part(point string) (quantity lamppost.Decimal, net lamppost.Micro, lines int, all bool) {
	all = true
	for _, p := range inv.Points {
		if point != "" && p.Point != point {
			all = false
			continue
		}
		if sum, ok := quantity.Add(p.Quantity); ok {
			quantity = sum
		}
		net, lines = net+p.Net, lines+p.Lines
	}
	return quantity, net, lines, all
}

func within(delta lamppost.Micro, roundings int) bool {
	return max(delta, -delta) <= cent*lamppost.Micro(roundings)
}
