package device_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"pgregory.net/rapid"
)

const (
	minute lamppost.TimeMS = 60 * 1000
	day    lamppost.TimeMS = 24 * 60 * minute
	day0                   = 19_700 * day
)

// billed returns the register values of the billing reports that arrived, as edges, sorted by time, and how many
// reports there were.
func billed(t testing.TB, l *ledger) (values []lamppost.Reading, reports int) {
	for _, raw := range l.reports {
		var r lamppost.Report
		if err := r.Decode(raw); err != nil {
			t.Fatal(err)
		}
		if r.Billing() {
			reports++
			values = append(values, r.Readings...)
		}
	}
	slices.SortFunc(values, func(a, b lamppost.Reading) int { return int(a.Time - b.Time) })
	return values, reports
}

// TestBillingDay: a day with edges at 0:00, 6:00, 10:00 and 22:15 gives one report with the closest reading of each, the
// exact one where there is one, and none for an edge nobody read within a minute of.
func TestBillingDay(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l := newLedger()
	cfg.Sender = l
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Billing("energy", "Wh", func(start lamppost.TimeMS) []lamppost.TimeMS {
		return []lamppost.TimeMS{start + 6*60*minute, start + 10*60*minute, start + 22*60*minute + 15*minute, start + 7*minute}
	})
	if err != nil {
		t.Fatal(err)
	}
	observe := func(at lamppost.TimeMS, value int64) {
		t.Helper()
		if err := b.Observe(day0+at, lamppost.Dec(value, -1)); err != nil {
			t.Fatal(err)
		}
	}
	observe(-20_000, 5)                 // the edge at 0:00, from the day before
	observe(30_000, 7)                  // farther off: not taken
	observe(7*minute, 8)                // not a quarter hour
	observe(15*minute, 9)               // a quarter hour nobody asked for
	observe(6*60*minute-10_000, 10)     // 6:00
	observe(6*60*minute, 11)            // exactly
	observe(6*60*minute+1, 12)          // not any more
	observe(10*60*minute+minute+1, 13)  // too late for 10:00, which is left out
	observe(22*60*minute+15*minute, 14) // 22:15
	observe(day-1-minute, 15)           // still the same day
	if n := d.Stats().Queued; n != 0 {
		t.Fatalf("%d reports were queued before the day was over", n)
	}
	observe(day+5*minute, 16)
	observe(day+6*minute, 17)
	deliver(t, d)
	got, reports := billed(t, l)
	want := []lamppost.Reading{}
	for _, w := range []struct {
		at    lamppost.TimeMS
		value int64
	}{{-20_000, 5}, {6 * 60 * minute, 11}, {22*60*minute + 15*minute, 14}} {
		want = append(want, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: day0 + w.at, Value: lamppost.Dec(w.value, -1)})
	}
	if reports != 1 || !slices.Equal(got, want) {
		t.Errorf("got %d reports with %+v, want one with %+v", reports, got, want)
	}
}

