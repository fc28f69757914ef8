package pilot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/pilot"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A world is a ledger with a pilot on a clock that the test moves.
type world struct {
	t      *testing.T
	net    *ledgertest.Network
	store  *kv.Mem
	state  *ledger.State
	height lamppost.Height
	now    lamppost.TimeMS
	latest map[string]lamppost.Reading
	told   []pilot.Command
	busy   bool // the engine takes nothing
	kin    func(lamppost.DeviceID, string) (lamppost.Hash, []*forecast.Stats, error)
	*pilot.Pilot
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start, latest: map[string]lamppost.Reading{}}
	var err error
	if w.state, err = ledger.Open(w.store); err != nil {
		t.Fatal(err)
	}
	w.must(lamppost.TxGenesis, w.net.GenesisBody())
	w.must(lamppost.TxParty, lamppost.PartyBody{ID: "acme"})
	w.open()
	return w
}

func (w *world) open() {
	var err error
	w.Pilot, err = pilot.Open(pilot.Config{Member: "m1", Records: w.store, Order: w.orderDecisions, Kin: w.kin,
		Latest: func(d lamppost.DeviceID, name string) (lamppost.Reading, bool) {
			r, ok := w.latest[string(d)+"/"+name]
			return r, ok
		},
		Command: func(_ context.Context, all []pilot.Command) error {
			w.told = append(w.told, all...)
			return nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) order(t lamppost.TxType, body any) (lamppost.Outcome, error) {
	w.height++
	w.state.Begin(w.height, w.now)
	tx := w.net.Order(w.now+3600_000, t, body)
	out, _, err := w.state.Apply(tx, tx.ID(w.net.ID), false)
	if err != nil {
		return lamppost.Outcome{}, err
	}
	var b kv.Batch
	w.state.Stage(&b)
	if err := w.store.Apply(&b); err != nil {
		return lamppost.Outcome{}, err
	}
	w.state.Committed()
	return out[0], out[0].Err()
}

func (w *world) must(t lamppost.TxType, body any) {
	w.t.Helper()
	if _, err := w.order(t, body); err != nil {
		w.t.Fatalf("%s: %v", t, err)
	}
	if w.Pilot != nil {
		w.Changed()
	}
}

func (w *world) orderDecisions(_ context.Context, b *lamppost.DecisionsBody) (lamppost.Height, uint32, error) {
	if w.busy {
		return 0, 0, errors.New("busy")
	}
	_, err := w.order(lamppost.TxDecisions, *b)
	return w.height, 0, err
}

func (w *world) device(id string, class lamppost.SafetyClass) {
	b := w.net.NewDevice(lamppost.DeviceID(id), sig.EdDSA).Body("acme")
	b.Safety = class
	w.must(lamppost.TxDevice, b)
}

// spot is a tariff that is cheap at night and dear in the evening, published for so many hours.
func (w *world) spot(hours int) {
	t := ledgertest.Tariff("spot", 1, "acme", w.now, 0)
	t.Bands = nil
	t.Series = &tariff.Series{From: w.now, StepMS: 900_000}
	for q := range 4 * hours {
		price := lamppost.Micro(200_000)
		switch h := q / 4 % 24; {
		case h < 1:
			price = 40_000
		case h < 6:
			price = 50_000
		case h >= 18 && h < 22:
			price = 400_000
		}
		t.Series.Prices = append(t.Series.Prices, price)
	}
	t.To = w.now + lamppost.TimeMS(hours)*3600_000
	w.must(lamppost.TxTariff, t)
}

func (w *world) says(device, name, unit string, v int64) {
	w.latest[device+"/"+name] = lamppost.Reading{Name: name, Unit: unit, Time: w.now, Value: lamppost.Dec(v, 0)}
}

// minutes lets time pass; each begins with what devices say.
func (w *world) minutes(n int, say func()) {
	w.t.Helper()
	for range n {
		w.now += 60_000
		if say != nil {
			say()
		}
		if err := w.Tick(w.t.Context(), w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) view() ledger.View { return ledger.View{Reader: w.store} }

// decisions are a device's, the latest first.
func (w *world) decisions(id lamppost.DeviceID) (all []ledger.Decision) {
	w.t.Helper()
	if err := w.view().DecisionsOf(id, func(d *ledger.Decision) error {
		all = append(all, *d)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// A storage is one that does what it was told last.
type storage struct {
	w      *world
	stored float64 // Wh
	power  int64
}

func (s *storage) minute() {
	for ; len(s.w.told) > 0; s.w.told = s.w.told[1:] {
		s.power = 0
		if a := s.w.told[0].Action; a != nil {
			s.power, _ = a.Value.At(0)
		}
	}
	e := float64(s.power) / 60
	if e > 0 {
		e *= 0.95
	} else {
		e /= 0.95
	}
	s.stored = math.Min(10_000, math.Max(0, s.stored+e))
	s.w.says("cell", "stored", "Wh", int64(s.stored))
	s.w.says("cell", "power", "W", s.power)
}

func storageAgent(mode lamppost.AgentMode) lamppost.AgentBody {
	return lamppost.AgentBody{Device: "cell", Kind: lamppost.AgentStorage, Mode: mode, Member: "m1", Currency: "EUR", Tariff: "spot",
		Inputs: []lamppost.AgentInput{{Name: "power", Device: "cell", Reading: "power"}, {Name: "stored", Device: "cell", Reading: "stored"}}, Rules: []lamppost.AgentRule{{Name: "feed", Value: lamppost.Dec(100, 0), Unit: "%"}}}
}

// A storage earns money by a published price series: it charges at night and gives back in the evening, decisions and outcomes stand on the ledger, few of
// them, what came is what was expected, and each replays byte for byte, its outcome too.
func TestStorage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.spot(72)
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
	s := &storage{w: w}
	w.minutes(24*60, s.minute)
	records, err := w.view().Records("cell")
	if err != nil || len(records) != 1 {
		t.Fatalf("%+v, %v", records, err)
	}
	r := records[0].Acted
	// 10 kWh, bought at 0.05 and sold at 0.40 with 5 % lost each way: 3.27.
	if r.Realised < 3_000_000 || r.Realised > 3_300_000 || r.Better == 0 || r.Worse > 0 {
		t.Errorf("a day came to %+v", r)
	}
	if d := r.Realised - r.Expected; d < -100_000 || d > 100_000 {
		t.Errorf("expected %s, realised %s, at prices that were known", r.Expected, r.Realised)
	}
	if r.Decisions > 100 {
		t.Errorf("%d decisions in a day: the ledger has one when the action changes, or an hour is over, and a store that fills is charged with less and less", r.Decisions)
	}
	for _, d := range w.decisions("cell") {
		w.replays(&d)
	}
	t.Logf("%+v", r)
}

// replays holds a decision and its outcome against what was kept.
func (w *world) replays(d *ledger.Decision) {
	w.t.Helper()
	e, err := pilot.ReadEvidence(w.store, &d.Body)
	if err != nil {
		w.t.Fatalf("%s: %v", d.ID, err)
	}
	again, err := agent.Replay(e.Inputs)
	if err != nil || !bytes.Equal(lamppost.Marshal(again), lamppost.Marshal(d.Body)) {
		w.t.Errorf("%s replays as %+v, %v; was %+v", d.ID, again, err, d.Body)
	}
	if d.Outcome == nil {
		return
	}
	in, err := agent.ParseInputs(e.Inputs)
	if err != nil {
		w.t.Fatal(err)
	}
	var data pilot.Data
	if err := lamppost.Unmarshal(e.Data, &data); err != nil {
		w.t.Fatal(err)
	}
	o := pilot.Realise(in, &d.Body, &data)
	if o.Gain != d.Outcome.Gain || o.Expected != d.Outcome.Expected || o.Spent != d.Outcome.Spent || o.Measured != d.Outcome.Measured || sha256.Sum256(e.Data) != d.Outcome.Data {
		w.t.Errorf("%s came to %+v again; was %+v", d.ID, o, *d.Outcome)
	}
}

// What an owner says holds from the next minute on: advice is recorded and nobody is told; stopped, the device is let go and nothing but the safe rule is
// decided; an order that was on its way when the owner stopped it is refused and counted.
func TestModes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.spot(72)
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentAdvises))
	w.says("cell", "stored", "Wh", 1000)
	say := func() { w.says("cell", "stored", "Wh", 1000) }
	w.minutes(2, say)
	if d := w.decisions("cell"); len(d) != 1 || d[0].Body.Mode != lamppost.AgentAdvises || d[0].Body.Action.Value.Mantissa <= 0 || len(w.told) != 0 {
		t.Fatalf("advice: %+v, told %v", d, w.told)
	}
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
	w.minutes(1, say)
	if len(w.told) != 1 || w.told[0].Action == nil || w.told[0].Until <= w.now {
		t.Fatalf("told %+v", w.told)
	}
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentStopped))
	w.minutes(70, say)
	if len(w.told) != 2 || w.told[1].Action != nil {
		t.Errorf("stopped: told %+v", w.told)
	}
	d := w.decisions("cell")
	if d[0].Body.Mode != lamppost.AgentStopped || d[0].Body.Action.Value.Mantissa != 0 || len(d) != 4 {
		t.Errorf("stopped: %d decisions, %+v", len(d), d[0].Body)
	}
	r, err := w.view().Records("cell")
	if err != nil || r[0].Safe != 2 || r[0].Advised.Decisions != 1 || r[0].Acted.Decisions != 1 {
		t.Errorf("recorded: %+v, %v", r, err)
	}
}

// Where a forecast or an input cannot be used, the safe rule is what is decided, recorded as such with the reason, and the device is let go.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"no reading":     func(w *world) { delete(w.latest, "cell/stored") },
		"an old reading": func(w *world) { w.now += 3600_000 },
		"not a number": func(w *world) {
			w.latest["cell/stored"] = lamppost.Reading{Unit: "Wh", Time: w.now + 60_000, IsFloat: true, Float: math.NaN()}
		},
		"beyond all bounds": func(w *world) {
			w.latest["cell/stored"] = lamppost.Reading{Unit: "Wh", Time: w.now + 60_000, IsFloat: true, Float: 1e300}
		},
		"marked faulty": func(w *world) {
			r := w.latest["cell/stored"]
			r.Quality = lamppost.Faulty
			w.latest["cell/stored"] = r
		},
		"no prices any more": func(w *world) { w.now += 72 * 3600_000; w.says("cell", "stored", "Wh", 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.device("cell", lamppost.Ordinary)
			w.spot(48)
			w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
			w.minutes(2, func() { w.says("cell", "stored", "Wh", 1000) })
			if d := w.decisions("cell"); len(d) != 1 || d[0].Body.Mode != lamppost.AgentBounded {
				t.Fatalf("before: %+v", d)
			}
			spoil(w)
			w.minutes(1, nil)
			d := w.decisions("cell")
			if len(d) != 2 || d[0].Body.Mode != lamppost.AgentSafe || d[0].Body.Action.Value.Mantissa != 0 || len(w.told) != 2 || w.told[1].Action != nil {
				t.Errorf("%d decisions, %+v, told %+v", len(d), d[0].Body, w.told)
			}
			w.replays(&d[0])
		})
	}
}

