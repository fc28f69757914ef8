package render

import (
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/tariff"
)

// What looks ahead, in words. It stands apart from the bill, because nothing proves it.

type outlookSheet struct {
	Title, Intro string
	Parts        []outlookPart
}

// An outlookPart is a heading with what belongs to it. Strong says the main thing.
type outlookPart struct {
	Title, Strong string
	Gauge         *gauge
	Text          []string
	Grid          *grid
}

// A gauge shows how much is used, and how much of the time is over: in percent, at most 100.
type gauge struct {
	Used, Time int64
	Over       bool
}

// ahead returns nil where there is nothing to say.
func (s *sheet) ahead(p *Page) *outlookSheet {
	o := p.Outlook
	if o == nil {
		return nil
	}
	out := &outlookSheet{Title: s.l.text("outlook"), Intro: s.l.text("outlook.intro", "time", s.l.moment(o.Zone, o.At))}
	for i := range o.Budgets {
		out.Parts = append(out.Parts, s.budget(o, &o.Budgets[i]))
	}
	for i := range o.Months {
		out.Parts = append(out.Parts, s.forecast(p, &o.Months[i]))
	}
	if x := s.offers(p); x.Grid != nil || len(x.Text) > 0 {
		out.Parts = append(out.Parts, x)
	}
	if len(out.Parts) == 0 {
		return nil
	}
	return out
}

func (s *sheet) budget(o *outlook.Outlook, b *outlook.Budget) outlookPart {
	l := s.l
	money := func(m lamppost.Micro) string { return l.money(fixed(m, b.Currency), b.Currency) }
	p := outlookPart{Title: l.text("budget", "month", l.month(o.Zone, b.From)), Gauge: &gauge{min(b.UsedPercent, 100), min(b.TimePercent, 100), b.Used > b.Amount},
		Strong: l.text("budget.used", "used", l.percent(b.UsedPercent*100), "elapsed", l.percent(b.TimePercent*100), "amount", money(b.Used), "budget", money(b.Amount))}
	day := ""
	if b.Over != 0 {
		day = l.date(o.Zone, b.Over)
	}
	switch says := func(n outlook.Notice) bool { return slices.Contains(b.Notices, n) }; {
	case says(outlook.NoticeExceeded) && day != "":
		p.Text = []string{l.text("budget.exceeded", "day", day)}
	case says(outlook.NoticeExceeded):
		p.Text = []string{l.text("budget.exceeded_now")}
	case says(outlook.NoticeExpected):
		p.Text = []string{l.text("budget.expected", "day", day)}
	}
	return p
}

func (s *sheet) forecast(p *Page, m *outlook.Month) outlookPart {
	l, o := s.l, p.Outlook
	out := outlookPart{Title: l.text("forecast", "month", l.month(o.Zone, m.From))}
	soFar := l.text("forecast.so_far", "amount", l.money(fixed(m.SoFar, m.Currency), m.Currency), "time", l.moment(o.Zone, m.Until))
	if e := m.Expected; e != nil {
		out.Strong = s.expected(e, m.Currency)
		out.Text = []string{soFar, l.count("forecast.how", e.Weeks)}
	} else {
		out.Text = []string{soFar, s.missing(m.Missing)}
	}
	if len(m.Supplies) > 1 {
		out.Grid = s.parts(p, m)
	}
	return out
}

// expected writes an amount with its range, without digits that nobody knows.
func (s *sheet) expected(e *outlook.Expected, currency string) string {
	amount, low, high := s.about(e.Amount, currency), s.about(e.Low, currency), s.about(e.High, currency)
	if low == high {
		return s.l.text("forecast.even", "amount", amount)
	}
	return s.l.text("forecast.amount", "amount", amount, "low", low, "high", high)
}

// about rounds what is 20 or more to whole units of the currency.
func (s *sheet) about(m lamppost.Micro, currency string) string {
	text := fixed(m, currency)
	if m >= 20*lamppost.MicroUnit || m <= -20*lamppost.MicroUnit {
		half := lamppost.Micro(lamppost.MicroUnit / 2)
		if m < 0 {
			half = -half
		}
		text = lamppost.Dec(int64((m+half)/lamppost.MicroUnit), 0).String()
	}
	return s.l.money(text, currency)
}

