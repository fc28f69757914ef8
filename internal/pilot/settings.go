package pilot

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// What an owner says of an agent is a list of named numbers; docs/agents.md has them by kind. What is not said has the value here.

// Step is of a decision's horizon, and of what is forecast.
const Step lamppost.TimeMS = 15 * 60_000

const (
	step  = Step
	steps = 96
)

// terms are an agent's settings as its inputs have them.
type terms struct {
	bounds  agent.Bounds
	limited bool // it is a profit centre
	inputs  map[string]lamppost.AgentInput
	tariff  string
	share   int64 // W that its site's devices may draw together; 0: it does not trade
	lamp    agent.Lamp
	sensor  bool
	charger agent.Charger
	own     int64 // W that a charger gives at most
	storage agent.Storage
	valve   agent.Valve
	water   lamppost.AgentInput // whose verdicts are of leaks
}

// rules reads numbers by name.
type rules []lamppost.AgentRule

// of returns a rule in units of 10^exp, or what holds otherwise.
func (all rules) of(name string, exp int8, otherwise int64) int64 {
	for i := range all {
		if all[i].Name != name {
			continue
		}
		for d := all[i].Value; ; {
			if n, ok := d.At(exp); ok {
				return n
			}
			if d.Exponent >= 0 || d.Exponent < lamppost.MinExponent {
				return otherwise
			}
			d = lamppost.Dec(d.Mantissa/10, d.Exponent+1) // finer than it counts
		}
	}
	return otherwise
}

func (all rules) money(name string, otherwise lamppost.Micro) lamppost.Micro {
	return lamppost.Micro(all.of(name, -6, int64(otherwise)))
}

func termsOf(v ledger.View, b *lamppost.AgentBody) (t terms, err error) {
	r := rules(b.Rules)
	t.inputs, t.tariff, t.share = map[string]lamppost.AgentInput{}, b.Tariff, min(r.of("share", 0, 0), agent.MaxPower)
	for _, in := range b.Inputs {
		t.inputs[in.Name] = in
	}
	percent := b.Kind == lamppost.AgentLamp || b.Kind == lamppost.AgentValve
	switch b.Kind {
	case lamppost.AgentLamp:
		t.lamp = agent.Lamp{Full: r.of("full", 0, 100), Idle: r.of("idle", 0, 0), Dark: r.of("dark", 0, 10), Change: r.money("change", 0), Worth: r.money("worth", 0)}
		t.lamp.Needs, t.sensor = needsOf(r), r.of("sensor", 0, 0) != 0
	case lamppost.AgentCharger:
		t.own = r.of("most", 0, 11_000)
		t.charger = agent.Charger{Limit: r.of("limit", 0, t.own), Worth: r.money("worth", lamppost.MicroUnit), Kept: r.of("kept", -1, 0), Risk: r.of("risk", -1, 0)}
		t.bounds = agent.Bounds{Most: t.own}
	case lamppost.AgentStorage:
		s := agent.Storage{Capacity: r.of("capacity", 0, 10_000), In: r.of("in", 0, 5000), Out: r.of("out", 0, 5000), InShare: r.of("in_share", -1, 950), OutShare: r.of("out_share", -1, 950),
			Wear: r.money("wear", 0), Reserve: r.of("reserve", 0, 0), Feed: r.of("feed", -1, 0), Limit: r.of("limit", 0, 0), Risk: r.of("risk", -1, 0)}
		t.storage, t.bounds = s, agent.Bounds{Least: -s.Out, Most: s.In}
	case lamppost.AgentValve:
		t.valve = agent.Valve{Essential: r.of("essential", 0, 0) != 0, Vacant: r.of("vacant", 0, 0) != 0, Retry: lamppost.TimeMS(r.of("retry", -3, 0)),
			Price: r.money("price", 2*lamppost.MicroUnit), Damage: r.money("damage", 0), Worth: r.money("worth", 10*lamppost.MicroUnit)}
		t.water = t.inputs["use"]
	}
	if percent {
		t.bounds = agent.Bounds{Least: r.of("least", -1, 0), Most: r.of("most", -1, 1000)}
		least, err := leastOf(v, b)
		if err != nil {
			return t, err
		}
		t.bounds.Least = min(max(t.bounds.Least, least), 1000)
		t.bounds.Most = max(t.bounds.Most, t.bounds.Least)
	}
	_, err = v.Centre(b.Device)
	t.limited = err == nil
	if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	return t, err
}

