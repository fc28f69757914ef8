package render

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// Measures of a page of A4, in mm.
const (
	pdfMargin = 18.0
	pdfWidth  = 210 - 2*pdfMargin
	pdfBottom = 297 - 22.0
	pdfSize   = 9.5 // of the letters, in points
	pdfSmall  = 8.0
)

// writePDF writes a sheet twice: the first time counts the pages.
func writePDF(s *sheet) ([]byte, error) {
	pages := drawPDF(s, 0).PageNo()
	var b bytes.Buffer
	if err := drawPDF(s, pages).Output(&b); err != nil {
		return nil, fmt.Errorf("writing PDF: %w", err)
	}
	return b.Bytes(), nil
}

// A pen draws a sheet from top to bottom.
type pen struct {
	*fpdf.Fpdf
	s     *sheet
	pages int
	fresh bool // nothing but the page's head is on the page
}

func drawPDF(s *sheet, pages int) *fpdf.Fpdf {
	p := &pen{Fpdf: fpdf.New("P", "mm", "A4", ""), s: s, pages: pages}
	p.AddUTF8FontFromBytes("go", "", goregular.TTF)
	p.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	p.SetCatalogSort(true) // equal statements, equal bytes
	p.SetCreationDate(s.Issued.UTC())
	p.SetModificationDate(s.Issued.UTC())
	p.SetTitle(shown(s.Title), true)
	p.SetLang(s.Lang)
	p.SetProducer("lamppost", true)
	p.SetMargins(pdfMargin, pdfMargin, pdfMargin)
	p.SetCellMargin(0) // letters begin where rules do
	p.SetAutoPageBreak(false, 0)
	p.SetHeaderFunc(p.head)
	p.SetFooterFunc(p.foot)
	p.AddPage()
	if s.Cover != nil {
		p.title(s.Cover.Title, "")
		p.text(s.Cover.Intro)
		p.grid(s.Cover, []float64{32, 38, 38, 40, 26})
		p.ahead(s.Ahead)
	}
	for i := range s.Invoices {
		if i > 0 || s.Cover != nil {
			p.AddPage()
		}
		p.invoice(&s.Invoices[i])
	}
	if len(s.Invoices) == 0 {
		p.title(s.Title, "")
	}
	if g := s.Paid; g != nil {
		p.heading(g.Title)
		p.text(g.Intro)
		p.grid(g, []float64{26, 24, 46, 26, 26, 26})
	}
	if s.Cover == nil {
		p.ahead(s.Ahead)
	}
	p.proof(&s.Proof)
	return p.Fpdf
}

// head stands on every page but the first.
func (p *pen) head() {
	p.fresh = true
	if p.PageNo() == 1 {
		return
	}
	p.style("", pdfSmall, true)
	p.SetXY(pdfMargin, 9)
	p.CellFormat(pdfWidth, 4, shown(p.s.Title), "", 0, "L", false, 0, "")
	p.SetXY(pdfMargin, pdfMargin)
}

func (p *pen) foot() {
	p.style("", pdfSmall, true)
	p.SetXY(pdfMargin, 297-14)
	text := fill(p.s.PageOf, []string{"page", fmt.Sprint(p.PageNo()), "pages", fmt.Sprint(p.pages)})
	p.CellFormat(pdfWidth, 4, shown(text), "", 0, "R", false, 0, "")
}

func (p *pen) style(weight string, size float64, soft bool) {
	p.SetFont("go", weight, size)
	if soft {
		p.SetTextColor(85, 90, 100)
	} else {
		p.SetTextColor(0, 0, 0)
	}
}

// room begins a page where so many mm do not fit on this one.
func (p *pen) room(mm float64) {
	if p.GetY()+mm > pdfBottom && !p.fresh {
		p.AddPage()
	}
}

func (p *pen) gap(mm float64) { p.SetY(p.GetY() + mm) }

func (p *pen) rule(thick float64) {
	p.SetLineWidth(thick)
	p.SetDrawColor(60, 60, 60)
	if thick < 0.2 {
		p.SetDrawColor(190, 195, 200)
	}
	p.Line(pdfMargin, p.GetY(), pdfMargin+pdfWidth, p.GetY())
}

// title writes a heading with an amount at its right.
func (p *pen) title(text, amount string) {
	p.style("B", 16, false)
	for _, line := range p.wrap(text, pdfWidth-60) {
		p.SetX(pdfMargin)
		p.CellFormat(pdfWidth-60, 7.5, line, "", 0, "L", false, 0, "")
		p.CellFormat(60, 7.5, shown(amount), "", 1, "R", false, 0, "")
		amount = ""
	}
	p.gap(1)
	p.rule(0.5)
	p.gap(3)
	p.fresh = false
}

