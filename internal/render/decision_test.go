package render_test

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

// A decision is told with its numbers, in units and notation of the reader's language; what this version does not know stands there all the same.
func TestDecisionWords(t *testing.T) {
	t.Parallel()
	price, low := lamppost.Dec(210_000, -6), lamppost.Dec(50_000, -6)
	power := func(w int64) lamppost.Action {
		return lamppost.Action{Name: "power", Value: lamppost.Dec(w, 0), Unit: "W"}
	}
	d := &lamppost.Decision{Device: "cell-1", Kind: lamppost.AgentStorage, At: 1_800_000_000_000, Until: 1_800_000_900_000, Mode: lamppost.AgentBounded, Action: power(-2500), Gain: 312_345, Currency: "EUR",
		Reasons:      []lamppost.VerdictReason{{Code: "cheaper_later", Value: &price, Low: &low, High: &low, At: 1_800_003_600_000}, {Code: "bad_forecast", Other: "load"}, {Code: "of_next_year", Value: &low}},
		Alternatives: []lamppost.Alternative{{Action: power(0), Gain: 4_000}}, Flip: &lamppost.Flip{What: "price", Threshold: price, Unit: "EUR/kWh", Below: true, Other: power(5000)}}
	o := &lamppost.DecisionOutcome{Until: d.Until, Gain: 300_000, Expected: 310_000}
	for lang, want := range map[string]string{
		"en": `cell-1 from 15 January 2027, 08:00 on: power −2.5 kW
Now it costs 0.21 EUR/kWh, at 15 January 2027, 09:00 from 0.05 EUR/kWh to 0.05 EUR/kWh.
The forecast makes no sense: the site’s load.
Expected over the time that was looked ahead, against the safe rule: 0.31 EUR.
power 0 W: 0.004 EUR
Had the price stayed under 0.21 EUR/kWh, it would have been: power 5 kW.
Until 15 January 2027, 08:15 it came to 0.30 EUR, where 0.31 EUR was expected of that time.`,
		"de": "Hätte der Preis unter 0,21 EUR/kWh gelegen, wäre es gewesen: Leistung 5 kW.",
	} {
		w, err := render.DecisionOf(d, o, render.Reader{Lang: lang, Zone: tariff.Zone{Name: "UTC"}})
		if err != nil {
			t.Fatal(err)
		}
		all := strings.ReplaceAll(strings.Join(append(append(append([]string{w.Title}, w.Why[:2]...), append([]string{w.Gain}, w.Alternatives...)...), w.Flip, w.Outcome), "\n"), "\u00a0", " ")
		if !strings.Contains(all, want) || !strings.Contains(w.Why[2], "of next year") {
			t.Errorf("%s:\n%s\n%q\nwant\n%s", lang, all, w.Why[2], want)
		}
	}
	if _, err := render.DecisionOf(d, nil, render.Reader{Lang: "tlh"}); err == nil {
		t.Error("an unknown language is not refused")
	}
}
