package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
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
	Worst    float64 `json:"share_worst_home"`
	Best     float64 `json:"share_best_home"`

	LostToForecast float64 `json:"lost_to_forecast"` // of perfect foresight's saving
	LostToHorizon  float64 `json:"lost_to_horizon"`  // and what true forecasts of a day or two leave

	Risk   int64            `json:"risk"` // chosen on the first half
	Trials []ControlTrial   `json:"trials"`
	Each   []ControlStorage `json:"each"`
}

// A ControlStorage is one home's.
type ControlStorage struct {
	Home    string  `json:"home"`
	Nothing float64 `json:"nothing_usd"`
	Agent   float64 `json:"agent_usd"`
	Perfect float64 `json:"perfect_usd"`
	Share   float64 `json:"share_of_perfect"`
}

// A ControlTrial is a setting tried on the training time, and what came of it.
type ControlTrial struct {
	Setting int64   `json:"setting"`
	Result  float64 `json:"result"`
}

const (
	storageHorizon = 48 // hours
	storageWarm    = 28 // days before anything counts
)

// A home is a CityLearn building: its net load, and what energy costs. What it feeds in is not paid for, as CityLearn counts.
type home struct {
	name  string
	net   []float64 // W
	price []float64 // Micro per kWh
	agent.Storage
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
	for _, risk := range []int64{0, 250, 500, 1000} {
		saved := 0.0
		for _, h := range homes {
			h.Risk = risk
			cost, err := h.run(r, 24*storageWarm, half, false)
			if err != nil {
				return err
			}
			saved += h.nothing(24*storageWarm, half) - cost
		}
		all.Trials = append(all.Trials, ControlTrial{risk, saved})
		if saved > best {
			best, all.Risk = saved, risk
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	all.Worst = 1
	for _, h := range homes {
		h.Risk = all.Risk
		if err := all.home(r, h, half); err != nil {
			return err
		}
	}
	saving := all.Nothing - all.Perfect
	r.Storage = (all.Nothing - all.Agent) / saving
	all.LostToForecast, all.LostToHorizon = (all.Agent-all.Foreseen)/saving, (all.Foreseen-all.Perfect)/saving
	return nil
}

// home runs one home's second half.
func (s *ControlStorages) home(r *ControlResult, h *home, half int) error {
	x := ControlStorage{Home: h.name, Nothing: h.nothing(half, len(h.net)), Perfect: h.perfect(half, len(h.net))}
	var err error
	if x.Agent, err = h.run(r, half, len(h.net), false); err != nil {
		return err
	}
	foreseen, err := h.run(r, half, len(h.net), true)
	if err != nil {
		return err
	}
	x.Share = (x.Nothing - x.Agent) / (x.Nothing - x.Perfect)
	s.Nothing, s.Agent, s.Perfect, s.Foreseen = s.Nothing+x.Nothing, s.Agent+x.Agent, s.Perfect+x.Perfect, s.Foreseen+foreseen
	s.Worst, s.Best = min(s.Worst, x.Share), max(s.Best, x.Share)
	s.Each = append(s.Each, x)
	return nil
}

// bill is what an hour's power costs.
func (h *home) bill(i int, watts float64) float64 { return max(0, watts) * h.price[i] / 1e9 }

func (h *home) nothing(from, to int) (sum float64) {
	for i := from; i < to; i++ {
		sum += h.bill(i, h.net[i])
	}
	return sum
}

// run lets the agent decide each hour, from an empty store. Its forecaster has seen all hours before; the tariff is known.
func (h *home) run(r *ControlResult, from, to int, knows bool) (cost float64, err error) {
	begin := time.Date(2016, 8, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	at := func(i int) lamppost.TimeMS { return lamppost.TimeMS(begin + int64(i)*3_600_000) }
	s, err := forecast.New(forecast.Settings{Step: 3_600_000, Horizon: storageHorizon})
	if err != nil {
		return 0, err
	}
	store := h.Storage
	for i := range to {
		if i >= from {
			in := &agent.Inputs{Format: 1, Device: lamppost.DeviceID(h.name), Kind: lamppost.AgentStorage, Mode: lamppost.AgentBounded, At: at(i), Step: 3_600_000,
				Steps: uint8(min(storageHorizon, to-i)), Currency: "USD", Bounds: agent.Bounds{Least: -store.Out, Most: store.In}, Storage: &store}
			in.Forecasts = []agent.Forecast{foreknown("price", in, func(k int) float64 { return h.price[i+k] })}
			if knows {
				in.Forecasts = append(in.Forecasts, foreknown("load", in, func(k int) float64 { return h.net[i+k] }))
			} else {
				in.Forecasts = append(in.Forecasts, foreseen("load", s.Forecast(at(i)), in, 1, 1))
			}
			d, err := r.decide(in)
			if err != nil {
				return 0, err
			}
			watts := d.Action.Value.Mantissa
			store.Energy = stored(&store, watts)
			cost += h.bill(i, h.net[i]+float64(watts))
		}
		if err := s.Observe(at(i), h.net[i]); err != nil {
			return 0, err
		}
	}
	return cost, nil
}

// stored is what a store holds after an hour.
func stored(s *agent.Storage, watts int64) int64 {
	if watts < 0 {
		watts = -((-watts*1000 + s.OutShare - 1) / s.OutShare)
	} else {
		watts = watts * s.InShare / 1000
	}
	return s.Energy + watts
}

// perfect is what the hours cost with all of them known: the best way over a grid of 64 Wh.
func (h *home) perfect(from, to int) float64 {
	const cells = 100
	cell := float64(h.Capacity) / cells
	up, down := min(cells, int(float64(h.In*h.InShare)/1000/cell)), min(cells, int(float64(h.Out*1000)/float64(h.OutShare)/cell))
	later, now, moves := make([]float64, cells+1), make([]float64, cells+1), make([]float64, 2*cells+1)
	for i := to - 1; i >= from; i-- {
		for d := -down; d <= up; d++ {
			watts := float64(d) * cell * float64(h.OutShare) / 1000
			if d > 0 {
				watts = float64(d) * cell * 1000 / float64(h.InShare)
			}
			moves[cells+d] = h.bill(i, h.net[i]+watts)
		}
		for s := range now {
			least := math.Inf(1)
			for d := max(-down, -s); d <= min(up, cells-s); d++ {
				least = min(least, moves[cells+d]+later[s+d])
			}
			now[s] = least
		}
		later, now = now, later
	}
	return later[0]
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
