package forecast

// How far a forecast may be off: in units of how far it usually is at that time of the day, two marks that one in twenty of what came is
// beyond. A mark moves up by 0.95 of a step when something was beyond it, and down by 0.05 when not, whatever the series does (Gibbs and
// Candès 2021; Angelopoulos, Candès and Tibshirani 2023).

// beyond is how much is on each side of a range.
const beyond = 0.05

// A phase is how far forecasts are off at one time of the day, in units of the scale.
type phase struct {
	n    int
	mean float64
}

const (
	phaseRate  = 0.03
	phaseStart = 0.5 // before anything came true
)

func (p *phase) learn(off float64) {
	p.n = min(p.n+1, maxSamples)
	p.mean += float64(max(phaseRate, 1/float64(p.n+1)) * (off - p.mean))
}

// size is never 0, so that what was always right may once be wrong. Of few days the mean says little: after n it is 1 + 1/(n+1) of itself.
func (p *phase) size() float64 { return float64((p.mean + 0.02) * (1 + 1/float64(p.n+1))) }

// A spread is the range of a group of horizons.
type spread struct {
	n            int
	below, above float64 // marks, in sizes
	bias         float64 // by how much what comes is above the middle on average, in units of the scale
}

const (
	spreadStart = 2.5
	spreadRate  = 0.2
	biasRate    = 0.01
	maxMark     = 1000

	strange = 1.5 // times as far as else a forecast may be off on a day of a kind that was not seen in four weeks
)

func newSpread() spread { return spread{below: spreadStart, above: spreadStart} }

func (q *spread) learn(off float64, below, above bool) {
	q.n = min(q.n+1, maxSamples)
	q.above, q.below = moved(q.above, above), moved(q.below, below)
	q.bias += float64(max(biasRate, 1/float64(q.n)) * (off - q.bias))
}

func moved(mark float64, out bool) float64 {
	by := -beyond
	if out {
		by += 1
	}
	return min(max(mark+float64(spreadRate*by), 0), maxMark)
}
