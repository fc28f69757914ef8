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

func named(at lamppost.TimeMS, name string, x float64) lamppost.Reading {
	return lamppost.Reading{Name: name, Unit: "l/s", Time: at, IsFloat: true, Float: x}
}

// pump is a report of a pump: what it draws goes with what flows, which goes up and down with the day, and volume is a register of the flow.
// One that is worn draws for another flow than there is, though each was there before.
func pump(r *rand.Rand, at lamppost.TimeMS, i int, worn, renamed bool) []lamppost.Reading {
	flow := 50 + 20*math.Sin(float64(i)/40) + r.NormFloat64()
	draw := 2*flow + r.NormFloat64()/2
	if worn {
		draw = 2*(100-flow) + r.NormFloat64()/2
	}
	name := "draw"
	if renamed {
		name = "current"
	}
	return []lamppost.Reading{named(at, "flow", flow), named(at+20, name, draw), {Name: "volume", Unit: "l", Time: at + 40, Kind: lamppost.Register, Value: lamppost.Dec(int64(i)*3000, 0)}}
}

// TestTogether: quantities that each are where they often were, and do not go together any more, are one verdict, on the reading of the one
// that departs, which names the other; it comes again from its state.
func TestTogether(t *testing.T) {
	t.Parallel()
	c, j, random := newChain(t), open(t, kv.NewMem()), rand.New(rand.NewPCG(11, 1))
	const worn = 1634 // where it draws what another flow would too
	var found []judge.Found
	for i := range worn + 40 {
		at := begin + lamppost.TimeMS(i)*minute
		c.report("pump", pump(random, at, i, i >= worn, false)...)
		for _, f := range j.Next(c.block()) {
			c.replays(f)
			if f.At >= begin+worn*minute {
				found = append(found, clone(f))
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("nothing is found")
	}
	f := found[0]
	if r := f.Reasons[0]; r.Code != "relation" || r.Name != "" || !slices.Contains([]string{"flow draw", "draw flow"}, f.Name+" "+r.Other) {
		t.Errorf("found %+v", f.Verdict)
	}
	if f.At > begin+(worn+20)*minute || f.Since < begin+(worn-1)*minute || f.Since > f.At || f.Score < f.Level {
		t.Errorf("found at %d, since %d: %+v", (f.At-begin)/minute, (f.Since-begin)/minute, f.Verdict)
	}
	if name := c.reading(&f.Verdict).Name; name != f.Name {
		t.Errorf("the reading is of %q, the verdict of %q", name, f.Name)
	}
	r := c.reading(&f.Verdict)
	r.Name = "volume"
	if _, err := judge.Replay(f.State, r); err == nil {
		t.Error("the reading of another unit is replayed")
	}
}

// TestNames: the quantities are those of the first row; others become it when a hundred rows in a row have them, and only then.
func TestNames(t *testing.T) {
	t.Parallel()
	row := func(at lamppost.TimeMS, names ...string) (all []lamppost.Reading) {
		for i, name := range names {
			all = append(all, named(at, name, float64(i)+float64(at%7)))
		}
		return all
	}
	want := func(j *judge.Judge, when string, names ...string) {
		t.Helper()
		if got, _, _ := j.Together("d"); !slices.Equal(got, names) {
			t.Errorf("%s: %v are judged together, want %v", when, got, names)
		}
	}
	c, store := newChain(t), kv.NewMem()
	j, at := open(t, store), begin
	say := func(n int, make func(at lamppost.TimeMS) []lamppost.Reading) {
		for range n {
			at += minute
			j.Next(c.report("d", make(at)...).block())
		}
	}
	say(3, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "a") })
	say(1, func(at lamppost.TimeMS) []lamppost.Reading { return append(row(at-30_000, "c", "c"), row(at, "c")...) })
	want(j, "one name at a time")
	say(1, func(at lamppost.TimeMS) []lamppost.Reading {
		return append(row(at, "b", "a"), lamppost.FirmwareReading(lamppost.Hash{1}, at))
	})
	want(j, "the first two", "a", "b")
	if n := j.Counts().Series; n != 3 {
		t.Errorf("%d series, and the firmware is none", n)
	}
	say(300, func(at lamppost.TimeMS) []lamppost.Reading {
		if at/minute%2 == 0 {
			return row(at, "a", "b")
		}
		return row(at, "a", "b", "c")
	})
	want(j, "another name now and then", "a", "b")
	save(t, j, store)
	j.Next(c.report("d", row(at+1, "a", "b")...).block())
	say(60, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "a", "b", "c") })
	save(t, j, store)
	j = open(t, store)
	say(39, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "a", "b", "c") })
	want(j, "99 rows with another name", "a", "b")
	say(1, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "c", "b", "a") })
	want(j, "100 of them", "a", "b", "c")
	rows := j.Counts().Rows
	say(99, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "x", "y", "a") })
	if n := j.Counts().Rows; n != rows {
		t.Errorf("%d rows that say one of the quantities are judged", n-rows)
	}
	say(1, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "x", "y", "a") })
	want(j, "renamed", "a", "x", "y")
	rows = j.Counts().Rows
	say(150, func(at lamppost.TimeMS) []lamppost.Reading { return row(at, "x", "a") })
	if want(j, "one missing", "a", "x", "y"); j.Counts().Rows != rows+150 {
		t.Errorf("%d rows in which one is missing are judged", j.Counts().Rows-rows)
	}
	say(100, func(at lamppost.TimeMS) []lamppost.Reading {
		all := row(at, "x", "a")
		all[0].Unit = "m3/h"
		return all
	})
	want(j, "another unit", "a", "x")
	if n := j.Counts(); n.Vectors != 1 {
		t.Errorf("%d vectors", n.Vectors)
	}
	if _, bytes, reckoned := j.Together("d"); bytes > reckoned || bytes < reckoned/2 {
		t.Errorf("it takes %d bytes and is reckoned with %d", bytes, reckoned)
	}
	before := j.Counts().Bytes
	j.Next(c.order(lamppost.TxErase, lamppost.EraseBody{Device: "d", Basis: "GDPR"}).block())
	if n := j.Counts(); n.Vectors != 0 || n.Bytes != 0 {
		t.Errorf("%d vectors and %d of %d bytes are left of an erased device", n.Vectors, n.Bytes, before)
	}
}

