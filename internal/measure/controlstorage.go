package measure

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
)

// ControlStorages is what agents of homes' batteries were worth, in the second half of a year.
type ControlStorages struct {
	Homes    int     `json:"homes"`
	Nothing  float64 `json:"nothing_usd"` // what the homes pay without a storage
	Agent    float64 `json:"agent_usd"`
	Perfect  float64 `json:"perfect_usd"`  // with all of the half year known
	Foreseen float64 `json:"foreseen_usd"` // the agent, if its forecasts were true

	// The same agents with a meter at each home's connection, that the storage follows; and such a storage without an agent, which gives whenever the home uses.
	Metered    float64 `json:"metered_usd"`
	MeterAlone float64 `json:"meter_alone_usd"`

	Worst float64 `json:"share_worst_home"`
	Best  float64 `json:"share_best_home"`

	LostToForecast float64 `json:"lost_to_forecast"` // of perfect foresight's saving
	LostToHorizon  float64 `json:"lost_to_horizon"`  // and what true forecasts of a day or two leave

	Horizon int64            `json:"horizon_hours"` // chosen on the first half
	Trials  []ControlTrial   `json:"trials"`
	Each    []ControlStorage `json:"each"`
}

// A ControlStorage is one home's.
type ControlStorage struct {
	Home    string  `json:"home"`
	Nothing float64 `json:"nothing_usd"`
	Agent   float64 `json:"agent_usd"`
	Perfect float64 `json:"perfect_usd"`
	Share   float64 `json:"share_of_perfect"`
	Metered float64 `json:"metered_usd"`

	foreseen, alone float64
}

// A ControlTrial is a setting tried on the training time, and what came of it.
type ControlTrial struct {
	Setting int64   `json:"setting"`
	Result  float64 `json:"result"`
}

const (
	storageHorizon = 48 // hours, at most
	storageWarm    = 28 // days before anything counts
)

// A home is a CityLearn building: its net load, and what energy costs. What it feeds in is not paid for, as CityLearn counts.
type home struct {
	name  string
	net   []float64 // W
	price []float64 // Micro per kWh
	agent.Storage
	horizon int
}

