package explore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Knees are where more of a setting begins to give little. They are read off the middles of the repetitions, at what was measured alone.

// little is which gain a doubling of a setting must give at least to count.
const little = 0.10

// kneed are the settings that have knees, and by what they are judged.
var kneed = []struct {
	key, by string
	more    bool // more of it is better
}{
	{"readings", "network_cpu_us", false},
	{"segment", "readings_per_s", true},
	{"linger_ms", "network_cpu_us", false},
	{"rate", "network_cpu_us", false},
}

// doubled are the settings along which it is said where p99 has doubled.
var doubled = []string{"linger_ms", "rate"}

// kneeTable says for each engine where the knees are, of slices of three values at least where all else is as in most points.
func kneeTable(groups []*Group, usual map[string]string) table {
	t := table{Title: "Knees", Words: "The smallest value after which no doubling gives 10 % more, with the figure there and, behind the arrow, at the largest value; and between which values p99 becomes " +
		"twice that of the smallest. All else is as in most points, by the middles of the repetitions.",
		Head: append([]string{"along", "load", "judged by"}, engines...)}
	for _, k := range kneed {
		d, m := setting(k.key), metric(k.by)
		t.add(d, m.Name+", "+m.Unit, groups, usual, func(s *slice) string { return kneeText(d, s, m, k.more) })
	}
	for _, key := range doubled {
		d := setting(key)
		t.add(d, "p99 doubles", groups, usual, func(s *slice) string { return doublesText(d, s, metric("commit_p99_ms")) })
	}
	return t
}

func setting(key string) *dimension {
	for i := range dimensions {
		if dimensions[i].key == key {
			return &dimensions[i]
		}
	}
	return nil
}

// add puts in a line for each load at which a setting has a slice that says something.
func (t *table) add(d *dimension, by string, groups []*Group, usual map[string]string, say func(*slice) string) {
	at := map[string]int{}
	for _, s := range d.slices(groups) {
		s = measured(d, s)
		first := s.first()
		if first == nil || len(s.groups) < 3 || !d.asMost(*first, usual) {
			continue
		}
		load := rateText(first)
		if d.key == "rate" {
			load = ""
		}
		i, ok := at[load]
		if !ok {
			i = len(t.Lines)
			at[load], t.Lines = i, append(t.Lines, []string{d.name, load, by, "", "", ""})
		}
		for j, e := range engines {
			if first.Engine == e {
				t.Lines[i][3+j] = say(s)
			}
		}
	}
}

// measured is the part of a slice that has figures and a number along the dimension: as fast as possible is none.
func measured(d *dimension, s *slice) *slice {
	is := &slice{rest: s.rest}
	for _, g := range s.groups {
		if len(g.Rows) > 0 && !math.IsInf(d.number(&g.Point), 0) {
			is.groups = append(is.groups, g)
		}
	}
	return is
}

func (s *slice) first() *Point {
	if len(s.groups) == 0 {
		return nil
	}
	return &s.groups[0].Point
}

// kneeText names the first value after which no step gives enough.
func kneeText(d *dimension, s *slice, m *Metric, more bool) string {
	last := len(s.groups) - 1
	i := knee(d, s, m, more)
	at, end := s.groups[i], s.groups[last]
	text := d.text(&at.Point)
	switch i {
	case last:
		return fmt.Sprintf("beyond %s (%s)", text, figure(end.Spread(m).Mid))
	case 0:
		text += " or less"
	}
	return fmt.Sprintf("%s (%s → %s)", text, figure(at.Spread(m).Mid), figure(end.Spread(m).Mid))
}

func knee(d *dimension, s *slice, m *Metric, more bool) int {
	i := len(s.groups) - 1
	for ; i > 0; i-- {
		below, above := s.groups[i-1], s.groups[i]
		ratio := above.Spread(m).Mid / below.Spread(m).Mid
		if !more {
			ratio = 1 / ratio
		}
		doublings := math.Log2(d.number(&above.Point) / d.number(&below.Point))
		if !(math.Pow(ratio, 1/doublings) < 1+little) { // also where a figure is 0: nothing is said then
			break
		}
	}
	return i
}

