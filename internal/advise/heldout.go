package advise

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/lamppost/lamppost/internal/explore"
)

// An Objective is what choosing shall make small.
type Objective struct {
	Name string
	Cost func(explore.Point, Prediction) Range
}

// Latencies are the bounds, in ms, under which held-out cells are asked for.
var Latencies = []float64{50, 100, 250, 500, 1000, 5000}

// trusts are which engines may be chosen: any where one organisation's word is enough, those that bear a crash, the one that bears a liar.
var trusts = [][]string{{"solo", "raft", "comet"}, {"raft", "comet"}, {"comet"}}

// HeldOut is how well is chosen where nothing was measured: each cell (readings a second asked for, distance) is left out as a whole, chosen for
// from the other rows, and judged by its own.
type HeldOut struct {
	Objective string         `json:"objective"`
	Score                    // of the cells in which readings in a report and linger_ms are to choose too
	Baselines []Score        `json:"baselines"`
	Others    []Score        `json:"others"`   // advise and the baselines in all other cells
	Coverage  []CoveredShare `json:"coverage"` // of what cells measured, how much lies in the intervals predicted without them
	Missed    []Decision     `json:"missed"`   // what advise decided and was not the best, or nothing
	Decisions []Decision     `json:"-"`
}

// A Score sums up decisions. A problem is a cell, a trust and a latency that some measured choice meets. Regret is what the chosen point costs beyond the
// cheapest that meets the need, as measured; of a decision that breaks the need there is none.
type Score struct {
	Name         string  `json:"name"`
	Problems     int     `json:"problems"`
	Abstained    int     `json:"abstained"`
	Violations   int     `json:"violations"` // decisions that break the need, as measured
	Hopeless     int     `json:"hopeless"`   // decisions where nothing measured meets the need: no problems, and never right
	RegretMedian float64 `json:"regret_median"`
	RegretMean   float64 `json:"regret_mean"`
	AllMedian    float64 `json:"all_regret_median"` // where whoever abstains or breaks the need pays as the dearest choice that meets it
	AllMean      float64 `json:"all_regret_mean"`
}

// CoveredShare is how often one figure lay in its interval.
type CoveredShare struct {
	Figure string  `json:"figure"`
	Rows   int     `json:"rows"`
	Share  float64 `json:"share"`
	Factor float64 `json:"factor"` // from the middle of an interval to its upper end, of half of them
}

// A Decision is what was chosen in a problem.
type Decision struct {
	By        string         `json:"by"`
	Demand    int            `json:"readings_per_s"`
	RTTMS     float64        `json:"rtt_ms"`
	Devices   int            `json:"devices"`
	Engines   []string       `json:"engines"`
	LatencyMS float64        `json:"latency_ms"`
	Grid      bool           `json:"grid"`
	Chosen    *explore.Point `json:"chosen,omitempty"` // nil: abstained
	Best      *explore.Point `json:"best,omitempty"`   // nil: hopeless
	P99       float64        `json:"commit_p99_ms"`    // of the chosen, as measured
	Violates  bool           `json:"violates"`
	Hopeless  bool           `json:"hopeless,omitempty"` // nothing measured meets the need
	Regret    float64        `json:"regret"`
	dearest   float64        // regret of the dearest choice that meets the need
}

// A question is a cell, of a number of devices.
type question struct {
	cell
	devices int
}

// same says that a point's rows answer the question, of whatever devices. Alone, a node is at every distance the same.
func (c cell) same(p *explore.Point) bool {
	return p.Rate > 0 && p.Rate*p.Readings == c.demand && (p.RTTMS == c.rttMS || p.Engine == "solo")
}

// rest are the rows that do not answer the question.
func (c cell) rest(set *explore.Set) *explore.Set {
	return &explore.Set{V: set.V, Space: set.Space, Rows: slices.DeleteFunc(slices.Clone(set.Rows), func(r explore.Row) bool { return c.same(&r.Point) })}
}

// A heldCell is a question with what was measured of its choices, and what is predicted without all rows of it.
type heldCell struct {
	question
	grid    bool
	choices []*measuredPoint
	without *Measured
}

