package demo

import (
	"context"
	"fmt"
	"io"

	"github.com/lamppost/lamppost"
)

// A used is energy and what it cost, before tax.
type used struct {
	mWms int64 // mW × ms
	cost lamppost.Micro
}

func (u *used) add(mWms int64, price lamppost.Micro) {
	u.mWms += mWms
	u.cost += lamppost.Micro(mWms / 1_000_000 * int64(price) / (mwMSPerWh / 1000)) // J × Micro per kWh
}

// A worth holds what devices used as their agents decided against what other ways would have, on the same data.
type worth struct {
	title           string
	rows            []result // the agents' first
	more            string
	decisions, safe uint32 // on the ledger
	example         lamppost.DecisionID
	command, data   string
}

// A result is what one way came to.
type result struct {
	name string
	used
	note string
}

// A slot is a quarter hour of a workday or a weekend on the town's clock.
type slot struct {
	weekend bool
	quarter int
}

func (w *Week) slot(t lamppost.TimeMS) slot {
	c := w.Zone.Local(t)
	return slot{c.Weekday >= 5, int(c.Minute) / 15}
}

// A lighting is what lamps used.
type lighting struct {
	decided, timetable, full used
	minutes                  int // too dark, as decided
}

// compare works out what the lamps used in the quarter hours that were lived.
func compare(w *Week, all []*lamp) *lighting {
	var x lighting
	for _, l := range all {
		x.add(w, l)
	}
	return &x
}

func (x *lighting) worth() *worth {
	than := func(u used) string { return "  (agents: " + percentLess(x.decided.cost, u.cost) + ")" }
	return &worth{title: fmt.Sprintf("the %d lamps were worth, on the same traffic, daylight and prices", lamps),
		rows: []result{{"as the agents decided", x.decided, ""},
			{"the best fixed timetable, found afterwards", x.timetable, than(x.timetable)},
			{"full light from dusk to dawn", x.full, than(x.full)}},
		more: fmt.Sprintf("%d minutes under the level that traffic required.", x.minutes)}
}

func (u *used) light(level int, price lamppost.Micro) { u.add(powerMW(level)*int64(quarterMS), price) }

func (x *lighting) add(w *Week, l *lamp) {
	at := func(i int) lamppost.TimeMS { return w.From() + lamppost.TimeMS(i)*quarterMS }
	lived := min(max(len(l.levels)-1, 0), int((w.To()-w.From())/quarterMS)) // the last level was not held for any time
	needs := func(i int) int { return max(required(l.vehicles(at(i))), minLevel) }
	best := map[slot]int{} // the least that is never too dark: only afterwards does anybody know it
	for i := range lived {
		if l.dark(at(i)) {
			best[w.slot(at(i))] = max(best[w.slot(at(i))], needs(i))
		}
	}
	for i, level := range l.levels[:lived] {
		price := w.Hours[w.at(at(i))].Price
		x.decided.light(level, price)
		if !l.dark(at(i)) {
			x.timetable.light(0, price)
			x.full.light(0, price)
			continue
		}
		x.timetable.light(best[w.slot(at(i))], price)
		x.full.light(100, price)
		if level < needs(i) {
			x.minutes += int(quarterMS / 60_000)
		}
	}
}

// onLedger asks the ledger how many decisions stand there, and for one to explain.
func (r *run) onLedger(ctx context.Context, x *worth) (*worth, error) {
	x.command, x.data = r.o.Command, r.o.Data
	all, err := r.web.agents(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		for _, m := range a.Records {
			x.safe += m.Safe
			x.decisions += m.Safe + m.Acted.Decisions
		}
	}
	best := lamppost.Micro(-1)
	for i := 0; i < len(all) && best <= 0; i++ {
		if err := r.web.promising(ctx, all[i].Device, &x.example, &best); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// lamps are the models of the street.
func (d *district) lamps() (all []*lamp) {
	for i := range d.machines {
		if l, ok := d.machines[i].model.(*lamp); ok {
			all = append(all, l)
		}
	}
	return all
}

func (x *worth) write(w io.Writer) {
	fmt.Fprintf(w, "\nWhat the agents of %s, before tax:\n", x.title)
	for _, r := range x.rows {
		fmt.Fprintf(w, "  %-42s %8s kWh  %8s %s%s\n", r.name, lamppost.Dec(r.mWms/mwMSPerWh, -3), cents(r.cost), currency, r.note)
	}
	fmt.Fprintf(w, "  %s\n", x.more)
	fmt.Fprintf(w, "  %s decisions stand on the ledger", grouped(int64(x.decisions)))
	if x.safe > 0 {
		fmt.Fprintf(w, ", %s of them the safe rule", grouped(int64(x.safe)))
	}
	if x.decisions == 0 {
		fmt.Fprintln(w, ".")
		return
	}
	data := shellWord(x.data)
	fmt.Fprintf(w, ". Why one of them? Serve the folder, and ask for it in another window:\n    %s serve --data %s\n    %s explain %s --data %s\n", x.command, data, x.command, x.example, data)
}

func cents(m lamppost.Micro) lamppost.Micro { return (m + 5_000) / 10_000 * 10_000 }

func percentLess(a, b lamppost.Micro) string {
	if b == 0 {
		return "the same"
	}
	less := 1000 * int64(b-a) / int64(b)
	word := "less"
	if less < 0 {
		less, word = -less, "more"
	}
	return fmt.Sprintf("%d.%d %% %s", less/10, less%10, word)
}
