package advise

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
)

// Outside are the ledgers of others, each with what speaks against it for this fleet, the cheapest first and those that are out last.
func (c *Catalogue) Outside(f *Fleet, d Demand) []Option {
	g := f.gate()
	var all []Option
	for i := range c.Ledgers {
		l := &c.Ledgers[i]
		m := l.messages(f)
		o := Option{Name: l.Name, Kind: "outside", Year: c.outsideYear(l, f, m)}
		o.Out = append(l.trustOut(f, g), l.figuresOut(f, m)...)
		o.Notes = c.notes(l, f, m)
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b Option) int {
		return cmp.Or(cmp.Compare(min(len(a.Out), 1), min(len(b.Out), 1)), cmp.Compare(a.Year.EUR.Mid, b.Year.EUR.Mid))
	})
	return all
}

// A stream is what a ledger gets of a fleet.
type stream struct {
	perYear float64
	busiest float64 // a second
}

// reportBytes and readingBytes are what a report takes: docs/consensus.md has device_bytes of 162 with one reading, and 24 for each of ten.
const (
	reportBytes  = 153
	readingBytes = 9
)

// messages are what devices would send: each report on its own, with as many readings as may wait for each other, in as many
// messages as it needs.
func (l *Ledger) messages(f *Fleet) (s stream) {
	for _, c := range f.Classes {
		k := min(max(math.Floor(c.ReadingsADay*c.LateMinutes/(24*60)), 1), lamppost.MaxReadings)
		aDay := float64(c.Devices) * c.ReadingsADay / k * math.Ceil((reportBytes+readingBytes*k)/l.Message.Low)
		s.perYear += daysAYear * aDay
		s.busiest += aDay / (24 * 3600) * c.Peak
	}
	return s
}

// trustOut says which needs it breaks by who runs and reads it.
func (l *Ledger) trustOut(f *Fleet, g *gate) (out []string) {
	n := &f.Needs
	members := l.Writers == "members"
	run := f.running()
	switch {
	case members && n.Strangers:
		out = append(out, "needs.strangers: only its members' devices may write")
	case members && (n.NobodyAlone || g.agree || n.Survive == "organisation" && !f.allMutual()) && run < 4:
		out = append(out, fmt.Sprintf("those that run orderers do not trust each other, or none may decide alone: that takes 4 organisations that run some, organisations has %d", run))
	case members && n.Survive == "organisation" && run < 3:
		out = append(out, fmt.Sprintf("needs.survive is organisation, and that takes 3 organisations that run orderers: organisations has %d", run))
	case members && run == 0:
		out = append(out, "organisations: none runs a machine, and its members do")
	}
	if !l.Outsiders && n.Check == "anyone" {
		out = append(out, "needs.check is anyone: only its members can check it")
	}
	if l.Final == "sequencer" && n.NobodyAlone {
		out = append(out, "needs.nobody_alone: a single party orders, and can hold back what it likes for a while")
	}
	if n.PersonalData && !l.Erase {
		out = append(out, "needs.personal_data: what is written there is everybody's, and is never erased")
	}
	if !members && len(n.StayIn) > 0 {
		out = append(out, "needs.stay_in: its nodes stand anywhere")
	}
	for _, o := range f.Organisations {
		if members && o.Runs && o.Place != "" && len(n.StayIn) > 0 && !slices.Contains(n.StayIn, o.Place) {
			out = append(out, fmt.Sprintf("needs.stay_in: the machine of %s stands in %s", o.Name, o.Place))
		}
	}
	return out
}

// running is how many organisations can run a machine of their own.
func (f *Fleet) running() (n int) {
	for _, o := range f.Organisations {
		if o.Runs {
			n++
		}
	}
	return n
}

// allMutual says that all that can run a machine take each other's books unchecked.
func (f *Fleet) allMutual() bool {
	for _, a := range f.Organisations {
		for _, b := range f.Organisations {
			if a.Runs && b.Runs && !f.mutual(a.Name, b.Name) {
				return false
			}
		}
	}
	return true
}

