package contract

import (
	"cmp"
	"math/bits"
	"slices"
)

// apportion divides an amount among weights by largest remainders (Hamilton's method), so that the shares sum to it.
func apportion(amount int64, weights []int64) ([]int64, bool) {
	var whole int64
	for _, w := range weights {
		if w < 0 || w > 1<<62-whole {
			return nil, false
		}
		whole += w
	}
	if whole == 0 {
		return nil, false
	}
	type lost struct {
		at   int
		rest uint64
	}
	left := magnitude(amount)
	shares, rests := make([]int64, len(weights)), make([]lost, len(weights))
	for i, w := range weights {
		hi, lo := bits.Mul64(magnitude(amount), uint64(w))
		q, rest := bits.Div64(hi, lo, uint64(whole)) // w ≤ whole: it fits
		shares[i], rests[i] = int64(q), lost{i, rest}
		left -= q
	}
	slices.SortStableFunc(rests, func(a, b lost) int { return cmp.Compare(b.rest, a.rest) })
	for i := range left { // fewer than there are weights
		shares[rests[i].at]++
	}
	if amount < 0 {
		for i := range shares {
			shares[i] = -shares[i]
		}
	}
	return shares, true
}
