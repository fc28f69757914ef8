package demo

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
)

// A stay is one car at one charger, as the world has it. What the ledger knows of it, it knows from reports and orders.
type stay struct {
	charger       int             // from 0
	who           string          // of the drivers; "": somebody who pays at once
	in, full, out lamppost.TimeMS // full: at the earliest, and how fast the car takes power
	wh            int64           // that the driver wants
	mishap        mishap
	at, back      lamppost.TimeMS // when the mishap begins and, where it passes, ends
	marks         []mark          // how it is charged
}

// A mishap is what goes wrong in a stay.
type mishap uint8

const (
	none        mishap = iota
	powerCut           // the charger is without power from at to back
	offline            // its line is down from at to back, and the car leaves meanwhile
	forgets            // it starts anew at at, and the session is forgotten: no stop ever comes
	onlyStart          // the same before any power has flowed
	staleStop          // the stop shows what the register showed before the session: triage finds that
	highStop           // the register counts more at the stop than flowed, and goes on from there: nobody but the driver can see that
	longIdle           // nothing: the place is occupied long after the grace, and the driver disputes it
	noCredit           // the driver's money does not cover the hold
	lastMishap  = noCredit
	misreadWh   = 2000 // by highStop
	cutLasts    = 20 * minuteMS
	offlineHalf = 30 * minuteMS
)

const (
	minuteMS lamppost.TimeMS = 60_000

	chargers = 12
	parkDays = 2

	// A car comes at least gapMS after the one before it has gone, stays at least minStay, and is gone endMS before the end.
	gapMS, minStay, endMS = 2 * minuteMS, 5 * minuteMS, 60 * minuteMS

	fastestW  = 60_000 // of what a charger gives
	minGuests = 4
)

// loadStays returns two days of stays from a time on, and where their shape is from: the public set where its folder is
// here, and a seed otherwise. A folder that is named must have it.
func loadStays(sets string, from lamppost.TimeMS) (stays []stay, source string, err error) {
	named := sets != ""
	if !named {
		sets = filepath.Join("..", "shared", "data")
	}
	path := filepath.Join(sets, "ev-acn", "sessions.csv.gz")
	file, err := os.Open(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return cast(madeStays(staysSeed, from), from), fmt.Sprintf("generated from seed %d", staysSeed), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("opening the set of charging sessions: %w", err)
	}
	defer file.Close()
	all, err := readStays(file)
	if err != nil {
		return nil, "", fmt.Errorf("reading %q: %w", path, err)
	}
	stays, day := busiest(all, from)
	return cast(stays, from), fmt.Sprintf("ACN-Data (Caltech), %d days from %s", parkDays, day), nil
}

// A recorded stay is a line of the set, in the time of its place.
type recorded struct {
	station, user string
	in, full, out lamppost.TimeMS
	wh            int64
}

