package measure

import (
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/triage"
)

// alarmsIn are the rows with an alarm. What is late or a duplicate is refused, and is none.
func alarmsIn(rows []compact.Row) (alarms []int) {
	w := triage.Watcher{Series: triage.NewSeries()}
	for i, r := range rows {
		if w.Alarm(r.AtMS, r.Value) {
			alarms = append(alarms, i)
		}
	}
	return alarms
}

// nearAlarm counts the rows of a series that the class decision keeps raw for the sake of alarms in these rows.
func nearAlarm(alarms []int, rows int) (n int) {
	next := 0 // the first alarm that is not before the row
	for row := range rows {
		for next < len(alarms) && alarms[next] < row {
			next++
		}
		c := compact.Case{Alarm: -1, After: compact.AroundAlarm} // all of it is over
		if next < len(alarms) {
			c.Alarm = alarms[next] - row
		}
		if next > 0 && (c.Alarm < 0 || row-alarms[next-1] < c.Alarm) {
			c.Alarm = row - alarms[next-1]
		}
		if class, _ := compact.Classify(c); class == compact.Raw {
			n++
		}
	}
	return n
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
