package archive_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/compact"
)

// values are all that is left of a device's readings of a name, by time.
func (h *house) values(d lamppost.DeviceID, name string, now lamppost.TimeMS) (all []archive.Value) {
	h.t.Helper()
	s := archive.Search{Device: d, From: math.MinInt64, To: math.MaxInt64, Rules: &h.rules, Now: now}
	err := archive.View{Reader: h.store, Packs: h.packs()}.Values(context.Background(), s, name, func(v archive.Value) error { all = append(all, v); return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b archive.Value) int { return cmp.Compare(a.At, b.At) })
	return all
}

// A said is a reading as it was signed.
type said struct {
	at    lamppost.TimeMS
	value float64
}

// live lets two devices report for some days, every ten minutes with jitter: power with noise and an energy register.
func live(h *house, days int) map[lamppost.DeviceID]map[string][]said {
	random := rand.New(rand.NewPCG(7, 7))
	all := map[lamppost.DeviceID]map[string][]said{"ann": {}, "ben": {}}
	energy := map[lamppost.DeviceID]int64{}
	for i := range days * 144 {
		at := start + lamppost.TimeMS(i)*600_000
		var reports [][]byte
		for _, d := range []lamppost.DeviceID{"ann", "ben"} {
			when := at - lamppost.TimeMS(random.IntN(5000))
			energy[d] += int64(random.IntN(50))
			power := 100*math.Sin(float64(i)/20) + 10*random.Float64()
			all[d]["energy"] = append(all[d]["energy"], said{when, float64(energy[d]) / 10})
			all[d]["power"] = append(all[d]["power"], said{when, power})
			reports = append(reports, h.sign(d, 0, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: when, Value: lamppost.Dec(energy[d], -1)},
				lamppost.Reading{Name: "power", Unit: "W", Time: when, Float: power, IsFloat: true}))
		}
		h.block(at, nil, reports...)
	}
	return all
}

// Goal: through the whole life of a reading it is read back with its time, within its error bar, and within its rule's bound; around
// alarms it stays as it was signed. Method: days of two devices, sealed, thinned and thinned again at random moments, and after each
// step every reading is held against what was signed.
func TestBoundHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	want := live(h, 6)
	window := archive.Window{From: start + 2*day + 3*hour, To: start + 2*day + 9*hour}
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day}, Devices: map[lamppost.DeviceID]archive.Retention{"ben": {RawMS: 2 * day, Error: 0.05}},
		Alarms: func(d lamppost.DeviceID) ([]archive.Window, error) {
			return map[lamppost.DeviceID][]archive.Window{"ann": {window}}[d], nil
		}}
	k := h.keeper()
	k.MaxHot = 200_000
	for _, now := range []lamppost.TimeMS{start + day, start + 2*day + hour, start + 5*day, start + 6*day, start + 9*day} {
		h.settle(k, now)
		for d, names := range want {
			share := 0.01
			if d == "ben" {
				share = 0.05
			}
			for name, all := range names {
				h.hold(d, name, all, h.values(d, name, now), share)
			}
		}
	}
	raw := 0
	for _, v := range h.values("ann", "power", start+9*day) {
		if v.Class == archive.Raw {
			raw++
		}
	}
	if raw != 36 {
		t.Errorf("%d readings of ann are raw in the end, want the 36 around the alarm", raw)
	}
}

// hold compares what is read back with what was signed.
func (h *house) hold(d lamppost.DeviceID, name string, all []said, got []archive.Value, share float64) {
	h.t.Helper()
	low, high := all[0].value, all[0].value
	for _, x := range all {
		low, high = min(low, x.value), max(high, x.value)
	}
	slices.SortFunc(all, func(a, b said) int { return cmp.Compare(a.at, b.at) })
	if len(got) != len(all) {
		h.t.Fatalf("%s of %s: %d values, want %d", name, d, len(got), len(all))
	}
	for i, v := range got {
		off := math.Abs(v.Value - all[i].value)
		if v.At != all[i].at || !(off <= v.Error) || !(v.Error <= share*(high-low)*1.000001) || v.Class == archive.Raw && v.Error != 0 {
			h.t.Fatalf("%s of %s: reading %d is %+v, was %+v, range %v", name, d, i, v, all[i], high-low)
		}
	}
}

