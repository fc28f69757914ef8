package federate_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
)

const features = 8

var truth = [features]float64{0.2, 0.8, -0.3, 0.5, 0, 0.1, -0.6, 0.4}

// A town is gateways with rows of their own; each has its own middle and spread, so that none is like another.
type town struct {
	updates []federate.Update
	central *forecast.Stats
}

// sample makes a row of a gateway: what is to be learnt is the same for all, with noise.
func sample(random *rand.Rand, gateway int) (x []float64, y float64) {
	x = make([]float64, features)
	x[0] = 1
	for i := 1; i < features; i++ {
		x[i] = float64(gateway%5)/5 + (1+float64((gateway+i)%3))*random.NormFloat64()/2
		y += truth[i] * x[i]
	}
	return x, y + truth[0] + 0.3*random.NormFloat64()
}

func stats(t testing.TB) *forecast.Stats {
	t.Helper()
	s, err := forecast.NewStats(features)
	must(t, err)
	return s
}

func newTown(t testing.TB, gateways int, rows func(i int) int) *town {
	t.Helper()
	random := rand.New(rand.NewPCG(5, 1))
	w := &town{central: stats(t)}
	for i := range gateways {
		s := stats(t)
		for range rows(i) {
			x, y := sample(random, i)
			weight := 0.2 + 0.8*random.Float64()
			s.Add(x, y, weight)
			w.central.Add(x, y, weight)
		}
		w.updates = append(w.updates, federate.Update{By: string(rune('a' + i)), Member: string(rune('a' + i)), Devices: federate.MinDevices, Stats: s})
	}
	return w
}

func same(int) int { return 800 }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func merge(t testing.TB, updates []federate.Update) *federate.Round {
	t.Helper()
	r, err := federate.Merge(updates)
	must(t, err)
	return r
}

func off(t testing.TB, a, b *forecast.Stats) float64 {
	t.Helper()
	x, err := a.Fit()
	must(t, err)
	y, err := b.Fit()
	must(t, err)
	most := 0.0
	for i := range x {
		most = max(most, math.Abs(x[i]-y[i]))
	}
	return most
}

// TestCentral: gateways that are unlike and of unequal size get, in one round, the weights of all rows in one place, and all of them stay.
func TestCentral(t *testing.T) {
	t.Parallel()
	w := newTown(t, 9, func(i int) int { return 600 + 150*i })
	r := merge(t, w.updates)
	share := 0.0
	for _, p := range r.Parts {
		if share += p.Share; p.Left != "" || p.Factor != 1 {
			t.Errorf("%+v", p)
		}
	}
	if gap := off(t, r.Stats, w.central); gap > 1e-9 || math.Abs(share-1) > 1e-9 || r.Stats.Rows != w.central.Rows {
		t.Errorf("off by %g; shares sum to %g; %d rows of %d", gap, share, r.Stats.Rows, w.central.Rows)
	}
}

// TestOrder: the same updates in any order give the same bits.
func TestOrder(t *testing.T) {
	t.Parallel()
	w := newTown(t, 7, same)
	for i := range 4 {
		w.updates[2*i].Member = "several"
	}
	want := merge(t, w.updates)
	for seed := range uint64(10) {
		some := slices.Clone(w.updates)
		rand.New(rand.NewPCG(seed, 2)).Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		if got := merge(t, some); got.Hash != want.Hash || !reflect.DeepEqual(got.Parts, want.Parts) {
			t.Fatalf("seed %d: %v, want %v", seed, got.Parts, want.Parts)
		}
	}
}

// liars make their sums from the same rows with other targets.
var liars = map[string]func(random *rand.Rand, y float64) float64{
	"flipped": func(_ *rand.Rand, y float64) float64 { return -y },
	"scaled":  func(_ *rand.Rand, y float64) float64 { return 8 * y },
	"shifted": func(_ *rand.Rand, y float64) float64 { return y + 2 },
	"random":  func(r *rand.Rand, _ float64) float64 { return 3 * r.NormFloat64() },
}

