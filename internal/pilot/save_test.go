package pilot_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/pilot"
)

// loaded is a storage beside a house whose load is forecast.
func loaded(w *world) func() {
	w.device("cell", lamppost.Ordinary)
	w.device("house", lamppost.Ordinary)
	w.spot(200)
	a := storageAgent(lamppost.AgentBounded)
	a.Inputs = []lamppost.AgentInput{{Name: "load", Device: "house", Reading: "load"}, {Name: "stored", Device: "cell", Reading: "stored"}}
	w.must(lamppost.TxAgent, a)
	return func() {
		w.says("house", "load", "W", int64(house(w.now)+noise(int64(w.now/pilot.Step))))
		w.says("cell", "stored", "Wh", 4000)
	}
}

func (w *world) kept() (keys []string) {
	w.t.Helper()
	if err := w.store.Scan([]byte("nAf"), []byte("nAg"), func(key, _ []byte) error {
		keys = append(keys, string(key))
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// A restart, after a stop or a crash, does not make an agent follow its safe rule: what its forecasts knew was kept.
func TestForecastsOutliveRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := loaded(w)
	w.minutes(3*24*60, say)
	mode := func(what string, want lamppost.AgentMode) {
		t.Helper()
		w.minutes(61, say)
		if d := w.decisions("cell")[0].Body; d.Mode != want {
			t.Errorf("after %s: %s, %+v", what, d.Mode, d.Reasons)
		}
	}
	mode("three days", lamppost.AgentBounded)
	if err := w.Close(w.now); err != nil {
		t.Fatal(err)
	}
	w.open()
	mode("a stop", lamppost.AgentBounded)
	w.open()
	mode("a crash", lamppost.AgentBounded)

	w.damage()
	w.open()
	mode("a crash that damaged the record", lamppost.AgentSafe)
}

func (w *world) damage() {
	var b kv.Batch
	for _, key := range w.kept() {
		b.Set([]byte(key), []byte("12345678 and no frame"))
	}
	if err := w.store.Apply(&b); err != nil {
		w.t.Fatal(err)
	}
}

// What forecasts knew goes with the device that it was observed of, and when no agent goes by it; what is observed after an erasure stays, also when
// a restart hears of that again.
func TestForecastsAreErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := loaded(w)
	w.minutes(10, say)
	if k := w.kept(); len(k) != 1 {
		t.Fatalf("kept: %q", k)
	}
	erased := w.now
	erase := func() {
		t.Helper()
		if err := w.Erase([]lamppost.DeviceID{"cell", "house"}, erased); err != nil {
			t.Fatal(err)
		}
	}
	erase()
	if err := w.Close(w.now); err != nil {
		t.Fatal(err)
	}
	if k := w.kept(); len(k) != 0 {
		t.Errorf("after an erasure: %q", k)
	}
	w.minutes(10, say)
	w.open()
	erase()
	w.minutes(1, say)
	if k := w.kept(); len(k) != 1 {
		t.Errorf("observed after it: %q", k)
	}
	w.must(lamppost.TxAgent, storageAgent(lamppost.AgentStopped))
	w.minutes(1, say)
	if k := w.kept(); len(k) != 0 {
		t.Errorf("of an agent that forecasts nothing: %q", k)
	}
}

// A new device's forecasts begin with what others have learnt: after three days they are nearer to what comes, also when that is heard of later, or
// after a restart.
func TestKin(t *testing.T) {
	t.Parallel()
	kin := learnt(t)
	off := func(kin []*forecast.Stats) float64 {
		w := newWorld(t)
		asked := map[string]bool{}
		w.kin = func(id lamppost.DeviceID, reading string) (lamppost.Hash, []*forecast.Stats, error) {
			asked[string(id)+"/"+reading] = true
			return lamppost.Hash{1}, kin, nil
		}
		w.open()
		say := loaded(w)
		w.minutes(3*24*60+120, say)
		if len(asked) != 1 || !asked["house/load"] {
			t.Errorf("asked for %v", asked)
		}
		w.open()
		w.minutes(61, say)
		e, err := pilot.ReadEvidence(w.store, &w.decisions("cell")[0].Body)
		if err != nil {
			t.Fatal(err)
		}
		in, err := agent.ParseInputs(e.Inputs)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, p := range in.Forecasts[1].Points {
			sum += math.Abs(float64(p.Mean) - house(p.At-in.At%pilot.Step+pilot.Step/2))
		}
		if !in.Forecasts[1].Usable || len(in.Forecasts[1].Points) == 0 {
			t.Fatalf("%+v", in.Forecasts[1])
		}
		return sum / float64(len(in.Forecasts[1].Points))
	}
	if with, without := off(kin), off(nil); with > 0.9*without {
		t.Errorf("with kin off by %.1f W, without by %.1f W", with, without)
	}
}

// learnt is what houses of another size teach, in groups up to 96 steps.
func learnt(t *testing.T) []*forecast.Stats {
	m, err := forecast.NewModel(pilot.Step, 96)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewSeries(forecast.Settings{Step: pilot.Step, Horizon: 96})
	if err != nil {
		t.Fatal(err)
	}
	for q := range lamppost.TimeMS(40 * 96) {
		if err := s.Observe(q*pilot.Step, 3*(house(q*pilot.Step)+noise(int64(q)))); err != nil {
			t.Fatal(err)
		}
	}
	return m.Stats()
}

// house is a load by the time of the day.
func house(at lamppost.TimeMS) float64 {
	return 800 + 500*math.Sin((float64(at%(24*3600_000))/3600_000-8)/12*math.Pi)
}

// noise is the same for all of a step.
func noise(step int64) float64 { return rand.New(rand.NewPCG(uint64(step), 3)).NormFloat64() * 200 }

// A series that is forecast takes what maxFeeds is reckoned with.
func TestFeedBytes(t *testing.T) {
	t.Parallel()
	alone, kin, err := pilot.FeedBytes(learnt(t))
	if err != nil || alone > 237_500 || kin > 371_200 {
		t.Errorf("a series takes %d bytes, and %d with what others have learnt, %v", alone, kin, err)
	}
}

// BenchmarkSave is what keeping a series costs that knows five days.
func BenchmarkSave(b *testing.B) {
	w := newWorld(&testing.T{})
	say := loaded(w)
	for range 5 * 24 * 60 {
		w.now += 60_000
		say()
		if err := w.Tick(b.Context(), w.now); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if err := w.Close(w.now); err != nil { // the load's and the price's
			b.Fatal(err)
		}
	}
	size := 0
	if err := w.store.Scan([]byte("nAf"), []byte("nAg"), func(_, val []byte) error { size += len(val); return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size), "B/series")
}
