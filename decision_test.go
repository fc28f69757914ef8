package lamppost_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A body that says nothing, or what could not be, is refused. Each case breaks one rule of a good one.
func TestDecisionsRefused(t *testing.T) {
	t.Parallel()
	good := decisions()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	outcome := lamppost.DecisionOutcome{Decision: lamppost.DecisionID{Height: 1}, Until: 5}
	for name, spoil := range map[string]func(*lamppost.DecisionsBody, *lamppost.Decision){
		"no model": func(b *lamppost.DecisionsBody, _ *lamppost.Decision) { b.Model.ID = "" },
		"nothing":  func(b *lamppost.DecisionsBody, _ *lamppost.Decision) { b.Decisions = nil },
		"twice":    func(b *lamppost.DecisionsBody, d *lamppost.Decision) { b.Decisions = append(b.Decisions, *d) },
		"outcome twice": func(b *lamppost.DecisionsBody, _ *lamppost.Decision) {
			b.Outcomes = append(b.Outcomes, outcome, outcome)
		},
		"no device":      func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Device = "" },
		"kind":           func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Kind = 5 },
		"mode":           func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Mode = 5 },
		"too long":       func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Until = d.At + lamppost.MaxDecisionMS + 1 },
		"no time":        func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Until = d.At },
		"spends below 0": func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Spend = -1 },
		"currency":       func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Currency = "eur" },
		"level over 100": func(_ *lamppost.DecisionsBody, d *lamppost.Decision) {
			d.Action = lamppost.Action{Name: "level", Value: lamppost.Dec(1001, -1), Unit: "%"}
		},
		"action":             func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Action.Name = "colour" },
		"exponent":           func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Action.Value.Exponent = 1 },
		"mean out of bounds": func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Forecast[0].Low = lamppost.Dec(9, 0) },
		"alternative":        func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Alternatives[0].Action.Unit = "kW" },
		"three alternatives": func(_ *lamppost.DecisionsBody, d *lamppost.Decision) {
			d.Alternatives = append(d.Alternatives, d.Alternatives[0])
		},
		"no reason":     func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Reasons = nil },
		"flip":          func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Flip.What = "" },
		"flip's action": func(_ *lamppost.DecisionsBody, d *lamppost.Decision) { d.Flip.Other.Name = "" },
	} {
		b := decisions()
		if spoil(&b, &b.Decisions[0]); b.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestAgentRefused(t *testing.T) {
	t.Parallel()
	good := func() lamppost.AgentBody {
		return lamppost.AgentBody{Device: "d", Kind: lamppost.AgentLamp, Mode: lamppost.AgentAdvises, Member: "m", Currency: "EUR",
			Inputs: []lamppost.AgentInput{{Name: "a", Device: "d", Reading: "r"}, {Name: "b", Device: "d", Reading: "r"}}, Rules: []lamppost.AgentRule{{Name: "x"}}}
	}
	if b := good(); b.Check() != nil {
		t.Fatal(b.Check())
	}
	for name, spoil := range map[string]func(*lamppost.AgentBody){
		"safe is no owner's mode": func(b *lamppost.AgentBody) { b.Mode = lamppost.AgentSafe },
		"kind":                    func(b *lamppost.AgentBody) { b.Kind = 0 },
		"no member":               func(b *lamppost.AgentBody) { b.Member = "" },
		"currency":                func(b *lamppost.AgentBody) { b.Currency = "euro" },
		"input twice":             func(b *lamppost.AgentBody) { b.Inputs[1].Name = "a" },
		"inputs out of order":     func(b *lamppost.AgentBody) { b.Inputs[0].Name = "c" },
		"input without reading":   func(b *lamppost.AgentBody) { b.Inputs[0].Reading = "" },
		"rule without a name":     func(b *lamppost.AgentBody) { b.Rules[0].Name = "" },
		"exponent":                func(b *lamppost.AgentBody) { b.Rules[0].Value.Exponent = -10 },
	} {
		b := good()
		if spoil(&b); b.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// A gateway's word is for this very update, by its own key, in this network.
func TestLearnWord(t *testing.T) {
	t.Parallel()
	b := learned(t)
	key := keyOf(t, sig.EdDSA, "gw-1").Public()
	if b.Check() != nil || !b.Verify(network, key) {
		t.Fatalf("%v, verified: %v", b.Check(), b.Verify(network, key))
	}
	other := b
	if other.Rows++; other.Verify(network, key) || b.Verify("another", key) || b.Verify(network, keyOf(t, sig.EdDSA, "gw-2").Public()) {
		t.Error("the word is taken for something else")
	}
	b.Statistics = make([]byte, lamppost.MaxStatistics+1)
	if b.Check() == nil {
		t.Error("too many statistics are not refused")
	}
}

func TestDecisionIDs(t *testing.T) {
	t.Parallel()
	id := lamppost.DecisionID{Height: 1204, Tx: 3}
	if again, err := lamppost.ParseDecisionID(id.String()); err != nil || again != id || id.String() != "d1204.3.0" {
		t.Errorf("%s is read as %s, %v", id, again, err)
	}
	for _, s := range []string{"", "v1204.3.0", "d1204.3", "d01204.3.0", "d-1.3.0", "d1.2.99999999999"} {
		if id, err := lamppost.ParseDecisionID(s); err == nil {
			t.Errorf("%q is read as %s", s, id)
		}
	}
}