// TestLiars: three of ten that lie with one mind, and claim a hundred times the rows, are left out with a number; the others make the same
// bits as if those had not been there.
func TestLiars(t *testing.T) {
	t.Parallel()
	for name, lie := range liars {
		w := newTown(t, 10, same)
		honest := merge(t, w.updates[3:])
		random := rand.New(rand.NewPCG(6, 1))
		for i := range 3 {
			s := stats(t)
			for range 800 {
				x, y := sample(random, i)
				s.Add(x, lie(random, y), 1)
			}
			heavy := stats(t)
			must(t, heavy.Merge(s, 100))
			heavy.Rows = 80_000
			w.updates[i].Stats = heavy
		}
		r := merge(t, w.updates)
		for i, p := range r.Parts {
			if lies := i < 3; lies != (p.Left == federate.LeftSpoils) || lies && (p.Why == "" || p.Rise <= federate.MaxRise || p.Share != 0) {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if r.Hash != honest.Hash {
			t.Errorf("%s: not the model of the honest", name)
		}
	}
}

// TestDrift: two of ten that push as hard as goes unnoticed, with a hundred times the rows, do not raise the others' error by a tenth.
func TestDrift(t *testing.T) {
	t.Parallel()
	clean := newTown(t, 10, same)
	best, err := clean.central.Fit()
	must(t, err)
	least, err := clean.central.Loss(best)
	must(t, err)
	for push := 0.05; push < 1; push += 0.05 {
		w := newTown(t, 10, same)
		random := rand.New(rand.NewPCG(7, 1))
		for i := range 2 {
			s := stats(t)
			for range 800 {
				x, y := sample(random, i)
				s.Add(x, y+push, 100)
			}
			s.Rows = 80_000
			w.updates[i].Stats = s
		}
		drifted, err := merge(t, w.updates).Stats.Fit()
		must(t, err)
		miss, err := clean.central.Loss(drifted)
		must(t, err)
		if rise := math.Sqrt(miss/least) - 1; rise > 0.1 {
			t.Errorf("a push of %.2f raises the error by %.1f %%", push, 100*rise)
		}
	}
}

// TestLarge: an honest gateway that is far larger than the others counts in full: it harms nobody.
func TestLarge(t *testing.T) {
	t.Parallel()
	w := newTown(t, 6, func(i int) int {
		if i == 2 {
			return 20_000
		}
		return 700
	})
	r := merge(t, w.updates)
	for _, p := range r.Parts {
		if p.Left != "" || p.Factor != 1 {
			t.Errorf("%+v", p)
		}
	}
	if gap := off(t, r.Stats, w.central); gap > 1e-9 {
		t.Errorf("off by %g", gap)
	}
}

// TestRefused: what is of too few rows or devices, or cannot be sums of rows, is not merged, and each is told why; nobody twice.
func TestRefused(t *testing.T) {
	t.Parallel()
	bad := map[string]func(u *federate.Update){
		"few rows":    func(u *federate.Update) { u.Stats.Rows = federate.MinRows - 1 },
		"few devices": func(u *federate.Update) { u.Devices = federate.MinDevices - 1 },
		"no sums":     func(u *federate.Update) { u.Stats = nil },
		"no weight":   func(u *federate.Update) { u.Stats.Weight = 0 },
		"more weight": func(u *federate.Update) { u.Stats.Rows = int(u.Stats.Weight) / 2 },
		"no constant": func(u *federate.Update) { u.Stats.Gram[0] *= 2 },
		"not a row":   func(u *federate.Update) { u.Stats.Gram[2] = 1e9 },
		"no square":   func(u *federate.Update) { u.Stats.Square = 1e-3 },
		"negative":    func(u *federate.Update) { u.Stats.Gram[2] = -1 },
		"endless":     func(u *federate.Update) { u.Stats.Gram[5] = math.Inf(1) },
		"no number":   func(u *federate.Update) { u.Stats.Cross[3] = math.NaN() },
		"no member":   func(u *federate.Update) { u.Member = "" },
		"features":    func(u *federate.Update) { u.Stats, _ = forecast.NewStats(3) },
	}
	for name, change := range bad {
		w := newTown(t, 4, same)
		change(&w.updates[3])
		r := merge(t, w.updates)
		if p := r.Parts[3]; p.Left == "" || p.Why == "" || p.Share != 0 {
			t.Errorf("%s: %+v", name, p)
		}
		if want := merge(t, w.updates[:3]); r.Hash != want.Hash {
			t.Errorf("%s: the others' model is another", name)
		}
	}
	w := newTown(t, 2, same)
	if _, err := federate.Merge(append(w.updates, w.updates[0])); err == nil {
		t.Error("one took part twice")
	}
	if r := merge(t, nil); r.Stats != nil {
		t.Error("nobody made a model")
	}
}

func said(t testing.TB, u *federate.Update) []byte {
	t.Helper()
	b, err := u.AppendBinary(nil)
	must(t, err)
	return b
}

// TestWritten: an update on the ledger is read as it was; one with all features of a forecast has room.
func TestWritten(t *testing.T) {
	t.Parallel()
	u := newTown(t, 1, same).updates[0]
	u.Round = federate.RoundAt(1_800_000_000_000)
	var got federate.Update
	must(t, got.UnmarshalBinary(said(t, &u)))
	if got.By, got.Member = u.By, u.Member; !reflect.DeepEqual(got, u) {
		t.Errorf("%+v, want %+v", got, u)
	}
	m, err := forecast.NewModel(3_600_000, 24)
	must(t, err)
	if b := said(t, &federate.Update{Stats: m.Stats()[0]}); len(b) > lamppost.MaxStatistics/3 {
		t.Errorf("%d bytes", len(b))
	}
}

// TestCommitment: it hangs on the salt, the devices and each value.
func TestCommitment(t *testing.T) {
	t.Parallel()
	of := func(salt byte, id lamppost.DeviceID, v float64) lamppost.Hash {
		r := federate.NewRows([32]byte{salt})
		r.Device(id)
		r.Add(1, v)
		return r.Commitment()
	}
	want := of(1, "a", 2)
	if want != of(1, "a", 2) || want == of(2, "a", 2) || want == of(1, "b", 2) || want == of(1, "a", 3) {
		t.Error("a commitment is not of what was added")
	}
}

// FuzzUpdate: what is read is written as it was, and merging it does not panic.
func FuzzUpdate(f *testing.F) {
	u := newTown(f, 1, same).updates[0]
	good := said(f, &u)
	f.Add(good)
	f.Add(good[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		var u federate.Update
		if u.UnmarshalBinary(b) != nil {
			return
		}
		if got := said(t, &u); !bytes.Equal(got, b) {
			t.Fatalf("%x is written as %x", b, got)
		}
		w := newTown(t, 3, func(int) int { return 500 })
		w.updates[1].Stats, w.updates[1].Devices = u.Stats, 9
		merge(t, w.updates)
	})
}

// BenchmarkMerge merges 26 updates of as many features as forecasts have.
func BenchmarkMerge(b *testing.B) {
	random := rand.New(rand.NewPCG(8, 1))
	var updates []federate.Update
	for i := range 26 {
		s, err := forecast.NewStats(63)
		must(b, err)
		x := make([]float64, 63)
		for range 2000 {
			y := 0.0
			for k := range x {
				x[k] = random.NormFloat64()
				y += x[k] / 63
			}
			x[0] = 1
			s.Add(x, y+random.NormFloat64(), 1)
		}
		updates = append(updates, federate.Update{By: string(rune('a' + i)), Member: string(rune('a' + i)), Devices: federate.MinDevices, Stats: s})
	}
	for b.Loop() {
		merge(b, updates)
	}
}
