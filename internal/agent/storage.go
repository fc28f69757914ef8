package agent

import "github.com/lamppost/lamppost"

// A Storage buys energy where it is cheap and gives it back where it is dear. It needs the forecast "price"; "load", the site's own net
// load in W without the storage, is 0 where there is none. Its action is a power: in, or out below 0.
//
// Costs are summed over three cases of the load, its low, middle and high; prices count by their mean, and by Risk of the way to the bound that is worse.
// A storage with a meter is planned to give what the site uses, to keep, or to take some in later intervals.
// What is stored at the horizon's end is worth the horizon's lowest price.
type Storage struct {
	Capacity int64          `cbor:"1,keyasint" json:"capacity"`  // Wh
	Energy   int64          `cbor:"2,keyasint" json:"energy"`    // Wh, now
	In       int64          `cbor:"3,keyasint" json:"in"`        // W, at most
	Out      int64          `cbor:"4,keyasint" json:"out"`       // W, at most
	InShare  int64          `cbor:"5,keyasint" json:"in_share"`  // thousandths of what goes in that are stored
	OutShare int64          `cbor:"6,keyasint" json:"out_share"` // thousandths of what was stored that come out
	Wear     lamppost.Micro `cbor:"7,keyasint" json:"wear"`      // per kWh that the store changes by
	Reserve  int64          `cbor:"8,keyasint" json:"reserve"`   // Wh that stay, for an outage
	Feed     int64          `cbor:"9,keyasint" json:"feed"`      // thousandths of the price that are paid for energy fed in
	Limit    int64          `cbor:"10,keyasint" json:"limit"`    // W that the site may draw; 0: no limit
	Risk     int64          `cbor:"11,keyasint" json:"risk"`     // thousandths
	// Meter: it sees the site's connection and follows it at once, whatever it was told: it gives no more than the site uses, and takes what the sun leaves.
	// So what it is told is the most it gives, or the least it takes, and a load that was forecast wrongly costs little.
	Meter bool `cbor:"12,keyasint,omitempty" json:"meter,omitempty"`
}

func (s *Storage) valid() bool {
	return between(s.Capacity, 1000, MaxEnergy) && between(s.Energy, 0, s.Capacity) && between(s.In, 0, MaxPower) && between(s.Out, 0, MaxPower) &&
		between(s.InShare, 1, 1000) && between(s.OutShare, 1, 1000) && between(int64(s.Wear), 0, MaxPrice) && between(s.Reserve, 0, s.Capacity) &&
		between(s.Feed, 0, 1000) && between(s.Limit, 0, MaxPower) && between(s.Risk, 0, 1000)
}

// The grid that energies are planned on: finer where a step's power moves little of the store.
const (
	leastCells = 32
	mostCells  = 240
	movesWish  = 4
)

// A stock is what a storage's decision goes by.
type stock struct {
	in           *Inputs
	s            *Storage
	prices, load []Point
	cells        int
	cell         int64 // Wh
	up, down     int   // cells that a step moves, at most
	floor        int   // the cell of the reserve
}

func (in *Inputs) storage(c *choice) (name, why string) {
	k := stock{in: in, s: in.Storage}
	if k.prices, why = in.series("price"); why != "" {
		return "price", why
	}
	if in.has("load") {
		if k.load, why = in.series("load"); why != "" {
			return "load", why
		}
		for _, p := range k.load {
			if !within(p.Low, MaxPower) || !within(p.High, MaxPower) {
				return "load", "bad_forecast"
			}
		}
		c.saw("load", k.load[0])
	}
	c.saw("price", k.prices[0])
	k.grid()
	k.weigh(c)
	k.explain(c)
	return "", ""
}

func (k *stock) grid() {
	in, out := k.in.wh(k.s.In)*k.s.InShare/1000, k.in.wh(k.s.Out)*1000/k.s.OutShare
	k.cells = int(min(mostCells, max(leastCells, movesWish*k.s.Capacity/max(1, min(in, out)))))
	k.cell = k.s.Capacity / int64(k.cells)
	k.up, k.down = int(min(int64(k.cells), in/k.cell)), int(min(int64(k.cells), out/k.cell))
	k.floor = int((k.s.Reserve + k.cell - 1) / k.cell)
}

