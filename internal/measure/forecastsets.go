package measure

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/forecast"
)

// A forecastSeries is a series in steps. Its stamps are local, and taken for UTC.
type forecastSeries struct {
	set, name string
	forecast.Settings
	first   int       // the slot of the first value
	values  []float64 // NaN: nothing was measured
	test    int       // the first value that is scored
	end     int       // behind the last
	rivals  map[string][]float64
	columns []string // of rivals
}

func (f *forecastSeries) at(i int) lamppost.TimeMS { return lamppost.TimeMS(f.first+i) * f.Step }

func (f *forecastSeries) perDay() int { return int(24 * time.Hour.Milliseconds() / int64(f.Step)) }

// A forecastForm says how a set is read, and what is forecast of it.
type forecastForm struct {
	set string
	setForm
	step    time.Duration
	horizon int
	rivals  []string // columns of published forecasts
}

const publishedDNN, publishedLEAR = "DNN Ensemble", "LEAR Ensemble"

var forecastForms = [...]forecastForm{
	{set: "household", step: time.Hour, horizon: 24,
		setForm: setForm{set: "household-power", files: []string{"household_power_hourly.csv"}, layout: time.DateTime, times: []string{"datetime"}, only: []string{"Global_active_power"}}},
	{set: "taxi", step: 30 * time.Minute, horizon: 48,
		setForm: setForm{set: "nab", files: []string{"data/realKnownCause/nyc_taxi.csv"}, layout: time.DateTime, times: []string{"timestamp"}}},
	{set: "traffic", step: time.Hour, horizon: 24,
		setForm: setForm{set: "traffic-metro", files: []string{"Metro_Interstate_Traffic_Volume.csv"}, layout: "2006-01-02 15:04", times: []string{"date_time"}, only: []string{"traffic_volume"}}},
	{set: "light", step: 15 * time.Minute, horizon: 24,
		setForm: setForm{set: "occupancy-light", files: []string{"datatest.csv", "datatraining.csv"}, layout: time.DateTime, times: []string{"date"}, only: []string{"Light"}}},
	{set: "water", step: 24 * time.Hour, horizon: 7,
		setForm: setForm{set: "water-wellington", files: []string{"water_per_capita_daily.csv"}, layout: time.DateOnly, times: []string{"Date"}}},
	{set: "homes", step: time.Hour, horizon: 24,
		setForm: setForm{set: "citylearn-2022", files: []string{"Building_1.csv", "Building_2.csv", "Building_3.csv", "Building_4.csv", "Building_5.csv", "Building_6.csv",
			"Building_7.csv", "Building_8.csv", "Building_9.csv", "Building_10.csv", "Building_11.csv", "Building_12.csv"},
			begin: "2016-08-01", step: time.Hour, only: []string{"non_shiftable_load"}}},
	{set: "prices", step: time.Hour, horizon: 24, rivals: []string{publishedDNN, publishedLEAR},
		setForm: setForm{set: "epf-prices", files: []string{"Forecasts_NP_DNN_LEAR.csv", "Forecasts_DE_DNN_LEAR.csv", "Forecasts_FR_DNN_LEAR.csv"}, layout: time.DateTime, times: []string{""},
			only: []string{"Real price", publishedDNN, publishedLEAR}}},
	{set: "ett", step: time.Hour, horizon: 96, setForm: setForm{set: "ett", files: []string{"ETTh1.csv"}, layout: time.DateTime, times: []string{"date"}}},
}

// forecastCorpus reads all series.
func forecastCorpus(sets string) ([]*forecastSeries, error) {
	var all []*forecastSeries
	for i := range forecastForms {
		series, err := forecastForms[i].series(sets)
		if err != nil {
			return nil, fmt.Errorf("reading series to forecast (docs/intelligence.md says where they are from): %w", err)
		}
		all = append(all, series...)
	}
	return all, nil
}

func (f *forecastForm) series(sets string) ([]*forecastSeries, error) {
	var all []*forecastSeries
	var light []compact.Row
	for _, file := range f.files {
		columns, err := f.read(filepath.Join(sets, f.setForm.set, filepath.FromSlash(file)))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", file, err)
		}
		if f.set == "light" { // one series in two files
			light = append(light, columns[0].rows...)
			columns[0].rows = light
			all = nil
		}
		for _, c := range columns[:len(columns)-len(f.rivals)] {
			all = append(all, f.steps(c))
		}
		s := all[len(all)-1]
		for i, name := range f.rivals {
			s.columns = append(s.columns, name)
			s.rivals[name] = f.steps(columns[1+i]).values
		}
	}
	if f.set != "traffic" {
		return all, nil
	}
	var err error
	all[0].Holidays, err = trafficHolidays(sets)
	return all, err
}

// steps are the means of a step's rows; of rows with one stamp, the first counts.
func (f *forecastForm) steps(k keptSeries) *forecastSeries {
	step := f.step.Milliseconds()
	slices.SortStableFunc(k.rows, func(a, b compact.Row) int { return cmp.Compare(a.AtMS, b.AtMS) })
	k.rows = slices.CompactFunc(k.rows, func(a, b compact.Row) bool { return a.AtMS == b.AtMS })
	s := &forecastSeries{set: f.set, name: k.name, first: int(int64(k.rows[0].AtMS) / step), rivals: map[string][]float64{},
		Settings: forecast.Settings{Step: lamppost.TimeMS(step), Horizon: f.horizon}}
	n := 0.0
	for _, r := range k.rows {
		slot := int(int64(r.AtMS)/step) - s.first
		for len(s.values) <= slot {
			s.values, n = append(s.values, math.NaN()), 0
		}
		if n++; n == 1 {
			s.values[slot] = 0
		}
		s.values[slot] += (r.Value - s.values[slot]) / n
	}
	return s
}

// trafficHolidays are the days that the file names.
func trafficHolidays(sets string) ([]int64, error) {
	t, err := fraudRows(filepath.Join(sets, "traffic-metro", "Metro_Interstate_Traffic_Volume.csv"))
	if err != nil {
		return nil, err
	}
	var days []int64
	for _, row := range t.rows {
		if row[0] == "None" || row[0] == "" {
			continue
		}
		at, err := time.Parse("2006-01-02 15:04", row[7])
		if err != nil {
			return nil, err
		}
		days = append(days, at.Unix()/86_400)
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}
