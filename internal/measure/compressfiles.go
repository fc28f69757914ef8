package measure

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/triage"
)

// A keptSeries is one quantity of one file.
type keptSeries struct {
	set, name string
	rows      []compact.Row
}

// A setForm says how the files of a set are read: which columns are measured quantities, and which say when.
type setForm struct {
	set    string
	files  []string // patterns in its folder, without .gz
	comma  rune
	layout string        // of the time, in the columns named times, joined by a space; empty: rows are at a regular step
	times  []string      // the columns
	step   time.Duration // where there is no time
	begin  string        // of the first row there, as time.DateOnly
	omit   []string      // columns that are no measurement: labels, forecasts, calendar, copies
	only   []string      // if any: the columns to take
}

// setForms are all sets with times and measurements. Not among them: ev-acn (billed sessions, which are never anything but raw), nsl-kdd (no times), tsb-ad (copies of NAB's), and
// batadal's dataset 4 by itself (a copy).
var setForms = [...]setForm{
	{set: "batadal", files: []string{"dataset03_and_04_labelled.csv"}, layout: "02/01/06 15", times: []string{"DATETIME"}, omit: []string{"ATT_FLAG"}},
	{set: "citylearn-2022", files: []string{"Building_*.csv"}, begin: "2016-08-01", step: time.Hour, only: []string{"non_shiftable_load", "solar_generation"}},
	{set: "citylearn-2022", files: []string{"carbon_intensity.csv", "pricing.csv", "weather.csv"}, begin: "2016-08-01", step: time.Hour,
		only: []string{"carbon_intensity", "electricity_pricing", "outdoor_dry_bulb_temperature", "outdoor_relative_humidity", "diffuse_solar_irradiance", "direct_solar_irradiance"}},
	{set: "epf-prices", files: []string{"Forecasts_*_DNN_LEAR.csv"}, layout: time.DateTime, times: []string{""}, only: []string{"Real price"}},
	{set: "ett", files: []string{"ETTh1.csv"}, layout: time.DateTime, times: []string{"date"}},
	{set: "household-power", files: []string{"household_power_hourly.csv"}, layout: time.DateTime, times: []string{"datetime"}},
	{set: "nab", files: []string{"data/*/*.csv"}, layout: time.DateTime, times: []string{"timestamp"}},
	{set: "occupancy-light", files: []string{"datat*.csv"}, layout: time.DateTime, times: []string{"date"}, omit: []string{"row", "Occupancy"}},
	{set: "skab", files: []string{"anomaly-free/*.csv", "valve1/*.csv"}, comma: ';', layout: time.DateTime, times: []string{"datetime"}, omit: []string{"anomaly", "changepoint"}},
	{set: "ton-iot", files: []string{"Train_Test_IoT_*.csv"}, layout: "2-Jan-06 15:04:05", times: []string{"date", "time"}, omit: []string{"label", "type"}},
	{set: "traffic-metro", files: []string{"Metro_Interstate_Traffic_Volume.csv"}, layout: "2006-01-02 15:04", times: []string{"date_time"},
		only: []string{"temp", "rain_1h", "snow_1h", "clouds_all", "traffic_volume"}},
	{set: "water-wellington", files: []string{"water_per_capita_daily.csv"}, layout: time.DateOnly, times: []string{"Date"}},
	{set: "water-wellington", files: []string{"weather_covariates_daily.csv"}, layout: time.DateOnly, times: []string{"Date"}, omit: []string{"is_holiday", "Restriction level"}},
}

// keptCorpus reads all sets that are there, sorted by set and name.
func keptCorpus(sets string) ([]keptSeries, error) {
	var all []keptSeries
	for _, f := range setForms {
		for _, pattern := range f.files {
			root := filepath.Join(sets, f.set)
			paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)) + "*")
			if err != nil {
				return nil, err
			}
			for i := range paths {
				paths[i] = strings.TrimSuffix(paths[i], ".gz")
			}
			slices.Sort(paths)
			for _, path := range slices.Compact(paths) {
				series, err := f.read(path)
				if err != nil {
					return nil, fmt.Errorf("reading %q: %w", path, err)
				}
				all = append(all, series...)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no data sets in %q (they are listed in docs/intelligence.md): %w", sets, os.ErrNotExist)
	}
	slices.SortStableFunc(all, func(a, b keptSeries) int { return cmp.Compare(a.set, b.set) })
	return all, nil
}

// read reads the columns of a file that have numbers. Empty cells are readings that did not come.
func (f *setForm) read(path string) ([]keptSeries, error) {
	in, err := openPlainOrGzip(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	lines := csv.NewReader(bufio.NewReader(in))
	lines.Comma = cmp.Or(f.comma, ',')
	lines.FieldsPerRecord, lines.TrimLeadingSpace, lines.ReuseRecord = -1, true, true
	header, err := lines.Read()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(header)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	series, begin := make([]keptSeries, len(names)+1), time.Time{}
	if f.begin != "" {
		if begin, err = time.Parse(time.DateOnly, f.begin); err != nil {
			return nil, err
		}
	}
	for row := 0; ; row++ {
		cells, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return f.named(path, names, series), nil
		}
		if err != nil {
			return nil, err
		}
		if row == 0 && len(cells) == len(names)+1 {
			names = append([]string{"row"}, names...) // a header without a name for the row numbers
		}
		at, err := f.time(names, cells, begin.Add(time.Duration(row)*f.step))
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", row, err)
		}
		for i, cell := range cells {
			if v, ok := f.value(names[i], cell); ok {
				series[i].rows = append(series[i].rows, compact.Row{AtMS: lamppost.TimeMS(at.UnixMilli()), Value: v})
			}
		}
	}
}

// named are the series with rows, by their file and column.
func (f *setForm) named(path string, names []string, series []keptSeries) []keptSeries {
	base := strings.TrimSuffix(filepath.Base(path), ".csv")
	for i, name := range names {
		series[i].set, series[i].name = f.set, base+" "+name
	}
	return slices.DeleteFunc(series, func(s keptSeries) bool { return len(s.rows) == 0 })
}

func (f *setForm) time(names, cells []string, otherwise time.Time) (time.Time, error) {
	if f.layout == "" {
		return otherwise, nil
	}
	var text []string
	for _, name := range f.times {
		text = append(text, strings.TrimSpace(cells[slices.Index(names, name)]))
	}
	return time.Parse(f.layout, strings.Join(text, " "))
}

// value is a measurement, if the cell is one.
func (f *setForm) value(name, cell string) (float64, bool) {
	if slices.Contains(f.times, name) || slices.Contains(f.omit, name) || len(f.only) > 0 && !slices.Contains(f.only, name) {
		return 0, false
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
	return v, err == nil && v >= -triage.MaxValue && v <= triage.MaxValue
}
