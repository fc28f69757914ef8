package advise

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// Measured is what was measured, ready to predict from. It does not change, and may be used by many at once.
type Measured struct {
	Source  Source
	engines map[string]*engine
}

// Unmeasured is returned for a point of which the rows say nothing.
type Unmeasured struct {
	Why string // "raft: rtt_ms 300 is outside what was measured, 0 to 100"
}

func (u *Unmeasured) Error() string { return u.Why }

// A Span is from the least to the most that was measured.
type Span struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Limits are what was measured of an engine: outside them nothing is predicted.
type Limits struct {
	Nodes    Span     `json:"nodes"`
	Devices  Span     `json:"devices"`
	Rate     Span     `json:"rate"`     // reports a second
	Readings Span     `json:"readings"` // in a report
	LingerMS Span     `json:"linger_ms"`
	Segment  Span     `json:"segment"`
	RTTMS    Span     `json:"rtt_ms"`
	Suites   []string `json:"suites"` // every mix of these
	Verify   []string `json:"verify"`
}

// maxNearest is how many measured points a prediction names.
const maxNearest = 5

// An engine is what was measured of one.
type engine struct {
	limits  Limits
	base    explore.Point          // what most points have
	rated   []*measuredPoint       // with a rate
	full    []*measuredPoint       // as fast as they go
	figures [len(figures)]*surface // nil: 0 in every row
	room    *surface               // readings a second at most; nil: never measured
	suites  map[sig.Suite]float64  // CPU of a report, in µs, beside ed25519's
}

// A measuredPoint is the middle of the repetitions of a point.
type measuredPoint struct {
	explore.Point
	explore.Figures
	repetitions []explore.Figures
	place       []float64 // where it lies, of those with a rate
}

// A figureOf is one that a surface is laid through: positive, or 0 in every row.
type figureOf struct {
	name  string
	waits bool // it grows with how busy members are
	law   *law // nil: none
	of    func(*explore.Figures) float64
	in    func(*Prediction) *Range
}

var figures = [...]figureOf{
	{"readings_per_s", true, nil, func(f *explore.Figures) float64 { return f.PerS }, func(p *Prediction) *Range { return &p.PerS }},
	{"commit_p50_ms", true, &waiting, func(f *explore.Figures) float64 { return f.P50 }, func(p *Prediction) *Range { return &p.P50 }},
	{"commit_p99_ms", true, &waiting, func(f *explore.Figures) float64 { return f.P99 }, func(p *Prediction) *Range { return &p.P99 }},
	{"cpu_us", false, &working, func(f *explore.Figures) float64 { return f.NodeCPU + f.GatewayCPU }, func(p *Prediction) *Range { return &p.CPU }},
	{"wire_bytes", false, &working, func(f *explore.Figures) float64 { return f.WireBytes }, func(p *Prediction) *Range { return &p.Wire }},
	{"disk_bytes", false, &working, func(f *explore.Figures) float64 { return f.DiskBytes }, func(p *Prediction) *Range { return &p.Disk }},
	{"syncs", false, &working, func(f *explore.Figures) float64 { return f.Syncs }, func(p *Prediction) *Range { return &p.Syncs }},
}

// offered is the readings a second that devices send.
func offered(p *explore.Point) float64 { return float64(p.Rate * p.Readings) }

// Open prepares predictions from a sweep. Rows with an error, with loss or with a fault say nothing of a fleet's days and are left out.
func Open(set *explore.Set) (*Measured, error) {
	points := map[string][]*measuredPoint{}
	m := &Measured{engines: map[string]*engine{}, Source: source(set.Rows)}
	for _, p := range middles(set.Rows) {
		points[p.Engine] = append(points[p.Engine], p)
	}
	for name, of := range points {
		if e := open(of); e != nil {
			m.engines[name] = e
		}
	}
	if len(m.engines) == 0 {
		return nil, errors.New("there are too few measured rows with a rate to predict from: 8 points of an engine at least")
	}
	return m, nil
}

// fewestPoints of an engine are worth a surface.
const fewestPoints = 8