// TestRowsInOrder: reports of one block that overtook each other are judged in the order of their times, as if they had not.
func TestRowsInOrder(t *testing.T) {
	t.Parallel()
	run := func(shuffle bool) (verdicts int, rows uint64, last [][]byte) {
		c, j, random := newChain(t), open(t, kv.NewMem()), rand.New(rand.NewPCG(12, 1))
		swap := rand.New(rand.NewPCG(13, 1))
		for block := range 300 {
			var all [][]lamppost.Reading
			for k := range 8 {
				i := 8*block + k
				all = append(all, pump(random, begin+lamppost.TimeMS(i)*minute, i, i/200%3 == 2, false))
			}
			if shuffle {
				swap.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
			}
			for _, r := range all {
				c.report("pump", r...)
			}
			for _, f := range j.Next(c.block()) {
				if f.Kind == lamppost.Anomaly && len(f.Reasons[0].Other) > 0 {
					verdicts++
					last = append(last, lamppost.Marshal(f.Reasons))
				}
			}
		}
		return verdicts, j.Counts().Rows, last
	}
	n, rows, straight := run(false)
	m, more, shuffled := run(true)
	if n == 0 || n != m || rows != more || !slices.EqualFunc(straight, shuffled, slices.Equal) {
		t.Errorf("%d verdicts in %d rows, shuffled %d in %d", n, rows, m, more)
	}
}

