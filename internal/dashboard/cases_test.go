package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/tariff"
)

// correct replaces the bill of flat 9, whose tariff turned out to have no standing charge.
func (d *district) correct(t *testing.T) {
	t.Helper()
	before, now := &d.invoices[8], d.bill(t, 9)
	now.Number, now.Corrects = "riverside-000013", &tariff.Correction{Number: before.Number, Cause: lamppost.CauseLate, Net: before.Net, Tax: before.Tax, Total: before.Total}
	now.Total -= 5 * lamppost.MicroUnit
	now.Due = now.Invoice.Due()
	d.block(d.now, transaction{Type: "correct", Outcome: "ok", Summary: "invoice riverside-000013 replaces riverside-000009 (late reading): -5.00 EUR due"})
	now.Height, before.Replaced = d.height, now.Number
	d.invoices = append(d.invoices, now)
}

func corrects(v *invoice) string {
	if v.Corrects == nil {
		return ""
	}
	return v.Corrects.Number
}

// sessions are one in each state, and one that should have ended.
func (d *district) sessions() map[string]any {
	one := func(id, state, held string, from lamppost.TimeMS) map[string]any {
		return map[string]any{"id": id, "buyer": "tenant-4", "point": "bay-1", "tariff": "fast", "version": 2, "limit": "25.00", "from_ms": from, "until_ms": from + 4*hourMS,
			"seller": "riverside", "device": "charger-1", "held": held, "state": state, "currency": "EUR", "overdue": false}
	}
	running, late := one("s-1004", "open", "29.75", d.now-hourMS), one("s-1003", "open", "29.75", d.now-9*hourMS)
	late["overdue"] = true
	ended, billed := one("s-1002", "settled", "29.75", d.now-30*hourMS), one("s-1001", "billed", "0.00", d.now-200*hourMS)
	ended["stop_ms"], billed["stop_ms"], billed["invoice"] = d.now-29*hourMS, d.now-199*hourMS, "riverside-000004"
	for _, s := range []map[string]any{running, late} {
		if why, yes := d.ended[s["id"].(string)]; yes {
			s["state"], s["stop_ms"], s["overdue"] = "settled", d.now, false
			if why != "" {
				s["state"], s["void"], s["held"] = "void", why, "0.00"
			}
		}
	}
	return map[string]any{"sessions": []any{billed, ended, late, running}}
}

// centre is a charger with an investor: two closed months, of which the first was a loss, and one that goes on.
func (d *district) centre(periods bool) map[string]any {
	const month = 30 * 24 * hourMS
	one := func(from lamppost.TimeMS, income, profit, before string, paid ...any) map[string]any {
		return map[string]any{"from_ms": from, "to_ms": from + month, "income": income, "bought": "0.00", "energy": "31.20", "service": "10.00", "depreciation": "7.50",
			"profit": profit, "before": before, "paid": append([]any{}, paid...)}
	}
	pays := func(party, amount string) any { return map[string]any{"party": party, "amount": amount} }
	first := d.now - 2*month - 10*24*hourMS
	open := one(first+2*month, "120.00", "71.30", "0.00", pays("riverside", "47.54"), pays("ann", "23.76"))
	open["to_ms"] = d.now
	c := map[string]any{"device": "charger-1", "name": "Charger 1", "owner": "riverside", "currency": "EUR", "closed_ms": first + 2*month, "loss": "-3.00", "balance": "88.10",
		"terms": []any{map[string]any{"device": "charger-1", "version": 1, "from_ms": first, "currency": "EUR", "shares": []any{map[string]any{"party": "riverside", "parts": 2},
			map[string]any{"party": "ann", "parts": 1}}, "limit": "20.00", "limit_days": 1}},
		"spending": map[string]any{"from_ms": d.now - hourMS, "to_ms": d.now + 23*hourMS, "limit": "20.00", "spent": "4.00", "held": "2.50"}, "open": open, "periods": []any{}}
	if periods {
		c["periods"] = []any{one(first, "40.00", "-8.70", "0.00"), one(first+month, "100.00", "51.30", "-8.70", pays("riverside", "28.40"), pays("ann", "14.20"))}
	}
	return c
}

