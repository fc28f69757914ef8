//go:build !race

package sig_test

import (
	"math"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

// TestAllocations: a reused Verifier allocates for its equation and its inversion, not for each item, and VerifyAll for
// its workers. Not with the race detector, which makes pools forget.
func TestAllocations(t *testing.T) {
	eddsa, es256 := manyItems(t, 512), manyES256(t, 512, 16)
	var items []sig.Item
	for i := range eddsa {
		items = append(items, eddsa[i], es256[i])
	}
	forged := spoil(fresh(t, es256[1]), 3)
	ok := make([]bool, len(items))
	var v sig.Verifier
	for name, c := range map[string]struct {
		most float64
		run  func()
	}{
		"ed25519 batch":   {8, func() { v.Verify(eddsa, ok[:512]) }},
		"es256 batch":     {16, func() { v.Verify(es256, ok[:512]) }},
		"VerifyAll":       {80, func() { sig.VerifyAll(2, items, ok) }},
		"ed25519 alone":   {0, func() { eddsa[0].Key.Verify(eddsa[0].Msg, eddsa[0].Sig) }},
		"es256 alone":     {16, func() { es256[0].Key.Verify(es256[0].Msg, es256[0].Sig) }}, // all for the inversion
		"es256, no table": {16, func() { forged.Key.Verify(forged.Msg, forged.Sig) }},
	} {
		least := math.Inf(1)
		for range 5 { // buffers grow, and a garbage collection may take those that are kept between calls
			least = min(least, testing.AllocsPerRun(3, c.run))
		}
		if least > c.most {
			t.Errorf("%s: %v allocations, want at most %v", name, least, c.most)
		}
	}
}
