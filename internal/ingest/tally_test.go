package ingest

import (
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
)

func report(at lamppost.TimeMS, names ...string) *lamppost.Report {
	r := &lamppost.Report{TimeQuality: lamppost.TimeSynchronised}
	for _, name := range names {
		r.Readings = append(r.Readings, lamppost.Reading{Name: name, Time: at, Value: lamppost.Dec(7, 0)})
	}
	return r
}

func (t *Tally) see(r *lamppost.Report, code lamppost.Code) {
	s := t.look(r)
	t.decided(&s, 100, len(r.Readings), code)
}

// TestTally: reports are counted by what became of them; sets of names are told apart whatever their order and however often a name comes;
// what was taken is not counted again.
func TestTally(t *testing.T) {
	t.Parallel()
	tally := new(Tally)
	if _, some := tally.Take(); some {
		t.Error("something was counted before anything came")
	}
	for range 2 {
		tally.see(report(5000, "energy", "power"), lamppost.CodeOK)
		tally.see(report(1000, "power", "energy", "energy", "power"), lamppost.CodeDuplicate)
		tally.see(report(9000, "door"), lamppost.CodeOK)
		tally.see(report(20_000, "late"), lamppost.CodeTooOld)
		tally.see(report(20_000, "full"), lamppost.CodeBusy)
		tally.see(report(20_000, "held"), lamppost.CodeQuarantined)
		tally.bad()
		tally.unheard()
		tally.Forbid("lp/other/report")
		tally.Forbid("")
		tally.Connect(false)
		tally.Connect(true)
		c, some := tally.Take()
		got := fmt.Sprint(some, c.Reports, c.Repeated, c.Refused, c.Bad, c.Unheard, c.Forbidden, c.Connects, c.Taken, c.Readings, c.Bytes, c.Largest, c.From, c.To, c.Sets,
			c.Names[0].List, c.Names[1].List, c.Topic)
		if want := "true 3 1 1 1 1 2 2 1 7 300 100 1000 9000 2energy powerdoorlp/other/report"; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
	}
	for i := range 10 {
		tally.see(report(1, fmt.Sprint("n", i)), lamppost.CodeOK)
	}
	if c, _ := tally.Take(); c.Sets != maxNameSets || c.Reports != 10 {
		t.Errorf("%+v", c)
	}
	tally.see(report(1, lamppost.DesiredName, lamppost.DesiredName+".level"), lamppost.CodeOK) // is asked of it, and no habit
	if c, _ := tally.Take(); c.Sets != 0 || c.Reports != 1 {
		t.Errorf("an acknowledgement counts as %+v", c)
	}
	var none *Tally // counts nothing, and does no harm
	none.see(report(1, "energy"), lamppost.CodeOK)
	none.Forbid("x")
	none.Connect(true)
	none.bad()
	none.unheard()
}

// TestTallyOfOthers: where others may have sent what comes, only what the device alone can have signed counts, once.
func TestTallyOfOthers(t *testing.T) {
	t.Parallel()
	doors := Origins{Tallies: true, Others: true}
	tally := doors.Of("d").Tally
	tally.see(report(5000, "energy"), lamppost.CodeOK)
	for _, code := range []lamppost.Code{lamppost.CodeDuplicate, lamppost.CodeTooOld, lamppost.CodeReused, lamppost.CodeAhead} {
		tally.see(report(9000, "door"), code)
	}
	tally.bad()
	tally.unheard()
	tally.Forbid("")
	tally.Connect(true)
	c, _ := tally.Take()
	if c.Reports != 1 || c.Sets != 1 || c.To != 5000 || c.Repeated+c.Refused+c.Bad+c.Unheard+c.Forbidden+c.Connects+c.Taken != 0 {
		t.Errorf("counted %+v", c)
	}
}

// TestTallyFirmware: only the newest report that was accepted for the first time says what runs, only where a device signed it itself, and
// an older one that comes late says nothing.
func TestTallyFirmware(t *testing.T) {
	t.Parallel()
	tally := new(Tally)
	said := func(at lamppost.TimeMS, value int64, code lamppost.Code, flags uint32) uint64 {
		r := report(at, lamppost.FirmwareName)
		r.Readings[0].Value, r.Flags = lamppost.Dec(value, 0), flags
		tally.see(r, code)
		tally.Connect(false)
		c, _ := tally.Take()
		return c.Firmware
	}
	for i, c := range []struct {
		at    lamppost.TimeMS
		value int64
		code  lamppost.Code
		flags uint32
		want  uint64
	}{
		{10, 5, lamppost.CodeOK, 0, 5},
		{20, 6, lamppost.CodeDuplicate, 0, 0},
		{20, 6, lamppost.CodeQuarantined, 0, 0},
		{20, 6, lamppost.CodeOK, lamppost.FlagWrapped, 0},
		{9, 6, lamppost.CodeOK, 0, 0},
		{20, -6, lamppost.CodeOK, 0, 0},
		{20, 6, lamppost.CodeOK, 0, 6},
	} {
		if got := said(c.at, c.value, c.code, c.flags); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
}

// TestTallyAllocates: nothing, for a report like those before it.
func TestTallyAllocates(t *testing.T) {
	tally, r := new(Tally), report(5000, "energy", "power")
	tally.see(r, lamppost.CodeOK)
	if n := testing.AllocsPerRun(100, func() { tally.see(r, lamppost.CodeOK); tally.Take() }); n > 0 {
		t.Errorf("%v allocations a report", n)
	}
}

func BenchmarkTally(b *testing.B) {
	for _, readings := range []int{1, 2, 10} {
		b.Run(fmt.Sprintf("readings=%d", readings), func(b *testing.B) {
			names := make([]string, readings)
			for i := range names {
				names[i] = fmt.Sprintf("energy.%d", i)
			}
			tally, r := new(Tally), report(5000, names...)
			b.ReportAllocs()
			for b.Loop() {
				tally.see(r, lamppost.CodeOK)
			}
		})
	}
}
