package tariff_test

import (
	"bytes"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// FuzzSession: readings of a session, far out of range and of a register that begins at 0 again or not, are refused or priced: by edges that are
// within them, to no more than the limit and no less than the minimum, and never with a panic.
func FuzzSession(f *testing.F) {
	f.Add(int64(60_000), int64(0), int64(900), int64(20), int64(20), int64(1000), int8(0), uint8(0), int64(5_000_000))
	f.Add(int64(900_001), int64(-1<<63), int64(1<<63-1), int64(0), int64(7), int64(1<<63-1), int8(-9), uint8(1), int64(1<<62))
	f.Add(int64(3_600_000), int64(9_990), int64(3), int64(9_999), int64(1), int64(10_000), int8(-1), uint8(9), int64(10_000))
	f.Fuzz(func(t *testing.T, gap, a, b, c, d, rolls int64, exp int8, bits uint8, limit int64) {
		p := flatTariff()
		p.Session = &tariff.SessionTerms{Start: 10_000, Minute: 10_000, Idle: 20_000, Grace: uint32(bits & 15), MaxMin: uint32(bits >> 4)}
		p.Levies = []tariff.Levy{{Name: "levy", Price: 7}}
		if bits&1 == 1 {
			p.Minimum = 1_000_000
		}
		var rollsAt *lamppost.Decimal
		if bits&2 == 2 {
			x := lamppost.Dec(rolls, exp)
			rollsAt = &x
		}
		first := at("2026-03-29T00:07Z")
		var have []tariff.Edge
		for i, v := range [...]int64{a, b, c, d} {
			e := exp
			if i%2 == 1 {
				e = 0
			}
			have = append(have, tariff.Edge{Time: first + lamppost.TimeMS(gap)*lamppost.TimeMS(i), Value: lamppost.Dec(v, e), Quality: lamppost.Quality(bits >> 6), Manual: bits>>i&1 == 1})
		}
		until := have[3].Time
		edges, err := tariff.SessionEdges(&p, have, first, until, rollsAt)
		if err != nil {
			return
		}
		for i := range edges {
			if edges[i].Time < first || edges[i].Time > until || i > 0 && edges[i].Time <= edges[i-1].Time {
				t.Fatalf("edge %d of %v is not within %d and %d, after the one before", i, edges, first, until)
			}
		}
		lines, err := tariff.PriceSession(&p, edges, lamppost.Micro(limit))
		if err != nil {
			return
		}
		var sum lamppost.Micro
		for _, l := range lines {
			sum += l.Amount
		}
		if sum > lamppost.Micro(limit) || sum < p.Minimum {
			t.Fatalf("%v come to %s, the limit is %s and the minimum %s", lines, sum, lamppost.Micro(limit), p.Minimum)
		}
	})
}

// FuzzInvoice: an invoice that decodes encodes to the same bytes, and loses nothing but its registers in a proof.
func FuzzInvoice(f *testing.F) {
	p := flatTariff()
	supply := tariff.Supply{Device: "m", Register: "energy", Unit: "Wh", Tariff: p,
		Session: &lamppost.SessionBody{ID: "s", Buyer: "bob", Point: "c", Tariff: p.ID, Version: 1, Limit: 1_000_000, From: p.From, Until: p.From + hourMS},
		Edges:   []tariff.Edge{{Time: p.From + 1}, {Time: p.From + 2, Value: lamppost.Dec(5, -1), Manual: true}}}
	order := tariff.InvoiceOrder{Number: "1", InvoiceBody: lamppost.InvoiceBody{Seller: p.Seller, Buyer: "bob", Currency: p.Currency, From: p.From, To: p.From + hourMS},
		Corrects: &tariff.Correction{Number: "0", Cause: lamppost.CauseLate, Tax: []tariff.TaxSum{{Category: "S", BasisPoints: 1900}}}}
	inv, err := tariff.Bill(order, []tariff.Supply{supply})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lamppost.Marshal(inv))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var inv tariff.Invoice
		if lamppost.Unmarshal(raw, &inv) != nil {
			return
		}
		if !bytes.Equal(lamppost.Marshal(inv), raw) {
			t.Fatal("decodes, but encodes to other bytes")
		}
		bare, err := tariff.WithoutEdges(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tariff.WithoutEdges(bare)
		if err != nil || !bytes.Equal(again, bare) {
			t.Fatalf("without its registers it is not what it is without them again (%v)", err)
		}
		_ = inv.Due()
		for i := range inv.Supplies {
			for j := range inv.Supplies[i].Lines {
				_ = inv.Supplies[i].Lines[j].Kind()
			}
		}
	})
}
