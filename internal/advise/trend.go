package advise

import (
	"math"

	"github.com/lamppost/lamppost/internal/explore"
)

// A law is what a figure is made of: parts, each 0 or more, that the rows decide.
type law struct {
	of     func(parts []float64, p *explore.Point) float64
	start  []float64
	linear int     // so many parts, the first, are factors of the figure itself
	shift  float64 // added before the logarithm
}

// company is the longest that a report waits for others, in ms: until linger_ms is over or the segment is full, which each member fills with its part.
func company(p *explore.Point) float64 {
	return min(p.LingerMS, 1000*float64(p.Segment*p.Nodes)/float64(p.Rate))
}

// waiting is a time in ms: so much of the wait for company, so many round trips, and what is always there. What disks and schedulers add by chance is as
// many ms, however long the rest takes: so the shift.
var waiting = law{
	of: func(v []float64, p *explore.Point) float64 {
		return v[0]*company(p) + v[1]*p.RTTMS + v[2]
	},
	start: []float64{1, 3, 10}, linear: 3, shift: 20,
}

// keeping is the share of what devices send that is committed a second, while a sweep sends for some seconds, in which each device sends once at
// least, and waits for the last acknowledgement.
var keeping = law{
	of: func(v []float64, p *explore.Point) float64 {
		longer := max(1, float64(p.Devices)/float64(p.Rate)/v[3])
		return 1 / (1 + (v[0]*company(p)+v[1]*p.RTTMS+v[2])/longer)
	},
	start: []float64{1e-4, 1e-3, 1e-3, 3},
}

// working is what members do for a reading: what they do each second, for each block, for each report, and for each reading. A block ends when its
// wait for company is over, and a number of round trips, and something more.
var working = law{
	of: func(v []float64, p *explore.Point) float64 {
		rate, k := float64(p.Rate), float64(p.Readings)
		blocks := min(rate, 1000/(company(p)+v[4]*p.RTTMS+v[5]))
		return (v[0]+v[1]*blocks)/(rate*k) + v[2]/k + v[3]
	},
	start: []float64{50_000, 500, 30, 1, 3, 10}, linear: 4,
}

// noLaw leaves everything to the surface.
var noLaw = law{of: func([]float64, *explore.Point) float64 { return 1 }}

// A trend is a law with the parts that fit an engine best. A surface bends what is left.
type trend struct {
	*law
	parts []float64
}

func (t *trend) log(p *explore.Point) float64 { return math.Log(t.of(t.parts, p) + t.shift) }

// back puts an interval of what is left back on the trend.
func (t *trend) back(r Range, p *explore.Point) Range {
	r = r.scale(math.Exp(t.log(p)))
	return Range{max(0, r.Low-t.shift), max(0, r.Mid-t.shift), max(0, r.High-t.shift)}
}

// fit finds the parts with the smallest squares, in logarithms, by ever smaller steps of one after the other.
func (l *law) fit(points []*measuredPoint, y []float64) *trend {
	t := &trend{l, append([]float64(nil), l.start...)}
	t.level(points, y)
	const sweeps = 100 // for each size of step
	best := t.squares(points, y)
	for step := 4.0; step > 1.02; step = math.Sqrt(step) {
		for range sweeps {
			was := best
			for i := range t.parts {
				best = t.step(i, step, best, points, y)
			}
			if best >= was*(1-1e-4) {
				break
			}
		}
	}
	return t
}

// level makes the figure as large as it is measured, in the mean.
func (t *trend) level(points []*measuredPoint, y []float64) {
	off := 0.0
	for i, p := range points {
		off += (y[i] - t.log(&p.Point)) / float64(len(points))
	}
	for i := range t.linear {
		t.parts[i] *= math.Exp(off)
	}
}

// step tries a part by a step more and less.
func (t *trend) step(i int, step, best float64, points []*measuredPoint, y []float64) float64 {
	for _, f := range []float64{step, 1 / step} {
		was := t.parts[i]
		t.parts[i] *= f
		if s := t.squares(points, y); s < best {
			return s
		}
		t.parts[i] = was
	}
	return best
}

func (t *trend) squares(points []*measuredPoint, y []float64) (sum float64) {
	for i, p := range points {
		d := y[i] - t.log(&p.Point)
		sum += d * d
	}
	return sum
}
