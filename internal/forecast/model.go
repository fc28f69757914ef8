package forecast

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
)

// maxGroups is how many groups of horizons there are at most.
const maxGroups = 10

// groupBounds: horizons of one group share weights. They are 1, 2, 3 steps, then up to 6, 12, 24 and so on.
func groupBounds(g int) (first, last int) {
	if g < 3 {
		return g + 1, g + 1
	}
	return 3<<(g-3) + 1, 3 << (g - 2)
}

func groupOf(h int) int {
	g := 0
	for _, last := groupBounds(g); h > last; _, last = groupBounds(g) {
		g++
	}
	return g
}

// A Model is what was learnt of series of one kind: a ridge regression for each group of horizons. Series may share one.
//
// Several models learn as one in a round: all have the same weights and [Model.Hold] them; each gathers [Model.Stats]; these are merged; all
// [Model.Adopt] the sum. What comes out is what one model of all the series would have learnt.
type Model struct {
	step    lamppost.TimeMS
	horizon int
	groups  []group
	held    bool
	frozen  bool
}

type group struct {
	stats   *Stats
	kin     *Stats // what others have learnt; nil: nothing
	w       [nFeatures]float64
	n       int // samples
	pending int // those that the weights do not know
}

// NewModel returns a model that knows nothing, for series of this step and up to this horizon.
func NewModel(step lamppost.TimeMS, horizon int) (*Model, error) {
	if err := (&Settings{Step: step, Horizon: horizon}).check(); err != nil {
		return nil, err
	}
	m := &Model{step: step, horizon: horizon, groups: make([]group, groupOf(horizon)+1)}
	for g := range m.groups {
		m.groups[g].stats = newStats(nFeatures)
	}
	return m, nil
}

// Chosen on training periods: docs/intelligence.md.
const (
	penalty   = 0.003
	resist    = 0.3  // of the scale: an error up to there has its full weight
	kinWeight = 1000 // how much what kin know counts, in samples of full weight

	// A series is learnt again after 16 samples, later an eighth more, at last 256, so that a sample costs no more than the square
	// of the features.
	solveFirst, solveLast, solveShare = 16, 256, 8

	maxWeight = 1e6
)

// Freeze stops the learning: what is forecast from now on rests on what was learnt until now. Ranges go on to follow what comes.
func (m *Model) Freeze() {
	m.settle()
	m.frozen = true
}

// Hold lets the weights be as they are until [Model.Adopt]; samples are still gathered.
func (m *Model) Hold() { m.held = true }

// Adopt replaces what the model itself has learnt, and its weights. The statistics are copied.
func (m *Model) Adopt(all []*Stats) error {
	if err := m.fits(all); err != nil {
		return err
	}
	for g, s := range all {
		own := newStats(nFeatures)
		if err := own.Merge(s, 1); err != nil {
			return err
		}
		m.groups[g].stats = own
	}
	m.held = false
	m.settle()
	return nil
}

// Stats are what the model itself has learnt, by group of horizons, without what its kin did. They are the model's own.
func (m *Model) Stats() []*Stats {
	all := make([]*Stats, len(m.groups))
	for g := range m.groups {
		all[g] = m.groups[g].stats
	}
	return all
}

// Take returns what a model that is held has gathered since it was last asked, and begins anew. Its weights stay.
func (m *Model) Take() []*Stats {
	all := m.Stats()
	for g := range m.groups {
		m.groups[g].stats = newStats(nFeatures)
	}
	return all
}

// Ahead is the last step of each group of horizons, up to a horizon.
func Ahead(horizon int) []int {
	var all []int
	for g := range groupOf(horizon) + 1 {
		_, last := groupBounds(g)
		all = append(all, min(last, horizon))
	}
	return all
}

func (m *Model) fits(all []*Stats) error {
	if len(all) != len(m.groups) {
		return fmt.Errorf("statistics of %d groups of horizons, not %d", len(all), len(m.groups))
	}
	for _, s := range all {
		if s.d != nFeatures {
			return errFeatures
		}
	}
	return nil
}

// SetKin gives the model what others of its kind have learnt, as [Model.Stats] returns it. It counts as much as a thousand samples of its own, so
// that a new device begins with what is known of others and ends with what is true of itself.
func (m *Model) SetKin(kin []*Stats) error {
	if err := m.fits(kin); err != nil {
		return err
	}
	for g, s := range kin {
		m.groups[g].kin = nil
		if s.Weight >= 1 { // of less nothing can be told
			m.groups[g].kin = newStats(nFeatures)
			if err := m.groups[g].kin.Merge(s, kinWeight/s.Weight); err != nil {
				return err
			}
		}
	}
	m.settle()
	return nil
}

// SetKin gives a series with a model of its own what others of its kind have learnt, by group of horizons; groups that are not given begin with nothing.
func (s *Series) SetKin(kin []*Stats) error {
	if !s.own {
		return errors.New("the model is shared: give it what others have learnt")
	}
	all := append([]*Stats{}, kin[:min(len(kin), len(s.model.groups))]...)
	for len(all) < len(s.model.groups) {
		all = append(all, newStats(nFeatures))
	}
	return s.model.SetKin(all)
}

// settle brings all weights up to date.
func (m *Model) settle() {
	for g := range m.groups {
		m.groups[g].solve()
	}
}

func (g *group) solve() {
	all := g.stats
	if g.kin != nil {
		all = newStats(nFeatures)
		_ = all.Merge(g.stats, 1) // of the same features
		_ = all.Merge(g.kin, 1)
	}
	clear(g.w[:]) // then the mean of the last week is what is expected
	if w, err := all.Fit(); err == nil {
		copy(g.w[:], w)
	}
	g.pending = 0
}

// learn takes a sample. Its weight falls with how far it is off, so that what is minimised is about the absolute error: a few large errors do
// not bend all the rest (Huber 1964, by weights).
func (m *Model) learn(at int, x *[nFeatures]float64, y float64) {
	g := &m.groups[at]
	off := y - dot(&g.w, x)
	g.stats.Add(x[:], y, resist/max(resist, off, -off))
	g.n = min(g.n+1, maxSamples)
	g.pending = min(g.pending+1, maxSamples)
	if !m.held && g.pending >= max(solveFirst, min(solveLast, g.n/solveShare)) {
		g.solve()
		g.stats.fade()
	}
}

func dot(w, x *[nFeatures]float64) float64 {
	sum := 0.0
	for i, xi := range x {
		sum += float64(w[i] * xi)
	}
	return sum
}

// expect fills a row with features and what the experts say.
func (s *Series) expect(r *row, o *origin, g, h int) {
	s.features(r, o, h)
	r.experts[ridge] = o.center + float64(o.scale*cut(dot(&s.model.groups[g].w, &r.x)))
}
