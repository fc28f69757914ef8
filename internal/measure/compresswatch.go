package measure

import (
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/triage"
)

// A watch runs the detectors over what is read back, block by block, beside what they said of what came.
type watch struct {
	raw    []int // rows with an alarm in what came
	series *triage.Series
	told   []int // in what is read back
	rows   int   // before this block

	state          []byte // of the series, before this block
	before         int    // alarms told before this block
	size, tries    int    // rows of this block; bounds tried
	closer, untold int    // blocks
	failed         bool   // the last bound that was tried
}

// nearRows is how far an alarm in what is read back may be from one in what came.
const nearRows = 30

func newWatch(rows []compact.Row) *watch {
	return &watch{raw: alarmsIn(triage.NewSeries(), rows, 0), series: triage.NewSeries()}
}

// alarmsIn are the rows with an alarm, counted from from. What is late or a duplicate is refused, and is none.
func alarmsIn(s *triage.Series, rows []compact.Row, from int) (alarms []int) {
	for i, r := range rows {
		if v, err := s.Observe(triage.Sample{AtMS: r.AtMS, Value: r.Value}); err == nil && v.Alarm {
			alarms = append(alarms, from+i)
		}
	}
	return alarms
}

// begin is called before a block of so many rows.
func (w *watch) begin(rows int) {
	w.count()
	w.rows, w.size, w.tries, w.before, w.failed = w.rows+w.size, rows, 0, len(w.told), false
	w.state, _ = w.series.AppendBinary(w.state[:0]) // it has no error
}

// count counts a block that told something else with its last bound.
func (w *watch) count() {
	if w.failed {
		w.untold++
	}
}

// same tells whether each alarm of the block is told near its row in what is read back.
func (w *watch) same(back []compact.Reading) bool {
	if w.tries++; w.tries > 1 {
		if w.tries == 2 {
			w.closer++
		}
		if err := w.series.UnmarshalBinary(w.state); err != nil {
			panic("the state of a series does not load: " + err.Error())
		}
	}
	rows := make([]compact.Row, len(back))
	for i, r := range back {
		rows[i] = compact.Row{AtMS: r.AtMS, Value: r.Value}
	}
	w.told = append(w.told[:w.before], alarmsIn(w.series, rows, w.rows)...)
	w.failed = false
	for _, at := range w.raw {
		if at >= w.rows && at < w.rows+w.size && !near(w.told, at) {
			w.failed = true
		}
	}
	return !w.failed
}

// nearAlarm counts the rows of a series that the class decision keeps raw for an alarm's sake.
func (w *watch) nearAlarm(rows int) (n int) {
	next := 0 // the first alarm that is not before the row
	for row := range rows {
		for next < len(w.raw) && w.raw[next] < row {
			next++
		}
		c := compact.Case{Alarm: -1, After: compact.AroundAlarm} // all of it is over
		if next < len(w.raw) {
			c.Alarm = w.raw[next] - row
		}
		if next > 0 && (c.Alarm < 0 || row-w.raw[next-1] < c.Alarm) {
			c.Alarm = row - w.raw[next-1]
		}
		if class, _ := compact.Classify(c); class == compact.Raw {
			n++
		}
	}
	return n
}

func near(rows []int, at int) bool {
	for _, row := range rows {
		if row >= at-nearRows && row <= at+nearRows {
			return true
		}
	}
	return false
}

// found are the windows in which alarms stand, outside the probation.
func (f *nabFile) found(alarms []int) map[int]bool {
	found := map[int]bool{}
	for _, row := range alarms {
		if row < nabProbation(len(f.values)) {
			continue
		}
		if a := nabWorth(f.windows, row); a.window >= 0 {
			found[a.window] = true
		}
	}
	return found
}

// difference counts what is in one only.
func difference(was, now map[int]bool) (lost, gained int) {
	for w := range was {
		if !now[w] {
			lost++
		}
	}
	for w := range now {
		if !was[w] {
			gained++
		}
	}
	return lost, gained
}

func nabSeriesName(file string) string {
	return strings.TrimSuffix(filepath.Base(filepath.FromSlash(file)), ".csv") + " value"
}
