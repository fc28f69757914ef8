package advise

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost/internal/explore"
)

// A Need is what must hold of a point, whatever it costs.
type Need struct {
	LatencyMS    float64 // from a report's sending until it is final, 99 of 100
	ReadingsPerS float64 // in the busiest hour
}

// A Choice is a point that meets a need.
type Choice struct {
	explore.Point
	Prediction Prediction
	Cost       Range
}

// A Refused is a point that does not meet a need, or of which nothing is known.
type Refused struct {
	explore.Point
	Prediction *Prediction // nil: unmeasured
	Why        []string
}

// Choose tells the points that meet a need, the cheapest first, from those that do not. A need is met where it is met at the bad end of
// the interval. Points of equal cost stay in their order.
func (m *Measured) Choose(points []explore.Point, n Need, cost func(explore.Point, Prediction) Range) (ranked []Choice, out []Refused) {
	for _, p := range points {
		pr, err := m.Predict(p)
		if err != nil {
			out = append(out, Refused{Point: p, Why: []string{err.Error()}})
			continue
		}
		if why := n.broken(&pr); len(why) > 0 {
			out = append(out, Refused{p, &pr, why})
			continue
		}
		ranked = append(ranked, Choice{p, pr, cost(p, pr)})
	}
	slices.SortStableFunc(ranked, func(a, b Choice) int { return cmp.Compare(a.Cost.Mid, b.Cost.Mid) })
	return ranked, out
}

// broken says which needs a prediction does not surely meet.
func (n *Need) broken(pr *Prediction) (why []string) {
	if n.LatencyMS > 0 && !(pr.P99.High <= n.LatencyMS) {
		why = append(why, fmt.Sprintf("99 of 100 reports may take %.0f ms, the need is %.0f ms", pr.P99.High, n.LatencyMS))
	}
	if pr.Capacity.High == 0 {
		return append(why, "what it bears at most was not measured")
	}
	if !(pr.Capacity.Low >= n.ReadingsPerS) {
		why = append(why, fmt.Sprintf("it may bear %.0f readings/s only, the need is %.0f", pr.Capacity.Low, n.ReadingsPerS))
	}
	return why
}
