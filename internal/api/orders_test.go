package api_test

import (
	"archive/zip"
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
)

// summaries are those of the log, the newest first.
func (h *house) summaries() (all []string) {
	h.t.Helper()
	var log api.Log
	h.ok(200, "GET", "/api/log?limit=100", nil, &log)
	for _, e := range log.Transactions {
		all = append(all, e.Summary)
	}
	return all
}

func (h *house) logged(want string) {
	h.t.Helper()
	if all := h.summaries(); !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, want) }) {
		h.t.Errorf("no summary says %q:\n%s", want, strings.Join(all, "\n"))
	}
}

// billed is what the totals say of a currency.
func (h *house) billed(currency string) string {
	var st api.Status
	h.ok(200, "GET", "/api/status", nil, &st)
	return st.Totals.Billed[currency].String()
}

// A bill whose opening register was wrong is disputed, the value substituted, the bill corrected: the list, the invoice, the totals and
// the log say so, and the evidence holds at whoever has the pin.
func TestDispute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first := h.bill() // 10 kWh: 3.00 and 0.57
	h.submit(h.report("meter", 0, energy(first.To-3_600_000, 10_500)), h.report("meter", 0, energy(h.now(), 11_001)))

	h.refused(422, "unknown", "POST", "/api/disputes", `{"id":"d1","invoice":"landlord-9","state":1,"reason":"x","seller":"landlord"}`)
	h.refused(400, "bad_request", "POST", "/api/disputes", `{"id":"d1","number":"landlord-9"}`)
	h.refused(404, "not_found", "GET", "/api/disputes/d1", nil)
	h.refused(404, "not_found", "GET", "/api/disputes/d1/evidence", nil)
	h.ok(201, "POST", "/api/disputes", lamppost.DisputeBody{ID: "d1", Invoice: first.Number, Line: 1, State: lamppost.DisputeOpen, Reason: "the meter was new", Seller: "landlord"}, nil)
	var d api.Dispute
	h.ok(200, "GET", "/api/disputes/d1", nil, &d)
	if d.Status != "open" || d.Buyer != "tenant" || d.Total.String() != "3.57" || d.Overdue || d.Until <= h.now() {
		t.Errorf("dispute %+v", d)
	}
	h.evidence("d1", first)

	from := ms(t, "2026-11-01T00:00:00Z")
	h.refused(400, "bad_transaction", "POST", "/api/readings", lamppost.ReadingBody{Device: "meter", Register: "energy", Unit: "Wh", Time: from, Value: lamppost.Dec(6000, 0), Quality: lamppost.Measured})
	h.ok(201, "POST", "/api/readings", lamppost.ReadingBody{Device: "meter", Register: "energy", Unit: "Wh", Time: from, Value: lamppost.Dec(6000, 0),
		Quality: lamppost.Substituted, Reason: "photo of the old meter"}, nil)
	var done api.Done
	h.ok(201, "POST", "/api/corrections", lamppost.CorrectBody{Seller: "landlord", Number: first.Number, Cause: lamppost.CauseDispute, Dispute: "d1"}, &done)
	if done.Invoice == nil || done.Invoice.Corrects.Number != first.Number || done.Invoice.Due().String() != "-1.78" {
		t.Fatalf("correction %+v", done.Invoice)
	}
	h.refused(409, "exists", "POST", "/api/corrections", lamppost.CorrectBody{Seller: "landlord", Number: first.Number, Cause: lamppost.CauseLate})

	var all api.InvoiceList
	h.ok(200, "GET", "/api/invoices", nil, &all)
	if n, o := all.Invoices[0], all.Invoices[1]; n.Corrects != first.Number || n.Due.String() != "-1.78" || o.Replaced != n.Number || o.Due != o.Total {
		t.Errorf("invoices %+v", all.Invoices)
	}
	var inv api.Invoice
	h.ok(200, "GET", "/api/invoices/"+first.Number, nil, &inv)
	if inv.Replaced != done.Invoice.Number || inv.Due.String() != "3.57" {
		t.Errorf("the first invoice is replaced by %q, due %s", inv.Replaced, inv.Due)
	}
	var none, upheld api.DisputeList
	h.ok(200, "GET", "/api/disputes?status=open", nil, &none)
	h.ok(200, "GET", "/api/disputes?status=upheld", nil, &upheld)
	if len(none.Disputes) != 0 || len(upheld.Disputes) != 1 || upheld.Disputes[0].Replaced != done.Invoice.Number {
		t.Errorf("disputes %+v, %+v", none, upheld)
	}
	if got := h.billed("EUR"); got != "1.79" {
		t.Errorf("billed %s, want 1.79", got)
	}
	h.logged("dispute d1 of line 1 of invoice landlord-000001 opened: the meter was new")
	h.logged("energy of meter at 2026-11-01 00:00:00Z entered by hand as 6000 Wh, substituted: photo of the old meter")
	h.logged("invoice landlord-000002 replaces landlord-000001 (dispute): -1.78 EUR due")
	h.evidence("d1", first)
}

