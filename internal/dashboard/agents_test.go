package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/render"
)

func (d *district) decisions() (all []any) {
	price, low := lamppost.Dec(210_000, -6), lamppost.Dec(50_000, -6)
	power := func(w int64) lamppost.Action {
		return lamppost.Action{Name: "power", Value: lamppost.Dec(w, 0), Unit: "W"}
	}
	for i := range lamppost.TimeMS(2) {
		b := lamppost.Decision{Device: "charger-1", Kind: lamppost.AgentStorage, At: evening - i*3600_000, Until: evening - i*3600_000 + 900_000, Mode: lamppost.AgentBounded, Action: power(-2500), Gain: 312_345, Currency: "EUR",
			Reasons: []lamppost.VerdictReason{{Code: "cheaper_later", Value: &price, Low: &low, High: &low, At: evening + 3600_000}}, Alternatives: []lamppost.Alternative{{Action: power(0), Gain: 4_000}},
			Flip: &lamppost.Flip{What: "price", Threshold: price, Unit: "EUR/kWh", Below: true, Other: power(5000)}}
		id := lamppost.DecisionID{Height: 410 - lamppost.Height(i)}
		x := ledger.Decision{ID: id, By: member, Model: lamppost.Model{ID: "agent", Version: 1}, Body: b}
		if i > 0 {
			x.Outcome = &lamppost.DecisionOutcome{Decision: id, Until: evening, Gain: 300_000, Expected: 310_000, Measured: 1000}
		}
		words, err := render.DecisionOf(&b, x.Outcome, render.Reader{Zone: homeTariff().Zone})
		if err != nil {
			panic(err)
		}
		all = append(all, struct {
			ledger.Decision
			Words *render.Decided `json:"words"`
		}{x, words})
	}
	return all
}

func (d *district) agent() map[string]any {
	mode := d.agentMode
	if mode == "" {
		mode = "bounded"
	}
	return map[string]any{"device": "charger-1", "kind": "storage", "mode": mode, "member": member, "currency": "EUR", "site": "Mill House", "tariff": "home", "function": "",
		"inputs": []any{map[string]any{"name": "stored", "device": "charger-1", "reading": "stored"}}, "rules": []any{map[string]any{"name": "feed", "value": "100", "unit": "%"}},
		"device_name": "Charger 1", "owner": "riverside", "here": true, "last": d.decisions()[0], "better": 812,
		"records": []ledger.Record{{Month: "2026-10", Currency: "EUR", Acted: ledger.Tally{Decisions: 700, Outcomes: 700, Better: 500, Worse: 20, Expected: 41_000_000, Realised: 39_500_000}},
			{Month: "2026-11", Currency: "EUR", Acted: ledger.Tally{Decisions: 101, Outcomes: 100, Better: 80, Worse: 4, Expected: 6_000_000, Realised: -1_200_000}, Safe: 3}}}
}

func (d *district) serveAgents(mux *http.ServeMux, answer func(string, func(*http.Request) any)) {
	answer("/agents", func(*http.Request) any { return map[string]any{"agents": []any{d.agent()}} })
	answer("/agents/{device}", func(*http.Request) any { return d.agent() })
	answer("/decisions", func(*http.Request) any { return map[string]any{"decisions": d.decisions()} })
	mux.HandleFunc("POST /api/agents", d.guard(func(w http.ResponseWriter, r *http.Request) {
		var b lamppost.AgentBody
		err := json.NewDecoder(r.Body).Decode(&b)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil || b.Check() != nil {
			refuse(w, http.StatusBadRequest, "bad_transaction", "no agent")
			return
		}
		d.agentMode = b.Mode.String()
		w.WriteHeader(http.StatusCreated)
		reply(w, map[string]any{"height": 9, "index": 0, "outcome": "ok"})
	}))
}

// The page Agents says what each came to against what was expected, and why it decided; the owner stops one there, with all else that he said left as it is.
func testAgents(t *testing.T, ctx context.Context) {
	t.Parallel()
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/agents", "#agents > li")
	p.WaitText("#agents", "801 decisions: €38.30 against the safe rule, where €47.00 was expected")
	p.Run(chromedp.Click(chromedp.CSS("#agents a")))
	p.WaitText("#decisions > li:nth-child(2)", "Had the price stayed under 0.21")
	p.WaitText("#decisions > li:nth-child(2)", "it came to 0.30")
	p.WaitText("#agent-record", "Nov 2026 realised")
	if n := browsertest.Value[int](p, "document.querySelectorAll('#agent-record rect').length"); n != 4 {
		t.Errorf("%d bars, want 4", n)
	}
	p.Run(chromedp.Click(chromedp.CSS("#mode input[value=stopped]")))
	p.WaitText("[aria-labelledby=mode-h]", "Stopped: the device follows its safe rule.")
	if !browsertest.Value[bool](p, "document.querySelector('#mode input[value=stopped]').checked") {
		t.Error("the switch does not show what holds")
	}
}
