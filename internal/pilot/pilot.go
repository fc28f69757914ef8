// Package pilot runs the agents of a node: what each observes, what it decided and from which inputs, what that came to, and what its device is told.
//
// Start reading at [Pilot.Tick], which is a minute of all agents. settings.go makes an agent's inputs of what its owner said; observe.go has what is
// observed and forecast; outcome.go computes what a decision came to, as [Realise], which needs nothing but what was kept; evidence.go keeps that, and
// save.go what forecasts know.
//
// What it promises: one goroutine, bounded memory; a decision stands on the ledger with the commitment to inputs that are kept before it is
// ordered; whatever is missing makes the safe rule. What it does not: it decides nothing itself (package agent) and forecasts nothing itself
// (package forecast); nobody is told anything but through Config.Command, behind which the guard is.
package pilot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Limits, and how often.
const (
	Every        lamppost.TimeMS = 60_000
	saidEvery    lamppost.TimeMS = 3600_000           // between orders of a decision that stays as it is
	commandedFor lamppost.TimeMS = 90 * 60_000        // then a device that nobody tells anything goes by its safe rule
	keptFor      lamppost.TimeMS = 32 * 24 * 3600_000 // inputs of decisions
	MaxAgents                    = 10_000
	maxFeeds                     = 3000 // series that are forecast: 237 kB each, 371 kB with what others have learnt (TestFeedBytes); 1.1 GB of all
	maxOrdered                   = 512  // decisions in an order
	maxSamples                   = 1500 // of a decision: a minute each, a day
	orderTimeout                 = 30 * time.Second
	// An action is another when it moves by a quarter of its range, or by a twentieth after the interval that it was for.
	largeShare, smallShare = 4, 20
)

// A Command is what a device is told, or, with a nil Action, that it is told nothing any more.
type Command struct {
	Device   lamppost.DeviceID
	Function string
	Action   *lamppost.Action
	Until    lamppost.TimeMS
	Mode     lamppost.AgentMode
	Decision lamppost.DecisionID
}

// Config is what a pilot works with.
type Config struct {
	Member  lamppost.MemberID
	Records kv.Store                                                         // the node's own records, and the ledger's state
	Latest  func(lamppost.DeviceID, string) (r lamppost.Reading, known bool) // the latest reading of a name
	// Order orders, and returns where that stands. A *lamppost.Refusal is final.
	Order func(context.Context, *lamppost.DecisionsBody) (lamppost.Height, uint32, error)
	// Command tells devices, through the guard; nil: there is nothing to tell them by, and agents that should act advise nobody.
	Command func(context.Context, []Command) error
	// Kin is what members learnt together of such readings in steps of [Step], by group of horizons, and its name; nothing where they learnt nothing. nil: never.
	// After it is another, [Pilot.Changed] is called.
	Kin func(lamppost.DeviceID, string) (lamppost.Hash, []*forecast.Stats, error)
	Log *slog.Logger
}

// A Pilot runs agents. Its methods may be called from any goroutine, but Decide, which is a part of Tick.
type Pilot struct {
	cfg Config
	enc *zstd.Encoder

	// Of the goroutine that ticks.
	crew   map[lamppost.DeviceID]*member
	order  []*member // by device
	feeds  map[feedID]*feed
	prices map[string]*price
	told   []Command // that could not be told yet

	turn  sync.Mutex  // held by Tick; taken before mu
	stale atomic.Bool // settings must be read again

	mu     sync.Mutex
	erased map[lamppost.DeviceID]lamppost.TimeMS // since the last tick, of what is older
	counts Counts
}

// Counts are of agents since the start.
type Counts struct {
	Agents    int    // that this node runs
	Decisions uint64 // that stand on the ledger
	Safe      uint64 // of them by the safe rule
	Refused   uint64 // decisions that the ledger would not take, or did not
	Lost      uint64 // commands that could not be given
}

