package joint

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestInverse: what is updated row by row is the inverse of the weighted covariance that the same rows make: the product with it is the
// identity.
func TestInverse(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 5, 44} {
		r := newRelations(n)
		random := rand.New(rand.NewPCG(uint64(n), 1))
		wide := len(r.z)
		covariance := make([][]float64, wide)
		for i := range covariance {
			covariance[i] = make([]float64, wide)
			covariance[i][i] = 1
		}
		weight := float64(prior)
		for range 3 * wide {
			learn := 0.01
			if random.IntN(2) == 0 {
				learn = 1
			}
			common := random.NormFloat64()
			for i, z := 0, r.row(learn); i < n; i++ {
				z[i] = 0.0
				if i != 1 { // it never changes
					z[i] = common + random.NormFloat64()
				}
			}
			if learn = r.learnt[delay]; learn > 0 {
				weight += learn
				a := learn / weight
				for i, x := range r.rows[delay*n:] {
					for j, y := range r.rows[delay*n:] {
						covariance[i][j] += a * (x*y - covariance[i][j])
					}
				}
				covariance[r.pseudo][r.pseudo] += a * float64(wide) * ridge
			}
			r.learn()
		}
		worst := 0.0
		for i := range wide {
			for j := range wide {
				sum := 0.0
				for k := range wide {
					sum += covariance[i][k] * r.inverse[place(k, j)]
				}
				if i == j {
					sum--
				}
				worst = max(worst, math.Abs(sum))
			}
		}
		if worst > 1e-6 {
			t.Errorf("%d quantities: %g off the identity", n, worst)
		}
	}
}
