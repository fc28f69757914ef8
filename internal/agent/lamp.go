package agent

import "github.com/lamppost/lamppost"

// A Lamp is a street lamp whose required level depends on traffic, as in the adaptive classes of road lighting: CEN/TR 13201-1:2014 weighs
// traffic in three ranges of the road's capacity, each of which moves the class of EN 13201-2 by one.
//
// It needs the forecasts "traffic" (vehicles/h), "daylight" (lx) and "price". A lamp with a sensor raises itself, at once, to what the traffic that
// it sees requires, whatever it was told: so only the sensed traffic bounds what it is told, and a forecast that was too low costs a
// change. One without a sensor is told the level of the forecast's upper bound.
type Lamp struct {
	Full   int64          `cbor:"1,keyasint" json:"full"`             // W at full level
	Idle   int64          `cbor:"2,keyasint" json:"idle"`             // W while it is lit that no dimming saves
	Needs  []Need         `cbor:"3,keyasint" json:"needs"`            // 1 to MaxNeeds, ascending
	Dark   int64          `cbor:"4,keyasint" json:"dark"`             // lx under which it is lit
	Level  int64          `cbor:"5,keyasint" json:"level"`            // now, in thousandths; 0: it is not lit
	Change lamppost.Micro `cbor:"6,keyasint" json:"change"`           // what it is worth that the level does not change once
	Sensed *int64         `cbor:"7,keyasint,omitempty" json:"sensed"` // vehicles/h now by its own sensor; nil: it has none
	Worth  lamppost.Micro `cbor:"8,keyasint,omitempty" json:"worth"`  // of an hour of full light beyond what is required
}

// A Need is the level required from so much traffic on.
type Need struct {
	_     struct{} `cbor:",toarray"`
	From  int64    `json:"from"`  // vehicles/h; 0 of the first
	Level int64    `json:"level"` // thousandths
}

func (l *Lamp) valid() bool {
	ok := between(l.Full, 0, MaxPower) && between(l.Idle, 0, l.Full) && len(l.Needs) > 0 && len(l.Needs) <= MaxNeeds && l.Needs[0].From == 0 &&
		within(l.Dark, most) && between(l.Level, 0, 1000) && between(int64(l.Change), 0, most) && between(int64(l.Worth), 0, most) &&
		(l.Sensed == nil || between(*l.Sensed, 0, most))
	for i, n := range l.Needs {
		ok = ok && between(n.From, 0, most) && between(n.Level, 0, 1000) && (i == 0 || n.From > l.Needs[i-1].From && n.Level >= l.Needs[i-1].Level)
	}
	return ok
}

// Required is the level that so much traffic requires.
func (l *Lamp) Required(vehicles int64) int64 { return l.Needs[l.need(vehicles)].Level }

func (l *Lamp) need(vehicles int64) int {
	i := len(l.Needs) - 1
	for i > 0 && l.Needs[i].From > vehicles {
		i--
	}
	return i
}

// Power is what the lamp draws at a level, in W.
func (l *Lamp) Power(level int64) int64 { return l.Idle + (l.Full-l.Idle)*level/1000 }

// lampSafe: full light unless it is surely day.
func (in *Inputs) lampSafe() int64 {
	if day, why := in.series("daylight"); why == "" && day[0].Low >= in.Lamp.Dark {
		return 0
	}
	return 1000
}

// A night is what a lamp's decision goes by.
type night struct {
	in                   *Inputs
	l                    *Lamp
	traffic, day, prices []Point
	levels               [MaxNeeds + 1]int64 // within the bounds, of each need and full
	n                    int
}

func (in *Inputs) lamp(c *choice) (name, why string) {
	w := night{in: in, l: in.Lamp}
	for _, f := range [...]struct {
		name string
		to   *[]Point
	}{{"daylight", &w.day}, {"traffic", &w.traffic}, {"price", &w.prices}} {
		if *f.to, why = in.series(f.name); why != "" {
			return f.name, why
		}
	}
	for _, n := range w.l.Needs {
		w.levels[w.n] = in.Bounds.hold(n.Level)
		w.n++
	}
	if full := in.Bounds.hold(1000); full > w.levels[w.n-1] {
		w.levels[w.n] = full
		w.n++
	}
	w.weigh(c)
	return "", ""
}

