package measure

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// A fraudSite is meters of one kind that are judged together: real use, of which registers are made.
type fraudSite struct {
	name   string
	half   int // settings were chosen on 0
	main   bool
	begin  int64 // the first reading, in ms
	stepMS int64
	names  []string
	size   int64   // of each connection, units an hour
	use    [][]int // of a meter in a step, in units of its last digit; below 0 is no reading
	loss   float64 // between the main meter and the others

	registers [][]int64 // by meter, then the main meter's; below 0 is no reading
	behind    [][]bool  // by member: at which steps it keeps what it reads
}

func (s *fraudSite) steps() int { return len(s.use[0]) }

func (s *fraudSite) at(step int) lamppost.TimeMS {
	return lamppost.TimeMS(s.begin + int64(step)*s.stepMS)
}

func (s *fraudSite) days(n int) int { return n * int(24*time.Hour/time.Millisecond) / int(s.stepMS) }

// keep draws when members keep what they read, for up to a day at a time, until it is about a share of all: always the same for the same name. None
// does so where a state is kept.
func (s *fraudSite) keep(share float64) {
	s.behind = make([][]bool, len(s.members()))
	if share == 0 {
		return
	}
	day, each := max(1, s.days(1)), s.days(fraudSnapshot)
	for i := range s.behind {
		random := rand.New(rand.NewPCG(hashOf(s.name), uint64(2+i)))
		s.behind[i] = make([]bool, s.steps())
		for k := 0; k < s.steps(); k++ {
			n := 1 + random.IntN(day)
			k += int(float64(n) * (1/share - 1) * 2 * random.Float64())
			for range n {
				if k < s.steps() && k%each < each-1 {
					s.behind[i][k] = true
				}
				k++
			}
		}
	}
}

func (s *fraudSite) keeps(member, k int) bool {
	return len(s.behind) > 0 && s.behind[member] != nil && s.behind[member][k]
}

// members are the meters' numbers, the main one last, where there is one.
func (s *fraudSite) members() []int {
	var all []int
	for i := range s.use {
		all = append(all, i)
	}
	if s.main {
		all = append(all, plausible.Main)
	}
	return all
}

func (s *fraudSite) group() (*plausible.Group, error) {
	sizes := make([]int64, len(s.use))
	for i := range sizes {
		sizes[i] = s.size
	}
	main := int64(0)
	if s.main {
		main = s.size * int64(len(sizes))
	}
	return plausible.NewGroup(main, sizes...)
}

// fraudMeterError is by how much each meter errs at most; the main one by half of that.
const fraudMeterError = 0.01

// count makes registers of the use, always the same for the same name. Hourly ones are read late, by up to so much.
func (s *fraudSite) count(most time.Duration) {
	random := rand.New(rand.NewPCG(hashOf(s.name), 1))
	n := len(s.use)
	s.registers = make([][]int64, n+1)
	flow := make([]float64, s.steps()) // through the main meter
	s.loss = 0.01 + 0.02*random.Float64()
	lateness := most.Hours()
	one := func(use func(step int) float64, errs float64) []int64 {
		gain := 1 + errs*(2*random.Float64()-1)
		all, sum := make([]int64, s.steps()), 1e6*random.Float64()
		for k := range all {
			x := use(k)
			if x < 0 {
				all[k] = -1
				continue
			}
			sum += gain * x
			late := 0.0
			if k+1 < len(all) && s.stepMS <= int64(time.Hour/time.Millisecond) {
				late = gain * max(0, use(k+1)) * lateness * random.Float64()
			}
			all[k] = int64(sum + late)
		}
		return all
	}
	for i, use := range s.use {
		s.registers[i] = one(func(k int) float64 { return float64(use[k]) }, fraudMeterError)
		for k, x := range use {
			flow[k] += max(0, float64(x)) * (1 + s.loss)
		}
	}
	s.registers[n] = one(func(k int) float64 { return flow[k] }, fraudMeterError/2)
}

