package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A world is everything about a scenario that does not depend on its running.
type world struct {
	span       string // how long it lasts, in words that begin a sentence
	from, to   lamppost.TimeMS
	zone       tariff.Zone
	parties    []lamppost.PartyBody
	machines   []machineSpec
	points     []lamppost.PointBody
	tariffs    []*tariff.Tariff
	agreements []lamppost.AgreementBody
	agents     []lamppost.AgentBody
}

func (w *world) size() string {
	what, n := "agreements", len(w.agreements)
	if n == 0 {
		what, n = "metering points", len(w.points)
	}
	return fmt.Sprintf("%d devices, %d parties and %d %s", len(w.machines), len(w.parties), n, what)
}

func (w *world) nameOf(id lamppost.PartyID) string {
	for i := range w.parties {
		if w.parties[i].ID == id {
			return w.parties[i].Name
		}
	}
	return string(id)
}

// local writes a time on the world's clock.
func (w *world) local(t lamppost.TimeMS, layout string) string { return local(&w.zone, t, layout) }

func local(z *tariff.Zone, t lamppost.TimeMS, layout string) string {
	return time.UnixMilli(int64(t)).In(time.FixedZone("", z.OffsetAt(t)*60)).Format(layout)
}

// A machineSpec is a device and what it measures.
type machineSpec struct {
	id        lamppost.DeviceID
	owner     lamppost.PartyID
	name      string
	site      string // what it stands in
	place     string // where in it, as a bill says it
	safety    lamppost.SafetyClass
	model     model
	registers []registerSpec

	from, to lamppost.TimeMS   // in which it hangs; 0: from the begin, or to the end
	next     lamppost.DeviceID // that comes in its place
}

// on reports whether the machine hangs there on a UTC day.
func (m *machineSpec) on(day lamppost.TimeMS) bool {
	return m.from < day+utcDayMS && (m.to == 0 || m.to >= day)
}

// A registerSpec is a register that bills are made from.
type registerSpec struct {
	name, unit string
	edges      []lamppost.TimeMS // at which it must be known, ascending
}

// A model is a simulated machine. Read is called with rising times, one quarter hour after the other, by one goroutine.
type model interface {
	read(t lamppost.TimeMS) []lamppost.Reading // registers first
	heldUp() int                               // in how many quarter hours the guard held its level up
}

// of returns the edges of one UTC day.
func (r *registerSpec) of(dayStart lamppost.TimeMS) []lamppost.TimeMS {
	from, _ := slices.BinarySearch(r.edges, dayStart)
	to, _ := slices.BinarySearch(r.edges, dayStart+utcDayMS)
	return r.edges[from:to]
}

// billed reports whether the register's value at a quarter hour goes into a billing report.
func (r *registerSpec) billed(at lamppost.TimeMS) bool {
	_, wanted := slices.BinarySearch(r.edges, at)
	return wanted || at%utcDayMS == 0
}

const utcDayMS = 24 * hourMS
