package advise_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/explore"
)

// made are rows of the shipped space as a machine would measure that follows a law, with noise by a seed: waiting is for company, for agreement and
// for its round trips; CPU is for idling, for blocks, reports and readings.
func made(tb testing.TB, seed uint64) *explore.Set {
	tb.Helper()
	text, err := os.ReadFile("../../bench/results/space.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	space, err := explore.ParseSpace(text)
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := space.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	die := rand.New(rand.NewPCG(seed, 1))
	set := &explore.Set{V: explore.Version, Space: space}
	for _, run := range plan {
		set.Rows = append(set.Rows, explore.Row{V: explore.Version, Order: run.Order, Rep: run.Rep, Point: run.Point, Figures: law(run.Point, die)})
	}
	return set
}

func law(p explore.Point, die *rand.Rand) explore.Figures {
	noisy := func(v, by float64) float64 { return v * math.Exp(by*die.NormFloat64()) }
	members, rounds, agree := float64(p.Nodes), map[string]float64{"solo": 0, "raft": 3, "comet": 6}[p.Engine], map[string]float64{"solo": 2, "raft": 8, "comet": 90}[p.Engine]
	k, rate := float64(p.Readings), float64(p.Rate)
	most := 120_000 / members
	if p.Rate == 0 {
		rate = most
	}
	p50 := p.LingerMS/2 + agree + rounds*p.RTTMS
	blocks := min(1000/(p.LingerMS+agree+rounds*p.RTTMS), rate)
	f := explore.Figures{Seconds: 3 + p50/1000, Committed: int64(3 * rate * k), P50: noisy(p50, 0.05), P99: noisy(p50*2, 0.1)}
	f.PerS = noisy(float64(f.Committed)/f.Seconds, 0.005)
	f.NodeCPU = noisy(members*(50_000+600*blocks+20*rate+0.5*rate*k)/(rate*k), 0.06)
	f.DiskBytes, f.Syncs = noisy(members*(200/k+40), 0.03), noisy(members*blocks*2/(rate*k), 0.05)
	if members > 1 {
		f.WireBytes = noisy((members-1)*(180/k+60), 0.03)
	}
	return f
}

func open(tb testing.TB, set *explore.Set) *advise.Measured {
	tb.Helper()
	m, err := advise.Open(set)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// inside is a point that nobody measured, in the middle of what was.
var inside = explore.Point{Engine: "raft", Nodes: 3, Devices: 300, Rate: 150, Readings: 4, Suites: "es256:7+ed25519:1", Verify: "full", LingerMS: 40, Segment: 1024, RTTMS: 35, Fault: "none"}

// Outside what was measured nothing is predicted, and the dimension is named.
func TestAbstainsOutside(t *testing.T) {
	t.Parallel()
	m := open(t, made(t, 1))
	if _, err := m.Predict(inside); err != nil {
		t.Fatalf("inside: %v", err)
	}
	for want, change := range map[string]func(*explore.Point){
		"engine":                          func(p *explore.Point) { p.Engine = "" },
		"pbft: nothing":                   func(p *explore.Point) { p.Engine = "pbft" },
		"nodes 9":                         func(p *explore.Point) { p.Nodes = 9 },
		"devices 9000":                    func(p *explore.Point) { p.Devices = 9000 },
		"rate 20000":                      func(p *explore.Point) { p.Rate = 20_000 },
		"rate 1 is outside":               func(p *explore.Point) { p.Rate = 1 },
		"rate 0":                          func(p *explore.Point) { p.Rate = 0 },
		"readings 200":                    func(p *explore.Point) { p.Readings = 200 },
		"linger_ms 1 ":                    func(p *explore.Point) { p.LingerMS = 1 },
		"linger_ms NaN":                   func(p *explore.Point) { p.LingerMS = math.NaN() },
		"segment 8":                       func(p *explore.Point) { p.Segment = 8 },
		"rtt_ms 300 is outside what was":  func(p *explore.Point) { p.RTTMS = 300 },
		"loss 0.01":                       func(p *explore.Point) { p.Loss = 0.01 },
		"fault":                           func(p *explore.Point) { p.Fault = "kill" },
		"verify none":                     func(p *explore.Point) { p.Verify = "none" },
		"suites":                          func(p *explore.Point) { p.Suites = "rot13" },
		"cannot verify HMAC":              func(p *explore.Point) { p.Suites, p.Verify = "hmac-sha256", "gateway" },
		"5 members and verify gateway":    func(p *explore.Point) { p.Nodes, p.Verify = 5, "gateway" },
		"more than a segment of 64 holds": func(p *explore.Point) { p.Segment, p.Rate, p.LingerMS = 64, 4000, 200 },
	} {
		p := inside
		change(&p)
		_, err := m.Predict(p)
		var un *advise.Unmeasured
		if !errors.As(err, &un) || !strings.Contains(un.Why, want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// What limits say is what is predicted: at each end a prediction, past it none.
func TestLimitsAreKept(t *testing.T) {
	t.Parallel()
	m := open(t, made(t, 1))
	for _, engine := range []string{"solo", "raft", "comet"} {
		l, ok := m.Limits(engine)
		if !ok {
			t.Fatalf("%s has no limits", engine)
		}
		base := explore.Point{Engine: engine, Nodes: int(l.Nodes.Low), Devices: 100, Rate: 100, Readings: 1, Suites: "ed25519", Verify: "full", LingerMS: 25, Segment: 1024, Fault: "none"}
		for name, d := range map[string]struct {
			in  advise.Span
			put func(*explore.Point, float64)
		}{
			"rate":      {l.Rate, func(p *explore.Point, v float64) { p.Rate = int(v) }},
			"readings":  {l.Readings, func(p *explore.Point, v float64) { p.Readings = int(v) }},
			"devices":   {l.Devices, func(p *explore.Point, v float64) { p.Devices = int(v) }},
			"linger_ms": {l.LingerMS, func(p *explore.Point, v float64) { p.LingerMS = v }},
			"rtt_ms":    {l.RTTMS, func(p *explore.Point, v float64) { p.RTTMS = v }},
			"nodes":     {l.Nodes, func(p *explore.Point, v float64) { p.Nodes = int(v) }},
		} {
			for v, within := range map[float64]bool{d.in.Low: true, d.in.High: true, d.in.Low - 1: false, d.in.High + 1: false} {
				p := base
				d.put(&p, v)
				if _, err := m.Predict(p); (err == nil) != within {
					t.Errorf("%s, %s %g, measured from %g to %g: %v", engine, name, v, d.in.Low, d.in.High, err)
				}
			}
		}
	}
	if _, ok := m.Limits("pbft"); ok {
		t.Error("an engine that nobody measured has limits")
	}
}

// A prediction rests on rows, the nearest named; intervals hold their middle, and a measured point's own figures are near it.
func TestPredictsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	set := made(t, 2)
	m := open(t, set)
	for _, g := range explore.Groups(set.Rows) {
		if g.Rate == 0 || g.Loss > 0 || g.Fault != "none" {
			continue
		}
		pr, err := m.Predict(g.Point)
		if err != nil {
			t.Fatalf("%+v: %v", g.Point, err)
		}
		if pr.Nearest[0].Point != g.Point || pr.Nearest[0].Distance != 0 || pr.Nearest[0].Rows != len(g.Rows) {
			t.Errorf("%+v rests on %+v", g.Point, pr.Nearest[0])
		}
		for name, r := range map[string]advise.Range{"per_s": pr.PerS, "capacity": pr.Capacity, "p50": pr.P50, "p99": pr.P99, "cpu": pr.CPU, "wire": pr.Wire, "disk": pr.Disk, "syncs": pr.Syncs} {
			if !(r.Low <= r.Mid && r.Mid <= r.High) || math.IsNaN(r.Mid) || math.IsInf(r.High, 0) {
				t.Errorf("%+v: %s %+v", g.Point, name, r)
			}
		}
		if p99 := g.Rows[0].P99; math.Abs(math.Log(pr.P99.Mid/p99)) > 0.5 {
			t.Errorf("%+v: p99 %+v, measured %v", g.Point, pr.P99, p99)
		}
	}
}

// The same rows in another order predict the same, to the last bit.
func TestPredictsTheSame(t *testing.T) {
	t.Parallel()
	set := made(t, 3)
	want, err := open(t, set).Predict(inside)
	if err != nil {
		t.Fatal(err)
	}
	die := rand.New(rand.NewPCG(1, 1))
	die.Shuffle(len(set.Rows), func(i, j int) { set.Rows[i], set.Rows[j] = set.Rows[j], set.Rows[i] })
	if got, err := open(t, set).Predict(inside); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v: %v", got, want, err)
	}
}

// Of too little nothing is predicted.
func TestNeedsRows(t *testing.T) {
	t.Parallel()
	set := made(t, 1)
	failed := slices.Clone(set.Rows)
	for i := range failed {
		failed[i].Error = "no"
	}
	for name, rows := range map[string][]explore.Row{"none": nil, "five": set.Rows[:5], "failed": failed} {
		if _, err := advise.Open(&explore.Set{Space: set.Space, Rows: rows}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// What is ranked meets the need at the bad end of its interval, the cheapest first; what is not says why.
func TestChoose(t *testing.T) {
	t.Parallel()
	m := open(t, made(t, 4))
	var points []explore.Point
	for _, linger := range []float64{5, 25, 100, 200, 1000} {
		p := inside
		p.LingerMS = linger
		points = append(points, p)
	}
	cpu := func(_ explore.Point, pr advise.Prediction) advise.Range { return pr.CPU }
	need := advise.Need{LatencyMS: 450, ReadingsPerS: 600}
	ranked, out := m.Choose(points, need, cpu)
	if len(ranked)+len(out) != len(points) || len(ranked) == 0 || len(out) < 2 {
		t.Fatalf("%d ranked, %d out", len(ranked), len(out))
	}
	for i, c := range ranked {
		if c.Prediction.P99.High > need.LatencyMS || c.Prediction.Capacity.Low < need.ReadingsPerS || i > 0 && c.Cost.Mid < ranked[i-1].Cost.Mid {
			t.Errorf("place %d: %+v", i+1, c)
		}
	}
	for _, r := range out {
		if len(r.Why) == 0 || (r.Prediction == nil) != (r.LingerMS == 1000) {
			t.Errorf("out: %+v", r)
		}
	}
	if ranked, out = m.Choose(points, advise.Need{LatencyMS: 5000, ReadingsPerS: 1e9}, cpu); len(ranked) > 0 || !strings.Contains(fmt.Sprint(out[0].Why), "readings/s only") {
		t.Errorf("a need that nothing bears: %v, %v", ranked, out)
	}
}

func BenchmarkPredict(b *testing.B) {
	m := open(b, made(b, 1))
	for b.Loop() {
		if _, err := m.Predict(inside); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	set := made(b, 1)
	for b.Loop() {
		open(b, set)
	}
}
