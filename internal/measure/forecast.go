package measure

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/lamppost/lamppost/internal/forecast"
)

// ForecastOptions says what is measured.
type ForecastOptions struct {
	Sets     string // folder of data sets
	Training bool   // measure the training periods, on which settings were chosen

	Progress func(done, all int64, what string)
}

// A ForecastSeries is how good the forecasts of one series are.
type ForecastSeries struct {
	Set    string `json:"set"`
	Name   string `json:"name"`
	StepMS int64  `json:"step_ms"`
	Ahead  int    `json:"steps_ahead"`
	Scored int    `json:"origins"` // for the range: every step of the test

	// From each midnight, all steps ahead: the mean absolute error of the middle, and of what was a day or a week before.
	MAE  float64 `json:"mae"`
	Day  float64 `json:"naive_day_mae"`
	Week float64 `json:"naive_week_mae"`

	// From every step: the same, what share of values lay in the range, and how wide that is, in mean absolute errors.
	Every    float64 `json:"mae_every_step"`
	Coverage float64 `json:"coverage"`
	Below    float64 `json:"below"` // the range
	Above    float64 `json:"above"`
	Width    float64 `json:"width"`
	Interval float64 `json:"interval_score"` // its width and 20 times what is beyond it (Winkler 1972; Gneiting and Raftery 2007), in mean absolute errors
	Bias     float64 `json:"mean_bias"`      // of Point.Mean, in mean absolute errors

	// Prices, where published.
	Naive float64 `json:"naive_mae,omitempty"` // a week before on Mondays, Saturdays and Sundays, else a day
	DNN   float64 `json:"dnn_mae,omitempty"`
	LEAR  float64 `json:"lear_mae,omitempty"`
}

// ForecastResult is what [Forecast] has measured.
type ForecastResult struct {
	ETTh1MSE  float64 `json:"etth1_mse"`
	ETTh1MAE  float64 `json:"etth1_mae"`
	Household float64 `json:"household_mae"` // a day ahead, from every step
	Taxi      float64 `json:"taxi_mae"`
	Coverage  float64 `json:"coverage"` // of the series where it is farthest from 0.9

	Observations     int     `json:"observations"`
	USPerObservation float64 `json:"us_per_observation"` // CPU time, with what is learnt
	USPerForecast    float64 `json:"us_per_forecast"`    // of all steps ahead
	Bytes            int     `json:"bytes"`              // of the largest series with a model of its own
	StateBytes       int     `json:"state_bytes"`        // the largest that was saved

	Series []ForecastSeries `json:"series"`
	Young  []ForecastYoung  `json:"young"`

	// The homes' first weeks, from the third day to the fourteenth, in mean absolute errors of what was a day before: alone, and with what
	// the other homes have learnt.
	ColdAlone float64 `json:"cold_start_alone"`
	ColdKin   float64 `json:"cold_start_kin"`

	observing, forecasting float64
	forecasts              int
}

// Forecast runs the forecaster over public series as it runs in a node: one reading after the other, one setting for all.
func Forecast(ctx context.Context, o ForecastOptions) (*ForecastResult, error) {
	all, err := forecastCorpus(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &ForecastResult{Coverage: 0.9}
	var ett, homes []*forecastSeries
	for i, f := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(all)), f.name)
		}
		f.split(o.Training)
		if err := r.young(f); err != nil {
			return nil, fmt.Errorf("beginning %s anew: %w", f.name, err)
		}
		if f.set == "homes" {
			homes = append(homes, f)
		}
		if f.set == "ett" {
			ett = append(ett, f)
			continue
		}
		if err := r.alone(f); err != nil {
			return nil, fmt.Errorf("forecasting %s: %w", f.name, err)
		}
	}
	if err := errors.Join(r.ett(ett), r.cold(homes)); err != nil {
		return nil, err
	}
	for _, s := range r.Series {
		if math.Abs(s.Coverage-0.9) > math.Abs(r.Coverage-0.9) {
			r.Coverage = s.Coverage
		}
		switch s.Set {
		case "household":
			r.Household = s.Every
		case "taxi":
			r.Taxi = s.Every
		}
	}
	r.USPerObservation = 1e6 * r.observing / float64(max(1, r.Observations))
	r.USPerForecast = 1e6 * r.forecasting / float64(max(1, r.forecasts))
	return r, nil
}

const ettMonth = 30 * 24 // hours, as the protocol counts

