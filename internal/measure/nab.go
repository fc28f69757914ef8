package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
)

// NABOptions says where the data are.
type NABOptions struct {
	Sets string // folder of data sets; NAB's is nab in it

	Progress func(done, all int64, what string)
}

// A NABFolder is what the detector made of the files of one folder, at the level that is best for the standard profile over all files.
type NABFolder struct {
	Folder      string  `json:"folder"`
	Files       int     `json:"files"`
	Windows     int     `json:"windows"`
	Hit         int     `json:"windows_hit"`
	FalseAlarms int     `json:"false_alarms"`
	Standard    float64 `json:"standard"` // 0 where there is no window to find
	LowFP       float64 `json:"low_fp"`
	LowFN       float64 `json:"low_fn"`
}

// A NABHalf is one half of the files, by a hash of the name. Settings were chosen on half "a".
type NABHalf struct {
	Half     string  `json:"half"`
	Files    int     `json:"files"`
	Level    float64 `json:"level"`    // that is best for this half
	Standard float64 `json:"standard"` // with it
	Held     float64 `json:"held_out"` // at the level that is best for the other
	Shipped  float64 `json:"shipped"`  // at the level that the program has
}

// NABResult is what [NAB] has measured. Scores are normalised: 0 for silence, 100 for a perfect detector.
type NABResult struct {
	Files int `json:"files"`
	Rows  int `json:"rows"`

	// One level for all files, the best one for each profile, as NAB chooses it.
	Standard float64 `json:"standard"`
	LowFP    float64 `json:"low_fp"`
	LowFN    float64 `json:"low_fn"`

	// Profile standard where the level was chosen without the file that is scored: on the other half of the files, the mean of many
	// halvings and the least of them; on all the other files.
	TwoFold      float64 `json:"two_fold"`
	TwoFoldLeast float64 `json:"two_fold_least"`
	LeaveOneOut  float64 `json:"leave_one_out"`

	Level        float64    `json:"level"`         // that is best for the standard profile
	ShippedLevel float64    `json:"shipped_level"` // that the program has
	Shipped      [3]float64 `json:"shipped"`       // the three profiles with it

	Halves  []NABHalf   `json:"halves"`
	Folders []NABFolder `json:"folders"`

	Alarms  int     `json:"alarms"`  // at the shipped level, probation included
	Masked  float64 `json:"masked"`  // the share of them whose score is below the level without the reasons named
	Reasons float64 `json:"reasons"` // named for one, on the average

	// Causes are masked in the data and the whole detector runs over it. Replayed: the share of alarms whose score is below the shipped
	// level where the readings that the reasons name are those just before, again. Usual: the share whose score is below what it was
	// held against where all since the anomaly began, or since the first reading named, is as at the same time a day before. Quiet: and
	// what was put in their place raises no alarm of its own.
	Replayed float64 `json:"replayed"`
	Usual    float64 `json:"usual"`
	Quiet    float64 `json:"quiet"`

	Refused        int     `json:"refused"`          // rows that were late or a duplicate: scored 0
	USPerPoint     float64 `json:"us_per_point"`     // CPU time
	BytesPerSeries int     `json:"bytes_per_series"` // of memory; saved it is less
	StateBytes     int     `json:"state_bytes"`      // the largest that was saved
}

// nabHalvings are how many times the files are halved at random, always the same times.
const nabHalvings = 20

// NAB runs the detectors over the Numenta Anomaly Benchmark as they run in a node: causal, one setting, one level for all series.
func NAB(ctx context.Context, o NABOptions) (*NABResult, error) {
	files, err := nabCorpus(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &NABResult{Files: len(files), ShippedLevel: triage.DefaultLevel}
	scores := make([][]float64, len(files))
	for i := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(files)), files[i].name)
		}
		if scores[i], err = r.observe(&files[i]); err != nil {
			return nil, err
		}
	}
	r.USPerPoint *= 1e6 / float64(r.Rows)
	if r.Alarms > 0 {
		n := float64(r.Alarms)
		for _, sum := range []*float64{&r.Masked, &r.Reasons, &r.Replayed, &r.Usual, &r.Quiet} {
			*sum /= n
		}
	}
	r.judge(files, newNABLevels(files, scores))
	return r, nil
}

// observe returns the scores of a file's rows.
func (r *NABResult) observe(f *nabFile) ([]float64, error) {
	series, scores := triage.NewSeries(), make([]float64, len(f.values))
	var alarms []nabNamed
	before := cpuSeconds()
	for row := range f.values {
		v, err := series.Observe(f.sample(row))
		switch {
		case errors.Is(err, triage.ErrLate), errors.Is(err, triage.ErrDuplicate):
			r.Refused++
		case err != nil:
			return nil, fmt.Errorf("NAB's %s, row %d: %w", f.name, row, err)
		}
		scores[row] = v.Score
		if v.Alarm {
			r.Alarms, r.Reasons = r.Alarms+1, r.Reasons+float64(len(v.Reasons))
			if v.Without < triage.DefaultLevel {
				r.Masked++
			}
			alarms = append(alarms, f.named(row, v, series.Level()))
		}
	}
	r.USPerPoint += cpuSeconds() - before
	if err := r.mask(f, alarms); err != nil {
		return nil, err
	}
	r.Rows += len(f.values)
	state, err := series.AppendBinary(nil)
	r.StateBytes, r.BytesPerSeries = max(r.StateBytes, len(state)), series.Bytes()
	return scores, err
}

