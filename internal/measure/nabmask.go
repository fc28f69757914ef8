package measure

import (
	"sort"

	"github.com/lamppost/lamppost/internal/triage"
)

// A nabNamed is an alarm and what it names.
type nabNamed struct {
	row      int
	readings int     // of the longest quantity among the reasons, the latest included
	since    int     // the row that everything named begins with
	level    float64 // that the score was held against
}

func (f *nabFile) named(row int, v triage.Verdict, level float64) nabNamed {
	a, since := nabNamed{row: row, level: level}, v.Since
	for _, reason := range v.Reasons {
		a.readings, since = max(a.readings, reason.Readings), min(since, reason.SinceMS)
	}
	a.since = sort.Search(row, func(r int) bool { return f.atMS[r] >= int64(since) })
	return a
}

// nabStateRows is how many rows are between two states that replays begin at.
const nabStateRows = 100

// mask counts the alarms that are none where what they name had been usual.
func (r *NABResult) mask(f *nabFile, alarms []nabNamed) error {
	series, states := triage.NewSeries(), [][]byte(nil) // before rows that are multiples of nabStateRows
	for row := 0; len(alarms) > 0 && row <= alarms[len(alarms)-1].row; row++ {
		if row%nabStateRows == 0 {
			state, err := series.AppendBinary(nil)
			if err != nil {
				return err
			}
			states = append(states, state)
		}
		_, _ = series.Observe(f.sample(row)) // what is refused was counted
	}
	for _, a := range alarms {
		begin := a.row - a.readings + 1
		score, _, err := f.replay(states, begin, a.row, func(row int) float64 { return f.values[max(0, row-a.readings)] })
		if err != nil {
			return err
		}
		if score < triage.DefaultLevel {
			r.Replayed++
		}
		begin = min(begin, a.since)
		score, alarm, err := f.replay(states, begin, a.row, func(row int) float64 { return f.usual(begin, a.row, row) })
		if err != nil {
			return err
		}
		if score < a.level {
			r.Usual++
			if !alarm {
				r.Quiet++
			}
		}
	}
	return nil
}

// replay returns the score of the last row where those from begin on have other values, and whether any of them is an alarm then.
func (f *nabFile) replay(states [][]byte, begin, last int, value func(row int) float64) (score float64, alarm bool, err error) {
	series, from := triage.NewSeries(), begin/nabStateRows
	if err := series.UnmarshalBinary(states[from]); err != nil {
		return 0, false, err
	}
	for row := from * nabStateRows; row <= last; row++ {
		x := f.sample(row)
		if row >= begin {
			x.Value = value(row)
		}
		v, _ := series.Observe(x)
		score, alarm = v.Score, alarm || v.Alarm && row >= begin
	}
	return score, alarm, nil
}

// usual is the value at the same time of the latest day before the row begin, of a week; where there is none, that of the readings just before.
func (f *nabFile) usual(begin, last, row int) float64 {
	const msPerHour, msPerDay = 3_600_000, 24 * 3_600_000
	for days := int64(1); days <= 7; days++ {
		at := f.atMS[row] - days*msPerDay
		i := sort.Search(begin, func(r int) bool { return f.atMS[r] > at }) - 1
		if i >= 0 && at-f.atMS[i] < 2*msPerHour {
			return f.values[i]
		}
	}
	return f.values[max(0, row-(last-begin+1))]
}
