//go:build ignore

// Gen cuts the demo's week, and the week before it, out of public data sets. From the folder of the demo:
//
//	go run data/gen/main.go -sets ../../../shared/data > data/week.csv
//	go run data/gen/main.go -sets ../../../shared/data -check data/week.csv
//	go run data/gen/main.go -before -sets ../../../shared/data > data/before.csv
//
// The README beside the sample says what is taken from where and what is changed on the way.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
	_ "time/tzdata"
)

// The week that is shown, and the Mondays that its hours are taken from.
const (
	zoneName  = "Europe/Berlin"
	weekHours = 7*24 + 1 // the clock is put back on its Sunday
	flats     = 12
)

var (
	firstMonday   = [3]int{2026, 10, 19} // in zoneName
	loadMonday    = time.Date(2016, 10, 17, 0, 0, 0, 0, time.UTC)
	trafficMonday = time.Date(2017, 10, 16, 0, 0, 0, 0, time.UTC)
	firstRow      = time.Date(2016, 7, 31, 23, 0, 0, 0, time.UTC) // the homes' first row, on their own clock
)

func main() {
	log.SetFlags(0)
	sets := flag.String("sets", "", "folder of the data sets")
	before := flag.Bool("before", false, "the week before, without the flats")
	check := flag.String("check", "", "compare with this file in place of writing")
	flag.Parse()
	sample, err := cut(*sets, *before)
	if err != nil {
		log.Fatalf("cutting the sample: %v", err)
	}
	if *check == "" {
		os.Stdout.Write(sample)
		return
	}
	have, err := os.ReadFile(*check)
	if err != nil {
		log.Fatal(err)
	}
	if !bytes.Equal(have, sample) {
		log.Fatalf("%s is not what the data sets give", *check)
	}
}

// sources are the columns that the sample is made of.
type sources struct {
	loads     [flats][]string
	hours     []string
	dayTypes  []string
	prices    []string
	diffuse   []string
	direct    []string
	vehiclesH map[string]int
}

func cut(sets string, before bool) ([]byte, error) {
	src, err := read(sets)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	head := []string{"utc", "local", "price_eur_per_kwh", "vehicles_per_h", "irradiance_w_per_m2"}
	for i := range flats {
		head = append(head, fmt.Sprintf("flat%02d_wh", i+1))
	}
	start, hours, columns := time.Date(firstMonday[0], time.Month(firstMonday[1]), firstMonday[2], 0, 0, 0, 0, zone), weekHours, len(head)
	if before {
		start, hours, columns = start.AddDate(0, 0, -7), 7*24, columns-flats
	}
	w.Write(head[:columns])
	for h := range hours {
		row, err := src.row(start.Add(time.Duration(h)*time.Hour), before)
		if err != nil {
			return nil, err
		}
		w.Write(row[:columns])
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// row takes an hour from the same weekday and hour of the sources' clocks. The hour that the clock shows twice is taken twice.
func (s *sources) row(at time.Time, before bool) ([]string, error) {
	hour := (int(at.Weekday())+6)%7*24 + at.Hour()
	weekday := hour/24 + 1
	if before {
		hour -= 7 * 24
	}
	i := int(loadMonday.Sub(firstRow).Hours()) + hour
	if s.hours[i] != strconv.Itoa(at.Hour()+1) || s.dayTypes[i] != strconv.Itoa(weekday) {
		return nil, fmt.Errorf("row %d is hour %s of day %s, not of %v", i, s.hours[i], s.dayTypes[i], at)
	}
	stamp := trafficMonday.Add(time.Duration(hour) * time.Hour).Format("2006-01-02 15:04")
	vehicles, ok := s.vehiclesH[stamp]
	if !ok {
		return nil, fmt.Errorf("no traffic at %s", stamp)
	}
	light, err := sum(s.diffuse[i], s.direct[i])
	if err != nil {
		return nil, err
	}
	row := []string{at.UTC().Format("2006-01-02T15:04Z"), at.Format("Mon 15:04-07:00"), s.prices[i], strconv.Itoa(vehicles), light}
	for f := range flats {
		kWh, err := strconv.ParseFloat(s.loads[f][i], 64)
		if err != nil {
			return nil, err
		}
		row = append(row, strconv.Itoa(int(math.Round(kWh*1000))))
	}
	return row, nil
}

func sum(a, b string) (string, error) {
	x, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return "", err
	}
	y, err := strconv.ParseFloat(b, 64)
	return strconv.Itoa(int(math.Round(x + y))), err
}

func read(sets string) (*sources, error) {
	s := &sources{vehiclesH: make(map[string]int)}
	homes := filepath.Join(sets, "citylearn-2022")
	for i := range flats {
		columns, err := table(filepath.Join(homes, fmt.Sprintf("Building_%d.csv.gz", i+1)), "non_shiftable_load", "hour", "day_type")
		if err != nil {
			return nil, err
		}
		s.loads[i], s.hours, s.dayTypes = columns[0], columns[1], columns[2]
	}
	columns, err := table(filepath.Join(homes, "pricing.csv.gz"), "electricity_pricing")
	if err != nil {
		return nil, err
	}
	s.prices = columns[0]
	if columns, err = table(filepath.Join(homes, "weather.csv.gz"), "diffuse_solar_irradiance", "direct_solar_irradiance"); err != nil {
		return nil, err
	}
	s.diffuse, s.direct = columns[0], columns[1]
	return s, s.readTraffic(filepath.Join(sets, "traffic-metro", "Metro_Interstate_Traffic_Volume.csv.gz"))
}

// readTraffic takes every stamp once. The rows of one stamp differ in the weather only; where they did not, it would say so.
func (s *sources) readTraffic(path string) error {
	columns, err := table(path, "date_time", "traffic_volume")
	if err != nil {
		return err
	}
	for i, stamp := range columns[0] {
		n, err := strconv.Atoi(columns[1][i])
		if err != nil {
			return err
		}
		if before, twice := s.vehiclesH[stamp]; twice && before != n {
			return fmt.Errorf("%s: %d and %d vehicles", stamp, before, n)
		}
		s.vehiclesH[stamp] = n
	}
	return nil
}

// table returns the named columns of a compressed CSV file.
func table(path string, names ...string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	columns := make([][]string, len(names))
	for n, name := range names {
		at := -1
		for i, head := range rows[0] {
			if head == name {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("reading %s: no column %q", path, name)
		}
		for _, row := range rows[1:] {
			columns[n] = append(columns[n], row[at])
		}
	}
	return columns, nil
}
