package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// counter writes what Linux shows of a processor.
func counter(t *testing.T, dir, zone, name string, uj, most int64) {
	t.Helper()
	dir = filepath.Join(dir, zone)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"name": name, "energy_uj": fmt.Sprint(uj), "max_energy_range_uj": fmt.Sprint(most)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
}

// Joules are of all processors, each once, over the end of a counter too; and 0 where nobody shows them.
func TestRAPL(t *testing.T) {
	t.Parallel()
	const most = 262_143_328_850
	// at writes the counters of a moment: two processors, a core and the whole machine, which would count the first again.
	at := func(first, second int64) map[string]zone {
		dir := t.TempDir()
		counter(t, dir, "intel-rapl:0", "package-0", first, most)
		counter(t, dir, "intel-rapl:1", "package-1", second, most)
		counter(t, dir, "intel-rapl:0:0", "core", 7*first, most)
		counter(t, dir, "intel-rapl:2", "psys", 9*first, most)
		counter(t, dir, "intel-rapl-mmio:0", "package-0", 5*first, most)
		return rapl(dir)
	}
	alone := at(1_000_000, 0)
	delete(alone, "intel-rapl:1")
	for name, c := range map[string]struct {
		before, now map[string]zone
		want        float64
	}{
		"both":            {at(1_000_000, 500_000), at(3_500_000, 1_000_000), 3},
		"over the end":    {at(most-1_500_000, 10), at(2_500_000, 10), 4},
		"nothing used":    {at(5, 5), at(5, 5), 0},
		"not shown":       {rapl(t.TempDir()), rapl(t.TempDir()), 0},
		"one is gone":     {at(1_000_000, 0), alone, 0},
		"end is not said": {map[string]zone{"intel-rapl:0": {now: 9}}, map[string]zone{"intel-rapl:0": {now: 8}}, 0},
	} {
		if got := joules(c.before, c.now); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%s: %v J, want %v", name, got, c.want)
		}
	}
}
