// Package demo lives a scenario through a node, from signed readings to bills that anyone can check. The district is a week
// of a street of 40 lamps that buy their electricity, sell their light and dim by agents in their controllers, and a house of 12 flats with meters for electricity and
// water, of which one is exchanged.
// Charging is two days of a car park with 12 chargers that share a connection by agents, and at which things go wrong.
//
// It promises that nothing but the world is simulated. Every device has its own key and runs the SDK over MQTT; the node
// is the one that `lamppost serve` runs; the district's prices, loads, traffic and daylight are a real week of other places
// (data/README.md; water follows electricity), and the charging sessions have the shape of real ones; invoices are made by the ledger, and the statement
// at the end is checked as a customer would check it. Only the clock is fast. An ending without an error means that every
// reading taken was committed exactly once, that accounts in the ledger are what the invoices add up to, and that the
// statement holds.
//
// It does not measure how fast anything is; that is what `lamppost bench` is for.
//
// Start reading at [Run], then run.story, then districtRun or parkRun. What agents decided goes to the ledger in decisions.go, and worth.go says what
// that was worth. The worlds, in week.go, outlook.go, lamp.go, flat.go, tap.go and district.go, stays.go, charge.go, controller.go and carpark.go, know nothing of nodes.
// Limits are in limits.go.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/pilot"
)

// A Node is what the demo needs of a running node: those of the methods of the one that `lamppost serve` runs.
type Node interface {
	Run(ctx context.Context) error // serves until ctx is done
	URL() string                   // of the HTTP door, known before Run
	MQTTAddr() string
	AdminToken() string
	// Order makes a transaction of the node's member and waits until it is committed. A refusal is a *lamppost.Refusal.
	Order(ctx context.Context, t lamppost.TxType, body any) (consensus.Decision, error)
	// Take keeps and orders what agents in their devices' own controllers decided.
	Take(ctx context.Context, made []pilot.Made) error
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
	For      time.Duration               // wall time that it takes; 0: the scenario's default; at least MinFor
	Data     string                      // an empty folder, or one to be made; "": a new temporary one
	Scenario string                      // "" or "district", or "charging"
	Sets     string                      // folder of public data sets for "charging"; "": ../shared/data, if it is there
	Out      io.Writer
	Open     bool             // show the dashboard in a browser
	Command  string           // how people call this program; "" is "lamppost"
	Wall     func() time.Time // default time.Now
}

func (o Options) withDefaults() (Options, error) {
	if o.For == 0 && o.Scenario == "charging" {
		o.For = DefaultChargingFor
	}
	if o.For == 0 {
		o.For = DefaultFor
	}
	if o.For < MinFor {
		return o, fmt.Errorf("a demo in %v is too fast: give it at least %v", o.For, MinFor)
	}
	if o.Command == "" {
		o.Command = "lamppost"
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	return o, nil
}

// stage opens the scenario's world, and says who acts in it.
func (o *Options) stage() (*world, func(*run) play, error) {
	switch o.Scenario {
	case "", "district":
		week, err := LoadWeek()
		if err != nil {
			return nil, nil, err
		}
		d := newDistrict(week)
		return &d.world, func(r *run) play { return newDistrictRun(r, d) }, nil
	case "charging":
		p, err := newCarPark(o.Sets)
		if err != nil {
			return nil, nil, err
		}
		return &p.world, func(r *run) play { return newParkRun(r, p) }, nil
	}
	return nil, nil, fmt.Errorf("scenario %q: there is only %q and %q", o.Scenario, "district", "charging")
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

// Run lives the scenario and writes to o.Out how it went. When ctx is done before it is over, it ends in good order and
// tells of what has happened so far; that is no error.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	w, enter, err := o.stage()
	if err != nil {
		return err
	}
	if err := o.folder(); err != nil {
		return err
	}
	clock := NewClock(stamp(w.from), stamp(w.to), o.For, o.Wall)
	node, err := o.Start(Setting{Data: o.Data, Network: network, Member: member, Now: clock.Now, Speed: clock.Speed()})
	if err != nil {
		return fmt.Errorf("starting the demo's node: %w", err)
	}
	r := &run{o: o, w: w, clock: clock, node: node, web: &client{url: node.URL(), token: node.AdminToken()}, tally: newTally(),
		screen: newScreen(o.Out), said: newDecisions()}
	r.play = enter(r)
	return r.besideNode(ctx)
}

func stamp(t lamppost.TimeMS) time.Time { return time.UnixMilli(int64(t)).UTC() }

// A run is one run of the demo.
type run struct {
	o      Options
	w      *world
	clock  *Clock
	node   Node
	web    *client
	tally  *tally
	screen *progressLine
	said   *decisions
	play   play
}

// A play is what happens in a world once it is set up.
type play interface {
	open(ctx context.Context, i int) error // fits the world's i-th machine; called concurrently
	live(ctx, life context.Context) error  // see run.story; nil: all that was measured is committed, and all that can be is billed
	end(life context.Context, w io.Writer) error
	close()
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

// story is what happens, in order: everything is set up, the time passes, the last report is committed and the last
// invoice made, one statement is taken home and checked. ctx is done when the user or the node has had enough, life only
// when the node has.
func (r *run) story(ctx, life context.Context) error {
	fmt.Fprintf(r.o.Out, "Setting up %s in %s …\n", r.w.size(), r.o.Data)
	defer r.play.close()
	if err := r.setUp(ctx); err != nil {
		if ctx.Err() != nil && life.Err() == nil {
			fmt.Fprintln(r.o.Out, "Stopped before the first reading.")
			return nil
		}
		return fmt.Errorf("setting the demo up: %w", err)
	}
	r.introduce()
	if err := r.play.live(ctx, life); err != nil {
		return err
	}
	return r.play.end(life, r.o.Out)
}

// introduce prints where to look.
func (r *run) introduce() {
	link := r.node.URL() + "/login?token=" + r.node.AdminToken()
	fmt.Fprintf(r.o.Out, "\n  Dashboard  %s\n  MQTT       %s\n\n%s on the clock of %s passes in %v; ctrl-C ends it early.\n\n",
		link, r.node.MQTTAddr(), r.w.span, r.w.zone.Name, r.o.For)
	if !r.o.Open {
		return
	}
	if err := browse(link); err != nil {
		fmt.Fprintf(r.o.Out, "No browser could be opened (%v): use the link above.\n\n", err)
	}
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

// interrupted reports whether the scenario was not lived to its end.
func (r *run) interrupted() bool { return r.tally.lastTick() < r.w.to }

func (r *run) path(name string) string { return filepath.Join(r.o.Data, name) }
