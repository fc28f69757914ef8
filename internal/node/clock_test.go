package node_test

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/node"
)

// The clock that blocks are made by is wrong only where half of the members' are, and then rather slow than fast.
func TestMiddleClock(t *testing.T) {
	t.Parallel()
	type heard = map[lamppost.MemberID]lamppost.TimeMS
	const noon, day = 1_000_000_000, 86_400_000
	for _, c := range []struct {
		what  string
		own   lamppost.TimeMS
		heard heard
		ago   time.Duration
		want  lamppost.TimeMS
	}{
		{"nobody was heard", noon, nil, 0, noon},
		{"its own is a day ahead", noon + day, heard{"b": noon, "c": noon + 2}, 0, noon + 2},
		{"its own is a day behind", noon - day, heard{"b": noon, "c": noon + 2}, 0, noon},
		{"another is a day ahead", noon, heard{"b": noon + day, "c": noon + 2}, 0, noon + 2},
		{"of two, one is ahead", noon + day, heard{"b": noon}, 0, noon},
		{"they were heard 20 s ago", noon + day, heard{"b": noon - 20_000, "c": noon - 20_000}, 20 * time.Second, noon},
		{"they were heard too long ago", noon, heard{"b": noon - day, "c": noon - day}, 2 * time.Minute, noon},
	} {
		if got := node.MiddleClock(c.own, c.heard, c.ago); got != c.want {
			t.Errorf("%s: %d ms from noon, want %d", c.what, got-noon, c.want-noon)
		}
	}
}
