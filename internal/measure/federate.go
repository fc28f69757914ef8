package measure

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
)

// FederateOptions says what is measured.
type FederateOptions struct {
	Sets string // folder of data sets

	Progress func(done, all int64, what string)
}

// A FederateSplit is how one way to spread data over gateways does.
type FederateSplit struct {
	Name     string  `json:"name"`
	Gateways int     `json:"gateways"`
	Rows     int     `json:"rows"` // of all horizons
	Gap      float64 `json:"gap"`  // of the weights to those of central learning, in parts of the largest
	Alone    float64 `json:"alone_error_rise"`
	LeftOut  int     `json:"left_out"` // honest ones, of all horizons; must be 0
	MaxRise  float64 `json:"largest_honest_rise"`

	Attacks []FederateAttack `json:"attacks"`
	Members *FederateMembers `json:"members"`
}

// A FederateAttack is what an attack does to what the merged weights miss on the test period (the root of weighted squares), in parts of what
// they miss without it.
type FederateAttack struct {
	Attack     string  `json:"attack"`
	Amount     float64 `json:"amount"`   // how hard it pushed
	Poisoned   float64 `json:"poisoned"` // share of the gateways
	Rise       float64 `json:"error_rise"`
	Undefended float64 `json:"undefended_error_rise"`
	Caught     float64 `json:"caught"`   // share of the poisoned updates
	LeftOut    int     `json:"left_out"` // honest ones
}

// FederateResult is what [Federate] has measured.
type FederateResult struct {
	Gap          float64 `json:"federated_gap"`
	Rise         float64 `json:"poisoned_error_rise"` // the largest at 20 %, as all that follow
	Rise10       float64 `json:"poisoned_error_rise_10"`
	Rise20       float64 `json:"poisoned_error_rise_20"`
	Rise30       float64 `json:"poisoned_error_rise_30"`
	Undefended10 float64 `json:"undefended_error_rise_10"`
	Undefended20 float64 `json:"undefended_error_rise_20"`
	Undefended30 float64 `json:"undefended_error_rise_30"`
	MembersGap   float64 `json:"members_gap"`             // as federated_gap, of honest members with unequal numbers of gateways
	HalfGap      float64 `json:"half_members_gap"`        // where one of them has half of all: it may be bounded
	Scattered20  float64 `json:"scattered_error_rise_20"` // of gateways that belong to members in pairs, a fifth lies, wherever it stands
	Sybil1       float64 `json:"sybil_1_error"`           // one member of ten lies through so many gateways
	Sybil5       float64 `json:"sybil_5_error"`
	Sybil20      float64 `json:"sybil_20_error"`
	Sybil50      float64 `json:"sybil_50_error"`
	ByGateway50  float64 `json:"sybil_50_error_by_gateway"` // were gateways counted and not members
	HonestOut    int     `json:"honest_left_out"`
	Rounds       int     `json:"rounds"`      // until the merged weights are those of central learning
	Bytes        int     `json:"bytes"`       // an update of one horizon
	RoundBytes   int     `json:"round_bytes"` // of a gateway: all horizons
	MergeMS      float64 `json:"merge_ms"`    // CPU time for a horizon of the largest split

	Splits []FederateSplit `json:"splits"`
}

// federateHorizon is a day of hours, as day-ahead forecasts need.
const federateHorizon = 24

// Federate lets gateways learn together from public series as nodes do, and compares with learning in one place; then some of them lie.
func Federate(ctx context.Context, o FederateOptions) (*FederateResult, error) {
	splits, err := federateSplits(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &FederateResult{Rounds: 1}
	for i, s := range splits {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(splits)), s.name)
		}
		if err := r.split(s); err != nil {
			return nil, fmt.Errorf("learning together from %s: %w", s.name, err)
		}
	}
	r.Rise = r.Rise20
	return r, nil
}

// A federateSplit says whose the days of which series are.
type federateSplit struct {
	name     string
	series   []*forecastSeries
	gateways int
	of       func(series, day, days int) int
}

