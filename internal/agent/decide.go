package agent

import (
	"math"

	"github.com/lamppost/lamppost"
)

// An option is something that could be done in the first interval.
type option struct {
	value int64 // of the action, in units of the bounds
	cost  int64 // over the horizon: this, and then what is best; Micro
	spend int64 // in the first interval; Micro
	now   int64 // of cost: the first interval's bill; Micro
}

// maxOptions is enough for a storage's grid and the points where its costs bend.
const maxOptions = 272

// A choice is what a kind works out.
type choice struct {
	safe    option // the safe rule in the first interval, and then what is best
	options [maxOptions]option
	n       int
	// planned: the first option is part of a plan with others, and only the spending limit may lower it.
	planned bool
	reasons [MaxReasons]reason
	nr      int
	seen    [3]seen // forecasts that mattered
	ns      int
}

type seen struct {
	name string
	p    Point
}

// A reason is one in numbers, before it is written out. set says which of them count: 1 value, 2 low, 4 high.
type reason struct {
	code             string
	value, low, high int64
	set              uint8
	of               quantity
	at               lamppost.TimeMS
	other            string
}

func (c *choice) offer(o option) {
	if c.n < maxOptions {
		c.options[c.n] = o
		c.n++
	}
}

func (c *choice) because(r reason) {
	if c.nr < MaxReasons {
		c.reasons[c.nr] = r
		c.nr++
	}
}

func (c *choice) saw(name string, p Point) {
	c.seen[c.ns] = seen{name, p}
	c.ns++
}

// hold keeps a value within the bounds.
func (b Bounds) hold(v int64) int64 { return max(b.Least, min(v, b.Most)) }

// Decide says what to do in the first interval. It never fails: what it cannot use makes it follow the safe rule. Its result has no commitment and
// no flip: see [Record].
func Decide(in *Inputs) lamppost.Decision {
	var c choice
	best, mode := in.decide(&c)
	d := lamppost.Decision{Device: in.Device, Kind: in.Kind, At: in.At, Until: in.At + in.Step, Mode: mode, Action: in.action(best.value), Currency: in.Currency}
	d.Reasons = c.explain(in)
	if mode == lamppost.AgentSafe || mode == lamppost.AgentStopped {
		return d
	}
	d.Gain, d.Spend = lamppost.Micro(c.safe.cost-best.cost), max(0, lamppost.Micro(best.spend))
	d.Alternatives = c.alternatives(in, best)
	if c.ns > 0 {
		d.Forecast = make([]lamppost.Expected, c.ns)
		for i, s := range c.seen[:c.ns] {
			q := in.quantity(s.name)
			d.Forecast[i] = lamppost.Expected{Name: s.name, Unit: in.unit(q), Mean: q.dec(s.p.Mean), Low: q.dec(s.p.Low), High: q.dec(s.p.High)}
		}
	}
	return d
}

// decide picks an option, and in which mode.
func (in *Inputs) decide(c *choice) (option, lamppost.AgentMode) {
	if !in.valid() {
		c.because(reason{code: "bad_inputs"})
		return option{value: in.Bounds.hold(rest(in.Kind))}, lamppost.AgentSafe
	}
	safe := option{value: in.Bounds.hold(in.safe())}
	if in.Mode == lamppost.AgentStopped {
		c.because(reason{code: "stopped"})
		return safe, lamppost.AgentStopped
	}
	if name, why := in.weigh(c); why != "" {
		c.nr = 0
		c.because(reason{code: why, other: name})
		return safe, lamppost.AgentSafe
	}
	if in.Site != nil {
		in.trade(c)
	}
	best, held := c.pick(in)
	if held {
		c.limited(*in.Budget)
	}
	return c.options[best], in.Mode
}

// weigh fills the choice, or says which forecast cannot be used and why.
func (in *Inputs) weigh(c *choice) (name, why string) {
	switch in.Kind {
	case lamppost.AgentLamp:
		return in.lamp(c)
	case lamppost.AgentCharger:
		return in.charger(c)
	case lamppost.AgentStorage:
		return in.storage(c)
	}
	return in.valve(c)
}

// safe is the safe rule: what the device does without an agent.
func (in *Inputs) safe() int64 {
	switch in.Kind {
	case lamppost.AgentLamp:
		return in.lampSafe()
	case lamppost.AgentCharger:
		return in.chargerSafe()
	case lamppost.AgentValve:
		return in.valveSafe()
	}
	return 0
}

// rest is the safe rule where not even the inputs can be read: light, no power, an open valve.
func rest(k lamppost.AgentKind) int64 {
	if k == lamppost.AgentLamp || k == lamppost.AgentValve {
		return 1000
	}
	return 0
}