// figuresOut says which needs it breaks by what it can bear. Of what is not known exactly the middle counts for throughput, which others use
// too, and the bad end for finality.
func (l *Ledger) figuresOut(f *Fleet, s stream) (out []string) {
	if s.busiest > l.PerS.Mid {
		out = append(out, fmt.Sprintf("it bears some %s messages a second, the busiest hour has %s", plain(l.PerS.Mid), plain(s.busiest)))
	}
	if ms := 1000 * l.Finality.High; ms > f.Needs.LatencyMS {
		out = append(out, fmt.Sprintf("a message may take %s ms until it is final, needs.latency_ms is %s", plain(ms), plain(f.Needs.LatencyMS)))
	}
	return out
}

// outsideYear is fees, or machines of one's own, and a machine that sends, reads back and bills.
func (c *Catalogue) outsideYear(l *Ledger, f *Fleet, s stream) *Year {
	y := new(Year)
	if l.Fee != nil {
		part := Part{What: fmt.Sprintf("fees of %.3g messages", s.perYear), EUR: c.usd(l.Fee).scale(s.perYear), Source: c.cite(l.Fee) + "; " + c.cite(&c.Prices.EURPerUSD)}
		c.addEnergy(&part, l, s, Range{1, 1, 1})
		y.add(part)
	} else {
		c.addPeers(y, l, f, s)
	}
	relay := c.machines(1)
	relay.What = "a rented machine that sends, reads back and bills"
	y.add(relay)
	return y
}

// addEnergy adds what messages take on so many machines, where somebody measured it.
func (c *Catalogue) addEnergy(p *Part, l *Ledger, s stream, machines Range) {
	if l.Energy != nil {
		p.KWh = p.KWh.plus(l.Energy.Range().times(machines).scale(s.perYear / joulesInKWh))
		p.Source += "; energy: " + c.cite(l.Energy)
	}
}

// addPeers adds the machines that organisations run themselves, and what peers keep.
func (c *Catalogue) addPeers(y *Year, l *Ledger, f *Fleet, s stream) {
	peers := l.Peers.Range().scale(float64(max(f.running(), 1)))
	part := Part{What: fmt.Sprintf("%.0f peers, rented", peers.Mid), EUR: c.Prices.Server.Range().times(peers), Fixed: true,
		KWh: c.Prices.MachineIdle.Range().times(peers).scale(2 * hoursAYear / 1000), Source: c.cite(&c.Prices.Server) + "; " + c.cite(l.Peers)}
	c.addEnergy(&part, l, s, peers)
	y.add(part)
	one := c.machines(1)
	y.add(Part{What: fmt.Sprintf("%.0f orderers, rented", l.Orderers.Mid), EUR: one.EUR.times(l.Orderers.Range()), KWh: one.KWh.times(l.Orderers.Range()), Fixed: true,
		Source: one.Source + "; " + c.cite(l.Orderers)})
	y.add(c.keeping(l.Stored.Range().times(peers).scale(s.perYear), f.Needs.RetentionYears, l.Stored))
}

// notes are what one should know of it, with sources.
func (c *Catalogue) notes(l *Ledger, f *Fleet, s stream) []string {
	notes := []string{"run by: " + l.Runs, "it orders messages; tariffs, bills, receipts for devices and what customers check are to be built", c.keyNote(l, f)}
	for _, n := range l.Notes {
		notes = append(notes, fmt.Sprintf("%s (%s)", n.Text, c.sources(n.Source)))
	}
	if l.Token != "" {
		notes = append(notes, fmt.Sprintf("fees are paid in %s, whose price in EUR changes by the day", l.Token),
			fmt.Sprintf("a root of all readings each hour in place of every report is %.0f messages and %.2f EUR a year: it then witnesses the books of whoever keeps them", hoursAYear, c.usd(l.Fee).Mid*hoursAYear))
	}
	if s.busiest > l.PerS.Low {
		notes = append(notes, fmt.Sprintf("the busiest hour has %.0f messages a second, near what it bears", s.busiest))
	}
	notes = append(notes, "throughput: "+c.cite(&l.PerS), "finality: "+c.cite(&l.Finality))
	if l.Energy == nil {
		notes = append(notes, "energy: nobody measured it, as far as this catalogue knows")
	}
	return notes
}

