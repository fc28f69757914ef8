package triage

// Ln is the natural logarithm of a positive finite number, the same bits on every machine, for packages beside this one.
func Ln(x float64) float64 { return ln(x) }
