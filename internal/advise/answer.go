package advise

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// Advise weighs every way to keep a fleet, and recommends one or none. The same fleet and rows make the same answer.
func Advise(f *Fleet, m *Measured) (*Answer, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	w, err := newWeigher(m)
	if err != nil {
		return nil, err
	}
	a := w.weigh(f)
	w.bind(f, a)
	a.Flips = w.flips(f, a)
	a.found(f)
	a.Assumed, a.Silent = assumed(f, &a.Options[0], &w.energy), silent(f)
	return a, nil
}

// A weigher weighs fleets by the same rows and prices.
type weigher struct {
	m      *Measured
	prices *Catalogue
	energy explore.Energy
}

func newWeigher(m *Measured) (*weigher, error) {
	prices, err := ShippedCatalogue()
	return &weigher{m, prices, explore.DefaultEnergy()}, err
}

// kinds are the engines, the cheapest first.
var kinds = []string{"solo", "raft", "comet"}

// weigh is the answer without what other answers say of it.
func (w *weigher) weigh(f *Fleet) *Answer {
	g := f.gate()
	a := &Answer{V: Version, Fleet: f.Name, Gate: g.steps, Demand: f.demand(), Rows: w.m.Source}
	for _, kind := range kinds {
		a.Options = append(a.Options, w.option(f, g, kind))
	}
	a.Options = append(a.Options, w.others(f, a.Demand)...)
	for i := range a.Options {
		a.Options[i].spend(f)
	}
	a.rank(g)
	a.decide(f, g)
	return a
}

// demand is what all classes ask for together; they have their busiest hour at the same time.
func (f *Fleet) demand() Demand {
	d := Demand{LatencyMS: f.Needs.LatencyMS}
	for _, c := range f.Classes {
		day := float64(c.Devices) * c.ReadingsADay
		d.ReadingsADay += day
		d.ReadingsPerS += day * c.Peak / 86_400
	}
	return d
}

// others are a database and the ledgers of others. Devices send and sign for a ledger as they do for Lamppost, and for a database they send.
func (w *weigher) others(f *Fleet, d Demand) []Option {
	bare := f.clone()
	for i := range bare.Classes {
		bare.Classes[i].Signs = []string{none}
	}
	base := w.prices.Database(f, d)
	base.Out = append(base.Out, w.broken(bare)...)
	all := w.prices.Outside(f, d)
	for i := range all {
		all[i].Out = append(all[i].Out, w.broken(f)...)
	}
	return append([]Option{base}, all...)
}

// broken are the must-haves of classes that cannot be met, whoever keeps the books.
func (w *weigher) broken(f *Fleet) []string {
	_, broken := w.load(f, Limits{Readings: Span{High: lamppost.MaxReadings}})
	return broken
}

// option is one engine with the best settings for the fleet.
func (w *weigher) option(f *Fleet, g *gate, kind string) Option {
	s := f.seats(kind, g)
	o := Option{Kind: kind, Members: s.members, Witnesses: s.witnesses, Out: s.out, Notes: s.notes}
	o.Name = "Lamppost, " + kind
	if kind != "solo" {
		o.Name += fmt.Sprintf(" with %d members", or(len(s.members), fewest[kind]))
	}
	if len(s.witnesses) > 0 {
		o.Name += " and witnesses"
	}
	limits, ok := w.m.Limits(kind)
	if !ok {
		o.unmeasured("no row is of engine " + kind)
		return o
	}
	load, broken := w.load(f, limits)
	o.Classes, o.Out = load.classes, append(o.Out, broken...)
	w.settle(&o, f, load, limits)
	return o
}

func (o *Option) unmeasured(why string) {
	o.Unmeasured = len(o.Out) == 0
	o.Out = append(o.Out, "unmeasured: "+why)
}

