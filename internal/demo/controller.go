package demo

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

const (
	limitW   = 55_000             // that all chargers may draw together: three phases of 80 A
	worthKWh = lamppost.MicroUnit // that a driver asked for
)

// A controller runs the agents of a car park's chargers, beside its connection: it hears from each charger which car is there. It decides at each
// quarter hour, and when a car comes, is full or goes.
type controller struct {
	park   *carPark
	places []place
	last   lamppost.TimeMS // when it decided
	made   []thought       // in order: each change of an action
}

// A place is what the agent of a charger has decided, and what came of it until now.
type place struct {
	guard   *guard.State
	decided lamppost.Decision
	car     *car  // that is there
	left    int64 // that it wanted when the agent was asked last
	samples []pilot.Sample
}

// A thought is a decision that is not worked out for the ledger yet.
type thought struct {
	in      *agent.Inputs
	samples []pilot.Sample // of the time in which the one before it held
}

func newController(p *carPark) *controller {
	k := &controller{park: p, places: make([]place, len(p.machines)), last: p.from}
	for i := range k.places {
		k.places[i].guard = guard.New(p.machines[i].safety)
	}
	return k
}

// chargerAgent is what the operator orders of a charger's agent. When a driver leaves is nobody's business but the controller's, so no reading says it.
func chargerAgent(id lamppost.DeviceID, tariff string) lamppost.AgentBody {
	watts := func(name string, n int64) lamppost.AgentRule {
		return lamppost.AgentRule{Name: name, Value: lamppost.Dec(n, 0), Unit: "W"}
	}
	return lamppost.AgentBody{Device: id, Kind: lamppost.AgentCharger, Mode: lamppost.AgentBounded, Member: member, Currency: currency, Tariff: tariff, Site: carParkSite,
		Inputs: []lamppost.AgentInput{{Name: "power", Device: id, Reading: "power"}},
		Rules:  []lamppost.AgentRule{watts("limit", limitW), watts("most", fastestW), watts("share", limitW), {Name: "worth", Value: lamppost.Dec(int64(worthKWh), -6)}}}
}

// inputs are what the agents decide from: who is there, and the prices of the operator's tariff.
func (k *controller) inputs(now lamppost.TimeMS, cars []*car) []*agent.Inputs {
	prices := []agent.Forecast{{Name: "price", Usable: true, Points: make([]agent.Point, horizon)}}
	for i := range prices[0].Points {
		at := now + lamppost.TimeMS(i)*quarterMS
		price := int64(k.park.price(at))
		prices[0].Points[i] = agent.Point{At: at, Mean: price, Low: price, High: price}
	}
	site := &agent.Charger{Limit: limitW, Worth: worthKWh}
	for _, c := range cars {
		site.Sessions = append(site.Sessions, agent.Session{Device: c.id, Need: c.need(), Departs: c.departs(), Most: c.most()})
	}
	all := make([]*agent.Inputs, len(k.places))
	for i := range all {
		all[i] = &agent.Inputs{Format: 1, Device: k.park.machines[i].id, Kind: lamppost.AgentCharger, Mode: lamppost.AgentBounded, At: now, Step: quarterMS, Steps: horizon,
			Currency: currency, Bounds: agent.Bounds{Most: fastestW}, Forecasts: prices, Charger: site}
	}
	agent.Trade(all, limitW, 1000)
	return all
}

// decide is a [way]: each agent decides, and its charger's guard has the last word.
func (k *controller) decide(now lamppost.TimeMS, cars []*car) {
	k.sample(now)
	for i, in := range k.inputs(now, cars) {
		a := &k.places[i]
		d := agent.Decide(in)
		a.car = nil
		for _, c := range cars {
			if c.id == in.Device {
				a.car, a.left, c.watts = c, c.left, a.grant(d.Action)
			}
		}
		if d.Mode == a.decided.Mode && d.Action == a.decided.Action {
			continue
		}
		k.made = append(k.made, thought{in, a.samples})
		a.decided, a.samples = d, nil
	}
}

// grant is what the guard lets a charger do of an action, in W.
func (a *place) grant(x lamppost.Action) (watts int64) {
	if got := a.guard.Command(lamppost.Setpoint(x)).Got; got != nil {
		watts, _ = got.At(0)
	}
	return watts
}

// sample notes what flowed since the agents were asked last.
func (k *controller) sample(now lamppost.TimeMS) {
	for i := range k.places {
		a := &k.places[i]
		s := pilot.Sample{At: now, For: now - k.last, Known: pilot.KnowsCharger, Price: int64(k.park.price(k.last))}
		if s.For == 0 {
			return
		}
		if a.car != nil {
			s.Actual = (a.left - a.car.left) / int64(s.For)
		}
		a.samples = append(a.samples, s)
	}
	k.last = now
}

// made works a decision out for the ledger: what would have changed it takes some hundred decisions more.
func (t *thought) made() pilot.Made {
	return pilot.Made{Decision: agent.Record(t.in), Inputs: t.in.Encode(), Samples: t.samples}
}
