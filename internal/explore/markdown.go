package explore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Begin and End mark in a document what Markdown wrote.
const (
	Begin = "<!-- lamppost explore: begin -->"
	End   = "<!-- lamppost explore: end -->"
)

// told are the metrics that tables of documents show; where gateways verify, also what members alone take.
var told = []string{"readings_per_s", "commit_p99_ms", "network_cpu_us", "wire_bytes", "messages", "syncs", "node_uj"}

// Markdown is the tables of a document: where and how it was measured, whether repetitions agree, where the knees are, what is cheapest for a demand,
// and the engines side by side along each setting.
func (s *Set) Markdown() string {
	var b strings.Builder
	groups := Groups(s.Rows)
	usual := common(groups)
	fmt.Fprintf(&b, "%s\n\n%s\n\n", Begin, s.where())
	if len(groups) > 0 {
		fmt.Fprintf(&b, "Rows are named by what is not as in most points: %s.\n\n", usually(usual))
	}
	agreement := agreementTable(s.Agreement())
	savings, knees, cheapest := savingsTable(groups), kneeTable(groups, usual), choiceTable(groups, usual)
	parts := s.Space.Energy.partsTable(groups, usual)
	b.WriteString(savings.markdown() + parts.markdown() + knees.markdown() + cheapest.markdown() + agreement.markdown())
	if along := varied(groups); len(along) > 0 {
		b.WriteString("### The engines, along one setting\n\nA cell is solo · raft · comet, the middle of the repetitions; in brackets what raft saves of comet's: less than nothing is more. " +
			"The lowest and highest of the repetitions are in report.html and rows.csv. " + spreads(groups) + "\n\n")
		isVerify := func(d *dimension) bool { return d.key == "verify" }
		rest := settingTable(groups, usual, slices.DeleteFunc(slices.Clone(along), isVerify)...)
		b.WriteString(rest.markdown())
		if slices.ContainsFunc(along, isVerify) {
			whose := settingTable(groups, usual, setting("verify"))
			b.WriteString(whose.markdown())
		}
	}
	s.failures(&b, usual)
	model := table{Title: "The model of energy", Words: "Between members the link “" + s.Space.Energy.Link + "” counts.", Head: []string{"of", "value", "source"}}
	for _, p := range s.Space.Energy.params() {
		model.Lines = append(model.Lines, p[:])
	}
	b.WriteString(model.markdown())
	b.WriteString(End + "\n")
	return b.String()
}

// where says where, when and with what all was measured.
func (s *Set) where() string {
	if len(s.Rows) == 0 {
		return "Nothing was measured."
	}
	commits, machines := map[string]bool{}, map[string]bool{}
	low, high := s.Rows[0].Load, s.Rows[0].Load
	begin, end := s.Rows[0].Start, s.Rows[0].Start
	for _, r := range s.Rows {
		commits[r.Commit], machines[r.Machine] = true, true
		low, high = min(low, r.Load), max(high, r.Load)
		if r.Start.Before(begin) {
			begin = r.Start
		}
		if r.Start.After(end) {
			end = r.Start
		}
	}
	text := fmt.Sprintf("Version %s; %s; from %s to %s UTC; load at the start of a run %s to %s; seed %d, %d repetitions of %g s each.",
		list(commits), list(machines), begin.Format("2006-01-02 15:04"), end.Format("15:04"), figure(low), figure(high), s.Space.Seed, s.Space.Repetitions, s.Space.Seconds)
	if points, _, err := s.Space.Points(); err == nil && len(Latest(s.Rows)) < len(points)*s.Space.Repetitions {
		text += fmt.Sprintf(" Of %d runs %s are measured so far.", len(points)*s.Space.Repetitions, grouped(int64(len(Latest(s.Rows)))))
	}
	return text
}