func (s *sheet) missing(why outlook.Missing) string {
	switch why {
	case outlook.MissingHistory:
		return s.l.count("forecast.no_history", outlook.MinWeeks)
	case outlook.MissingTerms:
		return s.l.text("forecast.no_terms")
	}
	return s.l.text("forecast.no_readings")
}

// parts lists what a month is made of.
func (s *sheet) parts(p *Page, m *outlook.Month) *grid {
	l := s.l
	g := &grid{Title: l.text("forecast.parts"), Left: 1, Head: []string{l.text("place"), l.text("forecast.now"), l.text("forecast.expected"), l.text("forecast.range")}}
	for i := range m.Supplies {
		x := &m.Supplies[i]
		name, expected, between := s.supplied(p, x.Agreement, orElse(x.Place, x.Point), x.PerUnit), "–", "–"
		if x.Agreement == "" {
			name = l.text("forecast.sessions")
		}
		if e := x.Expected; e != nil {
			expected, between = s.about(e.Amount, m.Currency), l.text("range", "low", s.about(e.Low, m.Currency), "high", s.about(e.High, m.Currency))
		}
		g.Rows = append(g.Rows, []string{name, l.money(fixed(x.SoFar, m.Currency), m.Currency), expected, between})
	}
	return g
}

// offers tells which tariffs would have been cheaper; where none can be compared it says nothing.
func (s *sheet) offers(p *Page) outlookPart {
	l, o := s.l, p.Outlook
	out := outlookPart{Title: l.text("offers")}
	g := &grid{Title: out.Title, Left: 3, Head: []string{l.text("place"), l.text("offers.months"), l.text("offers.tariff"), l.text("total"), l.text("offers.less")}}
	for i := range o.Tariffs {
		c := &o.Tariffs[i]
		place := s.supplied(p, c.Agreement, orElse(c.Place, c.Point), c.PerUnit)
		if c.Compared > 0 && len(c.Cheaper) == 0 {
			out.Text = append(out.Text, l.text("named", "name", place, "text", l.count("offers.none", c.Compared)))
		}
		if len(c.Cheaper) == 0 {
			continue
		}
		money := func(m lamppost.Micro) string { return l.money(fixed(m, c.Currency), c.Currency) }
		g.Rows = append(g.Rows, []string{place, l.text("range", "low", l.month(o.Zone, c.From), "high", l.month(o.Zone, c.To-1)), l.text("offers.own"), money(c.Total), ""})
		for _, x := range c.Cheaper {
			g.Rows = append(g.Rows, []string{place, "", s.offer(&x.Terms), money(x.Total), money(x.Less)})
		}
	}
	if len(g.Rows) > 0 {
		out.Grid, out.Text = g, append([]string{l.text("offers.how")}, out.Text...)
	}
	return out
}

// supplied names what an agreement supplies: the place, and the device's name on a bill, or the unit where no bill has one.
func (s *sheet) supplied(p *Page, agreement, place, unit string) string {
	device := ""
	for i := range p.Invoices {
		p.Invoices[i].each(func(at *Place, d *Device, line *Line) {
			if line.Meter.Agreement == agreement && at.Name == place {
				device = d.Name
			}
		})
	}
	return place + ", " + orElse(device, s.unit(unit))
}

// offer names a tariff by what its seller calls it, which whoever wants it must say, and by its prices where these are all.
func (s *sheet) offer(t *tariff.Tariff) string {
	l := s.l
	name := l.text("offers.name", "name", t.ID)
	if t.Capacity != 0 || len(t.Levies)+len(t.Blocks) > 0 || t.Minimum != 0 || t.Maximum != 0 || t.Series != nil {
		return name
	}
	price := func(what string, m lamppost.Micro, unit string) string {
		return what + " " + l.text("price.per", "price", l.money(fixed(m, t.Currency), t.Currency), "unit", s.unit(unit))
	}
	var prices []string
	for _, b := range t.Bands {
		if text := price(b.Name, b.Price, t.PerUnit); !slices.Contains(prices, text) {
			prices = append(prices, text)
		}
	}
	if t.Standing != 0 {
		prices = append(prices, price(l.text("standing"), t.Standing, unitDay))
	}
	return l.text("named", "name", name, "text", strings.Join(prices, ", "))
}