func (w *night) lit(t int) bool { return w.day[t].Low < w.l.Dark }

// weigh goes backwards through the horizon: later is what the rest costs, by the level before it.
func (w *night) weigh(c *choice) {
	var later, now [MaxNeeds + 1]int64
	for t := len(w.day) - 1; t > 0; t-- {
		if !w.lit(t) {
			least := later[0]
			for a := range later[:w.n] {
				least = min(least, later[a])
			}
			for a := range now[:w.n] {
				now[a] = least
			}
			later = now
			continue
		}
		var stage [MaxNeeds + 1]int64
		for a := range stage[:w.n] {
			stage[a] = w.cost(t, a) + later[a]
		}
		lit := w.lit(t - 1)
		for before := range now[:w.n] {
			now[before] = w.cheapest(stage[:w.n], w.floor(t), before, lit)
		}
		later = now
	}
	c.saw("traffic", w.traffic[0])
	c.saw("price", w.prices[0])
	if !w.lit(0) {
		day := w.in.Bounds.hold(0)
		c.safe = option{value: day, spend: w.spend(0, day)}
		c.offer(c.safe)
		c.because(forecastReason("daylight", light, w.day[0]))
		return
	}
	for a := w.floor(0); a < w.n; a++ {
		if a > 0 && w.levels[a] == w.levels[a-1] && a > w.floor(0) {
			continue
		}
		cost := w.cost(0, a) + later[a]
		if w.l.Level > 0 && w.levels[a] != w.l.Level {
			cost += int64(w.l.Change)
		}
		o := option{value: w.levels[a], cost: cost, spend: w.spend(0, w.levels[a])}
		c.offer(o)
		c.safe = o // the last is full light
	}
	w.explain(c)
}

func (w *night) explain(c *choice) {
	if w.l.Sensed != nil {
		c.because(reason{code: "required_now", value: *w.l.Sensed, set: 1, of: traffic})
	}
	c.because(forecastReason("traffic", traffic, w.traffic[0]))
	c.because(forecastReason("price", perKWh, w.prices[0]))
}

// cheapest is the least cost from an interval on, after a level before it.
func (w *night) cheapest(stage []int64, floor, before int, lit bool) int64 {
	least := int64(1) << 62
	for a := floor; a < len(stage); a++ {
		cost := stage[a]
		if lit && w.levels[a] != w.levels[before] {
			cost += int64(w.l.Change)
		}
		least = min(least, cost)
	}
	return least
}

// floor is the first level that may be told for an interval.
func (w *night) floor(t int) int {
	switch {
	case w.l.Sensed == nil:
		return w.l.need(w.traffic[t].High)
	case t == 0:
		return w.l.need(*w.l.Sensed)
	}
	return 0
}

// cost is what a level is expected to cost in an interval: the energy, and the changes where traffic requires more for a while, less what light
// beyond the required is worth.
func (w *night) cost(t, a int) int64 {
	sum, told := int64(0), w.levels[a]
	before := int64(0)
	for k := range w.l.Needs {
		upTo := int64(1000)
		if k+1 < len(w.l.Needs) {
			upTo = w.traffic[t].below(w.l.Needs[k+1].From)
		}
		chance := upTo - before
		before = upTo
		required := w.in.Bounds.hold(w.l.Needs[k].Level)
		shown := max(told, required)
		cost := w.spend(t, shown) - w.in.hours(int64(w.l.Worth)*(shown-required)/1000)
		if required > told {
			cost += 2 * int64(w.l.Change)
		}
		sum += chance * cost
	}
	return sum / 1000
}

func (w *night) spend(t int, level int64) int64 {
	if level == 0 && !w.lit(t) {
		return 0
	}
	return w.prices[t].Mean * w.in.wh(w.l.Power(level)) / 1000
}