// evidence fetches a bundle and checks what is in it against the pin.
func (h *house) evidence(id string, inv tariff.Invoice) {
	h.t.Helper()
	var raw []byte
	h.ok(200, "GET", "/api/disputes/"+id, nil, nil)
	if status := h.do("GET", "/api/disputes/"+id+"/evidence", nil, &raw); status != 200 {
		h.t.Fatalf("status %d: %s", status, raw)
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	must(h.t, err)
	files := map[string][]byte{}
	receipts := 0
	for _, f := range z.File {
		r, err := f.Open()
		must(h.t, err)
		text, err := io.ReadAll(r)
		must(h.t, err)
		files[f.Name] = text
		if strings.HasPrefix(f.Name, "receipts/") {
			receipts++
		}
		if strings.HasPrefix(f.Name, "receipts/") || f.Name == "statement.json" {
			found, err := audit.Verify(text, h.pin())
			if err != nil || !found.Pinned {
				h.t.Errorf("%s: %v", f.Name, err)
			}
		}
	}
	if receipts != 2 || len(files["statement.json"]) == 0 || len(files["dispute.json"]) == 0 {
		h.t.Errorf("%d receipts, want 2; files %d", receipts, len(files))
	}
	for _, want := range []string{"Evidence in dispute " + id, inv.Number, "lamppost verify --pin network.pin statement.json receipts/*.json"} {
		if !strings.Contains(string(files["README.txt"]), want) {
			h.t.Errorf("the readme does not say %q:\n%s", want, files["README.txt"])
		}
	}
}

// charger registers what a session needs.
func (h *house) charger() {
	h.t.Helper()
	h.ok(201, "POST", "/api/points", lamppost.PointBody{ID: "bay", Device: "meter", Register: "charge", Unit: "Wh", Place: "Bay 1", Sessions: true}, nil)
	fast := flat(h.t)
	fast.ID, fast.Bands[0].Price = "fast", 400_000
	fast.Session = &tariff.SessionTerms{Minute: 10_000, Idle: 100_000, Grace: 5}
	h.ok(201, "POST", "/api/tariffs", fast, nil)
}

func charge(at lamppost.TimeMS, wh int64) lamppost.Reading {
	r := energy(at, wh)
	r.Name = "charge"
	return r
}

// A session is quoted, opened, settled and billed; its hold shows, and goes.
func TestSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.charger()
	start := ms(t, "2026-11-01T10:00:00Z")
	h.clock.Store(int64(start))

	var q api.Quote
	h.ok(200, "GET", "/api/tariffs/fast/quote?units=10.5&minutes=30&idle_minutes=10", nil, &q)
	// 10.5 kWh at 0.40, 30 minutes at 0.01, and 5 of the 10 idle ones at 0.10: 4.20 + 0.30 + 0.50.
	if q.Net.String() != "5.00" || q.Total.String() != "5.95" || q.Hold.String() != "5.95" || q.Version != 1 || !strings.Contains(q.Terms, "0.40 EUR per kWh") {
		t.Errorf("quote %+v", q)
	}
	h.ok(200, "GET", "/api/tariffs/fast/quote?units=100&minutes=60&limit=10", nil, &q)
	if q.Net.String() != "10.00" || q.Hold.String() != "11.90" {
		t.Errorf("quote within a limit: %+v", q)
	}
	h.refused(404, "not_found", "GET", "/api/tariffs/slow/quote", nil)
	h.refused(400, "bad_request", "GET", "/api/tariffs/fast/quote?units=lots", nil)
	h.refused(400, "bad_request", "GET", "/api/tariffs/fast/quote?units=-1", nil)
	h.refused(400, "bad_request", "GET", "/api/tariffs/fast/quote?from_ms=5", nil)

	open := lamppost.SessionBody{ID: "s1", Buyer: "tenant", Point: "bay", Tariff: "fast", Version: 1, Limit: 10 * lamppost.MicroUnit, From: start, Until: start + 7_200_000}
	h.ok(201, "POST", "/api/sessions", open, nil)
	h.refused(409, "exists", "POST", "/api/sessions", open)
	var s api.Session
	h.ok(200, "GET", "/api/sessions/s1", nil, &s)
	if s.State != "open" || s.Held.String() != "11.90" || s.Currency != "EUR" || s.Device != "meter" {
		t.Errorf("session %+v", s)
	}
	h.refused(404, "not_found", "POST", "/api/sessions/s2/settle", `{}`)
	h.refused(409, "not_ready", "POST", "/api/sessions/s1/settle", `{}`)
	h.clock.Store(int64(start + 3_600_000))
	must(t, h.submit(h.report("meter", lamppost.FlagBilling, charge(start+20_000, 500), charge(start+1_830_000, 10_500)))[0].Err())
	var done api.Done
	h.ok(201, "POST", "/api/sessions/s1/settle", `{}`, &done)
	if len(done.Lines) != 2 || done.Lines[0].Amount.String() != "4.00" || done.Lines[1].Minutes != 31 {
		t.Errorf("lines %+v", done.Lines)
	}
	var some api.SessionList
	h.ok(200, "GET", "/api/sessions?state=settled", nil, &some)
	if len(some.Sessions) != 1 {
		t.Errorf("settled: %+v", some)
	}
	h.refused(400, "bad_request", "GET", "/api/sessions?state=done", nil)
	var acc api.AccountList
	h.ok(200, "GET", "/api/accounts", nil, &acc)
	if len(acc.Accounts) != 1 || acc.Accounts[0].Held.String() != "11.90" {
		t.Errorf("accounts %+v", acc)
	}
	h.logged("session s1 of tenant at bay under fast version 1, for at most 10.00")
	h.logged("session s1 settled: 4.31 before tax")
	open.ID, open.From = "quote", start+3_600_000 // no route's name is in the way of a session's
	h.ok(201, "POST", "/api/sessions", open, nil)
	h.ok(200, "GET", "/api/sessions/quote", nil, &s)
	if s.ID != "quote" || s.State != "open" {
		t.Errorf("session %+v", s)
	}
	h.ok(201, "POST", "/api/sessions/quote/settle", `{"stop_ms":0,"void":"nobody came"}`, nil)
	h.logged("session quote ended without a bill: nobody came")
}

