package plausible_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// walk is what an honest register shows, with pauses, at an interval of a minute to a day.
func walk(random *rand.Rand, n int) (all []plausible.Reading) {
	every := lamppost.TimeMS([]int{60_000, 900_000, 3_600_000, 86_400_000}[random.IntN(4)])
	at, register := lamppost.TimeMS(500_000)*hourMS, random.Int64N(1000)
	for range n {
		at += every/2 + lamppost.TimeMS(random.Int64N(int64(every)))
		if random.IntN(3) > 0 {
			register += random.Int64N(int64(every) / 60_000)
		}
		all = append(all, plausible.Reading{AtMS: at, Register: register})
	}
	return all
}

// delay lets whole stretches of readings come after younger ones, forwards, backwards or in any order, until about a share of all is late.
func delay(random *rand.Rand, all []plausible.Reading, share float64) (out []plausible.Reading) {
	for len(all) > 0 {
		n := min(len(all), 1+random.IntN(200))
		if random.Float64() < share && n < len(all) {
			store := slices.Clone(all[:n])
			switch random.IntN(3) {
			case 0:
				slices.Reverse(store)
			case 1:
				random.Shuffle(n, func(i, j int) { store[i], store[j] = store[j], store[i] })
			}
			ahead := min(len(all)-n, 1+random.IntN(3))
			out = append(append(out, all[n:n+ahead]...), store...)
			all = all[n+ahead:]
			continue
		}
		out, all = append(out, all[:n]...), all[n:]
	}
	return out
}

// gone are the codes of what can be told without an order.
func gone(found []plausible.Finding) (all []plausible.Code) {
	for _, f := range found {
		if f.Code == plausible.RolledBack || f.Code == plausible.TooFast || f.Code == plausible.Clone {
			all = append(all, f.Code)
		}
	}
	return all
}

// TestLateHonest: whatever of an honest register comes late, in whatever order, contradicts nothing; nor does any of it that comes twice.
func TestLateHonest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		m, _ := plausible.NewMeter(120) // 60 a minute are half a minute's more than it may be after half a minute
		all := walk(random, 2000)
		for i, r := range delay(random, all, 0.3) {
			found, err := m.Observe(r)
			if random.IntN(10) == 0 {
				again, _ := m.Observe(r)
				found = append(slices.Clone(found), again...)
			}
			if bad := gone(found); err != nil || len(bad) > 0 {
				t.Fatalf("seed %d: of reading %d is said %v, %v", seed, i, bad, err)
			}
		}
	}
}