// pick returns the cheapest option that the spending limit allows, of equals the first; of a plan, the first. Where the limit allows none, it is the
// one that spends least. held says that without the limit it were another.
func (c *choice) pick(in *Inputs) (best int, held bool) {
	free, best, thrifty := 0, -1, 0
	for i, o := range c.options[:c.n] {
		if o.spend < c.options[thrifty].spend {
			thrifty = i
		}
		if o.cost < c.options[free].cost && !c.planned {
			free = i
		}
		within := in.Budget == nil || o.spend <= max(0, int64(*in.Budget))
		if within && (best < 0 || o.cost < c.options[best].cost && !(c.planned && best == 0)) {
			best = i
		}
	}
	if best < 0 {
		return thrifty, true
	}
	return best, best != free
}

// limited puts the spending limit before other reasons.
func (c *choice) limited(budget lamppost.Micro) {
	c.first(reason{code: "spending_limit", value: int64(budget), set: 1, of: money})
}

// first puts a reason before all others.
func (c *choice) first(r reason) {
	copy(c.reasons[1:], c.reasons[:])
	c.reasons[0] = r
	c.nr = min(c.nr+1, MaxReasons)
}

// class is what makes an action another one: of powers their direction.
func (in *Inputs) class(v int64) int64 {
	if in.Kind == lamppost.AgentStorage || in.Kind == lamppost.AgentCharger {
		return int64(sign(v))
	}
	return v
}

func sign(v int64) int {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// alternatives are the two best of other actions, each the best of its class.
func (c *choice) alternatives(in *Inputs, best option) []lamppost.Alternative {
	var two [2]option
	n := 0
	for range two {
		found := option{cost: math.MaxInt64}
		for _, o := range c.options[:c.n] {
			taken := in.same(o, best) || n > 0 && in.same(o, two[0])
			if !taken && o.cost < found.cost {
				found = o
			}
		}
		if found.cost == math.MaxInt64 {
			break
		}
		two[n] = found
		n++
	}
	if n == 0 {
		return nil
	}
	all := make([]lamppost.Alternative, n)
	for i, o := range two[:n] {
		all[i] = lamppost.Alternative{Action: in.action(o.value), Gain: lamppost.Micro(c.safe.cost - o.cost)}
	}
	return all
}

// same reports whether two options are one alternative.
func (in *Inputs) same(a, b option) bool {
	if in.Kind == lamppost.AgentCharger {
		return a.value == b.value
	}
	return in.class(a.value) == in.class(b.value)
}

// action writes an action out.
func (in *Inputs) action(v int64) lamppost.Action {
	switch in.Kind {
	case lamppost.AgentLamp:
		return lamppost.Action{Name: "level", Value: level.dec(v), Unit: level.unit}
	case lamppost.AgentValve:
		return lamppost.Action{Name: "valve", Value: level.dec(v), Unit: level.unit}
	}
	return lamppost.Action{Name: "power", Value: power.dec(v), Unit: power.unit}
}

// A quantity says how an integer of the inputs is written.
type quantity struct {
	exp  int8
	unit string
}

var (
	level   = quantity{-1, "%"}
	power   = quantity{0, "W"}
	energy  = quantity{0, "Wh"}
	money   = quantity{-6, ""}
	traffic = quantity{0, "1/h"}
	light   = quantity{0, "lx"}
	flow    = quantity{-3, "L/h"}
	perKWh  = quantity{-6, "/kWh"} // of the currency
)

func (q quantity) dec(v int64) lamppost.Decimal { return lamppost.Dec(v, q.exp) }

// quantity says how a forecast's numbers are written.
func (in *Inputs) quantity(name string) quantity {
	switch name {
	case "traffic":
		return traffic
	case "daylight":
		return light
	case "load":
		return power
	case "use":
		return flow
	}
	return perKWh
}

// explain writes the reasons out. A decision has one at least.
func (c *choice) explain(in *Inputs) []lamppost.VerdictReason {
	all, numbers := make([]lamppost.VerdictReason, c.nr), make([]lamppost.Decimal, 3*c.nr)
	for i, r := range c.reasons[:c.nr] {
		all[i] = lamppost.VerdictReason{Code: r.code, At: r.at, Other: r.other}
		for k, x := range [...]struct {
			v  int64
			to **lamppost.Decimal
		}{{r.value, &all[i].Value}, {r.low, &all[i].Low}, {r.high, &all[i].High}} {
			if r.set&(1<<k) != 0 {
				numbers[3*i+k] = r.of.dec(x.v)
				*x.to = &numbers[3*i+k]
			}
		}
	}
	return all
}

// forecastReason tells of a forecast's first interval.
func forecastReason(code string, of quantity, p Point) reason {
	return reason{code: code, value: p.Mean, low: p.Low, high: p.High, set: 7, of: of}
}
