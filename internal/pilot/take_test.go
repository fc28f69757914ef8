package pilot_test

import (
	"errors"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

// madeLamp is what a lamp's controller decided: full light while so many vehicles pass.
func madeLamp(at lamppost.TimeMS, vehicles int64, samples []pilot.Sample) pilot.Made {
	in := &agent.Inputs{Format: 1, Device: "lamp", Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, At: at, Step: 900_000, Steps: 1, Currency: "EUR", Bounds: agent.Bounds{Most: 1000},
		Lamp: &agent.Lamp{Full: 100, Dark: 10, Sensed: &vehicles, Needs: []agent.Need{{Level: 300}, {From: 100, Level: 1000}}}}
	for _, name := range []string{"daylight", "traffic", "price"} {
		in.Forecasts = append(in.Forecasts, agent.Forecast{Name: name, Usable: true, Points: []agent.Point{{At: at}}})
	}
	in.Forecasts[2].Points[0] = agent.Point{At: at, Mean: 200_000, Low: 200_000, High: 200_000}
	return pilot.Made{Decision: agent.Record(in), Inputs: in.Encode(), Samples: samples}
}

// What a controller decided stands on the ledger as what a node decides does: its inputs are kept, it replays, and its outcome, from what the controller
// saw, comes with the next one. Given twice it stands once; nobody is told; a device without an agent is refused.
func TestTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("lamp", lamppost.Ordinary)
	w.spot(24)
	take := func(made ...pilot.Made) error { return w.Take(t.Context(), w.now, made) }
	first := madeLamp(w.now, 5, nil)
	var refused *lamppost.Refusal
	if err := take(first); !errors.As(err, &refused) || refused.Code != lamppost.CodeUnknown {
		t.Fatalf("without an agent: %v", err)
	}
	w.must(lamppost.TxAgent, lamppost.AgentBody{Device: "lamp", Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, Member: "m1", Currency: "EUR", Tariff: "spot"})
	w.busy = true
	if err := take(first); err == nil || errors.As(err, &refused) {
		t.Fatalf("while nothing is ordered: %v", err)
	}
	w.busy = false
	for range 2 {
		if err := take(first); err != nil {
			t.Fatal(err)
		}
	}
	begun := w.now
	w.now += 3600_000
	hour := pilot.Sample{At: w.now, For: 3600_000, Known: pilot.KnowsLamp, Price: 200_000, Traffic: 5, Actual: 300}
	if err := take(madeLamp(w.now, 500, []pilot.Sample{hour})); err != nil {
		t.Fatal(err)
	}
	d := w.decisions("lamp")
	if len(d) != 2 || d[1].Body.At != begun || d[1].Outcome == nil || d[0].Outcome != nil || len(w.told) != 0 {
		t.Fatalf("%+v, told %v", d, w.told)
	}
	if o := d[1].Outcome; o.Gain != 14_000 || o.Spent != 6_000 || o.Measured != 1000 { // 70 of 100 Wh at 0.20
		t.Errorf("came to %+v", *o)
	}
	for i := range d {
		w.replays(&d[i])
	}
}

// Inputs are kept for 32 days; but what was decided before a longer stop can be explained when the node begins again, until the second decision then.
func TestKeptOverALongStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("lamp", lamppost.Ordinary)
	w.spot(24)
	w.must(lamppost.TxAgent, lamppost.AgentBody{Device: "lamp", Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, Member: "m1", Currency: "EUR", Tariff: "spot"})
	const day = 24 * 3600_000
	first := w.now
	for i, kept := range []bool{true, true, false} {
		if i == 1 {
			w.now += 40 * day
		}
		if err := w.Take(t.Context(), w.now, []pilot.Made{madeLamp(w.now, int64(i), nil)}); err != nil {
			t.Fatal(err)
		}
		if _, err := pilot.ReadEvidence(w.store, &lamppost.Decision{Device: "lamp", At: first}); (err == nil) != kept {
			t.Errorf("decision %d: %v", i, err)
		}
		w.now += 3600_000
	}
}