// Goal: of a device is told what is kept of it and why, by report and by block.
func TestWhy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day}, Holds: []archive.Hold{{Device: "a", From: start, To: start + hour}},
		Alarms: func(lamppost.DeviceID) ([]archive.Window, error) {
			return []archive.Window{{From: start + hour, To: start + 2*hour}}, nil
		}}
	for i := range 4 {
		at := start + lamppost.TimeMS(i)*hour
		h.block(at, nil, h.report("a", at, int64(i), 0), h.report("a", at, int64(i), lamppost.FlagBilling))
	}
	late := start + 3*day
	h.block(late, nil, h.report("a", late, 9, 0))
	h.settle(h.keeper(), late+day/2)
	why, blocks := map[compact.Reason]int{}, 0
	err := archive.View{Reader: h.store, Packs: h.packs()}.Walk(context.Background(), archive.Search{Device: "a", To: math.MaxInt64, Rules: &h.rules, Now: late + day/2},
		func(f *archive.Found) error { why[f.Why]++; return nil },
		func(s *archive.Series) error {
			for _, b := range s.Blocks {
				if blocks += b.Rows; b.Reason != compact.Policy || b.Achieved > b.Bound || b.From < start+2*hour || b.To > start+3*hour || b.Bytes == 0 {
					t.Errorf("%+v", b)
				}
			}
			return nil
		})
	if err != nil || why[compact.Disputed] != 1 || why[compact.NearAlarm] != 1 || why[compact.Billed] != 4 || why[compact.Policy] != 1 || blocks != 2 {
		t.Errorf("reasons %v, %d values in blocks: %v", why, blocks, err)
	}
}

// Goal: an erasure takes the summaries of what was committed before it, at once from what is read and then from the packs; another
// device's stay.
func TestEraseTakesSummaries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	live(h, 2)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day}}
	h.settle(h.keeper(), start+4*day)
	summed := func() (all []int) {
		for _, d := range []lamppost.DeviceID{"ann", "ben"} {
			n := 0
			for _, v := range h.values(d, "power", start+4*day) {
				if v.Class == archive.Summary {
					n++
				}
			}
			all = append(all, n)
		}
		return all
	}
	if got := summed(); got[0] != 288 || got[1] != 288 {
		t.Fatalf("%v values are in summaries", got)
	}
	h.block(start+4*day, nil, h.report("ann", start+4*day, 1, 0))
	h.rules.Erased, h.rules.Erase, h.rules.Changed = map[lamppost.DeviceID][]archive.Place{"ann": {{Height: h.height, Index: 1}}}, h.height, h.height
	if got := summed(); got[0] != 0 || got[1] != 288 {
		t.Errorf("when it is ordered: %v values are in summaries", got)
	}
	h.settle(h.keeper(), start+4*day)
	h.rules.Erased = nil
	if got := summed(); got[0] != 0 || got[1] != 288 {
		t.Errorf("when it was carried out: %v values are in summaries", got)
	}
}

// Goal: summaries go when all of their pack is too old, unless a hold covers some of it, and then when that is lifted.
func TestSummariesAge(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	live(h, 1)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day, SummaryMS: 5 * day}}
	h.settle(h.keeper(), start+4*day)
	h.rules.Holds = []archive.Hold{{Device: "ben", From: start, To: start + hour}}
	h.rules.Changed = 1
	count := func(when lamppost.TimeMS) [2]int {
		h.settle(h.keeper(), when)
		return [2]int{len(h.values("ann", "power", when)), len(h.values("ben", "power", when))}
	}
	if got := count(start + 5*day); got != [2]int{144, 144} {
		t.Errorf("after five days there are %v values, want all", got)
	}
	if got := count(start + 7*day); got[0] != 0 || got[1] == 0 || got[1] == 144 {
		t.Errorf("after seven days there are %v values, want those of the packs in which ben is held", got)
	}
	h.rules.Holds, h.rules.Changed = nil, 2
	if got := count(start + 7*day); got != [2]int{0, 0} {
		t.Errorf("after the hold was lifted there are %v values", got)
	}
}

