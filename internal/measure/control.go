package measure

import (
	"context"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/forecast"
)

// ControlOptions says what is measured.
type ControlOptions struct {
	Sets string // folder of data sets

	Progress func(done, all int64, what string)
}

func (o *ControlOptions) progress(i int, what string) {
	if o.Progress != nil {
		o.Progress(int64(i), 4, what)
	}
}

// ControlResult is what [Control] has measured: what agents are worth on data after the time that their settings were chosen on.
type ControlResult struct {
	LampSaving      float64    `json:"lamp_saving"`                // of the energy's cost, against full power from dusk to dawn
	LampVsTimetable float64    `json:"lamp_vs_timetable"`          // against the best fixed timetable
	LampBelow       int        `json:"lamp_minutes_below"`         // under the level that traffic required
	Storage         float64    `json:"storage_share_of_perfect"`   // of perfect foresight's saving
	StorageMetered  float64    `json:"storage_share_with_meter"`   // where the storage follows a meter within the hour
	ChargerUnmet    float64    `json:"charger_unmet_kwh_feasible"` // asked for, not charged, and possible
	ChargerPeak     float64    `json:"charger_peak_over_limit"`    // W, the most by which a site's chargers were over its limit
	DecideMS        float64    `json:"decide_ms_1000"`             // CPU time of 1,000 decisions, all kinds with data in equal parts
	EachUS          [3]float64 `json:"decide_us_lamp_charger_storage"`
	RecordUS        float64    `json:"record_us"` // CPU time of one with its commitment and what would have changed it

	Lamp     ControlLamp     `json:"lamp"`
	Storages ControlStorages `json:"storage"`
	Chargers ControlChargers `json:"charger"`

	Decisions int `json:"decisions"`
	Replayed  int `json:"replayed"` // every 997th, from its encoded inputs, to the same bytes

	samples [5][]*agent.Inputs // by kind
}

// Control lets agents decide over public data as they do in a node: forecasts see nothing of what comes, settings were chosen on what
// came before.
func Control(ctx context.Context, o ControlOptions) (*ControlResult, error) {
	r := &ControlResult{}
	for i, part := range [...]struct {
		what string
		run  func(ctx context.Context, sets string) error
	}{{"lamps", r.lamps}, {"storages", r.storages}, {"chargers", r.chargers}} {
		o.progress(i, part.what)
		if err := part.run(ctx, o.Sets); err != nil {
			return nil, fmt.Errorf("deciding for %s: %w", part.what, err)
		}
	}
	o.progress(3, "time of decisions")
	return r, r.times()
}

const sampled = 997

// decide decides, keeps some of the inputs, and replays some of the decisions.
func (r *ControlResult) decide(in *agent.Inputs) (lamppost.Decision, error) {
	d := agent.Decide(in)
	r.Decisions++
	if r.Decisions%sampled != 0 {
		return d, nil
	}
	data := in.Encode()
	again, err := agent.Replay(data)
	if err != nil {
		return d, err
	}
	again.Inputs, again.Flip = lamppost.Hash{}, nil
	if string(lamppost.Marshal(again)) != string(lamppost.Marshal(d)) {
		return d, fmt.Errorf("decision %d does not replay", r.Decisions)
	}
	r.Replayed++
	kept, err := agent.ParseInputs(data)
	r.samples[in.Kind] = append(r.samples[in.Kind], kept)
	return d, err
}

// times measures 1,000 decisions of inputs that were met, and records.
func (r *ControlResult) times() error {
	kinds := r.samples[lamppost.AgentLamp : lamppost.AgentStorage+1]
	const each, records = 5000, 50
	for k, of := range kinds {
		if len(of) == 0 {
			return fmt.Errorf("too few decisions to measure their time")
		}
		before := cpuSeconds()
		for i := range each {
			agent.Decide(of[i%len(of)])
		}
		r.EachUS[k] = 1e6 * (cpuSeconds() - before) / each
		r.DecideMS += r.EachUS[k] / 3 // a thousand of them
	}
	before := cpuSeconds()
	for i := range records {
		of := kinds[i%len(kinds)]
		agent.Record(of[i/len(kinds)%len(of)])
	}
	r.RecordUS = 1e6 * (cpuSeconds() - before) / records
	return nil
}

// foreseen makes an agent's forecast of a series, each of whose steps is so many of the agent's. From is the agent's interval within the first.
func foreseen(name string, f forecast.Forecast, in *agent.Inputs, scale float64, parts int) agent.Forecast {
	out := agent.Forecast{Name: name, Age: f.AgeMS, Usable: f.Usable(), Points: make([]agent.Point, 0, in.Steps)}
	if len(f.Points) == 0 {
		return out
	}
	begin := int((in.At - f.Points[0].At) / in.Step)
	for k := range int(in.Steps) {
		i := (begin + k) / parts
		if begin < 0 || i >= len(f.Points) {
			break
		}
		p := f.Points[i]
		point, ok := agent.Round(in.At+lamppost.TimeMS(k)*in.Step, p.Mean, p.Low, p.High, scale)
		out.Usable = out.Usable && ok
		out.Points = append(out.Points, point)
	}
	return out
}

// foreknown makes a forecast of numbers that are known: a tariff, an auction's result, the sun.
func foreknown(name string, in *agent.Inputs, at func(k int) float64) agent.Forecast {
	out := agent.Forecast{Name: name, Usable: true, Points: make([]agent.Point, in.Steps)}
	for k := range out.Points {
		v := at(k)
		point, ok := agent.Round(in.At+lamppost.TimeMS(k)*in.Step, v, v, v, 1)
		out.Points[k], out.Usable = point, out.Usable && ok && !math.IsNaN(v)
	}
	return out
}
