package plausible_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// street is five homes behind a main meter, hour by hour: what each says, the main meter last. Change alters what is used and what is counted
// of it from hour 24·60 on.
type street struct {
	random    *rand.Rand
	hour      int
	registers [6]float64
	change    func(used, counted *[6]float64)
}

const homes, begins = 5, 24 * 60

func newStreet(seed uint64) *street { return &street{random: rand.New(rand.NewPCG(seed, 1))} }

func (s *street) next() [6]plausible.Reading {
	var used [6]float64
	for i := range homes {
		used[i] = 200 + 100*s.random.Float64()
		if s.random.IntN(3) == 0 {
			used[i] += 3000 * s.random.Float64()
		}
	}
	counted := used
	if s.change != nil && s.hour >= begins {
		s.change(&used, &counted)
	}
	for i := range homes {
		counted[i] = math.Floor(counted[i])
		counted[5] += used[i] * 1.02
	}
	counted[5] *= 0.998 + 0.004*s.random.Float64()
	var all [6]plausible.Reading
	for i := range all {
		s.registers[i] += counted[i]
		all[i] = plausible.Reading{AtMS: lamppost.TimeMS(400_000+s.hour) * hourMS, Register: int64(s.registers[i])}
	}
	s.hour++
	return all
}

func newGroup(t testing.TB) *plausible.Group {
	t.Helper()
	g, err := plausible.NewGroup(100_000, 24_000, 24_000, 24_000, 24_000, 24_000)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run lets hours of a street pass, and returns what was said.
func run(t testing.TB, g *plausible.Group, s *street, hours int) (all []plausible.Finding) {
	t.Helper()
	for range hours {
		for i, r := range s.next() {
			if i == homes {
				i = plausible.Main
			}
			found, err := g.Observe(i, r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
	}
	return all
}

// hard leaves out what only hints.
func hard(all []plausible.Finding) []plausible.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f plausible.Finding) bool { return !f.Code.Hard() })
}

// TestGroup: what is missing between a main meter and the others is found within a day, the meter to blame is named and no other, and a street
// as it is has no alarm.
func TestGroup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(used, counted *[6]float64)
		code   plausible.Code
		meter  int // the one to be named at last
	}{
		"as it is":         {nil, 0, 0},
		"a third bypassed": {func(_, counted *[6]float64) { counted[2] *= 0.67 }, plausible.Unbalanced, 2},
		"stands still":     {func(_, counted *[6]float64) { counted[3] = 0 }, plausible.Unbalanced, 3},
		"a tap before all": {func(_, counted *[6]float64) { counted[5] += 500 }, plausible.Unbalanced, plausible.Unnamed},
		"a slow main":      {func(used, _ *[6]float64) { scale(used, 0.8) }, plausible.Unbalanced, plausible.Main},
		"one trace twice":  {func(used, counted *[6]float64) { used[4], counted[4] = used[1], used[1] }, plausible.Twin, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				s, g := newStreet(seed), newGroup(t)
				if f := hard(run(t, g, s, begins)); len(f) > 0 {
					t.Fatalf("seed %d: alarms before anything happened: %+v", seed, f)
				}
				s.change = c.change
				found := hard(run(t, g, s, 24*7))
				if c.code == 0 {
					if len(found) > 0 {
						t.Errorf("seed %d: %+v", seed, found)
					}
					continue
				}
				if len(found) == 0 || found[0].Code != c.code || found[0].AtMS > lamppost.TimeMS(400_000+begins+24)*hourMS {
					t.Fatalf("seed %d: found %+v, want %v within a day", seed, found, c.code)
				}
				named := found[0]
				for _, f := range found {
					if f.Code == c.code && (f.Meter >= 0 || f.Meter == plausible.Main) {
						named = f
					}
				}
				if named.Meter != c.meter {
					t.Errorf("seed %d: named %d, want %d: %+v", seed, named.Meter, c.meter, found)
				}
				if c.code == plausible.Unbalanced && c.meter == 2 && math.Abs(named.Share-0.33) > 0.1 {
					t.Errorf("seed %d: a share of %v, want 0.33", seed, named.Share)
				}
			}
		})
	}
}