// split says what is scored: the last fifth; of prices the last half, as the published forecasts are of test years; of ETTh1 the four months
// after the 16th, as published. Of training periods it is the fifth before that; of ETTh1 the four months of validation.
func (f *forecastSeries) split(training bool) {
	n := len(f.values)
	f.test, f.end = n*4/5, n
	switch f.set {
	case "ett":
		f.test, f.end = 16*ettMonth, 20*ettMonth
		if training {
			f.test, f.end = 12*ettMonth, 16*ettMonth
		}
		return
	case "prices":
		f.test = n / 2
	case "light": // eight days, of which no setting knows
		f.test = n / 4
		return
	}
	if training {
		f.end = f.test
		f.test = f.end * 3 / 4
	}
}

func (r *ForecastResult) alone(f *forecastSeries) error {
	s, err := forecast.New(f.Settings)
	if err != nil {
		return err
	}
	if err := r.observe(s, f, 0, f.test); err != nil {
		return err
	}
	t := newForecastTally(f)
	return r.run(s, t, f.test)
}

// observe gives a series the values from one on, before another.
func (r *ForecastResult) observe(s *forecast.Series, f *forecastSeries, from, end int) error {
	before := cpuSeconds()
	for i, v := range f.values[from:end] {
		if math.IsNaN(v) {
			continue
		}
		if err := s.Observe(f.at(from+i), v); err != nil {
			return err
		}
		r.Observations++
	}
	s.Advance(f.at(end))
	r.observing += cpuSeconds() - before
	return nil
}

// run forecasts before each step of the test, and then lets the series know it.
func (r *ForecastResult) run(s *forecast.Series, t *forecastTally, from int) error {
	f := t.f
	for i := from; i < f.end; i++ {
		before := cpuSeconds()
		got := s.Forecast(f.at(i))
		r.forecasting += cpuSeconds() - before
		r.forecasts++
		if got.Usable() {
			t.add(i, got.Points)
		}
		if err := r.observe(s, f, i, i+1); err != nil {
			return err
		}
	}
	state, err := s.AppendBinary(nil)
	if err != nil {
		return err
	}
	r.Bytes, r.StateBytes = max(r.Bytes, s.Bytes()), max(r.StateBytes, len(state))
	r.Series = append(r.Series, t.result())
	return nil
}

// ett is the long-horizon protocol as published: seven channels, standardised by the first 12 months, which alone are learnt from, one model for
// all; windows that lie in the four months of the test, each of 96 steps.
func (r *ForecastResult) ett(channels []*forecastSeries) error {
	model, err := forecast.NewModel(channels[0].Step, channels[0].Horizon)
	if err != nil {
		return err
	}
	series := make([]*forecast.Series, len(channels))
	for c, f := range channels {
		if series[c], err = model.NewSeries(f.Settings); err != nil {
			return err
		}
	}
	for i := range 12 * ettMonth { // all channels hour by hour
		for c, f := range channels {
			if err := r.observe(series[c], f, i, i+1); err != nil {
				return err
			}
		}
	}
	model.Freeze()
	squares, sum, n := 0.0, 0.0, 0
	for c, f := range channels {
		if err := r.observe(series[c], f, 12*ettMonth, f.test); err != nil {
			return err
		}
		t := newForecastTally(f)
		if err := r.run(series[c], t, f.test); err != nil {
			return err
		}
		sd := deviation(f.values[:12*ettMonth])
		squares, sum, n = squares+t.squares/(sd*sd), sum+t.every/sd, n+t.scored
	}
	r.ETTh1MSE, r.ETTh1MAE = squares/float64(n), sum/float64(n)
	return nil
}

const coldDays = 14

// cold forecasts each home's first days, alone and with what all the others have learnt in a year.
func (r *ForecastResult) cold(homes []*forecastSeries) error {
	models := make([]*forecast.Model, len(homes))
	for i, f := range homes {
		m, s, err := modelOf(f)
		if err != nil {
			return err
		}
		models[i] = m
		for k, v := range f.values[:f.end] {
			if err := s.Observe(f.at(k), v); err != nil {
				return err
			}
		}
	}
	for i, f := range homes {
		alone, err := f.cold(nil)
		if err != nil {
			return err
		}
		kin := models[(i+1)%len(models)].Stats()
		for g := range kin {
			sum := new(forecast.Stats)
			if err := copyOf(kin[g], sum); err != nil {
				return err
			}
			for k := 2; k < len(models); k++ {
				if err := sum.Merge(models[(i+k)%len(models)].Stats()[g], 1); err != nil {
					return err
				}
			}
			kin[g] = sum
		}
		with, err := f.cold(kin)
		if err != nil {
			return err
		}
		r.ColdAlone, r.ColdKin = r.ColdAlone+alone/float64(len(homes)), r.ColdKin+with/float64(len(homes))
	}
	return nil
}

