package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// agents makes the orders of agents:
//
//	agent DEVICE KIND MODE [member=ID] [currency=C] [tariff=ID] [input=NAME/DEVICE/READING] [rule=NAME/VALUE]
//	decisions [DEVICE/MODE/WATT/AT/UNTIL/GAIN/SPEND …] [kind=KIND] [currency=C] [outcome=ID/UNTIL/GAIN/SPENT/EXPECTED,…]
//	learn MODEL BASE [gateway=ID] [key=NAME] [word-net=NET] [changed] [rows=N]
//	show agents|decisions DEVICE|decision ID|track DEVICE|updates [MODEL]
func (d *desk) agents(w words) (lamppost.TxType, any) {
	kind, err := lamppost.ParseAgentKind(w.or("kind", "storage"))
	must(err)
	switch w.verb {
	case "agent":
		b := lamppost.AgentBody{Device: lamppost.DeviceID(w.arg(0)), Member: lamppost.MemberID(w.or("member", "m1")), Currency: w.or("currency", "EUR"), Tariff: w.or("tariff", "")}
		b.Kind, err = lamppost.ParseAgentKind(w.arg(1))
		must(err)
		b.Mode, err = lamppost.ParseAgentMode(w.arg(2))
		must(err)
		if p := strings.Split(w.or("input", ""), "/"); len(p) == 3 {
			b.Inputs = []lamppost.AgentInput{{Name: p[0], Device: lamppost.DeviceID(p[1]), Reading: p[2]}}
		}
		if name, value, ok := strings.Cut(w.or("rule", ""), "/"); ok {
			b.Rules = []lamppost.AgentRule{{Name: name, Value: *decimal(value)}}
		}
		return lamppost.TxAgent, b
	case "decisions":
		b := lamppost.DecisionsBody{Model: lamppost.Model{ID: "agent", Version: 1}}
		for _, spec := range w.args {
			p := strings.Split(spec, "/")
			x := lamppost.Decision{Device: lamppost.DeviceID(p[0]), Kind: kind, At: d.time(p[3]), Until: d.time(p[4]), Gain: money(p[5]), Spend: money(p[6]), Currency: w.or("currency", "EUR"),
				Action: lamppost.Action{Name: "power", Value: *decimal(p[2]), Unit: "W"}, Reasons: []lamppost.VerdictReason{{Code: "price_low"}}}
			x.Mode, err = lamppost.ParseAgentMode(p[1])
			must(err)
			b.Decisions = append(b.Decisions, x)
		}
		for _, spec := range strings.FieldsFunc(w.or("outcome", ""), func(r rune) bool { return r == ',' }) {
			p := strings.Split(spec, "/")
			id, err := lamppost.ParseDecisionID(p[0])
			must(err)
			b.Outcomes = append(b.Outcomes, lamppost.DecisionOutcome{Decision: id, Until: d.time(p[1]), Gain: money(p[2]), Spent: money(p[3]), Expected: money(p[4]), Measured: 1000})
		}
		return lamppost.TxDecisions, b
	case "learn":
		return lamppost.TxLearn, d.learn(w)
	}
	panic("unknown verb " + w.verb)
}

func (d *desk) learn(w words) lamppost.LearnBody {
	b := lamppost.LearnBody{Model: w.arg(0), Base: lamppost.Hash{byte(number(w.arg(1)))}, Data: lamppost.Hash{1}, Rows: uint64(number(w.or("rows", "10"))), Metric: "mae",
		Before: lamppost.Dec(5, -1), After: lamppost.Dec(4, -1), Statistics: []byte{1}, Gateway: lamppost.MemberID(w.or("gateway", ""))}
	if b.Gateway != "" {
		must(b.Sign(w.or("word-net", d.net.ID), ledgertest.Key(w.or("key", string(b.Gateway)), sig.EdDSA)))
	}
	if w.has("changed") {
		b.Rows++
	}
	return b
}

// Of a device's decisions the state keeps the latest 256; the order of an older one stands, and its outcome is refused.
func TestDecisionsKept(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.answer("genesis\nparty acme\ndevice cell acme\nagent cell storage bounded")
	const extra = 3
	for i := range 256 + extra {
		if said := d.answer("decisions cell/bounded/1/-0s/+1m/1.00/0"); said != "ok" {
			t.Fatalf("decision %d: %s", i, said)
		}
	}
	v := ledger.View{Reader: d.store}
	next := d.height
	err := v.DecisionsOf("cell", func(x *ledger.Decision) error {
		if again, err := v.Decision(x.ID); err != nil || x.ID.Height != next || again.ID != x.ID {
			t.Errorf("%s (again %s, %v) in the place of that of block %d", x.ID, again.ID, err, next)
		}
		next--
		return nil
	})
	if err != nil || next != 1+extra {
		t.Errorf("kept down to block %d, %v; want %d", next+1, err, 2+extra)
	}
	if _, err := v.Decision(lamppost.DecisionID{Height: next}); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the decision before: %v", err)
	}
	if r, err := v.Records("cell"); err != nil || len(r) != 1 || r[0].Acted.Decisions != 256+extra {
		t.Errorf("the record counts %+v, %v", r, err)
	}
}

// showAgents shows what agents decided.
func (d *desk) showAgents(w words) (out []string) {
	v := ledger.View{Reader: d.store}
	line := func(x *ledger.Decision) error {
		s := fmt.Sprintf("%s %s %s: %s %s, expected %s", x.ID, x.Body.Device, x.Body.Mode, x.Body.Action.Value, x.Body.Action.Unit, x.Body.Gain)
		if o := x.Outcome; o != nil {
			s += fmt.Sprintf(", gained %s, spent %s", o.Gain, o.Spent)
		}
		out = append(out, s)
		return nil
	}
	switch w.arg(0) {
	case "agents":
		all, err := v.Agents()
		must(err)
		for _, b := range all {
			out = append(out, fmt.Sprintf("%s %s %s at %s, %d inputs, %d rules", b.Device, b.Kind, b.Mode, b.Member, len(b.Inputs), len(b.Rules)))
		}
	case "decisions":
		must(v.DecisionsOf(lamppost.DeviceID(w.arg(1)), line))
	case "decision":
		id, err := lamppost.ParseDecisionID(w.arg(1))
		must(err)
		x, err := v.Decision(id)
		if err != nil {
			return []string{err.Error()}
		}
		must(line(&x))
	case "track":
		all, err := v.Records(lamppost.DeviceID(w.arg(1)))
		must(err)
		for _, r := range all {
			for i, t := range [...]ledger.Tally{r.Acted, r.Advised} {
				name := [...]string{"acted", "advised"}[i]
				if t != (ledger.Tally{}) {
					out = append(out, fmt.Sprintf("%s %s: %d decisions, %d over, %d better, %d worse, expected %s %s, realised %s", r.Month, name, t.Decisions, t.Outcomes, t.Better, t.Worse, t.Expected, r.Currency, t.Realised))
				}
			}
			if r.Safe > 0 {
				out = append(out, fmt.Sprintf("%s safe: %d", r.Month, r.Safe))
			}
		}
	case "updates":
		all, err := v.Updates(w.arg(1))
		must(err)
		for _, u := range all {
			out = append(out, fmt.Sprintf("%s on %d by %s: %d rows, %s %s to %s", u.Model, u.Base[0], u.By, u.Rows, u.Metric, u.Before, u.After))
		}
	default:
		panic("show what?")
	}
	if len(out) == 0 {
		out = []string{"nothing"}
	}
	return out
}
