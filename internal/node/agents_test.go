package node_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/pilot"
	"github.com/lamppost/lamppost/tariff"
)

// TestNothingIsTakenAfterTheEnd: who brings decisions to a node that has ended is refused, and touches no store that is closed.
func TestNothingIsTakenAfterTheEnd(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	cfg.Played = true
	n, err := node.Open(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, n.Run(ctx))
	if err := n.Take(t.Context(), []pilot.Made{{Decision: lamppost.Decision{Device: "lamp"}}}); err == nil {
		t.Error("a node that has ended took a decision")
	}
}

// TestAgents: in a node on a clock that the test moves, a storage's agent decides by what its device reports and by published prices; hours of it are few orders, each
// with what the one before came to; another member's devices are let alone; an erasure takes decisions, what they were made from, and their evidence.
func TestAgents(t *testing.T) {
	t.Parallel()
	f := simulated(t, 2)
	start := lamppost.TimeMS(f.clock.Load())
	spot := ledgertest.Tariff("spot", 1, "ada", start-start%lamppost.EdgeMS, 0)
	spot.Bands, spot.Series = nil, &tariff.Series{From: spot.From, StepMS: lamppost.EdgeMS}
	spot.To = spot.From + 192*lamppost.EdgeMS
	for q := range 192 {
		spot.Series.Prices = append(spot.Series.Prices, lamppost.Micro(50_000+25_000*int64(q/4%8)))
	}
	_, err := f.Order(t.Context(), lamppost.TxTariff, spot)
	must(t, err)
	f.order("/api/agents", lamppost.AgentBody{Device: "m0", Kind: lamppost.AgentStorage, Mode: lamppost.AgentAdvises, Currency: "EUR", Tariff: "spot",
		Inputs: []lamppost.AgentInput{{Name: "stored", Device: "m1", Reading: "power"}}, Rules: []lamppost.AgentRule{{Name: "feed", Value: lamppost.Dec(100, 0)}}}, nil)
	const minutes = 130
	for range minutes {
		f.minute(func(_ int, d *fleetDevice) { f.send(d, f.reading(d, 0, nil)) })
		must(t, f.TickAgents(t.Context()))
	}
	var all api.DecisionList
	status, raw := f.ask("GET", "/api/decisions?device=m0&limit=200", nil)
	if err := json.Unmarshal(raw, &all); err != nil || status != http.StatusOK || len(all.Decisions) < 3 || len(all.Decisions) > minutes/10 {
		t.Fatalf("status %d, %d decisions in %d minutes, %v", status, len(all.Decisions), minutes, err)
	}
	for i, d := range all.Decisions {
		e, err := pilot.ReadEvidence(f.Store(), &d.Body)
		must(t, err)
		again, err := agent.Replay(e.Inputs)
		if err != nil || again.Inputs != d.Body.Inputs || again.Action != d.Body.Action || (i > 0) != (d.Outcome != nil) {
			t.Errorf("%s: %+v, %v; outcome %+v", d.ID, again, err, d.Outcome)
		}
		if d.Outcome != nil && d.Outcome.Measured < 900 {
			t.Errorf("%s: of %d thousandths of its time there are prices", d.ID, d.Outcome.Measured)
		}
	}
	if got := f.metric("lamppost_agent_decisions_total"); int(got) != len(all.Decisions) {
		t.Errorf("%v are counted, %d stand on the ledger", got, len(all.Decisions))
	}
	_, err = f.Order(t.Context(), lamppost.TxErase, lamppost.EraseBody{Device: "m0", Basis: "GDPR Art. 17(1)(b)"})
	must(t, err)
	if _, err := pilot.ReadEvidence(f.Store(), &all.Decisions[0].Body); err == nil {
		t.Error("what was erased is there")
	}
	if status, raw := f.ask("GET", "/api/decisions/"+all.Decisions[1].ID.String()+"/evidence", nil); status != http.StatusGone {
		t.Errorf("after the erasure: status %d: %s", status, raw)
	}
}

// TestAgentCommands: what an agent decides reaches a device through its desired state, and its guard; when its owner stops it the device is let go.
func TestAgentCommands(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	o := l.obedient(t, "cell", "ordinary", true, cfg.Now)
	now := func() lamppost.TimeMS { return lamppost.TimeMS(cfg.Now().UnixMilli()) }
	spot := ledgertest.Tariff("spot", 1, "ada", now()-now()%lamppost.EdgeMS, 0)
	spot.Bands, spot.Series, spot.To = nil, &tariff.Series{From: spot.From, StepMS: lamppost.EdgeMS}, spot.From+192*lamppost.EdgeMS
	for q := range 192 {
		spot.Series.Prices = append(spot.Series.Prices, 50_000+lamppost.Micro(min(q, 8))*40_000)
	}
	_, err := l.Order(t.Context(), lamppost.TxTariff, spot)
	must(t, err)
	_, err = o.Report(lamppost.Reading{Name: "stored", Unit: "Wh", Value: lamppost.Dec(1000, 0), Time: now()})
	must(t, err)
	a := lamppost.AgentBody{Device: "cell", Kind: lamppost.AgentStorage, Mode: lamppost.AgentBounded, Currency: "EUR", Tariff: "spot",
		Inputs: []lamppost.AgentInput{{Name: "stored", Device: "cell", Reading: "stored"}}, Rules: []lamppost.AgentRule{{Name: "feed", Value: lamppost.Dec(100, 0)}}}
	for _, known := l.Latest("cell", "stored"); !known; _, known = l.Latest("cell", "stored") {
	}
	l.order("/api/agents", a, nil)
	if d := l.stands("cell", 1, api.Obeyed); d.By != "agent" || d.Mode != lamppost.ModeBounded {
		t.Errorf("commanded: %+v", d)
	}
	if v, ok := o.State().Of("power"); !ok || v.Mantissa <= 0 {
		t.Errorf("the device is told %v, %v", v, ok)
	}
	a.Mode = lamppost.AgentStopped
	l.order("/api/agents", a, nil)
	l.stands("cell", 2, api.TakenBack)
}
