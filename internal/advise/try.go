package advise

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/lamppost/lamppost/internal/explore"
)

// TryOptions say what is tried.
type TryOptions struct {
	Profiles int
	Seed     uint64
	Space    *explore.Space // how long to send, and the model of energy
	Cost     func(explore.Point, Prediction) Range

	Measure  func(context.Context, *explore.Space, explore.Point) (explore.Figures, error)
	Progress func(done, all int64, what string)
}

// Tried is what came of running what is advised for profiles drawn by chance, within what was measured and not on its grid alone.
type Tried struct {
	Profiles int     `json:"profiles"`
	Met      int     `json:"met"`     // readings_per_s and commit_p99_ms lay in their intervals
	Kept     int     `json:"kept"`    // neither was worse than its interval
	InTime   int     `json:"in_time"` // 99 of 100 within the latency asked for
	Drawn    int     `json:"drawn"`   // with those for which nothing could be advised
	Trials   []Trial `json:"trials"`
}

// A Trial is one profile, what was advised and predicted for it, and what was measured.
type Trial struct {
	Need       Need            `json:"need"`
	Engines    []string        `json:"engines"` // that trust allows
	Point      explore.Point   `json:"point"`
	Prediction Prediction      `json:"prediction"`
	Figures    explore.Figures `json:"figures"`
	Error      string          `json:"error,omitempty"`
	Met        bool            `json:"met"`
	Kept       bool            `json:"kept"`
}

// maxDraws bounds the search for a profile that something can be advised for.
const maxDraws = 1000

// Try runs what is advised, one point after the other: the machine should be alone. When ctx is done it returns the context's error.
func (m *Measured) Try(ctx context.Context, o TryOptions) (*Tried, error) {
	die := rand.New(rand.NewPCG(o.Seed, 0))
	t := &Tried{}
	o.Progress(0, int64(o.Profiles), "profiles run")
	for t.Profiles < o.Profiles && t.Drawn < maxDraws*o.Profiles {
		t.Drawn++
		trial, ok := m.draw(die, o.Cost)
		if !ok {
			continue
		}
		f, err := o.Measure(ctx, o.Space, trial.Point)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			trial.Error = err.Error()
		}
		trial.judge(f)
		t.add(trial)
		o.Progress(int64(t.Profiles), int64(o.Profiles), "profiles run")
	}
	return t, nil
}

func (t *Tried) add(trial *Trial) {
	t.Profiles++
	for count, is := range map[*int]bool{&t.Met: trial.Met, &t.Kept: trial.Kept, &t.InTime: trial.Kept && trial.Figures.P99 <= trial.Need.LatencyMS} {
		if is {
			*count++
		}
	}
	t.Trials = append(t.Trials, *trial)
}

// judge compares with the prediction.
func (t *Trial) judge(f explore.Figures) {
	t.Figures = f
	per, p99 := t.Prediction.PerS, t.Prediction.P99
	t.Kept = t.Error == "" && f.PerS >= per.Low && f.P99 <= p99.High
	t.Met = t.Kept && f.PerS <= per.High && f.P99 >= p99.Low
}

// draw makes a profile by chance, and what is advised for it.
func (m *Measured) draw(die *rand.Rand, cost func(explore.Point, Prediction) Range) (*Trial, bool) {
	engines := trusts[die.IntN(len(trusts))]
	l, ok := m.Limits(engines[len(engines)-1])
	if !ok {
		return nil, false
	}
	most := l.RTTMS.High
	gather := 1 + die.IntN(10) // readings that a device may gather in a report
	demand := between(die, 30, 10_000)
	devices := between(die, 30, max(31, min(1000, demand))) // each reports, and soon
	profile := explore.Point{Devices: int(devices), Suites: drawSuites(die, l.Suites), Verify: "full", Fault: "none", RTTMS: math.Round(most * die.Float64())}
	t := &Trial{Engines: engines, Need: Need{LatencyMS: math.Round(between(die, 50, 2000)), ReadingsPerS: math.Round(demand)}}
	ranked, _ := m.Choose(m.choices(engines, profile, demand, gather), t.Need, cost)
	if len(ranked) == 0 {
		return nil, false
	}
	t.Point, t.Prediction = ranked[0].Point, ranked[0].Prediction
	return t, true
}

// choices are all points for a profile: the engines with their fewest members, one reading in a report or as many as may gather, and every wait.
func (m *Measured) choices(engines []string, profile explore.Point, demand float64, gather int) (points []explore.Point) {
	for _, name := range engines {
		e := m.engines[name]
		if e == nil {
			continue
		}
		for _, readings := range slices.Compact([]int{1, gather}) {
			for _, linger := range []float64{5, 10, 25, 50, 100, 200} {
				p := profile
				p.Engine, p.Nodes, p.Segment, p.Readings, p.LingerMS = name, e.base.Nodes, e.base.Segment, readings, linger
				p.Rate = int(math.Ceil(demand / float64(readings)))
				if name == "solo" {
					p.RTTMS = 0
				}
				points = append(points, p)
			}
		}
	}
	return points
}

// drawSuites is one of the suites, or two of them by halves.
func drawSuites(die *rand.Rand, suites []string) string {
	a, b := suites[die.IntN(len(suites))], suites[die.IntN(len(suites))]
	if a == b {
		return a
	}
	return a + ":1+" + b + ":1"
}

// between draws evenly in logarithms.
func between(die *rand.Rand, low, high float64) float64 {
	return low * math.Pow(high/low, die.Float64())
}
