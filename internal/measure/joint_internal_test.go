package measure

import (
	"errors"
	"io/fs"
	"math"
	"slices"
	"testing"
)

// jointSets runs a measurement over a set, or skips the test where there is none.
func jointSets[R any](t *testing.T, run func(JointOptions) (*R, error)) *R {
	t.Helper()
	if *sets == "" {
		t.Skip("no folder of data sets: say -sets DIR or set LAMPPOST_SETS")
	}
	r, err := run(JointOptions{Sets: *sets})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBATADALScores: the marks that are promised: in docs/intelligence.md they stand with what they mean. Time is not judged.
func TestBATADALScores(t *testing.T) {
	t.Parallel()
	r := jointSets(t, func(o JointOptions) (*BATADALResult, error) { return BATADAL(t.Context(), o) })
	if r.Rows != 4177 || r.Quantities != 43 || len(r.Attacks) != 7 {
		t.Fatalf("%d rows of %d quantities with %d attacks, want 4177, 43, 7", r.Rows, r.Quantities, len(r.Attacks))
	}
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"AUC", r.AUC, 0.95}, {"AUC of the half that nothing was chosen on", r.HalfB, 0.93}, {"S", r.S, 0.9}, {"TNR", r.TNR, 0.89},
	} {
		if c.got < c.want {
			t.Errorf("%s: %.3f, want at least %v", c.what, c.got, c.want)
		}
	}
	for i, a := range r.Attacks {
		if !a.Found || a.Alarms == 0 || a.AlarmSays == "" {
			t.Errorf("attack %d: %+v", i+1, a)
		}
	}
	if r.FalseAlarms > 7 || r.Bytes > 128_000 || r.StateBytes > 128_000 {
		t.Errorf("%d false alarms, %d bytes, %d saved", r.FalseAlarms, r.Bytes, r.StateBytes)
	}
}

// TestSKABScores: the marks that are promised, as above.
func TestSKABScores(t *testing.T) {
	t.Parallel()
	r := jointSets(t, func(o JointOptions) (*SKABResult, error) { return SKAB(t.Context(), o) })
	if r.Runs != 16 || r.Rows != 11760 {
		t.Fatalf("%d runs, %d rows, want 16, 11760", r.Runs, r.Rows)
	}
	if r.OutlierF1 < 0.82 || r.HalfB < 0.83 || r.HeldOut < 0.83 || r.OutlierF1 < r.AllBad+0.1 {
		t.Errorf("F1 %.3f, of the runs that nothing was chosen on %.3f, at the others' level %.3f; every row flagged %.3f",
			r.OutlierF1, r.HalfB, r.HeldOut, r.AllBad)
	}
}

// TestJointMarks: the marks of a run that can be computed by hand: ten rows of training, then two attacks of four hours.
func TestJointMarks(t *testing.T) {
	t.Parallel()
	set := &jointRun{train: 10, atMS: make([]int64, 22), bad: make([]bool, 22)}
	said := make([]jointVerdict, 22)
	for _, i := range []int{12, 13, 14, 15, 18, 19, 20, 21} {
		set.bad[i] = true
	}
	for i, score := range []float64{10: 1, 3, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0} { // found in its second hour; never found
		said[i].score = score
	}
	said[5].score = 9 // the training does not count
	if got, want := set.spans(), []jointSpan{{12, 15}, {18, 21}}; !slices.Equal(got, want) {
		t.Fatalf("attacks %v, want %v", got, want)
	}
	r := &BATADALResult{Level: 2}
	r.mark(set, said)
	// 2 of 8 bad rows and 3 of 4 others are told right; of attack one a quarter had passed, of the other one all.
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"TPR", r.TPR, 0.25}, {"TNR", r.TNR, 0.75}, {"S of classification", r.SCLF, 0.5}, {"S of time", r.STTD, 0.375}, {"S", r.S, 0.4375},
		{"AUC", r.AUC, (2*4 + 6*1.) / 32},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if c := skabCount([]*jointRun{set}, [][]jointVerdict{said}, 2, 0, 1); c != (jointCount{hit: 2, false: 1, missed: 6, quiet: 3}) || c.f1() != 4./11 {
		t.Errorf("%+v, F1 %v", c, c.f1())
	}
}
