package agent

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
)

// A Site is what devices trade on that share a connection. Each offers by its own plan, all offers are cleared at one price ([Clear]), and no device does more
// than it got. Every device of the site clears the same offers for itself, so what they draw together stays within the limit.
type Site struct {
	Limit  int64   `cbor:"1,keyasint" json:"limit"`            // W that they may draw together, beside what those draw that offer nothing
	Feed   int64   `cbor:"2,keyasint" json:"feed"`             // thousandths of the price that are paid for energy fed in
	Offers []Offer `cbor:"3,keyasint,omitempty" json:"offers"` // of the others, by id, and what it buys before what it sells
}

// Limits of a site.
const (
	MaxTraders = 64
	bidLevels  = 8 // of equal power, and one more where the device's own plan ends
	connection = ""
)

func (s *Site) valid(own lamppost.DeviceID) bool {
	if s == nil {
		return true
	}
	mine := func(o Offer) bool { return o.ID == string(own) || o.ID == connection }
	return between(s.Limit, 0, MaxPower) && between(s.Feed, 0, 1000) && len(s.Offers) <= 2*MaxTraders && !slices.ContainsFunc(s.Offers, mine) &&
		slices.IsSortedFunc(s.Offers, byID) && checkOffers(s.Offers) == nil
}

// byID puts what a device buys before what it sells.
func byID(a, b Offer) int {
	if c := cmp.Compare(a.ID, b.ID); c != 0 || a.Sells == b.Sells {
		return c
	}
	if a.Sells {
		return 1
	}
	return -1
}

// Bid is what a charger or a storage offers to its site. One that does not act, or whose forecasts cannot be used, offers nothing and draws what its safe
// rule says: that is firm, in W.
func (in *Inputs) Bid() (offers []Offer, firm int64) {
	if !in.valid() {
		return nil, max(0, in.Bounds.hold(0))
	}
	var c choice
	if in.Mode == lamppost.AgentBounded {
		if _, why := in.weigh(&c); why == "" {
			return in.bid(&c), 0
		}
	}
	return nil, max(0, in.Bounds.hold(in.safe()))
}

// Trade gives all who share a connection what the others offer. Limit is in W, feed in thousandths of the price. Who offers nothing draws what its safe rule says,
// which is taken off first; a site has at most [MaxTraders], and those beyond draw nothing.
func Trade(all []*Inputs, limit, feed int64) {
	for _, in := range all[min(len(all), MaxTraders):] {
		in.Bounds.Most = max(0, in.Bounds.Least)
	}
	all = all[:min(len(all), MaxTraders)]
	bids := make([][]Offer, len(all))
	for k, in := range all {
		var firm int64
		bids[k], firm = in.Bid()
		limit -= firm
	}
	for k, in := range all {
		if in.Mode != lamppost.AgentBounded {
			continue // what it would do is no matter to the others
		}
		in.Site = &Site{Limit: max(0, limit), Feed: feed}
		for other, b := range bids {
			if other != k {
				in.Site.Offers = append(in.Site.Offers, b...)
			}
		}
	}
}

// beside is what passes by the connection's limit, in W: what a storage gives to the site's own load, and what it takes of its surplus, both if there
// is as little of it as can be.
func (in *Inputs) beside() (gives, takes int64) {
	if in.Kind != lamppost.AgentStorage {
		return 0, 0
	}
	load, why := in.series("load")
	if why != "" {
		return 0, 0
	}
	return max(0, load[0].Low), max(0, -load[0].High)
}

// bid makes offers of a plan: what a further kWh is worth is by how much the horizon's cost, without the bill of this interval, falls with it.
func (in *Inputs) bid(c *choice) (offers []Offer) {
	best, _ := c.pick(in)
	all := slices.Clone(c.options[:c.n])
	slices.SortStableFunc(all, func(a, b option) int { return cmp.Compare(a.value, b.value) })
	gives, takes := in.beside()
	for _, side := range [...]struct {
		sells bool
		way   int64
		from  int64
	}{{false, 1, takes}, {true, -1, gives}} {
		o := Offer{ID: string(in.Device), Sells: side.sells, Levels: in.levels(all, c.options[best].value, side.way, side.from)}
		if len(o.Levels) > 0 {
			offers = append(offers, o)
		}
		slices.Reverse(all)
	}
	return offers
}

