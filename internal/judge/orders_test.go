package judge_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
)

func dec(n int64) *lamppost.Decimal { return &lamppost.Decimal{Mantissa: n} }

func point(id, device, main string) lamppost.PointBody {
	return lamppost.PointBody{ID: id, Device: lamppost.DeviceID(device), Register: "energy", Unit: "Wh", Main: main}
}

// TestPoints: what the ledger says of a point decides what its register may do.
func TestPoints(t *testing.T) {
	t.Parallel()
	at := func(i int) lamppost.TimeMS { return begin + lamppost.TimeMS(i)*hour }
	for name, c := range map[string]struct {
		orders   func(c *chain)
		register func(i int) int64
		again    func(c *chain) // before reading 50
		want     string         // the only finding; empty: none
		suspends bool
	}{
		"no point, goes on":       {register: func(i int) int64 { return int64(40 * (3*i + i%3)) }},
		"no point, falls":         {register: func(i int) int64 { return int64(40*(3*i+i%3)) - int64(i/50)*1000 }, want: "rolled_back", suspends: true},
		"size not known, is fast": {orders: func(c *chain) { c.order(lamppost.TxPoint, point("p", "d", "")) }, register: func(i int) int64 { return int64(40*(3*i+i%3)) + int64(i/50)*1e6 }},
		"too fast": {orders: func(c *chain) {
			c.order(lamppost.TxPoint, point("p", "d", "")).order(lamppost.TxWatch, lamppost.WatchBody{Point: "p", Size: dec(10_000)})
		}, register: func(i int) int64 { return int64(40*(3*i+i%3)) + int64(i/50)*1e6 }, want: "too_fast", suspends: true},
		"size said later": {orders: func(c *chain) { c.order(lamppost.TxPoint, point("p", "d", "")) },
			again:    func(c *chain) { c.order(lamppost.TxWatch, lamppost.WatchBody{Point: "p", Size: dec(10_000)}) },
			register: func(i int) int64 { return int64(40*(3*i+i%3)) + int64(i/50)*1e6 }, want: "too_fast", suspends: true},
		"exchanged": {orders: func(c *chain) { c.order(lamppost.TxPoint, point("p", "d", "")) },
			again: func(c *chain) {
				b := point("p", "d", "")
				b.Mount, b.From = 1, at(50)
				c.order(lamppost.TxPoint, b)
			}, register: func(i int) int64 { return int64(40 * (3*(i%50) + i%3)) }},
		"rolls over": {orders: func(c *chain) {
			b := point("p", "d", "")
			b.RollsAt = dec(100_000)
			c.order(lamppost.TxPoint, b)
		}, register: func(i int) int64 { return int64(98_000+40*(3*i+i%3)) % 100_000 }},
		"used while off": {orders: func(c *chain) {
			c.order(lamppost.TxPoint, point("p", "d", "")).order(lamppost.TxWatch, lamppost.WatchBody{Point: "p", Size: dec(10_000)})
		}, again: func(c *chain) {
			c.order(lamppost.TxWatch, lamppost.WatchBody{Point: "p", Off: at(49)})
		}, register: func(i int) int64 { return int64(400 * (3*i + i%3)) }, want: "used_while_off", suspends: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch, j := newChain(t), open(t, kv.NewMem())
			if c.orders != nil {
				c.orders(ch)
			}
			var found []judge.Found
			for i := range 60 {
				if i == 50 && c.again != nil {
					c.again(ch)
				}
				ch.report("d", register(at(i), c.register(i)))
				for _, f := range j.Next(ch.block()) {
					ch.replays(f)
					found = append(found, clone(f))
				}
			}
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("found %+v", found[0].Verdict)
			case c.want != "" && (len(found) != 1 || found[0].Reasons[0].Code != c.want || found[0].Suspends != c.suspends || found[0].Device != "d"):
				t.Errorf("found %d, want %s: %+v", len(found), c.want, found)
			}
		})
	}
}

