package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
)

// judges orders verdicts as the member's triage does.
func (h *house) judges(through lamppost.Height, verdicts ...lamppost.Verdict) lamppost.Height {
	h.t.Helper()
	d, err := h.order(context.Background(), lamppost.TxVerdicts, lamppost.VerdictsBody{Model: lamppost.Model{ID: "plausible", Version: 1}, Through: through, Verdicts: verdicts})
	must(h.t, err)
	must(h.t, d.Outcomes[0].Err())
	return d.Height
}

// tooFast is a verdict on the meter's reading at a time, in a report of a block.
func tooFast(at lamppost.TimeMS, block lamppost.Height) lamppost.Verdict {
	value, high := lamppost.Dec(10_000, 0), lamppost.Dec(3000, 0)
	return lamppost.Verdict{Kind: lamppost.Implausible, Device: "meter", Name: "energy", Unit: "Wh", Since: at, At: at, Height: block, Record: 1, Suspends: true,
		Reasons: []lamppost.VerdictReason{{Code: "too_fast", Value: &value, High: &high}}}
}

// A verdict comes after the bill: list, verdict and invoice say that it was billed before it was found; the next bill is refused and says
// what to do; answered and corrected, the statement names the finding, and holds at whoever has the pin.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	block := inv.Supplies[0].Edges[1].Source.Height
	h.refused(404, "not_found", "GET", "/api/verdicts/v4.0.0", nil)
	h.refused(400, "bad_request", "GET", "/api/verdicts/4", nil)
	h.refused(400, "bad_request", "GET", "/api/verdicts?kind=odd", nil)
	h.refused(400, "bad_request", "GET", "/api/verdicts?limit=0", nil)
	h.refused(400, "bad_request", "GET", "/api/verdicts?before=x", nil)
	at := h.judges(block, tooFast(inv.To, block))
	path := fmt.Sprintf("/api/verdicts/v%d.0.0", at)

	var v api.Verdict
	h.ok(200, "GET", path, nil, &v)
	if !v.Open || !v.Suspending || v.By != "north" || len(v.BilledBefore) != 1 || v.BilledBefore[0].Number != inv.Number || v.Reasons[0].Value.String() != "10000" {
		t.Errorf("verdict %+v", v)
	}
	var before api.Invoice
	h.ok(200, "GET", "/api/invoices/"+inv.Number, nil, &before)
	if len(before.FoundSince) != 1 || before.FoundSince[0] != v.ID {
		t.Errorf("the invoice was made before %v", before.FoundSince)
	}
	next := lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: inv.To, To: inv.To + 3_600_000}
	h.clock.Store(int64(next.To) + 1000)
	h.submit(h.report("meter", lamppost.FlagBilling, energy(next.To, 12_000)))
	if e := h.refused(409, "not_ready", "POST", "/api/invoices", next); !strings.Contains(e.Text, "lamppost verdict review "+v.ID.String()+" valid") {
		t.Errorf("the refusal does not say what to do: %s", e.Text)
	}

	h.refused(400, "bad_request", "POST", path+"/review", `{"answer":"fine"}`)
	h.refused(400, "bad_transaction", "POST", path+"/review", `{"answer":"wrong"}`)
	h.refused(422, "unknown", "POST", "/api/verdicts/v1.9.9/review", `{"answer":"seen"}`)
	h.ok(201, "POST", path+"/review", `{"answer":"wrong","reason":"photo of the display"}`, nil)
	h.ok(201, "POST", "/api/readings", lamppost.ReadingBody{Device: "meter", Register: "energy", Unit: "Wh", Time: inv.To, Value: lamppost.Dec(9000, 0),
		Quality: lamppost.Substituted, Reason: "photo of the display"}, nil)
	var done api.Done
	h.ok(201, "POST", "/api/corrections", lamppost.CorrectBody{Seller: "landlord", Number: inv.Number, Cause: lamppost.CauseSubstituted}, &done)
	if f := done.Invoice.Supplies[0].Findings; len(f) != 1 || f[0].Verdict != v.ID || f[0].Answer != lamppost.ReviewWrong || !done.Invoice.Supplies[0].Judged {
		t.Errorf("the corrected line says %+v", done.Invoice.Supplies[0])
	}
	h.ok(200, "GET", path, nil, &v)
	if v.Open || v.Suspending || len(v.BilledBefore) != 0 || len(v.Reviews) != 1 || v.Reviews[0].Answer != lamppost.ReviewWrong {
		t.Errorf("after the correction: %+v", v)
	}
	var replaced api.Invoice
	h.ok(200, "GET", "/api/invoices/"+inv.Number, nil, &replaced)
	if len(replaced.FoundSince) != 0 {
		t.Errorf("corrected, and still made before %v", replaced.FoundSince)
	}
	h.ok(201, "POST", "/api/invoices", next, nil)
	h.logged("plausible version 1 judged up to block " + fmt.Sprint(block) + "; implausible: too_fast meter energy")
	h.logged("verdict " + v.ID.String() + " is wrong: photo of the display")

	f, err := audit.Verify(h.fetch("/api/statements/tenant", adminToken).Body.Bytes(), h.pin())
	must(t, err)
	if said := strings.Join(f.Summary, "\n"); !strings.Contains(said, v.ID.String()+" (too_fast) of meter was found wrong") || !strings.Contains(said, "triage judged 1 of 1 register") {
		t.Errorf("the statement says %s", said)
	}
}