func copyOf(from, to *forecast.Stats) error {
	b, err := from.AppendBinary(nil)
	if err != nil {
		return err
	}
	return to.UnmarshalBinary(b)
}

func modelOf(f *forecastSeries) (*forecast.Model, *forecast.Series, error) {
	m, err := forecast.NewModel(f.Step, f.Horizon)
	if err != nil {
		return nil, nil, err
	}
	s, err := m.NewSeries(f.Settings)
	return m, s, err
}

// cold is the error of the first days, in those of what was a day before.
func (f *forecastSeries) cold(kin []*forecast.Stats) (float64, error) {
	m, s, err := modelOf(f)
	if err != nil {
		return 0, err
	}
	if kin != nil {
		if err := m.SetKin(kin); err != nil {
			return 0, err
		}
	}
	off, naive := 0.0, 0.0
	for k, v := range f.values[:coldDays*f.perDay()] {
		for h, p := range s.Forecast(f.at(k)).Points {
			off += math.Abs(f.values[k+h] - p.Middle)
			naive += math.Abs(f.values[k+h] - f.values[k+h-f.perDay()])
		}
		if err := s.Observe(f.at(k), v); err != nil {
			return 0, err
		}
	}
	return off / naive, nil
}

func deviation(values []float64) float64 {
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean) / float64(len(values))
	}
	return math.Sqrt(squares)
}

// A forecastTally adds up errors.
type forecastTally struct {
	f       *forecastSeries
	origins int

	scored, below, above int // from every step
	every, squares, bias float64
	width, interval      float64

	n                              int // from midnight
	mae, day, week                 float64
	naive, published, publishedToo float64
}

func newForecastTally(f *forecastSeries) *forecastTally { return &forecastTally{f: f} }

// add scores a forecast made before step i. Windows that reach beyond the test are not scored.
func (t *forecastTally) add(i int, points []forecast.Point) {
	f := t.f
	if i+len(points) > f.end || len(points) < f.Horizon {
		return
	}
	t.origins++
	d := f.perDay()
	midnight := (f.first+i)%d == 0
	for h, p := range points {
		came := f.values[i+h]
		if math.IsNaN(came) {
			continue
		}
		off := came - p.Middle
		t.scored, t.every, t.squares, t.bias = t.scored+1, t.every+math.Abs(off), t.squares+off*off, t.bias+p.Mean-came
		t.width += p.High - p.Low
		t.interval += p.High - p.Low + 2/0.1*max(0, p.Low-came, came-p.High)
		switch {
		case came < p.Low:
			t.below++
		case came > p.High:
			t.above++
		}
		if !midnight {
			continue
		}
		day, week := f.before(i+h, (h/d+1)*d), f.before(i+h, (h/(7*d)+1)*7*d)
		t.n, t.mae = t.n+1, t.mae+math.Abs(off)
		t.day, t.week = t.day+math.Abs(came-known(day, week, p.Middle)), t.week+math.Abs(came-known(week, day, p.Middle))
		if len(f.columns) > 0 {
			t.published += math.Abs(came - f.rivals[publishedDNN][i+h])
			t.publishedToo += math.Abs(came - f.rivals[publishedLEAR][i+h])
			naive := day
			if weekday := ((f.first+i)/d + 3) % 7; weekday == 0 || weekday >= 5 {
				naive = week
			}
			t.naive += math.Abs(came - naive)
		}
	}
}

// before is the value so many steps before one.
func (f *forecastSeries) before(i, steps int) float64 {
	if i < steps {
		return math.NaN()
	}
	return f.values[i-steps]
}

// known is the first that is a number.
func known(values ...float64) float64 {
	for _, v := range values {
		if !math.IsNaN(v) {
			return v
		}
	}
	return 0
}

func (t *forecastTally) result() ForecastSeries {
	n, all := float64(max(1, t.n)), float64(max(1, t.scored))
	s := ForecastSeries{Set: t.f.set, Name: t.f.name, StepMS: int64(t.f.Step), Ahead: t.f.Horizon, Scored: t.origins, MAE: t.mae / n, Day: t.day / n, Week: t.week / n,
		Every: t.every / all, Below: float64(t.below) / all, Above: float64(t.above) / all, Width: t.width / max(t.every, 1e-300), Interval: t.interval / max(t.every, 1e-300), Bias: t.bias / max(t.every, 1e-300)}
	s.Coverage = 1 - s.Below - s.Above
	if len(t.f.columns) > 0 {
		s.Naive, s.DNN, s.LEAR = t.naive/n, t.published/n, t.publishedToo/n
	}
	return s
}
