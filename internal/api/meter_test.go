package api_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// The whole way of a meter's own signature through the API: its key comes with a token, the device's next key is enrolled with it,
// what the meter contradicts is refused, and the statement that comes out says meter-signed and holds offline.
func TestMeterSigned(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	meter := ledgertest.NewMeter("4711")
	h.refused(400, "bad_transaction", "POST", "/api/devices/meter/token", `{"meter_key":"3059"}`)
	h.refused(400, "bad_transaction", "POST", "/api/devices", `{"id":"d","owner":"landlord","meter_key":"?"}`)
	h.ok(201, "POST", "/api/devices/meter/token", api.NewToken{MeterKey: hex.EncodeToString(meter.Key())}, nil)
	next := deviceKey(t, "the next key")
	epoch, err := h.devices.Enrol(context.Background(), "meter", api.NewKey{Suite: sig.EdDSA, Key: next.Public().Bytes()})
	must(t, err)
	var shown api.DeviceDetail
	h.ok(200, "GET", "/api/devices/meter", nil, &shown)
	if epoch != 2 || string(shown.MeterKey) != string(meter.Key()) {
		t.Fatalf("key epoch %d, meter key %x", epoch, shown.MeterKey)
	}

	from, to := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2026-11-02T00:00:00Z")
	h.clock.Store(int64(to) + 1000)
	report := func(says int64) lamppost.Outcome {
		readings := []lamppost.Reading{energy(from, 1000), energy(to, says)}
		record := lamppost.MeterRecord{Name: "energy", Text: meter.Record(1, energy(from, 1000), energy(to, 11_000))}
		raw, err := lamppost.SignReport(&lamppost.Report{Device: "meter", KeyEpoch: epoch, Seq: lamppost.Seq{Epoch: 1, N: 1}, Flags: lamppost.FlagBilling,
			TimeQuality: lamppost.TimeSynchronised, Readings: readings, Meter: []lamppost.MeterRecord{record}}, network, next)
		must(t, err)
		return h.submit(raw)[0]
	}
	if out := report(12_000); out.Code != lamppost.CodeBadEvidence {
		t.Fatalf("a report that says more than its meter: %s", out.Code)
	}
	must(t, report(11_000).Err())
	var done api.Done
	h.ok(201, "POST", "/api/invoices", lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: from, To: to}, &done)
	if !done.Invoice.Supplies[0].Edges[0].MeterSigned {
		t.Error("the invoice's register is not meter-signed")
	}
	var file []byte
	if status := h.do("GET", "/api/statements/tenant", nil, &file); status != 200 {
		t.Fatalf("status %d: %s", status, file)
	}
	f, err := audit.Verify(file, h.pin())
	must(t, err)
	if l := f.Statement.Invoices[0].Lines[0]; l.Assurance != "meter-signed" || l.Opening.Assurance != "meter-signed" {
		t.Errorf("line %+v", l)
	}
	bad := strings.Replace(string(file), `"assurance":"meter-signed"`, `"assurance":"device-signed"`, 1)
	if _, err := audit.Verify([]byte(bad), h.pin()); bad == string(file) || err == nil {
		t.Error("a statement that shows another assurance holds")
	}
}
