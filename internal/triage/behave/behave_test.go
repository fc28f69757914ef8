package behave

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lamppost/lamppost"
)

// A world is devices that speak as theirs do, from a seed.
type world struct {
	*Fleet
	t      *testing.T
	random *rand.Rand
	now    lamppost.TimeMS
	found  map[lamppost.DeviceID][]Finding
}

const day = 24 * 60

func newWorld(t *testing.T, seed uint64) *world {
	return &world{Fleet: NewFleet(), t: t, random: rand.New(rand.NewPCG(seed, seed)), now: 1_800_000_000_000, found: map[lamppost.DeviceID][]Finding{}}
}

// usual is a minute of an honest device that sends every minute.
func (w *world) usual() Minute {
	n := 1 + uint32(w.random.IntN(3)/2)
	bytes := uint64(180 + w.random.IntN(30))
	m := Minute{At: w.now, Reports: n, Readings: uint64(2 * n), Bytes: bytes * uint64(n), Largest: bytes, From: w.now - msPerMinute + 5000, To: w.now - 1000, Sets: 1, Firmware: 77}
	m.Names[0] = Names{Hash: 11, List: "energy power"}
	if w.random.IntN(500) == 0 {
		m.Connects = 1
	}
	return m
}

func (w *world) see(id lamppost.DeviceID, m Minute) {
	w.t.Helper()
	f, err := w.Observe(id, "ada", &m, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if f != nil {
		kept := *f
		kept.Reasons = append([]Reason(nil), f.Reasons...)
		w.found[id] = append(w.found[id], kept)
	}
}

func name(i int) lamppost.DeviceID { return lamppost.DeviceID(fmt.Sprintf("m%d", i)) }

// run lets so many devices speak for so many minutes; change says what a device does instead, or that it is silent.
func (w *world) run(devices, minutes int, change func(device, minute int, m *Minute) (speaks bool)) {
	for minute := range minutes {
		w.now += msPerMinute
		for i := range devices {
			m := w.usual()
			if change == nil || change(i, minute, &m) {
				w.see(name(i), m)
			}
		}
	}
}

// hijack makes a minute as the test of a node does: twenty times as many reports, larger, about other things, by other firmware.
func hijack(m *Minute) {
	m.Reports, m.Readings, m.Bytes, m.Largest = 20*m.Reports, 160, 20*900, 960
	m.Names[0], m.Firmware, m.Forbidden, m.Topic = Names{Hash: 99, List: "cmd exec"}, 78, 3, "lp/other/report"
}

// TestHijack: a device that is taken over is told of within three minutes in which it speaks, by what changed most; nobody else is.
func TestHijack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		w.run(10, 300, nil)
		if len(w.found) > 0 {
			t.Fatalf("seed %d: found before anything happened: %+v", seed, w.found)
		}
		w.run(10, 3, func(i, _ int, m *Minute) bool {
			if i == 4 {
				hijack(m)
			}
			return true
		})
		f := w.found["m4"]
		if len(f) != 1 || len(w.found) != 1 {
			t.Fatalf("seed %d: found %+v", seed, w.found)
		}
		if f[0].Hard || f[0].Since != w.now-3*msPerMinute || len(f[0].Reasons) != MaxReasons || f[0].Score < Level {
			t.Errorf("seed %d: %+v", seed, f[0])
		}
	}
}

// TestEachChange: each part of a hijack that shows in two features is enough, and names itself.
func TestEachChange(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(m *Minute){
		"rate pace":      func(m *Minute) { m.Reports *= 20; m.Readings *= 20; m.Bytes *= 20 },
		"size largest":   func(m *Minute) { m.Bytes *= 5; m.Largest *= 5 },
		"names firmware": func(m *Minute) { m.Names[0].Hash, m.Firmware = 99, 78 },
		"bad forbidden":  func(m *Minute) { m.Bad, m.Forbidden = 9, 9 },
		"two places":     func(m *Minute) { m.Connects, m.Taken = 30, 29 },
	} {
		w := newWorld(t, 1)
		w.run(10, 1000, nil)
		w.run(10, 5, func(i, _ int, m *Minute) bool {
			if i == 4 {
				change(m)
			}
			return true
		})
		if len(w.found["m4"]) != 1 || len(w.found) != 1 {
			t.Errorf("%s: %+v", what, w.found)
			continue
		}
		share := 0.0
		for _, r := range w.found["m4"][0].Reasons {
			share += r.Share
		}
		if share < 0.9 || share > 1+1e-9 {
			t.Errorf("%s: reasons make %.3f of the score: %+v", what, share, w.found["m4"][0].Reasons)
		}
	}
}