// TestTogetherNormal: what people call normal is none the next time, though the score went on rising after the alarm.
func TestTogetherNormal(t *testing.T) {
	t.Parallel()
	run := func(answer bool) (alarms int) {
		var first *lamppost.Verdict
		due := 0
		j := judge.New(judge.Config{Records: kv.NewMem(), Verdict: func(lamppost.VerdictID) (*lamppost.Verdict, error) {
			if first == nil {
				return nil, errors.New("there is none")
			}
			return first, nil
		}})
		c, random, budget := newChain(t), rand.New(rand.NewPCG(14, 1)), uint32(lamppost.MaxAlarmBudget)
		c.order(lamppost.TxWatch, lamppost.WatchBody{Budget: &budget})
		for i := range 5000 {
			worn := i >= 1634 && (i-1634)%754 < 40
			c.report("pump", pump(random, begin+lamppost.TimeMS(i)*minute, i, worn, false)...)
			for _, f := range j.Next(c.block()) {
				if i < 1634 || f.Reasons[0].Code != "relation" {
					continue
				}
				alarms++
				if v := f.Verdict; first == nil {
					first, due = &v, i+100 // when the pump is itself again
				}
			}
			if i == due && answer {
				c.order(lamppost.TxReview, lamppost.ReviewBody{Answer: lamppost.ReviewNormal})
			}
		}
		return alarms
	}
	if with, without := run(true), run(false); with != 1 || without < 3 {
		t.Errorf("%d alarms after the first was called normal, %d where it was not", with-1, without-1)
	}
}

// TestMostTogether: 64 quantities are judged, in the memory that is reckoned; where there is none, each is judged alone.
func TestMostTogether(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(15, 1))
	for _, memory := range []int64{64 << 20, 4_950_000} {
		c := newChain(t)
		j := judge.New(judge.Config{Records: kv.NewMem(), Bytes: memory})
		for i := range 150 {
			var all []lamppost.Reading
			for k := range judge.MaxNames {
				all = append(all, named(begin+lamppost.TimeMS(i)*minute, fmt.Sprintf("%060d", k), random.NormFloat64()))
			}
			j.Next(c.report("d", all...).block())
		}
		names, bytes, reckoned := j.Together("d")
		if memory > 60<<20 && (len(names) != judge.MaxNames || bytes > reckoned || j.Counts().Rows != 150) {
			t.Errorf("%d names, %d bytes of %d, %+v", len(names), bytes, reckoned, j.Counts())
		}
		if n := j.Counts(); memory < 60<<20 && (names != nil || n.Rows != 0 || n.Series != judge.MaxNames || n.Bytes > memory) {
			t.Errorf("in little memory %d names, %+v", len(names), n)
		}
	}
}

// TestRegistersInOrder: a register that fell is found though the report of it overtook, or was overtaken, in its block.
func TestRegistersInOrder(t *testing.T) {
	t.Parallel()
	c, j := newChain(t), open(t, kv.NewMem())
	for _, id := range []string{"main", "a"} {
		c.order(lamppost.TxPoint, point("p-"+id, id, map[bool]string{true: "p-main"}[id != "main"]))
	}
	at := func(i int) lamppost.TimeMS { return begin + lamppost.TimeMS(i)*15*minute }
	for _, id := range []lamppost.DeviceID{"alone", "a", "main"} {
		c.report(id, register(at(0), 1000))
	}
	j.Next(c.block())
	for _, id := range []lamppost.DeviceID{"alone", "a", "main"} {
		c.report(id, register(at(3), 1100)).report(id, register(at(2), 900)).report(id, register(at(1), 1050))
	}
	fell := map[lamppost.DeviceID]bool{}
	for _, f := range j.Next(c.block()) {
		c.replays(f)
		if fell[f.Device] = true; f.Reasons[0].Code != "rolled_back" || f.Since != at(1) || f.At != at(2) {
			t.Errorf("found %+v", f.Verdict)
		}
	}
	if len(fell) != 3 {
		t.Errorf("it is found of %v", fell)
	}
}
