package measure

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"testing"
)

// TestNSLKDD: over the whole data set the model is no worse than docs/intelligence.md says, and what is not normal does not teach it.
func TestNSLKDD(t *testing.T) {
	t.Parallel()
	if *sets == "" {
		t.Skip("no folder of data sets: say -sets DIR or set LAMPPOST_SETS")
	}
	r, err := NSLKDD(t.Context(), NSLKDDOptions{Sets: *sets})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("NSL-KDD is not in the folder of data sets: its licence does not let it come with the program")
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Tested != 22_544 || r.AUC < 0.97 || r.Accuracy < 0.88 || r.HeldUp < 0.985 || len(r.Classes) != 4 {
		t.Errorf("%+v", r)
	}
}

// TestNSLAUC: the area is the share of pairs in order, ties half, as counted one by one.
func TestNSLAUC(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	records, scores := make([]nslRecord, 400), make([]float64, 400)
	for i := range records {
		if random.IntN(3) == 0 {
			records[i].attack = "smurf"
		}
		scores[i] = float64(random.IntN(30))
	}
	sum, pairs := 0.0, 0.0
	for i := range records {
		for k := range records {
			if records[i].attack == "" || records[k].attack != "" {
				continue
			}
			pairs++
			switch {
			case scores[i] > scores[k]:
				sum++
			case scores[i] == scores[k]:
				sum += 0.5
			}
		}
	}
	if _, got := nslAUC(records, scores, nil); math.Abs(got-sum/pairs) > 1e-12 {
		t.Errorf("%v, counted %v", got, sum/pairs)
	}
}