func open(points []*measuredPoint) *engine {
	e := &engine{base: usual(points)}
	for _, p := range points {
		if p.Rate > 0 {
			e.rated = append(e.rated, p)
			continue
		}
		e.full = append(e.full, p)
	}
	if len(e.rated) < fewestPoints {
		return nil
	}
	e.limits = limits(e.rated, points)
	e.suites = bySuite(e.full)
	e.fit()
	return e
}

// fit lays the surfaces. Those of a rate go through rows of the base's suites and segment, as all are.
func (e *engine) fit() {
	var x [][]float64
	var block []int
	if len(e.full) >= fewestPoints {
		for i, p := range e.full {
			x, block = append(x, e.fullPlace(&p.Point)), append(block, i)
		}
		e.room = through(x, e.full, &figures[0], block)
	}
	x, block = nil, nil
	var points []*measuredPoint
	cells := map[cell]int{}
	for _, p := range e.rated {
		p.place = e.place(&p.Point)
		if e.load(&p.Point) > full {
			continue
		}
		c := cellOf(&p.Point)
		if _, ok := cells[c]; !ok {
			cells[c] = len(cells)
		}
		points, x, block = append(points, p), append(x, p.place), append(block, cells[c])
	}
	if len(points) == 0 {
		return
	}
	for i := range figures {
		e.figures[i] = through(x, points, &figures[i], block)
	}
}

// full is the share of what members bear at most above which waiting has no law: rows there are not looked at, and nothing is said.
const full = 0.8

// load is the share of what members bear that a point offers; 0 where that was not measured.
func (e *engine) load(p *explore.Point) float64 {
	if e.room == nil {
		return 0
	}
	mid, _ := e.room.at(e.fullPlace(p))
	return offered(p) / math.Exp(mid)
}

// through lays a surface through one figure of points, beside its law where devices set the rate. The rate that is kept up is taken as a share
// of what they send.
func through(x [][]float64, points []*measuredPoint, f *figureOf, block []int) *surface {
	law, rated := f.law, points[0].Rate > 0
	if law == nil || !rated {
		law = &noLaw
	}
	least := math.Inf(1)
	for _, p := range points {
		if v := f.of(&p.Figures); v > 0 {
			least = min(least, v)
		}
	}
	if math.IsInf(least, 1) {
		return nil
	}
	log := func(f float64) float64 { return math.Log(max(f, least/2) + law.shift) }
	y, noise := make([]float64, len(points)), make([][]float64, len(points))
	for i, p := range points {
		y[i] = log(f.of(&p.Figures))
		for j := range p.repetitions {
			noise[i] = append(noise[i], log(f.of(&p.repetitions[j]))-y[i])
		}
		if rated && f == &figures[0] {
			y[i] -= math.Log(offered(&p.Point))
		}
	}
	t := law.fit(points, y)
	for i, p := range points {
		y[i] -= t.log(&p.Point)
	}
	s := fit(x, y, noise, block)
	s.trend = t
	return s
}

// A cell is a question that several points answer: so many readings a second, at such a distance.
type cell struct {
	demand int
	rttMS  float64
}

func cellOf(p *explore.Point) cell { return cell{p.Rate * p.Readings, p.RTTMS} }

// rateAt is where the rate stands in the place of a point that has one.
const rateAt = 1

// place is where a point with a rate lies: logarithms, from the base.
func (e *engine) place(p *explore.Point) []float64 {
	b := &e.base
	return []float64{
		distantAt: distant(p.RTTMS),
		rateAt:    math.Log(float64(p.Rate) / 1000),
		math.Log(float64(p.Readings)),
		math.Log(p.LingerMS / b.LingerMS),
		math.Log(float64(p.Nodes) / float64(b.Nodes)),
		math.Log(float64(p.Devices) / float64(b.Devices)),
		factor(p.Verify != b.Verify),
	}
}

// fullPlace is where a point lies when members are given all they can bear: the wait for company does not matter then, what fits into a segment does.
func (e *engine) fullPlace(p *explore.Point) []float64 {
	shares := share(p)
	return []float64{
		distantAt: distant(p.RTTMS),
		math.Log(float64(p.Readings)),
		math.Log(float64(p.Segment) / float64(e.base.Segment)),
		math.Log(float64(p.Nodes) / float64(e.base.Nodes)),
		factor(p.Verify != e.base.Verify),
		shares[sig.ES256],
		shares[sig.HMAC256],
	}
}

