package pilot_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

// A plumbing is a house with a valve behind its water meter. Its hours of use are alike every day; what leaks runs as long as the valve is open.
type plumbing struct {
	*world
	open bool
	leak int64 // L/h
}

func newPlumbing(t *testing.T, damage int64) *plumbing {
	h := &plumbing{world: newWorld(t), open: true}
	h.device("valve", lamppost.Ordinary)
	h.device("meter", lamppost.Ordinary)
	h.must(lamppost.TxAgent, lamppost.AgentBody{Device: "valve", Kind: lamppost.AgentValve, Mode: lamppost.AgentBounded, Member: "m1", Currency: "EUR",
		Inputs: []lamppost.AgentInput{{Name: "use", Device: "meter", Reading: "use"}, {Name: "valve", Device: "valve", Reading: "valve"}},
		Rules:  []lamppost.AgentRule{{Name: "damage", Value: lamppost.Dec(damage, 0)}}})
	return h
}

// wanted is in L/h.
func (h *plumbing) wanted() int64 {
	return [24]int64{2, 0, 0, 0, 0, 4, 30, 40, 20, 10, 8, 8, 12, 10, 6, 6, 8, 14, 30, 24, 16, 10, 6, 4}[int64(h.now)/3600_000%24]
}

func (h *plumbing) hours(n int) { h.t.Helper(); h.pass(60 * n) }

func (h *plumbing) pass(minutes int) {
	h.t.Helper()
	h.minutes(minutes, func() {
		for _, c := range h.told {
			h.open = c.Action == nil || c.Action.Value.Mantissa > 0
		}
		h.world.told = nil
		flow, shown := int64(0), int64(0)
		if h.open {
			flow, shown = h.wanted()+h.leak, 100
		}
		h.says("meter", "use", "L/h", flow)
		h.says("valve", "valve", "%", shown)
	})
}

// verdict says that water leaks since an hour ago.
func (h *plumbing) verdict() lamppost.VerdictID {
	v := lamppost.Verdict{Kind: lamppost.Anomaly, Device: "meter", Name: "use", Unit: "L/h", Since: h.now - 3600_000, At: h.now, Height: h.height,
		Reasons: []lamppost.VerdictReason{{Code: "never_off"}}}
	h.must(lamppost.TxVerdicts, lamppost.VerdictsBody{Model: agent.Model(), Through: h.height, Verdicts: []lamppost.Verdict{v}})
	return lamppost.VerdictID{Height: h.height}
}

// account adds up what decisions from a time on came to, and what was expected of them; each replays and comes to the same again.
func (h *plumbing) account(from lamppost.TimeMS) (gain, expected lamppost.Micro, closed lamppost.TimeMS) {
	for _, d := range h.decisions("valve") {
		if d.Body.At < from {
			break
		}
		h.replays(&d)
		if o := d.Outcome; o != nil {
			gain, expected = gain+o.Gain, expected+o.Expected
			if d.Body.Action.Value.Mantissa == 0 {
				closed += o.Until - d.Body.At
			}
		}
	}
	return gain, expected, closed
}

// A valve that closes on a leak stays closed, though its meter shows nothing then, until a person says that it is mended; its outcomes add up to the water and the
// damage that it saved, less the water that was wanted, and what was expected to that a leak is as sure as the verdict said. One that closed on nothing books
// back what it thought to have saved when a person says so, and the water that did not come is a loss.
func TestValveOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		leak      int64
		damage    int64 // EUR an hour
		before    int   // minutes that it runs before the verdict
		answer    lamppost.ReviewAnswer
		gain, exp [2]lamppost.Micro // at least, at most
	}{
		// 12 hours from two o'clock on: 3 EUR damage and 0.04 EUR of water an hour, less 10 EUR for a m³ of what is wanted: 142 L, and of what leaked before the
		// verdict, as far as the forecast took it for use
		{"a leak that is mended", 20, 3, 60, lamppost.ReviewWrong, [2]lamppost.Micro{33_000_000, 35_200_000}, [2]lamppost.Micro{25_700_000, 27_900_000}},
		{"nothing leaked", 0, 3, 60, lamppost.ReviewNormal, [2]lamppost.Micro{-1_500_000, -1_350_000}, [2]lamppost.Micro{27_000_000, 28_000_000}},
		// 0.60 EUR of water an hour and nothing else, seen in its first minutes: it is the meter alone that says how much it was
		{"a burst that costs water alone", 300, 0, 2, lamppost.ReviewValid, [2]lamppost.Micro{5_000_000, 6_500_000}, [2]lamppost.Micro{3_500_000, 5_000_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newPlumbing(t, c.damage)
			h.hours(int((24 - int64(h.now)/3600_000%24) + 6*24 + 1)) // to one o'clock of a night
			h.leak = c.leak
			h.pass(c.before)
			from := h.now
			id := h.verdict()
			h.hours(12)
			if h.open {
				t.Fatalf("it is open: %+v", h.decisions("valve")[0].Body)
			}
			h.leak = 0
			h.must(lamppost.TxReview, lamppost.ReviewBody{Verdict: id, Answer: c.answer, Reason: "looked at"})
			h.hours(3)
			if !h.open {
				t.Fatal("it is closed after the answer")
			}
			gain, expected, closed := h.account(from)
			t.Logf("gain %s, expected %s, closed %d min", gain, expected, closed/60_000)
			if gain < c.gain[0] || gain > c.gain[1] || expected < c.exp[0] || expected > c.exp[1] || closed < 12*3600_000 || closed > 12*3600_000+180_000 {
				t.Errorf("it came to %s, expected %s, closed for %d minutes", gain, expected, closed/60_000)
			}
		})
	}
}

