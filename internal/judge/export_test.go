package judge

import "github.com/lamppost/lamppost"

// Quantise is how numbers stand in verdicts.
func Quantise(x float64) *lamppost.Decimal { return quantise(x) }
