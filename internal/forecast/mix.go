package forecast

// An expert is a way to forecast. Each says a value for a step.
const (
	ridge    = iota // the model's
	theta           // what is usual, moved by what the latest were above it and by half of the trend (Assimakopoulos and Nikolopoulos 2000)
	lastWeek        // as it was in the latest week that is known
	lastDay         // as it was on the latest day that is known
	nExperts
)

// A mix weighs the experts of a group of horizons by their recent errors.
type mix struct {
	n    int
	errs [nExperts]float64 // the mean absolute error, in units of the scale
}

const (
	mixRate  = 0.003 // how fast errors are forgotten
	mixLeast = 8     // comparisons before the model is trusted
)

// weights sum to 1. They fall with the sixteenth power of the error.
func (m *mix) weights() (w [nExperts]float64) {
	first := ridge
	if m.n < mixLeast {
		first = ridge + 1
	}
	least := m.errs[first]
	for _, e := range m.errs[first:] {
		least = min(least, e)
	}
	sum := 0.0
	for i := first; i < nExperts; i++ {
		r := (least + 1e-9) / (m.errs[i] + 1e-9)
		for range 4 {
			r = float64(r * r)
		}
		w[i] = r
		sum += r
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

func (m *mix) of(experts *[nExperts]float64) float64 {
	sum := 0.0
	for i, w := range m.weights() {
		sum += float64(w * experts[i])
	}
	return sum
}

func (m *mix) learn(experts *[nExperts]float32, came, scale float64) {
	m.n = min(m.n+1, maxSamples)
	rate := max(mixRate, 1/float64(m.n))
	for i, e := range experts {
		off := cut((came - float64(e)) / scale)
		m.errs[i] += float64(rate * (max(off, -off) - m.errs[i]))
	}
}
