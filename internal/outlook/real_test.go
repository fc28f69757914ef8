package outlook

import (
	"compress/gzip"
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

var sets = flag.String("sets", "../../../shared/data", "the folder of public data sets; tests that want one which is not there are skipped")

// column reads a column of a data set: Wh in each hour.
func column(t *testing.T, file string, at int, factor float64) (wh []int64) {
	t.Helper()
	f, err := os.Open(filepath.Join(*sets, filepath.FromSlash(file)))
	if err != nil {
		t.Skipf("the data set is not there: %v; give its folder with -sets", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all[1:] {
		x, err := strconv.ParseFloat(r[at], 64)
		if err != nil {
			t.Fatal(err)
		}
		wh = append(wh, int64(x*factor))
	}
	return wh
}

// meterOf is a supply with hourly use from an instant on, by day and night and a standing charge.
func meterOf(wh []int64, begin lamppost.TimeMS) *supply {
	terms := tariff.Tariff{ID: "t", Version: 1, Seller: "s", Currency: "EUR", PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3, Standing: 300_000, Rounding: tariff.RoundHalfUp,
		Zone: tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{}}}, Tax: tariff.Tax{Category: "S", BasisPoints: 1900},
		Bands: []tariff.Band{{Name: "night", ToMin: 360, Price: 220_000}, {Name: "day", FromMin: 360, ToMin: 1440, Price: 320_000}}}
	x := &supply{versions: []tariff.Tariff{terms}, edges: []tariff.Edge{{Time: begin}}}
	x.point = Point{[]lamppost.PointBody{{Unit: "Wh"}}, func(uint32, lamppost.TimeMS, lamppost.TimeMS) ([]tariff.Edge, error) { return x.edges, nil }}
	sum := int64(0)
	for i, n := range wh {
		sum += n
		x.edges = append(x.edges, tariff.Edge{Time: begin + lamppost.TimeMS(i+1)*3600_000, Value: lamppost.Dec(sum, 0)})
	}
	return x
}

// How good forecasts are on real meters: a house in Sceaux over four years, and twelve in Fontana over one. What is held here are bounds
// that a mistake would break; the figures stand in docs/decisions/0018-outlook.md.
func TestRealMonths(t *testing.T) {
	t.Parallel()
	begin := ms(time.Date(2006, 12, 16, 18, 0, 0, 0, time.UTC))
	meters := []*supply{meterOf(column(t, "household-power/household_power_hourly.csv.gz", 1, 1000./60), begin)}
	for i := range 12 {
		meters = append(meters, meterOf(column(t, fmt.Sprintf("citylearn-2022/Building_%d.csv.gz", i+1), 7, 1000), ms(time.Date(2016, 8, 1, 0, 0, 0, 0, time.UTC))))
	}
	z := meters[0].versions[0].Zone
	for _, day := range []lamppost.TimeMS{1, 5, 10, 20} {
		months, inside, errs, plain := 0, 0, 0., 0.
		for _, m := range meters {
			end := m.edges[len(m.edges)-1].Time
			for from, to := monthOf(z, m.edges[0].Time+MaxWeeks*weekMS+monthMS); to <= end; from, to = monthOf(z, to) {
				now := *m
				now.from, now.to, now.until = from, to, from+day*dayMS
				n, _ := slices.BinarySearchFunc(m.edges, now.until, func(e tariff.Edge, at lamppost.TimeMS) int { return int(e.Time - at) })
				now.edges = m.edges[:n+1]
				got, _ := now.foresee(now.until)
				came, err := m.cost(&m.point, from, to)
				if err != nil || got.Expected == nil {
					t.Fatalf("%s: %+v, %v", time.UnixMilli(int64(from)).UTC(), got, err)
				}
				months++
				if got.Expected.Low <= came && came <= got.Expected.High {
					inside++
				}
				errs += math.Abs(float64(got.Expected.Amount-came)) / float64(came)
				plain += math.Abs(float64(got.SoFar)*float64(to-from)/float64(day*dayMS)-float64(came)) / float64(came)
			}
		}
		share, off, naive := float64(inside)/float64(months), errs/float64(months), plain/float64(months)
		t.Logf("after %2d days: %d of %d months in the range; off by %.1f %% on average, so far scaled by days %.1f %%", day, inside, months, 100*off, 100*naive)
		if share < 0.6 || off > 0.2 || day <= 5 && off > naive {
			t.Errorf("after %d days %.2f are in the range, off by %.3f, scaled by %.3f", day, share, off, naive)
		}
	}
}