// closedHour is a closed valve's hour: 100 L/h leak, nine of ten sure, at 2.00 a m³ and 1.00 of damage; 20 L/h are wanted, at 10.00.
func closedHour() (*agent.Inputs, *lamppost.Decision, *pilot.Data) {
	in := &agent.Inputs{Device: "valve", Kind: lamppost.AgentValve, At: 1, Step: 900_000, Valve: &agent.Valve{Leak: &agent.Leak{Flow: 100_000, Sure: 900},
		Price: 2_000_000, Damage: 1_000_000, Worth: 10_000_000},
		Forecasts: []agent.Forecast{{Name: "use", Usable: true, Points: []agent.Point{{Mean: 20_000}}}}}
	d := &lamppost.Decision{Device: "valve", Kind: lamppost.AgentValve, At: 1, Mode: lamppost.AgentBounded, Action: lamppost.Action{Name: "valve", Unit: "%"}}
	return in, d, &pilot.Data{Until: 3600_001, Samples: []pilot.Sample{{At: 3600_001, For: 3600_000}}}
}

// Outcomes of an hour, case by case.
func TestValveHour(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change                func(*agent.Inputs, *lamppost.Decision, *pilot.Data)
		gain, expected, saved lamppost.Micro
	}{
		"closed on a leak": {func(*agent.Inputs, *lamppost.Decision, *pilot.Data) {}, 1_000_000, 880_000, 1_200_000},
		"open":             {func(_ *agent.Inputs, d *lamppost.Decision, _ *pilot.Data) { d.Action.Value = lamppost.Dec(1000, -1) }, 0, 0, 0},
		"told to close, but open": {func(_ *agent.Inputs, _ *lamppost.Decision, x *pilot.Data) {
			x.Samples[0].Known, x.Samples[0].Actual = pilot.KnowsCharger, 1000
		}, 0, 880_000, 0},
		"a vacant place": {func(in *agent.Inputs, _ *lamppost.Decision, _ *pilot.Data) { in.Valve.Vacant = true }, 0, 0, 0},
		"nothing leaked": {func(_ *agent.Inputs, _ *lamppost.Decision, x *pilot.Data) { x.Dismissed = true }, -200_000, 880_000, 0},
		"nor in the hours before": {func(_ *agent.Inputs, _ *lamppost.Decision, x *pilot.Data) {
			x.Dismissed, x.Start.Saved = true, 5_000_000
		}, -5_200_000, 880_000, 0},
		"a longer leak, each hour": {func(_ *agent.Inputs, _ *lamppost.Decision, x *pilot.Data) { x.Start.Saved = 5_000_000 }, 1_000_000, 880_000, 6_200_000},
	} {
		in, d, data := closedHour()
		c.change(in, d, data)
		if o := pilot.Realise(in, d, data); o.Gain != c.gain || o.Expected != c.expected || o.End.Saved != c.saved || o.Measured != 1000 {
			t.Errorf("%s: %+v, want %s, expected %s, saved %s", name, o, c.gain, c.expected, c.saved)
		}
	}
}

// Of a charger, what was spent is what its meter counted at each hour's price, to a Micro, in whatever pieces it was seen; at one price there is nothing to gain or
// lose against charging at once, and what is drawn after a price fell gains the difference.
func TestChargerOutcomes(t *testing.T) {
	t.Parallel()
	for _, pieces := range []int64{1, 7, 60, 450} {
		for _, later := range []int64{310_007, 150_003} {
			in := &agent.Inputs{Device: "car", Kind: lamppost.AgentCharger, At: 1, Step: 900_000, Charger: &agent.Charger{Limit: 11_000,
				Sessions: []agent.Session{{Device: "car", Need: 7000, Departs: 4 * 3600_000, Most: 7000}}}}
			d := &lamppost.Decision{Device: "car", Kind: lamppost.AgentCharger, At: 1, Mode: lamppost.AgentBounded}
			data := &pilot.Data{Until: 7200_001}
			counted := int64(0) // mWh
			for i := range 2 * pieces {
				s := pilot.Sample{At: 1 + lamppost.TimeMS((i+1)*3600_000/pieces), Known: pilot.KnowsCharger, Price: 310_007}
				s.For = s.At - 1 - lamppost.TimeMS(i*3600_000/pieces)
				if i >= pieces { // the vehicle waits for an hour, and takes all then
					s.Price, s.Actual = later, 7000
					counted += s.Actual * int64(s.For) / 3600
				}
				data.Samples = append(data.Samples, s)
			}
			o := pilot.Realise(in, d, data)
			spent := lamppost.Micro(counted * later / 1_000_000)
			gain := lamppost.Micro(counted * (310_007 - later) / 1_000_000)
			if off := o.Spent - spent; off < -1 || off > 1 || o.End.Own != counted {
				t.Errorf("%d pieces at %d: spent %s, its meter says %s for %d mWh of %d", pieces, later, o.Spent, spent, counted, o.End.Own)
			}
			// what is rounded off each piece comes at the later price by the safe rule, too
			if off := o.Gain - gain; off < -lamppost.Micro(1+pieces/8) || off > 1 || later == 310_007 && o.Gain != 0 {
				t.Errorf("%d pieces at %d: gained %s, want %s", pieces, later, o.Gain, gain)
			}
		}
	}
}
