package measure

import (
	"context"
	"slices"

	"github.com/lamppost/lamppost/internal/triage/joint"
)

// A SKABRun is what was found in one run of the rig.
type SKABRun struct {
	Run         string  `json:"run"`
	Half        string  `json:"half"` // settings were chosen on a: even numbers
	F1          float64 `json:"f1"`
	Found       bool    `json:"found"`      // a score reached the level while the valve was closed
	Delay       int     `json:"delay_rows"` // until then; all of them where it was not
	FalseAlarms int     `json:"false_alarms"`
	AlarmSays   string  `json:"alarm_says"` // the weightiest reason of the first alarm while the valve was closed
}

// SKABResult is what [SKAB] has measured, by rows after the first 400 of each run, all runs together.
type SKABResult struct {
	Runs int `json:"runs"`
	Rows int `json:"rows"` // that count

	Level     float64 `json:"level"` // the program's
	OutlierF1 float64 `json:"outlier_f1"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	FAR       float64 `json:"far"` // the share of usual rows that are flagged
	MAR       float64 `json:"mar"` // the share of others that are not
	HalfA     float64 `json:"outlier_f1_a"`
	HalfB     float64 `json:"outlier_f1_b"`

	// With the level that is best for half a: on all runs, and on half b, which had no say.
	BestLevel float64 `json:"best_level_a"`
	Best      float64 `json:"outlier_f1_best_a"`
	HeldOut   float64 `json:"outlier_f1_held_out"`
	AllBad    float64 `json:"outlier_f1_all_flagged"` // what flagging every row would make

	Each []SKABRun `json:"each"`

	USPerRow   float64 `json:"us_per_row"` // CPU time
	Bytes      int     `json:"bytes"`      // of memory
	StateBytes int     `json:"state_bytes"`
}

// SKAB runs the joint model over the Skoltech Anomaly Benchmark's runs with valve 1 (Katser and Kozitsin, 2020): each begins with a new
// vector, of which the first 400 rows do not count, as its authors train on them.
func SKAB(ctx context.Context, o JointOptions) (*SKABResult, error) {
	runs, err := skabSet(o.Sets)
	if err != nil {
		return nil, err
	}
	var cost jointCost
	said := make([][]jointVerdict, len(runs))
	for i, run := range runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o.progress(i, len(runs), "run "+run.name)
		if said[i], err = run.observe(&cost); err != nil {
			return nil, err
		}
	}
	r := &SKABResult{Runs: len(runs), Level: joint.DefaultLevel, USPerRow: cost.usPerRow(), Bytes: cost.bytes, StateBytes: cost.state}
	r.mark(runs, said)
	return r, nil
}

func (r *SKABResult) mark(runs []*jointRun, said [][]jointVerdict) {
	all := skabCount(runs, said, r.Level, 0, 1)
	r.Rows = all.hit + all.false + all.missed + all.quiet
	r.OutlierF1, r.Precision, r.Recall, r.FAR, r.MAR = all.f1(), all.precision(), all.recall(), 1-all.quietly(), 1-all.recall()
	r.HalfA, r.HalfB = skabCount(runs, said, r.Level, 0, 2).f1(), skabCount(runs, said, r.Level, 1, 2).f1()
	best := 0.0
	for _, level := range skabLevels(said) {
		if f1 := skabCount(runs, said, level, 0, 2).f1(); f1 > best {
			best, r.BestLevel = f1, level
		}
	}
	r.Best, r.HeldOut = skabCount(runs, said, r.BestLevel, 0, 1).f1(), skabCount(runs, said, r.BestLevel, 1, 2).f1()
	r.AllBad = skabCount(runs, said, 0, 0, 1).f1()
	for i, run := range runs {
		r.Each = append(r.Each, r.run(run, said[i], i))
	}
}

// skabCount counts the rows of every step-th run, from one on.
func skabCount(runs []*jointRun, said [][]jointVerdict, level float64, from, step int) jointCount {
	var c jointCount
	for i := from; i < len(runs); i += step {
		for row := runs[i].train; row < len(said[i]); row++ {
			c.add(runs[i].bad[row], said[i][row].score >= level)
		}
	}
	return c
}

// skabLevels are 200 levels, each with as many scores above the one before.
func skabLevels(said [][]jointVerdict) []float64 {
	var scores, levels []float64
	for _, run := range said {
		for _, v := range run[skabTraining:] {
			scores = append(scores, v.score)
		}
	}
	slices.Sort(scores)
	for i := range 200 {
		levels = append(levels, scores[i*len(scores)/200])
	}
	return levels
}

func (r *SKABResult) run(run *jointRun, said []jointVerdict, number int) SKABRun {
	x := SKABRun{Run: run.name, Half: string("ab"[number%2])}
	var c jointCount
	for row := run.train; row < len(said); row++ {
		v := said[row]
		c.add(run.bad[row], v.score >= r.Level)
		switch {
		case !run.bad[row] && v.alarm:
			x.FalseAlarms++
		case run.bad[row] && v.score >= r.Level:
			x.Found = true
		case run.bad[row] && !x.Found:
			x.Delay++
		}
		if run.bad[row] && v.alarm && x.AlarmSays == "" {
			x.AlarmSays = v.why
		}
	}
	x.F1 = c.f1()
	return x
}
