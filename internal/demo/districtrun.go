package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lamppost/lamppost"
)

// A districtRun is the district's week: its lamps and meters at work, a bill a day for everybody.
type districtRun struct {
	*run
	d        *district
	machines []*machine
	bills    *biller
}

func newDistrictRun(r *run, d *district) *districtRun {
	p := &districtRun{run: r, d: d, machines: make([]*machine, len(d.machines))}
	p.bills = &biller{run: r, d: d}
	for _, l := range d.lamps() {
		l.say = p.said.add
	}
	return p
}

func (r *districtRun) open(ctx context.Context, i int) (err error) {
	r.machines[i], err = r.openMachine(ctx, &r.d.machines[i])
	return err
}

// live lets the week pass: devices measure and send, every day is billed, the numbers on the screen move. When it returns
// without an error, all that was measured is acknowledged and every day that was lived to its end is billed.
func (r *districtRun) live(ctx, life context.Context) error {
	progress := begin(life, r.showProgress)
	defer progress.end()
	r.clock.Begin()
	billing := begin(life, func(ctx context.Context) error { return r.bills.followDays(ctx, life) })
	deciding := begin(life, func(ctx context.Context) error { return r.followDecisions(ctx, life) })
	err := r.passWeek(ctx, life)
	if err == nil {
		err = r.settle(life)
	}
	if decideErr := deciding.end(); err == nil {
		err = decideErr
	}
	if err == nil {
		err = r.orderDecisions(life)
	}
	if billErr := billing.end(); err == nil {
		err = billErr
	}
	if err == nil {
		err = r.bills.finish(life, r.tally.lastTick())
	}
	return err
}

// passWeek returns when all machines have lived the week, or as much of it as the user wants.
func (r *districtRun) passWeek(ctx, life context.Context) error {
	var lives []func(context.Context) error
	for _, m := range r.machines {
		m.sending = begin(life, m.dev.Run)
		if m.from != 0 {
			m.hang = func() error { return r.exchange(life, m) }
		}
		lives = append(lives, m.live)
	}
	err := together(ctx, lives)
	if errors.Is(err, context.Canceled) {
		return life.Err() // nil where only the user has seen enough
	}
	return err
}

// exchange orders that a meter hangs in the place of another. Both sign what they show then, so nobody has to enter it.
func (r *districtRun) exchange(ctx context.Context, m *machine) error {
	i := slices.IndexFunc(r.machines, func(old *machine) bool { return old.next == m.id })
	p := r.d.pointOf(r.machines[i].id)
	p.Device, p.Mount, p.From = m.id, 1, m.from
	if _, err := r.order(ctx, lamppost.TxPoint, p); err != nil {
		return fmt.Errorf("hanging %q in the place of %q: %w", m.id, r.machines[i].id, err)
	}
	r.screen.say(fmt.Sprintf("%s  the water meter of %s is exchanged: %s goes, %s comes", r.w.local(m.from, "Mon 15:04"), m.place, r.machines[i].id, m.id))
	return nil
}

// end sees to it that everything is in the ledger, pays, takes a statement home and checks it. The summary tells what was
// done, also where something went wrong.
func (r *districtRun) end(ctx context.Context, w io.Writer) error {
	s := r.newSummary()
	err := r.conclude(ctx, s)
	s.write(w)
	return err
}

func (r *districtRun) conclude(ctx context.Context, s *summary) (err error) {
	if s.reckoning, err = r.reckon(ctx); err != nil {
		return err
	}
	if s.triaged, err = r.triaged(ctx); err != nil || r.bills.billed == 0 {
		return err
	}
	s.lamps = r.bills.lampResults()
	if s.worth, err = r.onLedger(ctx, compare(r.d.week, r.d.lamps()).worth()); err != nil {
		return err
	}
	if err := r.bills.checkAccounts(ctx, s.lamps); err != nil {
		return err
	}
	if err := r.bills.pay(ctx); err != nil {
		return err
	}
	s.bill = newBill(r.bills.of(teller), r.w.nameOf(teller), &r.w.zone)
	s.home, err = r.takeHome(ctx, teller, len(s.bill.numbers))
	return err
}

func (r *districtRun) newSummary() *summary {
	last := max(r.tally.lastTick(), r.w.from)
	const layout = "Mon 2 Jan 15:04"
	s := &summary{
		from: r.w.local(r.w.from, layout), to: r.w.local(last, layout), hours: int((last - r.w.from) / hourMS),
		wall: r.clock.Lasted(), interrupted: r.interrupted(), days: r.bills.billed, invoices: len(r.bills.invoices),
	}
	for _, m := range r.machines {
		s.held += m.model.heldUp()
	}
	for i := range r.bills.invoices {
		s.billed += r.bills.invoices[i].Total
	}
	return s
}

func (r *districtRun) close() {
	for _, m := range r.machines {
		if m != nil {
			r.closed(m.id, m.close())
		}
	}
}