// A spending limit bounds what is decided: an agent that knows what is left decides for less, and when nothing is left for nothing.
func TestSpendingLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.spot(72)
	w.must(lamppost.TxPoint, lamppost.PointBody{ID: "feed", Device: "cell", Register: "energy", Unit: "Wh"})
	w.must(lamppost.TxCentre, lamppost.CentreBody{Device: "cell", Point: "feed", Tariff: "spot", Version: 1, From: w.now + 900_000, Currency: "EUR", Shares: []lamppost.Share{{Party: "acme", Parts: 1}}, Limit: 100_000, LimitDays: 1})
	w.now += 900_000
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
	s := &storage{w: w}
	for range 5 * 60 {
		w.minutes(1, s.minute)
		if x, err := w.view().Spending("cell", w.now); err != nil || x.Decided > x.Limit {
			t.Fatalf("decided on %+v, %v", x, err)
		}
	}
	if x, err := w.view().Spending("cell", w.now); err != nil || x.Decided < x.Limit*9/10 || s.stored < 1500 || s.stored > 2500 {
		t.Errorf("decided on %+v, %v, %.0f Wh stored", x, err, s.stored)
	}
	if c := w.Counts(); c.Refused != 0 {
		t.Errorf("%d decisions were refused: an agent knows its limit", c.Refused)
	}
}

