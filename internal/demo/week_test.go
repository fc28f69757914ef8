package demo

import (
	"os"
	"os/exec"
	"testing"
)

// The sample is what its generator cuts out of the public data sets.
func TestSampleFromSets(t *testing.T) {
	t.Parallel()
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		sets = "../../../shared/data"
	}
	if _, err := os.Stat(sets); err != nil {
		t.Skipf("the data sets are not here (%v); LAMPPOST_SETS names their folder", err)
	}
	out, err := exec.Command("go", "run", "data/gen/main.go", "-sets", sets, "-check", "data/week.csv").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
