package judge_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
)

// house opens a point with a connection of 10,000 Wh an hour for a device, behind a main one where
// that is not empty. The main one has ten times as much.
func (c *chain) house(device, main string) {
	size := lamppost.Dec(10_000, 0)
	if device == "main" {
		size = lamppost.Dec(100_000, 0)
	}
	c.order(lamppost.TxPoint, point("p-"+device, device, main)).order(lamppost.TxWatch, lamppost.WatchBody{Point: "p-" + device, Size: &size})
}

// TestLateFraud: a roll-back, an impossible rate and a copy are found in readings that come hours after younger ones, of a meter alone and behind
// a main meter, at quarter hours and between them. Each suspends its register from before what is wrong on, says what it is between, and comes
// again from its state.
func TestLateFraud(t *testing.T) {
	t.Parallel()
	const back = 8 // quarter hours
	for name, c := range map[string]struct {
		minutes   lamppost.TimeMS // behind that quarter hour
		off       int64           // what is put upon what it showed then
		code      string
		low, high int64 // what it showed before and after, in quarter hours from there
	}{
		"below the one before":    {0, -101, "rolled_back", -1, 1},
		"above the one after":     {0, 101, "rolled_back", -1, 1},
		"too fast to there":       {-14, 2000, "too_fast", -1, 1},
		"a copy":                  {15, 99, "clone", 0, 2},
		"between quarter hours":   {7, -1, "rolled_back", -1, 1},
		"far below":               {0, -5000, "rolled_back", -1, 1},
		"above the one after, by": {3, 5000, "too_fast", -1, 1},
	} {
		for _, grouped := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ch, j := newChain(t), open(t, kv.NewMem())
				main := ""
				if grouped {
					ch.house("main", "")
					main = "p-main"
				}
				ch.house("meter", main)
				at := func(i int64) lamppost.TimeMS { return begin + lamppost.TimeMS(i)*15*minute }
				shown := func(i int64) int64 { return 100 * i }
				const n, late = 100, 100 - back
				next := func() {
					for _, f := range j.Next(ch.block()) {
						t.Fatalf("of honest readings is said %+v", f.Verdict)
					}
				}
				for i := range int64(n) {
					if i == late {
						continue
					}
					ch.report("main", register(at(i), shown(i)))
					ch.report("meter", register(at(i), shown(i)))
					next()
				}
				told := at(late) + c.minutes*minute
				if c.minutes != 0 && name != "a copy" {
					ch.report("meter", register(at(late), shown(late)))
					next()
				}
				value := shown(late) + c.off
				ch.report("meter", register(told, value))
				found := slices.Clone(j.Next(ch.block()))
				if len(found) != 1 {
					t.Fatalf("found %d", len(found))
				}
				f := found[0]
				ch.replays(f)
				last := f.Reasons[len(f.Reasons)-1]
				if f.Kind != lamppost.Implausible || !f.Suspends || f.Device != "meter" || f.Reasons[0].Code != c.code || last.Code != "late" {
					t.Errorf("found %+v", f.Verdict)
				}
				if last.Value == nil || last.Value.Mantissa != value || last.At >= told || last.Nearest <= told || f.Since > told || f.At < told {
					t.Errorf("between %d and %d it showed %v at %d, since %d", last.At, last.Nearest, last.Value, told, f.Since)
				}
				if n := j.Counts(); n.Late == 0 || n.Passed != 0 {
					t.Errorf("%+v", n)
				}
			})
		}
	}
}

// TestLateHonest: whatever order the stores of meters come in, for up to two days and together with what is younger, nothing is said of honest
// registers, and everything is judged.
func TestLateHonest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 11))
		ch, j := newChain(t), open(t, kv.NewMem())
		ch.house("main", "")
		ids := []lamppost.DeviceID{"main", "a", "b", "c"}
		for _, id := range ids[1:] {
			ch.house(string(id), "p-main")
		}
		ch.house("alone", "")
		ids = append(ids, "alone")
		registers, stores, back := map[lamppost.DeviceID]int64{}, map[lamppost.DeviceID][]lamppost.Reading{}, map[lamppost.DeviceID]int{}
		sent := 0
		for i := range 1000 {
			at := begin + lamppost.TimeMS(i)*15*minute
			for k := len(ids) - 1; k >= 0; k-- {
				id := ids[k]
				used := 50 + random.Int64N(700)
				if registers[id] += used; id != "alone" {
					registers["main"] += used
				}
				if id == "main" {
					registers["main"] -= used
				}
				stores[id] = append(stores[id], register(at+lamppost.TimeMS(random.IntN(40_000)), registers[id]), register(at+6*minute, registers[id]+1))
				if random.IntN(150) == 0 {
					back[id] = i + 1 + random.IntN(190)
				}
				if i < back[id] {
					continue
				}
				store := stores[id]
				if len(store) > 2 {
					ch.report(id, store[len(store)-2:]...) // the youngest first
					store = store[:len(store)-2]
					check(t, j.Next(ch.block()))
					if random.IntN(2) == 0 {
						random.Shuffle(len(store), func(a, b int) { store[a], store[b] = store[b], store[a] })
					}
					sent += 2
				}
				for part := range slices.Chunk(store, 60) {
					ch.report(id, part...)
					check(t, j.Next(ch.block()))
				}
				sent += len(store)
				stores[id] = nil
			}
			check(t, j.Next(ch.block()))
		}
		n := j.Counts()
		if n.Passed != 0 || n.NotJudged != 0 || n.Late < 500 || n.Readings > uint64(sent) {
			t.Errorf("seed %d: of %d %+v", seed, sent, n)
		}
	}
}

