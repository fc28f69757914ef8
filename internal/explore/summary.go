package explore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Metric is one figure of rows, by which they are compared.
type Metric struct {
	Key, Name, Unit string
	of              func(*Row) float64
}

// Metrics are those that tables show, in this order.
var Metrics = []Metric{
	{"readings_per_s", "throughput", "readings/s", func(r *Row) float64 { return r.PerS }},
	{"commit_p50_ms", "p50 until committed", "ms", func(r *Row) float64 { return r.P50 }},
	{"commit_p99_ms", "p99 until committed", "ms", func(r *Row) float64 { return r.P99 }},
	{"commit_max_ms", "longest wait", "ms", func(r *Row) float64 { return r.Max }},
	{"node_cpu_us", "CPU of members", "µs/reading", func(r *Row) float64 { return r.NodeCPU }},
	{"gateway_cpu_us", "CPU of gateways", "µs/reading", func(r *Row) float64 { return r.GatewayCPU }},
	{"network_cpu_us", "CPU of members and gateways", "µs/reading", func(r *Row) float64 { return r.NodeCPU + r.GatewayCPU }},
	{"cpu_us", "CPU of all", "µs/reading", func(r *Row) float64 { return r.CPU }},
	{"device_bytes", "bytes from devices", "bytes/reading", func(r *Row) float64 { return r.DeviceBytes }},
	{"wire_bytes", "bytes between members", "bytes/reading", func(r *Row) float64 { return r.WireBytes }},
	{"messages", "messages between members", "per reading", func(r *Row) float64 { return r.Messages }},
	{"disk_bytes", "growth of files", "bytes/reading", func(r *Row) float64 { return r.DiskBytes }},
	{"written_bytes", "written to disk", "bytes/reading", func(r *Row) float64 { return r.WrittenBytes }},
	{"syncs", "syncs of files", "per reading", func(r *Row) float64 { return r.Syncs }},
	{"peak_mb", "peak memory of a member", "MB", func(r *Row) float64 { return r.PeakMB }},
	{"node_uj", "energy of members, model", "µJ/reading", func(r *Row) float64 { return r.NodeUJ }},
	{"rapl_uj", "energy of the machine, measured", "µJ/reading", func(r *Row) float64 { return r.RAPLUJ }},
	{"device_uj_mains", "energy of a device on mains, model", "µJ/reading", func(r *Row) float64 { return r.DeviceUJ["mains"] }},
	{"device_uj_battery", "energy of a device on battery, model", "µJ/reading", func(r *Row) float64 { return r.DeviceUJ["battery"] }},
	{"device_uj_lora", "energy of a device on LoRa, model", "µJ/reading", func(r *Row) float64 { return r.DeviceUJ["lora"] }},
}

func metric(key string) *Metric {
	i := slices.IndexFunc(Metrics, func(m Metric) bool { return m.Key == key })
	return &Metrics[i]
}

// A Spread is the lowest, the middle and the highest of repetitions.
type Spread struct{ Low, Mid, High float64 }

// A Group is all repetitions of one point.
type Group struct {
	Point
	Rows   []Row // without those that failed
	Failed int
}

// Groups gathers rows by point, points in their natural order.
func Groups(rows []Row) []*Group {
	at := map[Point]*Group{}
	var all []*Group
	for _, r := range Latest(rows) {
		g := at[r.Point]
		if g == nil {
			g = &Group{Point: r.Point}
			at[r.Point], all = g, append(all, g)
		}
		if r.Error != "" {
			g.Failed++
			continue
		}
		g.Rows = append(g.Rows, r)
	}
	slices.SortFunc(all, func(a, b *Group) int { return compare(&a.Point, &b.Point) })
	return all
}

// Spread is that of one metric; NaN where all failed.
func (g *Group) Spread(m *Metric) Spread {
	var v []float64
	for i := range g.Rows {
		v = append(v, m.of(&g.Rows[i]))
	}
	if len(v) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(v)
	return Spread{v[0], middle(v), v[len(v)-1]}
}

