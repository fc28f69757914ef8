package measure

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// ControlChargers is what agents of a garage's chargers were worth, over the second half of its sessions.
type ControlChargers struct {
	Sessions  int     `json:"sessions"`
	Limit     int64   `json:"limit_w"`       // the least, in steps of 5 kW, that could serve all that the first half asked for
	Requested float64 `json:"requested_kwh"` // that fits a session's time at its charger's power
	Feasible  float64 `json:"feasible_kwh"`  // of it, under the limit, with all sessions known: the largest flow
	Charged   float64 `json:"charged_kwh"`
	Short     int     `json:"sessions_short"` // by more than 10 Wh
	Peak      int64   `json:"peak_w"`
	USD       float64 `json:"usd"`

	// Without agents: an equal share of the limit for each, at once.
	EqualCharged float64 `json:"equal_charged_kwh"`
	EqualUSD     float64 `json:"equal_usd"`
	EqualShort   int     `json:"equal_sessions_short"`

	// The vehicles as they really were, while agents go by what drivers said: of the energy that each took in the end, the share that it would
	// have had before it really left.
	AsItWas      float64 `json:"as_it_was_share"`
	AsItWasEqual float64 `json:"as_it_was_equal_share"`

	// Under tighter limits: what is feasible, and what of that did not come.
	Tighter []ControlSite `json:"tighter"`

	Kept   int64          `json:"kept"` // chosen on the first half: the cheapest of those that leave the least behind
	Trials []ControlTrial `json:"trials"`
}

// A ControlSite is the garage under a limit.
type ControlSite struct {
	Limit    int64   `json:"limit_w"`
	Feasible float64 `json:"feasible_kwh"`
	Unmet    float64 `json:"unmet_kwh_feasible"`
	Peak     int64   `json:"peak_w"`
}

const (
	chargerPower   = 6656      // W: 208 V and 32 A, as the garage's stations have
	chargerHorizon = 96        // quarters of an hour
	chargerWorth   = 1_000_000 // Micro per kWh, more than energy ever costs
)

// A visit is a session in quarters of an hour since the first: plugged in from one to another by its driver's word, and until it was really unplugged.
type visit struct {
	id               lamppost.DeviceID
	from, to, really int
	asked, took      int64 // Wh: by the driver's word, and what the vehicle took in the end
}

// A garage is sessions, and what energy costs in each quarter.
type garage struct {
	visits []visit
	begin  lamppost.TimeMS
	price  []float64 // Micro per kWh
}