// check refuses what is said of registers that suspends them.
func check(t *testing.T, found []judge.Found) {
	t.Helper()
	for _, f := range found {
		if f.Suspends {
			t.Fatalf("of honest readings is said %+v", f.Verdict)
		}
	}
}

// TestLateGauge: a late value outside of the range that the series was in is an alarm that says so; one within it is none, and is not passed. What
// is bad all along alarms once, and a budget of nothing holds it back.
func TestLateGauge(t *testing.T) {
	t.Parallel()
	for _, budget := range []uint32{lamppost.MaxAlarmBudget, 0} {
		c, j, random := newChain(t), open(t, kv.NewMem()), rand.New(rand.NewPCG(9, 9))
		c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
		var store []lamppost.Reading
		for i := range 1500 {
			r := gauge(begin+lamppost.TimeMS(i)*minute, wave(random, i))
			if i >= 1300 && i < 1400 {
				store = append(store, r)
				continue
			}
			c.report("lamp", r)
			j.Next(c.block())
		}
		for i := range store[:50] {
			for _, f := range j.Next(c.report("lamp", store[i]).block()) {
				t.Errorf("of an honest late reading is said %+v", f.Verdict)
			}
		}
		var found []judge.Found
		for i := range store[50:] {
			r := store[50+i]
			r.Float = 400
			for _, f := range j.Next(c.report("lamp", r).block()) {
				c.replays(f)
				found = append(found, clone(f))
			}
		}
		if n := j.Counts(); n.Late != 100 || n.Passed != 0 || n.Readings != 1400 {
			t.Errorf("%+v", n)
		}
		if budget == 0 {
			if len(found) > 0 {
				t.Errorf("without a budget %d alarms", len(found))
			}
			continue
		}
		if len(found) != 1 || found[0].Kind != lamppost.Anomaly || found[0].Suspends || len(found[0].Reasons) != 2 {
			t.Fatalf("found %+v", found)
		}
		v := found[0]
		if r, late := v.Reasons[0], v.Reasons[1]; r.Code != "value" || r.Value.Mantissa != 400 || math.Abs(float(r.High)-130) > 6 || late.Code != "late" ||
			late.Nearest != begin+1499*minute || late.At != store[50].Time || v.Since != store[50].Time || v.At != store[50].Time {
			t.Errorf("found %+v", v.Verdict)
		}
	}
}

// TestPassed: only what has no check at all is passed.
func TestPassed(t *testing.T) {
	t.Parallel()
	c, j := newChain(t), open(t, kv.NewMem())
	for i := range 50 {
		j.Next(c.report("d", gauge(begin+lamppost.TimeMS(i)*minute, 1), register(begin+lamppost.TimeMS(i)*minute, int64(i))).block())
	}
	for what, x := range map[string]struct {
		r    lamppost.Reading
		want uint64
	}{
		"late, of a young gauge":   {gauge(begin+1, 1), 1},
		"late register":            {register(begin+1, 0), 0},
		"a register again":         {register(begin+minute, 1), 0},
		"faulty":                   {lamppost.Reading{Name: "power", Unit: "W", Time: begin + 99*minute, Quality: lamppost.Faulty}, 1},
		"late, of another unit":    {lamppost.Reading{Name: "power", Unit: "kW", Time: begin + 1}, 1},
		"no number":                {gauge(begin+90*minute, 1e31), 1},
		"late, in another unit":    {lamppost.Reading{Name: "energy", Unit: "kWh", Kind: lamppost.Register, Time: begin + 2}, 1},
		"late, with a digit more":  {lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: begin + minute + 1, Value: lamppost.Dec(15, -1)}, 0},
		"in order, of a new thing": {lamppost.Reading{Name: "other", Unit: "Wh", Kind: lamppost.Register, Time: begin + 2}, 0},
	} {
		before := j.Counts().Passed
		if found := j.Next(c.report("d", x.r).block()); len(found) > 0 || j.Counts().Passed-before != x.want {
			t.Errorf("%s: %d are passed, want %d; found %d", what, j.Counts().Passed-before, x.want, len(found))
		}
	}
	found := j.Next(c.report("d", lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: begin + 2*minute + 1, Value: lamppost.Dec(195, -2)}).block())
	if len(found) != 1 || found[0].Reasons[0].Code != "rolled_back" {
		t.Errorf("a fall that tells a digit more: found %+v", found)
	}
}
