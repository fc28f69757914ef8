package ocmf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/ocmf"
)

// TestMatch protects what a bill rests on: a reading is given by a record only at the same instant, with the same value, and by a meter
// that vouches for both.
func TestMatch(t *testing.T) {
	t.Parallel()
	m := newMeter(t)
	const at = 1_800_000_000_000
	const good = `{"PG":"F1","MS":"1","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","RV":1300.50,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},` +
		`{"TM":"2027-01-15T08:15:00,000+0000 S","RV":1300.75}]}`
	reading := func(name string, at lamppost.TimeMS, unit string, value lamppost.Decimal) lamppost.Reading {
		return lamppost.Reading{Name: name, Unit: unit, Time: at, Kind: lamppost.Register, Value: value}
	}
	wh := reading("energy", at, "Wh", lamppost.Dec(1_300_500, 0))
	gauge := wh
	gauge.Kind = lamppost.Gauge
	later := reading("energy", at+900_000, "Wh", lamppost.Dec(13_007_500, -1))
	for _, c := range []struct {
		name     string
		old, new string
		readings []lamppost.Reading
		want     string
	}{
		{"both", "", "", []lamppost.Reading{wh, later}, "11"},
		{"one of two", "", "", []lamppost.Reading{wh}, "1"},
		{"another register beside it", "", "", []lamppost.Reading{reading("water", at, "m3", lamppost.Dec(1, 0)), wh}, "01"},
		{"in kWh", "", "", []lamppost.Reading{reading("energy", at, "kWh", lamppost.Dec(13005, -1))}, "1"},
		{"in Wh on both sides", `1300.50,"RI":"1-b:1.8.0","RU":"kWh"`, `1300500.0,"RI":"1-b:1.8.0","RU":"Wh"`, []lamppost.Reading{wh}, "1"},
		{"a time that it does not give", "", "", []lamppost.Reading{wh, reading("energy", at+1, "Wh", lamppost.Dec(9, 0))}, "10"},
		{"relative time", "000 S", "000 R", []lamppost.Reading{wh}, "1"},
		{"a thousandth more", "1300.50,", "1300.501,", []lamppost.Reading{wh}, "value"},
		{"the second wrong", "1300.75", "1300.76", []lamppost.Reading{wh, later}, "value"},
		{"another unit", "", "", []lamppost.Reading{reading("energy", at, "J", lamppost.Dec(1_300_500, 0))}, "register"},
		{"another register", "", "", []lamppost.Reading{reading("water", at, "Wh", lamppost.Dec(1_300_500, 0))}, "time"},
		{"a gauge", "", "", []lamppost.Reading{gauge}, "time"},
		{"time unknown", "000 S", "000 U", []lamppost.Reading{wh}, "time"},
		{"energy in error", `"ST"`, `"EF":"E","ST"`, []lamppost.Reading{wh}, "status"},
		{"a meter that was exchanged", `"ST":"G"`, `"ST":"X"`, []lamppost.Reading{wh}, "status"},
		{"a reading without a value", `"RV":1300.50,`, ``, []lamppost.Reading{wh}, "status"},
		{"several registers, none of the name", `"RV":1300.75`, `"RV":1,"RI":"1-b:2.8.0","RU":"kWh"`, []lamppost.Reading{wh}, "time"},
		{"several registers, one of the name", `"RV":1300.75`, `"RV":1,"RI":"energy","RU":"kWh"`, []lamppost.Reading{later}, "value"},
	} {
		record := lamppost.MeterRecord{Name: "energy", Text: m.text(strings.Replace(good, c.old, c.new, 1))}
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: nothing to replace", c.name)
		}
		given, err := ocmf.Match(m.pub.DER(), c.readings, []lamppost.MeterRecord{record})
		got := ""
		for _, g := range given {
			got += map[bool]string{true: "1", false: "0"}[g]
		}
		if err != nil {
			got = rule(err)
		}
		if got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, got, err, c.want)
		}
	}
	records := []lamppost.MeterRecord{{Name: "energy", Text: m.text(good)}}
	if _, err := ocmf.Match(newMeter(t).pub.DER(), []lamppost.Reading{wh}, records); err == nil || rule(err) != "signature" {
		t.Errorf("another meter: %v", err)
	}
	if given, err := ocmf.Match(m.pub.DER(), []lamppost.Reading{wh}, nil); err != nil || slices.Contains(given, true) {
		t.Errorf("no record: %v, %v", given, err)
	}
}