func (r *ControlResult) chargers(ctx context.Context, sets string) error {
	all, err := newGarage(sets)
	if err != nil {
		return err
	}
	half := len(all.visits) / 2
	train, test := *all, *all
	train.visits, test.visits = all.visits[:half], all.visits[half:]
	c := &r.Chargers
	c.Sessions, c.Limit = len(test.visits), train.least()
	var best charging
	for i, kept := range []int64{0, 250, 500, 750, 1000} {
		x, err := train.run(r, charging{limit: c.Limit, kept: kept})
		if err != nil {
			return err
		}
		c.Trials = append(c.Trials, ControlTrial{kept, x.kwh()})
		if i == 0 || x.wh > best.wh || x.wh == best.wh && x.micro < best.micro {
			best, c.Kept = x, kept
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return c.measure(r, &test)
}

func (c *ControlChargers) measure(r *ControlResult, g *garage) error {
	for _, v := range g.visits {
		c.Requested += float64(v.fits()) / 1000
	}
	runs := [4]charging{{limit: c.Limit}, {limit: c.Limit, equal: true}, {limit: c.Limit, really: true}, {limit: c.Limit, equal: true, really: true}}
	for i := range runs {
		runs[i].kept = c.Kept
		var err error
		if runs[i], err = g.run(r, runs[i]); err != nil {
			return err
		}
	}
	c.Feasible = float64(g.most(c.Limit)) / 1000
	c.Charged, c.Short, c.Peak, c.USD = runs[0].kwh(), runs[0].short, runs[0].peak, runs[0].usd()
	c.EqualCharged, c.EqualShort, c.EqualUSD = runs[1].kwh(), runs[1].short, runs[1].usd()
	took := 0.0
	for _, v := range g.visits {
		took += float64(v.took) / 1000
	}
	c.AsItWas, c.AsItWasEqual = runs[2].kwh()/took, runs[3].kwh()/took
	r.ChargerUnmet, r.ChargerPeak = c.Feasible-c.Charged, max(0, float64(c.Peak-c.Limit))
	for _, share := range []int64{75, 50} {
		limit := c.Limit * share / 100
		x, err := g.run(r, charging{limit: limit, kept: c.Kept})
		if err != nil {
			return err
		}
		feasible := float64(g.most(limit)) / 1000
		c.Tighter = append(c.Tighter, ControlSite{limit, feasible, feasible - x.kwh(), x.peak})
		r.ChargerPeak = max(r.ChargerPeak, float64(x.peak-limit))
	}
	return nil
}

// A charging is a run over a garage's sessions: how, and what came of it.
type charging struct {
	limit, kept   int64
	equal, really bool

	wh, peak int64
	micro    float64
	short    int
}

func (c *charging) kwh() float64 { return float64(c.wh) / 1000 }
func (c *charging) usd() float64 { return c.micro / 1e6 }

// A plugged is a visit that is there.
type plugged struct {
	*visit
	need, room int64 // Wh: by the driver's word, and what the vehicle still takes
}

const quarterWh = chargerPower / 4

// fits is what could be charged of what was asked for if the vehicle were alone.
func (v *visit) fits() int64 { return min(v.asked, quarterWh*int64(v.to-v.from)) }

// run lets each charger decide each quarter of an hour for itself; every one of them sees the same site.
func (g *garage) run(r *ControlResult, c charging) (charging, error) {
	next, there := 0, []plugged{}
	for q := g.visits[0].from; next < len(g.visits) || len(there) > 0; q++ {
		for ; next < len(g.visits) && g.visits[next].from <= q; next++ {
			v := &g.visits[next]
			p := plugged{v, v.asked, v.fits()}
			if c.really {
				p.room = v.took
			}
			there = append(there, p)
		}
		there = slices.DeleteFunc(there, func(p plugged) bool {
			gone := p.to
			if c.really {
				gone = p.really
			}
			if q >= gone && p.room > 10 && !c.really {
				c.short++
			}
			return q >= gone
		})
		if err := g.quarter(r, &c, q, there); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (g *garage) quarter(r *ControlResult, c *charging, q int, there []plugged) error {
	site := &agent.Charger{Limit: c.limit, Worth: chargerWorth, Kept: c.kept}
	for _, p := range there {
		if p.need > 0 && p.room > 0 {
			site.Sessions = append(site.Sessions, agent.Session{Device: p.id, Need: p.need, Departs: g.at(p.to), Most: chargerPower})
		}
	}
	slices.SortFunc(site.Sessions, func(a, b agent.Session) int { return cmp.Compare(a.Device, b.Device) })
	in := &agent.Inputs{Format: 1, Kind: lamppost.AgentCharger, Mode: lamppost.AgentBounded, At: g.at(q), Step: quarter, Steps: chargerHorizon, Currency: "USD",
		Bounds: agent.Bounds{Most: chargerPower}, Charger: site}
	if c.equal {
		in.Mode = lamppost.AgentStopped
	}
	in.Forecasts = []agent.Forecast{foreknown("price", in, func(k int) float64 { return g.price[q+k] })}
	sum := int64(0)
	for i := range there {
		p := &there[i]
		if p.need <= 0 || p.room <= 0 {
			continue
		}
		in.Device = p.id
		d, err := r.decide(in)
		if err != nil {
			return err
		}
		watts := d.Action.Value.Mantissa
		sum += watts
		wh := min(watts/4, p.room)
		p.need, p.room = p.need-wh, p.room-wh
		c.wh += wh
		c.micro += float64(wh) * g.price[q] / 1000
	}
	c.peak = max(c.peak, sum)
	return nil
}

func (g *garage) at(q int) lamppost.TimeMS { return g.begin + lamppost.TimeMS(q)*quarter }

// least is the least limit in steps of 5 kW under which all that fits could be charged.
func (g *garage) least() int64 {
	want := int64(0)
	for i := range g.visits {
		want += g.visits[i].fits()
	}
	limit := int64(5000)
	for g.most(limit) < want {
		limit += 5000
	}
	return limit
}

// newGarage reads the sessions, and for their hours the tariff of the region's homes in another year, by month, hour and weekend.
func newGarage(sets string) (*garage, error) {
	t, err := fraudRows(filepath.Join(sets, "ev-acn", "sessions.csv"))
	if err != nil {
		return nil, err
	}
	tariff, err := newTimeOfUse(sets)
	if err != nil {
		return nil, err
	}
	first, err := time.Parse(time.RFC3339, t.rows[0][2])
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", t.path, err)
	}
	g := &garage{begin: lamppost.TimeMS(first.Truncate(24 * time.Hour).UnixMilli())}
	last := 0
	for i, row := range t.rows {
		v, err := g.visit(i, row)
		if err != nil {
			return nil, fmt.Errorf("reading %q, row %d: %w", t.path, i+1, err)
		}
		if v.to > v.from && v.asked > 0 {
			g.visits = append(g.visits, v)
			last = max(last, v.to, v.really)
		}
	}
	slices.SortStableFunc(g.visits, func(a, b visit) int { return cmp.Compare(a.from, b.from) })
	for q := range last + chargerHorizon + 1 {
		g.price = append(g.price, tariff.at(time.UnixMilli(int64(g.at(q))).UTC().Add(-7*time.Hour))) // Pacific daylight time
	}
	return g, nil
}

// visit reads a session: begun in the next full quarter, over in the last full one. A driver who said nothing is taken to want what came, until the vehicle left.
func (g *garage) visit(i int, row []string) (visit, error) {
	v := visit{id: lamppost.DeviceID(fmt.Sprintf("s%05d", i))}
	var times [3]int
	for k, column := range [...]int{2, 3, 11} {
		at, err := time.Parse(time.RFC3339, row[column])
		if err != nil && (k < 2 || row[column] != "") {
			return v, err
		}
		times[k] = int((at.UnixMilli() - int64(g.begin)) / quarter)
	}
	v.from, v.really = times[0]+1, times[1]
	if v.to = times[2]; v.to <= v.from {
		v.to = v.really
	}
	v.to = min(v.to, v.from+chargerHorizon)
	var wh [2]int64
	for k, column := range [...]int{5, 7} {
		if row[column] == "" {
			continue
		}
		var kwh float64
		if _, err := fmt.Sscan(row[column], &kwh); err != nil || !(kwh >= 0 && kwh < 1000) {
			return v, fmt.Errorf("%q is no energy", row[column])
		}
		wh[k] = int64(math.Round(1000 * kwh))
	}
	v.took, v.asked = wh[0], cmp.Or(wh[1], wh[0])
	return v, nil
}

// A timeOfUse is a tariff's mean by month, hour, and workday or weekend.
type timeOfUse struct {
	sum, n [12][24][2]float64
}

func newTimeOfUse(sets string) (*timeOfUse, error) {
	price, err := column(filepath.Join(sets, "citylearn-2022", "pricing.csv"), "electricity_pricing", 1e6)
	if err != nil {
		return nil, err
	}
	u := &timeOfUse{}
	for i, micro := range price {
		m, h, w := parts(time.Date(2016, 8, 1, i, 0, 0, 0, time.UTC))
		u.sum[m][h][w] += float64(micro)
		u.n[m][h][w]++
	}
	return u, nil
}

func (u *timeOfUse) at(t time.Time) float64 {
	m, h, w := parts(t)
	return math.Round(u.sum[m][h][w] / max(1, u.n[m][h][w]))
}

func parts(t time.Time) (month, hour, weekend int) {
	if t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		weekend = 1
	}
	return int(t.Month()) - 1, t.Hour(), weekend
}