// readStays reads the set: its README says what the columns are. Its place is seven hours behind UTC all the time.
func readStays(packed io.Reader) ([]recorded, error) {
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(io.LimitReader(plain, maxSetBytes)).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []recorded
	for i, row := range rows {
		if i == 0 {
			continue
		}
		r, err := readStay(row)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func readStay(row []string) (r recorded, err error) {
	if len(row) < 7 {
		return r, fmt.Errorf("%d columns", len(row))
	}
	var times [3]lamppost.TimeMS
	for i, s := range row[2:5] {
		if s == "" {
			continue // of the end of power: it flowed to the end
		}
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return r, err
		}
		times[i] = lamppost.TimeMS(at.UnixMilli()) - 7*hourMS
	}
	kWh, err := strconv.ParseFloat(row[5], 64)
	if err != nil {
		return r, err
	}
	return recorded{row[1], row[6], times[0], times[2], times[1], int64(kWh*1000 + 0.5)}, nil
}

// busiest takes the two days in a row with the most stays that begin and end in them, at the stations with the most, and
// moves them to a time. It returns the date of the first.
func busiest(all []recorded, from lamppost.TimeMS) ([]stay, string) {
	const day = 24 * hourMS
	inside := func(r *recorded, first lamppost.TimeMS) bool {
		return r.in >= first && r.out <= first+parkDays*day-endMS
	}
	count := make(map[lamppost.TimeMS]int)
	for i := range all {
		for back := range lamppost.TimeMS(parkDays) {
			if first := all[i].in/day*day - back*day; inside(&all[i], first) {
				count[first]++
			}
		}
	}
	var first lamppost.TimeMS
	for _, d := range slices.Sorted(maps.Keys(count)) {
		if count[d] > count[first] {
			first = d
		}
	}
	stations := make(map[string]int)
	var picked []recorded
	for i := range all {
		if inside(&all[i], first) {
			picked = append(picked, all[i])
			stations[all[i].station]++
		}
	}
	order := slices.SortedFunc(maps.Keys(stations), func(a, b string) int {
		return cmp.Or(cmp.Compare(stations[b], stations[a]), cmp.Compare(a, b))
	})
	var stays []stay
	for _, r := range picked {
		stays = append(stays, stay{charger: slices.Index(order, r.station), who: r.user,
			in: r.in - first + from, full: r.full - first + from, out: r.out - first + from, wh: r.wh})
	}
	return possible(stays), stamp(first).Format(time.DateOnly)
}

// madeStays makes stays of the shape that workplaces have: most come from 6 to 11, half stay under an hour and a half and
// some all day, half take under 10 kWh, and a third occupy the place when their power has ended.
func madeStays(seed uint64, from lamppost.TimeMS) []stay {
	rnd := rand.New(rand.NewPCG(seed, 0))
	byHour := [24]int{5: 1, 6: 4, 7: 7, 8: 12, 9: 8, 10: 8, 11: 6, 12: 5, 13: 5, 14: 6, 15: 5, 16: 6, 17: 4, 18: 6, 19: 5, 20: 3}
	var hours []int
	for h, n := range byHour {
		hours = append(hours, slices.Repeat([]int{h}, n)...)
	}
	between := func(lo, hi int64) int64 { return lo + rnd.Int64N(hi-lo+1) }
	var stays []stay
	for i := range 60 {
		hour := lamppost.TimeMS(hours[rnd.IntN(len(hours))]) + 24*lamppost.TimeMS(i%parkDays)
		s := stay{charger: rnd.IntN(chargers), in: from + hour*hourMS + lamppost.TimeMS(between(0, 3599))*1000}
		powerW := []int64{3300, 6600, 6600, 11000, 50000}[rnd.IntN(5)]
		minutes := []int64{between(25, 50), between(50, 90), between(90, 240), between(240, 560)}[rnd.IntN(4)]
		s.wh = powerW * min(minutes, between(25, 150)) / 60 * between(60, 95) / 100
		s.full = s.in + lamppost.TimeMS(s.wh*3600/powerW)*1000
		s.out = max(s.full, s.in+lamppost.TimeMS(minutes)*minuteMS)
		if rnd.IntN(8) > 0 {
			s.who = fmt.Sprint(rnd.IntN(28))
		}
		stays = append(stays, s)
	}
	for i := range stays {
		stays[i].out = min(stays[i].out, from+parkDays*24*hourMS-endMS)
	}
	return possible(stays)
}

// possible sorts stays by begin and leaves out what a charger cannot do: two cars at once, a moment's stay, power without
// end.
func possible(stays []stay) []stay {
	slices.SortFunc(stays, func(a, b stay) int { return cmp.Or(cmp.Compare(a.in, b.in), cmp.Compare(a.charger, b.charger)) })
	var free [chargers]lamppost.TimeMS
	n := 0
	for _, s := range stays {
		if s.charger >= chargers || s.in < free[s.charger] || s.out-s.in < minStay || s.wh <= 0 {
			continue
		}
		if s.full <= s.in || s.full > s.out {
			s.full = s.out
		}
		shortest := lamppost.TimeMS(s.wh*3600/fastestW) * 1000
		s.full = min(max(s.full, s.in+shortest), s.out)
		s.wh = min(s.wh, int64(s.full-s.in)*fastestW/int64(hourMS))
		free[s.charger] = s.out + gapMS
		stays[n] = s
		n++
	}
	return stays[:n]
}

// cast gives each mishap the first stay that it suits and that has none yet. The first stay of all has none: it is told as an
// example. Where hardly anybody is a guest, some who come once without a mishap are.
func cast(stays []stay, from lamppost.TimeMS) []stay {
	for m := powerCut; m <= lastMishap; m++ {
		for i := range stays {
			if s := &stays[i]; i > 0 && s.mishap == none && suits(stays, i, m, from) {
				s.befall(m)
				break
			}
		}
	}
	visits, guests := make(map[string]int), 0
	for i := range stays {
		visits[stays[i].who]++
		if stays[i].who == "" {
			guests++
		}
	}
	for i := range stays {
		if s := &stays[i]; i%2 == 1 && guests < minGuests && s.mishap == none && visits[s.who] == 1 && s.who != "" {
			s.who = ""
			guests++
		}
	}
	return stays
}

// suits says whether a mishap can be shown by a stay.
func suits(stays []stay, i int, m mishap, from lamppost.TimeMS) bool {
	s := &stays[i]
	var before, after *stay
	others, taken := 0, false
	for j := range stays {
		o := &stays[j]
		if o.charger == s.charger && j < i {
			before = o
		}
		if o.charger == s.charger && j > i && after == nil {
			after = o
		}
		if o.who == s.who && j != i {
			others++
			taken = taken || o.mishap != none
		}
	}
	firstDay, charging := s.out < from+24*hourMS, s.full-s.in
	switch m {
	case powerCut:
		return charging >= hourMS
	case offline:
		return s.who != "" && s.out-s.in >= hourMS && (after == nil || after.in > s.out+offlineHalf+gapMS)
	case forgets:
		return s.who != "" && charging >= hourMS
	case onlyStart:
		return s.who != "" && s.in%quarterMS < 10*minuteMS
	case staleStop:
		return s.who != "" && before != nil && before.mishap == none
	case highStop:
		return s.who != "" && firstDay && !taken && after != nil && after.mishap == none && after.wh > misreadWh &&
			s.out-s.full <= graceMin*minuteMS // a higher stop would hide a fee for staying
	case longIdle:
		return s.who != "" && firstDay && !taken && s.out-s.full > (graceMin+30)*minuteMS
	case noCredit:
		return s.who != "" && others == 0
	}
	return false
}

// befall lets a mishap happen to a stay.
func (s *stay) befall(m mishap) {
	s.mishap = m
	part := (s.full - s.in) / 3
	switch m {
	case powerCut:
		s.at, s.back = s.in+part, s.in+part+cutLasts
	case offline:
		s.at, s.back = s.out-offlineHalf, s.out+offlineHalf
	case forgets:
		s.at = s.in + 2*part
	case onlyStart:
		s.at = s.in + minuteMS/2
	}
}
