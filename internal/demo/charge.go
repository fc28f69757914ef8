package demo

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/lamppost/lamppost"
)

// A mark is what has flowed into a car by a time. Between two marks power is constant.
type mark struct {
	at  lamppost.TimeMS
	mWh int64
}

// used returns the Wh that have flowed by a time.
func (s *stay) used(t lamppost.TimeMS) int64 {
	a, b := s.around(t)
	return (a.mWh + (b.mWh-a.mWh)*int64(t-a.at)/int64(b.at-a.at)) / 1000
}

// power returns the W that flow from a time on.
func (s *stay) power(t lamppost.TimeMS) int64 {
	a, b := s.around(t)
	return (b.mWh - a.mWh) * 3600 / int64(b.at-a.at)
}

// around are the marks at or before a time and after it.
func (s *stay) around(t lamppost.TimeMS) (a, b mark) {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].at > t })
	if i == 0 || i == len(s.marks) {
		n := mark{t, s.marks[max(0, i-1)].mWh}
		return n, mark{t + 1, n.mWh}
	}
	return s.marks[i-1], s.marks[i]
}

// ended is when the last power flowed; where none did, when the car came.
func (s *stay) ended() lamppost.TimeMS { return s.marks[len(s.marks)-1].at }

// atOnce is the stay if nothing goes wrong and the car is charged as soon as it comes, as fast as it can.
func (s stay) atOnce() stay {
	s.mishap, s.marks = none, []mark{{s.in, 0}, {s.full, 1000 * s.wh}}
	return s
}

// departs is when the driver says that the car will leave.
func (s *stay) departs() lamppost.TimeMS {
	if s.mishap == longIdle {
		return s.full + quarterMS
	}
	return s.out
}

// most is what the car takes, in W.
func (s *stay) most() int64 { return s.wh * int64(hourMS) / int64(s.full-s.in) }

// powered reports whether the charger could give power at a time.
func (s *stay) powered(t lamppost.TimeMS) bool {
	switch s.mishap {
	case noCredit, onlyStart:
		return false
	case powerCut:
		return t >= s.in && t < s.out && (t < s.at || t >= s.back)
	case forgets:
		return t >= s.in && t < s.at
	}
	return t >= s.in && t < s.out
}

// A car is a stay that is charged in some way.
type car struct {
	stay
	id    lamppost.DeviceID // of its charger
	watts int64             // until the next word
	left  int64             // W × ms that it still wants
}

func (c *car) need() int64 { return (c.left + int64(hourMS) - 1) / int64(hourMS) } // Wh

// fullAt is the second in which it is full if it goes on like this.
func (c *car) fullAt(now lamppost.TimeMS) lamppost.TimeMS {
	if c.watts == 0 {
		return c.out
	}
	at := now + lamppost.TimeMS((c.left+c.watts-1)/c.watts)
	return (at + 999) / 1000 * 1000
}

func (c *car) flow(from, to lamppost.TimeMS) {
	if c.watts == 0 {
		return
	}
	if last := c.marks[len(c.marks)-1]; last.at < from {
		c.marks = append(c.marks, mark{from, last.mWh})
	}
	c.left = max(0, c.left-c.watts*int64(to-from))
	c.marks = append(c.marks, mark{to, 1000*c.wh - c.left/3600})
}

// A way says what each car that is there and not full gets until it is asked again: at the next quarter hour, or when a car comes, is full or goes.
type way func(now lamppost.TimeMS, cars []*car)

// charge lets the two days pass in a way. It returns the cars by stay, and the most that they drew together, in W.
func (p *carPark) charge(w way) (cars []car, peak int64) {
	cars = make([]car, len(p.stays))
	for i, s := range p.stays {
		s.marks = []mark{{s.in, 0}}
		cars[i] = car{stay: s, id: p.machines[s.charger].id, left: s.wh * int64(hourMS)}
	}
	stops := p.stops()
	for now := p.from; now < p.to; {
		var there []*car
		for i := range cars {
			if c := &cars[i]; c.left > 0 && c.powered(now) {
				there = append(there, c)
			}
		}
		slices.SortFunc(there, func(a, b *car) int { return cmp.Compare(a.id, b.id) })
		w(now, there)
		i, _ := slices.BinarySearch(stops, now+1)
		to, sum := stops[i], int64(0)
		for _, c := range there {
			to, sum = min(to, c.fullAt(now)), sum+c.watts
		}
		for _, c := range there {
			c.flow(now, to)
		}
		now, peak = to, max(peak, sum)
	}
	return cars, peak
}

// stops are when a way is asked again in any case.
func (p *carPark) stops() (all []lamppost.TimeMS) {
	for at := p.from; at <= p.to; at += quarterMS {
		all = append(all, at)
	}
	for i := range p.stays {
		s := &p.stays[i]
		all = append(all, s.in, s.out)
		if s.mishap == powerCut || s.mishap == forgets {
			all = append(all, s.at, max(s.at, s.back))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// firstCome gives who came first all that the car takes, as far as the connection goes.
func firstCome(_ lamppost.TimeMS, cars []*car) {
	left := int64(limitW)
	for _, c := range slices.SortedStableFunc(slices.Values(cars), func(a, b *car) int { return cmp.Compare(a.in, b.in) }) {
		c.watts = min(c.most(), left)
		left -= c.watts
	}
}

// timetable does the same, but in hours of the town's clock only that cost less than the mean in the week before.
func (p *carPark) timetable(now lamppost.TimeMS, cars []*car) {
	if p.cheap[p.zone.Local(now).Minute/60] {
		firstCome(now, cars)
		return
	}
	for _, c := range cars {
		c.watts = 0
	}
}

// A charging is what the cars took in a way.
type charging struct {
	used
	peak   int64 // W
	wanted int64 // Wh that drivers did not have when they left, where the charger did not fail
}

func (p *carPark) compare(w way) charging { return p.sum(p.charge(w)) }

// sum adds up what cars took.
func (p *carPark) sum(cars []car, peak int64) (x charging) {
	x.peak = peak
	for i := range cars {
		c := &cars[i]
		for k, m := range c.marks[1:] {
			x.add((m.mWh-c.marks[k].mWh)*int64(hourMS), p.price(c.marks[k].at))
		}
		if c.mishap != powerCut && c.mishap != forgets && c.mishap != onlyStart && c.mishap != noCredit {
			x.wanted += c.left / int64(hourMS)
		}
	}
	return x
}

// perKWh is what a kWh cost.
func (x *charging) perKWh() lamppost.Micro {
	return x.cost * 1000 / lamppost.Micro(max(1, x.mWms/mwMSPerWh))
}

// worth compares how the agents charged with two ways that need none. All are of the whole two days.
func (p *carPark) worth() *worth {
	agents := p.charged
	x := &worth{title: fmt.Sprintf("the %d chargers were worth, on the same cars and prices under the same %d kW", chargers, limitW/1000),
		more: "Wanted: what cars left without that their drivers had asked for, but for those at a charger that failed."}
	row := func(name string, c charging) {
		note := fmt.Sprintf("  %s ct a kWh, peak %s kW, %s kWh wanted", lamppost.Dec(int64(c.perKWh()+50)/100, -2), lamppost.Dec((c.peak+50)/100, -1), lamppost.Dec((c.wanted+5)/10, -2))
		if c != agents {
			note += "  (agents: " + percentLess(agents.perKWh(), c.perKWh()) + ")"
		}
		x.rows = append(x.rows, result{name, c.used, note})
	}
	row("as the agents decided", agents)
	row("who comes first, at once", p.compare(firstCome))
	row("the same, in cheap hours alone", p.compare(p.timetable))
	return x
}
