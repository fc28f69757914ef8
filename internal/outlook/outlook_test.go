package outlook

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
	"pgregory.net/rapid"
)

// Months and days begin at the first moment of their date on the clock of Berlin, Havana (which shows midnights twice), Cairo and
// São Paulo (which left some out): as a walk through the quarter hours finds it.
func TestMonths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "America/Havana", "Africa/Cairo", "America/Sao_Paulo", "UTC"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := ms(time.Date(2016, 1, 1, 0, 0, 0, 0, loc)), ms(time.Date(2019, 1, 1, 0, 0, 0, 0, loc))
		z := tariff.ZoneOf(loc, begin-dayMS, end+monthMS)
		day, month := begin, begin
		for at := begin; at < end; at += lamppost.EdgeMS {
			was, is := time.UnixMilli(int64(at-1)).In(loc), time.UnixMilli(int64(at)).In(loc)
			if is.YearDay() != was.YearDay() && is.After(time.UnixMilli(int64(day)+int64(dayMS)/2)) { // the second midnight is no new day
				if got := dayAfter(z, day); got != at {
					t.Fatalf("%s: the day after %s begins at %s, not %s", name, time.UnixMilli(int64(day)).In(loc), time.UnixMilli(int64(got)).In(loc), is)
				}
				if is.Day() == 1 {
					if from, to := monthOf(z, at-lamppost.EdgeMS); from != month || to != at {
						t.Fatalf("%s: the month before %s is [%d, %d), not from %d", name, is, from, to, month)
					}
					month = at
				}
				day = at
			}
		}
	}
}

func ms(t time.Time) lamppost.TimeMS { return lamppost.TimeMS(t.UnixMilli()) }

// A register that goes on as in a week rises by that week's use every week, at the same times of the week, with its exponent and through
// its turns.
func TestLikeWeek(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const step = 6 * 3600 * 1000
		rolls := lamppost.Dec(rapid.Int64Range(50_000, 60_000).Draw(t, "rolls at"), -1)
		x := &supply{point: Point{Mounts: []lamppost.PointBody{{RollsAt: &rolls}}}}
		var total int64
		sums := []int64{}
		for i := range lamppost.TimeMS(5*28 + 1) {
			x.edges = append(x.edges, tariff.Edge{Time: i * step, Value: lamppost.Dec(total%rolls.Mantissa, -1)})
			sums = append(sums, total)
			total += rapid.Int64Range(0, 900).Draw(t, "use")
		}
		x.until = x.edges[len(x.edges)-1].Time
		x.from, x.to = x.until-10*dayMS, x.until+17*dayMS
		if n := x.weeks(); n != 5 {
			t.Fatalf("%d weeks are known", n)
		}
		back := rapid.IntRange(1, 5).Draw(t, "weeks back")
		p, err := x.likeWeek(back)
		if err != nil {
			t.Fatal(err)
		}
		have, err := p.Registers(0, x.from, x.to)
		if err != nil {
			t.Fatal(err)
		}
		var want []lamppost.TimeMS
		for at := x.until; at <= x.to; at += step {
			want = append(want, at)
		}
		edges, err := tariff.FillEdges(want, have, &rolls)
		if err != nil {
			t.Fatal(err)
		}
		for i := range edges {
			first := len(sums) - 1 - back*28
			expect := int64(i/28)*(sums[first+28]-sums[first]) + sums[first+i%28] - sums[first]
			got, _ := edges[i].Value.Sub(edges[0].Value)
			if m, ok := got.At(-1); !ok || m != expect || edges[i].Estimated {
				t.Fatalf("step %d: used %s, want %d tenths (estimated: %v)", i, got, expect, edges[i].Estimated)
			}
		}
	})
}

// A hole ends a history, and so does what is not long enough.
func TestWeeks(t *testing.T) {
	t.Parallel()
	days := func(gone ...int) *supply {
		x := &supply{}
		for day := range 40 {
			keep := true
			for _, g := range gone {
				keep = keep && day != g
			}
			if keep {
				x.edges = append(x.edges, tariff.Edge{Time: lamppost.TimeMS(day) * dayMS})
			}
		}
		x.until = x.edges[len(x.edges)-1].Time
		return x
	}
	for _, c := range []struct {
		x    *supply
		want int
	}{{days(), 5}, {days(20), 5}, {days(20, 21), 2}, {days(37, 38), 0}, {&supply{}, 0}} {
		if got := c.x.weeks(); got != c.want {
			t.Errorf("%d weeks of %d edges, want %d", got, len(c.x.edges), c.want)
		}
	}
}

// The amount is the mean of the latest four courses, in whole cents; the range is of all.
func TestExpect(t *testing.T) {
	t.Parallel()
	var all []course
	for _, amount := range []lamppost.Micro{70_000, 30_000, 90_000, 50_000, 20_000} {
		all = append(all, func(lamppost.TimeMS) (lamppost.Micro, error) { return amount, nil })
	}
	e, mean, err := expect(all, 0, "EUR")
	if err != nil || *e != (Expected{60_000, 20_000, 90_000, 5}) {
		t.Fatalf("%+v, %v", e, err)
	}
	if got, _ := mean(0); got != 60_000 {
		t.Errorf("the mean course comes to %d", got)
	}
	all[2] = func(lamppost.TimeMS) (lamppost.Micro, error) { return 91_000, nil }
	if e, _, _ := expect(all, 0, "EUR"); e.Amount != 60_000 {
		t.Errorf("0.06025 is not rounded to cents: %d", e.Amount)
	}
}
