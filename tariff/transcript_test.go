package tariff_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/transcript"
	"github.com/lamppost/lamppost/tariff"
)

// TestTranscripts runs testdata/*.txt: what a seller, the ledger and an auditor see of tariffs, edges, lines and
// invoices. A block is a command, its lines, "----" and the answer; a file's blocks share their zones and tariffs.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcript.Run(t, func(*testing.T) func(string) string {
		d := desk{zones: map[string]tariff.Zone{}, tariffs: map[string]tariff.Tariff{}}
		return d.answer
	})
}

// A desk is the state of one transcript.
type desk struct {
	zones   map[string]tariff.Zone
	tariffs map[string]tariff.Tariff
}

func (d *desk) answer(question string) (said string) {
	defer func() {
		if p := recover(); p != nil {
			said = fmt.Sprintf("PANIC %v", p)
		}
	}()
	var lines [][]string
	for _, line := range strings.Split(question, "\n") {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.Fields(line))
		}
	}
	verb, args, lines := lines[0][0], lines[0][1:], lines[1:]
	switch verb {
	case "zone":
		return d.zone(args[0], lines)
	case "tariff":
		return d.tariff(args[0], lines)
	case "edges":
		return d.edges(args)
	case "midnights":
		return fmt.Sprint(d.zones[args[0]].Midnights(at(args[1]), at(args[2])))
	case "fill":
		return d.fill(args, lines)
	case "price":
		p := d.tariffs[args[0]]
		return showLines(tariff.Price(&p, edgesOf(lines)))
	case "session":
		p := d.tariffs[args[0]]
		limit := lamppost.Micro(1_000_000_000)
		if len(args) > 1 {
			limit = micro(args[1])
		}
		return showLines(tariff.PriceSession(&p, edgesOf(lines), limit))
	case "meter":
		return d.meter(args, lines)
	case "bill":
		return d.bill(args, lines)
	}
	return "unknown command " + verb
}

func (d *desk) zone(name string, lines [][]string) string {
	var transitions []tariff.Transition
	for _, l := range lines {
		offset, err := strconv.ParseInt(l[1], 10, 16)
		must(err)
		transitions = append(transitions, tariff.Transition{AtMS: at(l[0]), OffsetMin: int16(offset)})
	}
	z, err := tariff.ZoneFromTransitions(name, transitions)
	if err != nil {
		return "error: " + err.Error()
	}
	d.zones[name] = z
	return "ok"
}

// tariff starts from terms that lack only prices.
func (d *desk) tariff(name string, lines [][]string) string {
	p := tariff.Tariff{
		ID: name, Version: 1, Seller: "acme", Currency: "EUR", From: at("2026-01-01T00:00Z"), PerUnit: "kWh", RegisterUnit: "Wh",
		Scale: 3, Zone: d.zones["berlin"], Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900},
	}
	for _, l := range lines {
		d.term(&p, l[0], l[1:])
	}
	if err := p.Validate(); err != nil {
		return "error: " + err.Error()
	}
	d.tariffs[name] = p
	return "ok"
}

