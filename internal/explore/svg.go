package explore

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Plots are SVG for a column of a phone: text stays readable there, and several stand side by side on a desk. Colours are the page's,
// by class; an engine has a shape as well as a colour.

const (
	plotWidth  = 360
	plotHeight = 270
	plotLeft   = 52
	plotRight  = 12
	plotTop    = 14
	plotBottom = 46
)

// A plot is an SVG in the making.
type plot struct {
	strings.Builder
	height int
}

func newPlot(height int, label string) *plot {
	p := &plot{height: height}
	fmt.Fprintf(p, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, height, html.EscapeString(label))
	return p
}

func (p *plot) end() string {
	p.WriteString("</svg>")
	return p.String()
}

func (p *plot) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(p, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (p *plot) text(anchor string, x, y float64, text string) {
	fmt.Fprintf(p, `<text text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, anchor, x, y, html.EscapeString(text))
}

// mark is a point of an engine; title is shown where one points at it.
func (p *plot) mark(engine string, x, y float64, title string) {
	fmt.Fprintf(p, `<g class="mark %s"><title>%s</title>`, engine, html.EscapeString(title))
	switch engine {
	case "solo":
		fmt.Fprintf(p, `<circle cx="%.1f" cy="%.1f" r="4.5"/>`, x, y)
	case "raft":
		fmt.Fprintf(p, `<rect x="%.1f" y="%.1f" width="8" height="8"/>`, x-4, y-4)
	default:
		fmt.Fprintf(p, `<path d="M%.1f %.1f l5 9 h-10 z"/>`, x, y-5.5)
	}
	p.WriteString(`</g>`)
}

// A scale leads from a value to a place on an axis.
type scale struct {
	low, high, from, to float64
	log                 bool
}

// over is a scale for positive values: by powers of ten, or from 0 where they are close to each other.
func over(values []float64, from, to float64, log bool) scale {
	s := scale{low: math.Inf(1), high: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		if v > 0 {
			s.low = min(s.low, v)
		}
		s.high = max(s.high, v)
	}
	if !(s.high > 0) {
		s.high = 1
	}
	s.low = min(s.low, s.high)
	if s.log = log || s.high > 30*s.low; !s.log {
		s.low, s.high = 0, s.high*1.05
		return s
	}
	s.low, s.high = s.low/1.2, s.high*1.2
	return s
}

func (s *scale) at(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		share = math.Log(max(v, s.low)/s.low) / math.Log(s.high/s.low)
	}
	return s.from + share*(s.to-s.from)
}

// ticks are round values, at most six.
func (s *scale) ticks() (all []float64) {
	if s.log {
		for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			all = nil
			for e := math.Floor(math.Log10(s.low)); e <= math.Log10(s.high); e++ {
				for _, m := range steps {
					if v := m * math.Pow(10, e); v >= s.low && v <= s.high {
						all = append(all, v)
					}
				}
			}
			if len(all) <= 6 {
				return all
			}
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10(s.high)))
	for _, part := range []float64{0.2, 0.25, 0.5, 1} {
		if s.high/(step*part) <= 6 {
			step *= part
			break
		}
	}
	for i := 0.0; i*step <= s.high; i++ {
		all = append(all, i*step)
	}
	return all
}

// tick writes a value at an axis, shortly.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

// yAxis draws lines across, with values and a name above.
func (p *plot) yAxis(s *scale, name string) {
	for _, v := range s.ticks() {
		y := s.at(v)
		p.line("grid", plotLeft, y, plotWidth-plotRight, y)
		p.text("end", plotLeft-5, y+4, tick(v))
	}
	p.text("start", 2, 10, name)
}

// scatter holds all groups against two metrics, with the fronts of those that none of the same engine beats in both.
func scatter(groups []*Group, x, y *Metric) string {
	usual := common(groups)
	var xs, ys []float64
	for _, g := range groups {
		if len(g.Rows) > 0 {
			xs, ys = append(xs, g.Spread(x).Mid), append(ys, g.Spread(y).Mid)
		}
	}
	p := newPlot(plotHeight, fmt.Sprintf("%s against %s, a mark for each setting", y.Name, x.Name))
	across := over(xs, plotLeft+6, plotWidth-plotRight-6, true)
	up := over(ys, plotHeight-plotBottom, plotTop+8, true)
	p.yAxis(&up, y.Name+", "+y.Unit)
	for _, v := range across.ticks() {
		p.line("grid", across.at(v), plotTop+6, across.at(v), plotHeight-plotBottom)
		p.text("middle", across.at(v), plotHeight-plotBottom+15, tick(v))
	}
	p.text("middle", (plotLeft+plotWidth)/2, plotHeight-12, x.Name+", "+x.Unit)
	best := fronts(groups, x, y)
	for _, e := range engines {
		path := ""
		for _, g := range best {
			if gx, gy := across.at(g.Spread(x).Mid), up.at(g.Spread(y).Mid); g.Engine == e && path == "" {
				path = fmt.Sprintf("M%.1f %.1f", gx, gy)
			} else if g.Engine == e {
				path += fmt.Sprintf(" H%.1f V%.1f", gx, gy)
			}
		}
		if path != "" {
			fmt.Fprintf(p, `<path class="front %s" d="%s"/>`, e, path)
		}
	}
	for _, g := range groups {
		if len(g.Rows) > 0 {
			a, b := g.Spread(x), g.Spread(y)
			p.mark(g.Engine, across.at(a.Mid), up.at(b.Mid), fmt.Sprintf("%s: %s %s, %s %s", title(g, usual), figure(a.Mid), x.Unit, figure(b.Mid), y.Unit))
		}
	}
	for i, g := range best {
		p.text("start", across.at(g.Spread(x).Mid)+6, up.at(g.Spread(y).Mid)-5, fmt.Sprint(i+1))
	}
	return p.end()
}

// title names a point by its engine and by what is not as most points have it.
func title(g *Group, usual map[string]string) string {
	text := g.Engine
	if g.Nodes > 1 {
		text += fmt.Sprintf(", %d members", g.Nodes)
	}
	if more := unusual(&g.Point, usual, ""); more != "" {
		text += ", " + more
	}
	return text
}

// lines draws slices of one dimension, a line each, with the lowest and highest of the repetitions.
func lines(d *dimension, all []*slice, m *Metric) string {
	var values []*Point // that the dimension has, in order
	var ys []float64
	for _, s := range all {
		for _, g := range s.groups {
			if !slices.ContainsFunc(values, func(p *Point) bool { return d.text(p) == d.text(&g.Point) }) {
				values = append(values, &g.Point)
			}
			if v := g.Spread(m); len(g.Rows) > 0 {
				ys = append(ys, v.Low, v.High)
			}
		}
	}
	slices.SortStableFunc(values, d.compare)
	p := newPlot(plotHeight, fmt.Sprintf("%s by %s, a line for each engine", m.Name, d.name))
	up := over(ys, plotHeight-plotBottom, plotTop+8, false)
	p.yAxis(&up, m.Name+", "+m.Unit)
	across := func(g *Point) float64 {
		i := slices.IndexFunc(values, func(p *Point) bool { return d.text(p) == d.text(g) })
		return plotLeft + (float64(i)+0.5)*(plotWidth-plotLeft-plotRight)/float64(len(values))
	}
	for i, v := range values {
		y := float64(plotHeight - plotBottom + 15)
		if len(values) > 5 && i%2 == 1 {
			y += 11
		}
		p.text("middle", across(v), y, brief(d.text(v)))
	}
	p.text("middle", (plotLeft+plotWidth)/2, plotHeight-6, d.name)
	for _, s := range all {
		path := "M"
		for _, g := range s.groups {
			if len(g.Rows) == 0 {
				continue
			}
			x, v := across(&g.Point), g.Spread(m)
			path += fmt.Sprintf("%.1f %.1f ", x, up.at(v.Mid))
			p.line("spread "+g.Engine, x, up.at(v.Low), x, up.at(v.High))
		}
		fmt.Fprintf(p, `<path class="run %s" d="%s"/>`, s.groups[0].Engine, strings.TrimSpace(path))
	}
	for _, s := range all {
		for _, g := range s.groups {
			if v := g.Spread(m); len(g.Rows) > 0 {
				p.mark(g.Engine, across(&g.Point), up.at(v.Mid), fmt.Sprintf("%s, %s: %s %s (%s to %s)", g.Engine, d.text(&g.Point), figure(v.Mid), m.Unit, figure(v.Low), figure(v.High)))
			}
		}
	}
	return p.end()
}

// brief shortens what stands at an axis.
func brief(text string) string {
	if len(text) > 14 {
		return text[:13] + "…"
	}
	return text
}

// tornado draws how much each dimension changes a metric, the most first.
func tornado(all []swing, m *Metric) string {
	const row, left = 30, 8
	height := plotTop + row*len(all) + 30
	p := newPlot(height, "how much each setting changes "+m.Name)
	most := 2.0
	for _, w := range all {
		most = max(most, w.most)
	}
	across := scale{low: 1, high: most, from: left, to: plotWidth - 60, log: true}
	for _, v := range across.ticks() {
		p.line("grid", across.at(v), plotTop, across.at(v), float64(height-26))
		p.text("middle", across.at(v), float64(height-12), "×"+tick(v))
	}
	for i, w := range all {
		y := float64(plotTop + row*i)
		p.text("start", left, y+11, w.d.name)
		fmt.Fprintf(p, `<rect class="bar" x="%d" y="%.1f" width="%.1f" height="9"><title>%s: ×%s in the middle of %d comparisons</title></rect>`, left, y+15, max(1, across.at(w.ratio)-left), html.EscapeString(w.d.name), figure(w.ratio), w.slices)
		p.line("spread", across.at(w.least), y+19.5, across.at(w.most), y+19.5)
		p.text("start", across.at(w.most)+5, y+23, "×"+figure(w.ratio))
	}
	return p.end()
}
