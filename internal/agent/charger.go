package agent

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// A Charger shares a site's limit with others. It needs the forecast "price". All chargers of a site work out the same plan from the same
// numbers, and each takes its own part, so their sum stays within the limit; plan.go has it.
type Charger struct {
	Limit    int64          `cbor:"1,keyasint" json:"limit"`    // W that all chargers of the site may draw
	Sessions []Session      `cbor:"2,keyasint" json:"sessions"` // of the site, in the order of their devices; at most one of a device
	Worth    lamppost.Micro `cbor:"3,keyasint" json:"worth"`    // per kWh asked for, that somebody pays or misses
	Kept     int64          `cbor:"4,keyasint" json:"kept"`     // thousandths of the limit kept in later intervals, for who comes yet
	Risk     int64          `cbor:"5,keyasint" json:"risk"`     // thousandths of the way to its upper bound that a later price counts by
}

// A Session is a vehicle that is plugged in.
type Session struct {
	Device  lamppost.DeviceID `cbor:"1,keyasint" json:"device"`
	Need    int64             `cbor:"2,keyasint" json:"need"` // Wh still to come
	Departs lamppost.TimeMS   `cbor:"3,keyasint" json:"departs_ms"`
	Most    int64             `cbor:"4,keyasint" json:"most"`            // W
	Equal   bool              `cbor:"5,keyasint,omitempty" json:"equal"` // its charger has no agent that acts: it takes an equal share
}

func (g *Charger) valid() bool {
	ok := between(g.Limit, 0, MaxPower) && len(g.Sessions) <= MaxSessions && between(int64(g.Worth), 0, MaxPrice) && between(g.Kept, 0, 1000) && between(g.Risk, 0, 1000)
	for i, s := range g.Sessions {
		ok = ok && between(s.Need, 0, MaxEnergy) && within(int64(s.Departs), 1<<50) && between(s.Most, 0, MaxPower) && (i == 0 || s.Device > g.Sessions[i-1].Device)
	}
	return ok
}

// own finds the device's session, -1 where nothing is plugged in.
func (in *Inputs) own() int {
	return slices.IndexFunc(in.Charger.Sessions, func(s Session) bool { return s.Device == in.Device })
}

// wants is what a session asks for, in Wh. Powers are worked out for whole intervals, so one that leaves within this one asks for as much as makes its power
// bring all by then.
func (in *Inputs) wants(s *Session) int64 {
	if left := s.Departs - in.At; left > 0 && left < in.Step {
		return s.Need * int64(in.Step) / int64(left)
	}
	return s.Need
}

// equal is the power of an equal share of the limit, in W.
func (in *Inputs) equal(s *Session) int64 {
	return min(s.Most, in.watts(min(in.wants(s), MaxPower)), in.Charger.Limit/int64(len(in.Charger.Sessions)))
}

// chargerSafe: an equal share of the site's limit, at once, whatever it costs.
func (in *Inputs) chargerSafe() int64 {
	i := in.own()
	if i < 0 || in.Budget != nil && *in.Budget <= 0 {
		return 0
	}
	return in.equal(&in.Charger.Sessions[i])
}

func (in *Inputs) charger(c *choice) (name, why string) {
	prices, why := in.series("price")
	if why != "" {
		return "price", why
	}
	c.saw("price", prices[0])
	c.planned = true
	own := in.own()
	if own < 0 {
		c.offer(option{value: in.Bounds.hold(0)})
		c.because(reason{code: "nobody"})
		return "", ""
	}
	p := in.plan(prices)
	b := bidder{in: in, s: &in.Charger.Sessions[own], prices: prices, p: p, own: own}
	c.safe = b.option(in.wh(in.equal(b.s)))
	for i, wh := range [...]int64{p.energy(own, 0), 0, p.cap[own]} {
		if b.could(wh) || i == 0 {
			c.offer(b.option(wh))
		}
	}
	if price := prices[0].Mean; in.Budget != nil && price > 0 {
		if wh := max(0, min(most, int64(*in.Budget))) * 1000 / price; wh < p.energy(own, 0) {
			c.offer(b.option(wh))
		}
	}
	b.explain(c)
	return "", ""
}

// A bidder works out what one session costs beside what the others are planned to take.
type bidder struct {
	in     *Inputs
	s      *Session
	prices []Point
	p      *plan
	own    int
}

// could reports whether the site has the room now.
func (b *bidder) could(wh int64) bool { return wh <= b.p.left[0]+b.p.energy(b.own, 0) }

// option is to take energy now, and the rest in the cheapest intervals that are left; what does not come is missed.
func (b *bidder) option(wh int64) option {
	v := b.in.Bounds.hold(b.in.watts(wh))
	wh = b.in.wh(v)
	o := option{value: v, spend: b.prices[0].Mean * wh / 1000}
	o.cost, o.now = o.spend, o.spend
	rest := max(0, b.in.wants(b.s)-wh)
	for _, t := range b.p.order {
		if t == 0 || t >= b.p.due[b.own] {
			continue
		}
		take := min(rest, b.p.cap[b.own], b.p.left[t]+b.p.energy(b.own, t))
		o.cost += b.prices[t].Mean * take / 1000
		rest -= take
	}
	o.cost += int64(b.s.missed(rest, b.in.Charger.Worth))
	return o
}

func (s *Session) missed(wh int64, worth lamppost.Micro) lamppost.Micro {
	return worth * lamppost.Micro(wh) / 1000
}

func (b *bidder) explain(c *choice) {
	c.because(reason{code: "departure", value: b.s.Need, set: 1, of: energy, at: b.s.Departs})
	switch alone, wants := b.p.cap[b.own]*int64(b.p.due[b.own]), b.in.wants(b.s); {
	case wants > alone:
		c.because(reason{code: "departs_too_soon", value: wants, high: alone, set: 5, of: energy})
	case b.p.short > 0:
		c.because(reason{code: "fair_share", value: b.p.total(b.own), high: wants, set: 5, of: energy})
	}
	cheap := 0
	for t := range b.p.due[b.own] {
		if b.prices[t].Mean < b.prices[cheap].Mean {
			cheap = t
		}
	}
	code := "cheapest_now"
	if cheap > 0 {
		code = "cheaper_later"
	}
	p := b.prices[cheap]
	c.because(reason{code: code, value: b.prices[0].Mean, low: p.Low, high: p.High, set: 7, of: perKWh, at: p.At})
}