// TestHonest: restarts, an outage of a day after which the backlog comes in a burst, a device that is off at night, and one that is new
// are no reason to alarm, in 40 devices for ten days.
func TestHonest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 7)
	backlog := map[int]uint32{}
	w.run(40, 10*day, func(i, minute int, m *Minute) bool {
		hour := minute / 60
		off := i%10 == 1 && hour%24 < 6 || i%10 == 2 && hour/24 == 6 || hour/24 == 8 && hour%24 == 3 || i == 39 && hour < 24*7 || i%10 == 3 && w.random.IntN(2000) == 0
		if off {
			backlog[i]++
			return false
		}
		if n := backlog[i]; n > 0 && i != 39 {
			sent := min(n, 400) // in each minute, until nothing is left
			m.Reports, m.Readings, m.Bytes = m.Reports+sent, m.Readings+2*uint64(sent), m.Bytes+190*uint64(sent)
			m.From = m.To - lamppost.TimeMS(n)*msPerMinute
			m.To -= lamppost.TimeMS(n-sent) * msPerMinute
			if backlog[i] -= sent; m.Reports > 1 && n > sent || n == sent {
				m.Connects, m.Repeated = 1, 2
			}
		}
		if i%10 == 4 && w.random.IntN(1500) == 0 { // restarts
			m.Connects, m.Repeated = 1, uint32(w.random.IntN(3))
		}
		return true
	})
	for id, f := range w.found {
		t.Errorf("%s: %+v", id, f)
	}
}

// TestFirmware: an image that must not run is told of once, at once, whatever else the device does, and only where there is a list.
func TestFirmware(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	hard := 0
	for i := range 10 {
		w.now += msPerMinute
		m := w.usual()
		if i >= 4 {
			m.Firmware = 78
		}
		f, err := w.Observe("m1", "ada", &m, []uint64{77, 76})
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			continue
		}
		if hard++; i != 4 || !f.Hard || f.Reasons[0].Code != UnknownFirmware || f.Reasons[0].Value != 78 {
			t.Errorf("minute %d: %+v", i, f)
		}
	}
	if hard != 1 {
		t.Errorf("told of %d times", hard)
	}
}

// TestGoesOn: a fleet that was saved and loaded in the middle says the same to the bit, and saves the same.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	a := newWorld(t, 5)
	a.run(5, 400, nil)
	b := newWorld(t, 5)
	b.run(5, 200, nil)
	saved, loaded := b.Fleet, NewFleet()
	if err := loaded.LoadCommon(saved.AppendCommon(nil)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		state := saved.AppendDevice(nil, name(i))
		if len(state) > MaxDeviceBytes || DeviceBytes() > MaxDeviceBytes {
			t.Errorf("a device takes %d bytes saved, %d in memory", len(state), DeviceBytes())
		}
		if err := loaded.LoadDevice(name(i), state); err != nil {
			t.Fatal(err)
		}
	}
	b.Fleet = loaded
	b.run(5, 200, nil)
	if !bytes.Equal(a.AppendCommon(nil), b.AppendCommon(nil)) {
		t.Error("what is shared differs")
	}
	for i := range 5 {
		if !bytes.Equal(a.AppendDevice(nil, name(i)), b.AppendDevice(nil, name(i))) {
			t.Errorf("%s differs", name(i))
		}
	}
	a.run(5, 3, func(_, _ int, m *Minute) bool { hijack(m); return true })
	b.run(5, 3, func(_, _ int, m *Minute) bool { hijack(m); return true })
	if fmt.Sprint(a.found) != fmt.Sprint(b.found) || len(a.found) != 5 {
		t.Errorf("found %v, and %v", a.found, b.found)
	}
}

// TestReplay: what was kept before a finding gives it again, in every byte.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	w.run(6, 300, nil)
	w.run(6, 3, func(i, _ int, m *Minute) bool {
		if i == 2 {
			hijack(m)
		}
		return true
	})
	f := w.found["m2"]
	if len(f) != 1 {
		t.Fatalf("found %+v", w.found)
	}
	again, err := Replay(f[0].Before, "m2")
	if err != nil || fmt.Sprint(*again) != fmt.Sprint(f[0]) {
		t.Errorf("replayed %+v, %v; was %+v", again, err, f[0])
	}
	if len(f[0].Before) > 3*MaxDeviceBytes {
		t.Errorf("%d bytes", len(f[0].Before))
	}
	if _, err := Replay(f[0].Before[:len(f[0].Before)-1], "m2"); err == nil {
		t.Error("half of it was taken")
	}
}