// A restart goes on with the decision that holds: it is not said again, and its outcome comes. An engine that takes nothing loses nothing but time.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.spot(72)
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
	s := &storage{w: w}
	w.minutes(30, s.minute)
	before := len(w.decisions("cell"))
	w.open()
	w.minutes(5, s.minute)
	if now := len(w.decisions("cell")); now != before {
		t.Errorf("%d decisions after a restart, %d before", now, before)
	}
	w.busy = true
	w.minutes(60, s.minute)
	w.busy = false
	w.minutes(2, s.minute)
	d := w.decisions("cell")
	if len(d) != before+1 || d[1].Outcome == nil || d[1].Outcome.Measured == 0 {
		t.Errorf("%d decisions, %+v", len(d), d[1].Outcome)
	}
}

// An erasure takes what decisions were made from, also of agents that observe the device.
func TestErase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.spot(72)
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentBounded))
	s := &storage{w: w}
	w.minutes(70, s.minute)
	d := w.decisions("cell")
	if err := w.Erase([]lamppost.DeviceID{"cell"}, w.now); err != nil {
		t.Fatal(err)
	}
	for i := range d {
		if _, err := pilot.ReadEvidence(w.store, &d[i].Body); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("%s: %v", d[i].ID, err)
		}
	}
	w.minutes(2, s.minute)
	if now := w.decisions("cell"); len(now) <= len(d) && now[0].ID == d[0].ID {
		t.Error("nothing is decided any more")
	}
}