// settle looks for the cheapest settings that hold, or says why there are none.
func (w *weigher) settle(o *Option, f *Fleet, l *load, limits Limits) {
	d := f.demand()
	cost := func(p explore.Point, pr Prediction) Range { return w.prices.Year(p, pr, d, &f.Needs).Variable() }
	points := l.points(o, f, limits)
	ranked, refused := w.m.Choose(points, Need{LatencyMS: d.LatencyMS, ReadingsPerS: d.ReadingsPerS}, cost)
	if len(ranked) > 0 {
		o.fill(ranked[0].Point, ranked[0].Prediction, w.prices.Year(ranked[0].Point, ranked[0].Prediction, d, &f.Needs))
		o.Notes = append(o.Notes, l.notes...)
		return
	}
	best := refused[0]
	for _, r := range refused[1:] {
		if r.Prediction != nil && (best.Prediction == nil || r.Prediction.Sure < best.Prediction.Sure) {
			best = r
		}
	}
	if best.Prediction == nil {
		o.asked = &best.Point
		o.unmeasured(strings.Join(best.Why, "; "))
		return
	}
	o.fill(best.Point, *best.Prediction, w.prices.Year(best.Point, *best.Prediction, d, &f.Needs))
	for _, why := range best.Why {
		o.Out = append(o.Out, "needs: "+why)
	}
}

func (o *Option) fill(p explore.Point, pr Prediction, y *Year) {
	o.Point, o.Figures, o.Year = &p, &pr, y
}

// spend holds a year's cost against budget and what is at stake.
func (o *Option) spend(f *Fleet) {
	if o.Year == nil {
		return
	}
	n := &f.Needs
	switch {
	case n.BudgetAYear > 0 && o.Year.EUR.Mid > n.BudgetAYear:
		o.Out = append(o.Out, fmt.Sprintf("needs.budget_a_year: it takes %s EUR a year, the budget is %s", plain(o.Year.EUR.Mid), plain(n.BudgetAYear)))
	case n.BudgetAYear > 0 && o.Year.EUR.High > n.BudgetAYear:
		o.Notes = append(o.Notes, fmt.Sprintf("it may take %s EUR a year, which is over the budget", plain(o.Year.EUR.High)))
	}
	if stake := n.ValueADay * 365.25; stake > 0 && o.Year.EUR.Mid > muchOfStake*stake {
		o.Notes = append(o.Notes, fmt.Sprintf("it takes %s %% of the %s EUR that are at stake in a year (value_a_day)", plain(100*o.Year.EUR.Mid/stake), plain(stake)))
	}
}

// muchOfStake is the share of what is at stake from which a year's cost is said beside it.
const muchOfStake = 0.1

// rank puts what is in before what is out: the cheapest first. Where the gate says that a database is enough, no price makes a ledger
// better; and ledgers of others come behind what also bills, for they only order, and what is to be built there has no price here. Of what is out, engines
// come first, those that break least before others.
func (a *Answer) rank(g *gate) {
	tier := func(o *Option) int {
		switch {
		case len(o.Out) > 0 && !slices.Contains(kinds, o.Kind):
			return 10_000
		case o.Unmeasured:
			return 10
		case len(o.Out) > 0:
			return 10 + len(o.Out)
		case o.Kind == "outside":
			return 2
		case g.database && o.Kind != "database":
			return 1
		}
		return 0
	}
	cost := func(o *Option) float64 {
		if o.Year == nil {
			return math.Inf(1)
		}
		return o.Year.EUR.Mid
	}
	slices.SortStableFunc(a.Options, func(x, y Option) int {
		return cmp.Or(cmp.Compare(tier(&x), tier(&y)), cmp.Compare(cost(&x), cost(&y)))
	})
	for i := range a.Options {
		if a.Options[i].Place = 0; len(a.Options[i].Out) == 0 {
			a.Options[i].Place = i + 1
		}
	}
}