// A member is an agent of the crew.
type member struct {
	body   lamppost.AgentBody
	terms  terms
	run    *run // nil: nothing was decided yet
	budget *lamppost.Micro
}

// A run is a decision that holds.
type run struct {
	id      lamppost.DecisionID
	body    lamppost.Decision
	inputs  *agent.Inputs
	data    Data
	sampled lamppost.TimeMS
}

// Open returns a pilot that goes on from the ledger and the inputs that are kept.
func Open(cfg Config) (*Pilot, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pilot{cfg: cfg, enc: enc, crew: map[lamppost.DeviceID]*member{}, feeds: map[feedID]*feed{}, prices: map[string]*price{}, erased: map[lamppost.DeviceID]lamppost.TimeMS{}}
	p.stale.Store(true)
	return p, p.load()
}

// Changed says that the ledger has other agents, tariffs, charters or centres.
func (p *Pilot) Changed() { p.stale.Store(true) }

// Counts returns what was counted.
func (p *Pilot) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

func (p *Pilot) count(do func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(&p.counts)
}

// Tick is a minute of all agents: it observes, decides, orders what is new with what came of what it replaces, and tells devices.
func (p *Pilot) Tick(ctx context.Context, now lamppost.TimeMS) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	due, err := p.Decide(now)
	if err != nil {
		return err
	}
	if err := p.save(now, false); err != nil || len(due) == 0 && len(p.told) == 0 {
		return err
	}
	for part := range slices.Chunk(due, maxOrdered) {
		if err := p.say(ctx, part); err != nil {
			return err
		}
	}
	p.tell(ctx)
	return nil
}

// A due is a decision to be ordered.
type due struct {
	m       *member
	body    lamppost.Decision
	inputs  []byte
	outcome *lamppost.DecisionOutcome // of the decision before
	data    []byte                    // of that
	end     Book
}

// Decide lets every agent decide, and returns what is to be ordered. It is the part of Tick that costs CPU for every agent.
func (p *Pilot) Decide(now lamppost.TimeMS) (all []due, err error) {
	snap, err := p.cfg.Records.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	v := ledger.View{Reader: snap}
	p.drop()
	if p.stale.Swap(false) {
		if err := p.refresh(v); err != nil {
			p.stale.Store(true)
			return nil, err
		}
	}
	p.observe(now)
	sites := p.sites(now)
	inputs, made, news := make([]*agent.Inputs, len(p.order)), make([]lamppost.Decision, len(p.order)), make([]bool, len(p.order))
	for i, m := range p.order {
		m.sample(p, now)
		if err := p.limit(v, m, now); err != nil {
			return nil, err
		}
		inputs[i] = p.inputs(v, m, sites, now)
	}
	p.trade(inputs)
	for i, m := range p.order {
		made[i] = agent.Decide(inputs[i])
		news[i] = m.changed(&made[i], now)
	}
	p.join(made, news, now)
	for i, m := range p.order {
		if !news[i] {
			continue
		}
		x, taken, err := p.due(v, m, inputs[i])
		if err != nil {
			return nil, err
		}
		if taken {
			all = append(all, x)
		}
	}
	return all, nil
}

// due makes a decision as it stands on the ledger; not taken: the ledger would refuse it.
func (p *Pilot) due(v ledger.View, m *member, in *agent.Inputs) (x due, taken bool, err error) {
	x = due{m: m, body: agent.Record(in), inputs: in.Encode()}
	if m.run != nil {
		x.end = m.run.over(in.At, &x)
	}
	err = p.may(v, &x, in.At)
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		p.refuse(&x.body, refusal)
		return x, false, nil
	}
	return x, err == nil, err
}

