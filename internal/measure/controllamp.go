package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
)

// ControlLamp is what a street lamp's agent was worth, in the year after the training year.
type ControlLamp struct {
	Nights   int     `json:"nights"`
	Skipped  int     `json:"hours_without_traffic"` // dark, and nothing was measured
	Capacity float64 `json:"capacity"`              // vehicles/h, the most in the training year
	Full     float64 `json:"full_eur"`              // for a lamp of 100 W
	Agent    float64 `json:"agent_eur"`
	Changes  float64 `json:"changes_a_night"`

	// The level for each hour of workdays and of other days that was enough in the whole training year.
	Timetable      float64 `json:"timetable_eur"`
	TimetableBelow int     `json:"timetable_minutes_below"`

	// The same agent without a sensor: it keeps to the upper bound of its forecast.
	Blind      float64 `json:"blind_eur"`
	BlindBelow int     `json:"blind_minutes_below"`

	// No agent, but a sensor: the least level, which is raised to what traffic requires at once. And the agent if it knew the traffic.
	SensorAlone        float64 `json:"sensor_alone_eur"`
	SensorAloneChanges float64 `json:"sensor_alone_changes_a_night"`
	Perfect            float64 `json:"perfect_eur"`
	Raised             int     `json:"minutes_raised_by_sensor"`
	PerfectChanges     float64 `json:"perfect_changes_a_night"`
	LostToForecast     float64 `json:"lost_to_forecast"` // of what known traffic saves, changes counted at their price
}

// The road: a lamp's hourly data with what is known of sun and price.
type road struct {
	traffic *forecastSeries
	price   []float64 // Micro per kWh, by the traffic's hours; NaN: not known
	lux     []float64 // by quarter
	lamp    agent.Lamp
}

const (
	quarter      = 900_000 // ms
	lampHorizon  = 48      // quarters
	lampChange   = 100     // Micro: an owner's rule, that no figure chose
	minneapolis  = 44.98
	minneapolisE = -93.27
)

func (r *ControlResult) lamps(ctx context.Context, sets string) error {
	w, err := newRoad(sets)
	if err != nil {
		return err
	}
	train, test := w.hour(2016), w.hour(2017)
	end := w.hour(2018)
	most := 0.0
	for _, v := range w.traffic.values[train:test] {
		if v > most {
			most = v
		}
	}
	l := &r.Lamp
	l.Capacity = most
	// Traffic over 65 % of the road's capacity is one class above what is usual, under 35 % one below (CEN/TR 13201-1:2014, table 1: motorways and multilane
	// roads). In the classes M2, M3 and M4 of EN 13201-2 that is 1.5, 1.0 and 0.75 cd/m².
	w.lamp = agent.Lamp{Full: 100, Idle: 5, Dark: 50, Change: lampChange,
		Needs: []agent.Need{{Level: 500}, {From: int64(0.35 * most), Level: 667}, {From: int64(0.65*most) + 1, Level: 1000}}}
	table := w.timetable(train, test)
	w.fixed(l, table, test, end)
	for _, way := range [...]struct {
		sensor, knows bool
		cost          *float64
		below         *int
	}{{true, false, &l.Agent, &r.LampBelow}, {false, false, &l.Blind, &l.BlindBelow}, {true, true, &l.Perfect, new(int)}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := night{road: w, sensor: way.sensor, knows: way.knows}
		if err := n.run(r, test, end); err != nil {
			return err
		}
		*way.cost, *way.below = n.eur(), n.below
		switch changes := float64(n.changes) / float64(max(1, l.Nights)); {
		case way.knows:
			l.PerfectChanges = changes
		case way.sensor:
			l.Changes, l.Raised = changes, n.raised
		}
	}
	r.LampSaving, r.LampVsTimetable = 1-l.Agent/l.Full, 1-l.Agent/l.Timetable
	price := float64(l.Nights) * lampChange / 1e6
	agents, perfect := l.Agent+price*l.Changes, l.Perfect+price*l.PerfectChanges
	l.LostToForecast = (agents - perfect) / (l.Full - perfect)
	return nil
}