// TestTap: behind a main meter a meter that does not count all is found, though its member joined later and another was exchanged on the way.
func TestTap(t *testing.T) {
	t.Parallel()
	c, j, random := newChain(t), open(t, kv.NewMem()), rand.New(rand.NewPCG(5, 5))
	c.order(lamppost.TxPoint, point("main", "m", ""))
	for i := range 4 {
		c.order(lamppost.TxPoint, point(fmt.Sprint("p", i), fmt.Sprint("d", i), "main"))
	}
	var all [6]int64
	var found []judge.Found
	for step := range 70 * 24 {
		at := begin + lamppost.TimeMS(step)*hour
		members := 4
		if step >= 10*24 {
			members = 5
		}
		if step == 10*24 {
			c.order(lamppost.TxPoint, point("p4", "d4", "main"))
		}
		for i := range members {
			used := 200 + random.Int64N(400)
			all[5] += used + used/50
			if i == 2 && step > 50*24 {
				used = used * 6 / 10
			}
			all[i] += used
			c.report(lamppost.DeviceID(fmt.Sprint("d", i)), register(at+lamppost.TimeMS(random.IntN(40_000)), all[i]))
		}
		c.report("m", register(at+1000, all[5]))
		for _, f := range j.Next(c.block()) {
			if f.Kind == lamppost.Implausible && f.Reasons[0].Code == "unbalanced" {
				c.replays(f)
				found = append(found, clone(f))
			}
		}
	}
	if len(found) == 0 || found[len(found)-1].Device != "d2" || !found[len(found)-1].Suspends || found[0].At < begin+50*day || found[0].At > begin+53*day {
		t.Errorf("found %+v", found)
	}
	for _, f := range found {
		if f.Device != "d2" && (f.Device != "m" || f.Suspends) {
			t.Errorf("it is said of %q, suspended: %v", f.Device, f.Suspends)
		}
	}
}

// TestReview: after somebody says that an alarm was normal, its like is none for that series, and still is for others.
func TestReview(t *testing.T) {
	t.Parallel()
	said := map[lamppost.VerdictID]*lamppost.Verdict{}
	j := judge.New(judge.Config{Records: kv.NewMem(), Verdict: func(id lamppost.VerdictID) (*lamppost.Verdict, error) {
		if v := said[id]; v != nil {
			return v, nil
		}
		return nil, errors.New("there is none")
	}})
	c, random, budget := newChain(t), rand.New(rand.NewPCG(6, 6)), uint32(lamppost.MaxAlarmBudget)
	c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
	const first, second = 1500, 9500
	alarms := map[lamppost.DeviceID][]lamppost.TimeMS{}
	for i := range second + 1 {
		x := wave(random, i)
		if i == first || i == second {
			x = 220
		}
		at := begin + lamppost.TimeMS(i)*minute
		c.report("a", gauge(at, x)).report("b", gauge(at, x))
		for _, f := range j.Next(c.block()) {
			if alarms[f.Device] = append(alarms[f.Device], f.At); f.Device == "a" && f.At == begin+first*minute {
				id := lamppost.VerdictID{Height: f.Height, Tx: 9}
				v := f.Verdict
				v.Score += 1000 // the second is a little more unusual, as it has more to be compared with
				said[id] = &v
				c.order(lamppost.TxReview, lamppost.ReviewBody{Verdict: id, Answer: lamppost.ReviewNormal}).
					order(lamppost.TxReview, lamppost.ReviewBody{Verdict: lamppost.VerdictID{Height: 1}, Answer: lamppost.ReviewNormal})
			}
		}
	}
	if len(said) != 1 || slices.Contains(alarms["a"], begin+second*minute) || !slices.Contains(alarms["b"], begin+second*minute) {
		t.Errorf("alarms: %v", alarms)
	}
}