func scale(used *[6]float64, by float64) {
	for i := range used {
		used[i] *= by
	}
}

// TestReplay: findings and state are the same bits whether or not the state was saved and restored at any moment between.
func TestReplay(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	for seed := range uint64(4) {
		one, two := newGroup(t), newGroup(t)
		a, b := newStreet(seed), newStreet(seed)
		a.change = func(_, counted *[6]float64) { counted[1], counted[2] = 0, counted[2]*0.5 }
		b.change = a.change
		for range 30 {
			hours := 1 + random.IntN(150)
			if x, y := run(t, one, a, hours), run(t, two, b, hours); !slices.Equal(x, y) {
				t.Fatalf("seed %d: %+v and %+v", seed, x, y)
			}
			state := save(t, two)
			if !bytes.Equal(state, save(t, one)) {
				t.Fatalf("seed %d, hour %d: states differ", seed, a.hour)
			}
			two = newGroup(t)
			if err := two.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func save(t testing.TB, g *plausible.Group) []byte {
	t.Helper()
	state, err := g.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestWeek: an office uses a third at weekends, which is no shift, and a leak of 30 % of its mean use is found within a week.
func TestWeek(t *testing.T) {
	t.Parallel()
	const leakDay = 500
	for seed := range uint64(8) {
		meter, err := plausible.NewMeter(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		random, register, found := rand.New(rand.NewPCG(seed, 7)), 0.0, -1
		for day := range leakDay + 8 {
			used := 1000.0
			if day%7 >= 5 {
				used = 300
			}
			used *= 1 + 0.04*random.NormFloat64()
			if day >= leakDay {
				used += 0.3 * 800
			}
			register += used
			all, err := meter.Observe(plausible.Reading{AtMS: lamppost.TimeMS(day+1) * 24 * hourMS, Register: int64(register)})
			if err != nil {
				t.Fatal(err)
			}
			if len(all) > 0 && found < 0 {
				found = day
			}
		}
		if found < leakDay || found >= leakDay+7 {
			t.Errorf("seed %d: a leak from day %d on was said on day %d", seed, leakDay, found)
		}
	}
}

// TestSizes: a meter and a group take the memory and the bytes that the documents say.
func TestSizes(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	run(t, g, newStreet(1), 100)
	state := save(t, g)
	if n := len(state) / (homes + 1); n > 3450 {
		t.Errorf("a meter of a group is saved in %d bytes", n)
	}
	meter, _ := plausible.NewMeter(1000)
	most := 0
	for i := range lamppost.TimeMS(1000) {
		if _, err := meter.Observe(plausible.Reading{AtMS: i * hourMS}); err != nil {
			t.Fatal(err)
		}
		alone, _ := meter.AppendBinary(nil)
		most = max(most, len(alone))
	}
	if most != 3320 {
		t.Errorf("a meter is saved in %d bytes", most)
	}
	big, err := plausible.NewGroup(1<<40, slices.Repeat([]int64{1 << 30}, plausible.MaxMeters)...)
	if err != nil {
		t.Fatal(err)
	}
	if n := big.Bytes(); n > 262_000 {
		t.Errorf("a group of %d takes %d bytes", plausible.MaxMeters, n)
	}
}

// TestNoAllocation: a reading allocates nothing, whatever it is found to be.
func TestNoAllocation(t *testing.T) {
	s, g := newStreet(1), newGroup(t)
	s.change = func(_, counted *[6]float64) { counted[1], counted[2] = 0, counted[2]*0.5 }
	run(t, g, s, begins-24)
	var hours [300][6]plausible.Reading
	for h := range hours {
		hours[h] = s.next()
	}
	hour, said := 0, 0
	if n := testing.AllocsPerRun(len(hours)-1, func() {
		for i, r := range hours[hour] {
			if i == homes {
				i = plausible.Main
			}
			found, _ := g.Observe(i, r)
			said += len(found)
		}
		hour++
	}); n > 0 || said == 0 {
		t.Errorf("%v allocations, %d findings", n, said)
	}
}

// TestRefused: what is refused changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	s, g := newStreet(1), newGroup(t)
	run(t, g, s, 100)
	before := save(t, g)
	for _, c := range []struct {
		meter int
		r     plausible.Reading
		want  error
	}{
		{5, plausible.Reading{}, plausible.ErrUnknown},
		{-2, plausible.Reading{}, plausible.ErrUnknown},
		{0, plausible.Reading{Register: -1}, plausible.ErrRegister},
		{0, plausible.Reading{Register: plausible.MaxRegister + 1}, plausible.ErrRegister},
		{0, plausible.Reading{AtMS: -1}, plausible.ErrTime},
		{0, plausible.Reading{AtMS: math.MaxInt64}, plausible.ErrTime},
	} {
		if _, err := g.Observe(c.meter, c.r); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c, err, c.want)
		}
	}
	if !bytes.Equal(before, save(t, g)) {
		t.Error("a refused reading changed the state")
	}
	for _, size := range []int64{0, -1, plausible.MaxRegister + 1} {
		if _, err := plausible.NewMeter(size); !errors.Is(err, plausible.ErrSize) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := plausible.NewGroup(0); !errors.Is(err, plausible.ErrMeters) {
		t.Error("a group of none")
	}
	if _, err := plausible.NewGroup(0, make([]int64, plausible.MaxMeters+1)...); !errors.Is(err, plausible.ErrMeters) {
		t.Error("a group of too many")
	}
}

// FuzzState: whatever bytes come, a group either takes them and writes the same again, or forgets everything; and works afterwards.
func FuzzState(f *testing.F) {
	s, g := newStreet(1), newGroup(f)
	f.Add(save(f, g))
	run(f, g, s, 800)
	f.Add(save(f, g))
	f.Add(save(f, g)[:1000])
	f.Fuzz(survive)
}

// TestHostileState: each word of a state is one that nobody wrote.
func TestHostileState(t *testing.T) {
	t.Parallel()
	s, g := newStreet(1), newGroup(t)
	s.change = func(_, counted *[6]float64) { counted[2] *= 0.5 }
	run(t, g, s, begins+30)
	state := save(t, g)
	random := rand.New(rand.NewPCG(5, 5))
	words := []uint64{0, 1, 2, 28, 56, math.MaxUint64, math.Float64bits(1e44), math.Float64bits(-1e44), math.Float64bits(1e-300), math.Float64bits(math.Inf(1)),
		math.Float64bits(math.NaN())}
	for range 1500 {
		b := slices.Clone(state)
		for range 1 + random.IntN(3) {
			binary.LittleEndian.PutUint64(b[8*random.IntN(len(b)/8):], words[random.IntN(len(words))])
		}
		survive(t, b)
	}
}

func survive(t *testing.T, b []byte) {
	t.Helper()
	g := newGroup(t)
	err := g.UnmarshalBinary(b)
	after := save(t, g)
	if err == nil && !bytes.Equal(after, b) {
		t.Error("it was taken, and is another")
	}
	if err != nil && !bytes.Equal(after, save(t, newGroup(t))) {
		t.Error("it was refused, and something stayed")
	}
	run(t, g, newStreet(2), 60)
	if err := newGroup(t).UnmarshalBinary(save(t, g)); err != nil {
		t.Errorf("a state that came of it is refused: %v", err)
	}
}

// BenchmarkObserve is a reading of a meter in a group of five.
func BenchmarkObserve(b *testing.B) {
	s, g := newStreet(1), newGroup(b)
	b.ReportAllocs()
	for b.Loop() {
		run(b, g, s, 1)
	}
}
