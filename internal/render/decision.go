package render

import (
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A Decided is an agent's decision in words.
type Decided struct {
	Title        string   `json:"title"`                  // what the device does, from when on
	Why          []string `json:"why"`                    // the weightiest first
	Gain         string   `json:"gain,omitempty"`         // what is expected against the safe rule
	Alternatives []string `json:"alternatives,omitempty"` // the best first
	Flip         string   `json:"flip,omitempty"`         // what would have changed it
	Outcome      string   `json:"outcome,omitempty"`      // what it came to
}

// decisionReasons are the codes of agents, with the unit of their numbers: "money" and "price" are in the agent's currency.
var decisionReasons = map[string]string{
	"nobody": "", "departure": "Wh", "departs_too_soon": "Wh", "fair_share": "Wh", "cheapest_now": "price", "cheaper_later": "price", "dearer_later": "price",
	"bad_inputs": "", "stopped": "", "no_forecast": "", "stale_forecast": "", "unusable_forecast": "", "short_forecast": "", "bad_forecast": "", "spending_limit": "money",
	"daylight": "lx", "required_now": "1/h", "traffic": "1/h", "price": "price", "surplus": "W", "load": "W", "stored": "Wh", "essential": "", "no_leak": "", "cleared": "",
	"tried": "", "in_use": "", "vacant": "", "use": "L/h", "leak": "L/h", "site_share": "W", "site_price": "price",
}

// quantities are what forecasts and flips are about.
var quantities = []string{"price", "traffic", "daylight", "load", "use", "sensed", "limit", "need", "stored", "leak", "sure"}

// DecisionOf puts a decision into words. An outcome may be nil. Codes of later versions stand there with their numbers. An unknown language is an
// [*InputError].
func DecisionOf(d *lamppost.Decision, o *lamppost.DecisionOutcome, r Reader) (*Decided, error) {
	l, err := newLocale(r.Lang)
	if err != nil {
		return nil, err
	}
	t := decider{teller{l, r.Zone, Judged{Verdict: &lamppost.Verdict{At: d.At}}}, d}
	out := &Decided{Title: t.l.text("agent.mode."+d.Mode.String(), "device", string(d.Device), "action", t.action(&d.Action), "time", l.moment(r.Zone, d.At)), Why: []string{}}
	for i := range d.Reasons {
		out.Why = append(out.Why, sentence(t.why(&d.Reasons[i])))
	}
	if d.Mode == lamppost.AgentAdvises || d.Mode == lamppost.AgentBounded {
		out.Gain = sentence(l.text("agent.gain", "gain", t.money(d.Gain)))
	}
	for i := range d.Alternatives {
		a := &d.Alternatives[i]
		out.Alternatives = append(out.Alternatives, l.text("agent.alternative", "action", t.action(&a.Action), "gain", t.money(a.Gain)))
	}
	if f := d.Flip; f != nil {
		key := "agent.flip.above"
		if f.Below {
			key = "agent.flip.below"
		}
		out.Flip = sentence(l.text(key, "what", t.what(f.What), "threshold", t.unit(&f.Threshold, f.Unit), "action", t.action(&f.Other)))
	}
	if o != nil {
		out.Outcome = sentence(l.text("agent.outcome", "time", l.moment(r.Zone, o.Until), "gain", t.money(o.Gain), "expected", t.money(o.Expected)))
	}
	return out, nil
}

// TellDecision is DecisionOf for a reader in a location.
func TellDecision(d *lamppost.Decision, o *lamppost.DecisionOutcome, lang string, loc *time.Location) (*Decided, error) {
	const around = 400 * 24 * 3600 * 1000
	return DecisionOf(d, o, Reader{Lang: lang, Zone: tariff.ZoneOf(loc, max(0, d.At-around), d.At+around)})
}

// A decider makes sentences about one decision.
type decider struct {
	teller
	d *lamppost.Decision
}

func (t decider) why(r *lamppost.VerdictReason) string {
	of, known := decisionReasons[r.Code]
	is := func(d *lamppost.Decimal) string { return t.unit(d, of) }
	switch of {
	case "money":
		is = func(d *lamppost.Decimal) string { return t.unit(d, t.d.Currency) }
	case "price":
		is = func(d *lamppost.Decimal) string { return t.unit(d, t.d.Currency+"/kWh") }
	}
	if !known {
		return t.unknown(r, is)
	}
	return t.l.text("agent.why."+r.Code, "value", is(r.Value), "low", is(r.Low), "high", is(r.High), "time", t.moment(r.At), "other", t.what(r.Other))
}

// what names a quantity.
func (t decider) what(name string) string {
	if slices.Contains(quantities, name) {
		return t.l.text("agent.of." + name)
	}
	return strings.ReplaceAll(name, "_", " ")
}

func (t decider) action(a *lamppost.Action) string {
	return t.l.text("agent.do."+a.Name, "value", t.unit(&a.Value, a.Unit))
}

func (t decider) money(m lamppost.Micro) string {
	return t.withUnit(trimCents(m.String()), t.d.Currency)
}

// trimCents leaves two digits after the point where the amount is not smaller than that.
func trimCents(s string) string {
	whole, fraction, ok := strings.Cut(s, ".")
	if !ok || len(fraction) <= 2 {
		return s
	}
	if cents := strings.TrimLeft(strings.TrimPrefix(whole, "-"), "0"); cents == "" && strings.HasPrefix(fraction, "00") {
		return s // less than a cent
	}
	return whole + "." + fraction[:2]
}

// unit writes a number with its unit, without zeros that say nothing.
func (t decider) unit(d *lamppost.Decimal, unit string) string {
	if d == nil {
		return "–"
	}
	return t.withUnit(plainly(*d), unit)
}
