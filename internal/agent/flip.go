package agent

import (
	"crypto/sha256"
	"slices"

	"github.com/lamppost/lamppost"
)

// Record decides, and adds what the ledger keeps: the commitment to the inputs, and what would have changed the action. That takes some hundred
// decisions more.
func Record(in *Inputs) lamppost.Decision { return record(in, in.Encode()) }

// Replay decides from encoded inputs as [Record] did.
func Replay(data []byte) (lamppost.Decision, error) {
	in, err := ParseInputs(data)
	if err != nil {
		return lamppost.Decision{}, err
	}
	return record(in, data), nil
}

func record(in *Inputs, data []byte) lamppost.Decision {
	d := Decide(in)
	d.Inputs = sha256.Sum256(data)
	if d.Mode == lamppost.AgentAdvises || d.Mode == lamppost.AgentBounded {
		d.Flip = in.flip()
	}
	return d
}

// A knob is an input that could have been another.
type knob struct {
	what      string
	of        quantity
	low, high int64
	value     int64
	set       func(in *Inputs, v int64)
}

// flip looks for the smallest change of one input that changes the action. Of each input it doubles a change until the action is another, and
// halves it down to where one unit less leaves the action as it is: that is exact, unless an input changes the action to and fro within
// less than the first change found. The change that is least against the input's own size counts.
func (in *Inputs) flip() *lamppost.Flip {
	work := in.clone()
	now := work.chosen()
	var found *lamppost.Flip
	least := int64(0)
	for _, k := range work.knobs() {
		for _, way := range [...]int64{-1, 1} {
			by := work.turn(k, way, now)
			if by == 0 {
				continue
			}
			if size := by * 1000 / max(1, abs(k.value)); found == nil || size < least {
				k.set(work, k.value+way*by)
				least, found = size, &lamppost.Flip{What: k.what, Threshold: k.of.dec(k.value + way*(by-1)), Unit: work.unit(k.of), Below: way < 0, Other: work.action(work.chosen())}
			}
			k.set(work, k.value)
		}
	}
	return found
}

// chosen is the action, in units of the bounds.
func (in *Inputs) chosen() int64 {
	var c choice
	best, _ := in.decide(&c)
	return best.value
}

// turn returns the least change of a knob one way after which the action is another, 0 where none is found. It leaves the knob as it was.
func (in *Inputs) turn(k knob, way, now int64) int64 {
	most := k.high - k.value
	if way < 0 {
		most = k.value - k.low
	}
	other := func(by int64) bool {
		k.set(in, k.value+way*by)
		return in.class(in.chosen()) != in.class(now)
	}
	defer k.set(in, k.value)
	same, by := int64(0), int64(1)
	for ; ; by = min(2*by, most) {
		if by > most {
			return 0
		}
		if other(by) {
			break
		}
		if same = by; by == most {
			return 0
		}
	}
	for by-same > 1 {
		if mid := same + (by-same)/2; other(mid) {
			by = mid
		} else {
			same = mid
		}
	}
	return by
}

// knobs are the inputs of a kind that people can picture to be others.
func (in *Inputs) knobs() []knob {
	var all []knob
	for i, f := range in.Forecasts {
		p, why := in.series(f.Name)
		if why != "" {
			continue
		}
		first, bound := p[0], int64(MaxPrice)
		if f.Name == "load" {
			bound = MaxPower
		}
		low := first.Mean - first.Low - bound
		if f.Name == "traffic" || f.Name == "daylight" || f.Name == "use" {
			low = first.Mean - first.Low // none of them is below 0
		}
		all = append(all, knob{f.Name, in.quantity(f.Name), low, bound + first.Mean - first.High, first.Mean, func(in *Inputs, v int64) {
			in.Forecasts[i].Points[0] = Point{At: first.At, Mean: v, Low: v - first.Mean + first.Low, High: v - first.Mean + first.High}
		}})
	}
	switch {
	case in.Lamp != nil && in.Lamp.Sensed != nil:
		all = append(all, knob{"sensed", traffic, 0, most, *in.Lamp.Sensed, func(in *Inputs, v int64) { *in.Lamp.Sensed = v }})
	case in.Charger != nil:
		all = append(all, knob{"limit", power, 0, MaxPower, in.Charger.Limit, func(in *Inputs, v int64) { in.Charger.Limit = v }})
		if i := in.own(); i >= 0 {
			all = append(all, knob{"need", energy, 0, MaxEnergy, in.Charger.Sessions[i].Need, func(in *Inputs, v int64) { in.Charger.Sessions[i].Need = v }})
		}
	case in.Storage != nil:
		all = append(all, knob{"stored", energy, 0, in.Storage.Capacity, in.Storage.Energy, func(in *Inputs, v int64) { in.Storage.Energy = v }})
	case in.Valve != nil && in.Valve.Leak != nil:
		all = append(all, knob{"leak", flow, 0, maxLeak, in.Valve.Leak.Flow, func(in *Inputs, v int64) { in.Valve.Leak.Flow = v }},
			knob{"sure", level, 0, 1000, in.Valve.Leak.Sure, func(in *Inputs, v int64) { in.Valve.Leak.Sure = v }})
	}
	return all
}

// clone copies the inputs as deep as knobs go.
func (in *Inputs) clone() *Inputs {
	c := *in
	c.Forecasts = slices.Clone(in.Forecasts)
	for i := range c.Forecasts {
		c.Forecasts[i].Points = slices.Clone(c.Forecasts[i].Points)
	}
	if in.Lamp != nil {
		l := *in.Lamp
		if l.Sensed != nil {
			sensed := *l.Sensed
			l.Sensed = &sensed
		}
		c.Lamp = &l
	}
	if in.Charger != nil {
		g := *in.Charger
		g.Sessions = slices.Clone(g.Sessions)
		c.Charger = &g
	}
	if in.Storage != nil {
		s := *in.Storage
		c.Storage = &s
	}
	if in.Valve != nil {
		v := *in.Valve
		if v.Leak != nil {
			l := *v.Leak
			v.Leak = &l
		}
		c.Valve = &v
	}
	return &c
}

// unit writes a unit with the currency where it is a price.
func (in *Inputs) unit(q quantity) string {
	if q == perKWh {
		return in.Currency + q.unit
	}
	return q.unit
}