// TestDamaged: a state that was changed is refused or taken as another one, and never stops the process.
func TestDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9)
	w.run(3, 100, nil)
	common, device := w.AppendCommon(nil), w.AppendDevice(nil, "m1")
	refused := 0
	for range 3000 {
		c, d := bytes.Clone(common), bytes.Clone(device)
		c[w.random.IntN(len(c))] ^= 1 << w.random.IntN(8)
		d[w.random.IntN(len(d))] ^= 1 << w.random.IntN(8)
		f := NewFleet()
		if f.LoadCommon(c) != nil {
			refused++
		}
		if f.LoadDevice("m1", d) != nil {
			refused++
		}
		m := w.usual()
		hijack(&m)
		if _, err := f.Observe("m1", "ada", &m, nil); err != nil {
			t.Fatal(err)
		}
	}
	for cut := range len(device) {
		if NewFleet().LoadDevice("m1", device[:cut]) == nil {
			t.Fatalf("a state of %d bytes of %d was taken", cut, len(device))
		}
	}
	if refused < 1000 {
		t.Errorf("only %d damages were seen", refused)
	}
}

// TestScoreIsItsParts: the parts of a score are all of it, and none is below 0.
func TestScoreIsItsParts(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 4))
	schema, err := NewSchema([]int{5, 7, 3}, Feature{"a", 0, Alone, false}, Feature{"b", 1, Alone, true}, Feature{"c", 2, 1, true})
	if err != nil {
		t.Fatal(err)
	}
	own, kin := NewModel(schema), NewModel(schema)
	var s Scorer
	all := make([]Share, 3)
	for i := range 40_000 { // beyond what is halved
		x := []uint16{uint16(random.IntN(5)), uint16(min(6, int(random.ExpFloat64()))), uint16(random.IntN(3))}
		score := s.Score(own, kin, x)
		sum, n := 0.0, s.Weightiest(all)
		for k, share := range all[:n] {
			if sum += share.Worth; share.Worth <= 0 || k > 0 && share.Worth > all[k-1].Worth {
				t.Fatalf("record %d: %+v", i, all[:n])
			}
		}
		if math.Abs(sum-score) > 1e-9*(1+score) || math.IsNaN(score) || math.IsInf(score, 0) {
			t.Fatalf("record %d: the parts make %v, the score is %v", i, sum, score)
		}
		kin.Learn(x)
		if i%3 == 0 {
			own.Learn(x)
		}
	}
	if kin.Records() >= forgetting {
		t.Errorf("%d records count", kin.Records())
	}
}

// TestNoMemory: a device that is known costs nothing more.
func TestNoMemory(t *testing.T) {
	w := newWorld(t, 6)
	w.run(3, 100, nil)
	m := w.usual()
	if n := testing.AllocsPerRun(200, func() {
		m.At += msPerMinute
		m.From, m.To = m.From+msPerMinute, m.To+msPerMinute
		if _, err := w.Observe("m1", "ada", &m, nil); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a minute", n)
	}
}

// TestBins: bins are in order, and each begins where it says.
func TestBins(t *testing.T) {
	t.Parallel()
	if f := deviceSchema.features[featureNames]; f.Column != colNames || f.Given != Alone {
		t.Errorf("feature %d is %+v", featureNames, f)
	}
	for bin := range 27 {
		if bin < 19 && int(Octave(octaveFrom(bin), 20)) != bin {
			t.Errorf("octave %d begins at %d", bin, octaveFrom(bin))
		}
		if from := halfFrom(bin); int(half(from, 28)) != bin || bin > 0 && int(half(from-1, 28)) != bin-1 {
			t.Errorf("half octave %d begins at %d", bin, from)
		}
	}
}

func BenchmarkMinute(b *testing.B) {
	w := &world{Fleet: NewFleet(), random: rand.New(rand.NewPCG(1, 1)), now: 1_800_000_000_000}
	b.ReportAllocs()
	for b.Loop() {
		w.now += msPerMinute
		m := w.usual()
		w.Observe("m1", "ada", &m, nil)
	}
}
