package measure

import (
	"cmp"
	"context"
	"slices"

	"github.com/lamppost/lamppost/internal/triage/behave"
)

// NSLKDDOptions says where the data are.
type NSLKDDOptions struct {
	Sets string // folder of data sets; NSL-KDD is nsl-kdd in it

	Progress func(done, all int64, what string)
}

// An NSLKDDClass is what the model made of attacks of one class in the test file.
type NSLKDDClass struct {
	Class   string  `json:"class"`
	Records int     `json:"records"`
	AUC     float64 `json:"auc"`   // against all normal records
	Found   float64 `json:"found"` // share of them at or above the level
}

// NSLKDDResult is what [NSLKDD] has measured. AUC is the chance that an attack scores above a normal record.
type NSLKDDResult struct {
	Training string `json:"training"` // the file that was learnt from
	Learnt   int    `json:"learnt"`   // its normal records
	Tested   int    `json:"tested"`   // records of KDDTest+

	AUC      float64 `json:"auc"`
	Accuracy float64 `json:"accuracy"` // share of records on their side of the level
	Caught   float64 `json:"caught"`   // share of attacks at or above the level
	False    float64 `json:"false"`    // share of normal records there

	Level  float64 `json:"level"`    // that a twentieth of the normal records reaches which were held back in training
	HeldUp float64 `json:"held_auc"` // by it settings were chosen: half of the training file's normal records learnt, all else tested

	// KDDTest-21, the records of the test that most of 21 classifiers got wrong; 0 where the file is not there.
	Hard float64 `json:"auc_test21"`

	Classes []NSLKDDClass `json:"classes"`

	Features      int     `json:"features"`        // of a record
	FeaturesPerUS float64 `json:"features_per_us"` // CPU time
}

// nslFalse is the share of held-back normal records that the level lets alarm.
const nslFalse = 0.05

// NSLKDD learns the normal records of NSL-KDD's training file with the model that judges devices, as their kin, and scores the test file.
// No label of an attack is used.
func NSLKDD(ctx context.Context, o NSLKDDOptions) (*NSLKDDResult, error) {
	progress := o.Progress
	if progress == nil {
		progress = func(int64, int64, string) {}
	}
	progress(0, 3, "reading")
	set, err := readNSL(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &NSLKDDResult{Training: set.training, Tested: len(set.test), Features: len(set.features)}
	for _, x := range set.train {
		if x.attack == "" {
			r.Learnt++
		}
	}
	progress(1, 3, "training file")
	held, scores, err := set.hold()
	if err != nil {
		return nil, err
	}
	var normal []float64
	normal, r.HeldUp = nslAUC(held, scores, nil)
	r.Level = normal[int(float64(len(normal))*(1-nslFalse))]
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	progress(2, 3, "test file")
	return r, r.test(set)
}

// test learns all normal records of training, and scores the test.
func (r *NSLKDDResult) test(set *nslSet) error {
	m, err := set.learn(func(i int) bool { return true })
	if err != nil {
		return err
	}
	before := cpuSeconds()
	scores := nslScores(m, set.test)
	r.FeaturesPerUS = float64(len(set.test)*r.Features) / (1e6 * max(1e-9, cpuSeconds()-before))
	_, r.AUC = nslAUC(set.test, scores, nil)
	right, attacks := 0, 0
	for i, x := range set.test {
		alarm := scores[i] >= r.Level
		if alarm == (x.attack != "") {
			right++
		}
		switch {
		case x.attack != "" && alarm:
			r.Caught++
		case alarm:
			r.False++
		}
		if x.attack != "" {
			attacks++
		}
	}
	r.Accuracy = float64(right) / float64(len(set.test))
	r.Caught /= float64(attacks)
	r.False /= float64(len(set.test) - attacks)
	for _, class := range nslClasses {
		c := NSLKDDClass{Class: class}
		for i, x := range set.test {
			if x.class() == class {
				c.Records++
				if scores[i] >= r.Level {
					c.Found++
				}
			}
		}
		if c.Records > 0 {
			c.Found /= float64(c.Records)
			_, c.AUC = nslAUC(set.test, scores, func(x *nslRecord) bool { return x.class() == class })
			r.Classes = append(r.Classes, c)
		}
	}
	if len(set.hard) > 0 {
		_, r.Hard = nslAUC(set.hard, nslScores(m, set.hard), nil)
	}
	return nil
}

// hold learns every second normal record of training, and scores all that is left.
func (s *nslSet) hold() (held []nslRecord, scores []float64, err error) {
	m, err := s.learn(func(i int) bool { return i%2 == 1 })
	if err != nil {
		return nil, nil, err
	}
	n := 0
	for _, x := range s.train {
		if x.attack == "" {
			if n++; n%2 == 0 {
				continue
			}
		}
		held = append(held, x)
	}
	return held, nslScores(m, held), nil
}

// learn counts those normal records of training that take names, from 0 on.
func (s *nslSet) learn(take func(i int) bool) (*behave.Model, error) {
	schema, err := behave.NewSchema(s.columns, s.features...)
	if err != nil {
		return nil, err
	}
	m, n := behave.NewModel(schema), 0
	for i := range s.train {
		if s.train[i].attack != "" {
			continue
		}
		if take(n) {
			m.Learn(s.train[i].values)
		}
		n++
	}
	return m, nil
}

func nslScores(m *behave.Model, records []nslRecord) []float64 {
	var scorer behave.Scorer
	scores := make([]float64, len(records))
	for i := range records {
		scores[i] = scorer.Score(nil, m, records[i].values)
	}
	return scores
}

// nslAUC returns the scores of the normal records, sorted, and the chance that an attack scores above one of them; of those attacks that
// count, or of all.
func nslAUC(records []nslRecord, scores []float64, count func(*nslRecord) bool) (normal []float64, auc float64) {
	var attacks []float64
	for i := range records {
		switch x := &records[i]; {
		case x.attack == "":
			normal = append(normal, scores[i])
		case count == nil || count(x):
			attacks = append(attacks, scores[i])
		}
	}
	slices.SortFunc(normal, cmp.Compare[float64])
	if len(normal) == 0 || len(attacks) == 0 {
		return append(normal, 0), 0
	}
	for _, s := range attacks {
		below, _ := slices.BinarySearch(normal, s)
		upto, _ := slices.BinarySearchFunc(normal, s, func(x, s float64) int {
			if x <= s {
				return -1
			}
			return 1
		})
		auc += float64(below+upto) / 2
	}
	return normal, auc / float64(len(normal)) / float64(len(attacks))
}
