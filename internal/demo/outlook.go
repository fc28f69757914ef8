package demo

import (
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
)

const (
	horizon = 96  // quarter hours that agents look ahead
	lxPerW  = 120 // lm/W of daylight
)

// An outlook is what the street expects: forecasts of its traffic, daylight and price at each quarter hour, of nothing but what was before it. It
// has observed the week before. Lamps share it; each scales the traffic to its own.
type outlook struct {
	hours []Hour // the week before, and the week

	mu     sync.Mutex
	series [3]*forecast.Series // traffic, daylight, price
	now    lamppost.TimeMS
	made   map[lamppost.TimeMS]expected
}

// An expected is what is forecast at a time: 1/h, lx and Micro per kWh; nil: nothing that could be used.
type expected [3][]agent.Point

var expectedNames = [3]string{"traffic", "daylight", "price"}

// at returns what is expected at a quarter hour of the week.
func (o *outlook) at(t lamppost.TimeMS) expected {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made == nil {
		o.open()
	}
	for ; o.now <= t; o.now += quarterMS {
		o.step(o.now)
	}
	return o.made[t]
}

func (o *outlook) open() {
	o.made, o.now = map[lamppost.TimeMS]expected{}, o.hours[0].Start
	for i := range o.series {
		s, err := forecast.New(forecast.Settings{Step: quarterMS, Horizon: horizon, Zone: townZone()})
		if err != nil {
			panic("demo: settings of forecasts that are constant are refused: " + err.Error())
		}
		o.series[i] = s
	}
}

// step forecasts, and then observes.
func (o *outlook) step(t lamppost.TimeMS) {
	last := len(o.hours) - weekHours
	if t >= o.hours[last].Start {
		var e expected
		for i, s := range o.series {
			e[i] = points(s.Forecast(t))
		}
		o.publish(t, e[2])
		o.made[t] = e
	}
	h := o.hours[min(int((t-o.hours[0].Start)/hourMS), len(o.hours)-1)]
	for i, x := range [3]int64{h.Vehicles, lxPerW * lightOf(o.hours, t), int64(h.Price)} {
		if err := o.series[i].Observe(t, float64(x)); err != nil {
			panic("demo: a quarter hour is observed out of order: " + err.Error())
		}
	}
}

// publish puts prices in the place of what is expected of them, as far as the tariff goes.
func (o *outlook) publish(t lamppost.TimeMS, prices []agent.Point) {
	for k := range prices {
		if i := int((t + lamppost.TimeMS(k)*quarterMS - o.hours[0].Start) / hourMS); i < len(o.hours) {
			p := int64(o.hours[i].Price)
			prices[k].Mean, prices[k].Low, prices[k].High = p, p, p
		}
	}
}

// points are a forecast's in whole numbers; none of the street's is below 0.
func points(f forecast.Forecast) []agent.Point {
	if !f.Usable() {
		return nil
	}
	all := make([]agent.Point, 0, len(f.Points))
	for _, p := range f.Points {
		x, ok := agent.Round(p.At, max(p.Mean, 0), max(p.Low, 0), max(p.High, 0), 1)
		if !ok {
			return nil
		}
		all = append(all, x)
	}
	return all
}