// TestLateFalse: in a store that comes late, a register that falls, jumps or is a copy is found as long as what it is held against has not been
// thinned, which is so for the latest 32 readings; and whatever is false by more than was used between what the trail still has.
func TestLateFalse(t *testing.T) {
	t.Parallel()
	const size = 2_000 // an hour; readings are a quarter of an hour apart, and use at most 400 in it
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 3))
		m, _ := plausible.NewMeter(size)
		var all []plausible.Reading
		for i := range 1200 {
			r := plausible.Reading{AtMS: lamppost.TimeMS(i) * hourMS / 4}
			if i > 0 {
				r.Register = all[i-1].Register + 1 + random.Int64N(400)
			}
			all = append(all, r)
		}
		observe := func(r plausible.Reading) []plausible.Finding {
			found, err := m.Observe(r)
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		store, end := 1000+random.IntN(100), 0
		for i := range all {
			if end = store + 20; i < store || i >= end {
				if bad := gone(observe(all[i])); len(bad) > 0 {
					t.Fatalf("seed %d: an honest reading is %v", seed, bad)
				}
			}
			if i == end+5 {
				break
			}
		}
		for _, k := range random.Perm(20)[:10] {
			if bad := gone(observe(all[store+k])); len(bad) > 0 {
				t.Fatalf("seed %d: an honest late reading is %v", seed, bad)
			}
		}
		near := store + 20 + random.IntN(5)
		for what, c := range map[string]struct {
			r    plausible.Reading
			want plausible.Code
		}{
			"below what came before": {plausible.Reading{AtMS: all[store-1].AtMS + 60_000, Register: all[store-1].Register - 1}, plausible.RolledBack},
			"above what came after":  {plausible.Reading{AtMS: all[near].AtMS - 60_000, Register: all[near].Register + 1}, plausible.RolledBack},
			"a second register":      {plausible.Reading{AtMS: all[near].AtMS, Register: all[near].Register + 1}, plausible.Clone},
			"long ago, above today":  {plausible.Reading{AtMS: all[10].AtMS + 1, Register: all[end].Register}, plausible.RolledBack},
			"long ago, below then":   {plausible.Reading{AtMS: all[900].AtMS + 1, Register: all[800].Register}, plausible.RolledBack},
		} {
			state, _ := m.AppendBinary(nil)
			found := slices.Clone(observe(c.r))
			if n := len(found) - 1; n < 1 || found[n].Code != plausible.Late || found[n].Code.Hard() || !slices.Contains(gone(found), c.want) {
				t.Errorf("seed %d, %s: found %+v", seed, what, found)
			}
			if err := m.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			if again := observe(c.r); !slices.Equal(again, found) {
				t.Errorf("seed %d, %s: from the state %+v, was %+v", seed, what, again, found)
			}
			if err := m.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTrail: however long a register reports, what it is held against stays bounded: a reading that is false by more than it used in a quarter of the time since then is
// found, up to a year back.
func TestTrail(t *testing.T) {
	t.Parallel()
	m, _ := plausible.NewMeter(1 << 40)
	const every, perStep = lamppost.TimeMS(15 * 60_000), 10
	steps := 365 * 96
	for i := range steps {
		if _, err := m.Observe(plausible.Reading{AtMS: lamppost.TimeMS(i) * every, Register: int64(i) * perStep}); err != nil {
			t.Fatal(err)
		}
	}
	for back := 1; back < steps; back = back*5/4 + 1 {
		at := lamppost.TimeMS(steps-1-back)*every + 1
		least := int64(steps-1-back)*perStep - int64(back/4+1)*perStep
		state, _ := m.AppendBinary(nil)
		if least > 0 {
			if found, _ := m.Observe(plausible.Reading{AtMS: at, Register: least - 1}); len(gone(found)) == 0 {
				t.Errorf("%d readings back, a register that is too low by %d is not found", back, back/4*perStep)
			}
		}
		_ = m.UnmarshalBinary(state)
		if found, _ := m.Observe(plausible.Reading{AtMS: at, Register: int64(steps-1-back)*perStep + int64(back/4+2)*perStep}); len(gone(found)) == 0 {
			t.Errorf("%d readings back, a register that is too high by %d is not found", back, back/4*perStep)
		}
		_ = m.UnmarshalBinary(state)
	}
}

// TestAside: in a group, readings that stand for no moment are held against each other and those that do, and teach nothing else.
func TestAside(t *testing.T) {
	t.Parallel()
	s, g := newStreet(3), newGroup(t)
	run(t, g, s, 100)
	quiet, loud := newGroup(t), g
	if err := quiet.UnmarshalBinary(save(t, g)); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		last, all := s.registers, s.next()
		for i, r := range all {
			meter := i
			if i == homes {
				meter = plausible.Main
			}
			aside := plausible.Reading{AtMS: r.AtMS - hourMS/3, Register: (int64(last[i]) + r.Register) / 2, Aside: true}
			found, err := loud.Observe(meter, aside)
			if err != nil || len(found) > 0 {
				t.Fatalf("aside: %+v, %v", found, err)
			}
			a, _ := loud.Observe(meter, r)
			b, _ := quiet.Observe(meter, r)
			if !slices.Equal(a, b) {
				t.Fatalf("with readings aside %+v, without %+v", a, b)
			}
		}
	}
	found, _ := loud.Observe(2, plausible.Reading{AtMS: lamppost.TimeMS(400_000+s.hour-1)*hourMS + 60_000, Register: 1, Aside: true})
	if len(found) != 1 || found[0].Code != plausible.RolledBack || found[0].Meter != 2 {
		t.Errorf("a fall aside: %+v", found)
	}
}

// TestRefine: a register that tells more digits from now on may still not fall, nor did it before.
func TestRefine(t *testing.T) {
	t.Parallel()
	m, _ := plausible.NewMeter(1000)
	for i := range int64(10) {
		_, _ = m.Observe(plausible.Reading{AtMS: lamppost.TimeMS(i) * hourMS, Register: 100 * i})
	}
	fine, _ := plausible.NewMeter(10_000)
	fine.Refine(m, 10)
	if found, _ := fine.Observe(plausible.Reading{AtMS: 5*hourMS + 1, Register: 4999}); len(found) != 2 || found[0].Limit != 5000 {
		t.Errorf("a late fall: %+v", found)
	}
	if found, _ := fine.Observe(plausible.Reading{AtMS: 10 * hourMS, Register: 8999}); len(found) != 1 || found[0].Code != plausible.RolledBack {
		t.Errorf("a fall: %+v", found)
	}
}

// BenchmarkLate is a late reading, of a meter whose readings come in twos, the younger first.
func BenchmarkLate(b *testing.B) {
	m, _ := plausible.NewMeter(24_000)
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		i += 2
		_, _ = m.Observe(plausible.Reading{AtMS: lamppost.TimeMS(i) * 900_000, Register: 100 * i})
		_, _ = m.Observe(plausible.Reading{AtMS: lamppost.TimeMS(i-1) * 900_000, Register: 100 * (i - 1)})
	}
}