// Goal: what no summary can have stays raw.
func TestUnfitStaysRaw(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day}}
	h.block(start, nil, h.sign("a", 0, lamppost.Reading{Name: "x", Time: start, Float: 1e31, IsFloat: true}), h.report("a", start, 1, 0))
	h.settle(h.keeper(), start+5*day)
	if got := h.values("a", "x", start+5*day); len(got) != 1 || got[0].Class != archive.Raw || got[0].Value != 1e31 {
		t.Errorf("left is %+v", got)
	}
	if got := h.values("a", "energy", start+5*day); len(got) != 1 || got[0].Class != archive.Summary {
		t.Errorf("left is %+v", got)
	}
}

// Goal: summaries that packs had by the hour are read on: each with an error bar that has what it stands for; and they go as others do.
func TestHourlyPacks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.block(start, nil, h.report("a", start, 1, 0))
	h.settle(h.keeper(), start+2*day)
	if err := archive.MakeHourly(h.store, h.packs(), "a", "energy"); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		var hours []archive.Value
		for _, v := range h.values("a", "energy", start+3*day) {
			if v.Class == archive.Summary && v.Error > 0 {
				hours = append(hours, v)
			}
		}
		if len(hours) != 1 || hours[0].Value != 2 || hours[0].Error != 3 || hours[0].At%hour != 60_000 {
			t.Errorf("%s: %+v", when, hours)
		}
	}
	check("as it was")
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day, SummaryMS: 10 * day}, Changed: 1}
	h.settle(h.keeper(), start+3*day)
	check("written again")
	if found := must(archive.View{Reader: h.store, Packs: h.packs()}.Check(context.Background(), func(_, _ int) {}))(t); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
	h.settle(h.keeper(), start+12*day)
	if got := h.values("a", "energy", start+12*day); len(got) != 0 {
		t.Errorf("after ten days there is %+v", got)
	}
}

// Whatever stands for summaries in a pack: it is refused, or read as series with as many times as values, all of them numbers.
func FuzzDecodeSeries(f *testing.F) {
	h := newHouse(f)
	live(h, 1)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: day}}
	h.settle(h.keeper(), start+5*day)
	frames, err := archive.SeriesFrames(h.store, h.packs())
	if err != nil || len(frames) == 0 {
		f.Fatal("no pack has series", err)
	}
	for _, raw := range frames {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := archive.DecodeSeries(raw)
		if err != nil {
			return
		}
		for _, s := range all {
			rows := 0
			for _, b := range s.Blocks {
				rows += b.Rows
			}
			if rows != len(s.Values) || rows == 0 || s.Blocks[0].From > s.Blocks[0].To {
				t.Fatalf("%d rows, %d values", rows, len(s.Values))
			}
			for _, v := range s.Values {
				if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || !(v.Error >= 0) {
					t.Fatalf("%+v", v)
				}
			}
		}
	})
}

// A pack's worth of 1,000 devices, read for one of them: 36 minutes of a report a minute each, raw and in summaries.
func BenchmarkValues(b *testing.B) {
	for _, raw := range []bool{true, false} {
		b.Run(map[bool]string{true: "raw", false: "summaries"}[raw], func(b *testing.B) {
			h := newHouse(b)
			at, n := start, 0
			for range 36 * 30 {
				at += 2000
				var reports [][]byte
				for range 33 {
					n++
					when := at - lamppost.TimeMS(n*7919%2000)
					reports = append(reports, h.sign(lamppost.DeviceID(fmt.Sprintf("meter-%03d", n%1000)), 0,
						lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: when, Value: lamppost.Dec(int64(n), 0)},
						lamppost.Reading{Name: "power", Unit: "W", Time: when, Value: lamppost.Dec(int64(n*7919%30000), -1)}))
				}
				h.block(at, nil, reports...)
			}
			if !raw {
				h.rules.Default = archive.Retention{RawMS: day}
			}
			k := h.keeper()
			k.MaxHot = 0
			h.settle(k, start+2*day)
			v := archive.View{Reader: h.store, Packs: h.packs()}
			for b.Loop() {
				found := 0
				s := archive.Search{Device: "meter-007", To: math.MaxInt64, Rules: &h.rules, Now: start + 2*day}
				if err := v.Values(b.Context(), s, "power", func(archive.Value) error { found++; return nil }); err != nil || found < 35 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