// TestErase: after an erasure nothing of a device is in what is saved, nor in the states that are kept, and its series begins anew.
func TestErase(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	c, j := newChain(t), open(t, store)
	states, err := judge.OpenStates(store)
	if err != nil {
		t.Fatal(err)
	}
	c.order(lamppost.TxPoint, point("p", "hers", ""))
	for i := range 700 {
		at := begin + lamppost.TimeMS(i)*minute
		for _, id := range []lamppost.DeviceID{"hers", "his"} {
			c.report(id, register(at, int64(5*i-i%100/99*300)), gauge(at, float64(i%7)))
		}
		var b kv.Batch
		for _, f := range j.Next(c.block()) {
			states.Keep(&b, &f, begin)
		}
		if err := store.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	save(t, j, store)
	before := mentions(t, store, "hers")
	j.Next(c.order(lamppost.TxErase, lamppost.EraseBody{Device: "hers", Basis: "GDPR"}).block())
	if ids := j.TakeErased(); !slices.Equal(ids, []lamppost.DeviceID{"hers"}) {
		t.Errorf("erased %v", ids)
	}
	var b kv.Batch
	states.Erase(&b, "hers")
	if err := store.Apply(&b); err != nil {
		t.Fatal(err)
	}
	save(t, j, store)
	// The point and its meter say whose they are: that is the ledger's.
	if after := mentions(t, store, "hers"); before < 10 || after > 2 {
		t.Errorf("%d records speak of the device, %d did before", after, before)
	}
	if n := mentions(t, store, "his"); n < 5 {
		t.Errorf("of the other device %d records are left", n)
	}
	again := open(t, store)
	if again.Counts().Series != 2 || j.Counts().Series != 2 {
		t.Errorf("%d series are opened, %d are there", again.Counts().Series, j.Counts().Series)
	}
	if w, _ := again.Waiting(1000); slices.ContainsFunc(w, func(v lamppost.Verdict) bool { return v.Device == "hers" }) || len(w) == 0 {
		t.Errorf("%d verdicts wait", len(w))
	}
}

// mentions counts the records that say a device's name, and the states of verdicts that are of it.
func mentions(t *testing.T, store kv.Store, id lamppost.DeviceID) (n int) {
	t.Helper()
	err := store.Scan(nil, nil, func(key, val []byte) error {
		if slices.Contains([]string{"nEs", "nJg"}, string(key[:3])) {
			return nil
		}
		for i := range val {
			if string(val[i:min(len(val), i+len(id))]) == string(id) {
				n++
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOrdered: what stands in the ledger waits no more, by name or because all up to its block is said.
func TestOrdered(t *testing.T) {
	t.Parallel()
	c, j := newChain(t), open(t, kv.NewMem())
	for i := range 12 {
		j.Next(c.report("d", register(begin+lamppost.TimeMS(i)*minute, int64(100-i))).block())
	}
	all, through := j.Waiting(3)
	if len(all) != 3 || through != all[2].Height || j.WaitingCount() != 11 {
		t.Fatalf("%d wait, through %d", len(all), through)
	}
	j.Next(c.order(lamppost.TxVerdicts, lamppost.VerdictsBody{Model: judge.Model(), Through: through, Verdicts: all}).block())
	if j.WaitingCount() != 8 || j.Said() != through {
		t.Errorf("%d wait, said %d", j.WaitingCount(), j.Said())
	}
	all, _ = j.Waiting(1 << 10)
	j.Next(c.order(lamppost.TxVerdicts, lamppost.VerdictsBody{Model: judge.Model(), Verdicts: all[4:5]}).block())
	if all, through = j.Waiting(1 << 10); len(all) != 7 || through != j.Height() {
		t.Errorf("%d wait, through %d of %d", len(all), through, j.Height())
	}
}

// TestQuantise: numbers have six digits, and are what a decimal can hold.
func TestQuantise(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 1: "1", -1.5: "-1.5", 900: "900", 123456789: "123457000", 0.1 + 0.2: "0.3", 1e-7: "0.0000001", 1.234567e-5: "0.000012346", 4e-10: "0", -2.5e18: "-2500000000000000000",
		math.Inf(1): "9223372036854775807", math.NaN(): "0", 1e-300: "0"} {
		if got := judge.Quantise(x).String(); got != want {
			t.Errorf("%v is %s, want %s", x, got, want)
		}
	}
}

// FuzzReplay: no state, however damaged, does harm.
func FuzzReplay(f *testing.F) {
	c, j := newChain(f), open(f, kv.NewMem())
	for i := range 3 {
		for _, found := range j.Next(c.report("d", register(begin+lamppost.TimeMS(i)*minute, int64(100-i))).block()) {
			f.Add(found.State)
		}
	}
	r := c.reading(&lamppost.Verdict{Height: 2})
	f.Fuzz(func(_ *testing.T, state []byte) {
		_, _ = judge.Replay(state, r)
	})
}
