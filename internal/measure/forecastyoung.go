package measure

import (
	"math"

	"github.com/lamppost/lamppost/internal/forecast"
)

// A ForecastYoung is how good ranges are while little is known: the mean over the scored periods of a set, begun anew every eight days, from
// the third day on.
type ForecastYoung struct {
	Set      string  `json:"set"`
	Begun    int     `json:"begun"`
	Coverage float64 `json:"coverage"`
	Width    float64 `json:"width"` // in mean absolute errors
	Interval float64 `json:"interval_score"`
}

const youngDays = 8

// young begins a series anew every eight days of its scored period. Steps of a day are too few for that, and the light's eight days are
// scored as they are.
func (r *ForecastResult) young(f *forecastSeries) error {
	if f.set == "light" || f.perDay() == 1 {
		return nil
	}
	if n := len(r.Young); n == 0 || r.Young[n-1].Set != f.set {
		r.Young = append(r.Young, ForecastYoung{Set: f.set})
	}
	y, days := &r.Young[len(r.Young)-1], youngDays*f.perDay()
	for begin := f.test; begin+days <= f.end; begin += days {
		if err := y.begin(f, begin, begin+days); err != nil {
			return err
		}
	}
	return nil
}

// begin scores all forecasts that lie in some values of a series that knows nothing before them.
func (y *ForecastYoung) begin(f *forecastSeries, from, end int) error {
	s, err := forecast.New(f.Settings)
	if err != nil {
		return err
	}
	short := *f
	short.end = end
	t := newForecastTally(&short)
	for i := from; i < end; i++ {
		if got := s.Forecast(f.at(i)); got.Usable() {
			t.add(i, got.Points)
		}
		if v := f.values[i]; !math.IsNaN(v) {
			if err := s.Observe(f.at(i), v); err != nil {
				return err
			}
		}
	}
	if t.scored == 0 { // too little was measured
		return nil
	}
	got := t.result()
	y.Begun++
	n := float64(y.Begun)
	y.Coverage += (got.Coverage - y.Coverage) / n
	y.Width += (got.Width - y.Width) / n
	y.Interval += (got.Interval - y.Interval) / n
	return nil
}
