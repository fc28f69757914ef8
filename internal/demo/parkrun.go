package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A parkRun is the car park's two days: its chargers at work, and its desk.
type parkRun struct {
	*run
	park     *carPark
	chargers []*charger
	desk     *desk
}

func newParkRun(r *run, p *carPark) *parkRun {
	return &parkRun{run: r, park: p, chargers: make([]*charger, len(p.machines)), desk: newDesk(r, p)}
}

func (r *parkRun) open(ctx context.Context, i int) (err error) {
	r.chargers[i], err = r.desk.openCharger(ctx, i)
	return err
}

// live lets the two days pass: chargers measure and send, sessions are opened, settled and billed.
func (r *parkRun) live(ctx, life context.Context) error {
	r.screen.say(fmt.Sprintf("Cars      %d stays of %d drivers and guests, %s.", len(r.park.stays), len(r.w.parties)-3, r.park.source))
	progress := begin(life, r.showProgress)
	defer progress.end()
	r.clock.Begin()
	deciding := begin(life, func(ctx context.Context) error { return r.followDecisions(ctx, life) })
	err := r.passDays(ctx, life)
	if err == nil {
		err = r.settle(life)
	}
	if decideErr := deciding.end(); err == nil {
		err = decideErr
	}
	if err == nil {
		err = r.orderDecisions(life)
	}
	if err == nil {
		err = r.desk.finishBills(life)
	}
	return err
}

// passDays returns when all chargers have lived the two days, or as much of them as the user wants, and what came of their
// last stays is known, and every day that passed is billed.
func (r *parkRun) passDays(ctx, life context.Context) error {
	lives := []func(ctx, life context.Context) error{r.desk.followDays, r.decide}
	for _, c := range r.chargers {
		c.sending = begin(life, c.dev.Run)
		lives = append(lives, c.live)
	}
	return each(life, len(lives), len(lives), func(failed context.Context, i int) error {
		until, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(failed, cancel)()
		return lives[i](until, life)
	})
}

// decide gives out what the controller's agents decide, when they do.
func (r *parkRun) decide(ctx, _ context.Context) error {
	for _, t := range r.park.controller.made {
		if r.clock.Until(ctx, stamp(t.in.At)) != nil {
			return nil
		}
		r.said.add(t.made())
	}
	return nil
}

func (r *parkRun) close() {
	for _, c := range r.chargers {
		if c != nil && !c.off {
			r.closed(c.id, c.close())
		}
	}
}

// A parkSummary is what the car park's two days came to. Parts that did not happen are left out.
type parkSummary struct {
	from, to    string
	hours       int
	wall        time.Duration
	interrupted bool
	reckoning
	triaged
	states   map[useState]int
	invoices int // with those that were replaced
	billed   lamppost.Micro
	income   []income
	checked  int // accounts
	bill     *bill
	home     takenHome
	worth    *worth
}

// An income is what a charger sold, before tax.
type income struct {
	id   lamppost.DeviceID
	site string
	wh   lamppost.Decimal
	sold lamppost.Micro
}

func (r *parkRun) end(ctx context.Context, w io.Writer) error {
	s := r.newSummary()
	err := r.conclude(ctx, s)
	s.write(w)
	return err
}

func (r *parkRun) newSummary() *parkSummary {
	last := max(r.tally.lastTick(), r.w.from)
	const layout = "Mon 2 Jan 15:04"
	s := &parkSummary{from: r.w.local(r.w.from, layout), to: r.w.local(last, layout), hours: int((last - r.w.from) / hourMS),
		wall: r.clock.Lasted(), interrupted: r.interrupted(), states: make(map[useState]int), invoices: len(r.desk.invoices)}
	for i := range r.desk.uses {
		s.states[r.desk.uses[i].state]++
	}
	for _, inv := range r.desk.inForce("") {
		s.billed += inv.Total
	}
	return s
}

// conclude sees to it that everything is in the ledger, settles with the provider, holds the accounts against the
// invoices, takes a statement home and checks it.
func (r *parkRun) conclude(ctx context.Context, s *parkSummary) (err error) {
	if s.reckoning, err = r.reckon(ctx); err != nil {
		return err
	}
	if s.triaged, err = r.triaged(ctx); err != nil || s.invoices == 0 {
		return err
	}
	if sum := -r.desk.moved[provider]; sum > 0 {
		if err := r.desk.transfer(ctx, operator, provider, sum, "paid out by bank transfer"); err != nil {
			return err
		}
	}
	s.income = r.desk.income()
	if s.checked, err = r.desk.checkAccounts(ctx, s.income); err != nil {
		return err
	}
	whose, made := r.desk.teller()
	s.bill = newBill(r.desk.inForce(whose), r.w.nameOf(whose), &r.w.zone)
	s.bill.kind, s.bill.state = "invoice", "to be paid"
	if s.home, err = r.takeHome(ctx, whose, made); err != nil || s.interrupted {
		return err
	}
	s.worth, err = r.onLedger(ctx, r.park.worth())
	return err
}

// inForce returns the invoices of a buyer, or of all, that nothing replaced.
func (d *desk) inForce(buyer lamppost.PartyID) []tariff.Invoice {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []tariff.Invoice
	for i := range d.invoices {
		if inv := &d.invoices[i]; !d.replaced[inv.Number] && (buyer == "" || inv.Buyer == buyer) {
			all = append(all, *inv)
		}
	}
	return all
}

