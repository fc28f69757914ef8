package measure

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// smallSite is four made homes behind a main meter, for half a year.
func smallSite() *fraudSite {
	random := rand.New(rand.NewPCG(1, 1))
	s := &fraudSite{name: "made", main: true, begin: 1_500_000_000_000 / 3_600_000 * 3_600_000, stepMS: time.Hour.Milliseconds(), size: 24_000}
	for range 4 {
		use := make([]int, 180*24)
		for k := range use {
			use[k] = 200 + random.IntN(200)
			if random.IntN(3) == 0 {
				use[k] += random.IntN(3000)
			}
		}
		s.names, s.use = append(s.names, "home"), append(s.use, use)
	}
	s.count(FraudLate)
	return s
}

// reads is all that a site says, with an injection or without.
func reads(s *fraudSite, in *injection) [][]plausible.Reading {
	run, all := fraudRun{site: s, in: in}, make([][]plausible.Reading, len(s.members()))
	for k := range s.steps() {
		for i, m := range s.members() {
			all[i] = run.readings(all[i], m, k)
		}
	}
	return all
}

// TestInjection: the same seed makes the same readings, another one others; before it begins nothing is changed, nor are other meters; and
// each kind does what it says.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := smallSite()
	clean := reads(s, nil)
	for _, kind := range slices.Concat(fraudHard, fraudControls, []fraudKind{bypass, leak}) {
		in := s.inject(kind, 1, 0.4, 3)
		if again := s.inject(kind, 1, 0.4, 3); *again != *in {
			t.Errorf("%s: %+v and %+v of one seed", kind, in, again)
		}
		if other := s.inject(kind, 1, 0.4, 4); other.from == in.from && other.amount == in.amount {
			t.Errorf("%s: two seeds make the same", kind)
		}
		all := reads(s, in)
		if !slices.EqualFunc(all, reads(s, in), slices.Equal[[]plausible.Reading]) {
			t.Errorf("%s: two runs differ", kind)
		}
		for m := range all {
			same := 0
			for same < min(len(all[m]), len(clean[m])) && all[m][same] == clean[m][same] {
				same++
			}
			switch changes := m == 1 && kind != tap || m == 4 && slices.Contains([]fraudKind{tap, leak, holiday, absence}, kind); {
			case changes && (same < in.from || same > in.from+2):
				t.Errorf("%s: member %d changes at %d, want %d", kind, m, same, in.from)
			case !changes && same < len(clean[m]):
				t.Errorf("%s: member %d changes at %d, want never", kind, m, same)
			}
		}
	}
	begin, end := s.inject(bypass, 1, 0.4, 3).from, s.steps()-1
	counted := reads(s, s.inject(bypass, 1, 0.4, 3))[1]
	share := float64(counted[end].Register-counted[begin-1].Register) / float64(clean[1][end].Register-clean[1][begin-1].Register)
	if share < 0.599 || share > 0.601 {
		t.Errorf("a bypass of 40 %% counts %v", share)
	}
}

// TestFraudSmall: over a made site the hard kinds are found, silence has no alarm, and a run from a saved state is the run from the beginning.
func TestFraudSmall(t *testing.T) {
	t.Parallel()
	r := &FraudResult{}
	b := &fraudBench{site: smallSite()}
	if err := r.observe(b, FraudLate); err != nil {
		t.Fatal(err)
	}
	if a := b.alarms(); a.Hard != 0 || a.MeterWeeks < 102 || a.MeterWeeks > 103 {
		t.Errorf("%+v", a)
	}
	for _, kind := range fraudHard {
		in := b.site.inject(kind, 2, 0, 1)
		hours, _, err := b.try(in, false)
		if err != nil || hours < 1 || hours > 24 {
			t.Errorf("%s: found after %v hours, %v", kind, hours, err)
		}
		group, err := b.site.group()
		if err != nil {
			t.Fatal(err)
		}
		run, from := fraudRun{site: b.site, in: in}, -1.0
		for k := range in.to {
			if err := run.step(group, k, func(f plausible.Finding) {
				if from < 0 && f.Code.Hard() && k >= in.from {
					from = float64(k-in.from) + 1
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		if from != hours {
			t.Errorf("%s: found after %v hours from a saved state, %v from the beginning", kind, hours, from)
		}
	}
}
