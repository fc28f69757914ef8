package api_test

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/api"
)

// A program is tried on a bill that was made, deployed, fails at its next bill, is put right and repeated: lists, runs, accounts and the log say so.
func TestContract(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first := h.bill()
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "ivy"}, nil)
	revenue, _ := contract.Library("revenue")
	b := lamppost.ContractBody{ID: "share", Version: 1, Source: revenue, Currency: "EUR", Devices: []lamppost.DeviceID{"meter"},
		Parties: []lamppost.ContractParty{{Party: "ivy"}, {Party: "meter"}}, Terms: []lamppost.Arg{{Name: "holder1", Text: "ivy"}, {Name: "share1", Number: 5000}}}

	var tried api.ContractTried
	h.ok(200, "POST", "/api/contracts/try", api.ContractTrial{Contract: b}, &tried)
	if tried.Bills != 1 || tried.Failed != 0 || len(tried.Sums) != 2 || tried.Sums[0] != (api.ContractSum{Party: "ivy", Sum: first.Net / 2}) || tried.Sums[1].Sum != -first.Net/2 {
		t.Errorf("tried: %+v", tried)
	}
	h.ok(200, "POST", "/api/contracts/try", api.ContractTrial{Contract: b, To: 1}, &tried)
	if tried.Bills != 0 || len(tried.Sums) != 0 {
		t.Errorf("tried before the first bill: %+v", tried)
	}
	bad := b
	bad.Source = "def split(event, state):\n    return 1.5\n"
	h.refused(400, "bad_request", "POST", "/api/contracts/try", api.ContractTrial{Contract: bad})
	h.refused(400, "bad_transaction", "POST", "/api/contracts", bad)
	h.refused(404, "not_found", "GET", "/api/contracts/share", nil)

	bad.Source = "def split(event, state):\n    for i in range(1000000000):\n        pass\n"
	h.ok(201, "POST", "/api/contracts", bad, nil)
	h.clock.Add(2 * 3_600_000)
	h.submit(h.report("meter", lamppost.FlagBilling, energy(first.To+3_600_000, 20_000)))
	h.ok(201, "POST", "/api/invoices", lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: first.To, To: first.To + 3_600_000}, nil)
	var all api.ContractList
	h.ok(200, "GET", "/api/contracts", nil, &all)
	if len(all.Contracts) != 1 || all.Contracts[0].Failed != 1 || all.Contracts[0].Count != 1 || all.Contracts[0].Source != "" {
		t.Fatalf("contracts %+v", all)
	}
	var c api.Contract
	h.ok(200, "GET", "/api/contracts/share", nil, &c)
	if len(c.Runs) != 1 || !strings.Contains(c.Runs[0].Failure, "over_steps") || c.Runs[0].Event.Bill == nil {
		t.Fatalf("contract %+v", c)
	}
	b.Version = 2
	h.ok(201, "POST", "/api/contracts", b, nil)
	var done api.Done
	h.ok(201, "POST", "/api/contracts/share/call", lamppost.CallBody{Height: c.Runs[0].Height, Index: c.Runs[0].Index}, &done)
	if done.Run == nil || len(done.Run.Payments) != 1 || done.Run.Payments[0].To != "ivy" {
		t.Errorf("repeated: %+v", done.Run)
	}
	h.ok(200, "GET", "/api/contracts/share", nil, &c)
	if c.Failed != 0 || c.Version != 2 || len(c.Runs) != 2 || c.Runs[1].Again != done.Height || c.State != "{}" || len(c.Handles) != 1 {
		t.Errorf("contract %+v", c)
	}
	var old api.Contract
	h.ok(200, "GET", "/api/contracts/share?version=1", nil, &old)
	if old.Source != bad.Source || old.Version != 1 {
		t.Errorf("version 1: %+v", old)
	}
	h.refused(404, "not_found", "GET", "/api/contracts/share?version=3", nil)
	h.refused(409, "exists", "POST", "/api/contracts/share/call", lamppost.CallBody{Height: c.Runs[1].Height, Index: c.Runs[1].Index})
	h.logged("version 2 of contract share between 2 parties, about 1 devices, in EUR")
	h.logged("contract share runs again what failed in block")
}
