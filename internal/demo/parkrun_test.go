package demo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
)

// A site's income is that of its chargers, and an ending before anything was settled does not speak of money.
func TestParkSummary(t *testing.T) {
	t.Parallel()
	p := aCarPark(t, "")
	s := &parkSummary{reckoning: reckoning{taken: amount{1, 2}, acked: amount{1, 2}, committed: amount{1, 2}}, interrupted: true}
	var b bytes.Buffer
	s.write(&b)
	if text := b.String(); !strings.Contains(text, "Ended early") || !strings.Contains(text, "nothing billed") || strings.Contains(text, "Income") {
		t.Errorf("early: %s", text)
	}
	for i := range p.machines {
		s.income = append(s.income, income{p.machines[i].id, p.machines[i].site, lamppost.Dec(int64(1000*(i+1)), 0), lamppost.Micro(i+1) * lamppost.MicroUnit})
	}
	s.invoices, s.committed.readings = 3, 1
	b.Reset()
	s.write(&b)
	for _, want := range []string{"lower deck: 21.00 for 21.000 kWh", "upper deck: 57.00 for 57.000 kWh", "charger-07     7.00    7.000 kWh\n", "NOT EQUAL"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in %s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "nothing is held") {
		t.Error("accounts are told of that nobody checked")
	}
}
