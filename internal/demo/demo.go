// Package demo lives a week of a small district through a node, from signed readings to bills that anyone can check: a
// street of 40 lamps that buy their electricity and sell their light, and a house of 12 flats with electricity meters.
//
// It promises that nothing but the world is simulated. Every device has its own key and runs the SDK over MQTT; the node
// is the one that `lamppost serve` runs; prices, loads, traffic and daylight are a real week of other places (data/README.md);
// invoices are made by the ledger, one a day for each pair of parties, and the statement at the end is checked as a
// customer would check it. Only the clock is fast. An ending without an error means that every reading taken was committed
// exactly once, that the lamps' accounts in the ledger are what their invoices add up to, and that the statement holds.
//
// It does not measure how fast anything is; that is what `lamppost bench` is for.
//
// Start reading at [Run], then run.story. The world is in week.go, lamp.go, flat.go and district.go and knows nothing of
// nodes. Limits are in limits.go.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A Node is what the demo needs of a running node: those of the methods of the one that `lamppost serve` runs.
type Node interface {
	Run(ctx context.Context) error // serves until ctx is done
	URL() string                   // of the HTTP door, known before Run
	MQTTAddr() string
	AdminToken() string
	// Order makes a transaction of the node's member and waits until it is committed. A refusal is a *lamppost.Refusal.
	Order(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error)
}

// A Setting is the world a node is started in.
type Setting struct {
	Data    string // folder
	Network string
	Member  lamppost.MemberID
	Now     func() time.Time
	Speed   float64 // of Now while the week lasts
}

// Options are what Run needs. Start and Out are required.
type Options struct {
	Start    func(Setting) (Node, error) // opens a node; Run runs it
	For      time.Duration               // wall time that the week takes; 0: DefaultFor; at least MinFor
	Data     string                      // an empty folder, or one to be made; "": a new temporary one
	Scenario string                      // "" or "district"
	Out      io.Writer
	Open     bool             // show the dashboard in a browser
	Command  string           // how people call this program; "" is "lamppost"
	Wall     func() time.Time // default time.Now
}

func (o Options) withDefaults() (Options, error) {
	if o.Scenario != "" && o.Scenario != "district" {
		return o, fmt.Errorf("scenario %q: there is only %q", o.Scenario, "district")
	}
	if o.For == 0 {
		o.For = DefaultFor
	}
	if o.For < MinFor {
		return o, fmt.Errorf("a week in %v is too fast: give it at least %v", o.For, MinFor)
	}
	if o.Command == "" {
		o.Command = "lamppost"
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	return o, nil
}

// folder makes the demo's folder. One that holds something is refused: its numbers would not be those of this week.
func (o *Options) folder() (err error) {
	if o.Data == "" {
		o.Data, err = os.MkdirTemp("", "lamppost-demo-")
		return err
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	entries, err := os.ReadDir(o.Data)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("the folder %q is not empty: the demo begins with a network of its own", o.Data)
	}
	return err
}

// Run lives the week and writes to o.Out how it went. When ctx is done before the week is over, it ends in good order and
// tells of what has happened so far; that is no error.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	week, err := LoadWeek()
	if err != nil {
		return err
	}
	if err := o.folder(); err != nil {
		return err
	}
	clock := NewClock(stamp(week.From()), stamp(week.To()), o.For, o.Wall)
	node, err := o.Start(Setting{Data: o.Data, Network: network, Member: member, Now: clock.Now, Speed: clock.Speed()})
	if err != nil {
		return fmt.Errorf("starting the demo's node: %w", err)
	}
	d := newDistrict(week)
	r := &run{o: o, d: d, clock: clock, node: node, web: &client{url: node.URL(), token: node.AdminToken()}, tally: newTally()}
	r.bills = &biller{run: r}
	return r.besideNode(ctx)
}

func stamp(t lamppost.TimeMS) time.Time { return time.UnixMilli(int64(t)).UTC() }

// A run is one run of the demo.
type run struct {
	o        Options
	d        *district
	clock    *Clock
	node     Node
	web      *client
	tally    *tally
	machines []*machine
	bills    *biller
}

