package pilot_test

import (
	"math"
	"testing"

	"github.com/lamppost/lamppost"
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
		h := float64(w.now%(24*3600_000)) / 3600_000
		w.says("house", "load", "W", int64(800+500*math.Sin((h-8)/12*math.Pi)))
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

// A series that is forecast takes what maxFeeds is reckoned with.
func TestFeedBytes(t *testing.T) {
	t.Parallel()
	if n := pilot.FeedBytes(); n > 237_500 {
		t.Errorf("a series takes %d bytes", n)
	}
}