func list(set map[string]bool) string {
	var all []string
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// spreads says how far repetitions are apart.
func spreads(groups []*Group) string {
	var parts []string
	for _, key := range []string{"readings_per_s", "commit_p99_ms", "network_cpu_us", "wire_bytes", "node_uj"} {
		var all []float64
		for _, g := range groups {
			if v := g.Spread(metric(key)); len(g.Rows) > 1 && v.Low > 0 {
				all = append(all, 100*(v.High/v.Low-1))
			}
		}
		if len(all) > 0 {
			slices.Sort(all)
			parts = append(parts, fmt.Sprintf("%s %.0f %% (%.0f %%)", metric(key).Name, middle(all), all[len(all)*9/10]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "The highest of the repetitions is above the lowest, in the middle of all points (in 9 of 10 at most): " + strings.Join(parts, ", ") + "."
}

// A family is the slices of a setting, one for each engine, that are alike in all else.
type family struct {
	rest   Point
	groups []*Group
}

// families are those of a setting to show: all else as in most points, at their load or as fast as can be; and of the others those that are nearest to
// it and have a value that no other has.
func families(d *dimension, groups []*Group, usual map[string]string) (shown []*family) {
	at := map[Point]*family{}
	var all []*family
	for _, s := range d.slices(groups) {
		rest := s.rest.Pair()
		if d.key != "nodes" && s.rest.Nodes != fewest[s.rest.Engine] {
			continue
		}
		f := at[rest]
		if f == nil {
			f = &family{rest: rest}
			at[rest], all = f, append(all, f)
		}
		f.groups = append(f.groups, s.groups...)
	}
	slices.SortStableFunc(all, func(a, b *family) int { return cmp.Compare(a.distance(d, usual), b.distance(d, usual)) })
	seen := map[string]bool{}
	for _, f := range all {
		g := f.groups[0].Point
		near := d.asMost(g, usual) && (d.key == "rate" || g.Rate == 0 || rateText(&g) == usual["rate"])
		if !near && !slices.ContainsFunc(f.groups, func(g *Group) bool { return !seen[d.text(&g.Point)] }) {
			continue
		}
		shown = append(shown, f)
		for _, g := range f.groups {
			seen[d.text(&g.Point)] = true
		}
	}
	return shown
}

// distance is in how many settings a family is not as most points; full load is near.
func (f *family) distance(d *dimension, usual map[string]string) (n int) {
	for i := range dimensions {
		switch k := &dimensions[i]; {
		case k.key == d.key || k.key == "engine" || k.key == "nodes" || k.text(&f.rest) == usual[k.key]:
		case k.key == "rate" && f.rest.Rate == 0:
			n++
		default:
			n += 2
		}
	}
	return n
}

// settingTable has the engines side by side for each value of some settings.
func settingTable(groups []*Group, usual map[string]string, along ...*dimension) table {
	shown := told
	if len(along) == 1 && along[0].key == "verify" {
		shown = slices.Insert(slices.Clone(told), 2, "node_cpu_us")
	}
	t := table{Head: []string{"setting"}}
	for _, key := range shown {
		t.Head = append(t.Head, metric(key).Name+", "+metric(key).Unit)
	}
	for _, d := range along {
		for _, l := range sideLines(d, groups, usual) {
			line := []string{d.name + " " + l.name}
			for _, key := range shown {
				line = append(line, sideBySide(l.of, metric(key)))
			}
			t.Lines = append(t.Lines, line)
		}
	}
	return t
}

// A sideLine is the engines side by side at one value of a setting.
type sideLine struct {
	name string
	at   Point // of one of them
	of   map[string]*Group
}

// sideLines are those of all families to show, each named by the value and by what is not as in most points.
func sideLines(d *dimension, groups []*Group, usual map[string]string) (all []sideLine) {
	for _, f := range families(d, groups, usual) {
		slices.SortStableFunc(f.groups, func(a, b *Group) int { return d.compare(&a.Point, &b.Point) })
		for i, g := range f.groups {
			if i == 0 || d.text(&g.Point) != d.text(&f.groups[i-1].Point) {
				l := sideLine{d.text(&g.Point), g.Point, map[string]*Group{}}
				if more := unusual(&g.Point, usual, d.key); more != "" {
					l.name += "; " + more
				}
				all = append(all, l)
			}
			all[len(all)-1].of[g.Engine] = g
		}
	}
	return all
}

// sideBySide has the middles of all engines, and what raft saves of comet's.
func sideBySide(of map[string]*Group, m *Metric) string {
	var parts []string
	for _, e := range engines {
		g := of[e]
		switch {
		case g == nil:
			parts = append(parts, "–")
		case len(g.Rows) == 0:
			parts = append(parts, "failed")
		case m.Key == "readings_per_s" && g.exhausted():
			parts = append(parts, "≥ "+figure(g.Spread(m).Mid))
		default:
			parts = append(parts, figure(g.Spread(m).Mid))
		}
	}
	text := strings.Join(parts, " · ")
	if share := saves(of["raft"], of["comet"], m); !math.IsNaN(share) {
		text += " (" + percent(share) + ")"
	}
	return text
}

func cell(g *Group, m *Metric) string {
	if g == nil {
		return ""
	}
	if len(g.Rows) == 0 {
		return "failed"
	}
	v := g.Spread(m)
	text := figure(v.Mid)
	if v.Low != v.High {
		text = figure(v.Low) + " / " + text + " / " + figure(v.High)
	}
	if m.Key == "readings_per_s" && g.exhausted() {
		text = "≥ " + text
	}
	return text
}

func (s *Set) failures(b *strings.Builder, usual map[string]string) {
	if slices.ContainsFunc(Latest(s.Rows), func(r Row) bool { return r.Error != "" }) {
		b.WriteString("### Failed\n\n")
		defer b.WriteString("\n")
	}
	for _, r := range Latest(s.Rows) {
		if r.Error != "" {
			fmt.Fprintf(b, "- Run %d (%s, repetition %d) failed: %s\n", r.Order, title(&Group{Point: r.Point}, usual), r.Rep, strings.NewReplacer("|", "¦", "<", "‹", "\n", " ").Replace(r.Error))
		}
	}
}

// Refill puts new tables into a document between the marks, which must be there once.
func Refill(document, tables string) (string, error) {
	before, rest, ok := strings.Cut(document, Begin)
	if !ok || strings.Contains(rest, Begin) {
		return "", fmt.Errorf("the document needs the line %q once", Begin)
	}
	_, after, ok := strings.Cut(rest, End+"\n")
	if !ok {
		return "", fmt.Errorf("the document needs the line %q after %q", End, Begin)
	}
	return before + tables + after, nil
}