// middle is the median of sorted values.
func middle(v []float64) float64 {
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// exhausted says that the devices ran out of reports in some repetition.
func (g *Group) exhausted() bool {
	return slices.ContainsFunc(g.Rows, func(r Row) bool { return r.Exhausted })
}

// A dimension is one setting of points.
type dimension struct {
	key, name string
	text      func(*Point) string
	number    func(*Point) float64 // nil: it has no order
	without   func(Point) Point    // what is left when it is not looked at
}

func number[T int | float64](key, name, unit string, field func(*Point) *T) dimension {
	d := dimension{key: key, name: name}
	d.text = func(p *Point) string { return strconv.FormatFloat(float64(*field(p)), 'g', -1, 64) + unit }
	d.number = func(p *Point) float64 { return float64(*field(p)) }
	d.without = func(p Point) Point { *field(&p) = 0; return p }
	return d
}

func word(key, name string, field func(*Point) *string) dimension {
	return dimension{key: key, name: name, text: func(p *Point) string { return *field(p) }, without: func(p Point) Point { *field(&p) = ""; return p }}
}

// dimensions are all settings, the engine first. How many members there are goes with it where they are the fewest.
var dimensions = []dimension{
	{key: "engine", name: "engine", text: func(p *Point) string { return p.Engine }, without: func(p Point) Point {
		if p.Nodes == fewest[p.Engine] {
			p.Nodes = 0
		}
		p.Engine = ""
		return p
	}},
	number("nodes", "members", "", func(p *Point) *int { return &p.Nodes }),
	number("devices", "devices", "", func(p *Point) *int { return &p.Devices }),
	rate(),
	number("readings", "readings in a report", "", func(p *Point) *int { return &p.Readings }),
	word("suites", "signatures", func(p *Point) *string { return &p.Suites }),
	word("verify", "who verifies", func(p *Point) *string { return &p.Verify }),
	number("linger_ms", "linger", " ms", func(p *Point) *float64 { return &p.LingerMS }),
	number("segment", "reports in a segment at most", "", func(p *Point) *int { return &p.Segment }),
	number("rtt_ms", "round trip between members", " ms", func(p *Point) *float64 { return &p.RTTMS }),
	number("loss", "loss between members", "", func(p *Point) *float64 { return &p.Loss }),
	word("fault", "fault", func(p *Point) *string { return &p.Fault }),
}

// rate is of its own kind: 0 is the highest there is.
func rate() dimension {
	d := number("rate", "reports/s offered", "/s", func(p *Point) *int { return &p.Rate })
	d.text = rateText
	d.number = func(p *Point) float64 {
		if p.Rate == 0 {
			return math.Inf(1)
		}
		return float64(p.Rate)
	}
	return d
}

func rateText(p *Point) string {
	if p.Rate == 0 {
		return "full"
	}
	return strconv.Itoa(p.Rate) + "/s"
}

// asMost says whether a point is as most are, but for engine, load and the dimension.
func (d *dimension) asMost(p Point, usual map[string]string) bool {
	for i := range dimensions {
		switch k := &dimensions[i]; k.key {
		case d.key, "engine", "rate":
		case "nodes":
			if p.Nodes != fewest[p.Engine] {
				return false
			}
		default:
			if k.text(&p) != usual[k.key] {
				return false
			}
		}
	}
	return true
}

// unusual names what of a point is not as most are, but for its engine and one setting, which may be none.
func unusual(p *Point, usual map[string]string, but string) string {
	var all []string
	for i := range dimensions {
		if d := &dimensions[i]; d.key != "engine" && d.key != "nodes" && d.key != but && d.text(p) != usual[d.key] {
			all = append(all, d.name+" "+d.text(p))
		}
	}
	return strings.Join(all, ", ")
}

var (
	engines = []string{"solo", "raft", "comet"}
	faults  = []string{"none", "pause", "kill"}
)

// compare orders points, by one setting after the other.
func compare(a, b *Point) int {
	if c := cmp.Compare(slices.Index(engines, a.Engine), slices.Index(engines, b.Engine)); c != 0 {
		return c
	}
	for i := range dimensions {
		if c := dimensions[i].compare(a, b); c != 0 {
			return c
		}
	}
	return 0
}

func (d *dimension) compare(a, b *Point) int {
	switch {
	case d.number != nil:
		return cmp.Compare(d.number(a), d.number(b))
	case d.key == "engine":
		return cmp.Compare(slices.Index(engines, a.Engine), slices.Index(engines, b.Engine))
	case d.key == "fault":
		return cmp.Compare(slices.Index(faults, a.Fault), slices.Index(faults, b.Fault))
	default:
		return cmp.Compare(d.text(a), d.text(b))
	}
}

// A slice is points that differ in one dimension alone, in its order.
type slice struct {
	rest   Point // what they have in common; the dimension's field is empty
	groups []*Group
}

// slices are all of a dimension that have two points at least.
func (d *dimension) slices(groups []*Group) (all []*slice) {
	at := map[Point]*slice{}
	for _, g := range groups {
		rest := d.without(g.Point)
		s := at[rest]
		if s == nil {
			s = &slice{rest: rest}
			at[rest], all = s, append(all, s)
		}
		s.groups = append(s.groups, g)
	}
	all = slices.DeleteFunc(all, func(s *slice) bool { return len(s.groups) < 2 })
	for _, s := range all {
		slices.SortStableFunc(s.groups, func(a, b *Group) int { return d.compare(&a.Point, &b.Point) })
	}
	return all
}

// varied are the dimensions that have two values at least among the groups, but for the engine.
func varied(groups []*Group) (all []*dimension) {
	for i := range dimensions {
		d := &dimensions[i]
		if d.key != "engine" && len(d.slices(groups)) > 0 {
			all = append(all, d)
		}
	}
	return all
}

// words says in what settings points stand that have something in common, leaving out what all groups share.
func words(p Point, skip string, groups []*Group) string {
	text := ""
	for i := range dimensions {
		d := &dimensions[i]
		if d.key == skip || d.key == "engine" || d.key == "nodes" && p.Nodes == 0 {
			continue
		}
		if !slices.ContainsFunc(groups, func(g *Group) bool { return d.text(&g.Point) != d.text(&p) }) {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += d.name + " " + d.text(&p)
	}
	return text
}

// A swing is how much a metric changes along a dimension: the highest middle over the lowest, with all else alike.
type swing struct {
	d           *dimension
	ratio       float64 // the middle of those of all slices
	least, most float64
	slices      int
	at          *slice // where it is largest
	low, high   *Group // there
}

// swings are those of all dimensions, the largest first. A metric that is 0 somewhere has no ratio there.
func swings(groups []*Group, m *Metric) (all []swing) {
	for i := range dimensions {
		w := swing{d: &dimensions[i]}
		var ratios []float64
		for _, s := range w.d.slices(groups) {
			low, high := extremes(s, m)
			if low == nil {
				continue
			}
			r := high.Spread(m).Mid / low.Spread(m).Mid
			if w.at == nil || r > slices.Max(ratios) {
				w.at, w.low, w.high = s, low, high
			}
			ratios = append(ratios, r)
		}
		if len(ratios) == 0 {
			continue
		}
		slices.Sort(ratios)
		w.ratio, w.least, w.most, w.slices = middle(ratios), ratios[0], ratios[len(ratios)-1], len(ratios)
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b swing) int { return cmp.Compare(b.ratio, a.ratio) })
	return all
}

func extremes(s *slice, m *Metric) (low, high *Group) {
	for _, g := range s.groups {
		v := g.Spread(m).Mid
		if !(v > 0) {
			continue
		}
		if low == nil || v < low.Spread(m).Mid {
			low = g
		}
		if high == nil || v > high.Spread(m).Mid {
			high = g
		}
	}
	if low == high {
		return nil, nil
	}
	return low, high
}

// front are the groups that no other beats in both metrics, the cheapest in x first.
func front(groups []*Group, x, y *Metric) (best []*Group) {
	sorted := slices.DeleteFunc(slices.Clone(groups), func(g *Group) bool { return len(g.Rows) == 0 })
	slices.SortStableFunc(sorted, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(a.Spread(x).Mid, b.Spread(x).Mid), cmp.Compare(a.Spread(y).Mid, b.Spread(y).Mid))
	})
	lowest := math.Inf(1)
	for _, g := range sorted {
		if v := g.Spread(y).Mid; v < lowest {
			lowest, best = v, append(best, g)
		}
	}
	return best
}

// fronts are those of each engine: a node alone beats every network, and cannot take its place.
func fronts(groups []*Group, x, y *Metric) (all []*Group) {
	for _, e := range engines {
		of := slices.DeleteFunc(slices.Clone(groups), func(g *Group) bool { return g.Engine != e })
		all = append(all, front(of, x, y)...)
	}
	return all
}

// common is what most points have in each setting, the engine aside.
func common(groups []*Group) map[string]string {
	most := map[string]string{}
	for i := range dimensions {
		d := &dimensions[i]
		count := map[string]int{}
		for _, g := range groups {
			text := d.text(&g.Point)
			if count[text]++; count[text] > count[most[d.key]] {
				most[d.key] = text
			}
		}
	}
	return most
}

// figure writes a number with three digits that count, as people read it.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a == 0:
		return "0"
	case a >= 999.5:
		return grouped(int64(math.Round(v)))
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.9995:
		return fmt.Sprintf("%.2f", v)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