// fraudHourly reads the hourly sites: CityLearn's homes by halves, each half behind a main meter made of its sum, and the household.
func fraudHourly(sets string) ([]*fraudSite, error) {
	const homes = 12
	begin := time.Date(2016, 8, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	halves := [2]*fraudSite{}
	for half, name := range []string{"homes a", "homes b"} {
		halves[half] = &fraudSite{name: name, half: half, main: true, begin: begin, stepMS: time.Hour.Milliseconds(), size: 24_000}
	}
	for i := range homes {
		s := halves[i%2] // odd numbers are half a
		name := fmt.Sprintf("Building_%d.csv", i+1)
		rows, err := fraudRows(filepath.Join(sets, "citylearn-2022", name))
		if err != nil {
			return nil, err
		}
		use, err := rows.column("non_shiftable_load", 1000)
		if err != nil {
			return nil, err
		}
		s.names, s.use = append(s.names, name), append(s.use, use)
	}
	house, err := fraudHousehold(sets)
	if err != nil {
		return nil, err
	}
	return []*fraudSite{halves[0], halves[1], house}, nil
}

// fraudHousehold reads the house in Sceaux. Hours in which no voltage was measured have no reading.
func fraudHousehold(sets string) (*fraudSite, error) {
	rows, err := fraudRows(filepath.Join(sets, "household-power", "household_power_hourly.csv"))
	if err != nil {
		return nil, err
	}
	use, err := rows.column("Global_active_power", 1000./60)
	if err != nil {
		return nil, err
	}
	volts, err := rows.column("Voltage", 1)
	if err != nil {
		return nil, err
	}
	for k := range use {
		if volts[k] == 0 {
			use[k] = -1
		}
	}
	begin := time.Date(2006, 12, 16, 19, 0, 0, 0, time.UTC)
	return &fraudSite{name: "household", half: 1, begin: begin.UnixMilli(), stepMS: time.Hour.Milliseconds(), size: 12_000,
		names: []string{"household"}, use: [][]int{use}}, nil
}

// fraudWater reads Wellington's seven supply zones, in millilitres a day and person: the first half of the days, and the second.
func fraudWater(sets string) ([]*fraudSite, error) {
	rows, err := fraudRows(filepath.Join(sets, "water-wellington", "water_per_capita_daily.csv"))
	if err != nil {
		return nil, err
	}
	var sites []*fraudSite
	days := len(rows.rows)
	for half, name := range []string{"water a", "water b"} {
		begin := time.Date(2006, 1, 2+half*(days/2), 0, 0, 0, 0, time.UTC)
		s := &fraudSite{name: name, half: half, begin: begin.UnixMilli(), stepMS: 24 * time.Hour.Milliseconds(), size: 25_000}
		for _, zone := range rows.header[1:] {
			use, err := rows.column(zone, 1000)
			if err != nil {
				return nil, err
			}
			s.names, s.use = append(s.names, zone), append(s.use, use[half*(days/2):(half+1)*(days/2)])
		}
		sites = append(sites, s)
	}
	return sites, nil
}

// A fraudTable is a file of comma-separated values.
type fraudTable struct {
	path   string
	header []string
	rows   [][]string
}

func fraudRows(path string) (*fraudTable, error) {
	header, rows, err := csvRows(path, ',', "series of meters")
	if err != nil {
		return nil, err
	}
	return &fraudTable{path, header, rows}, nil
}

// csvRows reads a file of separated values. what says whose it is.
func csvRows(path string, comma rune, what string) (header []string, rows [][]string, err error) {
	in, err := openPlainOrGzip(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s (docs/intelligence.md says where they are from): %w", what, err)
	}
	defer in.Close()
	r := csv.NewReader(in)
	r.Comma = comma
	rows, err = r.ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("reading %q: %w", path, err)
	}
	if len(rows) < 2 {
		return nil, nil, fmt.Errorf("reading %q: no rows", path)
	}
	return rows[0], rows[1:], nil
}

// column returns a column in units of a last digit, of which there are so many in one of the file's. An empty cell is below 0.
func (t *fraudTable) column(name string, units float64) ([]int, error) {
	for i, title := range t.header {
		if title != name {
			continue
		}
		all := make([]int, len(t.rows))
		for k, row := range t.rows {
			if row[i] == "" {
				all[k] = -1
				continue
			}
			x, err := strconv.ParseFloat(row[i], 64)
			if err != nil || math.IsNaN(x) || x < 0 || x > 1e9 {
				return nil, fmt.Errorf("reading %q, row %d: %q is no use", t.path, k+1, row[i])
			}
			all[k] = int(math.Round(x * units))
		}
		return all, nil
	}
	return nil, fmt.Errorf("reading %q: no column %q", t.path, name)
}