// weigh goes backwards through the horizon on the grid, then tries what could be done now: every cell within reach, the bounds, and where costs bend.
// It is exact for the grid's values, joined by straight lines.
func (k *stock) weigh(c *choice) {
	var later, now [mostCells + 1]int64
	k.ends(&later)
	var moves [2*mostCells + 1]int64
	for t := len(k.prices) - 1; t > 0; t-- {
		up := k.moves(t, &moves)
		if k.follows() {
			k.following(t, up, &moves, &later, &now)
			later, now = now, later
			continue
		}
		for s := 0; s <= k.cells; s++ {
			least := later[s]
			from, to := max(-k.down, min(k.floor, s)-s), min(up, k.cells-s)
			span := later[s+from : s+to+1]
			for i, cost := range moves[k.down+from : k.down+to+1] {
				if sum := cost + span[i]; sum < least {
					least = sum
				}
			}
			now[s] = least
		}
		later, now = now, later
	}
	k.try(c, &later)
}

func (k *stock) follows() bool { return k.s.Meter && k.load != nil }

// following is an interval of a storage with a meter: it gives what the site uses, or keeps what it has, or takes some cells.
func (k *stock) following(t, up int, moves *[2*mostCells + 1]int64, later, now *[mostCells + 1]int64) {
	gives, keeps := k.answers(t, -k.s.Out), k.answers(t, 0)
	for s := 0; s <= k.cells; s++ {
		least := min(k.answered(t, s, &gives, later), k.answered(t, s, &keeps, later))
		for d := 1; d <= min(up, k.cells-s); d++ {
			least = min(least, moves[k.down+d]+later[s+d])
		}
		now[s] = least
	}
}

// answers are what a storage with a meter does in the cases of the load if nothing stops it, and what each costs: worked out once for all
// that may be stored.
type answers struct {
	watts  int64
	stored [3]int64
	cells  [3]int // whole cells of it, downwards, and the rest
	rest   [3]int64
	cost   [3]int64
}

func (k *stock) answers(t int, watts int64) answers {
	a := answers{watts: watts}
	for i, load := range k.load[t].cases() {
		stored := k.s.wants(k.in, watts, load)
		cells := stored / k.cell
		if stored < cells*k.cell {
			cells--
		}
		a.stored[i], a.cells[i], a.rest[i] = stored, int(cells), stored-cells*k.cell
		a.cost[i] = k.billed(t, k.moved(stored), k.in.wh(load)) + int64(k.s.Wear)*abs(stored)/1000
	}
	return a
}

// answered is what [stock.told] says, from a cell.
func (k *stock) answered(t, s int, a *answers, later *[mostCells + 1]int64) int64 {
	at, sum := int64(s)*k.cell, int64(0)
	for i, stored := range a.stored {
		to := at + stored
		if to < min(at, k.s.Reserve) || to >= int64(k.cells)*k.cell {
			return k.told(t, a.watts, at, later)
		}
		from := s + a.cells[i]
		sum += weights[i] * (a.cost[i] + later[from] + (later[from+1]-later[from])*a.rest[i]/k.cell)
	}
	return sum / 1000
}

// told is what a storage with a meter costs that is told a power, over three cases of the load.
func (k *stock) told(t int, watts, at int64, later *[mostCells + 1]int64) int64 {
	sum := int64(0)
	for i, load := range k.load[t].cases() {
		stored := k.s.follow(k.in, watts, load, at)
		moved := k.moved(stored)
		sum += weights[i] * (k.billed(t, moved, k.in.wh(load)) + int64(k.s.Wear)*abs(stored)/1000 + k.worth(later, at+stored))
	}
	return sum / 1000
}

// follow is what a storage with a meter stores in an interval, in Wh, that is told a power and sees a load.
func (s *Storage) follow(in *Inputs, watts, load, at int64) int64 {
	return min(max(s.wants(in, watts, load), min(0, s.Reserve-at)), s.Capacity-at)
}

