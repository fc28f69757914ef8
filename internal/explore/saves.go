package explore

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// saved are the metrics of which it is said what a choice saves.
var saved = []string{"network_cpu_us", "commit_p99_ms", "wire_bytes", "syncs", "node_uj"}

// A choice is one setting instead of another where all else is alike.
type choice struct {
	name   string
	engine string             // of which engine's points; empty: of all
	rest   func(Point) Point  // what must be alike
	is, or func(*Point) bool  // which of two points is the choice, which the other
	where  func(p Point) bool // of what is left by rest
}

func always(Point) bool { return true }

// choices are those that people ask about: which engine, how many readings under a signature, whose word.
func choices() (all []choice) {
	engine := &dimensions[0]
	isEngine := func(name string) func(*Point) bool { return func(p *Point) bool { return p.Engine == name } }
	all = append(all,
		choice{"raft instead of comet, members near each other", "", engine.without, isEngine("raft"), isEngine("comet"), func(p Point) bool { return p.RTTMS == 0 }},
		choice{"raft instead of comet, members apart", "", engine.without, isEngine("raft"), isEngine("comet"), func(p Point) bool { return p.RTTMS > 0 }})
	perS := func(p Point) Point { // full load is no demand
		if p.Rate *= p.Readings; p.Rate > 0 {
			p.Readings = 0
		}
		return p
	}
	of := func(n int) func(*Point) bool { return func(p *Point) bool { return p.Rate > 0 && p.Readings == n } }
	for _, e := range engines {
		all = append(all, choice{"10 readings in a report instead of 1, of as many readings/s: " + e, e, perS, of(10), of(1), always})
	}
	verifies := setting("verify")
	for _, e := range engines {
		all = append(all, choice{"gateways' word instead of all signatures: " + e, e, verifies.without, func(p *Point) bool { return p.Verify == "gateway" },
			func(p *Point) bool { return p.Verify == "full" }, always})
	}
	return all
}

// savingsTable says what each choice saves, over all points where it can be compared.
func savingsTable(groups []*Group) table {
	t := table{Title: "What is saved", Words: "In the middle of all comparisons with all else alike, by the middles of the repetitions; in brackets the least and the most, and in how many it is dearer. Less than nothing is more.",
		Head: []string{"", "comparisons"}}
	for _, key := range saved {
		t.Head = append(t.Head, metric(key).Name)
	}
	for _, c := range choices() {
		pairs := c.pairs(groups)
		if len(pairs) == 0 {
			continue
		}
		line := []string{c.name, fmt.Sprint(len(pairs))}
		for _, key := range saved {
			line = append(line, savedText(pairs, metric(key)))
		}
		t.Lines = append(t.Lines, line)
	}
	return t
}

// pairs are the choice and the other, of every comparison that there is.
func (c *choice) pairs(groups []*Group) (all [][2]*Group) {
	at := map[Point]*[2]*Group{}
	var order []*[2]*Group
	for _, g := range groups {
		rest := c.rest(g.Point)
		is, or := c.is(&g.Point), c.or(&g.Point)
		if len(g.Rows) == 0 || !is && !or || c.engine != "" && g.Engine != c.engine || !c.where(rest) {
			continue
		}
		p := at[rest]
		if p == nil {
			p = new([2]*Group)
			at[rest], order = p, append(order, p)
		}
		if is {
			p[0] = g
		} else {
			p[1] = g
		}
	}
	for _, p := range order {
		if p[0] != nil && p[1] != nil {
			all = append(all, *p)
		}
	}
	return all
}

func savedText(pairs [][2]*Group, m *Metric) string {
	var all []float64
	dearer := 0
	for _, p := range pairs {
		if share := saves(p[0], p[1], m); !math.IsNaN(share) {
			all = append(all, share)
			if share < 0 {
				dearer++
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	text := percent(middle(all))
	if len(all) > 1 {
		more := []string{percent(all[0]) + " to " + percent(all[len(all)-1])}
		if dearer > 0 {
			more = append(more, fmt.Sprintf("dearer in %d", dearer))
		}
		text += " (" + strings.Join(more, "; ") + ")"
	}
	return text
}

func percent(share float64) string {
	text := fmt.Sprintf("%.0f %%", 100*share)
	if text == "-0 %" {
		return "0 %"
	}
	return text
}

// saves is which share of the other's figure the one saves; NaN where there is nothing to save.
func saves(one, other *Group, m *Metric) float64 {
	if one == nil || other == nil || len(one.Rows) == 0 || len(other.Rows) == 0 || m.Key == "readings_per_s" {
		return math.NaN()
	}
	b := other.Spread(m).Mid
	if b == 0 {
		return math.NaN()
	}
	return 1 - one.Spread(m).Mid/b
}

// partsTable says what the joules are of, over a wide network and a local one, at the lowest load, at that of most points and as fast as can be.
func (e *Energy) partsTable(groups []*Group, usual map[string]string) table {
	links := []string{"wan", "lan"}
	t := table{Title: "What the joules are of", Words: "µJ for a reading by the model: of members and gateways, and which shares of it are of CPU, of bytes between members and of syncs, by the middles of the counts.",
		Head: []string{"reports/s offered"}}
	for _, link := range links {
		for _, name := range engines {
			t.Head = append(t.Head, name+", "+link)
		}
	}
	lines := sideLines(setting("rate"), groups, usual)
	lowest := math.MaxInt
	for _, l := range lines {
		if l.at.Rate > 0 {
			lowest = min(lowest, l.at.Rate)
		}
	}
	for _, l := range lines {
		if l.at.Rate != lowest && l.at.Rate != 0 && rateText(&l.at) != usual["rate"] {
			continue
		}
		line := []string{l.name}
		for _, link := range links {
			for _, name := range engines {
				line = append(line, e.partsText(l.of[name], link))
			}
		}
		t.Lines = append(t.Lines, line)
	}
	return t
}

func (e *Energy) partsText(g *Group, link string) string {
	if g == nil || len(g.Rows) == 0 {
		return "–"
	}
	cpu, wire, syncs := e.parts(g.Spread(metric("network_cpu_us")).Mid, g.Spread(metric("wire_bytes")).Mid, g.Spread(metric("syncs")).Mid, link)
	sum := cpu + wire + syncs
	if sum == 0 {
		return "0"
	}
	return fmt.Sprintf("%s: %.0f · %.0f · %.0f %%", figure(sum), 100*cpu/sum, 100*wire/sum, 100*syncs/sum)
}
