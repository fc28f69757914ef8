package agent_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// FuzzDecide: whatever the inputs are, reading them back gives the same bytes, deciding does not panic, the action stays within its bounds and never
// falls under the guard's minimum, a lamp that can shows what traffic requires, and replaying gives the same bytes.
func FuzzDecide(f *testing.F) {
	for _, c := range cases {
		f.Add(c.in.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := agent.ParseInputs(data)
		if err != nil {
			return
		}
		if !bytes.Equal(in.Encode(), data) {
			t.Fatal("encodes to other bytes")
		}
		d := agent.Decide(in)
		checkBounds(t, in, d)
		if in.Kind == lamppost.AgentCharger && len(data) > 2000 {
			return // replaying looks for flips, which takes long
		}
		a, errA := agent.Replay(data)
		b, errB := agent.Replay(data)
		if errA != nil || errB != nil || !bytes.Equal(lamppost.Marshal(a), lamppost.Marshal(b)) || a.Action != d.Action {
			t.Fatalf("replays to %+v and %+v", a, b)
		}
	})
}

func checkBounds(t *testing.T, in *agent.Inputs, d lamppost.Decision) {
	t.Helper()
	value := d.Action.Value.Mantissa
	if value < in.Bounds.Least || value > max(in.Bounds.Most, in.Bounds.Least) {
		t.Fatalf("%d is not from %d to %d", value, in.Bounds.Least, in.Bounds.Most)
	}
	if len(d.Reasons) == 0 || len(d.Reasons) > agent.MaxReasons || len(d.Alternatives) > 2 {
		t.Fatalf("%+v", d)
	}
	if d.Mode != lamppost.AgentBounded && d.Mode != lamppost.AgentAdvises {
		return
	}
	switch {
	case in.Lamp != nil && in.Kind == lamppost.AgentLamp && in.Lamp.Sensed != nil && !byDay(d):
		if need := in.Lamp.Required(*in.Lamp.Sensed); value < min(need, in.Bounds.Most) {
			t.Fatalf("%d though %d is required", value, need)
		}
	case in.Kind == lamppost.AgentCharger && in.Bounds.Least <= 0:
		if value > in.Charger.Limit {
			t.Fatalf("%d W of a site with %d W", value, in.Charger.Limit)
		}
	case in.Kind == lamppost.AgentStorage && in.Bounds.Least <= 0 && in.Bounds.Most >= 0:
		if value > in.Storage.In || -value > in.Storage.Out {
			t.Fatalf("%d W of a storage %+v", value, in.Storage)
		}
	}
	if in.Budget != nil && in.Kind != lamppost.AgentLamp && in.Bounds.Least <= 0 && int64(d.Spend) > max(0, int64(*in.Budget)) {
		t.Fatalf("spends %v of %v", d.Spend, *in.Budget)
	}
}

func byDay(d lamppost.Decision) bool {
	return slices.ContainsFunc(d.Reasons, func(r lamppost.VerdictReason) bool { return r.Code == "daylight" })
}