// wants is what it would store if it were neither empty nor full.
func (s *Storage) wants(in *Inputs, watts, load int64) int64 {
	if load < 0 {
		watts = max(watts, min(s.In, -load))
	} else if watts < 0 {
		watts = -min(-watts, load)
	}
	wh := in.wh(watts)
	if wh < 0 {
		return -((-wh*1000 + s.OutShare - 1) / s.OutShare)
	}
	return wh * s.InShare / 1000
}

// billed is what moving energy changes of an interval's bill beside a load, both in Wh.
func (k *stock) billed(t int, moved, load int64) int64 {
	price := k.price(t, moved)
	feed := price * k.s.Feed / 1000
	return bill(load+moved, price, feed) - bill(load, price, feed)
}

// price is the mean, and some of the way to the bound that is worse for the move.
func (k *stock) price(t int, moved int64) int64 {
	p := k.prices[t]
	switch {
	case moved > 0:
		return p.Mean + (p.High-p.Mean)*k.s.Risk/1000
	case moved < 0:
		return p.Mean - (p.Mean-p.Low)*k.s.Risk/1000
	}
	return p.Mean
}

// ends values what is stored when the horizon is over.
func (k *stock) ends(v *[mostCells + 1]int64) {
	cheapest := k.prices[0].Mean
	for _, p := range k.prices {
		cheapest = min(cheapest, p.Mean)
	}
	worth := max(0, cheapest*k.s.OutShare/1000-int64(k.s.Wear))
	for i := range v[:k.cells+1] {
		v[i] = -int64(max(0, i-k.floor)) * k.cell * worth / 1000
	}
}

// moves are the costs of each move between cells in an interval, against staying; up is how many go up within the site's limit.
func (k *stock) moves(t int, to *[2*mostCells + 1]int64) (up int) {
	up = k.up
	for d := -k.down; d <= k.up; d++ {
		stored := int64(d) * k.cell
		moved := k.moved(stored)
		if d > 0 && moved > k.room(t) {
			return d - 1
		}
		to[k.down+d] = k.cost(t, moved, stored)
	}
	return up
}

// moved is the energy that the site sees where the store changes by some.
func (k *stock) moved(stored int64) int64 {
	if stored > 0 {
		return (stored*1000 + k.s.InShare - 1) / k.s.InShare
	}
	return stored * k.s.OutShare / 1000
}

// room is what may go in within the site's limit if the load is high, in Wh.
func (k *stock) room(t int) int64 {
	if k.s.Limit == 0 {
		return MaxEnergy
	}
	room := k.in.wh(k.s.Limit)
	if k.load != nil {
		room -= k.in.wh(k.load[t].High)
	}
	return max(0, room)
}

// cost is what moving energy costs in an interval, against not: over three cases of the load.
func (k *stock) cost(t int, moved, stored int64) int64 {
	if moved == 0 {
		return 0
	}
	wear := k.wear(moved, stored)
	if k.load == nil {
		return k.billed(t, moved, 0) + wear
	}
	sum := int64(0)
	for i, watts := range k.load[t].cases() {
		sum += weights[i] * k.billed(t, moved, k.in.wh(watts))
	}
	return sum/1000 + wear
}

func (k *stock) wear(moved, stored int64) int64 {
	if moved == 0 {
		return 0
	}
	return int64(k.s.Wear) * abs(stored) / 1000
}

func bill(wh, price, feed int64) int64 {
	if wh < 0 {
		price = feed
	}
	return price * wh / 1000
}

func abs(v int64) int64 { return max(v, -v) }