// doublesText says between which values a metric becomes twice that of the first.
func doublesText(d *dimension, s *slice, m *Metric) string {
	first := s.groups[0].Spread(m).Mid
	for i, g := range s.groups[1:] {
		if below, v := s.groups[i], g.Spread(m).Mid; v >= 2*first {
			return fmt.Sprintf("%s (%s) to %s (%s)", d.text(&below.Point), figure(below.Spread(m).Mid), d.text(&g.Point), figure(v))
		}
	}
	end := s.groups[len(s.groups)-1]
	return fmt.Sprintf("not up to %s (%s → %s)", d.text(&end.Point), figure(first), figure(end.Spread(m).Mid))
}

// bounds are those that p99 is held against in tables of choices, in ms.
var bounds = []float64{100, 500, 1000}

// A demand is what there is to choose from where so many readings a second are asked for at a distance.
type demand struct {
	perS int
	rtt  float64
	of   map[string][]*Group // by engine
}

// choiceTable says for each demand and distance what the cheapest setting of each engine is that keeps a bound, where there were two settings of
// readings and linger at least to choose from and all else is as in most points.
func choiceTable(groups []*Group, usual map[string]string) table {
	t := table{Title: "The cheapest settings that keep up", Words: "Of all that was measured for a demand and a distance between members: readings in a report and linger that take the least CPU while p99 stays within the bound and " +
		"no report is lost, with CPU of members and gateways in µs/reading and p99. Where none keeps it, the lowest p99 there was. A bound that changes nothing has no line. A node alone has no distance.",
		Head: append([]string{"readings/s", "round trip", "p99 within"}, engines...)}
	for _, c := range demands(groups, usual) {
		var before []string
		for _, bound := range bounds {
			var cells []string
			for _, e := range engines {
				cells = append(cells, cheapest(c.of[e], bound))
			}
			if slices.Equal(cells, before) {
				continue
			}
			before = cells
			t.Lines = append(t.Lines, append([]string{figure(float64(c.perS)), setting("rtt_ms").text(&Point{RTTMS: c.rtt}), figure(bound) + " ms"}, cells...))
		}
	}
	return t
}

// demands are in order, those among which an engine has two settings at least.
func demands(groups []*Group, usual map[string]string) (all []*demand) {
	at := map[[2]float64]*demand{}
	for _, g := range groups {
		if len(g.Rows) == 0 || g.Rate == 0 || !mayChoose(&g.Point, usual) {
			continue
		}
		key := [2]float64{float64(g.Rate * g.Readings), g.RTTMS}
		c := at[key]
		if c == nil {
			c = &demand{perS: g.Rate * g.Readings, rtt: g.RTTMS, of: map[string][]*Group{}}
			at[key], all = c, append(all, c)
		}
		c.of[g.Engine] = append(c.of[g.Engine], g)
	}
	all = slices.DeleteFunc(all, func(c *demand) bool { return max(len(c.of["solo"]), len(c.of["raft"]), len(c.of["comet"])) < 2 })
	slices.SortFunc(all, func(a, b *demand) int { return cmp.Or(cmp.Compare(a.perS, b.perS), cmp.Compare(a.rtt, b.rtt)) })
	return all
}

// mayChoose says whether a point differs from most in nothing but engine, load, readings, linger and distance.
func mayChoose(p *Point, usual map[string]string) bool {
	for i := range dimensions {
		switch d := &dimensions[i]; d.key {
		case "engine", "rate", "readings", "linger_ms", "rtt_ms":
		case "nodes":
			if p.Nodes != fewest[p.Engine] {
				return false
			}
		default:
			if d.text(p) != usual[d.key] {
				return false
			}
		}
	}
	return true
}

// cheapest names the setting that takes the least CPU within a bound.
func cheapest(groups []*Group, bound float64) string {
	cpu, p99 := metric("network_cpu_us"), metric("commit_p99_ms")
	var best, fastest *Group
	for _, g := range groups {
		if fastest == nil || g.Spread(p99).Mid < fastest.Spread(p99).Mid {
			fastest = g
		}
		if g.Spread(p99).Mid <= bound && !g.lost() && (best == nil || g.Spread(cpu).Mid < best.Spread(cpu).Mid) {
			best = g
		}
	}
	switch {
	case fastest == nil:
		return ""
	case best == nil:
		return "none (" + figure(fastest.Spread(p99).Mid) + " ms)"
	}
	return fmt.Sprintf("%d, linger %s: %s µs, %s ms", best.Readings, setting("linger_ms").text(&best.Point), figure(best.Spread(cpu).Mid), figure(best.Spread(p99).Mid))
}

func (g *Group) lost() bool {
	for _, r := range g.Rows {
		if r.Lost > 0 {
			return true
		}
	}
	return false
}
