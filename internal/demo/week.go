package demo

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// weekCSV is described in data/README.md.
//
//go:embed data/week.csv
var weekCSV []byte

const (
	flats     = 12
	weekHours = 169 // the clock is put back on the week's Sunday

	hourMS    lamppost.TimeMS = 3_600_000
	quarterMS                 = lamppost.EdgeMS
)

// beforeCSV is the week before it, from which forecasts learn.
//
//go:embed data/before.csv
var beforeCSV []byte

// An Hour is what the town's data say of one hour.
type Hour struct {
	Start      lamppost.TimeMS
	Price      lamppost.Micro // of a kWh, EUR
	Vehicles   int64          // in the hour
	Irradiance int64          // W/m²
	FlatWh     [flats]int64
}

// A Week is the town's week.
type Week struct {
	Hours   [weekHours]Hour
	Zone    tariff.Zone
	outlook outlook
}

// LoadWeek reads the embedded week.
func LoadWeek() (*Week, error) {
	w := &Week{Zone: townZone()}
	before, err := readHours(beforeCSV, 7*24)
	if err != nil {
		return nil, fmt.Errorf("reading the week before the demo's: %w", err)
	}
	hours, err := readHours(weekCSV, weekHours)
	if err != nil {
		return nil, fmt.Errorf("reading the demo's week: %w", err)
	}
	copy(w.Hours[:], hours)
	w.outlook.hours = append(before, hours...)
	return w, nil
}

func readHours(file []byte, n int) ([]Hour, error) {
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err == nil && len(rows) != 1+n {
		err = fmt.Errorf("%d rows", len(rows))
	}
	if err != nil {
		return nil, err
	}
	hours := make([]Hour, n)
	for i, row := range rows[1:] {
		if err := hours[i].read(row); err != nil {
			return nil, fmt.Errorf("hour %d: %w", i, err)
		}
	}
	return hours, nil
}

// townZone is the clock of Europe/Berlin in 2026, as tariffs carry it.
func townZone() tariff.Zone {
	return tariff.Zone{Name: "Europe/Berlin", Transitions: []tariff.Transition{
		{AtMS: lamppost.TimeMS(time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC).UnixMilli()), OffsetMin: 120},
		{AtMS: lamppost.TimeMS(time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC).UnixMilli()), OffsetMin: 60},
	}}
}

func (h *Hour) read(row []string) error {
	at, err := time.Parse("2006-01-02T15:04Z", row[0])
	if err != nil {
		return err
	}
	h.Start = lamppost.TimeMS(at.UnixMilli())
	if h.Price, err = lamppost.ParseMicro(row[2]); err != nil {
		return err
	}
	numbers := []*int64{&h.Vehicles, &h.Irradiance}
	for i := range min(flats, len(row)-5) { // the week before has none
		numbers = append(numbers, &h.FlatWh[i])
	}
	for i, n := range numbers {
		if *n, err = strconv.ParseInt(row[3+i], 10, 64); err != nil {
			return err
		}
	}
	return nil
}

// From and To are the week's first instant and the one after its last.
func (w *Week) From() lamppost.TimeMS { return w.Hours[0].Start }

// To returns the instant after the week's last.
func (w *Week) To() lamppost.TimeMS { return w.Hours[weekHours-1].Start + hourMS }

// at returns the hour that holds a time of the week; of its end, the last hour.
func (w *Week) at(t lamppost.TimeMS) int {
	return int(min((t-w.From())/hourMS, weekHours-1))
}

// light returns the irradiance at a time, on the straight line between the middles of the hours around it.
func (w *Week) light(t lamppost.TimeMS) int64 { return lightOf(w.Hours[:], t) }

func lightOf(hours []Hour, t lamppost.TimeMS) int64 {
	i := int(min((t-hours[0].Start)/hourMS, lamppost.TimeMS(len(hours)-1)))
	middle := hours[i].Start + hourMS/2
	other := i + 1
	if t < middle {
		other = i - 1
	}
	if other < 0 || other >= len(hours) {
		return hours[i].Irradiance
	}
	away := int64(max(t-middle, middle-t))
	return hours[i].Irradiance + (hours[other].Irradiance-hours[i].Irradiance)*away/int64(hourMS)
}

// A Day is a day on the town's clock.
type Day struct{ From, To lamppost.TimeMS }

// Days returns the week's seven days, the last of 25 hours.
func (w *Week) Days() []Day {
	var days []Day
	for i := range w.Hours {
		if at := w.Hours[i].Start; w.Zone.Local(at).Minute == 0 {
			if n := len(days); n > 0 {
				days[n-1].To = at
			}
			days = append(days, Day{From: at, To: w.To()})
		}
	}
	return days
}

// local writes a time on the town's clock.
func (w *Week) local(t lamppost.TimeMS, layout string) string { return local(&w.Zone, t, layout) }

// cheap are the hours of the town's clock in which a kWh cost less than in the mean of all, in the week before.
func (w *Week) cheap() (hours [24]bool) {
	before := w.outlook.hours[:len(w.outlook.hours)-weekHours]
	var sum [24]lamppost.Micro
	mean := lamppost.Micro(0)
	for i := range before {
		sum[w.Zone.Local(before[i].Start).Minute/60] += before[i].Price
		mean += before[i].Price / 24
	}
	for h := range hours {
		hours[h] = sum[h] < mean
	}
	return hours
}