// levels is one side of a bid: options in the order of their powers, away from 0, from a power on.
func (in *Inputs) levels(all []option, best, way, from int64) []Level {
	start := slices.IndexFunc(all, func(o option) bool { return way*o.value > from })
	if start < 0 || start == 0 {
		return nil
	}
	at, last := all[start-1], all[len(all)-1]
	if way*at.value < 0 { // what it does at least is beyond 0 the other way
		return nil
	}
	span, n := abs(last.value-at.value), int64(1)
	var levels []Level
	for i, o := range all[start:] {
		end := start+i == len(all)-1
		due := end || o.value == best || abs(all[start+i+1].value-all[start-1].value) > n*span/bidLevels
		wh := in.wh(abs(o.value - at.value))
		if !due || wh == 0 {
			continue
		}
		for n < bidLevels && abs(o.value-all[start-1].value) >= n*span/bidLevels {
			n++
		}
		worth := way * ((o.now - o.cost) - (at.now - at.cost)) * 1000 / wh
		levels = append(levels, Level{Price: lamppost.Micro(max(-MaxPrice, min(worth, MaxPrice))), Quantity: abs(o.value - at.value)})
		at = o
	}
	return ordered(levels, way)
}

// ordered makes prices fall (buying) or rise (selling): levels that do not are put together at their mean (pool adjacent violators, Ayer and others, Annals of
// Mathematical Statistics 26, 1955). So an offer is filled up to where its plan ends.
func ordered(levels []Level, way int64) []Level {
	var out []Level
	for _, l := range levels {
		for len(out) > 0 && way*int64(l.Price-out[len(out)-1].Price) > 0 {
			before := out[len(out)-1]
			q := before.Quantity + l.Quantity
			l = Level{Price: lamppost.Micro((int64(before.Price)*before.Quantity + int64(l.Price)*l.Quantity) / q), Quantity: q}
			out = out[:len(out)-1]
		}
		out = append(out, l)
	}
	return out[:min(len(out), MaxLevels)]
}

// clear clears a site's offers with the device's own, and the connection's: it sells within the limit at the price, and buys below it.
func (in *Inputs) clear(c *choice) (*Clearing, error) {
	prices, _ := in.series("price")
	price := prices[0].Mean
	fed := min(price*in.Site.Feed/1000, price-1)
	offers := append(in.bid(c), in.Site.Offers...)
	offers = append(offers, Offer{ID: connection, Sells: true, Levels: []Level{{Price: lamppost.Micro(price), Quantity: in.Site.Limit}}},
		Offer{ID: connection, Levels: []Level{{Price: lamppost.Micro(max(-MaxPrice, fed)), Quantity: MaxPower}}})
	return Clear(offers)
}

// trade weighs again within what the site's clearing gives the device. What it sold it gives, as others count on it; of what it bought it may draw less.
func (in *Inputs) trade(c *choice) {
	cleared, err := in.clear(c)
	if err != nil { // offers were checked
		return
	}
	net, why := int64(0), "idle"
	var next *lamppost.Micro
	for _, f := range cleared.Fills {
		if f.ID != string(in.Device) {
			continue
		}
		way := int64(1)
		if f.Sells {
			way = -1
		}
		if net += way * f.Quantity; f.Quantity > 0 || why == "idle" {
			why, next = f.Why, f.Next
		}
	}
	i, _ := c.pick(in)
	wished, safe := c.options[i].value, c.safe
	gives, takes := in.beside()
	own := *in
	own.Site, own.Bounds = nil, Bounds{Least: in.Bounds.hold(-gives), Most: in.Bounds.hold(takes + net)}
	if net < 0 {
		own.Bounds = Bounds{Least: in.Bounds.hold(net - gives), Most: in.Bounds.hold(net - gives)}
	}
	*c = choice{}
	_, _ = own.weigh(c) // of the same forecasts
	c.safe = safe
	if i, _ := c.pick(in); net == 0 && c.options[i].value == wished {
		return
	}
	price := reason{code: "site_price", value: int64(cleared.Price), set: 1, of: perKWh}
	if next != nil {
		price.high, price.set = int64(*next), 5
	}
	c.first(price)
	c.first(reason{code: "site_share", value: net, high: in.Site.Limit, set: 5, of: power, other: why})
}
