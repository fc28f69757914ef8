package measure

import (
	"cmp"
	"math"
	"slices"
)

// A nabProfile is a matrix of costs of the Numenta Anomaly Benchmark. A true negative is worth nothing.
type nabProfile struct{ tp, fn, fp float64 }

// nabProfiles are those of NAB 1.1, config/profiles.json: standard, reward_low_FP_rate, reward_low_FN_rate.
var nabProfiles = [3]nabProfile{{1, 1, 0.11}, {1, 1, 0.22}, {1, 2, 0.11}}

// The part of a file that is not scored: detectors may learn from it.
const (
	nabProbationShare = 0.15
	nabProbationRows  = 750
)

func nabProbation(rows int) int { return min(int(nabProbationShare*float64(rows)), nabProbationRows) }

// A nabWindow is where an anomaly may be told, as rows: both ends are in it.
type nabWindow struct{ first, last int }

// sigmoid is NAB's scaledSigmoid (nab/sweeper.py): what a detection is worth at a place relative to a window, whose right end is 0
// and whose width is 1.
func sigmoid(place float64) float64 {
	if place > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*place)) - 1
}

// A nabAlarm is one detection, and what it is worth: in a window, only the best counts.
type nabAlarm struct {
	window int // in the file; -1: outside all
	worth  float64
}

// nabWorth tells what a detection in a row is worth. Windows are sorted.
func nabWorth(windows []nabWindow, row int) nabAlarm {
	previous := -1
	for i, w := range windows {
		width := float64(w.last - w.first + 1)
		switch {
		case row > w.last:
			previous = i
		case row >= w.first:
			return nabAlarm{window: i, worth: sigmoid(-float64(w.last-row+1)/width) / sigmoid(-1)}
		}
	}
	if previous < 0 {
		return nabAlarm{window: -1, worth: -1}
	}
	w := windows[previous]
	return nabAlarm{window: -1, worth: sigmoid(float64(row-w.last) / float64(w.last-w.first))}
}

// A nabTally is what alarms in one file or in many are worth.
type nabTally struct {
	Windows int // that end after the probation
	Hit     int
	False   int // alarms outside windows
	gain    float64
	loss    float64
}

func (t *nabTally) add(o nabTally) {
	t.Windows, t.Hit, t.False = t.Windows+o.Windows, t.Hit+o.Hit, t.False+o.False
	t.gain, t.loss = t.gain+o.gain, t.loss+o.loss
}

// score is NAB's before it is normalised: the sum of worths by a profile.
func (t nabTally) score(p nabProfile) float64 {
	return p.tp*t.gain + p.fp*t.loss - p.fn*float64(t.Windows-t.Hit)
}

// normal is the normalised score: 0 for silence, 100 for a perfect detector.
func (t nabTally) normal(p nabProfile) float64 {
	silence := -p.fn * float64(t.Windows)
	return 100 * (t.score(p) - silence) / (p.tp*float64(t.Windows) - silence)
}

// nabTallyOf scores the alarms of a file, given as sorted rows.
func nabTallyOf(rows int, windows []nabWindow, alarms []int) nabTally {
	from := nabProbation(rows)
	best := make([]float64, len(windows))
	t := nabTally{}
	for _, w := range windows {
		if w.last >= from {
			t.Windows++
		}
	}
	for _, row := range alarms {
		if row < from {
			continue
		}
		a := nabWorth(windows, row)
		if a.window < 0 {
			t.False, t.loss = t.False+1, t.loss+a.worth
			continue
		}
		if best[a.window] == 0 {
			t.Hit++
		}
		best[a.window] = max(best[a.window], a.worth)
	}
	for _, worth := range best {
		t.gain += worth
	}
	return t
}

// A nabScored is one row's score by a detector that has no alarms of its own.
type nabScored struct {
	score float64
	file  int
	nabAlarm
}

// nabSweep finds the threshold that is best for a profile over all files, as NAB does for detectors that only score rows, and
// returns the normalised score. A row at the threshold is detected.
func nabSweep(files []nabFile, scores [][]float64, p nabProfile) (best, threshold float64) {
	var all []nabScored
	total := nabTally{}
	hits := make([]map[int]float64, len(files))
	for f, file := range files {
		hits[f] = map[int]float64{}
		total.add(nabTallyOf(len(file.values), file.windows, nil))
		for row := nabProbation(len(file.values)); row < len(scores[f]); row++ {
			all = append(all, nabScored{scores[f][row], f, nabWorth(file.windows, row)})
		}
	}
	slices.SortFunc(all, func(a, b nabScored) int { return cmp.Compare(b.score, a.score) })
	best, threshold = total.normal(p), math.Inf(1)
	for i, row := range all {
		if row.window < 0 {
			total.False, total.loss = total.False+1, total.loss+row.worth
		} else {
			was, hit := hits[row.file][row.window]
			if !hit {
				total.Hit++
			}
			if row.worth > was {
				hits[row.file][row.window] = row.worth
				total.gain += row.worth - was
			}
		}
		if i+1 < len(all) && all[i+1].score == row.score {
			continue
		}
		if got := total.normal(p); got > best {
			best, threshold = got, row.score
		}
	}
	return best, threshold
}