func (f *nabFile) sample(row int) triage.Sample {
	return triage.Sample{AtMS: lamppost.TimeMS(f.atMS[row]), Value: f.values[row]}
}

// nabLevels is the tally of each file at each level. The shipped level is the last.
type nabLevels struct {
	levels []float64
	files  [][]nabTally // by level
}

// Levels are tried from the first to the last, in steps.
const nabFirstLevel, nabLastLevel, nabLevelStep = 0.2, 2.5, 0.01

func newNABLevels(files []nabFile, scores [][]float64) *nabLevels {
	l := &nabLevels{}
	for i := range int(math.Round((nabLastLevel-nabFirstLevel)/nabLevelStep)) + 1 {
		l.levels = append(l.levels, nabFirstLevel+float64(i)*nabLevelStep)
	}
	l.levels = append(l.levels, triage.DefaultLevel)
	for _, level := range l.levels {
		tallies := make([]nabTally, len(files))
		for i, f := range files {
			alarm, rows := triage.NewAlarm(level), []int(nil)
			for row, score := range scores[i] {
				if alarm.Next(score) {
					rows = append(rows, row)
				}
			}
			tallies[i] = nabTallyOf(len(f.values), f.windows, rows)
		}
		l.files = append(l.files, tallies)
	}
	return l
}

func (l *nabLevels) shipped() int { return len(l.levels) - 1 }

// at is the tally of those files that are in, at a level.
func (l *nabLevels) at(level int, in func(file int) bool) (t nabTally) {
	for i, tally := range l.files[level] {
		if in(i) {
			t.add(tally)
		}
	}
	return t
}

// best is the level that is best for a profile over the files that are in.
func (l *nabLevels) best(p nabProfile, in func(file int) bool) (level int) {
	best := math.Inf(-1)
	for i := range l.shipped() {
		if got := l.at(i, in).score(p); got > best {
			best, level = got, i
		}
	}
	return level
}

// held is the profile standard where each group's level is the best one for all other files.
func (l *nabLevels) held(groups int, group func(file int) int) float64 {
	var t nabTally
	for g := range groups {
		level := l.best(nabProfiles[0], func(file int) bool { return group(file) != g })
		t.add(l.at(level, func(file int) bool { return group(file) == g }))
	}
	return t.normal(nabProfiles[0])
}

// twoFold is what the files make where each half has the other's level: the mean of many halvings, and the least of them.
func (l *nabLevels) twoFold(files int) (mean, least float64) {
	random := rand.New(rand.NewPCG(1, 2))
	least = math.Inf(1)
	for range nabHalvings {
		order := random.Perm(files)
		got := l.held(2, func(file int) int { return order[file] % 2 })
		mean, least = mean+got/nabHalvings, min(least, got)
	}
	return mean, least
}

func (r *NABResult) judge(files []nabFile, l *nabLevels) {
	all := func(int) bool { return true }
	for i, out := range []*float64{&r.Standard, &r.LowFP, &r.LowFN} {
		p := nabProfiles[i]
		*out = l.at(l.best(p, all), all).normal(p)
		r.Shipped[i] = l.at(l.shipped(), all).normal(p)
	}
	r.LeaveOneOut = l.held(len(files), func(file int) int { return file })
	r.TwoFold, r.TwoFoldLeast = l.twoFold(len(files))
	for i, half := range []string{"a", "b"} {
		in := func(file int) bool { return nabHalf(files[file].name) == i }
		out := func(file int) bool { return !in(file) }
		p := nabProfiles[0]
		level := l.best(p, in)
		h := NABHalf{Half: half, Level: l.levels[level], Standard: l.at(level, in).normal(p), Held: l.at(l.best(p, out), in).normal(p),
			Shipped: l.at(l.shipped(), in).normal(p)}
		for file := range files {
			if in(file) {
				h.Files++
			}
		}
		r.Halves = append(r.Halves, h)
	}
	level := l.best(nabProfiles[0], all)
	r.Level = l.levels[level]
	r.folders(files, l, level)
}

func (r *NABResult) folders(files []nabFile, l *nabLevels, level int) {
	for i := range files {
		name := files[i].folder()
		if slices.ContainsFunc(r.Folders, func(f NABFolder) bool { return f.Folder == name }) {
			continue
		}
		f := NABFolder{Folder: name}
		t := l.at(level, func(file int) bool { return files[file].folder() == name })
		for j := range files {
			if files[j].folder() == name {
				f.Files++
			}
		}
		f.Windows, f.Hit, f.FalseAlarms = t.Windows, t.Hit, t.False
		if t.Windows > 0 {
			f.Standard, f.LowFP, f.LowFN = t.normal(nabProfiles[0]), t.normal(nabProfiles[1]), t.normal(nabProfiles[2])
		}
		r.Folders = append(r.Folders, f)
	}
}
