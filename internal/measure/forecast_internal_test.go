package measure

import (
	"math"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/forecast"
)

// TestForecastAims: forecasts of the public series are no worse than what docs/intelligence.md promises, and their ranges hold nine of ten, of the eight days
// of light too. While little is known they hold 8 to 9.5 of ten.
func TestForecastAims(t *testing.T) {
	t.Parallel()
	if *sets == "" {
		t.Skip("no folder of data sets: say -sets DIR or set LAMPPOST_SETS")
	}
	r, err := Forecast(t.Context(), ForecastOptions{Sets: *sets})
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][2]float64{"ETTh1 MSE": {r.ETTh1MSE, 0.370}, "ETTh1 MAE": {r.ETTh1MAE, 0.391}, "household": {r.Household, 30.5}, "taxi": {r.Taxi, 2221},
		"cold start with kin": {r.ColdKin, r.ColdAlone}} {
		if got[0] > got[1] || got[0] <= 0 {
			t.Errorf("%s: %v, at most %v", what, got[0], got[1])
		}
	}
	for _, s := range r.Series {
		if math.Abs(s.Coverage-0.9) > 0.02 {
			t.Errorf("%s: %.3f in the range", s.Name, s.Coverage)
		}
		if s.Set != "light" && s.MAE >= min(s.Day, s.Week) {
			t.Errorf("%s: %v is no better than a day (%v) or a week (%v) before", s.Name, s.MAE, s.Day, s.Week)
		}
	}
	for _, y := range r.Young {
		if y.Begun == 0 || y.Coverage < 0.8 || y.Coverage > 0.95 {
			t.Errorf("%s, begun anew %d times: %.3f in the range", y.Set, y.Begun, y.Coverage)
		}
	}
}

// TestForecastSteps: rows become means of steps, the first of one stamp counts, and what was not measured is no number.
func TestForecastSteps(t *testing.T) {
	t.Parallel()
	f := forecastForm{set: "x", step: time.Hour, horizon: 2}
	const hour = 3_600_000
	s := f.steps(keptSeries{rows: []compact.Row{{AtMS: 5 * hour, Value: 1}, {AtMS: 5*hour + 1, Value: 3}, {AtMS: 5 * hour, Value: 99}, {AtMS: 7 * hour, Value: 4}}})
	if s.first != 5 || len(s.values) != 3 || s.values[0] != 2 || !math.IsNaN(s.values[1]) || s.values[2] != 4 {
		t.Errorf("%+v", s)
	}
}

// TestForecastTally: errors, ranges and the plain forecasts beside them, by hand.
func TestForecastTally(t *testing.T) {
	t.Parallel()
	f := &forecastSeries{Settings: forecast.Settings{Step: lamppost.TimeMS(12 * time.Hour.Milliseconds()), Horizon: 2}, values: []float64{1, 2, 3, math.NaN(), 5, 9}, end: 6}
	tally := newForecastTally(f)
	tally.add(4, []forecast.Point{{Middle: 4, Mean: 5, Low: 3, High: 6}, {Middle: 7, Mean: 8, Low: 6, High: 8}})
	tally.add(5, []forecast.Point{{}, {}}) // reaches beyond the end
	got := tally.result()
	// Of 5: off by 1, inside, a day before 3. Of 9: off by 2, above, nothing a day or a week before.
	if got.MAE != 1.5 || got.Every != 1.5 || got.Coverage != 0.5 || got.Above != 0.5 || got.Day != 2 || got.Scored != 1 {
		t.Errorf("%+v", got)
	}
	if want := (3 + 2 + 20*1.0) / 3; math.Abs(got.Interval-want) > 1e-12 || math.Abs(got.Width-5.0/3) > 1e-12 {
		t.Errorf("width %v, want %v; interval score %v, want %v", got.Width, 5.0/3, got.Interval, want)
	}
}
