package measure

import (
	"context"
	"errors"

	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/joint"
)

// JointOptions says where the data are.
type JointOptions struct {
	Sets string // folder of data sets

	Progress func(done, all int64, what string)
}

func (o *JointOptions) progress(done, all int, what string) {
	if o.Progress != nil {
		o.Progress(int64(done), int64(all), what)
	}
}

func isRepeated(err error) bool {
	return errors.Is(err, triage.ErrLate) || errors.Is(err, triage.ErrDuplicate)
}

// A BATADALAttack is what was found of one.
type BATADALAttack struct {
	Begin     int    `json:"begin_ms"`
	Hours     int    `json:"hours"`
	Found     bool   `json:"found"`         // a score reached the level
	Delay     int    `json:"delay_hours"`   // until then; all of them where it was not
	Flagged   int    `json:"hours_flagged"` // with a score at the level or above
	Alarms    int    `json:"alarms"`        // raised in it
	AlarmSays string `json:"alarm_says"`    // the weightiest reason of the first
	Half      string `json:"half"`          // settings were chosen on a
}

// BATADALResult is what [BATADAL] has measured, on dataset 4: hours of which 12 % are under attack.
type BATADALResult struct {
	Rows       int `json:"rows"` // of dataset 4
	Quantities int `json:"quantities"`

	AUC   float64 `json:"auc"`   // of the rows' scores
	HalfA float64 `json:"auc_a"` // of the rows to the middle between the fourth and the fifth attack, on which settings were chosen
	HalfB float64 `json:"auc_b"` // of the others

	// The contest's marks, by rows whose score is at the program's level or above.
	Level float64 `json:"level"`
	S     float64 `json:"s"`     // (STTD + SCLF)/2
	STTD  float64 `json:"s_ttd"` // 1 - the mean share of an attack that passed until it was found
	SCLF  float64 `json:"s_clf"` // (TPR + TNR)/2
	TPR   float64 `json:"tpr"`
	TNR   float64 `json:"tnr"`

	Attacks     []BATADALAttack `json:"attacks"`
	FalseAlarms int             `json:"false_alarms"` // raised outside of attacks, as triage.Alarm has it

	USPerRow   float64 `json:"us_per_row"` // CPU time
	Bytes      int     `json:"bytes"`      // of memory
	StateBytes int     `json:"state_bytes"`
}

// batadalHalf is how many attacks settings were chosen on.
const batadalHalf = 4

// BATADAL runs the joint model over the water network C-Town (Taormina et al., J. Water Resour. Plann. Manage. 2018): a year without
// attacks, and then half a year with seven. It learns all the while, as it does in a node, and knows no label.
func BATADAL(ctx context.Context, o JointOptions) (*BATADALResult, error) {
	set, err := batadalSet(o.Sets)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o.progress(0, 1, "BATADAL")
	var cost jointCost
	said, err := set.observe(&cost)
	if err != nil {
		return nil, err
	}
	r := &BATADALResult{Rows: len(said) - set.train, Quantities: len(set.names), Level: joint.DefaultLevel,
		USPerRow: cost.usPerRow(), Bytes: cost.bytes, StateBytes: cost.state}
	r.mark(set, said)
	return r, nil
}

func (r *BATADALResult) mark(set *jointRun, said []jointVerdict) {
	scores := make([]float64, len(said))
	var count jointCount
	for i, v := range said {
		scores[i] = v.score
		if i >= set.train {
			count.add(set.bad[i], v.score >= r.Level)
			if v.alarm && !set.bad[i] {
				r.FalseAlarms++
			}
		}
	}
	spans, passed := set.spans(), 0.0
	middle := len(said)
	if len(spans) > batadalHalf {
		middle = (spans[batadalHalf-1].last + spans[batadalHalf].first) / 2
	}
	r.AUC = rocArea(scores[set.train:], set.bad[set.train:])
	r.HalfA = rocArea(scores[set.train:middle], set.bad[set.train:middle])
	r.HalfB = rocArea(scores[middle:], set.bad[middle:])
	for i, span := range spans {
		a := r.attack(span, said)
		if a.Begin, a.Half = int(set.atMS[span.first]), "a"; i >= batadalHalf {
			a.Half = "b"
		}
		passed += share(a.Delay, a.Hours)
		r.Attacks = append(r.Attacks, a)
	}
	r.TPR, r.TNR = count.recall(), count.quietly()
	r.SCLF, r.STTD = (r.TPR+r.TNR)/2, 1-passed/float64(max(1, len(spans)))
	r.S = (r.STTD + r.SCLF) / 2
}

func (r *BATADALResult) attack(span jointSpan, said []jointVerdict) BATADALAttack {
	a := BATADALAttack{Hours: span.last - span.first + 1}
	a.Delay = a.Hours
	for i, v := range said[span.first : span.last+1] {
		if v.score >= r.Level {
			a.Flagged++
			a.Found, a.Delay = true, min(a.Delay, i)
		}
		if v.alarm {
			if a.Alarms++; a.Alarms == 1 {
				a.AlarmSays = v.why
			}
		}
	}
	return a
}
