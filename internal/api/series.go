package api

import (
	"github.com/lamppost/lamppost"
)

// A ring is the history of a series for drawing: at most limit points, with their least distance doubled whenever it is
// full. So a short history is drawn as it was, and a long one in outline, within bounded memory. Times ascend; a point
// that comes too late for that is left out, since it is only for the eye.
type ring struct {
	times   []lamppost.TimeMS
	values  []float32
	spacing lamppost.TimeMS
}

// add appends a point unless it is too near to the last one.
func (g *ring) add(at lamppost.TimeMS, v float32, limit int) {
	n := len(g.times)
	if n > 0 && (at <= g.times[n-1] || at-g.times[n-1] < g.spacing) {
		return
	}
	if n >= limit {
		g.shrink(at, limit)
	}
	g.times, g.values = append(g.times, at), append(g.values, v)
}

// shrink drops what is older than the window, and then every second point until a quarter of the room is free.
func (g *ring) shrink(now lamppost.TimeMS, limit int) {
	old := 0
	for old < len(g.times) && g.times[old] < now-windowMS {
		old++
	}
	g.keep(old, 1)
	for len(g.times) > limit*3/4 {
		g.spacing = max(1, 2*(g.times[len(g.times)-1]-g.times[0])/lamppost.TimeMS(len(g.times)-1))
		g.keep(0, 2)
	}
	if cap(g.times) > 2*limit { // the limit fell because there are more series now
		g.times = append(make([]lamppost.TimeMS, 0, limit), g.times...)
		g.values = append(make([]float32, 0, limit), g.values...)
	}
}

// keep keeps every step-th point from the first on.
func (g *ring) keep(first, step int) {
	n := 0
	for i := first; i < len(g.times); i += step {
		g.times[n], g.values[n] = g.times[i], g.values[i]
		n++
	}
	g.times, g.values = g.times[:n], g.values[:n]
}

// limitOf is how many points a series may have where there are so many series.
func limitOf(series int) int {
	return min(maxPoints, max(minPoints, totalPoints/max(1, series)))
}
