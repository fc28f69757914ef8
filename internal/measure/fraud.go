package measure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// FraudOptions says where the data are.
type FraudOptions struct {
	Sets  string        // folder of data sets: citylearn-2022, household-power and water-wellington in it
	Seeds int           // how often each kind is put into each meter, always the same ones; at least 1
	Late  time.Duration // after the hour, that a meter is read at most
	// Behind is the share of readings that come after younger ones of their meter: what it had kept for up to a day, when it is back.
	Behind float64

	Progress func(done, all int64, what string)
}

// A FraudKind is what was found of one kind of fraud or fault.
type FraudKind struct {
	Kind   string  `json:"kind"`
	Size   float64 `json:"size,omitempty"`  // of a bypass the share that is not counted, of a leak the share of the mean use
	Among  string  `json:"among,omitempty"` // what the meter can be held against
	Half   string  `json:"half"`            // settings were chosen on a; all is both
	Put    int     `json:"put"`             // injections
	Day    int     `json:"day"`             // found within 24 hours
	Week   int     `json:"week"`            // within 7 days
	Month  int     `json:"month"`           // within 28 days
	Median float64 `json:"median_hours"`    // until it was found, of those that were; 0 where none was
	Named  int     `json:"named"`           // of them with the meter named by a balance
	Wrong  int     `json:"wrongly_named"`   // another meter named
	delays []float64
}

// FraudAlarms is what the rules said of the series as they are.
type FraudAlarms struct {
	Sites      string         `json:"sites"`
	Half       string         `json:"half"`
	MeterWeeks float64        `json:"meter_weeks"` // main meters not counted
	Hard       int            `json:"hard"`        // of main meters too
	Soft       int            `json:"soft"`
	Codes      map[string]int `json:"codes"`
}

// FraudResult is what [Fraud] has measured.
type FraudResult struct {
	Found            float64 `json:"found"`               // the share of the hard kinds, in hourly series, that was found within 24 hours
	FalsePer1000Week float64 `json:"false_per_1000_week"` // alarms of the hard rules for 1,000 meters in a week, in the hourly series as they are
	FalseAlarms      int     `json:"false_alarms"`
	MeterWeeks       float64 `json:"meter_weeks"`
	SoftPer1000Week  float64 `json:"soft_per_1000_week"`
	HeldOut          float64 `json:"held_out"`       // Found, of half b
	HeldOutFalse     int     `json:"held_out_false"` // FalseAlarms, of half b

	Hard     []FraudKind   `json:"hard"`
	Apart    []FraudKind   `json:"apart"` // the hard kinds again, without a main meter
	Bypass   []FraudKind   `json:"bypass"`
	Leaks    []FraudKind   `json:"leaks"`
	Water    []FraudKind   `json:"water"`
	Controls []FraudKind   `json:"controls"` // no frauds: what is found of them is a false alarm
	Alarms   []FraudAlarms `json:"alarms"`

	Readings      int     `json:"readings"`
	USPerReading  float64 `json:"us_per_reading"` // CPU time, of the series as they are
	BytesPerMeter int     `json:"bytes_per_meter"`
	StateBytes    int     `json:"state_bytes"` // of a meter in a group, saved
}

// FraudSeeds and FraudLate are what docs/intelligence.md was measured with.
const (
	FraudSeeds = 8
	FraudLate  = time.Minute
)

// fraudSnapshot is after how many days a state is kept.
const fraudSnapshot = 7

// A fraudBench is a site with what the rules make of it as it is.
type fraudBench struct {
	site   *fraudSite
	group  *plausible.Group
	states [][]byte // every fraudSnapshot days
	clean  map[fraudSaid]bool
	all    []plausible.Finding
}

type fraudSaid struct {
	code  plausible.Code
	meter int
	at    lamppost.TimeMS
}

