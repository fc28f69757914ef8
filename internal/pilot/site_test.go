package pilot_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

// Devices of different kinds on one site trade: what they were told never draws more than the share, the storage gives what the charger lacks, both say
// at which price, and each replays with the others' offers.
func TestSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.device("car", lamppost.Ordinary)
	w.spot(72)
	share := lamppost.AgentRule{Name: "share", Value: lamppost.Dec(4000, 0), Unit: "W"}
	cell := storageAgent(lamppost.AgentBounded)
	cell.Site, cell.Rules = "yard", append(cell.Rules, share)
	w.must(lamppost.TxAgent, cell)
	w.must(lamppost.TxAgent, lamppost.AgentBody{Device: "car", Kind: lamppost.AgentCharger, Mode: lamppost.AgentBounded, Member: "m1", Currency: "EUR", Tariff: "spot", Site: "yard",
		Inputs: []lamppost.AgentInput{{Name: "departs", Device: "car", Reading: "departs"}, {Name: "need", Device: "car", Reading: "need"}}, Rules: []lamppost.AgentRule{share}})
	need, departs := 0.0, int64(0)
	stored, told := 6000.0, map[lamppost.DeviceID]int64{}
	gave, drew := int64(0), int64(0)
	w.minutes(6*60, func() {
		for _, c := range w.told {
			told[c.Device] = 0
			if c.Action != nil {
				told[c.Device], _ = c.Action.Value.At(0)
			}
		}
		w.told = nil
		if sum := told["car"] + told["cell"]; sum > 4000 {
			t.Fatalf("%d W are drawn, %+v", sum, told)
		}
		gave, drew = min(gave, told["cell"]), max(drew, told["car"])
		if m := int64(w.now) / 60_000 % 240; m == 0 { // a car comes every four hours and stays for two
			need, departs = 12_000, int64(w.now)/1000+7200
		} else if m == 120 {
			need = 0
		}
		need = max(0, need-float64(told["car"])/60)
		stored = min(10_000, max(0, stored+float64(told["cell"])/60))
		w.says("car", "need", "Wh", int64(need))
		w.says("car", "departs", "s", departs)
		w.says("cell", "stored", "Wh", int64(stored))
	})
	if gave >= 0 || drew <= 4000 {
		t.Errorf("the storage gave %d W, the car drew %d W at most", gave, drew)
	}
	traded := 0
	for _, id := range []lamppost.DeviceID{"car", "cell"} {
		for _, d := range w.decisions(id) {
			w.replays(&d)
			e, err := pilot.ReadEvidence(w.store, &d.Body)
			if err != nil {
				t.Fatal(err)
			}
			in, err := agent.ParseInputs(e.Inputs)
			if err != nil || in.Site == nil || in.Site.Limit != 4000 {
				t.Fatalf("%s: %+v, %v", d.ID, in, err)
			}
			if d.Body.Reasons[0].Code == "site_share" {
				traded++
			}
		}
	}
	if traded == 0 {
		t.Error("nothing was traded")
	}
}
