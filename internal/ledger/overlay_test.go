package ledger

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The overlay gives the keys of a kind in order, whatever was written between two readings.
func TestOverlayInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o, model := newOverlay(), map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := fmt.Sprintf("s%c%03d", "AB"[rapid.IntRange(0, 1).Draw(t, "kind")], rapid.IntRange(0, 400).Draw(t, "key"))
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0:
				o.clear()
				clear(model)
			case 1, 2:
				from, to := k, k[:2]+"~"
				want := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(k string) bool { return k < from || k >= to })
				if got := o.between([]byte(from), []byte(to)); !slices.Equal(got, want) {
					t.Fatalf("from %q to %q: %q, want %q", from, to, got, want)
				}
			case 3:
				o.set([]byte(k), nil)
				model[k] = true
			default:
				o.set([]byte(k), []byte{1})
				model[k] = true
			}
		}
	})
}
