package advise

import (
	"math"

	"github.com/lamppost/lamppost/internal/explore"
)

// A trend is what waiting is made of, in ms: so much of the wait for company, so many round trips, and what is always there. A surface
// bends what is left.
type trend struct{ linger, trips, always float64 }

// jitterMS is added to times before their logarithm: what disks and schedulers add is as many milliseconds, however long the rest takes.
const jitterMS = 20

func (t *trend) log(p *explore.Point) float64 {
	return math.Log(t.linger*p.LingerMS + t.trips*p.RTTMS + t.always + jitterMS)
}

// times puts an interval of what is left back on the trend.
func (t *trend) times(r Range, p *explore.Point) Range {
	r = r.times(math.Exp(t.log(p)))
	return Range{max(0, r.Low-jitterMS), max(0, r.Mid-jitterMS), max(0, r.High-jitterMS)}
}

// fitTrend finds the trend with the smallest squares, in logarithms, by ever smaller steps.
func fitTrend(points []*measuredPoint, y []float64) *trend {
	t := &trend{1, 3, 10}
	best := t.squares(points, y)
	for step := 2.0; step > 1.01; step = math.Sqrt(step) {
		for improved := true; improved; {
			improved = false
			for _, part := range []*float64{&t.linger, &t.trips, &t.always} {
				for _, f := range []float64{step, 1 / step} {
					was := *part
					*part *= f
					if s := t.squares(points, y); s < best-1e-9 {
						best, improved = s, true
						continue
					}
					*part = was
				}
			}
		}
	}
	return t
}

func (t *trend) squares(points []*measuredPoint, y []float64) (sum float64) {
	for i, p := range points {
		d := y[i] - t.log(&p.Point)
		sum += d * d
	}
	return sum
}