// heading writes a smaller one, and keeps it on the page of what follows.
func (p *pen) heading(text string) {
	p.gap(4)
	p.room(30)
	p.style("B", 11, false)
	p.lines(text, pdfWidth, 5.5)
	p.gap(0.5)
}

func (p *pen) text(text string) {
	p.style("", pdfSize, false)
	p.lines(text, pdfWidth, 4.6)
	p.gap(1.5)
}

// note writes a text that stands out.
func (p *pen) note(text string) {
	p.style("", pdfSize, false)
	high := float64(len(p.wrap(text, pdfWidth-6)))*4.6 + 3
	p.room(high)
	p.SetFillColor(255, 241, 214)
	p.Rect(pdfMargin, p.GetY(), pdfWidth, high, "F")
	p.gap(1.5)
	for _, line := range p.wrap(text, pdfWidth-6) {
		p.SetX(pdfMargin + 3)
		p.CellFormat(pdfWidth-6, 4.6, line, "", 1, "L", false, 0, "")
	}
	p.gap(3)
	p.fresh = false
}

// lines writes a text over as many lines as it needs.
func (p *pen) lines(text string, width, height float64) {
	for _, line := range p.wrap(text, width) {
		p.room(height)
		p.SetX(pdfMargin)
		p.CellFormat(width, height, line, "", 1, "L", false, 0, "")
		p.fresh = false
	}
}

func (p *pen) invoice(v *invoiceSheet) {
	p.title(v.Title, v.Total)
	p.facts(v.Facts)
	if v.Note != "" {
		p.note(v.Note)
	}
	for i := range v.Places {
		p.place(v, &v.Places[i])
	}
	p.totals(v.Totals)
	if v.Changes != nil {
		p.heading(v.Changes.Title)
		p.text(v.Changes.Intro)
		p.grid(v.Changes, []float64{42, 36, 24, 24, 24, 24})
	}
}

// facts writes pairs in two columns.
func (p *pen) facts(facts []fact) {
	const width = pdfWidth / 2
	for i := 0; i < len(facts); i += 2 {
		pair := facts[i:min(i+2, len(facts))]
		cells := make([]cell, len(pair))
		for j, f := range pair {
			cells[j] = cell{text: f.Name + "\n" + strings.Join(f.Lines, "\n"), width: width, facts: true}
		}
		p.row(cells, nil)
		p.gap(1.5)
	}
}

var lineWidths = []float64{62, 34, 44, 34}

func (p *pen) place(v *invoiceSheet, place *placeSheet) {
	p.heading(place.Name)
	head := headOf(v.Head[:], lineWidths, 1)
	p.row(head, nil)
	p.rule(0.1)
	for i := range place.Devices {
		d := &place.Devices[i]
		if d.Name != "" {
			p.keep(2+len(d.Meters), head)
			p.row([]cell{{text: d.Name, width: pdfWidth, bold: true}}, head)
		}
		for _, text := range d.Meters {
			p.row([]cell{{text: text, width: pdfWidth, soft: true, small: true}}, head)
		}
		for j, r := range d.Rows {
			if i == len(place.Devices)-1 && j == len(d.Rows)-1 {
				p.keep(4, head) // with the subtotal
			}
			item := r.Item
			if r.Mark != "" {
				item += " (" + r.Mark + ")"
			}
			p.row(cellsOf([]string{item, r.Quantity, r.Price, r.Amount}, lineWidths, 1), head)
			p.rule(0.1)
		}
	}
	p.row([]cell{{text: place.Subtotal.Name, width: pdfWidth - 34, bold: true}, {text: place.Subtotal.Amount, width: 34, right: true, bold: true}}, head)
}

// keep begins a page, with a table's head, where so many rows do not fit on this one.
func (p *pen) keep(rows int, head []cell) {
	if p.room(float64(rows) * (pdfLine + 1.2)); p.fresh {
		p.row(head, nil)
		p.rule(0.1)
	}
}

func (p *pen) totals(rows []amountRow) {
	p.gap(3)
	p.room(float64(len(rows))*6 + 4) // they stay together
	for _, r := range rows {
		if r.Grand {
			p.rule(0.5)
		}
		p.row([]cell{{text: r.Name, width: pdfWidth - 40, right: true, bold: r.Grand}, {text: r.Amount, width: 40, right: true, bold: r.Grand}}, nil)
	}
}

func (p *pen) proof(x *proofSheet) {
	p.gap(2)
	p.heading(x.Title)
	for _, text := range x.Text {
		p.text(text)
	}
	p.facts(x.Facts)
	for _, text := range x.Notes {
		p.text(text)
	}
	p.heading(x.Meters.Title)
	p.grid(&x.Meters, []float64{28, 14, 28, 26, 28, 26, 24})
}