// keyNote says what devices need to send for themselves, and which cannot.
func (c *Catalogue) keyNote(l *Ledger, f *Fleet) string {
	with := slices.Clone(l.Keys.Suites)
	if l.Keys.Others != "" {
		with = append(with, l.Keys.Others)
	}
	note := fmt.Sprintf("accounts sign with %s (%s)", strings.Join(with, ", "), c.vouched(l.Keys.Source, l.Keys.Confirmed))
	var without []string
	for _, class := range f.Classes {
		if !slices.ContainsFunc(class.Signs, func(s string) bool { return slices.Contains(l.Keys.Suites, s) }) {
			without = append(without, class.Name)
		}
	}
	if len(without) > 0 {
		note += fmt.Sprintf("; devices of %s cannot: somebody sends for them, under an account of its own", strings.Join(without, ", "))
	}
	return note
}

// Database is a plain database with backups: the word of whoever runs it.
func (c *Catalogue) Database(f *Fleet, d Demand) Option {
	n, machines := &f.Needs, 1
	o := Option{Name: c.Plain.Name, Kind: "database"}
	switch {
	case n.Survive == "organisation":
		o.Out = append(o.Out, "needs.survive is organisation: it is gone with whoever runs it")
	case n.Survive == "machine":
		machines = 2
	}
	if g := f.gate(); !g.database {
		o.Out = append(o.Out, databaseOut(f)...)
	}
	if d.ReadingsPerS > c.Plain.Throughput.High {
		o.Notes = append(o.Notes, fmt.Sprintf("the busiest hour has %.0f readings/s: rows must be written in batches, or on more than one machine", d.ReadingsPerS))
	}
	if ms := 1000 * c.Plain.Latency.High; ms > n.LatencyMS {
		o.Out = append(o.Out, fmt.Sprintf("a commit may take %.0f ms, needs.latency_ms is %.0f", ms, n.LatencyMS))
	}
	o.Year = c.databaseYear(d, n, machines)
	for _, note := range c.Plain.Notes {
		o.Notes = append(o.Notes, fmt.Sprintf("%s (%s)", note.Text, c.sources(note.Source)))
	}
	o.Notes = append(o.Notes, "throughput: "+c.cite(&c.Plain.Throughput))
	return o
}

// databaseOut says why one organisation's word will not do.
func databaseOut(f *Fleet) (out []string) {
	n := &f.Needs
	if n.Check != "nobody" {
		out = append(out, fmt.Sprintf("needs.check is %s: whoever runs it can change it, and nobody sees that", n.Check))
	}
	if n.NobodyAlone {
		out = append(out, "needs.nobody_alone: whoever runs it decides alone")
	}
	if n.Strangers {
		out = append(out, "needs.strangers: whoever runs it must let each of them in")
	}
	if len(out) == 0 {
		out = append(out, "organisations: there is none whose books all others take unchecked")
	}
	return out
}

func (c *Catalogue) databaseYear(d Demand, n *Needs, machines int) *Year {
	y := new(Year)
	cpu := c.Plain.CPU.Range().scale(float64(machines) * daysAYear * d.ReadingsADay / microsecondsInS)
	y.add(c.computing(cpu, c.cite(&c.Plain.CPU)))
	y.add(c.keeping(c.Plain.Stored.Range().scale(copies(machines)*daysAYear*d.ReadingsADay), n.RetentionYears, &c.Plain.Stored))
	y.add(c.machines(machines))
	return y
}
