package triage

import "math"

// Scores replay bit for bit on every machine. The compiler may fuse x*y + z into one rounding where the processor can (arm64, riscv64,
// ppc64), so every product here stands in float64(…), which forbids it; TestNothingIsFused holds the package to that. Of package
// math only what is exact everywhere is used: ln is our own because math.Log may be fused.

const ln2 = 0.693147180559945309417232121458176568

// ln is the natural logarithm of a positive finite number, within 1e-15 of it: x = 2^k·f with f in [√½, √2), and
// ln f = 2·atanh(s) by its series, s = (f-1)/(f+1), |s| < 0.1716.
func ln(x float64) float64 {
	f, k := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f, k = float64(f*2), k-1
	}
	s := (f - 1) / (f + 1)
	s2, sum := float64(s*s), 0.0
	for n := 21.0; n >= 1; n -= 2 {
		sum = 1/n + float64(sum*s2)
	}
	return float64(float64(k)*ln2) + float64(2*float64(s*sum))
}