// Evaluate holds out every cell of a sweep, once for all objectives.
func Evaluate(ctx context.Context, set *explore.Set, objectives []Objective, progress func(done, all int64, what string)) ([]HeldOut, error) {
	cells := heldCells(middles(set.Rows))
	progress(0, int64(len(cells)), "cells held out")
	for i, c := range cells {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var err error
		if c.without, err = Open(c.rest(set)); err != nil {
			return nil, err
		}
		progress(int64(i+1), int64(len(cells)), "cells held out")
	}
	var all []HeldOut
	for _, o := range objectives {
		all = append(all, evaluate(cells, o))
	}
	return all, nil
}

// heldCells are the questions that have choices: the engine with its fewest members, readings in a report, linger, who verifies.
func heldCells(points []*measuredPoint) (cells []*heldCell) {
	fewest := map[string]int{}
	for _, p := range points {
		if n, ok := fewest[p.Engine]; !ok || p.Nodes < n {
			fewest[p.Engine] = p.Nodes
		}
	}
	at := map[question]*heldCell{}
	for _, p := range points {
		if q := (question{cellOf(&p.Point), p.Devices}); p.Rate > 0 && at[q] == nil {
			at[q] = &heldCell{question: q}
			cells = append(cells, at[q])
		}
	}
	for _, c := range cells {
		lingers, readings := map[float64]bool{}, map[int]bool{}
		for _, p := range points {
			if c.same(&p.Point) && p.Devices == c.devices && p.Nodes == fewest[p.Engine] {
				c.choices = append(c.choices, p)
				lingers[p.LingerMS], readings[p.Readings] = true, true
			}
		}
		c.grid = len(lingers) > 2 && len(readings) > 1
	}
	slices.SortFunc(cells, func(a, b *heldCell) int {
		return cmp.Or(cmp.Compare(a.demand, b.demand), cmp.Compare(a.rttMS, b.rttMS), cmp.Compare(a.devices, b.devices))
	})
	return slices.DeleteFunc(cells, func(c *heldCell) bool { return len(c.choices) < 2 })
}

func evaluate(cells []*heldCell, o Objective) HeldOut {
	h := HeldOut{Objective: o.Name, Coverage: covered(cells)}
	for _, c := range cells {
		for _, trust := range trusts {
			for _, latency := range Latencies {
				h.Decisions = append(h.Decisions, c.decide(cells, &problem{trust, latency, o})...)
			}
		}
	}
	for _, d := range h.Decisions {
		if d.By == "advise" && (d.Chosen == nil || d.Violates || d.Regret > 0) {
			h.Missed = append(h.Missed, d)
		}
	}
	for _, by := range []string{"advise", "highest throughput", "decision tree", "nearest neighbour"} {
		grid, other := score(by, h.Decisions, true), score(by, h.Decisions, false)
		if h.Others = append(h.Others, other); by == "advise" {
			h.Score = grid
			continue
		}
		h.Baselines = append(h.Baselines, grid)
	}
	return h
}

func score(by string, decisions []Decision, grid bool) Score {
	s := Score{Name: by}
	var regrets, all []float64
	for i := range decisions {
		d := &decisions[i]
		if d.By != by || d.Grid != grid {
			continue
		}
		if d.Hopeless {
			s.Hopeless++
			continue
		}
		s.Problems++
		switch {
		case d.Chosen == nil:
			s.Abstained++
			all = append(all, d.dearest)
		case d.Violates:
			s.Violations++
			all = append(all, d.dearest)
		default:
			regrets, all = append(regrets, d.Regret), append(all, d.Regret)
		}
	}
	s.RegretMedian, s.RegretMean = summed(regrets)
	s.AllMedian, s.AllMean = summed(all)
	return s
}

func summed(v []float64) (mid, mean float64) {
	if len(v) == 0 {
		return 0, 0
	}
	for _, x := range v {
		mean += x / float64(len(v))
	}
	return median(v), mean
}