func (d *desk) term(p *tariff.Tariff, word string, args []string) {
	switch word {
	case "id":
		p.ID = args[0]
	case "version":
		p.Version = uint32(number(args[0]))
	case "seller":
		p.Seller = lamppost.PartyID(args[0])
	case "currency":
		p.Currency = args[0]
	case "from":
		p.From = at(args[0])
	case "to":
		p.To = at(args[0])
	case "unit":
		p.PerUnit, p.RegisterUnit, p.Scale = args[0], args[1], uint8(number(args[2]))
	case "zone":
		p.Zone = d.zones[args[0]]
	case "band":
		p.Bands = append(p.Bands, band(args))
	case "series":
		p.Series = &tariff.Series{From: at(args[0]), StepMS: lamppost.TimeMS(number(args[1])) * 60_000}
		for _, price := range args[2:] {
			p.Series.Prices = append(p.Series.Prices, micro(price))
		}
	case "standing":
		p.Standing = micro(args[0])
	case "block":
		to, err := lamppost.ParseDecimal(args[0])
		must(err)
		p.Blocks = append(p.Blocks, tariff.Block{To: to, Price: micro(args[1])})
	case "blocks":
		p.BlockRule = args[0]
	case "levy":
		p.Levies = append(p.Levies, levy(args))
	case "capacity":
		p.Capacity = micro(args[0])
	case "minimum":
		p.Minimum = micro(args[0])
	case "maximum":
		p.Maximum = micro(args[0])
	case "session": // start, minute, idle, grace, most idle minutes
		p.Session = &tariff.SessionTerms{Start: micro(args[0]), Minute: micro(args[1]), Idle: micro(args[2]),
			Grace: uint32(number(args[3])), MaxMin: uint32(number(args[4]))}
	case "rounding":
		p.Rounding = args[0]
	case "tax":
		p.Tax = tariff.Tax{Category: args[0], BasisPoints: uint16(number(args[1]))}
	default:
		panic("unknown term " + word)
	}
}

// levy reads "tax unit|day 0.02 FROM [TO]".
func levy(args []string) tariff.Levy {
	l := tariff.Levy{Name: args[0], From: at(args[3])}
	if args[1] == "day" {
		l.Day = micro(args[2])
	} else {
		l.Price = micro(args[2])
	}
	if len(args) > 4 {
		l.To = at(args[4])
	}
	return l
}

// band reads "day 0b0011111 06:00-22:00 0.30"; days 0 is every day.
func band(args []string) tariff.Band {
	from, to, _ := strings.Cut(args[2], "-")
	return tariff.Band{
		Name: args[0], Days: uint8(number(args[1])), FromMin: minute(from), ToMin: minute(to), Price: micro(args[3]),
	}
}

func minute(s string) uint16 {
	hour, minute, _ := strings.Cut(s, ":")
	h, err := strconv.Atoi(hour)
	must(err)
	m, err := strconv.Atoi(minute)
	must(err)
	return uint16(60*h + m)
}

// edges shows each instant with the local clock, as the buyer would read the tariff.
func (d *desk) edges(args []string) string {
	p := d.tariffs[args[0]]
	var out strings.Builder
	for _, e := range p.Edges(at(args[1]), at(args[2])) {
		c := p.Zone.Local(e)
		fmt.Fprintf(&out, "%s  local %02d:%02d %s\n", iso(e), c.Minute/60, c.Minute%60, time.Weekday((c.Weekday+1)%7))
	}
	if out.Len() == 0 {
		return "none"
	}
	return out.String()
}

func (d *desk) fill(args []string, lines [][]string) string {
	var want []lamppost.TimeMS
	for _, a := range args {
		want = append(want, at(a))
	}
	edges, err := tariff.FillEdges(want, edgesOf(lines), nil)
	return showEdges(edges, err)
}

// meter prices a period from readings as they came.
func (d *desk) meter(args []string, lines [][]string) string {
	p := d.tariffs[args[0]]
	edges, err := tariff.FillEdges(p.Edges(at(args[1]), at(args[2])), edgesOf(lines), nil)
	if err != nil {
		return "error: " + err.Error()
	}
	return showLines(tariff.Price(&p, edges))
}