// needsOf reads the rules level_0, level_100 and so on: the level required from so many vehicles an hour on.
func needsOf(r rules) []agent.Need {
	needs := []agent.Need{{From: 0, Level: r.of("level_0", -1, 1000)}}
	for _, from := range [...]struct {
		name string
		n    int64
	}{{"level_10", 10}, {"level_30", 30}, {"level_100", 100}, {"level_300", 300}, {"level_1000", 1000}, {"level_3000", 3000}} {
		if level := r.of(from.name, -1, -1); level > needs[len(needs)-1].Level {
			needs = append(needs, agent.Need{From: from.n, Level: level})
		}
	}
	return needs
}

// leastOf is the level under which the guard lets a device's function not go, in thousandths: an agent does not ask for what would be refused.
func leastOf(v ledger.View, b *lamppost.AgentBody) (int64, error) {
	d, err := v.Device(b.Device)
	if err != nil {
		return 0, err
	}
	f := lamppost.DefaultFunction(functionOf(b), d.Safety)
	charters, err := v.Charters(b.Device)
	if err != nil {
		return 0, err
	}
	if n := len(charters); n > 0 {
		c, err := lamppost.ParseCharter(charters[n-1].Charter)
		if err != nil {
			return 0, err
		}
		f = lamppost.DefaultFunction(functionOf(b), lamppost.Essential) // whatever nobody named
		for _, x := range c.Charter.Functions {
			if x.Name == functionOf(b) {
				f = x
			}
		}
	}
	switch f.Class {
	case lamppost.Life, lamppost.Essential: // a restriction takes notice, which a decision has not given
		return 1000, nil
	case lamppost.Public:
		return 10 * int64(f.Min), nil
	}
	return 0, nil
}

func functionOf(b *lamppost.AgentBody) string {
	switch {
	case b.Function != "":
		return b.Function
	case b.Kind == lamppost.AgentLamp:
		return "level"
	case b.Kind == lamppost.AgentValve:
		return "valve"
	}
	return "power"
}

// limit reads what is left of a device's spending limit.
func (p *Pilot) limit(v ledger.View, m *member, now lamppost.TimeMS) error {
	m.budget = nil
	if !m.terms.limited {
		return nil
	}
	left := lamppost.Micro(0)
	x, err := v.Spending(m.body.Device, now)
	if err != nil {
		return err
	}
	if x != nil {
		left = x.Limit - x.Spent - x.Held - x.Decided
		if r := m.run; r != nil && r.body.Mode == lamppost.AgentBounded && r.body.At >= x.From { // it comes back with its outcome
			data := r.data
			data.Until = now
			left += r.body.Spend - Realise(r.inputs, &r.body, &data).Spent
		}
	}
	left = max(0, left)
	m.budget = &left
	return nil
}

// inputs are all that an agent decides from now.
func (p *Pilot) inputs(v ledger.View, m *member, sites map[string][]agent.Session, now lamppost.TimeMS) *agent.Inputs {
	t := &m.terms
	in := &agent.Inputs{Format: 1, Device: m.body.Device, Kind: m.body.Kind, Mode: m.body.Mode, At: now, Step: step, Steps: steps, Currency: m.body.Currency, Bounds: t.bounds, Budget: m.budget}
	if t.tariff != "" && m.body.Kind != lamppost.AgentValve {
		in.Forecasts = append(in.Forecasts, p.prices[t.tariff].forecast(now))
	}
	for _, name := range forecasts[m.body.Kind] {
		if x, ok := t.inputs[name]; ok {
			in.Forecasts = append(in.Forecasts, p.feeds[feedOf(x)].forecast(name, now))
		}
	}
	switch m.body.Kind {
	case lamppost.AgentLamp:
		l := t.lamp
		l.Level = m.shown(p, "level", 10)
		if t.sensor {
			if n, ok := p.value(t.inputs["traffic"], now, 1); ok {
				l.Sensed = &n
			}
		}
		in.Lamp = &l
	case lamppost.AgentCharger:
		c := t.charger
		c.Sessions = sites[m.body.Site]
		in.Charger = &c
	case lamppost.AgentStorage:
		if n, ok := p.value(t.inputs["stored"], now, 1); ok {
			s := t.storage
			s.Energy = min(max(n, 0), s.Capacity)
			in.Storage = &s
		}
	case lamppost.AgentValve:
		x := t.valve
		p.leak(v, m, &x, now)
		in.Valve = &x
	}
	return in
}