// covered counts what lies in the intervals that were predicted without it.
func covered(cells []*heldCell) (all []CoveredShare) {
	for i := range figures {
		f := &figures[i]
		s := CoveredShare{Figure: f.name}
		var factors []float64
		in := 0
		for _, c := range cells {
			for _, m := range c.choices {
				pr, err := c.without.Predict(m.Point)
				if r := f.in(&pr); err == nil && r.Mid > 0 {
					for j := range m.repetitions {
						if v := f.of(&m.repetitions[j]); v >= r.Low && v <= r.High {
							in++
						}
						s.Rows++
					}
					factors = append(factors, r.High/r.Mid)
				}
			}
		}
		if s.Rows > 0 {
			s.Share, s.Factor = float64(in)/float64(s.Rows), median(factors)
		}
		all = append(all, s)
	}
	return all
}

// A problem is what is asked of a cell.
type problem struct {
	engines   []string
	latencyMS float64
	Objective
}

// decide lets everybody decide. Where nothing measured meets the need, it is right to abstain, and only what is chosen is told.
func (c *heldCell) decide(cells []*heldCell, pb *problem) (decisions []Decision) {
	best, dearest := c.best(pb)
	for _, by := range []struct {
		name   string
		choose func(*problem, []*heldCell) *measuredPoint
	}{{"advise", c.advised}, {"highest throughput", c.fastest}, {"decision tree", c.tree}, {"nearest neighbour", c.neighbour}} {
		d := Decision{By: by.name, Demand: c.demand, RTTMS: c.rttMS, Devices: c.devices, Engines: pb.engines, LatencyMS: pb.latencyMS, Grid: c.grid, Hopeless: best == nil}
		chosen := by.choose(pb, cells)
		if chosen != nil {
			d.Chosen, d.P99, d.Violates = &chosen.Point, chosen.P99, !chosen.meets(pb.latencyMS)
		}
		switch {
		case d.Hopeless && chosen == nil:
			continue
		case !d.Hopeless:
			d.Best, d.dearest = &best.Point, pb.as(dearest)/pb.as(best)-1
			if chosen != nil {
				d.Regret = pb.as(chosen)/pb.as(best) - 1
			}
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// as is what a point costs as measured.
func (pb *problem) as(m *measuredPoint) float64 { return pb.Cost(m.Point, m.exactly()).Mid }

// exactly is a measurement as a prediction that is sure.
func (m *measuredPoint) exactly() Prediction {
	var pr Prediction
	for i := range figures {
		v := figures[i].of(&m.Figures)
		*figures[i].in(&pr) = Range{v, v, v}
	}
	return pr
}

// meets says that a point met a bound, as measured: 99 of 100 in time, nothing lost, and the last acknowledgement not long after the last report was due.
func (m *measuredPoint) meets(latencyMS float64) bool {
	tail := m.Seconds - float64(m.Committed)/offered(&m.Point)
	return m.P99 <= latencyMS && m.Lost == 0 && 1000*tail <= 2*latencyMS
}

func (c *heldCell) allowed(pb *problem) (points []*measuredPoint) {
	for _, m := range c.choices {
		if slices.Contains(pb.engines, m.Engine) {
			points = append(points, m)
		}
	}
	return points
}

// best and dearest are those of the choices that meet the need.
func (c *heldCell) best(pb *problem) (best, dearest *measuredPoint) {
	for _, m := range c.allowed(pb) {
		if !m.meets(pb.latencyMS) {
			continue
		}
		if best == nil || pb.as(m) < pb.as(best) {
			best = m
		}
		if dearest == nil || pb.as(m) > pb.as(dearest) {
			dearest = m
		}
	}
	return best, dearest
}

// advised is what Choose says.
func (c *heldCell) advised(pb *problem, _ []*heldCell) *measuredPoint {
	var points []explore.Point
	for _, m := range c.allowed(pb) {
		points = append(points, m.Point)
	}
	ranked, _ := c.without.Choose(points, Need{LatencyMS: pb.latencyMS, ReadingsPerS: float64(c.demand)}, pb.Cost)
	if len(ranked) == 0 {
		return nil
	}
	return c.measured(&ranked[0].Point)
}

func (c *heldCell) measured(p *explore.Point) *measuredPoint {
	for _, m := range c.choices {
		if m.Point == *p {
			return m
		}
	}
	return nil
}

// fastest is the first baseline: what bears most readings a second, as predicted; linger as by default, for it makes no difference to that.
func (c *heldCell) fastest(pb *problem, _ []*heldCell) (chosen *measuredPoint) {
	most, off := 0.0, 0.0
	for _, m := range c.allowed(pb) {
		pr, err := c.without.Predict(m.Point)
		if err != nil {
			continue
		}
		o := math.Abs(math.Log(m.LingerMS / c.without.engines[m.Engine].base.LingerMS))
		if v := pr.Capacity.Mid; chosen == nil || v > most || v == most && o < off {
			chosen, most, off = m, v, o
		}
	}
	return chosen
}

// roundTrips that a commit takes, by the book: to the leader and to followers; to the proposer, and three rounds of votes.
var roundTrips = map[string]float64{"solo": 0, "raft": 2, "comet": 4}

// tree is the second baseline, a rule as an engineer would write it: the simplest engine that trust allows; ten readings in a report if there is a
// choice; the longest wait for company that leaves half of the latency, and with none the shortest, unless not even that can be in time.
func (c *heldCell) tree(pb *problem, _ []*heldCell) (chosen *measuredPoint) {
	for _, m := range c.allowed(pb) {
		wait := m.LingerMS + roundTrips[m.Engine]*c.rttMS
		if wait > pb.latencyMS || m.Engine != pb.engines[0] || m.Verify != "full" {
			continue
		}
		if chosen == nil || treeBetter(m, chosen, pb.latencyMS-roundTrips[m.Engine]*c.rttMS) {
			chosen = m
		}
	}
	return chosen
}

func treeBetter(a, b *measuredPoint, left float64) bool {
	if a.Readings != b.Readings {
		return a.Readings > b.Readings
	}
	fits := func(m *measuredPoint) bool { return m.LingerMS <= left/2 }
	if fits(a) != fits(b) {
		return fits(a)
	}
	return (a.LingerMS > b.LingerMS) == fits(a)
}

// neighbour is the third baseline: what is best in the nearest other cell, under the same bound.
func (c *heldCell) neighbour(pb *problem, cells []*heldCell) *measuredPoint {
	var nearest *heldCell
	least := math.Inf(1)
	for _, o := range cells {
		if o.demand == c.demand && (o.rttMS == c.rttMS || pb.engines[0] == "solo") {
			continue // its rows are this cell's
		}
		d := math.Abs(math.Log(float64(o.demand)/float64(c.demand))) + math.Abs(distant(o.rttMS)-distant(c.rttMS)) +
			math.Abs(math.Log(float64(o.devices)/float64(c.devices)))
		if o.grid == c.grid && d < least {
			nearest, least = o, d
		}
	}
	if nearest == nil {
		return nil
	}
	best, _ := nearest.best(pb)
	if best == nil {
		return nil
	}
	for _, m := range c.allowed(pb) {
		if m.Engine == best.Engine && m.Readings == best.Readings && m.LingerMS == best.LingerMS && m.Verify == best.Verify {
			return m
		}
	}
	return nil
}

// ByCost is the objective of what settings decide of a year's cost, in EUR, of a fleet whose busiest hour is as busy as a point.
func ByCost(c *Catalogue) Objective {
	const peak, years = 3, 10 // the defaults of a fleet
	return Objective{"cost", func(p explore.Point, pr Prediction) Range {
		d := Demand{ReadingsPerS: offered(&p), ReadingsADay: offered(&p) * 86_400 / peak}
		return c.Year(p, pr, d, &Needs{RetentionYears: years}).Variable()
	}}
}

// ByEnergy is the objective of the energy that members take for a reading, in µJ, by a model.
func ByEnergy(e *explore.Energy) Objective {
	return Objective{"energy", func(_ explore.Point, pr Prediction) Range {
		joules := func(cpu, wire, syncs float64) float64 {
			return cpu*e.CPU.Value + 1e6*(wire*e.Wire[e.Link].Value+syncs*e.Sync.Value)
		}
		return Range{joules(pr.CPU.Low, pr.Wire.Low, pr.Syncs.Low), joules(pr.CPU.Mid, pr.Wire.Mid, pr.Syncs.Mid), joules(pr.CPU.High, pr.Wire.High, pr.Syncs.High)}
	}}
}