// bill reads an order "bill 2026-1 acme bob EUR FROM TO" and supplies "supply AGREEMENT TARIFF DEVICE TIME=VALUE …",
// each with terms of its agreement in between: "agreement ID key value …".
func (d *desk) bill(args []string, lines [][]string) string {
	order := tariff.InvoiceOrder{
		Number: args[0], IssuedMS: at("2026-12-01T00:00Z"),
		InvoiceBody: lamppost.InvoiceBody{
			Seller: lamppost.PartyID(args[1]), Buyer: lamppost.PartyID(args[2]), Currency: args[3], From: at(args[4]), To: at(args[5]),
		},
	}
	agreements := map[string]lamppost.AgreementBody{}
	var supplies []tariff.Supply
	for _, l := range lines {
		switch l[0] {
		case "agreement":
			a := lamppost.AgreementBody{ID: l[1], Seller: "acme", Buyer: lamppost.PartyID(l[2]), Point: "p-" + l[1], Tariff: l[3], From: at(l[4])}
			if len(l) > 5 {
				a.To = at(l[5])
			}
			agreements[l[1]] = a
		case "supply":
			s := tariff.Supply{Agreement: agreements[l[1]], Tariff: d.tariffs[l[2]], Device: lamppost.DeviceID(l[3]), Register: "energy", Unit: "Wh"}
			for _, e := range l[4:] {
				s.Edges = append(s.Edges, edgesOf([][]string{strings.Split(e, "=")})...)
			}
			supplies = append(supplies, s)
		}
	}
	return showInvoice(tariff.Bill(order, supplies))
}

// edgesOf reads "TIME VALUE [estimated|substituted|faulty]"; sources count up from 1.
func edgesOf(lines [][]string) []tariff.Edge {
	var edges []tariff.Edge
	for i, l := range lines {
		value, err := lamppost.ParseDecimal(l[1])
		must(err)
		e := tariff.Edge{Time: at(l[0]), Value: value, Source: tariff.Source{Height: lamppost.Height(i + 1)}}
		for _, word := range l[2:] {
			for q := lamppost.Measured; q <= lamppost.Faulty; q++ {
				if q.String() == word {
					e.Quality = q
				}
			}
		}
		edges = append(edges, e)
	}
	return edges
}

func showEdges(edges []tariff.Edge, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out strings.Builder
	for _, e := range edges {
		fmt.Fprintf(&out, "%s %s %s", iso(e.Time), e.Value, e.Quality)
		if e.Estimated {
			fmt.Fprintf(&out, " between blocks %d and %d", e.Source.Height, e.Next.Height)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func showLines(lines []tariff.Line, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out strings.Builder
	for _, l := range lines {
		quantity := l.Quantity.String()
		switch {
		case l.Band == tariff.LineCapacity:
			quantity += fmt.Sprint(" × ", l.Days, " days")
		case l.Band == tariff.LineStanding || l.Days > 0:
			quantity = fmt.Sprint(l.Days, " days")
		case l.Minutes > 0:
			quantity = fmt.Sprint(l.Minutes, " minutes")
		case l.Block > 0:
			quantity = fmt.Sprint("block ", l.Block, ": ", quantity)
		}
		fmt.Fprintf(&out, "%d %s %s × %s = %s", l.N, l.Band, quantity, l.Price, l.Amount)
		if l.Estimated {
			out.WriteString(" estimated")
		}
		out.WriteString("\n")
	}
	return out.String()
}

func showInvoice(inv tariff.Invoice, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out strings.Builder
	for _, s := range inv.Supplies {
		fmt.Fprintf(&out, "%s %s %s by %s v%d, %s to %s\n", s.Agreement, s.Point, s.Device, s.Tariff, s.Version, iso(s.From), iso(s.To))
		out.WriteString(showLines(s.Lines, nil))
	}
	fmt.Fprintf(&out, "net %s\n", inv.Net)
	for _, x := range inv.Tax {
		fmt.Fprintf(&out, "tax %s %d bp of %s = %s\n", x.Category, x.BasisPoints, x.Base, x.Amount)
	}
	fmt.Fprintf(&out, "total %s %s\n", inv.Total, inv.Currency)
	return out.String()
}

const layout = "2006-01-02T15:04Z"

func at(s string) lamppost.TimeMS {
	t, err := time.Parse(layout, s)
	must(err)
	return lamppost.TimeMS(t.UnixMilli())
}

func iso(at lamppost.TimeMS) string { return time.UnixMilli(int64(at)).UTC().Format(layout) }

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	must(err)
	return n
}

func micro(s string) lamppost.Micro {
	m, err := lamppost.ParseMicro(s)
	must(err)
	return m
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