// newRoad reads the traffic of a road in Minneapolis, and Germany's spot prices of the same hours by the local clock: there is no set with both.
func newRoad(sets string) (*road, error) {
	w := &road{}
	var prices *forecastSeries
	for i := range forecastForms {
		form := forecastForms[i]
		if form.set == "prices" {
			form.files, form.rivals, form.only = []string{"Forecasts_DE_DNN_LEAR.csv"}, nil, []string{"Real price"}
		}
		if form.set != "traffic" && form.set != "prices" {
			continue
		}
		series, err := form.series(sets)
		if err != nil {
			return nil, fmt.Errorf("reading traffic and prices (docs/agents.md says where they are from): %w", err)
		}
		if form.set == "traffic" {
			w.traffic = series[0]
		} else {
			prices = series[0]
		}
	}
	w.price, w.lux = make([]float64, len(w.traffic.values)), make([]float64, 4*len(w.traffic.values))
	for i := range w.price {
		w.price[i] = math.NaN()
		if k := w.traffic.first + i - prices.first; k >= 0 && k < len(prices.values) {
			w.price[i] = 1000 * prices.values[k] // EUR/MWh
		}
	}
	for q := range w.lux {
		w.lux[q] = daylight(int64(w.traffic.at(0)) + int64(q)*quarter)
	}
	if w.hour(2018) > len(w.price)-lampHorizon || w.hour(2016) < 0 {
		return nil, errors.New("traffic and prices have no two years together, 2016 and 2017")
	}
	return w, nil
}

func (w *road) hour(year int) int {
	return int(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Unix()/3600) - w.traffic.first
}

// daylight is the horizontal illuminance under a clear sky, in lx, at a local time in Minneapolis: 400 lx at sunset and 3.4 lx at the end of civil
// twilight (Explanatory Supplement to the Astronomical Almanac), straight in between on a logarithmic scale, and on beyond. The sun's place is good to
// a degree or so (Cooper 1969 for the declination, Duffie and Beckman for the equation of time).
func daylight(localMS int64) float64 {
	local := time.UnixMilli(localMS).UTC()
	utc := local.Add(6 * time.Hour)
	if summer(local) {
		utc = utc.Add(-time.Hour)
	}
	const deg = math.Pi / 180
	declination := 23.45 * deg * math.Sin(2*math.Pi*float64(284+utc.YearDay())/365)
	b := 2 * math.Pi * float64(utc.YearDay()-81) / 364
	noon := float64(utc.Hour()) + (float64(utc.Minute())+9.87*math.Sin(2*b)-7.53*math.Cos(b)-1.5*math.Sin(b))/60 + minneapolisE/15 - 12
	height := math.Asin(math.Sin(minneapolis*deg)*math.Sin(declination)+math.Cos(minneapolis*deg)*math.Cos(declination)*math.Cos(15*deg*noon)) / deg
	return min(100_000, math.Pow(10, math.Log10(400)+(height+0.83)*math.Log10(400/3.4)/5.17))
}

// summer is daylight saving time in the United States: from the second Sunday of March to the first of November, at two o'clock.
func summer(t time.Time) bool {
	from := time.Date(t.Year(), 3, 14, 2, 0, 0, 0, time.UTC)
	to := time.Date(t.Year(), 11, 7, 2, 0, 0, 0, time.UTC)
	return !t.Before(from.AddDate(0, 0, -int(from.Weekday()))) && t.Before(to.AddDate(0, 0, -int(to.Weekday())))
}

func (w *road) dark(q int) bool { return w.lux[q] < float64(w.lamp.Dark) }

// slot is an hour of a workday or of another day.
func (w *road) slot(i int) int {
	at := time.UnixMilli(int64(w.traffic.at(i))).UTC()
	if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
		return 24 + at.Hour()
	}
	return at.Hour()
}

// timetable is the least level for each hour of workdays and other days that was enough all through a time.
func (w *road) timetable(from, to int) (table [48]int64) {
	for i := from; i < to; i++ {
		if v := w.traffic.values[i]; !math.IsNaN(v) {
			table[w.slot(i)] = max(table[w.slot(i)], w.lamp.Required(int64(v)))
		}
	}
	return table
}