// federateSplits: a single series dealt out by days at random (alike) and by seasons (not alike); homes and channels each by themselves, by
// season too; and everything hourly together, a gateway for each series and year, which are as unlike as can be.
func federateSplits(sets string) ([]federateSplit, error) {
	corpus, err := forecastCorpus(sets)
	if err != nil {
		return nil, err
	}
	by := map[string][]*forecastSeries{}
	for _, f := range corpus {
		f.split(false)
		f.Horizon = min(federateHorizon*f.perDay()/24, f.perDay())
		by[f.set] = append(by[f.set], f)
	}
	alike := func(n int) func(series, day, days int) int {
		return func(series, day, days int) int { return rand.New(rand.NewPCG(31, uint64(series))).Perm(days)[day] % n }
	}
	seasons := func(n int) func(series, day, days int) int {
		return func(series, day, days int) int { return series*n + day*n/days }
	}
	var all []federateSplit
	const parts = 10
	for _, set := range [...]string{"household", "taxi", "traffic"} {
		n := parts
		if set == "taxi" { // seven months: a tenth would be no season
			n = 5
		}
		all = append(all, federateSplit{set + ", days dealt out", by[set], parts, alike(parts)}, federateSplit{set + ", by season", by[set], n, seasons(n)})
	}
	for _, set := range [...]string{"homes", "ett"} {
		n := len(by[set])
		all = append(all, federateSplit{set + ", days dealt out", by[set], parts, alike(parts)}, federateSplit{set + ", each its own", by[set], n, seasons(1)},
			federateSplit{set + ", by season", by[set], 2 * n, seasons(2)})
	}
	var mixed []*forecastSeries
	for _, set := range [...]string{"household", "traffic", "homes", "ett"} {
		mixed = append(mixed, by[set]...)
	}
	first := []int{0} // the first gateway of each series: as many as it has years
	for _, f := range mixed {
		_, days := f.daysKnown(f.test / f.perDay())
		first = append(first, first[len(first)-1]+max(1, (days+182)/365))
	}
	years := func(series, day, days int) int { return first[series] + day*(first[series+1]-first[series])/days }
	return append(all, federateSplit{"all hourly, each its own", mixed, first[len(mixed)], years}), nil
}

// A learned is what gateways have gathered, and what came later, by horizon.
type learned struct {
	gateways [][]*forecast.Stats // by gateway and horizon
	central  []*forecast.Stats
	test     []*forecast.Stats
}

func (r *FederateResult) split(s federateSplit) error {
	first, err := s.gather(nil)
	if err != nil {
		return err
	}
	base := make([]*forecast.Stats, len(first.central)) // of the first round; the second weighs samples by what it knows
	out := FederateSplit{Name: s.name, Gateways: s.gateways}
	for g := range base {
		round, err := federate.Merge(updatesOf(first, g))
		if err != nil {
			return err
		}
		if err := out.compare(round, first.central[g]); err != nil {
			return err
		}
		base[g] = round.Stats
	}
	l, err := s.gather(base)
	if err != nil {
		return err
	}
	for g := range l.central {
		before := cpuSeconds()
		round, err := federate.Merge(updatesOf(l, g))
		if err != nil {
			return err
		}
		r.MergeMS = max(r.MergeMS, 1e3*(cpuSeconds()-before))
		if err := out.compare(round, l.central[g]); err != nil {
			return err
		}
		out.Rows += l.central[g].Rows
		b, err := l.central[g].AppendBinary(nil)
		if err != nil {
			return err
		}
		r.Bytes, r.RoundBytes = max(r.Bytes, len(b)), max(r.RoundBytes, len(b)*len(l.central))
	}
	out.Alone = l.alone()
	if err := r.attacks(&out, l); err != nil {
		return err
	}
	if err := r.members(&out, l); err != nil {
		return err
	}
	r.Gap, r.HonestOut = max(r.Gap, out.Gap), r.HonestOut+out.LeftOut
	r.Splits = append(r.Splits, out)
	return nil
}

func updatesOf(l *learned, g int) []federate.Update {
	all := make([]federate.Update, len(l.gateways))
	for i, stats := range l.gateways {
		name := gatewayName(i)
		all[i] = federate.Update{By: name, Member: name, Devices: federate.MinDevices, Stats: stats[g]}
	}
	return all
}

func gatewayName(i int) string { return fmt.Sprintf("gateway-%03d", i) }