// The list is in pages, the latest first, and of what somebody asks for.
func TestVerdictList(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	inv := h.bill()
	block := inv.Supplies[0].Edges[1].Source.Height
	var ids []string
	for i := range 5 {
		v := tooFast(inv.To, block)
		v.Record, v.Suspends = uint32(i), false
		if i%2 == 1 {
			v.Kind = lamppost.Anomaly
		}
		ids = append(ids, fmt.Sprintf("v%d.0.0", h.judges(block, v)))
	}
	h.ok(201, "POST", "/api/verdicts/"+ids[1]+"/review", `{"answer":"normal"}`, nil)
	for query, want := range map[string][]string{
		"":                               {ids[4], ids[3], ids[2], ids[1], ids[0]},
		"?open=true":                     {ids[4], ids[3], ids[2], ids[0]},
		"?kind=anomaly":                  {ids[3], ids[1]},
		"?kind=anomaly&open=true":        {ids[3]},
		"?device=meter&before=" + ids[2]: {ids[1], ids[0]},
		"?device=lamp":                   nil,
		"?limit=2":                       {ids[4], ids[3], "next " + ids[3]},
		"?limit=2&before=" + ids[2]:      {ids[1], ids[0]},
	} {
		var all api.VerdictList
		h.ok(200, "GET", "/api/verdicts"+query, nil, &all)
		var got []string
		for _, v := range all.Verdicts {
			got = append(got, v.ID.String())
		}
		if all.Next != "" {
			got = append(got, "next "+all.Next)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(all.Judged) != 1 || all.Judged[0].Through != block {
			t.Errorf("%q: %v, judged %v, want %v", query, got, all.Judged, want)
		}
	}
}

// What triage should know is said, and said again.
func TestWatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.refused(422, "unknown", "POST", "/api/watch", `{"point":"flat-9","size":"11000"}`)
	h.refused(400, "bad_transaction", "POST", "/api/watch", `{"point":"flat-3","device":"meter"}`)
	h.ok(201, "POST", "/api/watch", `{"point":"flat-3","size":"9000"}`, nil)
	h.ok(201, "POST", "/api/watch", `{"point":"flat-3","size":"11000","off_ms":1000,"on_ms":2000}`, nil)
	h.ok(201, "POST", "/api/watch", `{"budget":20}`, nil)
	h.ok(201, "POST", "/api/watch", `{"device":"meter","firmware":["`+strings.Repeat("9f", 32)+`"]}`, nil)
	var all api.WatchList
	h.ok(200, "GET", "/api/watch", nil, &all)
	if len(all.Watch) != 3 || all.Watch[0].Size.String() != "11000" || all.Watch[0].On != 2000 || len(all.Watch[1].Firmware) != 1 || *all.Watch[2].Budget != 20 {
		t.Errorf("watched %+v", all.Watch)
	}
	h.logged("what triage should know of metering point flat-3")
	h.logged("20 alarms a week for each 1,000 meters")
	h.logged("meter may run 1 image of firmware")
}