// fixed adds up what full power, the timetable and a sensor alone cost.
func (w *road) fixed(l *ControlLamp, table [48]int64, from, to int) {
	var full, fixed, alone night
	for _, n := range []*night{&full, &fixed, &alone} {
		n.road = w
	}
	for q := 4 * from; q < 4*to; q++ {
		v := w.traffic.values[q/4]
		if !w.dark(q) {
			alone.shown = 0
			continue
		}
		if !w.dark(q - 1) {
			l.Nights++
		}
		if math.IsNaN(v) {
			l.Skipped++
			continue
		}
		full.show(q, 1000, false)
		fixed.show(q, table[w.slot(q/4)], false)
		alone.show(q, w.lamp.Needs[0].Level, true)
	}
	l.Skipped /= 4
	l.Full, l.Timetable, l.TimetableBelow, l.SensorAlone = full.eur(), fixed.eur(), fixed.below, alone.eur()
	l.SensorAloneChanges = float64(alone.changes) / float64(max(1, l.Nights))
}

// A night is a lamp that shines.
type night struct {
	*road
	sensor, knows bool

	shown, level  int64 // now, and as told
	microWh       float64
	below, raised int
	changes       int
}

func (n *night) eur() float64 { return n.microWh / 1e9 }

// show shines for a quarter of an hour: at the level told, or at what a sensor sees required.
func (n *night) show(q int, told int64, sensor bool) {
	need := n.lamp.Required(int64(math.Ceil(n.traffic.values[q/4])))
	shown := told
	if sensor && need > told {
		shown = need
		n.raised += 15
	}
	if shown < need {
		n.below += 15
	}
	if n.shown != 0 && n.shown != shown {
		n.changes++
	}
	n.shown = shown
	n.microWh += n.price[q/4] * float64(n.lamp.Power(shown)) / 4
}

// run lets the agent decide each quarter of an hour while it is dark. Its forecaster has seen all traffic before.
func (n *night) run(r *ControlResult, from, to int) error {
	f := *n.traffic
	f.Horizon = 24
	s, err := forecast.New(f.Settings)
	if err != nil {
		return err
	}
	for i := range to {
		var ahead forecast.Forecast
		if i >= from {
			ahead = s.Forecast(f.at(i))
		}
		for q := 4 * i; i >= from && q < 4*i+4; q++ {
			if err := n.quarter(r, q, ahead); err != nil {
				return err
			}
		}
		if v := f.values[i]; !math.IsNaN(v) {
			if err := s.Observe(f.at(i), v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *night) quarter(r *ControlResult, q int, ahead forecast.Forecast) error {
	v := n.traffic.values[q/4]
	if !n.dark(q) {
		n.shown, n.level = 0, 0
		return nil
	}
	if math.IsNaN(v) {
		return nil
	}
	lamp := n.lamp
	lamp.Level = n.level
	if seen := n.traffic.values[(q-1)/4]; n.sensor && !math.IsNaN(seen) {
		sensed := int64(math.Ceil(seen))
		lamp.Sensed = &sensed
	}
	in := &agent.Inputs{Format: 1, Device: "lamp", Kind: lamppost.AgentLamp, Mode: lamppost.AgentBounded, At: n.traffic.at(0) + lamppost.TimeMS(q)*quarter, Step: quarter,
		Steps: lampHorizon, Currency: "EUR", Bounds: agent.Bounds{Most: 1000}, Lamp: &lamp}
	in.Forecasts = []agent.Forecast{
		foreknown("daylight", in, func(k int) float64 { return n.lux[q+k] }),
		foreknown("price", in, func(k int) float64 { return n.price[(q+k)/4] }),
		foreseen("traffic", ahead, in, 1, 4),
	}
	if n.knows {
		in.Forecasts[2] = foreknown("traffic", in, func(k int) float64 {
			for i := (q + k) / 4; ; i-- { // of an hour without traffic, that before it
				if v := n.traffic.values[i]; !math.IsNaN(v) {
					return math.Ceil(v)
				}
			}
		})
	}
	d, err := r.decide(in)
	if err != nil {
		return err
	}
	n.level = d.Action.Value.Mantissa
	n.show(q, n.level, n.sensor)
	return nil
}