// try offers what could be done now.
func (k *stock) try(c *choice, later *[mostCells + 1]int64) {
	low, high := k.reach()
	at := func(watts int64) {
		v := k.in.Bounds.hold(min(max(watts, low), high))
		moved := k.in.wh(v)
		stored := moved * k.s.InShare / 1000
		if moved < 0 {
			stored = -((-moved*1000 + k.s.OutShare - 1) / k.s.OutShare)
		}
		o := option{value: v, cost: k.cost(0, moved, stored) + k.worth(later, k.s.Energy+stored), now: k.pays(v, moved, stored)}
		if k.follows() {
			o.cost = k.told(0, v, k.s.Energy, later)
		}
		if moved > 0 {
			o.spend = max(0, k.prices[0].Mean*moved/1000)
		}
		c.offer(o)
	}
	at(0)
	c.safe = c.options[0]
	if k.load != nil {
		for _, l := range k.load[0].cases() {
			at(-l)
		}
	}
	if price := k.prices[0].Mean; k.in.Budget != nil && price > 0 {
		at(k.in.watts(min(MaxEnergy, max(0, min(most, int64(*k.in.Budget))*1000/price))))
	}
	at(low)
	at(high)
	for i := 0; i <= k.cells; i++ {
		stored := int64(i)*k.cell - k.s.Energy
		if stored >= -int64(k.down+1)*k.cell && stored <= int64(k.up+1)*k.cell {
			at(k.in.watts(k.moved(stored)))
		}
	}
}

// pays is what the first interval's bill changes by.
func (k *stock) pays(watts, moved, stored int64) int64 {
	if !k.follows() {
		return k.cost(0, moved, stored) - k.wear(moved, stored)
	}
	sum := int64(0)
	for i, load := range k.load[0].cases() {
		sum += weights[i] * k.billed(0, k.moved(k.s.follow(k.in, watts, load, k.s.Energy)), k.in.wh(load))
	}
	return sum / 1000
}

// reach is the least and the most power that the store allows now.
func (k *stock) reach() (low, high int64) {
	low = -min(k.s.Out, k.in.watts(max(0, k.s.Energy-k.s.Reserve)*k.s.OutShare/1000))
	high = min(k.s.In, k.in.watts((k.s.Capacity-k.s.Energy)*1000/k.s.InShare), k.in.watts(k.room(0)))
	return low, high
}

// worth reads the grid between its cells.
func (k *stock) worth(v *[mostCells + 1]int64, wh int64) int64 {
	i := min(max(0, wh/k.cell), int64(k.cells))
	if i == int64(k.cells) {
		return v[i]
	}
	part := max(0, wh-i*k.cell)
	return v[i] + (v[i+1]-v[i])*part/k.cell
}

func (k *stock) explain(c *choice) {
	i, _ := c.pick(k.in)
	best := c.options[i]
	cheap, dear := 0, 0
	for t := 1; t < len(k.prices); t++ {
		if k.prices[t].Mean < k.prices[cheap].Mean {
			cheap = t
		}
		if k.prices[t].Mean > k.prices[dear].Mean {
			dear = t
		}
	}
	now := k.prices[0].Mean
	switch {
	case best.value > 0 && k.load != nil && k.load[0].Mean < 0:
		c.because(forecastReason("surplus", power, k.load[0]))
		c.because(k.later("dearer_later", now, dear))
	case best.value > 0:
		c.because(k.later("dearer_later", now, dear))
	case best.value < 0:
		c.because(k.later("cheaper_later", now, cheap))
		if k.load != nil {
			c.because(forecastReason("load", power, k.load[0]))
		}
	default:
		c.because(k.later("dearer_later", now, dear))
		c.because(k.later("cheaper_later", now, cheap))
	}
	c.because(reason{code: "stored", value: k.s.Energy, low: k.s.Reserve, high: k.s.Capacity, set: 7, of: energy})
}

// later tells of the price now, and of another one and when it comes.
func (k *stock) later(code string, now int64, t int) reason {
	p := k.prices[t]
	return reason{code: code, value: now, low: p.Low, high: p.High, set: 7, of: perKWh, at: p.At}
}

// Follow is what a storage holds after an interval in which it was told a power and its site's load, in W, was as it was. Without a meter it does as told.
func (in *Inputs) Follow(watts, load int64) int64 {
	s := in.Storage
	if s.Meter {
		return s.Energy + s.follow(in, watts, load, s.Energy)
	}
	moved := in.wh(watts)
	if moved < 0 {
		return s.Energy - (-moved*1000+s.OutShare-1)/s.OutShare
	}
	return s.Energy + moved*s.InShare/1000
}