func (d *district) disputes() map[string]any {
	one := func(id, number, status string, state, line int, until lamppost.TimeMS, replaced string) map[string]any {
		return map[string]any{"id": id, "invoice": number, "line": line, "state": state, "reason": "the flat was empty in that week", "until_ms": until, "seller": "riverside",
			"status": status, "buyer": "tenant-9", "currency": "EUR", "total": "31.20", "overdue": status == "open" && until < d.now, "replaced_by": replaced}
	}
	all := []any{one("case-7", "riverside-000007", "open", 1, 2, d.now+20*24*hourMS, ""), one("case-5", "riverside-000005", "open", 1, 1, d.now-24*hourMS, ""),
		one("case-9", "riverside-000009", "upheld", 4, 1, d.now+9*24*hourMS, "riverside-000013")}
	for _, b := range d.disputed {
		x := one(b["id"].(string), b["invoice"].(string), "open", 1, int(b["line"].(float64)), d.now+30*24*hourMS, "")
		x["reason"] = b["reason"]
		all = append(all, x)
	}
	return map[string]any{"disputes": all}
}

// point is flat 9's, where another meter hangs since Thursday.
func (d *district) point(id string) any {
	if id != "flat-9" {
		return nil
	}
	mount := func(n int, device string) map[string]any {
		return map[string]any{"id": id, "device": device, "register": "energy", "unit": "Wh", "place": "Mill House, flat 9", "main": "mill-house"}
	}
	first, second := mount(0, "flat-9-old"), mount(1, "flat-9")
	second["mount"], second["from_ms"], second["closing"], second["opening"] = 1, evening-72*hourMS, "48213000", "0"
	return map[string]any{"id": id, "mounts": []any{first, second}, "subs": []string{"flat-9-heat"}, "agreements": []any{map[string]any{"id": "flat-9", "seller": "riverside",
		"buyer": "tenant-9", "point": id, "tariff": "home", "from_ms": evening - 40*weekMS}}}
}

func (d *district) accounts() map[string]any {
	one := func(party, balance string) map[string]any {
		return map[string]any{"party": party, "currency": "EUR", "balance": balance}
	}
	holder := one("tenant-4", "-12.80")
	holder["held"] = "89.25"
	return map[string]any{"height": d.height, "accounts": []any{one("flat-9", "3.20"), one("riverside", "312.40"), holder}}
}

func (d *district) serveCases(mux *http.ServeMux, answer func(string, func(*http.Request) any)) {
	answer("/sessions", func(*http.Request) any { return d.sessions() })
	answer("/disputes", func(*http.Request) any { return d.disputes() })
	answer("/centres", func(*http.Request) any { return map[string]any{"centres": []any{d.centre(false)}} })
	answer("/centres/{device}", func(*http.Request) any { return d.centre(true) })
	answer("/accounts", func(*http.Request) any { return d.accounts() })
	answer("/points/{id}", func(r *http.Request) any { return d.point(r.PathValue("id")) })
	order := func(take func(r *http.Request, body map[string]any) string) http.HandlerFunc {
		return d.guard(func(w http.ResponseWriter, r *http.Request) {
			var body map[string]any
			err := json.NewDecoder(r.Body).Decode(&body)
			d.mu.Lock()
			defer d.mu.Unlock()
			if err != nil {
				refuse(w, http.StatusBadRequest, "bad_request", err.Error())
			} else if why := take(r, body); why != "" {
				refuse(w, http.StatusConflict, "exists", why)
			} else {
				w.WriteHeader(http.StatusCreated)
				reply(w, map[string]any{"height": 9, "index": 0, "outcome": "ok"})
			}
		})
	}
	mux.HandleFunc("POST /api/disputes", order(func(_ *http.Request, body map[string]any) string {
		if body["id"] == "case-7" {
			return `dispute "case-7" exists`
		}
		d.disputed = append(d.disputed, body)
		return ""
	}))
	mux.HandleFunc("POST /api/sessions/{id}/settle", order(func(r *http.Request, body map[string]any) string {
		if d.ended == nil {
			d.ended = map[string]string{}
		}
		d.ended[r.PathValue("id")] = body["void"].(string)
		return ""
	}))
}