// compare notes how far a round's weights are from central ones.
func (f *FederateSplit) compare(round *federate.Round, central *forecast.Stats) error {
	for i := range round.Parts {
		p := &round.Parts[i]
		f.MaxRise = max(f.MaxRise, p.Rise)
		if p.Left != "" {
			f.LeftOut++
		}
	}
	if round.Stats == nil {
		return fmt.Errorf("nobody's update counts: %+v", round.Parts[0])
	}
	a, err := round.Stats.Fit()
	if err != nil {
		return err
	}
	b, err := central.Fit()
	if err != nil {
		return err
	}
	off, largest := 0.0, 0.0
	for i := range a {
		off, largest = max(off, math.Abs(a[i]-b[i])), max(largest, math.Abs(b[i]))
	}
	f.Gap = max(f.Gap, off/largest)
	return nil
}

// alone is by how much a gateway misses more by itself, on average.
func (l *learned) alone() float64 {
	sum, n := 0.0, 0
	for g, central := range l.central {
		w, err := central.Fit()
		if err != nil {
			continue
		}
		for _, stats := range l.gateways {
			if own, err := stats[g].Fit(); err == nil {
				sum, n = sum+missed(l.test[g], own)/missed(l.test[g], w)-1, n+1
			}
		}
	}
	return sum / float64(max(1, n))
}

// missed is the root of the weighted mean of squares.
func missed(test *forecast.Stats, w []float64) float64 {
	x, err := test.Loss(w)
	if err != nil {
		return math.NaN()
	}
	return math.Sqrt(max(x, 0))
}

// gather runs each series with a base, and takes what was learnt day by day: for its gateway, and for learning in one place.
func (s *federateSplit) gather(base []*forecast.Stats) (*learned, error) {
	l := &learned{gateways: make([][]*forecast.Stats, s.gateways)}
	for i, f := range s.series {
		own, err := heldModel(f, base)
		if err != nil {
			return nil, err
		}
		one, err := heldModel(f, base)
		if err != nil {
			return nil, err
		}
		if l.central == nil {
			l.central, l.test = sums(own.model), sums(own.model)
			for g := range l.gateways {
				l.gateways[g] = sums(own.model)
			}
		}
		days := f.test / f.perDay()
		known, n := f.daysKnown(days)
		for day := range days {
			if err := own.observe(day*f.perDay(), (day+1)*f.perDay()); err != nil {
				return nil, err
			}
			if err := mergeAll(l.gateways[s.of(i, known[day], n)], own.model.Take()); err != nil {
				return nil, err
			}
		}
		if err := one.observe(0, days*f.perDay()); err != nil { // never interrupted
			return nil, err
		}
		if err := mergeAll(l.central, one.model.Take()); err != nil {
			return nil, err
		}
		if err := one.observe(days*f.perDay(), f.end); err != nil {
			return nil, err
		}
		if err := mergeAll(l.test, one.model.Take()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// daysKnown counts the days of which most was measured; the others go with the one before.
func (f *forecastSeries) daysKnown(days int) (at []int, n int) {
	for day := range days {
		there := 0
		for _, v := range f.values[day*f.perDay() : (day+1)*f.perDay()] {
			if !math.IsNaN(v) {
				there++
			}
		}
		if 2*there > f.perDay() {
			n++
		}
		at = append(at, max(0, n-1))
	}
	return at, n
}

// A heldSeries gathers with weights that stay.
type heldSeries struct {
	*forecastSeries
	model  *forecast.Model
	series *forecast.Series
}

func heldModel(f *forecastSeries, base []*forecast.Stats) (*heldSeries, error) {
	m, s, err := modelOf(f)
	if err != nil {
		return nil, err
	}
	if base != nil {
		if err := m.Adopt(base); err != nil {
			return nil, err
		}
	}
	m.Hold()
	m.Take()
	return &heldSeries{f, m, s}, nil
}

func (h *heldSeries) observe(from, end int) error {
	for i := from; i < end; i++ {
		if v := h.values[i]; !math.IsNaN(v) {
			if err := h.series.Observe(h.at(i), v); err != nil {
				return err
			}
		}
	}
	h.series.Advance(h.at(end))
	return nil
}

func sums(m *forecast.Model) []*forecast.Stats {
	all := make([]*forecast.Stats, len(m.Stats()))
	for g, s := range m.Stats() {
		all[g], _ = forecast.NewStats(s.Features())
	}
	return all
}

func mergeAll(to, from []*forecast.Stats) error {
	for g := range to {
		if err := to[g].Merge(from[g], 1); err != nil {
			return err
		}
	}
	return nil
}
