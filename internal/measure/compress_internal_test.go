package measure

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/compact"
)

// TestCompressShared: what is promised of the shared sets: 20 times smaller, no row beyond its bound, no window of NAB lost.
func TestCompressShared(t *testing.T) {
	t.Parallel()
	corpus(t)
	r, err := Compress(t.Context(), CompressOptions{Sets: *sets})
	if err != nil {
		t.Fatal(err)
	}
	if r.Ratio < 20 || r.Violations != 0 || r.Lost != 0 || r.Rows < 2_000_000 || r.Windows < 95 {
		t.Errorf("ratio %.2f, %d rows beyond, %d windows of %d lost, %d rows", r.Ratio, r.Violations, r.Lost, r.Windows, r.Rows)
	}
}

// TestHoldCounts: a value off by more than its bound, its error bar or 1 % of the range is counted, and so is another time and a row that is missing.
func TestHoldCounts(t *testing.T) {
	t.Parallel()
	rows := []compact.Row{{AtMS: 1, Value: 10}, {AtMS: 2, Value: 20}}
	for _, c := range []struct {
		what         string
		back         []compact.Reading
		bound, width float64
		want         int
	}{
		{"all is well", []compact.Reading{{AtMS: 1, Value: 10.5, Error: 0.5}, {AtMS: 2, Value: 20}}, 0.5, 100, 0},
		{"beyond the bound", []compact.Reading{{AtMS: 1, Value: 10.5, Error: 0.5}, {AtMS: 2, Value: 20}}, 0.4, 100, 1},
		{"beyond the error bar", []compact.Reading{{AtMS: 1, Value: 10.5, Error: 0.4}, {AtMS: 2, Value: 20}}, 0.5, 100, 1},
		{"beyond the range's share", []compact.Reading{{AtMS: 1, Value: 10.5, Error: 0.5}, {AtMS: 2, Value: 20}}, 0.5, 10, 1},
		{"another time", []compact.Reading{{AtMS: 1, Value: 10}, {AtMS: 3, Value: 20}}, 0.5, 100, 1},
		{"one is missing", []compact.Reading{{AtMS: 1, Value: 10}}, 0.5, 100, 1},
	} {
		k := &keeping{width: c.width}
		if got := k.hold(rows, c.back, c.bound); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

// TestSetForms: the readers of sets find what is a measurement and leave out labels, calendars and rows' numbers.
func TestSetForms(t *testing.T) {
	t.Parallel()
	corpus(t)
	all, err := keptCorpus(*sets)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range all {
		seen[s.set] = true
		if name := strings.ToLower(s.name); strings.Contains(name, "flag") || strings.HasSuffix(name, " label") || strings.HasSuffix(name, " row") {
			t.Errorf("%s: %s is no measurement", s.set, s.name)
		}
	}
	for _, f := range setForms {
		if !seen[f.set] {
			t.Errorf("set %s has no series", f.set)
		}
	}
}

// TestNearAlarm: rows up to the limit before and after an alarm stay raw.
func TestNearAlarm(t *testing.T) {
	t.Parallel()
	if got, want := nearAlarm([]int{300, 310, 2000}, 2001), 11+4*compact.AroundAlarm-compact.AroundAlarm+1; got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}