// Sessions are shown with what is held; one that runs is ended on the page, and one that never began is not billed.
func testSessions(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/sessions", ".cases li:nth-child(4)")
	p.WaitText("#main", "2 sessions run, 2 have ended")
	p.WaitText(".cases li:nth-child(1)", "Running")
	p.WaitText(".cases li:nth-child(1)", "€29.75 are held.")
	p.WaitText(".cases li:nth-child(2)", "Should have ended")
	p.WaitText(".cases li:nth-child(3)", "Ended, not billed yet")
	p.WaitText(".cases li:nth-child(4)", "riverside-000004")
	p.Run(chromedp.Click(chromedp.CSS(".cases li:nth-child(1) summary")))
	p.Run(chromedp.Click(chromedp.CSS(".cases li:nth-child(1) button")))
	p.WaitText(".note.ok", "Session s-1004 has ended")
	p.WaitText(".cases li:nth-child(1)", "s-1003")
	p.Run(chromedp.Click(chromedp.CSS(".cases li:nth-child(1) summary")))
	p.Set("#void-s-1003", "the cable was never plugged in")
	p.Run(chromedp.Click(chromedp.CSS(".cases li:nth-child(1) button")))
	p.WaitText(".note.ok", "Session s-1003 is not billed")
	p.WaitText("#main", "the cable was never plugged in")
	p.Visit("#/accounts", ".accounts tbody tr")
	p.WaitText(".accounts tbody tr:nth-child(3)", "€89.25")
	p.Run(chromedp.Click(chromedp.CSS(`.accounts button[aria-label^="Statement of"]`)))
	p.WaitText("#main", "Saved as statement-riverside.json.")
	p.Clean()
}

// A line of a bill is disputed on its page; a name that is taken is refused in words. Disputes show who must answer by when, and a corrected
// bill what it replaces and what is due.
func testDisputes(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/bill/riverside-000003", "#bill-total")
	p.Run(chromedp.Click(chromedp.CSS("#dispute-h ~ details summary")))
	p.Set("#dispute-reason", "twice what it was last week")
	p.Set("#dispute-line", "2")
	p.Set("#dispute-id", "case-7")
	p.Denied = true // the console says that the node answers 409
	p.Run(chromedp.Click(chromedp.CSS("#dispute-h ~ details button")))
	p.WaitText("#dispute-h ~ details [role=alert]", `dispute "case-7" exists`)
	p.Set("#dispute-id", "case-3")
	p.Run(chromedp.Click(chromedp.CSS("#dispute-h ~ details button")))
	p.WaitText("#dispute-h ~ .cases", "twice what it was last week")
	p.WaitText("#dispute-h ~ .cases", "Line 2 of riverside-000003")
	p.Visit("#/disputes", ".cases li:nth-child(4)")
	p.WaitText("#main", "3 are open, 1 has ended")
	p.WaitText(".cases", "Open, answer overdue")
	p.WaitText(".cases", "answer of Riverside Housing due Dec")
	p.WaitText(".cases li:nth-child(4)", "Upheld")
	p.WaitText(".cases li:nth-child(4)", "replaced by riverside-000013")

	p.Visit("#/bill/riverside-000013", "#bill-corrects")
	p.WaitText("#bill-corrects", "It replaces bill riverside-000009")
	p.WaitText("#bill-corrects", "because a reading came after it")
	p.WaitText("#bill-total", "€5.00")
	p.WaitText(".totals", "Credited")
	p.Run(chromedp.Click(chromedp.CSS("#bill-corrects a")))
	p.WaitText("#bill-replaced", "replaced by bill riverside-000013")
	p.Visit("#/point/flat-9", ".cases li:nth-child(2)")
	p.WaitText(".cases li:nth-child(1)", "opened at 0 Wh")
	p.WaitText(".cases li:nth-child(2)", "closed at 48,213.000 kWh")
	p.Visit("#/bills", ".bills tbody tr:nth-child(13)")
	p.WaitText(".bills", "replaces riverside-000009")
}

// The page of a device's profit has its figures, a picture that is told in words as well, and who was paid.
func testProfit(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/profit", ".cases li")
	p.Visit("#/profit/charger-1", "#periods tbody tr:nth-child(3)")
	for selector, want := range map[string]string{
		"#profit": "€71.30", "#periods tbody tr:nth-child(1)": "not closed yet", "#periods tbody tr:nth-child(2)": "ann €14.20", "#periods tbody tr:nth-child(3)": "nothing",
		".side section:nth-child(1)": "has spent €4.00 and holds €2.50", ".side section:nth-child(2)": "ann 1 of 3",
	} {
		if got := p.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, want %q in it", selector, got, want)
		}
	}
	if words := p.Text(".months"); !strings.Contains(words, "-€8.70") {
		t.Errorf("the months are told as %q", words)
	}
	p.Clean()
}
