package demo

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// setsFolder is where the public data sets are, or skips the test.
func setsFolder(t *testing.T) string {
	t.Helper()
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		sets = "../../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(sets, "ev-acn")); err != nil {
		t.Skipf("the data sets are not here (%v); LAMPPOST_SETS names their folder", err)
	}
	return sets
}

func aCarPark(t *testing.T, sets string) *carPark {
	t.Helper()
	p, err := newCarPark(sets)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever the seed: no charger serves two cars at once, every stay is one that its charger can give, and power flows from
// begin to end of it and no more.
func TestStaysArePossible(t *testing.T) {
	t.Parallel()
	from := parkFrom()
	for seed := range uint64(200) {
		stays := cast(madeStays(seed, from), from)
		if seed%20 > 0 {
			checkStays(t, stays, from)
			continue
		}
		p, err := carParkOf(stays, "")
		if err != nil {
			t.Fatal(err)
		}
		checkStays(t, p.stays, from)
		checkCharged(t, p.stays)
	}
}

// So are those of the public set.
func TestStaysOfSet(t *testing.T) {
	t.Parallel()
	p := aCarPark(t, setsFolder(t))
	checkStays(t, p.stays, p.from)
	checkCharged(t, p.stays)
	checkCast(t, p.stays)
	if len(p.stays) < 30 || !strings.Contains(p.source, "2021-09-09") {
		t.Errorf("%d stays, %s", len(p.stays), p.source)
	}
}

func checkStays(t *testing.T, stays []stay, from lamppost.TimeMS) {
	t.Helper()
	var free [chargers]lamppost.TimeMS
	for i := range stays {
		s := &stays[i]
		if s.in < max(from, free[s.charger]) || s.full <= s.in || s.out < s.full || s.out > from+parkDays*24*hourMS-endMS || s.wh < 0 {
			t.Fatalf("stay %d: %+v", i, s)
		}
		free[s.charger] = s.out + gapMS
	}
}

func checkCharged(t *testing.T, stays []stay) {
	t.Helper()
	for i := range stays {
		s := &stays[i]
		if got := s.used(s.out); got > s.wh || got != s.used(s.ended()) || s.used(s.in) != 0 || got == 0 && s.mishap != onlyStart && s.mishap != noCredit {
			t.Errorf("stay %d: %d Wh of %d, %d at the begin", i, got, s.wh, s.used(s.in))
		}
		last := int64(0)
		for at := s.in; at <= s.out; at += minuteMS {
			if s.used(at) < last {
				t.Fatalf("stay %d went back", i)
			}
			last = s.used(at)
		}
		if s.mishap == powerCut && s.used(s.at) != s.used(s.back) || s.mishap == forgets && s.used(s.at) != s.used(s.out) {
			t.Errorf("stay %d: power flowed while there was none", i)
		}
	}
}

func checkCast(t *testing.T, stays []stay) {
	t.Helper()
	seen, guests := make(map[mishap]int), 0
	for i := range stays {
		seen[stays[i].mishap]++
		if stays[i].who == "" {
			guests++
		}
	}
	for m := powerCut; m <= lastMishap; m++ {
		if seen[m] != 1 {
			t.Errorf("mishap %d happens %d times", m, seen[m])
		}
	}
	if guests < minGuests || stays[0].mishap != none {
		t.Errorf("%d guests, the first stay has mishap %d", guests, stays[0].mishap)
	}
}

// The made two days show every mishap once, to enough cars, some of guests.
func TestMadeStaysShowAll(t *testing.T) {
	t.Parallel()
	p := aCarPark(t, "")
	checkCast(t, p.stays)
	if len(p.stays) < 30 || !strings.Contains(p.source, "seed") {
		t.Errorf("%d stays, %s", len(p.stays), p.source)
	}
	for _, b := range p.parties[:2] { // also on a day with more guests than tax: income stands on the chargers' accounts
		if b.CreditLimit != providerCredit {
			t.Errorf("%s may go to -%s, and not as far as the provider may owe", b.ID, b.CreditLimit)
		}
	}
	for _, terms := range p.tariffs {
		if err := terms.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// A quote is what the tariff says of the plan: bands add up to the energy, and the limit leaves a reserve.
func TestQuote(t *testing.T) {
	t.Parallel()
	p := aCarPark(t, "")
	for i := range p.stays {
		lines, sum, limit, err := p.quote(p.stays[i])
		if err != nil {
			t.Fatal(err)
		}
		wh, total := lamppost.Decimal{}, lamppost.Micro(0)
		for _, l := range lines {
			wh, _ = wh.Add(l.Quantity)
			total += l.Amount
		}
		if wh.Cmp(lamppost.Dec(p.stays[i].wh, 0)) != 0 || total != sum || limit < sum+5*lamppost.MicroUnit || limit > sum+10*lamppost.MicroUnit {
			t.Errorf("stay %d: %s Wh of %d, %s in lines, %s quoted, limit %s", i, wh, p.stays[i].wh, total, sum, limit)
		}
	}
	at := p.from + 6*hourMS + 30*minuteMS
	lines, sum, _, err := p.quote(stay{in: at, full: at + hourMS, out: at + 3*hourMS, wh: 10_000})
	if want := lamppost.Micro(1_950_000 + 2_450_000 + 500_000 + 3_000_000); err != nil || sum != want { // 5 kWh a band, start, an hour idle
		t.Errorf("%s, want %s; %v", sum, want, err)
	}
	if len(lines) != 4 || lines[3].Band != tariff.LineIdle || lines[3].Minutes != 60 {
		t.Errorf("%+v", lines)
	}
}

// What happens at a charger is in order, and each car that comes goes.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := aCarPark(t, "")
	ticks, cars := 0, 0
	for i := range chargers {
		last, there := lamppost.TimeMS(0), -1
		for _, e := range p.events(i) {
			if e.at < last {
				t.Fatalf("charger %d: %+v after %d", i, e, last)
			}
			last = e.at
			switch {
			case e.what == tick:
				ticks++
			case e.what == begins && there < 0:
				there, cars = e.stay, cars+1
			case e.what == ends && there == e.stay:
				there = -1
			case e.what == begins || e.what == ends || e.stay != there && e.what != lineOn:
				t.Fatalf("charger %d: %+v while %d is there", i, e, there)
			}
		}
	}
	if cars != len(p.stays) || ticks != chargers*(1+parkDays*96) {
		t.Errorf("%d cars of %d, %d ticks", cars, len(p.stays), ticks)
	}
}

// A folder that is named must have the set, and one that is damaged is refused with the line.
func TestSetsRefused(t *testing.T) {
	t.Parallel()
	if _, err := newCarPark(t.TempDir()); err == nil || !strings.Contains(err.Error(), "opening the set") {
		t.Errorf("no set: %v", err)
	}
	for want, text := range map[string]string{
		"columns":       "h1,h2\na,b\n",
		"parsing time":  "1,2,3,4,5,6,7\ns,st,yesterday,2021-05-01T21:32:12Z,,3.5,u\n",
		"parsing \"x\"": "1,2,3,4,5,6,7\ns,st,2021-05-01T20:42:47Z,2021-05-01T21:32:12Z,,x,u\n",
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
		if _, err := readStays(&b); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := readStays(strings.NewReader("no gzip")); err == nil {
		t.Error("what is not packed was read")
	}
}
