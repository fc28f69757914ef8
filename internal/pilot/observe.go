package pilot

import (
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// What agents observe: once a minute the latest reading of each name that one of them goes by, and the prices of tariffs. What comes between is not
// seen, and what came while the node was down is a gap.

// forecasts are the inputs of a kind that are forecast.
var forecasts = map[lamppost.AgentKind][]string{
	lamppost.AgentLamp:    {"traffic", "daylight"},
	lamppost.AgentStorage: {"load"},
	lamppost.AgentValve:   {"use"},
}

const (
	staleAfter lamppost.TimeMS = 30 * 60_000 // a reading that is older is not of now
	spare                      = 8           // steps that a forecast reaches further than decisions look, for a step that is missing
)

// A feedID is a series: a device's reading.
type feedID struct {
	device lamppost.DeviceID
	name   string
}

func feedOf(in lamppost.AgentInput) feedID { return feedID{in.Device, in.Reading} }

// A feed is a series that is forecast.
type feed struct {
	key    []byte            // of its record
	device lamppost.DeviceID // none: a tariff's
	series *forecast.Series
	since  lamppost.TimeMS // when it was first observed; 0: never
	saved  lamppost.TimeMS
	kin    lamppost.Hash // what others have learnt that it knows; zero: nothing

	known bool
	at    lamppost.TimeMS // of the last reading
	was   float64         // its value
	unit  string
	now   float64 // the latest value; of a register, what it counts in an hour

	made   lamppost.TimeMS // step that the points are made in
	points []agent.Point
	age    lamppost.TimeMS // when the points were made
	usable bool
}

// scaleOf is the unit that decisions count in.
func scaleOf(unit, input string) float64 {
	scale := 1.0
	switch unit {
	case "kW", "kWh", "m3", "m3/h":
		scale = 1000
	}
	if input == "use" || input == "leak" {
		scale *= 1000 // mL
	}
	return scale
}

func value(r *lamppost.Reading) float64 {
	if r.IsFloat {
		return r.Float
	}
	v := float64(r.Value.Mantissa)
	for range -r.Value.Exponent {
		v /= 10
	}
	return v
}

// follow makes the series that agents go by, and drops those of none.
func (p *Pilot) follow(v ledger.View) error {
	feeds, prices := map[feedID]*feed{}, map[string]*price{}
	for _, m := range p.order {
		for _, name := range forecasts[m.body.Kind] {
			in, ok := m.terms.inputs[name]
			if id := feedOf(in); ok && feeds[id] == nil && len(feeds) < maxFeeds {
				if feeds[id] = p.feeds[id]; feeds[id] == nil {
					feeds[id] = newFeed(feedKey(id), id.device)
				}
			}
		}
		if id := m.terms.tariff; id != "" && prices[id] == nil {
			x := p.prices[id]
			if x == nil {
				x = &price{feed: newFeed(priceKey(id), "")}
			}
			var err error
			if x.versions, err = v.TariffVersions(id); err != nil {
				return err
			}
			prices[id] = x
		}
	}
	if err := p.forget(feeds, prices); err != nil {
		return err
	}
	p.feeds, p.prices = feeds, prices
	p.learn()
	return nil
}

// learn tells forecasts what members learnt together. Where that fails a forecast goes on with what it knows.
func (p *Pilot) learn() {
	if p.cfg.Kin == nil {
		return
	}
	for id, f := range p.feeds {
		name, kin, err := p.cfg.Kin(id.device, id.name)
		if err == nil && len(kin) > 0 && name != f.kin {
			err = f.series.SetKin(kin)
			f.kin, f.made = name, -1
		}
		if err != nil {
			p.cfg.Log.Warn("a forecast cannot use what members learnt together", "device", id.device, "reading", id.name, "error", err)
		}
	}
}

func newFeed(key []byte, device lamppost.DeviceID) *feed {
	s, err := forecast.New(forecast.Settings{Step: step, Horizon: steps + spare})
	if err != nil {
		panic("pilot: settings of forecasts that are constant are refused: " + err.Error())
	}
	return &feed{key: key, device: device, series: s, made: -1}
}

// observe takes in the latest readings and prices.
func (p *Pilot) observe(now lamppost.TimeMS) {
	shut := p.shut()
	for id, f := range p.feeds {
		switch r, ok := p.cfg.Latest(id.device, id.name); {
		case ok && shut[id]:
			f.hidden(&r, now)
		case ok:
			f.observe(&r, now)
		}
	}
	for _, x := range p.prices {
		if micro, ok := tariff.At(x.versions, now); ok {
			x.feed.take(now, float64(micro), now)
		}
	}
}

func (f *feed) observe(r *lamppost.Reading, now lamppost.TimeMS) {
	if r.Quality == lamppost.Faulty || f.known && r.Time <= f.at || r.Time > now+lamppost.MaxAheadMS || now-r.Time > lamppost.MaxAheadMS {
		return
	}
	x, before, was, had := value(r), f.at, f.was, f.known
	f.known, f.at, f.was, f.unit = true, r.Time, x, r.Unit
	if r.Kind == lamppost.Register {
		if !had || was > x {
			return
		}
		x = (x - was) * 3600_000 / float64(r.Time-before)
	}
	f.take(r.Time, x, now)
}

// shut are the readings that a closed valve hides.
func (p *Pilot) shut() map[feedID]bool {
	all := map[feedID]bool{}
	for _, m := range p.order {
		if m.body.Kind == lamppost.AgentValve && m.closed() {
			all[feedOf(m.terms.inputs["use"])] = true
		}
	}
	return all
}

// hidden goes on with what was expected: a meter behind a closed valve does not say that nobody wants water.
func (f *feed) hidden(r *lamppost.Reading, now lamppost.TimeMS) {
	if !f.usable || len(f.points) == 0 {
		f.observe(r, now)
		return
	}
	f.known, f.at, f.was, f.unit = true, r.Time, value(r), r.Unit
	f.take(r.Time, float64(f.points[0].Mean)/scaleOf(f.unit, "use"), now)
	f.now = 0
}

func (f *feed) take(at lamppost.TimeMS, x float64, now lamppost.TimeMS) {
	if f.series.Observe(at, x) != nil {
		return
	}
	if f.now = x; f.since == 0 {
		f.since = now
	}
}

// forecast returns the points from now on, each step relabelled to begin with the decision. They are made once in a step.
func (f *feed) forecast(name string, now lamppost.TimeMS) agent.Forecast {
	out := agent.Forecast{Name: name}
	if f == nil {
		return out // there was no room for it
	}
	if begin := now - now%step; f.made != begin {
		f.made = begin
		f.series.Advance(now)
		made := f.series.Forecast(begin)
		f.usable, f.age, f.points = made.Usable(), begin-made.AgeMS, f.points[:0]
		scale := scaleOf(f.unit, name)
		for _, p := range made.Points[:min(len(made.Points), steps)] {
			x, ok := agent.Round(0, max(p.Mean, least(name)), max(p.Low, least(name)), max(p.High, least(name)), scale)
			if !ok {
				f.usable = false
				break
			}
			f.points = append(f.points, x)
		}
	}
	for k := range f.points {
		f.points[k].At = now + lamppost.TimeMS(k)*step
	}
	out.Usable, out.Age, out.Points = f.usable, max(0, now-f.age), f.points
	return out
}

// least is what a quantity cannot be under.
func least(name string) float64 {
	if name == "price" || name == "load" {
		return -1e12
	}
	return 0
}

// A price is a tariff's: as it is published, and then as it was at such times.
type price struct {
	versions []tariff.Tariff
	feed     *feed
	points   []agent.Point
}

// forecast has published prices for what they are, without a range, and after them what is expected.
func (x *price) forecast(now lamppost.TimeMS) agent.Forecast {
	f := agent.Forecast{Name: "price"}
	if x == nil || !validPrice(x.versions) {
		return f
	}
	later := x.feed.forecast("price", now)
	x.points = x.points[:0]
	for k := range lamppost.TimeMS(steps) {
		at := now + k*step
		p := agent.Point{At: at}
		if micro, ok := tariff.At(x.versions, at); ok {
			p.Mean = int64(micro)
			p.Low, p.High = p.Mean, p.Mean
		} else if later.Usable && int(k) < len(later.Points) {
			p = later.Points[k]
			f.Age = later.Age
		} else {
			break
		}
		x.points = append(x.points, p)
	}
	f.Usable, f.Points = true, x.points
	return f
}

// value is an input's latest reading, in whole units of decisions. One that is older than half an hour is not known; now 0: of any age.
func (p *Pilot) value(in lamppost.AgentInput, now lamppost.TimeMS, scale int64) (int64, bool) {
	if in.Device == "" {
		return 0, false
	}
	r, ok := p.cfg.Latest(in.Device, in.Reading)
	if !ok || r.Quality == lamppost.Faulty || now != 0 && (now-r.Time > staleAfter || r.Time > now+staleAfter) {
		return 0, false
	}
	x := value(&r)
	if f := p.feeds[feedOf(in)]; r.Kind == lamppost.Register && f != nil {
		x = f.now
	}
	switch r.Unit {
	case "kW", "kWh", "m3", "m3/h":
		x *= 1000
	}
	x *= float64(scale)
	if !(x >= -1e9 && x <= 1e12) {
		return 0, false
	}
	return int64(x), true
}

// drop forgets what was observed of devices that were erased.
func (p *Pilot) drop() {
	p.mu.Lock()
	gone := p.erased
	p.erased = map[lamppost.DeviceID]lamppost.TimeMS{}
	p.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	for id, f := range p.feeds {
		if before, erased := gone[id.device]; erased && f.since <= before {
			delete(p.feeds, id)
		}
	}
	was := func(id lamppost.DeviceID) bool {
		_, erased := gone[id]
		return erased
	}
	for _, m := range p.order {
		if was(m.body.Device) || slices.ContainsFunc(m.body.Inputs, func(in lamppost.AgentInput) bool { return was(in.Device) }) {
			m.run = nil
		}
	}
	p.stale.Store(true)
}

func priceAt(x *price, at lamppost.TimeMS) (lamppost.Micro, bool) { return tariff.At(x.versions, at) }