// grid writes a table, its head again on each page.
func (p *pen) grid(g *grid, widths []float64) {
	head := headOf(g.Head, widths, g.Left)
	p.row(head, nil)
	p.rule(0.1)
	for _, r := range g.Rows {
		cells := cellsOf(r, widths, g.Left)
		for i := range cells {
			cells[i].small = true
		}
		p.row(cells, head)
		p.rule(0.1)
	}
}

// A cell is a text in a row.
type cell struct {
	text                     string
	width                    float64
	right, bold, soft, small bool
	facts                    bool // the first line is the name of the others
}

func cellsOf(texts []string, widths []float64, left int) []cell {
	cells := make([]cell, len(texts))
	for i, text := range texts {
		cells[i] = cell{text: text, width: widths[i], right: i >= left}
	}
	return cells
}

func headOf(texts []string, widths []float64, left int) []cell {
	cells := cellsOf(texts, widths, left)
	for i := range cells {
		cells[i].soft, cells[i].small = true, true
	}
	return cells
}

const pdfLine = 4.4 // the height of a row's line

// row writes cells side by side, as high as the highest; one that does not fit begins a page with the head.
func (p *pen) row(cells, head []cell) {
	wrapped := make([][]string, len(cells))
	high := 1
	for i, c := range cells {
		p.cellStyle(&c, 1)
		wrapped[i] = p.wrap(c.text, c.width-2)
		high = max(high, len(wrapped[i]))
	}
	for from := 0; from < high; { // a cell may be longer than a page
		if p.room(pdfLine + 1.2); !p.fits(high-from) && !p.fresh {
			p.AddPage()
		}
		if p.fresh && head != nil {
			p.row(head, nil)
			p.rule(0.1)
		}
		to := min(high, from+max(1, int((pdfBottom-p.GetY()-1.2)/pdfLine)))
		p.part(cells, wrapped, from, to)
		from = to
	}
}

func (p *pen) fits(lines int) bool { return p.GetY()+float64(lines)*pdfLine+1.2 <= pdfBottom }

// part writes some lines of a row.
func (p *pen) part(cells []cell, wrapped [][]string, from, to int) {
	y, x := p.GetY()+0.6, pdfMargin
	for i, c := range cells {
		for n := from; n < min(to, len(wrapped[i])); n++ {
			p.cellStyle(&c, n)
			align := "L"
			if c.right {
				align = "R"
			}
			p.SetXY(x, y+float64(n-from)*pdfLine)
			p.CellFormat(c.width, pdfLine, wrapped[i][n], "", 0, align, false, 0, "")
		}
		x += c.width
	}
	p.SetXY(pdfMargin, y+float64(to-from)*pdfLine+0.6)
	p.fresh = false
}

func (p *pen) cellStyle(c *cell, line int) {
	size, weight := pdfSize, ""
	if c.small || c.facts && line == 0 {
		size = pdfSmall
	}
	if c.bold {
		weight = "B"
	}
	p.style(weight, size, c.soft || c.facts && line == 0)
}

// wrap breaks a text at spaces, and inside words that are wider than the line.
func (p *pen) wrap(text string, width float64) (lines []string) {
	for _, paragraph := range strings.Split(text, "\n") {
		line := ""
		for _, word := range strings.Split(shown(paragraph), " ") {
			if line != "" && p.GetStringWidth(line+" "+word) <= width {
				line += " " + word
				continue
			}
			if line != "" {
				lines = append(lines, line)
			}
			for line = word; p.GetStringWidth(line) > width; {
				n := p.fitting(line, width)
				lines, line = append(lines, line[:n]), line[n:]
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// fitting returns how many bytes of a word are no wider than a line, at least those of one character.
func (p *pen) fitting(word string, width float64) int {
	n := len(word)
	for i := range word {
		if i > 0 && p.GetStringWidth(word[:i]) > width {
			break
		}
		if i > 0 {
			n = i
		}
	}
	return n
}

// glyphs is the font whose characters there are.
var glyphs = sync.OnceValue(func() *sfnt.Font {
	f, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		panic(fmt.Sprintf("render: the font: %v", err)) // it was linked by the build, and a test reads it
	}
	return f
})

// shown replaces what the font cannot show: Latin, Greek and Cyrillic letters it can.
func shown(s string) string {
	var b sfnt.Buffer
	return strings.Map(func(r rune) rune {
		if r == '\u202f' {
			return '\u00a0'
		}
		if i, err := glyphs().GlyphIndex(&b, r); err != nil || i == 0 {
			return '□'
		}
		return r
	}, s)
}
