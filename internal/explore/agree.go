package explore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// An Agreement says how far two measurements of the same points rank them alike by one metric. Rank correlations are Spearman's, with the mean
// rank where values are equal: 1 alike, 0 nothing in common, -1 the other way round. What is 0 in both is not ranked: there was nothing to count.
type Agreement struct {
	A      string  `json:"a"` // such as "repetition 1"
	B      string  `json:"b"`
	Metric string  `json:"metric"`         // its name in rows
	Load   string  `json:"load,omitempty"` // full, offered: of points with that load alone
	Points int     `json:"points"`         // in both
	All    float64 `json:"all_points"`     // of all of them

	// Of points that differ in the engine alone. Two engines can only be ranked alike or the other way round, three in six ways: near ties swap, and
	// a mean of such numbers falls far by each. So it is also said how far those stood apart that swapped, and Relative ranks each engine's value over
	// the mean of its group among all such: a swap of near neighbours moves little there, one of what is far apart much.
	Groups   int     `json:"groups"`
	Engines  float64 `json:"engines"`  // mean over the groups
	Alike    float64 `json:"alike"`    // share of the groups that are ranked exactly alike
	Relative float64 `json:"relative"` // of all engines in groups, each over its group's mean
	Pairs    int     `json:"pairs"`    // of engines in a group
	Swapped  int     `json:"swapped"`  // pairs of which the other one is ahead in the other measurement
	Wide     int     `json:"swapped_wide"`
}

// wide is from which difference on, in either measurement, a swap is no near tie. Classes of latency are 5 % wide.
const wide = 0.10

// ranked are the metrics of which it is said whether measurements agree. At an offered rate all engines that keep up have the same throughput, but
// for the last reports' way: that is a near tie by its nature, and stands apart.
var ranked = []struct {
	key, load string
	of        func(*Point) bool
}{
	{"readings_per_s", "full", func(p *Point) bool { return p.Rate == 0 }},
	{"readings_per_s", "offered", func(p *Point) bool { return p.Rate > 0 }},
	{"commit_p99_ms", "", nil},
	{"network_cpu_us", "", nil},
	{"wire_bytes", "", nil},
	{"node_uj", "", nil},
}

// Agreement compares each repetition with each other. Points that one of the two has not, or has not yet, are left out.
func (s *Set) Agreement() (all []Agreement) {
	of := map[int][]Row{}
	for _, r := range Latest(s.Rows) {
		of[r.Rep] = append(of[r.Rep], r)
	}
	for i := 1; i <= s.Space.Repetitions; i++ {
		for j := i + 1; j <= s.Space.Repetitions; j++ {
			all = append(all, agree(fmt.Sprint("repetition ", i), fmt.Sprint("repetition ", j), Groups(of[i]), Groups(of[j]))...)
		}
	}
	return all
}

// Against compares the middles of two sweeps' repetitions, at the points that both have.
func (s *Set) Against(other *Set) ([]Agreement, error) {
	all := agree("this sweep", "the other", Groups(s.Rows), Groups(other.Rows))
	if len(all) == 0 {
		return nil, fmt.Errorf("the sweeps have no two points in common: were they of the same space?")
	}
	return all, nil
}

// A couple is a point's value in two measurements.
type couple struct{ a, b float64 }

func agree(nameA, nameB string, a, b []*Group) (all []Agreement) {
	other := map[Point]*Group{}
	for _, g := range b {
		other[g.Point] = g
	}
	for _, by := range ranked {
		m := metric(by.key)
		both := map[*Group]couple{}
		var groups []*Group
		for _, g := range a {
			o := other[g.Point]
			if o == nil || len(g.Rows) == 0 || len(o.Rows) == 0 || by.of != nil && !by.of(&g.Point) {
				continue
			}
			if c := (couple{g.Spread(m).Mid, o.Spread(m).Mid}); c.a != 0 || c.b != 0 {
				both[g], groups = c, append(groups, g)
			}
		}
		if len(groups) < 2 {
			continue
		}
		is := Agreement{A: nameA, B: nameB, Metric: by.key, Load: by.load, Points: len(groups)}
		is.count(groups, both)
		all = append(all, is)
	}
	return all
}

// count puts in what comes of the couples.
func (is *Agreement) count(groups []*Group, both map[*Group]couple) {
	var points, relative []couple
	for _, g := range groups {
		points = append(points, both[g])
	}
	is.All = spearman(points)
	for _, s := range dimensions[0].slices(groups) {
		var of []couple
		for _, g := range s.groups {
			of = append(of, both[g])
		}
		rho := spearman(of)
		is.Groups++
		is.Engines += rho
		if sameOrder(of) {
			is.Alike++
		}
		is.swaps(of)
		relative = append(relative, overMean(of)...)
	}
	if is.Groups > 0 {
		is.Engines, is.Alike, is.Relative = is.Engines/float64(is.Groups), is.Alike/float64(is.Groups), spearman(relative)
	}
}

// swaps counts the pairs of one group.
func (is *Agreement) swaps(of []couple) {
	for i, x := range of {
		for _, y := range of[i+1:] {
			is.Pairs++
			if (x.a-y.a)*(x.b-y.b) >= 0 {
				continue
			}
			is.Swapped++
			if max(apart(x.a, y.a), apart(x.b, y.b)) > wide {
				is.Wide++
			}
		}
	}
}

