package explore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// The example is one that can be run, and says something of every dimension.
func TestExample(t *testing.T) {
	t.Parallel()
	s := must(explore.ParseSpace([]byte(explore.Example)))(t)
	points, left, err := s.Points()
	if err != nil || len(points) != 16 || left != 0 {
		t.Errorf("the example has %d points, %d are left out (%v)", len(points), left, err)
	}
}

// Every point is measured as often as is said, those that differ in the engine alone follow each other, in turn forwards and backwards,
// and the order is of the seed.
func TestPlan(t *testing.T) {
	t.Parallel()
	plan := func(seed string) []explore.Run {
		s := must(explore.ParseSpace([]byte("seed: " + seed + "\nrepetitions: 4\ngrids:\n  - {engine: [solo, raft, comet], readings: [1, 5, 10, 20]}\n")))(t)
		return must(s.Plan())(t)
	}
	runs := plan("7")
	count := map[explore.Point]int{}
	for i := 0; i < len(runs); i += 3 {
		var order []string
		for _, r := range runs[i : i+3] {
			order = append(order, r.Engine)
			count[r.Point]++
			if r.Pair() != runs[i].Pair() {
				t.Errorf("run %d stands among others: %+v", r.Order, r)
			}
		}
		want := []string{"solo", "raft", "comet"}
		if runs[i].Rep%2 == 0 {
			slices.Reverse(want)
		}
		if !slices.Equal(order, want) {
			t.Errorf("repetition %d measures %v, want %v", runs[i].Rep, order, want)
		}
	}
	if len(count) != 12 {
		t.Errorf("%d points, want 12", len(count))
	}
	for p, n := range count {
		if n != 4 {
			t.Errorf("%+v is measured %d times", p, n)
		}
	}
	if !slices.Equal(runs, plan("7")) {
		t.Error("the same seed gives another order")
	}
	if slices.Equal(runs, plan("8")) {
		t.Error("another seed gives the same order")
	}
}

// What cannot be measured is refused before anything runs, and said which it is; combinations that cannot be are left out.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"grids:\n  - {engine: paxos}", "paxos"},
		{"grids:\n  - {engines: solo}", "engines"},
		{"grids: []", "no grids"},
		{"", "no grids"},
		{"seconds: .nan\ngrids:\n  - {}", "seconds"},
		{"repetitions: 0\ngrids:\n  - {}", "repetitions"},
		{"grids:\n  - {suites: rsa}", "rsa"},
		{"grids:\n  - {suites: 'es256:x'}", "share"},
		{"grids:\n  - {suites: ml-dsa-44}", "reserved"},
		{"grids:\n  - {suites: hmac-sha256, verify: gateway}", "HMAC"},
		{"grids:\n  - {engine: raft, loss: 2}", "loss"},
		{"grids:\n  - {engine: raft, nodes: 2, fault: kill}", "loss of none"},
		{"grids:\n  - {engine: solo, rtt_ms: 10}", "no combination"},
		{"grids:\n  - {readings: 513}", "readings"},
		{"grids:\n  - {segment: 0}", "segment"},
		{"grids:\n  - {}\nenergy: {link: pigeon}", "pigeon"},
		{"grids:\n  - {}\nenergy: {sync_j: {value: 3}}", "source"},
	} {
		s, err := explore.ParseSpace([]byte(c.text))
		if err == nil {
			_, _, err = s.Points()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want something of %q", c.text, err, c.want)
		}
	}
	s := must(explore.ParseSpace([]byte("grids:\n  - {engine: [solo, raft], rtt_ms: [0, 20], fault: [none, kill]}\n  - {engine: raft}")))(t)
	points, left, err := s.Points()
	if err != nil || len(points) != 5 || left != 3 {
		t.Errorf("%d points, %d left out (%v), want 5 and 3", len(points), left, err)
	}
}

// A part of the model that is given is taken, the rest stays.
func TestEnergyCompleted(t *testing.T) {
	t.Parallel()
	s := must(explore.ParseSpace([]byte("grids:\n  - {}\nenergy: {link: lan, wire_j_per_byte: {lan: {value: 5, source: measured}}}")))(t)
	if e := s.Energy; e.Wire["lan"].Value != 5 || e.Wire["wan"] != explore.DefaultEnergy().Wire["wan"] || e.CPU != explore.DefaultEnergy().CPU {
		t.Errorf("%+v", e)
	}
}

// No space file makes the program panic, and what is taken makes a plan.
func FuzzSpace(f *testing.F) {
	f.Add([]byte(explore.Example))
	f.Add([]byte("grids:\n  - {engine: [solo, raft], suites: 'es256:7+ed25519', nodes: [3, 5]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := explore.ParseSpace(text)
		if err != nil {
			return
		}
		points, _, err := s.Points()
		if err != nil || len(points)*s.Repetitions > 100_000 {
			return
		}
		if plan, err := s.Plan(); err != nil || len(plan) != len(points)*s.Repetitions {
			t.Errorf("%d runs of %d points, %d repetitions: %v", len(plan), len(points), s.Repetitions, err)
		}
	})
}