// besideNode tells the story while the node runs. The node outlives the caller's context, for the ending needs it.
func (r *run) besideNode(ctx context.Context) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stopped := make(chan error, 1)
	go func() {
		err := r.node.Run(life)
		stopped <- err
		end(fmt.Errorf("the demo's node has stopped: %w", err))
	}()
	until, cancel := context.WithCancel(ctx) // the user or the node has had enough
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	err := r.story(until, life)
	if err != nil && life.Err() != nil {
		err = context.Cause(life)
	}
	end(nil)
	if nodeErr := <-stopped; err == nil {
		err = nodeErr
	}
	return err
}

// story is what happens, in order: everything is set up, the week passes, the last report is committed and the last
// invoice made, one tenant's statement is taken home and checked. ctx is done when the user or the node has had enough,
// life only when the node has.
func (r *run) story(ctx, life context.Context) error {
	fmt.Fprintf(r.o.Out, "Setting up %d devices, %d parties and %d agreements in %s …\n", len(r.d.machines), len(r.d.parties),
		len(r.d.agreements), r.o.Data)
	defer r.closeMachines()
	if err := r.setUp(ctx); err != nil {
		if ctx.Err() != nil && life.Err() == nil {
			fmt.Fprintln(r.o.Out, "Stopped before the first reading.")
			return nil
		}
		return fmt.Errorf("setting the demo up: %w", err)
	}
	r.introduce()
	if err := r.live(ctx, life); err != nil {
		return err
	}
	s, err := r.end(life)
	s.write(r.o.Out)
	return err
}

// introduce prints where to look.
func (r *run) introduce() {
	link := r.node.URL() + "/login?token=" + r.node.AdminToken()
	fmt.Fprintf(r.o.Out, "\n  Dashboard  %s\n  MQTT       %s\n\nA week on the clock of %s passes in %v; ctrl-C ends it early.\n\n",
		link, r.node.MQTTAddr(), r.d.week.Zone.Name, r.o.For)
	if !r.o.Open {
		return
	}
	if err := browse(link); err != nil {
		fmt.Fprintf(r.o.Out, "No browser could be opened (%v): use the link above.\n\n", err)
	}
}

// live lets the week pass: devices measure and send, every day is billed, the numbers on the screen move. When it returns
// without an error, all that was measured is acknowledged and every day that was lived to its end is billed.
func (r *run) live(ctx, life context.Context) error {
	progress := begin(life, r.showProgress)
	defer progress.end()
	r.clock.Begin()
	billing := begin(life, func(ctx context.Context) error { return r.bills.followDays(ctx, life) })
	err := r.passWeek(ctx, life)
	if err == nil {
		err = r.settle(life)
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
func (r *run) passWeek(ctx, life context.Context) error {
	var lives []func(context.Context) error
	for _, m := range r.machines {
		m.sending = begin(life, m.dev.Run)
		lives = append(lives, m.live)
	}
	err := together(ctx, lives)
	if errors.Is(err, context.Canceled) {
		return life.Err() // nil where only the user has seen enough
	}
	return err
}

// settle waits until every report is acknowledged, for as long as acknowledgements keep coming.
func (r *run) settle(life context.Context) error {
	for last, since := int64(-1), r.o.Wall(); ; {
		t := r.tally.counts()
		switch {
		case t.refused > 0:
			return fmt.Errorf("%d reports were refused, the first because %s", t.refused, t.whyRefused)
		case t.acked.reports == t.taken.reports:
			return nil
		case t.acked.reports != last:
			last, since = t.acked.reports, r.o.Wall()
		case r.o.Wall().Sub(since) > stallLimit:
			return fmt.Errorf("%d of %d reports are not acknowledged after %v without a new one", t.taken.reports-t.acked.reports,
				t.taken.reports, stallLimit)
		}
		if err := pause(life, pollEvery); err != nil {
			return err
		}
	}
}

// interrupted reports whether the week was not lived to its end.
func (r *run) interrupted() bool { return r.tally.lastTick() < r.d.week.To() }

func (r *run) path(name string) string { return filepath.Join(r.o.Data, name) }