// A lamp of class public is never asked for less than its minimum, and by day for nothing.
func TestLamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device("lamp", lamppost.Public)
	w.device("road", lamppost.Ordinary)
	w.spot(200)
	w.must(lamppost.TxAgent, lamppost.AgentBody{Device: "lamp", Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, Member: "m1", Currency: "EUR", Tariff: "spot",
		Inputs: []lamppost.AgentInput{{Name: "daylight", Device: "road", Reading: "lux"}, {Name: "traffic", Device: "road", Reading: "cars"}},
		Rules:  []lamppost.AgentRule{{Name: "level_0", Value: lamppost.Dec(30, 0)}, {Name: "level_100", Value: lamppost.Dec(60, 0)}, {Name: "level_300", Value: lamppost.Dec(100, 0)}, {Name: "sensor", Value: lamppost.Dec(1, 0)}}})
	w.minutes(5*24*60, func() {
		h := float64(w.now%(24*3600_000)) / 3600_000
		w.says("road", "lux", "lx", int64(math.Max(0, 20_000*math.Sin((h-6)/12*math.Pi))))
		w.says("road", "cars", "1/h", int64(200+190*math.Sin((h-8)/12*math.Pi)))
	})
	modes := map[string]int{}
	for _, d := range w.decisions("lamp") {
		modes[d.Body.Mode.String()]++
		if d.Body.Mode == lamppost.AgentBounded && d.Body.Action.Value.Cmp(lamppost.Dec(100, 0)) < 0 {
			t.Fatalf("a public function without a charter keeps all its level: %+v", d.Body)
		}
	}
	if modes["bounded"] == 0 {
		t.Errorf("no forecast could be used: %v", modes)
	}
}

// A minute of a thousand agents of all kinds costs at most 100 ms of CPU, when nothing changes.
func BenchmarkThousand(b *testing.B) {
	t := &testing.T{}
	w := newWorld(t)
	w.spot(72)
	for i := range 1000 {
		id := fmt.Sprintf("cell-%d", i)
		w.device(id, lamppost.Ordinary)
		a := storageAgent(lamppost.AgentAdvises)
		a.Device = lamppost.DeviceID(id)
		a.Inputs = []lamppost.AgentInput{{Name: "stored", Device: a.Device, Reading: "stored"}}
		w.must(lamppost.TxAgent, a)
	}
	say := func() {
		for i := range 1000 {
			w.says(fmt.Sprintf("cell-%d", i), "stored", "Wh", 4000)
		}
	}
	say()
	w.now += 60_000
	if err := w.Tick(b.Context(), w.now); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		w.now += 60_000
		b.StopTimer()
		say()
		b.StartTimer()
		if _, err := w.Decide(w.now); err != nil {
			b.Fatal(err)
		}
	}
}
