package explore

import (
	"fmt"
	"slices"
	"strings"
)

// Begin and End mark in a document what Markdown wrote.
const (
	Begin = "<!-- lamppost explore: begin -->"
	End   = "<!-- lamppost explore: end -->"
)

// Metrics that tables of documents show: of engines side by side, and of one setting at a time.
var (
	compared = []string{"readings_per_s", "commit_p99_ms", "node_cpu_us", "wire_bytes", "messages", "syncs", "node_uj"}
	told     = []string{"readings_per_s", "commit_p50_ms", "commit_p99_ms", "node_cpu_us", "wire_bytes", "node_uj"}
)

// Markdown is the tables of a document: where and how it was measured, the engines side by side, and what comes of each setting where all
// else is as in most points.
func (s *Set) Markdown() string {
	var b strings.Builder
	groups := Groups(s.Rows)
	usual := common(groups)
	fmt.Fprintf(&b, "%s\n\n%s\n\n", Begin, s.where())
	if len(groups) > 0 {
		fmt.Fprintf(&b, "Rows are named by what is not as in most points: %s.\n\n", usually(usual))
	}
	s.enginesTable(&b, groups, usual)
	for _, d := range varied(groups) {
		s.sliceTables(&b, d, groups, usual)
	}
	s.failures(&b, usual)
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
	return fmt.Sprintf("Version %s; %s; from %s to %s UTC; load at the start of a run %s to %s; seed %d, %d repetitions of %g s each. Figures are lowest / middle / highest of the repetitions.",
		list(commits), list(machines), begin.Format("2006-01-02 15:04"), end.Format("15:04"), figure(low), figure(high), s.Space.Seed, s.Space.Repetitions, s.Space.Seconds)
}

func list(set map[string]bool) string {
	var all []string
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// enginesTable holds the engines side by side, wherever all else is alike.
func (s *Set) enginesTable(b *strings.Builder, groups []*Group, usual map[string]string) {
	d := &dimensions[0]
	pairs := d.slices(groups)
	if len(pairs) == 0 {
		return
	}
	b.WriteString("### The engines, all else alike\n\nThe last column is what raft saves of comet's, by the middles; less than nothing is more.\n\n")
	for _, key := range compared {
		m := metric(key)
		fmt.Fprintf(b, "| %s, %s | solo | raft | comet | raft saves |\n|---|---|---|---|---|\n", m.Name, m.Unit)
		for _, pair := range pairs {
			cells := map[string]*Group{}
			for _, g := range pair.groups {
				cells[g.Engine] = g
			}
			fmt.Fprintf(b, "| %s |", orAsMost(unusual(&pair.rest, usual)))
			for _, e := range engines {
				b.WriteString(" " + cell(cells[e], m) + " |")
			}
			b.WriteString(" " + saved(cells["raft"], cells["comet"], m) + " |\n")
		}
		b.WriteString("\n")
	}
}

func orAsMost(text string) string {
	if text == "" {
		return "as most points"
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

func saved(less, more *Group, m *Metric) string {
	if less == nil || more == nil || len(less.Rows) == 0 || len(more.Rows) == 0 || m.Key == "readings_per_s" {
		return ""
	}
	a, b := less.Spread(m).Mid, more.Spread(m).Mid
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*(b-a)/b)
}

// sliceTables says what comes of one setting, for each engine; the load may be another than that of most points.
func (s *Set) sliceTables(b *strings.Builder, d *dimension, groups []*Group, usual map[string]string) {
	fmt.Fprintf(b, "### %s\n\n| %s | |", strings.ToUpper(d.name[:1])+d.name[1:], d.name)
	for _, key := range told {
		m := metric(key)
		fmt.Fprintf(b, " %s, %s |", m.Name, m.Unit)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(told)) + "\n")
	for _, sl := range d.slices(groups) {
		at := sl.groups[0].Point
		if !d.asMost(at, usual) {
			continue
		}
		where := at.Engine
		if d.key != "rate" {
			where += ", " + rateText(&at)
		}
		for _, g := range sl.groups {
			fmt.Fprintf(b, "| %s | %s |", d.text(&g.Point), where)
			for _, key := range told {
				b.WriteString(" " + cell(g, metric(key)) + " |")
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

func (s *Set) failures(b *strings.Builder, usual map[string]string) {
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