// teller is whose statement is taken home, with how many invoices: who got something credited, or else the first billed.
func (d *desk) teller() (who lamppost.PartyID, invoices int) {
	who = d.invoices[0].Buyer
	for i := range d.invoices {
		if d.invoices[i].Corrects != nil {
			who = d.invoices[i].Buyer
			break
		}
	}
	for i := range d.invoices {
		if d.invoices[i].Buyer == who {
			invoices++
		}
	}
	return who, invoices
}

// income adds up what the invoices in force say of each charger.
func (d *desk) income() []income {
	all := make([]income, len(d.park.machines))
	index := make(map[lamppost.DeviceID]*income)
	for i := range all {
		all[i] = income{id: d.park.machines[i].id, site: d.park.machines[i].site}
		index[all[i].id] = &all[i]
	}
	for _, inv := range d.inForce("") {
		for i := range inv.Supplies {
			c := index[inv.Supplies[i].Device]
			for _, l := range inv.Supplies[i].Lines {
				c.sold += l.Amount
				c.wh, _ = c.wh.Add(l.Quantity) // two days' Wh fit
			}
		}
	}
	return all
}

// checkAccounts holds what the invoices in force and the transfers make against every account, and refuses money that is
// still held or an account beyond its limit. It returns how many there are.
func (d *desk) checkAccounts(ctx context.Context, chargers []income) (int, error) {
	want := make(map[lamppost.PartyID]lamppost.Micro)
	for p, sum := range d.moved {
		want[p] += sum
	}
	for _, c := range chargers {
		want[lamppost.PartyID(c.id)] += c.sold
	}
	for _, inv := range d.inForce("") {
		want[inv.Buyer] -= inv.Total
		want[operator] += inv.Total - inv.Net
	}
	have, err := d.web.accounts(ctx)
	if err != nil {
		return 0, err
	}
	limits := make(map[lamppost.PartyID]lamppost.Micro)
	for i := range d.w.parties {
		limits[d.w.parties[i].ID] = d.w.parties[i].CreditLimit
	}
	var errs []error
	for p := range want {
		if _, there := have[p]; !there && want[p] != 0 {
			errs = append(errs, fmt.Errorf("%s has no account, its invoices make %s", p, want[p]))
		}
	}
	for p, a := range have {
		if a.Balance != want[p] || a.Held != 0 || a.Balance < -limits[p] {
			errs = append(errs, fmt.Errorf("the account of %s holds %s %s, %s of it held, down to -%s; its invoices and transfers make %s", p,
				a.Balance, currency, a.Held, limits[p], want[p]))
		}
	}
	return len(have), errors.Join(errs...)
}

// write tells everything, for people.
func (s *parkSummary) write(w io.Writer) {
	title := "The two days are over"
	if s.interrupted {
		title = "Ended early"
	}
	fmt.Fprintf(w, "\n%s: %s to %s, %d hours in %s.\n\n", title, s.from, s.to, s.hours, short(s.wall))
	s.reckoning.write(w)
	s.triaged.write(w)
	fmt.Fprintf(w, "Sessions  %d billed, %d void, %d refused, %d not begun.\n", s.states[billed], s.states[void], s.states[refused], s.states[notBegun])
	if s.invoices == 0 {
		fmt.Fprint(w, "Money     nothing billed: no session was settled.\n")
		return
	}
	fmt.Fprintf(w, "Money     %s %s billed, taxes included; %s with what corrected them.\n", s.billed, currency, plural(s.invoices, "invoice"))
	if s.income != nil {
		writeIncome(w, s.income)
	}
	if s.checked > 0 {
		fmt.Fprintf(w, "Accounts: %d, each what its invoices and transfers make; nothing is held any more, none is beyond its limit.\n", s.checked)
	}
	if s.bill != nil {
		s.bill.write(w)
	}
	s.home.write(w)
	if s.worth != nil {
		s.worth.write(w)
	}
}

// writeIncome writes the chargers in two columns, and the sites.
func writeIncome(w io.Writer, all []income) {
	fmt.Fprintf(w, "\nIncome of each charger in %s, before tax:\n", currency)
	half := (len(all) + 1) / 2
	for i := range half {
		for j := i; j < len(all); j += half {
			end := "    "
			if j+half >= len(all) {
				end = "\n"
			}
			fmt.Fprintf(w, "  %s %8s  %11s%s", all[j].id, all[j].sold, inKWh(all[j].wh), end)
		}
	}
	var order []string
	sites := make(map[string]*income)
	for i := range all {
		c := &all[i]
		if sites[c.site] == nil {
			sites[c.site] = &income{}
			order = append(order, c.site)
		}
		site := sites[c.site]
		site.sold += c.sold
		site.wh, _ = site.wh.Add(c.wh)
	}
	for _, name := range order {
		fmt.Fprintf(w, "%s: %s for %s.\n", name, sites[name].sold, inKWh(sites[name].wh))
	}
}

func inKWh(wh lamppost.Decimal) string {
	wh.Exponent -= 3
	return wh.String() + " kWh"
}