// TestBillingFlush: Flush reports a day that is not over, and its edges are not reported again.
func TestBillingFlush(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l := newLedger()
	cfg.Sender = l
	disk := newMemDisk()
	d, err := device.OpenOn(cfg, disk)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // the second time after a restart
		b, err := d.Billing("energy", "Wh", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Observe(day0, lamppost.Dec(1, 0)), b.Flush(), b.Flush(), b.Observe(day0+5, lamppost.Dec(1, 0)), b.Flush()); err != nil {
			t.Fatal(err)
		}
		deliver(t, d)
		if got, reports := billed(t, l); reports != 1 || len(got) != 1 {
			t.Fatalf("round %d: got %d reports with %+v, want one of one edge", i, reports, got)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.Observe(day0+day, lamppost.Dec(2, 0)); !errors.Is(err, device.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
		if d, err = device.OpenOn(cfg, disk); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBillingQueueFull: a full queue delays a billing report and loses none of its edges.
func TestBillingQueueFull(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l := newLedger()
	cfg.MaxReports, cfg.Sender = 1, l
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Billing("energy", "Wh", nil)
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, 1)
	if err := b.Observe(day0, lamppost.Dec(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Observe(day0+day, lamppost.Dec(2, 0)); !errors.Is(err, device.ErrQueueFull) {
		t.Fatalf("got %v, want ErrQueueFull", err)
	}
	deliver(t, d)
	if err := b.Observe(day0+day+minute, lamppost.Dec(3, 0)); err != nil {
		t.Fatal(err)
	}
	deliver(t, d)
	if got, _ := billed(t, l); len(got) != 1 || got[0].Time != day0 {
		t.Errorf("got %+v, want the edge at the day's beginning", got)
	}
}

// TestBillingIsClosest: whatever readings come in whatever order within a day, restarts included, each edge is reported
// once, with a reading as close to it as any.
func TestBillingIsClosest(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	rapid.Check(t, func(r *rapid.T) {
		l := newLedger()
		cfg := cfg
		cfg.Sender = l
		disk := newMemDisk()
		best := make(map[lamppost.TimeMS]lamppost.TimeMS) // edge: least distance
		all := func(start lamppost.TimeMS) (edges []lamppost.TimeMS) {
			for e := start; e < start+day; e += lamppost.EdgeMS {
				edges = append(edges, e)
			}
			return edges
		}
		for _, times := range rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, int64(2*60*minute)), 1, 40), 1, 3).Draw(r, "times by life") {
			d, err := device.OpenOn(cfg, disk)
			if err != nil {
				r.Fatal(err)
			}
			b, err := d.Billing("energy", "Wh", all)
			if err != nil {
				r.Fatal(err)
			}
			for _, at := range times {
				at := day0 + lamppost.TimeMS(at)
				edge := (at + lamppost.EdgeMS/2) / lamppost.EdgeMS * lamppost.EdgeMS
				off := max(at-edge, edge-at)
				if old, ok := best[edge]; off <= lamppost.EdgeToleranceMS && (!ok || off < old) {
					best[edge] = off
				}
				if err := b.Observe(at, lamppost.Dec(int64(at), 0)); err != nil {
					r.Fatal(err)
				}
			}
			if err := d.Close(); err != nil {
				r.Fatal(err)
			}
		}
		d, err := device.OpenOn(cfg, disk)
		if err != nil {
			r.Fatal(err)
		}
		b, err := d.Billing("energy", "Wh", all)
		if err == nil {
			err = b.Observe(day0+day+5*minute, lamppost.Dec(0, 0))
		}
		if err != nil {
			r.Fatal(err)
		}
		deliver(t, d)
		got, _ := billed(t, l)
		if len(got) != len(best) {
			r.Fatalf("got %d edges, want %d", len(got), len(best))
		}
		for _, v := range got {
			edge := (v.Time + lamppost.EdgeMS/2) / lamppost.EdgeMS * lamppost.EdgeMS
			if off := max(v.Time-edge, edge-v.Time); off != best[edge] || v.Value.Mantissa != int64(v.Time) {
				r.Fatalf("edge %d: got the reading at %d ms from it, want one at %d", edge, off, best[edge])
			}
		}
	})
}

// TestBillingRefuses: values and names that could never be signed are refused at once.
func TestBillingRefuses(t *testing.T) {
	t.Parallel()
	d, err := device.OpenOn(testConfig(t), newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Billing("", "Wh", nil); err == nil {
		t.Error("a register without a name was taken")
	}
	b, err := d.Billing("energy", "Wh", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Billing("energy", "Wh", nil); err == nil {
		t.Error("a second billing of the same register was opened")
	}
	if err := b.Observe(day0, lamppost.Decimal{Mantissa: 1, Exponent: 3}); err == nil {
		t.Error("a value with exponent 3 was taken")
	}
	if err := b.Observe(1<<60, lamppost.Dec(1, 0)); err == nil {
		t.Error("a time in the far future was taken")
	}
	if err := b.Observe(day0, lamppost.Dec(1, 0)); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}
