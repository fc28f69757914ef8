//go:build !small

package comet

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A member whose clock made comet end is told so, and anything else is not blamed on the clock.
func TestClockBehind(t *testing.T) {
	t.Parallel()
	for why, clock := range map[string]bool{
		// as comet's state/validation.go says it
		fmt.Sprintf("precommit step; +2/3 prevoted for an invalid block: block time %v is too far in the future (wall clock %v + tolerance %v)", time.Now(), time.Now(), time.Hour): true,
		"precommit step; +2/3 prevoted for an invalid block: wrong Block.Header.AppHash":                                                                                            false,
	} {
		var got error
		logger{slog.New(slog.DiscardHandler), func(err error) { got = err }}.Error(halted, "err", why)
		if got == nil || !strings.Contains(got.Error(), why) || strings.Contains(got.Error(), "set it right") != clock {
			t.Errorf("%s: %v", why, got)
		}
	}
}
