package explore

import (
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// A figureOf is a plot with its words.
type figureOf struct {
	Caption string
	SVG     template.HTML // made here, from numbers and escaped names
}

type section struct {
	Title, Words string
	Plots        []figureOf
}

type frontLine struct {
	N    int
	Text string
	X, Y string
}

type reportOf struct {
	Where    string
	Usual    string // how most points are
	Failed   []string
	Pareto   []figureOf
	Front    []frontLine
	Slices   []section
	Swings   []figureOf
	Tables   []table
	All      table
	Params   [][3]string
	LinkKind string
}

// plotted are the metrics that slices show.
var plotted = []string{"network_cpu_us", "commit_p99_ms", "readings_per_s"}

// swung are the metrics of which sensitivities are shown.
var swung = []string{"network_cpu_us", "commit_p99_ms", "wire_bytes", "node_uj"}

// HTML is the report as one page, which asks nobody for anything.
func (s *Set) HTML() (string, error) {
	groups := Groups(s.Rows)
	x, y := metric("network_cpu_us"), metric("commit_p99_ms")
	usual := common(groups)
	r := reportOf{Usual: usually(usual), Where: s.where(), LinkKind: s.Space.Energy.Link, Params: s.Space.Energy.params()}
	for _, row := range Latest(s.Rows) {
		if row.Error != "" {
			r.Failed = append(r.Failed, fmt.Sprintf("run %d, %s, repetition %d: %s", row.Order, title(&Group{Point: row.Point}, usual), row.Rep, row.Error))
		}
	}
	good := slices.DeleteFunc(slices.Clone(groups), func(g *Group) bool { return len(g.Rows) == 0 })
	if len(good) > 0 {
		r.Pareto = []figureOf{{"Down and to the left is better. A line joins what no other setting of the same engine beats in both.", template.HTML(scatter(good, x, y))}}
		for i, g := range fronts(good, x, y) {
			r.Front = append(r.Front, frontLine{i + 1, title(g, usual), cell(g, x), cell(g, y)})
		}
	}
	for _, d := range varied(good) {
		r.Slices = append(r.Slices, slicesOf(d, good))
	}
	for _, key := range swung {
		if all := swings(good, metric(key)); len(all) > 0 {
			r.Swings = append(r.Swings, figureOf{metric(key).Name, template.HTML(tornado(all, metric(key)))})
		}
	}
	for _, t := range []table{savingsTable(good), s.Space.Energy.partsTable(good, usual), kneeTable(good, usual), choiceTable(good, usual), agreementTable(s.Agreement())} {
		if len(t.Lines) > 0 {
			r.Tables = append(r.Tables, t)
		}
	}
	r.All.Head, r.All.Lines = allSettings(groups)
	var b strings.Builder
	err := pageTemplate.Execute(&b, r)
	return b.String(), err
}

// usually says how most points are.
func usually(usual map[string]string) string {
	var all []string
	for i := range dimensions {
		if d := &dimensions[i]; d.key != "engine" && d.key != "nodes" && usual[d.key] != "" {
			all = append(all, d.name+" "+usual[d.key])
		}
	}
	return strings.Join(all, ", ")
}

// slicesOf shows one dimension where all else stands as in most of its slices, and of those as most points have it.
func slicesOf(d *dimension, groups []*Group) section {
	var best []*slice
	at := map[Point][]*slice{}
	usual := common(groups)
	score := func(all []*slice) (n int) {
		for _, s := range all {
			n += 100 * len(s.groups)
		}
		for i := range dimensions {
			if k := &dimensions[i]; len(all) > 0 && k.key != d.key && k.text(&all[0].rest) == usual[k.key] {
				n++
			}
		}
		return n
	}
	for _, s := range d.slices(groups) {
		rest := s.rest.Pair()
		at[rest] = append(at[rest], s)
		if score(at[rest]) > score(best) {
			best = at[rest]
		}
	}
	sec := section{Title: strings.ToUpper(d.name[:1]) + d.name[1:]}
	rest := best[0].rest
	rest.Nodes = 0 // it goes with the engine
	if text := words(rest, d.key, groups); text != "" {
		sec.Words = "Here: " + text + "."
	}
	for _, key := range plotted {
		sec.Plots = append(sec.Plots, figureOf{metric(key).Name, template.HTML(lines(d, best, metric(key)))})
	}
	return sec
}

// allSettings has a line for each point, with those settings that differ.
func allSettings(groups []*Group) (head []string, all [][]string) {
	var settings []*dimension
	for i := range dimensions {
		d := &dimensions[i]
		if d.key == "engine" || slices.ContainsFunc(groups, func(g *Group) bool { return d.text(&g.Point) != d.text(&groups[0].Point) }) {
			settings, head = append(settings, d), append(head, d.name)
		}
	}
	head = append(head, "runs")
	var shown []*Metric
	for i := range Metrics {
		m := &Metrics[i]
		if slices.ContainsFunc(groups, func(g *Group) bool { return g.Spread(m).High > 0 }) {
			shown, head = append(shown, m), append(head, m.Name+", "+m.Unit)
		}
	}
	for _, g := range groups {
		var line []string
		for _, d := range settings {
			line = append(line, d.text(&g.Point))
		}
		runs := fmt.Sprint(len(g.Rows))
		if g.Failed > 0 {
			runs += fmt.Sprintf(", %d failed", g.Failed)
		}
		line = append(line, runs)
		for _, m := range shown {
			line = append(line, cell(g, m))
		}
		all = append(all, line)
	}
	return head, all
}

// params are the parameters of the model, for people.
func (e *Energy) params() (all [][3]string) {
	add := func(name string, p Param, unit string) {
		all = append(all, [3]string{name, fmt.Sprintf("%.3g %s", p.Value, unit), p.Source})
	}
	sorted := func(name string, of map[string]Param, unit string) {
		var keys []string
		for k := range of {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			add(name+" "+k, of[k], unit)
		}
	}
	add("a second of a CPU", e.CPU, "J")
	add("making a file durable", e.Sync, "J")
	sorted("a byte between members,", e.Wire, "J")
	sorted("a signature,", e.Sign, "J")
	sorted("a byte from a device,", e.Devices, "J")
	return all
}