// Claims in two currencies are exchanged.
func TestConversion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "bank", CreditLimit: 100 * lamppost.MicroUnit}, nil)
	h.ok(201, "POST", "/api/conversions", `{"party":"tenant","with":"bank","from":"EUR","to":"USD","amount":"10","rate":"1.10","rate_time_ms":1793491200000,"source":"ECB reference rate"}`, nil)
	h.logged("tenant gives 10.00 EUR to bank for USD at 1.10, the ECB reference rate of 2026-11-01 00:00:00Z")
}

// A point shows its meters, what is known of them in a period, and how a main meter balances with those under it.
func TestPointDetail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.ok(201, "POST", "/api/points", lamppost.PointBody{ID: "house", Device: "meter", Register: "main", Unit: "Wh"}, nil)
	h.ok(201, "POST", "/api/points", lamppost.PointBody{ID: "lift", Device: "meter", Register: "lift", Unit: "Wh", Main: "house"}, nil)
	h.ok(201, "POST", "/api/points", lamppost.PointBody{ID: "cellar", Device: "meter", Register: "cellar", Unit: "Wh", Main: "house"}, nil)
	from, to := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2026-11-02T00:00:00Z")
	noon := (from + to) / 2
	h.clock.Store(int64(to) + 1000)
	named := func(name string, at lamppost.TimeMS, wh int64) lamppost.Reading {
		r := energy(at, wh)
		r.Name = name
		return r
	}
	must(t, h.submit(h.report("meter", lamppost.FlagBilling, named("main", from, 0), named("lift", from, 100), named("lift", noon, 1900),
		named("main", to, 10_000), named("lift", to, 3100)))[0].Err())
	path := "/api/points/house?from_ms=1793491200000&to_ms=1793577600000"
	var p api.PointDetail
	h.ok(200, "GET", path, nil, &p)
	if b := p.Balance; len(p.Mounts) != 1 || len(p.Subs) != 2 || len(p.Registers[0].Edges) != 2 || b == nil || b.Difference != nil || b.Subs[0].Unknown == "" ||
		b.Subs[1].Quantity.String() != "3000" {
		t.Errorf("point %+v, balance %+v", p, p.Balance)
	}
	must(t, h.submit(h.report("meter", lamppost.FlagBilling, named("cellar", from, 0), named("cellar", to, 6500)))[0].Err())
	h.ok(200, "GET", path, nil, &p)
	if b := p.Balance; b.Difference == nil || b.Sum.String() != "9500" || b.Difference.String() != "500" || b.Percent != "5.00" {
		t.Errorf("balance %+v", b)
	}
	// The lift gets another meter at noon, which begins at 0.
	h.ok(201, "POST", "/api/points", `{"id":"lift","device":"meter","register":"lift2","unit":"Wh","main":"house","mount":1,"from_ms":1793534400000,"closing":"2000","opening":"0"}`, nil)
	must(t, h.submit(h.report("meter", lamppost.FlagBilling, named("lift2", to, 1000)))[0].Err())
	h.ok(200, "GET", path, nil, &p)
	if b := p.Balance; b.Sum.String() != "9400" || b.Percent != "6.00" {
		t.Errorf("balance after an exchange %+v", b)
	}
	h.ok(200, "GET", "/api/points/lift", nil, &p)
	if len(p.Mounts) != 2 {
		t.Errorf("mounts %+v", p.Mounts)
	}
	h.logged("metering point lift: meter 1 from 2026-11-01 12:00:00Z on is lift2 of meter")
	h.refused(404, "not_found", "GET", "/api/points/attic", nil)
	h.refused(400, "bad_request", "GET", "/api/points/lift?from_ms=1&to_ms=2", nil)
	h.ok(200, "GET", "/api/points/flat-3", nil, &p)
	if len(p.Under) != 1 {
		t.Errorf("agreements %+v", p.Under)
	}
}

