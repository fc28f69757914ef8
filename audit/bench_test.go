//go:build unix

package audit_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// flat is a customer with so many meters at a flat price, read twice, in segments of 33 reports.
func flat(t testing.TB, meters int) *home {
	h := &home{world: newWorld(t, "riverside", "north"), terms: homeTerms(t)}
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "stadtwerk", Name: "Stadtwerk Nord GmbH"})
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "anna", Name: "Anna Fischer"})
	h.terms.Standing, h.terms.Bands = 0, []tariff.Band{{Name: "flat", ToMin: 1440, Price: 301_900}}
	h.order(lamppost.TxTariff, h.terms)
	h.invoice = lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna", Currency: "EUR", From: ms(t, "2026-09-30T22:00:00Z"), To: ms(t, "2026-10-31T23:00:00Z")}
	var supplies []tariff.Supply
	for i := range meters {
		name := fmt.Sprintf("%03d", i)
		id := lamppost.DeviceID("1EMH00" + name)
		h.enrol(id, sig.EdDSA)
		point := lamppost.PointBody{ID: "P-" + name, Device: id, Register: energy, Unit: "Wh", Place: "Hafenstraße 3, flat " + name}
		h.order(lamppost.TxPoint, point)
		agreement := lamppost.AgreementBody{ID: "A-" + name, Seller: "stadtwerk", Buyer: "anna", Point: point.ID, Tariff: "home-2026", From: h.terms.From}
		h.order(lamppost.TxAgreement, agreement)
		supplies = append(supplies, tariff.Supply{Agreement: agreement, Device: id, Register: energy, Unit: "Wh", Place: point.Place, Tariff: h.terms})
	}
	for _, at := range []lamppost.TimeMS{h.invoice.From, h.invoice.To} {
		h.now = max(h.now, at)
		for some := range slices.Chunk(supplies, 33) {
			var reports [][]byte
			for i := range some {
				reports = append(reports, h.sign(some[i].Device, reading(at)))
			}
			h.segment(reports...)
		}
	}
	h.bill(h.invoice, "ST-000001", supplies, nil)
	return h
}

// A statement of 100 lines, each resting on two readings of its own meter.
func BenchmarkVerify(b *testing.B) {
	h := flat(b, 100)
	s, err := audit.NewStatement(h.all(), h.pin(1), "anna")
	must(b, err)
	data, pin := s.Encode(), h.pin(1)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	began := cpu(b)
	for b.Loop() {
		f, err := audit.Verify(data, pin)
		if err != nil || f.Lines != 100 || f.Readings != 200 {
			b.Fatalf("Verify = %+v, %v", f, err)
		}
	}
	b.ReportMetric(float64(cpu(b)-began)/1e6/float64(b.N), "cpu-ms/op")
}

// cpu is the time that this process has computed.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