// decide makes the verdict of the ranking.
func (a *Answer) decide(f *Fleet, g *gate) {
	if dark := a.dark(); dark != "" {
		a.Verdict = "abstain"
		for i := range a.Options {
			if o := &a.Options[i]; len(o.Out) == 0 {
				o.Out = append(o.Out, "not placed: it may be better or worse than "+dark+", of which nothing was measured there")
			}
		}
		a.rank(g)
		a.Summary = fmt.Sprintf("No advice: %s would keep all must-haves, but was not measured there: %s.", dark, strings.TrimPrefix(a.Options[0].Out[0], "unmeasured: "))
		return
	}
	first := &a.Options[0]
	switch {
	case first.Place == 0:
		a.Verdict = "abstain"
		a.Summary = fmt.Sprintf("No advice: nothing that was weighed keeps all must-haves. The nearest is %s, which does not meet: %s.", first.Name, strings.Join(first.Out, "; "))
	case first.Kind == "database":
		a.Verdict = "database"
		a.Summary = fmt.Sprintf("No ledger is needed: %s. %s does%s.", g.steps[len(g.steps)-1].Because, first.Name, first.aYear())
	case !slices.Contains(kinds, first.Kind):
		a.Verdict = "outside"
		a.Summary = fmt.Sprintf("%s fits%s.", first.Name, first.aYear())
	default:
		a.Verdict = "lamppost"
		a.Summary = fmt.Sprintf("%s%s: %s. 99 of 100 reports are final within %s ms (%s at most are asked for), and it bears %s readings/s (%s are asked for).",
			first.Name, first.aYear(), first.who(), span(first.Figures.P99, 1), plain(f.Needs.LatencyMS), span(first.Figures.Capacity, 1), plain(a.Demand.ReadingsPerS))
	}
}

// dark is the engine that nobody measured where it would be needed: none that was measured keeps all must-haves, and this one may.
func (a *Answer) dark() string {
	if first := &a.Options[0]; first.Place > 0 && (first.Kind == "database" || slices.Contains(kinds, first.Kind)) {
		return ""
	}
	i := slices.IndexFunc(a.Options, func(o Option) bool { return o.Unmeasured })
	if i < 0 {
		return ""
	}
	return a.Options[i].Name
}

func (o *Option) aYear() string {
	if o.Year == nil {
		return ""
	}
	return fmt.Sprintf(", for %s EUR a year", plain(o.Year.EUR.Mid))
}

// who says whose members are, and who watches.
func (o *Option) who() string {
	who := "run by " + and(o.Members)
	if same := slices.Compact(slices.Clone(o.Members)); len(same) == 1 && len(o.Members) > 1 {
		who = fmt.Sprintf("%d machines of %s", len(o.Members), same[0])
	}
	if len(o.Witnesses) > 0 {
		who += ", watched by " + and(o.Witnesses)
	}
	return who
}

// A load is what classes, doing as they are advised, put on members in the busiest hour.
type load struct {
	classes  []ClassAdvice
	reports  float64 // a second
	readings int     // in a report, on average
	devices  float64 // connections at once
	suites   string
	gateways bool // every class comes by a gateway that can check
	notes    []string
}