// Recorded use is priced under other terms, cut as it was billed, and the cheapest is the first.
func TestTrial(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill() // 10 kWh for 3.00
	cheap := flat(t)
	cheap.ID, cheap.Bands[0].Price, cheap.From = "cheap", 250_000, ms(t, "2026-12-01T00:00:00Z")
	h.ok(201, "POST", "/api/tariffs", cheap, nil)
	late := cheap
	late.ID, late.Zone.Transitions = "late", []tariff.Transition{{AtMS: late.From}} // says nothing of the clock before
	h.ok(201, "POST", "/api/tariffs", late, nil)
	day := flat(t)
	day.ID, day.Bands = "day", []tariff.Band{{Name: "day", FromMin: 0, ToMin: 720, Price: 500_000}, {Name: "night", FromMin: 720, ToMin: 1440, Price: 300_000}}
	trial := api.Trial{Tariff: &day, Point: "flat-3", From: ms(t, "2026-11-01T00:00:00Z"), To: ms(t, "2026-11-02T00:00:00Z")}
	var out api.TrialResult
	h.ok(200, "POST", "/api/tariffs/try", trial, &out)
	if x := out.Tried[0]; x.Net.String() != "4.00" || !x.Estimated || x.Difference == nil || x.Difference.String() != "1.00" || !x.Bills[0].Lines[0].Estimated {
		t.Errorf("tried %+v, billed %+v", x, out.Billed)
	}
	trial.Tariff, trial.Seller = nil, "landlord"
	var best api.TrialResult
	h.ok(200, "POST", "/api/tariffs/try", trial, &best)
	if x := best.Tried; len(x) != 3 || x[0].Tariff != "cheap" || x[0].Difference.String() != "-0.50" || x[0].Estimated || x[1].Difference.String() != "0.00" ||
		x[2].Tariff != "late" || x[2].Error == "" {
		t.Errorf("all tariffs %+v", x)
	}
	var log api.Log
	h.ok(200, "GET", "/api/log", nil, &log)
	trial.Seller, trial.ID = "", "power"
	h.ok(200, "POST", "/api/tariffs/try", trial, &out)
	trial.ID = "none"
	h.refused(404, "not_found", "POST", "/api/tariffs/try", trial)
	trial.Seller = "landlord"
	h.refused(400, "bad_request", "POST", "/api/tariffs/try", trial)
	trial.To++
	h.refused(400, "bad_request", "POST", "/api/tariffs/try", trial)
	var again api.Log
	h.ok(200, "GET", "/api/log", nil, &again)
	if again.Size != log.Size {
		t.Error("trying a tariff wrote to the log")
	}
}

