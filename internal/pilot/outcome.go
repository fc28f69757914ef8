package pilot

import (
	"crypto/sha256"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// Data is what a decision's outcome is computed from: what was observed, minute by minute, while it held.
type Data struct {
	Until   lamppost.TimeMS `cbor:"1,keyasint" json:"until_ms"`
	Start   Book            `cbor:"2,keyasint" json:"start"`
	Samples []Sample        `cbor:"3,keyasint,omitempty" json:"samples"`
	// Of a valve: a person said meanwhile that nothing leaked. What was booked as saved is taken back.
	Dismissed bool `cbor:"4,keyasint,omitempty" json:"dismissed,omitempty"`
}

// A Sample stands for the time For before At. Known says which numbers are: bits price, traffic, daylight, load, actual.
type Sample struct {
	_        struct{}        `cbor:",toarray"`
	At       lamppost.TimeMS `json:"at_ms"`
	For      lamppost.TimeMS `json:"for_ms"`
	Known    uint8           `json:"known"`
	Price    int64           `json:"price"`    // Micro per kWh
	Traffic  int64           `json:"traffic"`  // 1/h
	Daylight int64           `json:"daylight"` // lx
	Load     int64           `json:"load"`     // W
	Actual   int64           `json:"actual"`   // what the device says that it does: W, or thousandths of a level
}

const (
	knowsPrice = 1 << iota
	knowsTraffic
	knowsDaylight
	knowsLoad
	knowsActual
)

// A Book carries on, from decision to decision, what gains rest on.
type Book struct {
	// Of a storage: what is in it beyond what was there before its agent, and what that cost. A gain is made when it comes out.
	Stored int64          `cbor:"1,keyasint,omitempty" json:"stored,omitempty"` // mWh
	Cost   lamppost.Micro `cbor:"2,keyasint,omitempty" json:"cost,omitempty"`
	// Of a charger: what the safe rule would have drawn for this vehicle, and what was drawn, with their cost in thousandths of a Micro, lest sums of small ones
	// drift. A gain is made when energy is drawn.
	Safe     int64           `cbor:"3,keyasint,omitempty" json:"safe,omitempty"` // mWh
	SafeCost int64           `cbor:"4,keyasint,omitempty" json:"safe_cost,omitempty"`
	Own      int64           `cbor:"5,keyasint,omitempty" json:"own,omitempty"` // mWh
	OwnCost  int64           `cbor:"6,keyasint,omitempty" json:"own_cost,omitempty"`
	Need     int64           `cbor:"7,keyasint,omitempty" json:"need,omitempty"`       // Wh that the vehicle asked for when it came
	Departs  lamppost.TimeMS `cbor:"8,keyasint,omitempty" json:"departs_ms,omitempty"` // another: another vehicle
	// Of a valve: how long it was closed before, and what that was booked to have saved, since the last time that nothing leaked.
	Closed lamppost.TimeMS `cbor:"9,keyasint,omitempty" json:"closed_ms,omitempty"`
	Saved  lamppost.Micro  `cbor:"10,keyasint,omitempty" json:"saved,omitempty"`
}

// An Outcome is what a decision came to.
type Outcome struct {
	Gain, Expected, Spent lamppost.Micro
	Measured              uint16
	End                   Book
}

// Realise computes what a decision came to against the safe rule, from its inputs and what was observed while it held. Expected is the same sum with
// what was forecast in the place of what came, over the same minutes. A storage that is charged gains nothing before it gives the energy back.
func Realise(in *agent.Inputs, d *lamppost.Decision, data *Data) Outcome {
	came := tallyOf(in, d, data.Start)
	thought := came
	thought.foresees = true
	var measured lamppost.TimeMS
	for i := range data.Samples {
		s := data.Samples[i]
		if s.For <= 0 || s.Known&came.needs() != came.needs() {
			continue
		}
		measured += s.For
		came.add(&s)
		f := came.foreseen(s)
		thought.add(&f)
	}
	o := Outcome{Gain: came.gain, Expected: thought.gain, Spent: max(0, came.spent), End: came.book}
	if held := data.Until - d.At; held > 0 {
		o.Measured = uint16(min(1000, 1000*measured/held))
	}
	if in.Kind == lamppost.AgentValve && in.Valve != nil {
		o.closed(in.Valve, d, data)
	}
	return o
}

// closed carries on how long a valve is closed, and what that saved; and takes that back where nothing leaked.
func (o *Outcome) closed(v *agent.Valve, d *lamppost.Decision, data *Data) {
	if d.Action.Value.Mantissa > 0 {
		o.End.Closed = 0
	} else {
		o.End.Closed += max(0, data.Until-d.At)
	}
	if data.Dismissed {
		o.Gain -= o.End.Saved
	}
	if data.Dismissed || v.Leak == nil {
		o.End.Saved = 0
	}
}

// A tally sums one way that it went.
type tally struct {
	in          *agent.Inputs
	acts        bool
	foresees    bool  // as was thought: a leak is as sure as it was said to be
	told        int64 // thousandths or W
	book        Book
	gain, spent lamppost.Micro
}

func tallyOf(in *agent.Inputs, d *lamppost.Decision, start Book) tally {
	t := tally{in: in, acts: d.Mode == lamppost.AgentBounded, told: whole(d.Action.Value), book: start}
	if in.Kind == lamppost.AgentCharger && in.Charger != nil {
		if s := t.session(); s == nil {
			t.book = Book{}
		} else if s.Departs != start.Departs {
			t.book = Book{Need: s.Need, Departs: s.Departs}
		}
	}
	return t
}

func (t *tally) session() *agent.Session {
	for i := range t.in.Charger.Sessions {
		if s := &t.in.Charger.Sessions[i]; s.Device == t.in.Device {
			return s
		}
	}
	return nil
}

// needs is what must be known of a minute for it to count.
func (t *tally) needs() uint8 {
	switch t.in.Kind {
	case lamppost.AgentLamp:
		return knowsPrice | knowsTraffic | knowsDaylight
	case lamppost.AgentValve:
		return 0
	case lamppost.AgentStorage:
		for i := range t.in.Forecasts {
			if t.in.Forecasts[i].Name == "load" {
				return knowsPrice | knowsLoad
			}
		}
	}
	return knowsPrice
}

// foreseen puts what was forecast in the place of what came.
func (t *tally) foreseen(s Sample) Sample {
	for i := range t.in.Forecasts {
		f := &t.in.Forecasts[i]
		if len(f.Points) == 0 {
			continue
		}
		k := t.step(&s, f)
		to := map[string]*int64{"price": &s.Price, "traffic": &s.Traffic, "daylight": &s.Daylight, "load": &s.Load}[f.Name]
		if to != nil {
			*to = f.Points[k].Mean
		}
	}
	s.Known &^= knowsActual
	return s
}

// mWh is the energy of a power over a time, and cost what an energy costs.
func mWh(watts int64, d lamppost.TimeMS) int64 { return watts * int64(d) / 3600 }
func cost(mwh, price int64) lamppost.Micro     { return lamppost.Micro(mwh / 1000 * price / 1000) }
func fine(mwh, price int64) int64              { return share(price, mwh, 1000) } // thousandths of a Micro

func (t *tally) does(s *Sample) int64 {
	if t.acts && s.Known&knowsActual != 0 {
		return s.Actual
	}
	return t.told
}

func (t *tally) add(s *Sample) {
	switch {
	case t.in.Lamp != nil:
		t.lamp(s)
	case t.in.Storage != nil:
		t.storage(s)
	case t.in.Charger != nil:
		t.charger(s)
	case t.in.Valve != nil:
		t.valve(s)
	}
}

// lamp: the energy that is not used in the dark, against full power from dusk to dawn.
func (t *tally) lamp(s *Sample) {
	l := t.in.Lamp
	if s.Daylight >= l.Dark || len(l.Needs) == 0 {
		return
	}
	level := t.does(s)
	if t.in.Lamp.Sensed != nil {
		level = max(level, l.Required(s.Traffic)) // it raises itself
	}
	spent := cost(mWh(l.Power(level), s.For), s.Price)
	t.spent += spent
	t.gain += cost(mWh(l.Power(1000), s.For), s.Price) - spent
}

// storage: energy in it is kept at what it cost; what comes out gains what it saves beyond that.
func (t *tally) storage(s *Sample) {
	x, p := t.in.Storage, t.does(s)
	net := func(watts int64) lamppost.Micro {
		if watts < 0 {
			return cost(mWh(watts, s.For), s.Price*x.Feed/1000)
		}
		return cost(mWh(watts, s.For), s.Price)
	}
	paid := net(s.Load+p) - net(s.Load)
	wear := cost(abs(mWh(p, s.For)), int64(x.Wear))
	t.spent += max(0, paid)
	switch e := mWh(p, s.For); {
	case e > 0:
		t.book.Stored += e * x.InShare / 1000
		t.book.Cost += paid + wear
	case e < 0:
		out := min(-e*1000/max(1, x.OutShare), max(0, t.book.Stored))
		was := lamppost.Micro(0)
		if t.book.Stored > 0 {
			was = lamppost.Micro(share(int64(t.book.Cost), out, t.book.Stored))
		}
		t.book.Stored -= out
		t.book.Cost -= was
		t.gain += -paid - wear - was
	}
}

// share is v·part/whole, without the overflow of a large v.
func share(v, part, whole int64) int64 {
	return v/whole*part + v%whole*part/whole
}

// charger: what is drawn is held against what the same energy cost by the safe rule, an equal share at once.
func (t *tally) charger(s *Sample) {
	own := t.session()
	if own == nil {
		return
	}
	equal := min(own.Most, t.in.Charger.Limit/int64(max(1, len(t.in.Charger.Sessions))))
	before := t.book.saved()
	if e := min(mWh(equal, s.For), max(0, t.book.Need*1000-t.book.Safe)); e > 0 {
		t.book.Safe += e
		t.book.SafeCost += fine(e, s.Price)
	}
	if e := mWh(t.does(s), s.For); e > 0 {
		was := t.book.OwnCost
		t.book.Own += e
		t.book.OwnCost += fine(e, s.Price)
		t.spent += lamppost.Micro(t.book.OwnCost/1000 - was/1000)
	}
	t.gain += t.book.saved() - before
}

// saved is what the energy that was drawn would have cost by the safe rule, less what it cost.
func (b *Book) saved() lamppost.Micro {
	if b.Safe <= 0 || b.Own <= 0 {
		return 0
	}
	return lamppost.Micro((share(b.SafeCost, b.Own, b.Safe) - b.OwnCost) / 1000)
}

// valve: the water that does not leak, less what is wanted and does not come, as it was forecast: a closed valve shows neither. A vacant place closes without
// an agent.
func (t *tally) valve(s *Sample) {
	v := t.in.Valve
	if v.Leak == nil || v.Vacant || t.does(s) > 0 {
		return
	}
	over := func(perHour int64) lamppost.Micro { return lamppost.Micro(share(perHour, int64(s.For), 3600_000)) }
	leaked := over(share(int64(v.Price), v.Leak.Flow, 1_000_000) + int64(v.Damage))
	if t.foresees {
		leaked = leaked * lamppost.Micro(v.Leak.Sure) / 1000
	}
	t.book.Saved += leaked
	t.gain += leaked - over(share(int64(v.Worth), t.wanted(s), 1_000_000))
}

// wanted is how much water is, in mL/h, by the forecast.
func (t *tally) wanted(s *Sample) int64 {
	for i := range t.in.Forecasts {
		if f := &t.in.Forecasts[i]; f.Name == "use" && f.Usable && len(f.Points) > 0 {
			return max(0, f.Points[t.step(s, f)].Mean)
		}
	}
	return 0
}

// step is the interval of a forecast that a sample began in.
func (t *tally) step(s *Sample, f *agent.Forecast) int {
	return min(max(0, int((s.At-s.For-t.in.At)/t.in.Step)), len(f.Points)-1)
}

// sample notes a minute of what holds.
func (m *member) sample(p *Pilot, now lamppost.TimeMS) {
	r := m.run
	if r == nil || now <= r.sampled || len(r.data.Samples) >= maxSamples {
		return
	}
	s := Sample{At: now, For: min(now-r.sampled, 2*Every)} // a longer time was not observed
	r.sampled = now
	t := &m.terms
	note := func(in lamppost.AgentInput, scale int64, bit uint8, to *int64) {
		if n, ok := p.value(in, now, scale); ok {
			*to = n
			s.Known |= bit
		}
	}
	if x := p.prices[t.tariff]; x != nil {
		if micro, ok := priceAt(x, now); ok {
			s.Price = int64(micro)
			s.Known |= knowsPrice
		}
	}
	note(t.inputs["traffic"], 1, knowsTraffic, &s.Traffic)
	note(t.inputs["daylight"], 1, knowsDaylight, &s.Daylight)
	note(t.inputs["load"], 1, knowsLoad, &s.Load)
	switch m.body.Kind {
	case lamppost.AgentLamp:
		note(t.inputs["level"], 10, knowsActual, &s.Actual)
	case lamppost.AgentValve:
		note(t.inputs["valve"], 10, knowsActual, &s.Actual)
	default:
		note(t.inputs["power"], 1, knowsActual, &s.Actual)
	}
	r.data.Samples = append(r.data.Samples, s)
}

// over ends a run: what it came to, and from what that was computed.
func (r *run) over(now lamppost.TimeMS, x *due) Book {
	if now-r.body.At > lamppost.MaxDecisionMS {
		return r.data.Start // the node was down for so long that nobody can say
	}
	data := r.data
	data.Until = now
	x.data = lamppost.Marshal(data)
	o := Realise(r.inputs, &r.body, &data)
	x.outcome = &lamppost.DecisionOutcome{Decision: r.id, Until: now, Gain: o.Gain, Spent: o.Spent, Expected: o.Expected, Measured: o.Measured, Data: sha256.Sum256(x.data)}
	return o.End
}
