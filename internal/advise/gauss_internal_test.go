package advise

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Leaving points out by blocks of the inverse is what a surface without them says.
func TestWithoutIsLeftOut(t *testing.T) {
	t.Parallel()
	die := rand.New(rand.NewPCG(1, 2))
	var x [][]float64
	var y []float64
	for range 30 {
		p := []float64{3 * die.Float64(), 2 * die.Float64()}
		x, y = append(x, p), append(y, p[0]+math.Sin(p[1])+0.1*die.NormFloat64())
	}
	sc := startScales(2)
	all := newSurface(x, y, sc)
	left := []int{3, 8, 21}
	residuals, deviations := all.without(all.inverse(), left)
	var restX [][]float64
	var restY []float64
	for i := range x {
		if i != 3 && i != 8 && i != 21 {
			restX, restY = append(restX, x[i]), append(restY, y[i]-all.mean)
		}
	}
	rest := newSurface(restX, restY, sc)
	rest.mean = 0 // that of all is taken off already
	copy(rest.alpha, restY)
	forward(rest.low, rest.alpha)
	backward(rest.low, rest.alpha)
	for i, at := range left {
		mid, deviation := rest.at(x[at])
		if want := y[at] - all.mean - mid; math.Abs(residuals[i]-want) > 1e-8 || math.Abs(deviations[i]-deviation) > 1e-8 {
			t.Errorf("point %d: off by %v ± %v, a surface without it says %v ± %v", at, residuals[i], deviations[i], want, deviation)
		}
	}
}

// A plane is carried on to where there are no points, and doubt grows with the way there.
func TestSurfaceCarriesOn(t *testing.T) {
	t.Parallel()
	var x [][]float64
	var y []float64
	var block []int
	noise := make([][]float64, 20)
	for i := range noise {
		v := float64(i) / 5
		x, y, block, noise[i] = append(x, []float64{v}), append(y, 0.5*v), append(block, i/2), []float64{-0.01, 0.01}
	}
	s := fit(x, y, noise, block)
	near, far := s.interval([]float64{2}), s.interval([]float64{6})
	if math.Abs(math.Log(near.Mid)-1) > 0.02 || math.Abs(math.Log(far.Mid)-3) > 0.3 {
		t.Errorf("at 2: %+v, at 6: %+v", near, far)
	}
	if far.High/far.Low <= near.High/near.Low {
		t.Errorf("no more doubt far away: %+v, %+v", near, far)
	}
}

// Nine of ten, and the one to come among them, are below.
func TestConformal(t *testing.T) {
	t.Parallel()
	values := make([]float64, 99)
	for i := range values {
		values[i] = float64(99 - i)
	}
	if got := conformal(values); got != 90 {
		t.Errorf("of 1 to 99: %v, want 90", got)
	}
	if got := conformal([]float64{2, 1}); got != 2 {
		t.Errorf("of two: %v, want the larger", got)
	}
}

// A law finds the parts that made its figures.
func TestLawFindsItsParts(t *testing.T) {
	t.Parallel()
	truth := []float64{0.9, 6, 40}
	var points []*measuredPoint
	var y []float64
	for _, linger := range []float64{5, 25, 200} {
		for _, rtt := range []float64{0, 20, 100} {
			p := &measuredPoint{}
			p.LingerMS, p.RTTMS = linger, rtt
			points, y = append(points, p), append(y, math.Log(waiting.of(truth, &p.Point)+waiting.shift))
		}
	}
	got := waiting.fit(points, y)
	for i, want := range truth {
		if math.Abs(got.parts[i]/want-1) > 0.1 {
			t.Errorf("part %d: %v, want %v", i, got.parts[i], want)
		}
	}
}

// Nothing of a cell is known when it is chosen for: not of its rows in any grid, nor of a node's alone at other distances, which are the same.
func TestHeldOutIsHeldOut(t *testing.T) {
	t.Parallel()
	set, err := unpack(shippedRows)
	if err != nil {
		t.Fatal(err)
	}
	cells := 0
	for _, c := range heldCells(middles(set.Rows)) {
		for _, r := range c.rest(set).Rows {
			if r.Rate*r.Readings == c.demand && (r.RTTMS == c.rttMS || r.Engine == "solo") && r.Rate > 0 {
				t.Errorf("%+v is held out, and chosen for with a row of %+v", c.question, r.Point)
			}
			for _, m := range c.choices {
				if r.Point == m.Point {
					t.Errorf("%+v: its choice %+v is among the rest", c.question, m.Point)
				}
			}
		}
		if c.grid {
			cells++
		}
	}
	if cells != 9 {
		t.Errorf("%d cells of the grid, want 9", cells)
	}
}
