package advise

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lamppost/lamppost/internal/explore"
)

// verdicts are the verdicts in words.
var verdicts = map[string]string{
	"lamppost": "A ledger of your own",
	"database": "No ledger: a database is enough",
	"outside":  "A ledger of others",
	"abstain":  "No advice",
}

// width is that of lines of running text.
const width = 100

// Text is the answer for a terminal: what is advised and why, what machines do, the ranking, what holds it and what would change it, and
// what it rests on.
func (a *Answer) Text() string {
	t := new(text)
	t.line("%s: %s", a.Fleet, verdicts[a.Verdict])
	t.line("")
	t.wrap("", a.Summary)
	t.head("Why")
	for i, s := range a.Gate {
		t.line("%d. %s %s", i+1, s.Question, s.Answer)
		t.wrap("   ", s.Because)
	}
	first := &a.Options[0]
	a.classes(t, first)
	a.ranking(t)
	if first.Year != nil {
		t.head("A year of " + first.Name)
		t.year(first.Year)
	}
	t.list("What holds it there", first.Binding)
	t.list("Notes on "+first.Name, first.Notes)
	var flips []string
	for _, f := range a.Flips {
		flips = append(flips, fmt.Sprintf("%s: %s instead of %s: %s", f.Field, f.To, f.From, f.Then))
	}
	t.list("What would change the answer, the nearest first", flips)
	a.rests(t, first)
	t.list("Assumed beside what was measured", a.Assumed)
	t.list("Nothing is said of", a.Silent)
	if len(a.Next) > 0 {
		t.head("Next")
		for _, n := range a.Next {
			t.line("  %s", n)
		}
	}
	if a.Config != "" {
		t.head("node.yaml")
		t.b.WriteString(a.Config)
	}
	return t.b.String()
}

func (a *Answer) classes(t *text, o *Option) {
	if len(o.Classes) == 0 || a.Verdict != "lamppost" {
		return
	}
	t.head("What the machines do")
	rows := [][]string{{"class", "signs", "reports every", "readings", "way", "J/day", "battery"}}
	for _, c := range o.Classes {
		battery := "mains"
		if c.BatteryDays.High > 0 {
			battery = years(c.BatteryDays.Low) + " to " + years(c.BatteryDays.High)
		}
		rows = append(rows, []string{c.Class, c.Suite, duration(c.EverySec), fmt.Sprint(c.Readings), c.Via, span(c.UJADay, 1e-6), battery})
	}
	t.table(rows)
	for _, c := range o.Classes {
		t.wrap("  ", c.Class+": "+c.Because)
	}
}

func (a *Answer) ranking(t *text) {
	t.head("All that was weighed (low / mid / high)")
	rows := [][]string{{"", "option", "p99 ms", "bears readings/s", "EUR/year", "kWh/year"}}
	for _, o := range a.Options {
		place := "out"
		if o.Place > 0 {
			place = fmt.Sprint(o.Place)
		}
		row := []string{place, o.Name, "–", "–", "–", "–"}
		if o.Figures != nil {
			row[2], row[3] = figure(o.Figures.P99), figure(o.Figures.Capacity)
		}
		if o.Year != nil {
			row[4], row[5] = figure(o.Year.EUR), figure(o.Year.KWh)
		}
		rows = append(rows, row)
	}
	t.table(rows)
	for _, o := range a.Options {
		for _, out := range o.Out {
			t.wrap("  ", o.Name+" is out: "+out)
		}
	}
}

func (a *Answer) rests(t *text, o *Option) {
	t.head("What it rests on")
	t.wrap("  ", fmt.Sprintf("%s of %s, since %s, version %s, on %s", count(a.Rows.Rows, "measurement"), count(a.Rows.Points, "setting"), a.Rows.From, a.Rows.Commit, a.Rows.Machine))
	if o.Point != nil {
		t.wrap("  ", "predicted: "+setting(o.Point))
	}
	if o.Figures == nil {
		return
	}
	for _, n := range o.Figures.Nearest[:min(len(o.Figures.Nearest), 3)] {
		t.wrap("  ", fmt.Sprintf("measured %s, at distance %s: %s", count(n.Rows, "time"), plain(n.Distance), setting(&n.Point)))
	}
}

func setting(p *explore.Point) string {
	return fmt.Sprintf("%s, %s, %s, %s reports/s of %s, %s, verify %s, linger %s ms, segment %d, round trip %s ms", p.Engine, count(p.Nodes, "member"), count(p.Devices, "device"),
		plain(float64(p.Rate)), count(p.Readings, "reading"), p.Suites, p.Verify, plain(p.LingerMS), p.Segment, plain(p.RTTMS))
}

// A text grows by lines.
type text struct{ b strings.Builder }

func (t *text) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

func (t *text) head(title string) { t.line("\n%s", title) }

func (t *text) list(title string, all []string) {
	if len(all) == 0 {
		return
	}
	t.head(title)
	for _, s := range all {
		t.wrap("  ", s)
	}
}

// wrap breaks running text. In lists what follows the first line stands two further in.
func (t *text) wrap(indent, s string) {
	line, after := indent, "  "
	if indent == "" {
		after = ""
	}
	for i, word := range strings.Fields(s) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			t.line("%s", line)
			line = indent + after + word
		default:
			line += " " + word
		}
	}
	t.line("%s", line)
}

// table writes rows in columns as wide as they need to be.
func (t *text) table(rows [][]string) {
	wide := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := " "
		for i, cell := range row {
			line += " " + cell + strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell)+1)
		}
		t.line("%s", strings.TrimRight(line, " "))
	}
}

func (t *text) year(y *Year) {
	rows := [][]string{{"", "EUR", "kWh"}}
	for _, p := range y.Parts {
		rows = append(rows, []string{p.What, figure(p.EUR), figure(p.KWh)})
	}
	t.table(append(rows, []string{"together", figure(y.EUR), figure(y.KWh)}))
	t.line("  Where prices are from stands in --json, beside each part.")
}