// apart is by which share the larger is above the smaller.
func apart(x, y float64) float64 { return max(x, y)/min(x, y) - 1 }

func overMean(of []couple) []couple {
	var mean couple
	for _, c := range of {
		mean.a, mean.b = mean.a+c.a/float64(len(of)), mean.b+c.b/float64(len(of))
	}
	all := slices.Clone(of)
	for i := range all {
		all[i].a, all[i].b = all[i].a/mean.a, all[i].b/mean.b
	}
	return all
}

// sameOrder reports whether both measurements rank the same, equal values included.
func sameOrder(of []couple) bool {
	a, b := ranksOf(of)
	return slices.Equal(a, b)
}

func ranksOf(of []couple) (a, b []float64) {
	for _, c := range of {
		a, b = append(a, c.a), append(b, c.b)
	}
	return ranks(a), ranks(b)
}

// ranks are from 1, the mean of theirs where values are equal.
func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(v[i], v[j]) })
	r := make([]float64, len(v))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && v[order[j]] == v[order[i]] {
			j++
		}
		for _, at := range order[i:j] {
			r[at] = float64(i+j+1) / 2
		}
		i = j
	}
	return r
}

// spearman is the correlation of ranks. Where one of the two tells nothing apart it is 0, where neither does 1.
func spearman(of []couple) float64 {
	a, b := ranksOf(of)
	mean := float64(len(of)+1) / 2
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-mean, b[i]-mean
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	switch {
	case aa == 0 && bb == 0:
		return 1
	case aa == 0 || bb == 0:
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// A table is one for people, in a document or a page.
type table struct {
	Title, Words string
	Head         []string
	Lines        [][]string
}

// agreementTable has a line for each metric; where there are several comparisons, their figures stand beside each other.
func agreementTable(all []Agreement) (t table) {
	if len(all) == 0 {
		return t
	}
	var between []string
	for _, a := range all {
		if pair := strings.Replace(a.A+" and "+a.B, " and repetition", " and", 1); !slices.Contains(between, pair) {
			between = append(between, pair)
		}
	}
	t.Title = "Do measurements agree?"
	t.Words = "Rank correlations between " + strings.Join(between, "; ") + ", in this order. All points are ranked at once; engines are ranked within each group of points that differ in nothing else: the mean over the " +
		"groups, and the share that is ranked exactly alike. A group of two or three swaps by a near tie, so it is said how many pairs of engines swapped, and how many of those were more than 10 % apart in either. " +
		"“Over the group's mean” ranks each engine's value, divided by the mean of its group, among all such. At an offered rate engines that keep up tie in throughput. What is 0 in both is not ranked."
	t.Head = []string{"by", "points", "all points", "groups", "engines in a group", "groups ranked alike", "engines over the group's mean", "pairs of engines", "swapped", "of them > 10 % apart"}
	for _, by := range ranked {
		var of []Agreement
		for _, a := range all {
			if a.Metric == by.key && a.Load == by.load {
				of = append(of, a)
			}
		}
		if len(of) == 0 {
			continue
		}
		name := metric(by.key).Name
		if by.load != "" {
			name += map[string]string{"full": ", at full load", "offered": ", at an offered rate"}[by.load]
		}
		t.Lines = append(t.Lines, agreementLine(name, of))
	}
	return t
}

// agreementLine has the figures of all comparisons by one metric, once where they are the same.
func agreementLine(name string, of []Agreement) []string {
	line := []string{name}
	for _, text := range []func(a Agreement) string{
		func(a Agreement) string { return fmt.Sprint(a.Points) },
		func(a Agreement) string { return fmt.Sprintf("%.3f", a.All) },
		func(a Agreement) string { return fmt.Sprint(a.Groups) },
		func(a Agreement) string { return ofGroups(a, "%.3f", a.Engines) },
		func(a Agreement) string { return ofGroups(a, "%.0f %%", 100*a.Alike) },
		func(a Agreement) string { return ofGroups(a, "%.3f", a.Relative) },
		func(a Agreement) string { return fmt.Sprint(a.Pairs) },
		func(a Agreement) string { return fmt.Sprint(a.Swapped) },
		func(a Agreement) string { return fmt.Sprint(a.Wide) },
	} {
		var parts []string
		for _, a := range of {
			parts = append(parts, text(a))
		}
		if !slices.ContainsFunc(parts, func(p string) bool { return p != parts[0] }) {
			parts = parts[:1]
		}
		line = append(line, strings.Join(parts, " / "))
	}
	return line
}

func ofGroups(a Agreement, form string, v float64) string {
	if a.Groups == 0 {
		return "–"
	}
	return fmt.Sprintf(form, v)
}

// AgreementMarkdown is the table of a comparison, for people.
func AgreementMarkdown(all []Agreement) string {
	t := agreementTable(all)
	return t.markdown()
}

func (t *table) markdown() string {
	if len(t.Lines) == 0 {
		return ""
	}
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "### %s\n\n", t.Title)
	}
	if t.Words != "" {
		b.WriteString(t.Words + "\n\n")
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.Head, " | "), strings.Repeat("---|", len(t.Head)))
	for _, l := range t.Lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(l, " | "))
	}
	b.WriteString("\n")
	return b.String()
}