// may refuses what the ledger would refuse.
func (p *Pilot) may(v ledger.View, x *due, now lamppost.TimeMS) error {
	var freed map[ledger.Planned]lamppost.Micro
	if x.outcome != nil {
		var refusal *lamppost.Refusal
		var err error
		if freed, err = v.Frees(x.outcome, p.cfg.Member, now); errors.As(err, &refusal) {
			x.outcome = nil // what came before is out of the ledger's sight, or was erased
		} else if err != nil {
			return err
		}
	}
	return v.MayDecide(&x.body, p.cfg.Member, now, freed)
}

func (p *Pilot) refuse(d *lamppost.Decision, why error) {
	p.count(func(c *Counts) { c.Refused++ })
	p.cfg.Log.Warn("an agent's decision is not taken", "device", d.Device, "why", why)
}

// changed reports whether a decision is to be ordered: it is another one, or the last was said an hour ago.
func (m *member) changed(d *lamppost.Decision, now lamppost.TimeMS) bool {
	if m.run == nil {
		return true
	}
	last := &m.run.body
	if now-last.At >= saidEvery || d.Mode != last.Mode || d.Action.Name != last.Action.Name {
		return now > last.At
	}
	if soon := last.Spend * lamppost.Micro(2*Every) / lamppost.Micro(step); m.budget != nil && last.Mode == lamppost.AgentBounded && soon > *m.budget {
		return now > last.At // two more minutes of it would go beyond the limit
	}
	a, b := whole(d.Action.Value), whole(last.Action.Value)
	if (a > 0) != (b > 0) || (a < 0) != (b < 0) {
		return now > last.At
	}
	moved, whole := abs(a-b), m.terms.bounds.Most-m.terms.bounds.Least
	return now > last.At && (moved > whole/largeShare || now >= last.Until && moved > whole/smallShare)
}

// whole is an action in the units of bounds: thousandths of a level or W.
func whole(d lamppost.Decimal) int64 {
	for exp := int8(0); exp >= -1; exp-- {
		if n, ok := d.At(exp); ok {
			return n
		}
	}
	return 0
}

func abs(x int64) int64 { return max(x, -x) }

// say keeps what decisions were decided from, orders them, and keeps what came of it. Where the ledger does not take all together, each half is
// ordered by itself.
func (p *Pilot) say(ctx context.Context, part []due) error {
	if err := p.keep(part); err != nil {
		return err
	}
	b := &lamppost.DecisionsBody{Model: agent.Model()}
	for i := range part {
		b.Decisions = append(b.Decisions, part[i].body)
		if part[i].outcome != nil {
			b.Outcomes = append(b.Outcomes, *part[i].outcome)
		}
	}
	timed, cancel := context.WithTimeout(ctx, orderTimeout)
	h, tx, err := p.cfg.Order(timed, b)
	cancel()
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		p.stands(part, h, tx)
		return nil
	case !errors.As(err, &refusal):
		p.cfg.Log.Warn("decisions cannot be ordered now; the next minute decides anew", "decisions", len(part), "error", err)
		return nil
	case !refusal.Code.Final():
		return nil
	case len(part) > 1:
		return errors.Join(p.say(ctx, part[:len(part)/2]), p.say(ctx, part[len(part)/2:]))
	}
	p.refuse(&part[0].body, refusal)
	return nil
}

// stands begins the runs of decisions that stand on the ledger.
func (p *Pilot) stands(part []due, h lamppost.Height, tx uint32) {
	for i := range part {
		x := &part[i]
		in, err := agent.ParseInputs(x.inputs)
		if err != nil { // they were written by the same program
			p.cfg.Log.Error("inputs of a decision cannot be read", "device", x.body.Device, "error", err)
			continue
		}
		acted := x.m.run != nil && x.m.run.body.Mode == lamppost.AgentBounded
		id := lamppost.DecisionID{Height: h, Tx: tx, Index: uint32(i)}
		x.m.run = &run{id: id, body: x.body, inputs: in, data: Data{Start: x.end}, sampled: x.body.At}
		p.count(func(c *Counts) {
			if c.Decisions++; x.body.Mode == lamppost.AgentSafe || x.body.Mode == lamppost.AgentStopped {
				c.Safe++
			}
		})
		c := Command{Device: x.body.Device, Function: x.m.body.Function, Mode: x.body.Mode, Decision: id}
		if c.Function == "" {
			c.Function = x.body.Action.Name
		}
		switch {
		case x.body.Mode == lamppost.AgentBounded:
			action := x.body.Action
			c.Action, c.Until = &action, x.body.At+commandedFor
		case !acted:
			continue // nothing was told before
		}
		p.told = append(slices.DeleteFunc(p.told, func(old Command) bool { return old.Device == c.Device }), c)
	}
}

