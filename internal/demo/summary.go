package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A summary is what the demo says at its end. Parts that did not happen are left out.
type summary struct {
	from, to    string // on the town's clock
	hours       int    // lived
	wall        time.Duration
	interrupted bool
	days        int // billed

	reckoning
	triaged
	held     int // quarter hours in which a guard held a lamp up
	invoices int
	billed   lamppost.Micro

	lamps []lampResult
	worth *worth
	bill  *bill
	home  takenHome
}

// write tells everything, for people.
func (s *summary) write(w io.Writer) {
	s.writeCounts(w)
	if s.lamps != nil {
		writeLamps(w, s.lamps)
	}
	if s.bill != nil {
		s.bill.write(w)
	}
	s.home.write(w)
	if s.worth != nil {
		s.worth.write(w)
	}
}

func (s *summary) writeCounts(w io.Writer) {
	title := "The week is over"
	if s.interrupted {
		title = "Ended early"
	}
	fmt.Fprintf(w, "\n%s: %s to %s, %d hours in %s.\n\n", title, s.from, s.to, s.hours, short(s.wall))
	s.reckoning.write(w)
	s.triaged.write(w)
	fmt.Fprintf(w, "Energy    %s kWh through 52 meters.\n", s.kWh)
	fmt.Fprintf(w, "Guard     %s times a lamp wanted to go below the safe %d %% and was kept there.\n", grouped(int64(s.held)), minLevel)
	if s.invoices == 0 {
		fmt.Fprint(w, "Money     nothing billed: the first day was not over.\n")
		return
	}
	fmt.Fprintf(w, "Money     %s %s billed in %d invoices for %s, taxes included.\n", s.billed, currency, s.invoices, plural(s.days, "day"))
}

func (k *reckoning) write(w io.Writer) {
	fmt.Fprintf(w, "Readings  %s taken by the devices, %s committed in the ledger", grouped(k.taken.readings), grouped(k.committed.readings))
	if k.equal() {
		fmt.Fprintf(w, ": equal, none lost, none counted twice.\n          They came in %s signed reports, each acknowledged.\n", grouped(k.taken.reports))
	} else {
		fmt.Fprint(w, ": NOT EQUAL.\n")
	}
}

// writeLamps writes the lamps in four columns.
func writeLamps(w io.Writer, results []lampResult) {
	fmt.Fprintf(w, "\nProfit or loss of each lamp in %s, light sold less electricity bought, before tax:\n", currency)
	const columns = 4
	rows := (len(results) + columns - 1) / columns
	for row := range rows {
		for i := row; i < len(results); i += rows {
			end := "  "
			if i+rows >= len(results) {
				end = "\n"
			}
			fmt.Fprintf(w, "  %s %6s%s", results[i].id, signed(results[i].sold-results[i].bought), end)
		}
	}
	var sold, bought lamppost.Micro
	losing := 0
	for _, l := range results {
		sold, bought = sold+l.sold, bought+l.bought
		if l.sold < l.bought {
			losing++
		}
	}
	fmt.Fprintf(w, "Together: %s sold, %s bought, %s; %d of %d lamps made a loss.\n", sold, bought, signed(sold-bought), losing, len(results))
}

func signed(m lamppost.Micro) string {
	if m > 0 {
		return "+" + m.String()
	}
	return m.String()
}

// A bill is all invoices of one buyer together.
type bill struct {
	name, place string
	kind, state string // of its invoices, and of the sum
	lines       []billLine
	net, total  lamppost.Micro
	taxes       []tariff.TaxSum
	numbers     []string
	exchanges   []string // in words
}

// A billLine adds up the lines of one band.
type billLine struct {
	band     string
	block    uint32
	quantity lamppost.Decimal // register units
	days     uint32
	minutes  uint32
	kind     tariff.LineKind
	price    lamppost.Micro
	amount   lamppost.Micro
	scale    uint8
	unit     string // of the price
}

// newBill adds up invoices; nil if there are none.
func newBill(invoices []tariff.Invoice, name string, zone *tariff.Zone) *bill {
	if len(invoices) == 0 {
		return nil
	}
	b := &bill{name: name, place: invoices[0].Supplies[0].Place, kind: "daily invoice", state: "paid"}
	for i := range invoices {
		inv := &invoices[i]
		b.numbers = append(b.numbers, inv.Number)
		b.net, b.total = b.net+inv.Net, b.total+inv.Total
		for _, t := range inv.Tax {
			b.addTax(t)
		}
		for j := range inv.Supplies {
			s := &inv.Supplies[j]
			for _, l := range s.Lines {
				b.add(s, l)
			}
			if j > 0 && s.Mount != 0 && s.Mount == inv.Supplies[j-1].Mount+1 && s.Agreement == inv.Supplies[j-1].Agreement {
				b.exchanges = append(b.exchanges, exchanged(&inv.Supplies[j-1], s, zone))
			}
		}
	}
	return b
}

