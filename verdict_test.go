package lamppost_test

import (
	"testing"

	"github.com/lamppost/lamppost"
)

// What OrderVerdicts makes the ledger takes: evidence comes first, of one device in each order, and only the last order says how far all is judged.
func TestOrderVerdicts(t *testing.T) {
	t.Parallel()
	v := func(kind lamppost.VerdictKind, device lamppost.DeviceID, suspends bool) lamppost.Verdict {
		return lamppost.Verdict{Kind: kind, Device: device, Name: "energy", Height: 1, Suspends: suspends, Reasons: []lamppost.VerdictReason{{Code: "x"}}}
	}
	model := lamppost.Model{ID: "m"}
	var found []lamppost.Verdict
	for range lamppost.MaxVerdicts + 1 {
		found = append(found, v(lamppost.Anomaly, "c", false))
	}
	found = append(found, v(lamppost.Implausible, "b", true), v(lamppost.Implausible, "a", true), v(lamppost.Implausible, "b", true))
	orders := lamppost.OrderVerdicts(model, 7, 9, found)
	want := []int{1, 2, lamppost.MaxVerdicts, 1}
	if len(orders) != len(want) {
		t.Fatalf("%d orders, want %d", len(orders), len(want))
	}
	for i := range orders {
		through := lamppost.Height(7)
		if i == len(orders)-1 {
			through = 9
		}
		if err := orders[i].Check(); err != nil || len(orders[i].Verdicts) != want[i] || orders[i].Through != through {
			t.Errorf("order %d: %d verdicts through %d, %v; want %d through %d", i, len(orders[i].Verdicts), orders[i].Through, err, want[i], through)
		}
	}
	if none := lamppost.OrderVerdicts(model, 7, 9, nil); len(none) != 1 || none[0].Through != 9 || none[0].Check() != nil {
		t.Errorf("of nothing: %+v", none)
	}
}