// distant is the logarithm of a round trip, beside the time that agreement takes without distance.
func distant(rttMS float64) float64 { return math.Log1p(rttMS / 10) }

func factor(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// share is the part of reports that each suite signs.
func share(p *explore.Point) map[sig.Suite]float64 {
	mix, _ := p.Mix() // was checked
	shares := map[sig.Suite]float64{}
	for _, s := range mix {
		shares[s] += 1 / float64(len(mix))
	}
	return shares
}

// Limits says what was measured of an engine; false: nothing.
func (m *Measured) Limits(engine string) (Limits, bool) {
	e := m.engines[engine]
	if e == nil {
		return Limits{}, false
	}
	return e.limits, true
}

// Predict says what a point with a rate would measure. The error is an [*Unmeasured] where the rows say nothing of it.
func (m *Measured) Predict(p explore.Point) (Prediction, error) {
	e := m.engines[p.Engine]
	if e == nil {
		return Prediction{}, &Unmeasured{fmt.Sprintf("%s: nothing was measured of it", cmp.Or(p.Engine, "no engine"))}
	}
	if why := e.outside(&p); why != "" {
		return Prediction{}, &Unmeasured{p.Engine + ": " + why}
	}
	var pr Prediction
	x, busy := e.place(&p), e.place(&p)
	busy[rateAt] += math.Log(e.busy(&p) / float64(p.Rate))
	for i, s := range e.figures {
		switch {
		case s == nil:
		case figures[i].waits:
			*figures[i].in(&pr) = s.trend.back(s.interval(busy), &p)
		default:
			*figures[i].in(&pr) = s.trend.back(s.interval(x), &p)
		}
	}
	pr.PerS = pr.PerS.scale(offered(&p))
	pr.P50 = pr.P50.within(pr.P99) // half of the reports wait no longer than 99 of 100 do
	pr.CPU = e.signed(pr.CPU, &p)
	if e.room != nil {
		pr.Capacity = e.room.interval(e.fullPlace(&p))
	}
	pr.Nearest = e.nearest(&p, x)
	return pr, nil
}

// busy is how many reports of the base's suite a second make members as busy as those of a point: suites were measured at full load alone, and what
// costs twice as much there is taken for twice the load. Fewer than were measured are not fewer.
func (e *engine) busy(p *explore.Point) float64 {
	if e.room == nil || p.Suites == e.base.Suites {
		return float64(p.Rate)
	}
	base := *p
	base.Suites = e.base.Suites
	usual, _ := e.room.at(e.fullPlace(&base))
	is, _ := e.room.at(e.fullPlace(p))
	return max(e.limits.Rate.Low, float64(p.Rate)*math.Exp(usual-is))
}

// signed adds what the suites take beside ed25519. They were measured at full load alone: half of the difference is in doubt.
func (e *engine) signed(cpu Range, p *explore.Point) Range {
	more := 0.0
	shares := share(p)
	for _, suite := range []sig.Suite{sig.ES256, sig.HMAC256} {
		more += shares[suite] * e.suites[suite] / float64(p.Readings)
	}
	doubt := math.Abs(more) / 2
	return Range{max(cpu.Low/2, cpu.Low+more-doubt), max(cpu.Mid/2, cpu.Mid+more), max(cpu.High/2, cpu.High+more+doubt)}
}

// nearest are the measured points that lie nearest.
func (e *engine) nearest(p *explore.Point, x []float64) (near []Near) {
	for _, r := range e.rated {
		d := 0.0
		for i, v := range r.place {
			d += (v - x[i]) * (v - x[i])
		}
		if r.Suites != p.Suites || r.Segment != p.Segment {
			d += 0.01 // the same place, but not the point itself
		}
		near = append(near, Near{Point: r.Point, Rows: len(r.repetitions), Distance: math.Sqrt(d)})
	}
	slices.SortStableFunc(near, func(a, b Near) int { return cmp.Compare(a.Distance, b.Distance) })
	return near[:min(maxNearest, len(near))]
}

func (r Range) within(o Range) Range {
	return Range{min(r.Low, o.Low), min(r.Mid, o.Mid), min(r.High, o.High)}
}

// middles are the points of rows without loss and fault, each figure the middle of the repetitions.
func middles(rows []explore.Row) (points []*measuredPoint) {
	for _, g := range explore.Groups(rows) {
		if len(g.Rows) == 0 || g.Loss > 0 || g.Fault != "none" {
			continue
		}
		m := &measuredPoint{Point: g.Point}
		for _, f := range []func(*explore.Figures) *float64{
			func(f *explore.Figures) *float64 { return &f.Seconds }, func(f *explore.Figures) *float64 { return &f.PerS },
			func(f *explore.Figures) *float64 { return &f.P50 }, func(f *explore.Figures) *float64 { return &f.P99 },
			func(f *explore.Figures) *float64 { return &f.NodeCPU }, func(f *explore.Figures) *float64 { return &f.GatewayCPU },
			func(f *explore.Figures) *float64 { return &f.WireBytes }, func(f *explore.Figures) *float64 { return &f.DiskBytes },
			func(f *explore.Figures) *float64 { return &f.Syncs },
		} {
			var values []float64
			for i := range g.Rows {
				values = append(values, *f(&g.Rows[i].Figures))
			}
			*f(&m.Figures) = median(values)
		}
		for i := range g.Rows {
			r := &g.Rows[i]
			m.repetitions = append(m.repetitions, r.Figures)
			m.Lost, m.Exhausted, m.Committed = max(m.Lost, r.Lost), m.Exhausted || r.Exhausted, max(m.Committed, r.Committed)
		}
		points = append(points, m)
	}
	return points
}

// median sorts what it is given.
func median(v []float64) float64 {
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// usual is what most points have in each setting, of those that are varied off it.
func usual(points []*measuredPoint) explore.Point {
	return explore.Point{
		Engine: points[0].Engine, Rate: 1000, Readings: 1, Fault: "none",
		Nodes: most(points, func(p *measuredPoint) int { return p.Nodes }), Devices: most(points, func(p *measuredPoint) int { return p.Devices }),
		Segment: most(points, func(p *measuredPoint) int { return p.Segment }), LingerMS: most(points, func(p *measuredPoint) float64 { return p.LingerMS }),
		Suites: most(points, func(p *measuredPoint) string { return p.Suites }), Verify: most(points, func(p *measuredPoint) string { return p.Verify }),
	}
}

func most[T cmp.Ordered](points []*measuredPoint, of func(*measuredPoint) T) (value T) {
	count := map[T]int{}
	for _, p := range points {
		v := of(p)
		if count[v]++; count[v] > count[value] || count[v] == count[value] && v < value {
			value = v
		}
	}
	return value
}

// bySuite is what a report of a suite takes, beside one of ed25519, in µs of CPU: of points at full load that differ in the suite alone.
func bySuite(full []*measuredPoint) map[sig.Suite]float64 {
	bases := map[explore.Point]float64{}
	for _, p := range full {
		if p.Suites == sig.EdDSA.String() {
			bases[bare(p.Point)] = p.NodeCPU * float64(p.Readings)
		}
	}
	more := map[sig.Suite]float64{}
	for _, p := range full {
		suite, err := sig.ParseSuite(p.Suites)
		if base, ok := bases[bare(p.Point)]; ok && err == nil {
			more[suite] = p.NodeCPU*float64(p.Readings) - base
		}
	}
	return more
}

func bare(p explore.Point) explore.Point {
	p.Suites = ""
	return p
}

func source(rows []explore.Row) Source {
	if len(rows) == 0 {
		return Source{}
	}
	first := rows[0].Start
	points := map[explore.Point]bool{}
	for _, r := range rows {
		if points[r.Point] = true; r.Start.Before(first) {
			first = r.Start
		}
	}
	return Source{Commit: rows[0].Commit, Machine: rows[0].Machine, From: first.UTC().Format(time.RFC3339), Points: len(points), Rows: len(rows)}
}
