package ledger

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
)

// A month is the calendar's, on the first and last millisecond of each for 800 years.
func TestMonth(t *testing.T) {
	t.Parallel()
	for at := time.Date(1970, 2, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2770; at = at.AddDate(0, 1, 0) {
		for _, ms := range [...]int64{at.UnixMilli() - 1, at.UnixMilli()} {
			if got, want := month(lamppost.TimeMS(ms)), time.UnixMilli(ms).UTC().Format("2006-01"); got != want {
				t.Fatalf("%d ms: %s, want %s", ms, got, want)
			}
		}
	}
}
