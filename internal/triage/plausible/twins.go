package plausible

import "github.com/lamppost/lamppost/internal/triage/saved"

// twins counts for each two meters the steps in a row in which both used exactly the same. Steps of little use, or of the same as the
// one before, say nothing and do not count. Two devices with one trace are one device, or a copy of it.
type twins struct {
	meters int
	alike  []uint8   // of two meters, at place
	before []float64 // what each used in the step before
}

const (
	twinSteps = 8
	twinLeast = 16 // units
)

func (t *twins) init(n int) {
	t.meters, t.alike, t.before = n, make([]uint8, n*(n-1)/2), make([]float64, n)
}

// next judges a meter against those before it in the list.
func (t *twins) next(meter int, used []float64) (f Finding, found bool) {
	x := used[meter]
	tells := x >= twinLeast && x != t.before[meter]
	for other := range meter {
		alike := &t.alike[meter*(meter-1)/2+other]
		switch {
		case used[other] != x:
			*alike = 0
		case tells && *alike <= twinSteps:
			if *alike++; *alike == twinSteps {
				f, found = Finding{Code: Twin, Meter: meter, Other: other, Value: twinSteps}, true
			}
		}
	}
	return f, found
}

func (t *twins) learn(used []float64) { copy(t.before, used) }

func (t *twins) state(s *saved.State) {
	for i := range t.alike {
		n := int(t.alike[i])
		s.Count(&n, twinSteps+1)
		t.alike[i] = uint8(n)
	}
	amounts(s, t.before)
}
