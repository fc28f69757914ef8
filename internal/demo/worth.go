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

func (u *used) add(level int, price lamppost.Micro) {
	mWms := powerMW(level) * int64(quarterMS)
	u.mWms += mWms
	u.cost += lamppost.Micro(mWms / 1_000_000 * int64(price) / (mwMSPerWh / 1000)) // J × Micro per kWh
}

// A worth holds what lamps used as their agents decided against what two other ways would have, on the same traffic, daylight and prices.
type worth struct {
	decided, timetable, full used
	minutes                  int    // too dark, as decided
	decisions, safe          uint32 // on the ledger
	example                  lamppost.DecisionID
	command, data            string
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

// compare works out what the lamps used in the quarter hours that were lived.
func compare(w *Week, all []*lamp) *worth {
	var x worth
	for _, l := range all {
		x.add(w, l)
	}
	return &x
}

func (x *worth) add(w *Week, l *lamp) {
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
		x.decided.add(level, price)
		if !l.dark(at(i)) {
			x.timetable.add(0, price)
			x.full.add(0, price)
			continue
		}
		x.timetable.add(best[w.slot(at(i))], price)
		x.full.add(100, price)
		if level < needs(i) {
			x.minutes += int(quarterMS / 60_000)
		}
	}
}

// worth compares, and asks the ledger how many decisions stand there.
func (r *districtRun) worth(ctx context.Context) (*worth, error) {
	x := compare(r.d.week, r.d.lamps())
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
		if x.example == (lamppost.DecisionID{}) && a.Last != nil {
			x.example = a.Last.ID
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
	fmt.Fprintf(w, "\nWhat the agents of the %d lamps were worth, on the same traffic, daylight and prices, before tax:\n", lamps)
	row := func(name string, u used) {
		fmt.Fprintf(w, "  %-42s %8s kWh  %8s %s", name, lamppost.Dec(u.mWms/mwMSPerWh, -3), cents(u.cost), currency)
		if u != x.decided {
			fmt.Fprintf(w, "  (agents: %s)", percentLess(x.decided.cost, u.cost))
		}
		fmt.Fprintln(w)
	}
	row("as the agents decided", x.decided)
	row("the best fixed timetable, found afterwards", x.timetable)
	row("full light from dusk to dawn", x.full)
	fmt.Fprintf(w, "  %d minutes under the level that traffic required.\n", x.minutes)
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