// Fraud puts frauds and faults into real series of meters and counts what the rules of plausibility find of them, and what they say of the
// series as they are.
func Fraud(ctx context.Context, o FraudOptions) (*FraudResult, error) {
	hourly, err := fraudHourly(o.Sets)
	if err != nil {
		return nil, err
	}
	water, err := fraudWater(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &FraudResult{}
	plan := newFraudPlan(r, hourly, water)
	done := int64(0)
	step := func(what string) error {
		if o.Progress != nil {
			o.Progress(done, plan.jobs(), what)
		}
		done++
		return ctx.Err()
	}
	for _, b := range plan.benches {
		if err := step(b.site.name); err != nil {
			return nil, err
		}
		b.site.keep(o.Behind)
		if err := r.observe(b, o.Late); err != nil {
			return nil, fmt.Errorf("judging %s: %w", b.site.name, err)
		}
	}
	for _, c := range plan.campaigns {
		if err := step(string(c.kind) + " in " + c.bench.site.name); err != nil {
			return nil, err
		}
		if err := c.run(uint64(max(1, o.Seeds))); err != nil {
			return nil, fmt.Errorf("putting %s into %s: %w", c.kind, c.bench.site.name, err)
		}
	}
	r.sum()
	return r, nil
}

// observe runs the rules over a site as it is, and keeps states on the way.
func (r *FraudResult) observe(b *fraudBench, late time.Duration) error {
	b.site.count(late)
	var err error
	if b.group, err = b.site.group(); err != nil {
		return err
	}
	b.clean = map[fraudSaid]bool{}
	run := fraudRun{site: b.site}
	each := b.site.days(fraudSnapshot)
	begin := cpuSeconds()
	for k := range b.site.steps() {
		if k%each == 0 {
			state, err := b.group.AppendBinary(nil)
			if err != nil {
				return err
			}
			b.states = append(b.states, state)
		}
		if err := run.step(b.group, k, func(f plausible.Finding) {
			b.all = append(b.all, f)
			b.clean[fraudSaid{f.Code, f.Meter, f.AtMS}] = true
		}); err != nil {
			return err
		}
	}
	r.USPerReading += cpuSeconds() - begin
	r.Alarms = append(r.Alarms, b.alarms())
	r.Readings += b.site.steps() * len(b.site.members())
	r.StateBytes = max(r.StateBytes, len(b.states[len(b.states)-1])/len(b.site.use))
	r.BytesPerMeter = max(r.BytesPerMeter, b.group.Bytes()/len(b.site.use))
	return nil
}

// step lets all members of the site report one after the other.
func (r *fraudRun) step(g *plausible.Group, k int, say func(plausible.Finding)) error {
	for i, m := range r.site.members() {
		for _, x := range r.delivered(i, m, k) {
			found, err := g.Observe(m, x)
			if err != nil {
				return err
			}
			for _, f := range found {
				if f.AtMS = r.site.at(k); f.Code != plausible.Late { // when it was said
					say(f)
				}
			}
		}
	}
	return nil
}

// delivered is what comes of a member at a step: nothing while it keeps its readings, then the latest, and then what it kept.
func (r *fraudRun) delivered(member, meter, k int) []plausible.Reading {
	if r.kept == nil {
		r.kept = make([][]plausible.Reading, len(r.site.members()))
	}
	kept := r.kept[member]
	all := r.readings(r.space[:0], meter, k)
	if r.site.keeps(member, k) {
		r.kept[member] = append(kept, all...)
		return nil
	}
	r.kept[member] = kept[:0]
	return append(all, kept...)
}

// try runs the rules over a site with an injection, and returns after how many hours it was found, below 0 for never, and who was named.
func (b *fraudBench) try(in *injection, soft bool) (hours float64, named int, err error) {
	each := b.site.days(fraudSnapshot)
	if err := b.group.UnmarshalBinary(b.states[in.from/each]); err != nil {
		return 0, 0, err
	}
	run := fraudRun{site: b.site, in: in}
	hours, named = -1, plausible.Unnamed
	for k := in.from / each * each; k < in.to; k++ {
		err := run.step(b.group, k, func(f plausible.Finding) {
			if k < in.from || b.clean[fraudSaid{f.Code, f.Meter, f.AtMS}] || !soft && !f.Code.Hard() {
				return
			}
			if f.Code == plausible.Unbalanced && f.Meter >= 0 && named == plausible.Unnamed {
				named = f.Meter
			}
			mine := f.Meter < 0 || f.Meter == in.meter || f.Code == plausible.Twin && f.Other == in.meter || f.Code == plausible.Unbalanced
			if mine && hours < 0 {
				hours = float64(f.AtMS-b.site.at(in.from))/float64(time.Hour.Milliseconds()) + float64(b.site.stepMS)/float64(time.Hour.Milliseconds())
			}
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return hours, named, nil
}

// sum makes the figures over all.
func (r *FraudResult) sum() {
	put, day := map[string]int{}, map[string]int{}
	for _, k := range r.Hard {
		put[k.Half], day[k.Half] = put[k.Half]+k.Put, day[k.Half]+k.Day
	}
	if all := put["a"] + put["b"]; all > 0 {
		r.Found = float64(day["a"]+day["b"]) / float64(all)
	}
	if put["b"] > 0 {
		r.HeldOut = float64(day["b"]) / float64(put["b"])
	}
	soft := 0
	for _, a := range r.Alarms {
		if slices.Contains(fraudCounted, a.Sites) {
			r.FalseAlarms, r.MeterWeeks, soft = r.FalseAlarms+a.Hard, r.MeterWeeks+a.MeterWeeks, soft+a.Soft
			if a.Half == "b" {
				r.HeldOutFalse += a.Hard
			}
		}
	}
	if r.MeterWeeks > 0 {
		r.FalsePer1000Week = 1000 * float64(r.FalseAlarms) / r.MeterWeeks
		r.SoftPer1000Week = 1000 * float64(soft) / r.MeterWeeks
	}
	r.USPerReading *= 1e6 / float64(max(1, r.Readings))
}