// load advises every class. What it says is broken are must-haves of classes.
func (w *weigher) load(f *Fleet, limits Limits) (l *load, broken []string) {
	l = &load{gateways: true}
	share, all, keys, gateways := map[string]float64{}, 0.0, 0, 0.0
	for i := range f.Classes {
		c := &f.Classes[i]
		a, err := c.advice(&w.energy, max(1, int(limits.Readings.High)))
		if err != nil {
			broken = append(broken, strings.Split(err.Error(), "\n")...)
		}
		if c.OnSite && a.Via == "direct" && l.devices+c.connections(a.Via) > limits.Devices.High && signature(a.Suite) {
			a.Via, a.Because = "gateway", a.Because+"; so many connections are more than was measured, and gateways on site take them together"
		}
		keys += c.Devices
		if a.Via == "gateway" {
			gateways += c.connections(a.Via)
		}
		readings := float64(c.Devices) * c.ReadingsADay * c.Peak / 86_400
		l.classes = append(l.classes, a)
		all += readings
		l.reports += readings / float64(a.Readings)
		l.devices += c.connections(a.Via)
		l.gateways = l.gateways && a.Via == "gateway" && signature(a.Suite)
		share[a.Suite] += readings / float64(a.Readings)
	}
	l.suites, l.readings = mix(share, l.reports), max(1, int(math.Round(all/l.reports)))
	if gateways > 0 {
		l.notes = append(l.notes, fmt.Sprintf("some %s on site, for %d devices each, are not in the year: %s EUR and their electricity", count(int(gateways), "gateway"), behindGateway, span(w.prices.Prices.Gateway.Range(), gateways)))
	}
	if n := float64(keys); n > limits.Devices.High {
		l.notes = append(l.notes, fmt.Sprintf("%s devices have a key, and no more than %s were measured: what more of them take beside their reports is not counted", plain(n), plain(limits.Devices.High)))
	}
	l.notes = append(l.notes, l.clamp(limits)...)
	return l, broken
}

func signature(suite string) bool { return suite == sig.EdDSA.String() || suite == sig.ES256.String() }

// clamp takes the least that was measured where the fleet asks for less: figures are bounds then.
func (l *load) clamp(limits Limits) (notes []string) {
	if l.reports < limits.Rate.Low {
		notes = append(notes, fmt.Sprintf("figures are bounds: predicted at %s reports/s, the least that was measured; the fleet sends %s/s in its busiest hour", plain(limits.Rate.Low), plain(l.reports)))
		l.reports = limits.Rate.Low
	}
	l.devices = max(l.devices, limits.Devices.Low)
	return notes
}

// mix names suites by their share of the reports, in tenths; what cannot sign costs members what the cheapest suite costs.
func mix(share map[string]float64, all float64) string {
	share = map[string]float64{sig.EdDSA.String(): share[sig.EdDSA.String()], sig.ES256.String(): share[sig.ES256.String()], sig.HMAC256.String(): share[sig.HMAC256.String()] + share[none]}
	var parts, alone []string
	for _, suite := range preference[:3] {
		if share[suite] == 0 {
			continue
		}
		alone = append(alone, suite)
		parts = append(parts, fmt.Sprintf("%s:%d", suite, max(1, int(math.Round(10*share[suite]/all)))))
	}
	if len(alone) == 1 {
		return alone[0]
	}
	return strings.Join(parts, "+")
}

// lingers are the waits that were measured, in ms, of which one is chosen; segments likewise.
var (
	lingers  = []float64{5, 25, 200}
	segments = []float64{1024}
)

// of are the values that were measured, or the least that was.
func (s Span) of(values []float64) (measured []float64) {
	for _, v := range values {
		if v >= s.Low && v <= s.High {
			measured = append(measured, v)
		}
	}
	if len(measured) == 0 {
		return []float64{s.Low}
	}
	return measured
}

// points are the settings to choose from.
func (l *load) points(o *Option, f *Fleet, limits Limits) (points []explore.Point) {
	p := explore.Point{Engine: o.Kind, Nodes: or(len(o.Members), fewest[o.Kind]), Devices: int(min(l.devices, 1e9)), Rate: int(math.Ceil(l.reports)),
		Readings: l.readings, Suites: l.suites, RTTMS: f.Needs.RTTMS, Fault: "none"}
	if p.Nodes == 1 {
		p.RTTMS = 0
	}
	verify := []string{"full"}
	if l.gateways && len(o.Members) > 0 && f.trusted(o.Members) {
		verify = append(verify, "gateway")
	}
	for _, v := range verify {
		for _, linger := range limits.LingerMS.of(lingers) {
			for _, segment := range limits.Segment.of(segments) {
				p.Verify, p.LingerMS, p.Segment = v, linger, int(segment)
				points = append(points, p)
			}
		}
	}
	return points
}