// tell tells devices. What cannot be told now is tried again a minute later.
func (p *Pilot) tell(ctx context.Context) {
	if len(p.told) == 0 {
		return
	}
	if p.cfg.Command == nil {
		p.count(func(c *Counts) { c.Lost += uint64(len(p.told)) })
		p.told = nil
		return
	}
	if err := p.cfg.Command(ctx, p.told); err != nil {
		p.cfg.Log.Warn("devices cannot be told what their agents decided; trying again", "devices", len(p.told), "error", err)
		return
	}
	p.told = nil
}

// refresh reads the agents that this node runs.
func (p *Pilot) refresh(v ledger.View) error {
	all, err := v.Agents()
	if err != nil {
		return err
	}
	before := p.crew
	p.crew, p.order = map[lamppost.DeviceID]*member{}, p.order[:0]
	for _, b := range all {
		if b.Member != p.cfg.Member || len(p.order) == MaxAgents {
			continue
		}
		m := &member{body: b}
		if old := before[b.Device]; old != nil {
			m.run = old.run
		} else if m.run, err = p.resume(v, b.Device); err != nil {
			return err
		}
		if m.terms, err = termsOf(v, &b); err != nil {
			return err
		}
		p.crew[b.Device] = m
		p.order = append(p.order, m)
	}
	slices.SortFunc(p.order, func(a, b *member) int { return strings.Compare(string(a.body.Device), string(b.body.Device)) })
	p.count(func(c *Counts) { c.Agents = len(p.order) })
	return p.follow(v)
}

// resume goes on with the last decision of a device. What was observed of it before a restart is not known any more.
func (p *Pilot) resume(v ledger.View, id lamppost.DeviceID) (*run, error) {
	var last *ledger.Decision
	err := v.DecisionsOf(id, func(d *ledger.Decision) error {
		last = d
		return kv.ErrStop
	})
	if err != nil || last == nil || last.By != p.cfg.Member || last.Outcome != nil {
		return nil, err
	}
	e, err := readEvidence(v, id, last.Body.At)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in, err := agent.ParseInputs(e.Inputs)
	if err != nil {
		p.cfg.Log.Warn("what a device's agent decided last cannot be read", "device", id, "error", err)
		return nil, nil
	}
	return &run{id: last.ID, body: last.Body, inputs: in, data: Data{Start: e.Start}, sampled: last.Body.At}, nil
}

// Close keeps what forecasts know.
func (p *Pilot) Close(now lamppost.TimeMS) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.save(now, true)
}

// Run ticks whenever a minute of a clock is over, and keeps what forecasts know when it ends.
func (p *Pilot) Run(ctx context.Context, now func() lamppost.TimeMS, wall time.Duration) error {
	tick := time.NewTicker(wall)
	defer tick.Stop()
	next := lamppost.TimeMS(0)
	for {
		select {
		case <-ctx.Done():
			return p.Close(now())
		case <-tick.C:
		}
		t := now()
		if t < next && !p.stale.Load() { // an owner who stops an agent does not wait for the minute
			continue
		}
		next = t - t%Every + Every
		if err := p.Tick(ctx, t); err != nil && ctx.Err() == nil {
			return err
		}
	}
}
