package render

// ahead writes what looks ahead between two dashed lines, so that nobody takes it for a part of the bill.
func (p *pen) ahead(x *outlookSheet) {
	if x == nil {
		return
	}
	p.gap(6)
	p.room(50)
	p.dashes()
	p.style("B", 13, false)
	p.gap(2)
	p.lines(x.Title, pdfWidth, 6)
	p.gap(0.5)
	p.style("", pdfSmall, true)
	p.lines(x.Intro, pdfWidth, 4)
	for i := range x.Parts {
		p.aheadPart(&x.Parts[i])
	}
	p.gap(3)
	p.dashes()
}

func (p *pen) aheadPart(x *outlookPart) {
	p.heading(x.Title)
	if x.Strong != "" {
		p.style("B", pdfSize, false)
		p.lines(x.Strong, pdfWidth, 4.6)
		p.gap(1)
	}
	if x.Gauge != nil {
		p.gauge(x.Gauge)
	}
	for _, text := range x.Text {
		p.text(text)
	}
	if x.Grid == nil {
		return
	}
	widths := []float64{62, 34, 34, 44}
	if len(x.Grid.Head) == 5 {
		widths = []float64{38, 36, 54, 24, 22}
	}
	p.grid(x.Grid, widths)
}

// gauge draws a bar of what is used, with a mark where the time stands.
func (p *pen) gauge(g *gauge) {
	const width, height = 90.0, 2.4
	p.room(6)
	y := p.GetY() + 1
	p.SetLineWidth(0.2)
	p.SetDrawColor(85, 90, 100)
	p.SetFillColor(85, 90, 100)
	if g.Over {
		p.SetFillColor(122, 74, 0)
	}
	p.Rect(pdfMargin, y, width*float64(g.Used)/100, height, "F")
	p.Rect(pdfMargin, y, width, height, "D")
	p.SetFillColor(0, 0, 0)
	p.Rect(pdfMargin+width*float64(g.Time)/100, y-1, 0.5, height+2, "F")
	p.SetY(y + height + 2)
}

func (p *pen) dashes() {
	p.SetLineWidth(0.3)
	p.SetDrawColor(110, 115, 125)
	p.SetDashPattern([]float64{1.5, 1.2}, 0)
	p.Line(pdfMargin, p.GetY(), pdfMargin+pdfWidth, p.GetY())
	p.SetDashPattern(nil, 0)
}