func (b *bill) addTax(t tariff.TaxSum) {
	for i := range b.taxes {
		if sum := &b.taxes[i]; sum.Category == t.Category && sum.BasisPoints == t.BasisPoints {
			sum.Base, sum.Amount = sum.Base+t.Base, sum.Amount+t.Amount
			return
		}
	}
	b.taxes = append(b.taxes, t)
}

// exchanged says what two meters showed when one came in the place of the other.
func exchanged(old, next *tariff.InvoiceSupply, zone *tariff.Zone) string {
	shown := func(s *tariff.InvoiceSupply, e tariff.Edge) string {
		return fmt.Sprintf("%s %s", perUnit(e.Value, s.Scale), s.PerUnit)
	}
	return fmt.Sprintf("%s went with %s on %s, %s goes on from %s", old.Device, shown(old, old.Edges[len(old.Edges)-1]),
		local(zone, next.From, "Mon 2 Jan 15:04"), next.Device, shown(next, next.Edges[0]))
}

// perUnit is a register's value in the unit of its price.
func perUnit(d lamppost.Decimal, scale uint8) lamppost.Decimal {
	d.Exponent -= int8(scale)
	return d
}

func (b *bill) add(s *tariff.InvoiceSupply, l tariff.Line) {
	for i := range b.lines {
		sum := &b.lines[i]
		if sum.band == l.Band && sum.block == l.Block && sum.price == l.Price {
			sum.quantity, _ = sum.quantity.Add(l.Quantity) // a week's Wh fit
			sum.days += l.Days
			sum.minutes += l.Minutes
			sum.amount += l.Amount
			return
		}
	}
	b.lines = append(b.lines, billLine{l.Band, l.Block, l.Quantity, l.Days, l.Minutes, l.Kind(), l.Price, l.Amount, s.Scale, s.PerUnit})
}

func (l *billLine) words() (band, quantity, price string) {
	switch l.kind {
	case tariff.ByDay:
		return "standing charge", plural(int(l.days), "day"), l.price.String() + " per day"
	case tariff.ByMinute:
		return l.band, plural(int(l.minutes), "minute"), l.price.String() + " per minute"
	case tariff.Once:
		return l.band, "", l.price.String() + " each"
	}
	band = l.band
	if l.block != 0 {
		band = fmt.Sprintf("%s, block %d", band, l.block)
	}
	return band, perUnit(l.quantity, l.scale).String() + " " + l.unit, l.price.String() + " per " + l.unit
}

func (b *bill) write(w io.Writer) {
	fmt.Fprintf(w, "\nThe bill of %s, %s, in %s:\n", b.name, b.place, currency)
	const row = "  %-16s %12s  %-20s %8s\n"
	for i := range b.lines {
		band, quantity, price := b.lines[i].words()
		fmt.Fprintf(w, row, band, quantity, "at "+price, b.lines[i].amount)
	}
	fmt.Fprintf(w, row, "net", "", "", b.net)
	for _, t := range b.taxes {
		of := ""
		if len(b.taxes) > 1 {
			of = "of " + t.Base.String()
		}
		fmt.Fprintf(w, row, fmt.Sprintf("%d %% VAT", t.BasisPoints/100), "", of, t.Amount)
	}
	fmt.Fprintf(w, row, "total", "", "", b.total)
	for _, x := range b.exchanges {
		fmt.Fprintf(w, "  %s.\n", x)
	}
	numbers := b.numbers[0]
	if n := len(b.numbers); n > 1 {
		numbers += " to " + b.numbers[n-1]
	}
	fmt.Fprintf(w, "  from %s, %s; %s.\n", plural(len(b.numbers), b.kind), numbers, b.state)
}

// write tells how the statement can be checked again, if one was taken.
func (h *takenHome) write(w io.Writer) {
	if h.finding == nil {
		return
	}
	fmt.Fprintf(w, "\nWritten and verified: %s\n", h.statement)
	fmt.Fprintf(w, "  %s with %s, computed again from %s signed values\n", plural(h.finding.Invoices, "invoice"),
		plural(h.finding.Lines, "line"), grouped(int64(h.finding.Readings)))
	statement, pin, changed := shellWord(h.statement), shellWord(h.pin), shellWord(h.changed)
	fmt.Fprintf(w, "\nCheck it yourself, offline:\n  %s verify --pin %s %s\n", h.command, pin, statement)
	fmt.Fprintf(w, "\nChange one digit, and see it fail:\n  sed '%s' %s > %s; %s verify --pin %s %s\n", h.edit, statement, changed,
		h.command, pin, changed)
}

// shellWord quotes a path for a POSIX shell where it needs that.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