func (r *ControlResult) storages(ctx context.Context, sets string) error {
	homes, err := controlHomes(sets)
	if err != nil {
		return err
	}
	all := &r.Storages
	all.Homes = len(homes)
	half := len(homes[0].net) / 2
	best := math.Inf(-1)
	for _, hours := range []int64{12, 24, 36, 48} {
		saved := 0.0
		for _, h := range homes {
			h.horizon = int(hours)
			cost, err := h.run(r, 24*storageWarm, half, agentAlone)
			if err != nil {
				return err
			}
			saved += h.nothing(24*storageWarm, half) - cost
		}
		all.Trials = append(all.Trials, ControlTrial{hours, saved})
		if saved > best {
			best, all.Horizon = saved, hours
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	all.Worst = 1
	for _, h := range homes {
		h.horizon = int(all.Horizon)
		if err := all.home(r, h, half); err != nil {
			return err
		}
	}
	saving := all.Nothing - all.Perfect
	r.Storage, r.StorageMetered = (all.Nothing-all.Agent)/saving, (all.Nothing-all.Metered)/saving
	all.LostToForecast, all.LostToHorizon = (all.Agent-all.Foreseen)/saving, (all.Foreseen-all.Perfect)/saving
	return nil
}

// home runs one home's second half.
func (s *ControlStorages) home(r *ControlResult, h *home, half int) error {
	x := ControlStorage{Home: h.name, Nothing: h.nothing(half, len(h.net)), Perfect: h.perfect(half, len(h.net))}
	var err error
	for way, sum := range [...]*float64{agentAlone: &x.Agent, agentKnows: &x.foreseen, agentMetered: &x.Metered, meterAlone: &x.alone} {
		if *sum, err = h.run(r, half, len(h.net), storageWay(way)); err != nil {
			return err
		}
	}
	x.Share = (x.Nothing - x.Agent) / (x.Nothing - x.Perfect)
	s.Nothing, s.Agent, s.Perfect, s.Foreseen = s.Nothing+x.Nothing, s.Agent+x.Agent, s.Perfect+x.Perfect, s.Foreseen+x.foreseen
	s.Metered, s.MeterAlone = s.Metered+x.Metered, s.MeterAlone+x.alone
	s.Worst, s.Best = min(s.Worst, x.Share), max(s.Best, x.Share)
	s.Each = append(s.Each, x)
	return nil
}

// A storageWay is how a home's storage runs.
type storageWay int

const (
	agentAlone   storageWay = iota
	agentKnows              // its forecasts are true
	agentMetered            // it follows a meter
	meterAlone              // and has no agent
)

// bill is what an hour's power costs.
func (h *home) bill(i int, watts float64) float64 { return max(0, watts) * h.price[i] / 1e9 }

func (h *home) nothing(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		sum += h.bill(i, h.net[i])
	}
	return sum
}

// run lets the agent decide each hour, from an empty store. Its forecaster has seen all hours before; the tariff is known.
func (h *home) run(r *ControlResult, from, to int, way storageWay) (cost float64, err error) {
	begin := time.Date(2016, 8, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	at := func(i int) lamppost.TimeMS { return lamppost.TimeMS(begin + int64(i)*3_600_000) }
	s, err := forecast.New(forecast.Settings{Step: 3_600_000, Horizon: storageHorizon})
	if err != nil {
		return 0, err
	}
	store := h.Storage
	store.Meter = way == agentMetered || way == meterAlone
	for i := range to {
		if i >= from {
			in := &agent.Inputs{Format: 1, Device: lamppost.DeviceID(h.name), Kind: lamppost.AgentStorage, Mode: lamppost.AgentBounded, At: at(i), Step: 3_600_000,
				Steps: uint8(min(h.horizon, to-i)), Currency: "USD", Bounds: agent.Bounds{Least: -store.Out, Most: store.In}, Storage: &store}
			in.Forecasts = []agent.Forecast{foreknown("price", in, func(k int) float64 { return h.price[i+k] })}
			if way == agentKnows {
				in.Forecasts = append(in.Forecasts, foreknown("load", in, func(k int) float64 { return h.net[i+k] }))
			} else {
				in.Forecasts = append(in.Forecasts, foreseen("load", s.Forecast(at(i)), in, 1, 1))
			}
			watts := -store.Out
			if way != meterAlone {
				d, err := r.decide(in)
				if err != nil {
					return 0, err
				}
				watts = d.Action.Value.Mantissa
			}
			before := store.Energy
			store.Energy = in.Follow(watts, int64(h.net[i]))
			cost += h.bill(i, h.net[i]+h.drawn(store.Energy-before))
		}
		if err := s.Observe(at(i), h.net[i]); err != nil {
			return 0, err
		}
	}
	return cost, nil
}

// drawn is the power that a home sees where its store changes by so much in an hour.
func (h *home) drawn(stored int64) float64 {
	if stored < 0 {
		return float64(stored*h.OutShare) / 1000
	}
	return float64(stored) * 1000 / float64(h.InShare)
}

// perfect is what the hours cost with all of them known, exactly: what the rest costs falls ever less steeply with what is stored, in straight
// pieces, and the best of an hour's move and the rest is both their pieces sorted by slope (the infimal convolution of convex functions).
func (h *home) perfect(from, to int) float64 {
	full := float64(h.Capacity)
	rest, empty := []piece{{0, full}}, 0.0 // what the rest costs: of an empty store, and how that falls
	for i := to - 1; i >= from; i-- {
		moves, most := h.moves(i)
		all := append(moves, rest...)
		slices.SortFunc(all, func(a, b piece) int { return cmp.Compare(a.slope, b.slope) })
		at := -h.up()
		empty, rest = empty+most, rest[:0:0]
		for _, p := range all {
			if skipped := min(p.width, max(0, -at)); skipped > 0 {
				empty, at, p.width = empty+p.slope*skipped, at+skipped, p.width-skipped
			}
			p.width = min(p.width, full-at)
			if at += p.width; p.width <= 0 {
				continue
			}
			if n := len(rest); n > 0 && rest[n-1].slope == p.slope {
				rest[n-1].width += p.width
			} else {
				rest = append(rest, p)
			}
		}
	}
	return empty
}

// A piece is a straight one of costs over Wh in the store.
type piece struct{ slope, width float64 }

func (h *home) up() float64 { return float64(h.In*h.InShare) / 1000 }

// moves are an hour's costs by what is taken out of the store, from as much as goes in, which costs most, to as much as comes out.
func (h *home) moves(i int) (all []piece, most float64) {
	price, in, out := h.price[i]/1e9, 1000/float64(h.InShare), float64(h.OutShare)/1000
	spare := min(h.up(), max(0, -h.net[i])/in) // sun that would be given away
	used := min(float64(h.Out)/out, max(0, h.net[i])/out)
	return []piece{{-price * in, h.up() - spare}, {0, spare}, {-price * out, used}, {0, float64(h.Out)/out - used}}, h.bill(i, h.net[i]+float64(h.In))
}

// controlHomes reads CityLearn's homes with their solar power, batteries and tariff.
func controlHomes(sets string) ([]*home, error) {
	folder := filepath.Join(sets, "citylearn-2022")
	price, err := column(filepath.Join(folder, "pricing.csv"), "electricity_pricing", 1e6)
	if err != nil {
		return nil, err
	}
	schema, err := homeSchema(filepath.Join(folder, "schema.json"))
	if err != nil {
		return nil, err
	}
	var all []*home
	for n := 1; n <= 12; n++ {
		name := fmt.Sprintf("Building_%d", n)
		path := filepath.Join(folder, name+".csv")
		load, err := column(path, "non_shiftable_load", 1000)
		if err != nil {
			return nil, err
		}
		solar, err := column(path, "solar_generation", 1000)
		if err != nil {
			return nil, err
		}
		b, ok := schema.Buildings[name]
		if !ok || len(load) != len(price) || len(load) < 4*24*storageWarm {
			return nil, fmt.Errorf("reading %q: it has %d hours, the tariff %d, and schema.json %v", path, len(load), len(price), ok)
		}
		h := &home{name: strings.ToLower(name), net: make([]float64, len(load)), price: make([]float64, len(load))}
		for i := range load {
			h.net[i] = math.Round(float64(load[i]) - float64(solar[i])*b.PV.Attributes.Nominal/1000)
			h.price[i] = float64(price[i])
		}
		one := int64(1000 * math.Sqrt(b.Storage.Attributes.Efficiency)) // each way, as CityLearn counts
		h.Storage = agent.Storage{Capacity: int64(1000 * b.Storage.Attributes.Capacity), In: int64(1000 * b.Storage.Attributes.Nominal), Out: int64(1000 * b.Storage.Attributes.Nominal),
			InShare: one, OutShare: one}
		all = append(all, h)
	}
	return all, nil
}

// A citySchema is what is needed of CityLearn's schema.json.
type citySchema struct {
	Buildings map[string]struct {
		PV struct {
			Attributes struct {
				Nominal float64 `json:"nominal_power"` // kW
			} `json:"attributes"`
		} `json:"pv"`
		Storage struct {
			Attributes struct {
				Capacity   float64 `json:"capacity"`      // kWh
				Nominal    float64 `json:"nominal_power"` // kW
				Efficiency float64 `json:"efficiency"`    // there and back
			} `json:"attributes"`
		} `json:"electrical_storage"`
	} `json:"buildings"`
}

func homeSchema(path string) (*citySchema, error) {
	in, err := openPlainOrGzip(path)
	if err != nil {
		return nil, fmt.Errorf("reading homes (docs/agents.md says where they are from): %w", err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, err
	}
	s := new(citySchema)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	return s, nil
}

// column reads a column in units of which there are so many in one of the file's.
func column(path, name string, units float64) ([]int, error) {
	t, err := fraudRows(path)
	if err != nil {
		return nil, err
	}
	return t.column(name, units)
}