// An invoice that takes back all of another has no lines; the statement with it holds, and can be read in every format.
func TestCreditedWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	from, to := ms(t, "2026-11-02T00:00:00Z"), ms(t, "2026-11-03T00:00:00Z")
	h.clock.Store(int64(to) + 1000)
	must(t, h.submit(h.report("meter", lamppost.FlagBilling, energy(to, 12_000)))[0].Err())
	var second api.Done
	h.ok(201, "POST", "/api/invoices", lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: from, To: to}, &second)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-power", Seller: "landlord", Buyer: "tenant", Point: "flat-3",
		Tariff: "power", From: ms(t, "2026-11-01T00:00:00Z"), To: from}, nil)
	h.logged("agreement flat-3-power: landlord sells to tenant at flat-3 under power until 2026-11-02 00:00:00Z")
	var third api.Done
	h.ok(201, "POST", "/api/corrections", lamppost.CorrectBody{Seller: "landlord", Number: second.Invoice.Number, Cause: lamppost.CauseTerms}, &third)
	if len(third.Invoice.Supplies) != 0 || third.Invoice.Due().String() != "-0.36" {
		t.Fatalf("invoice %+v", third.Invoice)
	}
	var raw []byte
	h.ok(200, "GET", "/api/invoices/"+third.Invoice.Number, nil, nil)
	h.do("GET", "/api/statements/tenant", nil, &raw)
	if found, err := audit.Verify(raw, h.pin()); err != nil || found.Invoices != 3 {
		t.Errorf("statement: %v: %.300s", err, raw)
	}
	for _, format := range []string{"html", "pdf", "csv", "xml"} {
		if status := h.do("GET", "/api/statements/tenant?format="+format, nil, &raw); status != 200 {
			t.Errorf("%s: status %d: %.300s", format, status, raw)
		}
	}
	if got := h.billed("EUR"); got != "3.57" {
		t.Errorf("billed %s, want 3.57", got)
	}
}

// Terms without a begin begin at the next quarter hour, but at none that their order could miss: the ledger would refuse them as past.
func TestTermsBegin(t *testing.T) {
	t.Parallel()
	for now, want := range map[string]string{
		"2026-11-01T12:00:00Z":     "2026-11-01T12:15:00Z",
		"2026-11-01T12:14:29.999Z": "2026-11-01T12:15:00Z",
		"2026-11-01T12:14:30Z":     "2026-11-01T12:30:00Z",
		"2026-12-31T23:59:59.999Z": "2027-01-01T00:15:00Z",
	} {
		h := newHouse(t)
		h.settle()
		h.clock.Store(int64(ms(t, now)))
		h.ok(201, "POST", "/api/centres", lamppost.CentreBody{Device: "meter", Currency: "EUR", Shares: []lamppost.Share{{Party: "tenant", Parts: 1}}}, nil)
		var c api.Centre
		h.ok(200, "GET", "/api/centres/meter", nil, &c)
		if got := c.Terms[0].From; got != ms(t, want) {
			t.Errorf("ordered at %s, they begin at %d ms, want %s", now, got, want)
		}
	}
}