// shown is what a device says that it does, or what its agent decided last.
func (m *member) shown(p *Pilot, name string, scale int64) int64 {
	if r, ok := m.terms.inputs[name]; ok {
		if n, ok := p.value(r, 0, scale); ok {
			return n
		}
	}
	if m.run == nil || m.run.body.Mode != lamppost.AgentBounded {
		return 0
	}
	return whole(m.run.body.Action.Value)
}

// closed reports whether a valve was told to close.
func (m *member) closed() bool {
	return m.run != nil && m.run.body.Mode == lamppost.AgentBounded && m.run.body.Action.Value.Mantissa == 0
}

// leak looks whether a verdict stands on the water meter, or a reading says that water runs.
func (p *Pilot) leak(v ledger.View, m *member, x *agent.Valve, now lamppost.TimeMS) {
	const perLitre = 1000
	x.Flow, _ = p.value(m.terms.inputs["use"], now, perLitre)
	x.Flow = max(0, x.Flow)
	if m.closed() {
		x.Closed = now - m.run.body.At + m.run.data.Start.Closed
	}
	if n, ok := p.value(m.terms.inputs["leak"], now, perLitre); ok && n > 0 {
		x.Leak = &agent.Leak{Flow: n, Sure: 900}
	}
	if m.terms.water.Device == "" {
		return
	}
	v.VerdictsOf(m.terms.water.Device, lamppost.VerdictID{}, func(f *ledger.Verdict) error {
		if f.Body.Name != m.terms.water.Reading || now-f.Time > keptFor {
			return nil
		}
		if !f.Open() {
			x.Cleared = x.Leak == nil
			if r := m.run; r != nil && f.Answer().Answer == lamppost.ReviewNormal {
				r.data.Dismissed = x.Cleared
			}
			return kv.ErrStop
		}
		if x.Leak == nil {
			x.Leak = &agent.Leak{Flow: x.Flow, Sure: 800}
			if x.Closed > 0 && m.run.inputs.Valve.Leak != nil { // a closed valve hides how much it was
				x.Leak.Flow = m.run.inputs.Valve.Leak.Flow
			}
		}
		x.Leak.For = max(0, now-f.Body.Since)
		return kv.ErrStop
	})
}

// sites are the vehicles that are plugged in, by site. A charger alone is a site of its own.
func (p *Pilot) sites(now lamppost.TimeMS) map[string][]agent.Session {
	all := map[string][]agent.Session{}
	for _, m := range p.order { // by device, as sessions are
		if m.body.Kind != lamppost.AgentCharger || len(all[m.body.Site]) == agent.MaxSessions {
			continue
		}
		need, ok := p.value(m.terms.inputs["need"], now, 1)
		if !ok || need <= 0 {
			continue
		}
		departs, ok := p.value(m.terms.inputs["departs"], now, 1) // s
		if !ok {
			departs = int64(now)/1000 + 4*3600
		}
		all[m.body.Site] = append(all[m.body.Site], agent.Session{Device: m.body.Device, Need: need, Departs: lamppost.TimeMS(departs) * 1000, Most: m.terms.own, Equal: m.body.Mode != lamppost.AgentBounded})
	}
	return all
}

func validPrice(versions []tariff.Tariff) bool {
	return len(versions) > 0 && versions[0].PerUnit == "kWh"
}
